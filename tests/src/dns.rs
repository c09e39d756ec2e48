//! Asks DNS servers, over UDP, as any client does.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};

use crate::lab::Host;

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_millis(500);

/// What a server said to a question for IPv4 addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Such as NOERROR.
    pub code: ResponseCode,
    /// The addresses, sorted.
    pub addresses: Vec<Ipv4Addr>,
}

impl Answer {
    /// NOERROR with these addresses.
    pub fn of(addresses: &[Ipv4Addr]) -> Self {
        let mut addresses = addresses.to_vec();
        addresses.sort_unstable();
        Self { code: ResponseCode::NoError, addresses }
    }

    /// SERVFAIL.
    pub fn refused() -> Self {
        Self { code: ResponseCode::ServFail, addresses: Vec::new() }
    }
}

/// Asks `server`, from `host`, for the IPv4 addresses of `name`. Errors: no answer in time.
pub fn ask(host: &Host, server: Ipv4Addr, name: &str) -> Result<Answer> {
    let name = Name::from_ascii(format!("{name}."))?;
    host.inside(|| exchange((server, 53).into(), name))
}

/// Asks `server`, from `host`, for the serial of a zone. Errors: no answer in time, or none with an SOA.
pub fn serial(host: &Host, server: Ipv4Addr, zone: &str) -> Result<u32> {
    let name = Name::from_ascii(format!("{zone}."))?;
    let answer =
        host.inside(|| converse((server, 53).into(), Query::query(name, RecordType::SOA)))?;
    let soa = answer.answers.iter().find_map(|record| match &record.data {
        RData::SOA(soa) => Some(soa.serial),
        _ => None,
    });
    soa.ok_or_else(|| anyhow!("no SOA in {answer:?}"))
}

fn exchange(server: SocketAddr, name: Name) -> Result<Answer> {
    let answer = converse(server, Query::query(name, RecordType::A))?;
    let mut addresses: Vec<Ipv4Addr> = answer
        .answers
        .iter()
        .filter_map(|record| match record.data {
            RData::A(address) => Some(address.0),
            _ => None,
        })
        .collect();
    addresses.sort_unstable();
    Ok(Answer { code: answer.metadata.response_code, addresses })
}

fn converse(server: SocketAddr, question: Query) -> Result<Message> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect(server)?;
    let mut query = Message::query();
    query.metadata.id = socket.local_addr()?.port();
    query.add_query(question);
    socket.send(&query.to_vec()?)?;
    let mut buffer = [0_u8; 4096];
    let size = socket.recv(&mut buffer)?;
    let answer = Message::from_vec(&buffer[..size])?;
    if answer.metadata.id != query.metadata.id {
        bail!("an answer to another question");
    }
    Ok(answer)
}
