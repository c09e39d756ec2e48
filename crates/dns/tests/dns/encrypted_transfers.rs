//! Transfers over TLS (RFC 9103) and QUIC (RFC 9250): the same messages as over TCP; none over HTTPS.

use std::sync::Arc;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::SOA;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use holdfast_core::view::{Answers, Pick};
use holdfast_dns::{DnsConfig, Transport};
use hyper::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::copies::{given, transfers};
use crate::encrypted::{
    address, client, config, fetch, https, issue, post, quic, shake_hands, stream,
};
use crate::fixture::{a, decode, message, name, sets};
use crate::sockets::{Running, framed, read_tcp, start};

const APEX: &str = "example.test.";
/// More names than one message of a transfer holds.
const CROWD: usize = 1_000;

/// A view whose zone is given to this machine.
fn large(serial: u32, shop: u8) -> Answers {
    let mut answers = given(serial, b"a secret of transfers", false);
    let own = |last| sets(Pick::All, &[vec![a(last)]]);
    answers.names.insert(name("shop.example.test"), own(shop));
    for number in 0..CROWD {
        answers.names.insert(name(&format!("h{number}.example.test")), own(1));
    }
    answers
}

fn request(kind: RecordType, since: Option<u32>) -> Vec<u8> {
    let mut message = message(APEX, kind, None);
    message.metadata.id = 0;
    if let Some(serial) = since {
        let soa = RData::SOA(SOA::new(Name::root(), Name::root(), serial, 0, 0, 0, 0));
        message.add_authority(Record::from_rdata(Name::from_ascii(APEX).expect("valid"), 0, soa));
    }
    message.to_vec().expect("can be encoded")
}

/// The serials of the SOA records, in their order.
fn serials(messages: &[Message]) -> Vec<u32> {
    let serial = |record: &Record| match &record.data {
        RData::SOA(soa) => Some(soa.serial),
        _ => None,
    };
    messages.iter().flat_map(|message| &message.answers).filter_map(serial).collect()
}

/// Asks, and reads on until so many SOA records have come.
async fn copied(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    wire: &[u8],
    soas: usize,
) -> Vec<Message> {
    stream.write_all(&framed(wire)).await.expect("sends");
    let mut messages = Vec::new();
    while serials(&messages).len() < soas {
        messages.push(read_tcp(&mut stream).await.expect("a message"));
    }
    messages
}

/// The messages of a whole stream.
fn unframed(mut bytes: &[u8]) -> Vec<Message> {
    let mut messages = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk() {
        let (message, rest) = rest.split_at(usize::from(u16::from_be_bytes(*length)));
        messages.push(decode(message));
        bytes = rest;
    }
    messages
}

/// A server that changes the zone once.
async fn giving(directory: &std::path::Path) -> Running {
    let config = DnsConfig { streams: Some(Arc::new(transfers())), ..config(directory) };
    let running = start(config).await.expect("starts");
    running.publisher.publish(Arc::new(large(7, 1)));
    running.publisher.publish(Arc::new(large(8, 2)));
    running
}

#[tokio::test]
async fn zones_and_increments_are_the_same_over_tcp_tls_and_quic() {
    let directory = tempfile::tempdir().expect("a directory");
    issue(directory.path());
    let running = giving(directory.path()).await;
    let (_endpoint, connection) = quic(&running, directory.path()).await;
    for (wire, expected, least) in [
        (request(RecordType::AXFR, None), vec![8, 8], CROWD),
        (request(RecordType::IXFR, Some(7)), vec![8, 7, 8, 8], 2),
    ] {
        let tcp = TcpStream::connect(running.address()).await.expect("connects");
        let tcp = copied(tcp, &wire, expected.len()).await;
        assert_eq!(serials(&tcp), expected);
        let records: usize = tcp.iter().map(|message| message.answers.len()).sum();
        assert!(records >= least + expected.len(), "{records} records");
        assert_eq!(tcp.len() > 1, least == CROWD, "{} messages", tcp.len());

        let server = address(&running, Transport::Tls);
        let tls = shake_hands(server, client(directory.path(), b"dot")).await.expect("agrees");
        assert_eq!(copied(tls, &wire, expected.len()).await, tcp, "over TLS");
        let whole = stream(&connection, &framed(&wire)).await.expect("a reply");
        assert_eq!(unframed(&whole), tcp, "over QUIC");
    }
    running.stop().await;
}

#[tokio::test]
async fn https_carries_no_transfers() {
    let directory = tempfile::tempdir().expect("a directory");
    issue(directory.path());
    let running = giving(directory.path()).await;
    let mut http = https(&running, directory.path()).await;
    for wire in [request(RecordType::AXFR, None), request(RecordType::IXFR, Some(7))] {
        let asked = post("application/dns-message", wire);
        let (status, _, body) = fetch(&mut http, asked).await;
        assert_eq!(status, StatusCode::OK);
        let reply = decode(&body);
        assert_eq!((reply.response_code, reply.answers.len()), (ResponseCode::Refused, 0));
    }
    running.stop().await;
}
