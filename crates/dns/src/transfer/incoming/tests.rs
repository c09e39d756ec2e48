use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, MX, NS, NULL, SOA, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use holdfast_core::copied::Copied;
use holdfast_core::spec::{NameServer, RecordData, Soa, Zone};
use holdfast_core::{DnsName, Timestamp};

use super::*;

const ID: u16 = 77;

fn name(text: &str) -> DnsName {
    DnsName::new(text).expect("valid")
}

fn wire(text: &str) -> Name {
    Name::from_ascii(text).expect("valid")
}

fn record(owner: &str, data: RData) -> Record {
    Record::from_rdata(wire(owner), 60, data)
}

fn soa(serial: u32) -> Record {
    let soa = SOA::new(wire("ns1.example.test."), wire("admin.example.test."), serial, 1, 2, 3, 4);
    record("example.test.", RData::SOA(soa))
}

fn ns() -> Record {
    record("example.test.", RData::NS(NS(wire("ns1.example.test."))))
}

fn a(owner: &str, last: u8) -> Record {
    record(owner, RData::A(A([192, 0, 2, last].into())))
}

fn www(last: u8) -> Record {
    a("www.example.test.", last)
}

fn message(kind: RecordType, records: &[Record]) -> Message {
    let mut message = Message::new(ID, MessageType::Response, OpCode::Query);
    message.add_query(Query::query(wire("example.test."), kind));
    message.add_answers(records.iter().cloned());
    message
}

fn bytes(kind: RecordType, records: &[Record]) -> Vec<u8> {
    message(kind, records).to_vec().expect("short")
}

/// The copy of serial 10.
fn known() -> Copied {
    let second = Duration::from_secs(1);
    let (mailbox, refresh) = (name("admin.example.test"), second);
    let soa = Soa { mailbox, refresh, retry: second, expire: second, negative_ttl: second };
    let server = NameServer { name: name("ns1.example.test"), addresses: Vec::new() };
    let mut zone = Zone::new(name("example.test"), soa, vec![server], 60 * second);
    for (owner, last) in [("ns1.example.test", 53), ("www.example.test", 1)] {
        let data = RecordData::A([192, 0, 2, last].into());
        zone.records.push(holdfast_core::spec::Record {
            name: name(owner),
            ttl: 60 * second,
            data,
        });
    }
    let mname = zone.mname().clone();
    Copied { index: 9, at: Timestamp(1), serial: Some(10), from: None, mname, zone: Arc::new(zone) }
}

fn from() -> SocketAddr {
    "192.0.2.9:53".parse().expect("an address")
}

/// What the messages amount to, each given as its records.
fn run(wanted: Wanted, messages: &[&[Record]]) -> Result<Option<Received>, String> {
    let kind = match wanted {
        Wanted::Whole => RecordType::AXFR,
        Wanted::Since(..) => RecordType::IXFR,
    };
    let mut incoming = Incoming::new(name("example.test"), ID, wanted);
    let mut progress = Progress::Open;
    for records in messages {
        assert_eq!(progress, Progress::Open, "it ended before the last message");
        progress = incoming.take(&bytes(kind, records)).map_err(|fault| fault.to_string())?;
    }
    if progress == Progress::Open {
        return Err("open".to_owned());
    }
    incoming.finish().map_err(|fault| fault.to_string())
}

fn whole(messages: &[&[Record]]) -> Result<Option<Received>, String> {
    run(Wanted::Whole, messages)
}

fn since(messages: &[&[Record]]) -> Result<Option<Received>, String> {
    run(Wanted::Since(10, known().records()), messages)
}

/// The addresses of www that were received.
fn addresses(received: &Received) -> Vec<RecordData> {
    let own = |(owner, _): &&(DnsName, RecordData)| *owner == name("www.example.test");
    received.records().keys().filter(own).map(|(_, data)| data.clone()).collect()
}

fn ip(last: u8) -> RecordData {
    RecordData::A([192, 0, 2, last].into())
}

#[test]
fn a_zone_comes_in_one_message_or_many() {
    let all = [soa(11), ns(), a("ns1.example.test.", 53), www(2), soa(11)];
    let one = whole(&[&all]).expect("whole").expect("newer");
    let each: Vec<&[Record]> = all.chunks(1).collect();
    assert_eq!(whole(&each), Ok(Some(one.clone())));
    assert_eq!(since(&each), Ok(Some(one.clone())), "a whole zone in place of an increment");
    assert_eq!((one.serial(), addresses(&one)), (11, vec![ip(2)]));

    let fetched = one.since(Some(&known()), from());
    let told = |records: &[holdfast_core::spec::Record]| -> Vec<String> {
        records.iter().map(|r| format!("{} {}", r.name, r.data)).collect()
    };
    assert_eq!((fetched.since, fetched.serial), (9, 11));
    assert_eq!(told(&fetched.removed), ["www.example.test 192.0.2.1"]);
    assert_eq!(told(&fetched.added), ["www.example.test 192.0.2.2"]);
}

#[test]
fn an_increment_changes_the_copy_step_by_step() {
    let steps = [
        soa(12),
        soa(10),
        www(1),
        soa(11),
        www(2),
        www(3),
        soa(11),
        www(3),
        soa(12),
        www(4),
        soa(12),
    ];
    let expected = vec![ip(2), ip(4)];
    let one = since(&[&steps]).expect("whole").expect("newer");
    assert_eq!((one.serial(), addresses(&one)), (12, expected));
    let each: Vec<&[Record]> = steps.chunks(1).collect();
    assert_eq!(since(&each), Ok(Some(one)));
    for serial in [9, 10] {
        assert_eq!(since(&[&[soa(serial)]]), Ok(None), "up to date or ahead");
    }
    assert_eq!(since(&[&[soa(11)]]), Err("open".to_owned()), "an SOA alone in the first message");
}

