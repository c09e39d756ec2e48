//! Messages, and packets with sources of our choice.

use std::net::{Ipv4Addr, SocketAddrV4};

use anyhow::Result;
use hickory_proto::op::{Edns, Message, Query};
use hickory_proto::rr::rdata::opt::EdnsOption;
use hickory_proto::rr::{Name, RecordType};

/// The option that carries a DNS cookie (RFC 7873).
pub const COOKIE: u16 = 10;
/// The payload that our clients take.
const PAYLOAD: u16 = 1232;

/// A query for records of a name, without EDNS.
pub fn query(id: u16, name: &str, kind: RecordType) -> Result<Vec<u8>> {
    Ok(message(id, name, kind)?.to_vec()?)
}

/// A query with EDNS and a cookie.
pub fn query_with_cookie(id: u16, name: &str, cookie: &[u8]) -> Result<Vec<u8>> {
    let mut message = message(id, name, RecordType::A)?;
    let mut edns = Edns::new();
    edns.set_max_payload(PAYLOAD);
    edns.options_mut().insert(EdnsOption::Unknown(COOKIE, cookie.to_vec()));
    message.set_edns(edns);
    Ok(message.to_vec()?)
}

fn message(id: u16, name: &str, kind: RecordType) -> Result<Message> {
    let mut message = Message::query();
    message.metadata.id = id;
    message.add_query(Query::query(Name::from_ascii(format!("{name}."))?, kind));
    Ok(message)
}

/// An IPv4 packet with a UDP datagram. The kernel fills in the lengths and checksum of the IP header; UDP goes without.
pub fn packet(from: SocketAddrV4, to: SocketAddrV4, payload: &[u8]) -> Vec<u8> {
    const IP: usize = 20;
    const UDP: usize = 8;
    const TTL: u8 = 64;
    const PROTOCOL_UDP: u8 = 17;
    // A test's messages are far below 64 KiB.
    let udp_length = (UDP + payload.len()) as u16;
    let mut packet = Vec::with_capacity(IP + UDP + payload.len());
    packet.extend_from_slice(&[0x45, 0]);
    packet.extend_from_slice(&(IP as u16 + udp_length).to_be_bytes());
    packet.extend_from_slice(&[0, 0, 0, 0, TTL, PROTOCOL_UDP, 0, 0]);
    packet.extend_from_slice(&from.ip().octets());
    packet.extend_from_slice(&to.ip().octets());
    packet.extend_from_slice(&from.port().to_be_bytes());
    packet.extend_from_slice(&to.port().to_be_bytes());
    packet.extend_from_slice(&udp_length.to_be_bytes());
    packet.extend_from_slice(&[0, 0]);
    packet.extend_from_slice(payload);
    packet
}

/// An address of 100.64.0.0/10.
pub fn foreign(number: u32) -> Ipv4Addr {
    Ipv4Addr::from(0x6440_0000 | (number & 0x003f_ffff))
}
