//! A small view, and questions to it.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Edns, Message, OpCode, Query};
use hickory_proto::rr::{DNSClass, Name, RecordType};
use holdfast_core::seam::Clock;
use holdfast_core::spec::{NameServer, RecordData, Soa, Zone};
use holdfast_core::steer::Shares;
use holdfast_core::view::{Answers, NameAnswers, Pick, RecordSet, ZoneAnswers};
use holdfast_core::{DnsName, Epoch, GroupId, SharedMap, Timestamp};
use holdfast_dns::{CookieSecret, Cookies, Peer, Responder, Settings, Transport, channel};

pub(crate) fn name(text: &str) -> DnsName {
    DnsName::new(text).expect("a valid name")
}

pub(crate) fn zone() -> Arc<ZoneAnswers> {
    let second = Duration::from_secs(1);
    let soa = Soa { negative_ttl: 5 * second, ..Soa::new(name("hostmaster.example.test")) };
    let server = NameServer { name: name("ns1.example.test"), addresses: vec![] };
    let zone = Zone::new(name("example.test"), soa, vec![server], 300 * second);
    Arc::new(ZoneAnswers::new(zone, 7))
}

pub(crate) fn a(last: u8) -> RecordData {
    RecordData::A(Ipv4Addr::new(192, 0, 2, last))
}

pub(crate) fn sets(pick: Pick, sets: &[Vec<RecordData>]) -> Arc<NameAnswers> {
    let weigh = |records: &Vec<RecordData>| RecordSet {
        ttl: Duration::from_secs(30),
        pick: pick.clone(),
        records: records.iter().map(|data| (data.clone(), 1)).collect(),
    };
    let sets = sets.iter().map(weigh).collect();
    Arc::new(NameAnswers { service: None, epoch: Epoch(0), refused: false, sets })
}

fn text(length: usize) -> RecordData {
    RecordData::Txt(vec![vec![b'x'; length]])
}

/// A view of the zone example.test at a log index.
pub(crate) fn view(index: u64) -> Answers {
    let srv = |number: usize| RecordData::Srv {
        priority: 0,
        weight: 1,
        port: 443,
        target: name(&format!("host{number}.example.test")),
    };
    let many = |count: u8| (1..=count).map(a).collect::<Vec<_>>();
    let pair = [vec![a(1), a(2)], vec![v6(1), v6(2)]];
    let mut names = SharedMap::from([
        (name("shop.example.test"), sets(Pick::All, &[vec![a(1)]])),
        (
            name("www.example.test"),
            sets(Pick::All, &[vec![RecordData::Cname(name("shop.example.test"))]]),
        ),
        (name("pair.example.test"), sets(Pick::Weighted(Shares::new([1, 1])), &pair)),
        // 40 texts of 100 bytes never fit a datagram; 7 fit one with EDNS only.
        (name("huge.example.test"), sets(Pick::All, &[(0..40).map(|_| text(100)).collect()])),
        (name("large.example.test"), sets(Pick::All, &[(0..7).map(|_| text(100)).collect()])),
        (name("crowd.example.test"), sets(Pick::All, &[many(200)])),
        (name("_srv._tcp.example.test"), sets(Pick::All, &[(0..8).map(srv).collect()])),
        (name("*.wild.example.test"), sets(Pick::All, &[vec![a(42)]])),
        (
            name("at.index.example.test"),
            sets(Pick::All, &[vec![RecordData::Txt(vec![index.to_string().into()])]]),
        ),
    ]);
    for number in 0..8 {
        names.insert(
            name(&format!("host{number}.example.test")),
            sets(Pick::All, &[many(4), vec![v6(number)]]),
        );
    }
    Answers {
        group: GroupId(3),
        generation: 1,
        index,
        zones: [(name("example.test"), zone())].into(),
        names,
        ..Answers::default()
    }
}

pub(crate) fn v6(last: u16) -> RecordData {
    RecordData::Aaaa([0x2001, 0xdb8, 0, 0, 0, 0, 0, last].into())
}