#[test]
fn what_breaks_a_rule_is_worth_nothing() {
    let outside = a("www.example.org.", 1);
    let below = record("www.example.test.", soa(11).data);
    let none: &[Record] = &[];
    for (why, messages) in [
        ("does not begin", &[ns(), soa(11)][..]),
        ("does not belong", &[soa(11), ns(), soa(12)]),
        ("behind the end", &[soa(11), ns(), soa(11), ns()]),
        ("behind the end", &[soa(11), ns(), soa(11), soa(11)]),
        ("outside the zone", &[soa(11), outside]),
        ("not the apex", &[soa(11), below]),
        ("no records", none),
        ("open", &[soa(11), ns(), www(1)]),
    ] {
        let error = whole(&[messages]).expect_err(why);
        assert!(error.contains(why), "{why}: {error}");
    }
    for (why, messages) in [
        ("does not belong", &[soa(12), soa(9), www(1), soa(12), soa(12)][..]),
        ("does not belong", &[soa(12), soa(12)]),
        ("was not there", &[soa(12), soa(10), www(7)]),
        ("does not belong", &[soa(12), soa(10), www(1), soa(10)]),
        ("does not belong", &[soa(12), soa(10), soa(11), www(2), soa(12)]),
        ("open", &[soa(12), soa(10), www(1), soa(11), www(2)]),
    ] {
        let error = since(&[messages]).expect_err(why);
        assert!(error.contains(why), "{why}: {error}");
    }
}

#[test]
fn what_does_not_answer_the_question_is_refused() {
    type Change = fn(&mut Message);
    let changes: [(&str, Change); 5] = [
        ("is no answer", |message| message.metadata.id = ID + 1),
        ("is no answer", |message| message.metadata.message_type = MessageType::Query),
        ("is no answer", |message| message.metadata.truncation = true),
        ("Refused", |message| message.metadata.response_code = ResponseCode::Refused),
        ("another question", |message| {
            message.queries[0] = Query::query(wire("example.org."), RecordType::AXFR);
        }),
    ];
    for (why, change) in changes {
        let mut message = message(RecordType::AXFR, &[soa(11), ns(), soa(11)]);
        change(&mut message);
        let mut incoming = Incoming::new(name("example.test"), ID, Wanted::Whole);
        let bytes = message.to_vec().expect("short");
        let fault = incoming.take(&bytes).expect_err(why).to_string();
        assert!(fault.to_lowercase().contains(&why.to_lowercase()), "{why}: {fault}");
    }
    let mut incoming = Incoming::new(name("example.test"), ID, Wanted::Whole);
    assert!(incoming.take(&[0; 11]).is_err());
}

#[test]
fn data_of_every_shape_come_in_as_they_are_declared() {
    let unknown = |kind: u16, data: &[u8]| RData::Unknown {
        code: RecordType::from(kind),
        rdata: NULL::with(data.to_vec()),
    };
    let rows = [
        record("example.test.", RData::MX(MX::new(10, wire("mx.example.test.")))),
        record("t.example.test.", RData::TXT(TXT::new(vec!["a b".to_owned(), "c".to_owned()]))),
        record("n.example.test.", unknown(35, b"\0\x01\0\x02\x01u\x03sip\0\x02ab\x04test\0")),
        record("c.example.test.", unknown(257, b"\0\x05issueca.test")),
        record("s.example.test.", unknown(64, b"\0\x01\0\0\x01\0\x03\x02h2")),
        record("x.example.test.", unknown(4242, b"\x01\x02")),
    ];
    let mut all = vec![soa(11)];
    all.extend(rows);
    all.push(soa(11));
    let received = whole(&[&all]).expect("whole").expect("newer");
    let told: Vec<String> = received
        .records()
        .keys()
        .map(|(owner, data)| format!("{owner} {} {data}", data.kind()))
        .collect();
    let naptr = r"n.example.test NAPTR \# 20 00010002 01750373697000 026162047465737400";
    let told: Vec<String> = told.iter().map(|text| text.replace(' ', "")).collect();
    for expected in [
        "example.test MX 10 mx.example.test",
        "t.example.test TXT \"a b\" \"c\"",
        "c.example.test CAA 0 issue \"ca.test\"",
        "s.example.test SVCB 1 . alpn=\"h2\"",
        r"x.example.test TYPE4242 \# 2 0102",
        naptr,
    ] {
        let found =
            told.iter().any(|text| text.replace('.', "") == expected.replace([' ', '.'], ""));
        assert!(found, "{expected} is not in {told:?}");
    }
}

#[test]
fn names_that_nobody_can_declare_are_named() {
    let owner = Name::from_labels([&b"a.b"[..], b"example", b"test"]).expect("possible");
    let odd = Record::from_rdata(owner, 60, www(1).data);
    let error = whole(&[&[soa(11), odd]]).expect_err("it cannot be held");
    assert!(error.contains(r"a\046b.example.test"), "{error}");
    assert_eq!(whole(&[&[soa(11), ns(), soa(11)]]).map(|found| found.is_some()), Ok(true));
}
