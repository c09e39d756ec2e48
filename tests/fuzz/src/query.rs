//! Messages: both ways to an answer give the same bytes, which are a sound reply or silence.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hickory_proto::op::{Message, MessageType};
use holdfast_core::DnsName;
use holdfast_dns::{Peer, Transport};

use crate::tsig;
use crate::view::Pair;

const HEADER: usize = 12;
const MAX_UDP: usize = 1232;

const TRANSPORTS: [Transport; 4] =
    [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Https];

/// Clients that the rules of steered services tell apart, and one that writes its address otherwise.
const ADDRESSES: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::new(198, 51, 100, 9)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 20)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7)),
    IpAddr::V6(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0xc000, 0x0201)),
];

/// What [`edns`] asks: names of one kind of answer each, and their types.
const QUESTIONS: [(&str, u16); 32] = [
    ("a.example.test", 1),
    ("b.example.test", 1),
    ("c.example.test", 1),
    ("d.example.test", 1),
    ("e.example.test", 1),
    ("g.example.test", 1),
    ("g.example.test", 16),
    ("n.example.test", 1),
    ("nothing.example.test", 1),
    ("far.example.test", 1),
    ("i.near.test", 1),
    ("j.near.test", 1),
    ("k.near.test", 28),
    ("j.near.test", 65),
    ("aa.near.test", 1),
    ("p.near.test", 1),
    ("o.near.test", 1),
    ("a.signed.test", 1),
    ("b.signed.test", 1),
    ("n.signed.test", 1),
    ("nothing.signed.test", 1),
    ("a.signed.test", 33),
    ("signed.test", 48),
    ("x.y.s.signed.test", 33),
    ("x.safe.signed.test", 1),
    ("x.w.signed.test", 1),
    ("safe.signed.test", 43),
    ("j.hashed.test", 1),
    ("nothing.hashed.test", 1),
    ("x.cut.hashed.test", 1),
    ("2.2.0.192.in-addr.arpa", 12),
    ("elsewhere.test", 1),
];

/// The first byte chooses the transport (2 bits), the client (2), whether the message is signed, and the turn; the rest is
/// the message.
pub(crate) fn query(bytes: &[u8]) {
    let Some((choice, wire)) = bytes.split_first() else { return };
    let choice = usize::from(*choice);
    let transport = TRANSPORTS[choice & 3];
    let peer = Peer { address: (ADDRESSES[choice >> 2 & 3], 40_000).into(), transport };
    let signs = choice & 16 != 0 && wire.len() >= HEADER;
    let (wire, mac) = if signs { tsig::signed(wire, None) } else { (wire.to_vec(), Vec::new()) };
    // Three bits.
    let reply = agree(&wire, peer, (choice >> 5) as u32);
    if let Some(reply) = reply.filter(|_| signs) {
        tsig::check(&reply, &mac);
    }
}

/// The first byte chooses the transport and one of a few questions; the others are an OPT's fields and options.
pub(crate) fn edns(bytes: &[u8]) {
    let Some(([choice, size_high, size_low, version, flags], options)) = bytes.split_first_chunk()
    else {
        return;
    };
    let Ok(length) = u16::try_from(options.len()) else { return };
    let (owner, kind) = QUESTIONS[usize::from(choice >> 1) % QUESTIONS.len()];
    let mut wire = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    wire.extend(DnsName::new(owner).expect("a valid name").to_wire());
    wire.extend_from_slice(&kind.to_be_bytes());
    wire.extend_from_slice(&[0, 1, 0, 0, 41, *size_high, *size_low, 0, *version, *flags, 0]);
    wire.extend_from_slice(&length.to_be_bytes());
    wire.extend_from_slice(options);
    let transport = TRANSPORTS[usize::from(choice & 1) << (choice >> 7)];
    agree(&wire, Peer { address: (ADDRESSES[0], 40_000).into(), transport }, 0);
}

/// The reply, if there is one; panics where the two ways differ or it is not sound.
fn agree(wire: &[u8], peer: Peer, turn: u32) -> Option<Vec<u8>> {
    let reply = Pair::with(|pair| match pair.is_of_streams(wire, peer) {
        true => None,
        false => Some(pair.agree(wire, peer, turn)),
    })?;
    match &reply {
        Some(reply) => sound(reply, wire, peer.transport),
        None => assert!(wire.len() < HEADER || wire[2] & 0x80 != 0, "silence to {wire:?}"),
    }
    reply
}

fn sound(reply: &[u8], wire: &[u8], transport: Transport) {
    assert!(transport != Transport::Udp || reply.len() <= MAX_UDP, "{} bytes", reply.len());
    assert_eq!(reply[..2], wire[..2], "the id");
    let read = Message::from_vec(reply)
        .unwrap_or_else(|error| panic!("{reply:?} to {wire:?} is no message: {error}"));
    assert_eq!(read.metadata.message_type, MessageType::Response);
    assert!(!read.metadata.recursion_available && !read.metadata.authentic_data);
    assert!(!read.metadata.truncation || read.answers.is_empty(), "a part of an answer");
    if let [question] = &read.queries[..] {
        let end = HEADER + question.name().len() + 4;
        assert_eq!(reply.get(HEADER..end), wire.get(HEADER..end), "the question as it was asked");
    }
}