/// A clock that stands still.
pub(crate) struct Still(pub(crate) u64);

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp(self.0)
    }
}

/// Cookies of one secret at a time in 2033.
pub(crate) fn cookies() -> Cookies {
    Cookies::new(&[CookieSecret::new([7; 16])], Arc::new(Still(2_000_000_000_000)))
}

pub(crate) fn udp() -> Peer {
    Peer { address: ([198, 51, 100, 9], 40_000).into(), transport: Transport::Udp }
}

pub(crate) fn tcp() -> Peer {
    Peer { transport: Transport::Tcp, ..udp() }
}

pub(crate) fn responder_with(settings: Settings, view: Option<Answers>) -> Responder {
    let (publisher, source) = channel();
    if let Some(view) = view {
        publisher.publish(Arc::new(view));
    }
    let mut responder = Responder::new(source, Arc::new(settings), Arc::default());
    responder.acquire();
    responder
}

pub(crate) fn responder() -> Responder {
    responder_with(Settings::default(), Some(view(7)))
}

/// A query with id 0x1234 and RD.
pub(crate) fn message(owner: &str, kind: RecordType, edns: Option<u16>) -> Message {
    let mut message = Message::new(0x1234, hickory_proto::op::MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    let mut query = Query::query(Name::from_ascii(owner).expect("a valid name"), kind);
    query.set_query_class(DNSClass::IN);
    message.add_query(query);
    message.edns = edns.map(|payload| {
        let mut edns = Edns::new();
        edns.set_max_payload(payload);
        edns
    });
    message
}

pub(crate) fn query(owner: &str, kind: RecordType, edns: Option<u16>) -> Vec<u8> {
    message(owner, kind, edns).to_vec().expect("a query can be encoded")
}

/// A query made by [`query`] with EDNS, and these options in its OPT.
pub(crate) fn with_options(mut wire: Vec<u8>, options: &[(u16, &[u8])]) -> Vec<u8> {
    let mut data = Vec::new();
    for (code, option) in options {
        data.extend(code.to_be_bytes());
        data.extend(u16::try_from(option.len()).expect("short").to_be_bytes());
        data.extend_from_slice(option);
    }
    let length = wire.len();
    wire[length - 2..].copy_from_slice(&u16::try_from(data.len()).expect("short").to_be_bytes());
    wire.extend(data);
    wire
}

/// The options of a reply whose OPT is its last record, as it must be.
pub(crate) fn options_of(reply: &[u8]) -> Vec<(u16, Vec<u8>)> {
    let edns = decode(reply).edns.expect("an OPT");
    let encoded = edns.options().as_ref().len();
    let starts = (12..reply.len() - 10).rev().find(|at| {
        let length = usize::from(u16::from_be_bytes([reply[at + 9], reply[at + 10]]));
        reply[*at..at + 3] == [0, 0, 41] && at + 11 + length == reply.len()
    });
    let mut rest = &reply[starts.expect("the OPT is the last record") + 11..];
    let mut options = Vec::new();
    while let Some((head, tail)) = rest.split_first_chunk::<4>() {
        let [code, length] = [[head[0], head[1]], [head[2], head[3]]].map(u16::from_be_bytes);
        let (data, tail) = tail.split_at(usize::from(length));
        options.push((code, data.to_vec()));
        rest = tail;
    }
    assert_eq!(options.len(), encoded, "hickory sees the same options");
    options
}

/// Sends bytes to a responder; `None` for silence.
pub(crate) fn exchange(responder: &mut Responder, wire: &[u8], peer: Peer) -> Option<Vec<u8>> {
    let mut reply = Vec::new();
    responder.respond(wire, peer, &mut reply).then_some(reply)
}

pub(crate) fn decode(reply: &[u8]) -> Message {
    Message::from_vec(reply).expect("hickory reads every reply")
}

/// Asks and decodes.
pub(crate) fn ask(owner: &str, kind: RecordType, edns: Option<u16>, peer: Peer) -> Message {
    let reply = exchange(&mut responder(), &query(owner, kind, edns), peer);
    decode(&reply.expect("an answer"))
}
