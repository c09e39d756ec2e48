use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _};
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::SOA;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use holdfast_core::answer::{self, AnswerData};
use holdfast_core::spec::{NameServer, RecordData, Soa, Transfer, Zone};
use holdfast_core::steer::{Client, Shares};
use holdfast_core::tsig::{TsigAlgorithm, TsigKey};
use holdfast_core::view::{Answers, NameAnswers, Pick, RecordSet, ZoneAnswers};
use holdfast_core::{DnsName, Epoch};
use holdfast_seal::{Sealer, SealingKeys};
use metrics_exporter_prometheus::PrometheusBuilder;

use super::aliases::Aliases;
use super::*;
use crate::handler::Settings;
use crate::metric;
use crate::publish::{AnswersSource, Publisher, channel};
use crate::rate_limit::RateLimit;
use crate::respond::{Peer, Responder, Transport};
use crate::streams::{Special, Streams as _};
use crate::testing::{Counting, NOW, Still, name};
use crate::tsig::{Found, Keyring, Signer, Verifier, find};

const SECRET: &[u8] = b"a secret of transfers";

fn sealing() -> SealingKeys {
    SealingKeys::new([[7; 32]])
}

fn zone(serial: u32) -> Arc<ZoneAnswers> {
    let second = Duration::from_secs(1);
    let soa = Soa { negative_ttl: 5 * second, ..Soa::new(name("hostmaster.example.test")) };
    let server = NameServer { name: name("ns1.example.test"), addresses: vec![] };
    let transfer = Transfer {
        allow: vec!["198.51.100.0/24".parse().expect("valid")],
        keys: vec![name("key.test")],
        notify: vec![],
    };
    let zone = Zone::new(name("example.test"), soa, vec![server], 300 * second);
    let zone = Zone { transfer, ..zone };
    Arc::new(ZoneAnswers::new(zone, serial))
}

fn a(last: u8) -> RecordData {
    RecordData::A(Ipv4Addr::new(192, 0, 2, last))
}

fn set(pick: Pick, records: &[RecordData]) -> RecordSet {
    let records = records.iter().enumerate();
    RecordSet {
        ttl: Duration::from_secs(30),
        pick,
        records: records.map(|(place, data)| (data.clone(), place as u32)).collect(),
    }
}

fn here(sets: Vec<RecordSet>) -> Arc<NameAnswers> {
    Arc::new(NameAnswers { service: None, epoch: Epoch(0), refused: false, sets })
}

/// A view in which shop.example.test has one address, and `crowd` names are beside it.
fn view(serial: u32, shop: u8, crowd: usize) -> Answers {
    let sealer = Sealer::new(sealing(), Arc::new(Counting::default()));
    let secret = sealer.seal(SECRET, &TsigKey::context(&name("key.test"))).expect("short");
    let key = TsigKey { algorithm: TsigAlgorithm::HmacSha256, secret };
    let aliases = ["one", "two"].map(|l| RecordData::Cname(name(&format!("{l}.example.test"))));
    let mut answers = Answers {
        index: u64::from(serial),
        zones: [(name("example.test"), zone(serial))].into(),
        tsig_keys: Arc::new([(name("key.test"), key)].into()),
        names: [
            (name("shop.example.test"), here(vec![set(Pick::All, &[a(shop)])])),
            (
                name("many.example.test"),
                here(vec![set(Pick::Weighted(Shares::new([1; 3])), &[a(1), a(2), a(3)])]),
            ),
            (
                name("alias.example.test"),
                here(vec![set(Pick::Weighted(Shares::new([1; 2])), &aliases)]),
            ),
            (name("other.test"), here(vec![set(Pick::All, &[a(9)])])),
        ]
        .into(),
        ..Answers::default()
    };
    for number in 0..crowd {
        let owner = name(&format!("h{number}.example.test"));
        answers.names.insert(owner, here(vec![set(Pick::All, &[a(1), a(2)])]));
    }
    answers
}

struct Stage {
    publisher: Publisher,
    source: AnswersSource,
    transfers: Transfers,
}

impl Stage {
    fn new(view: Answers) -> Self {
        let (publisher, source) = channel();
        publisher.publish(Arc::new(view));
        Self { publisher, source, transfers: Transfers::new(sealing(), Arc::new(Still)) }
    }

    fn stream(&self, message: &[u8]) -> Vec<Vec<u8>> {
        let published = self.source.current();
        let messages = self.transfers.reply(message, peer(Transport::Tcp), published.as_ref());
        messages.expect("is special").collect().now_or_never().expect("waits for nothing")
    }

    fn datagram(&self, message: &[u8]) -> Vec<u8> {
        let published = self.source.current();
        match self.transfers.special(message, peer(Transport::Udp), published.as_ref()) {
            Special::Reply(reply) => reply,
            other => panic!("{other:?}"),
        }
    }
}

fn peer(transport: Transport) -> Peer {
    Peer { address: ([198, 51, 100, 9], 40_000).into(), transport }
}

fn request(kind: RecordType, serial: Option<u32>) -> Vec<u8> {
    let mut message = Message::new(0x1234, MessageType::Query, OpCode::Query);
    let apex = Name::from_ascii("example.test.").expect("valid");
    message.add_query(Query::query(apex.clone(), kind));
    if let Some(serial) = serial {
        let soa = SOA::new(Name::root(), Name::root(), serial, 0, 0, 0, 0);
        message.add_authority(Record::from_rdata(apex, 0, RData::SOA(soa)));
    }
    message.to_vec().expect("encodes")
}

fn signer() -> Signer {
    let mut keys = Keyring::default();
    keys.insert(name("key.test"), TsigAlgorithm::HmacSha256, SECRET);
    Signer::of_request(Arc::clone(keys.get(&name("key.test")).expect("there")))
}

fn signed(mut message: Vec<u8>) -> (Vec<u8>, Verifier) {
    let mut signer = signer();
    signer.sign(&mut message, NOW);
    (message, Verifier::after(signer))
}

/// Asks under the key, and returns the records of all messages, whose signatures are right.
fn transferred(stage: &Stage, request: Vec<u8>) -> Vec<Record> {
    let (message, mut verifier) = signed(request);
    let replies = stage.stream(&message);
    let mut records = Vec::new();
    for (number, reply) in replies.iter().enumerate() {
        assert!(reply.len() <= 16 * 1024, "message {number} has {} bytes", reply.len());
        verifier.take(reply, number + 1 == replies.len(), NOW).expect("is signed");
        let Found::Signed(tsig) = find(reply) else { panic!("not signed") };
        let mut bare = reply[..tsig.at].to_vec();
        bare[11] -= 1;
        let parsed = Message::from_vec(&bare).expect("decodes");
        assert!(parsed.metadata.authoritative && parsed.metadata.id == 0x1234);
        assert_eq!(parsed.response_code, ResponseCode::NoError);
        assert_eq!(parsed.queries.len(), usize::from(number == 0));
        records.extend(parsed.answers);
    }
    records
}

fn texts(records: &[Record]) -> Vec<String> {
    records.iter().map(|record| format!("{} {}", record.name, record.data)).collect()
}

fn serial_of(record: &Record) -> Option<u32> {
    match &record.data {
        RData::SOA(soa) => Some(soa.serial),
        _ => None,
    }
}

#[test]
fn a_whole_zone_stands_between_two_soas() {
    let records = transferred(&Stage::new(view(7, 1, 0)), request(RecordType::AXFR, None));
    assert_eq!(records.first().and_then(serial_of), Some(7));
    assert_eq!(records.last().and_then(serial_of), Some(7));
    let inner = texts(&records[1..records.len() - 1]);
    assert_eq!(
        inner,
        [
            "example.test. ns1.example.test.",
            "alias.example.test. two.example.test.",
            "many.example.test. 192.0.2.1",
            "many.example.test. 192.0.2.2",
            "many.example.test. 192.0.2.3",
            "shop.example.test. 192.0.2.1",
        ]
    );
}

#[test]
fn a_large_zone_comes_in_many_messages_once_each() {
    let stage = Stage::new(view(7, 1, 5000));
    let (message, _) = signed(request(RecordType::AXFR, None));
    let messages = stage.stream(&message).len();
    assert!(messages > 5, "{messages}");
    let records = transferred(&stage, request(RecordType::AXFR, None));
    let distinct: BTreeSet<String> = texts(&records).into_iter().collect();
    assert_eq!((records.len(), distinct.len()), (2 + 6 + 10_000, 1 + 6 + 10_000));
}

#[test]
fn an_increment_says_what_went_and_what_came() {
    let stage = Stage::new(view(7, 1, 5000));
    stage.publisher.publish(Arc::new(view(8, 2, 5000)));
    stage.publisher.publish(Arc::new(view(9, 3, 5000)));
    for (since, gone) in [(7, "192.0.2.1"), (8, "192.0.2.2")] {
        let records = transferred(&stage, request(RecordType::IXFR, Some(since)));
        let serials: Vec<_> = records.iter().map(serial_of).collect();
        assert_eq!(serials, [Some(9), Some(since), None, Some(9), None, Some(9)]);
        assert_eq!(texts(&records)[2], format!("shop.example.test. {gone}"));
        assert_eq!(texts(&records)[4], "shop.example.test. 192.0.2.3");
    }
}

/// A view in which names of the zone lead to other.test, which has one address.
fn aliased_view(serial: u32, leading: &[&str], to: u8) -> Answers {
    let mut answers = view(serial, 1, 5000);
    for label in leading {
        let alias = set(Pick::All, &[RecordData::Alias(name("other.test"))]);
        answers.names.insert(name(&format!("{label}.example.test")), here(vec![alias]));
    }
    answers.names.insert(name("other.test"), here(vec![set(Pick::All, &[a(to)])]));
    let soa = Soa::new(name("hostmaster.other.test"));
    let other = Zone::new(name("other.test"), soa, vec![], Duration::ZERO);
    answers.zones.insert(name("other.test"), Arc::new(ZoneAnswers::new(other, serial)));
    answers
}

#[test]
fn an_increment_follows_aliases_and_looks_at_no_other_names() {
    let stage = Stage::new(aliased_view(7, &["www", "h1"], 9));
    stage.publisher.publish(Arc::new(aliased_view(8, &["www", "h1"], 8)));
    let records = transferred(&stage, request(RecordType::IXFR, Some(7)));
    assert_eq!(
        texts(&records[2..4]),
        ["h1.example.test. 192.0.2.9", "www.example.test. 192.0.2.9"]
    );
    assert_eq!(
        texts(&records[5..7]),
        ["h1.example.test. 192.0.2.8", "www.example.test. 192.0.2.8"]
    );
    let published = stage.source.current().expect("published");
    let aliases = published.history().aliases().expect("known");
    let looked_at: Vec<_> = aliases.within(&name("example.test")).map(DnsName::as_str).collect();
    assert_eq!(looked_at, ["h1.example.test", "www.example.test"], "of 5,000 names");
}

#[test]
fn a_zone_of_too_many_aliases_is_transferred_as_a_whole() {
    for (aliases, expected) in [(1_000, 4 + 2 * 1_000), (1_001, 2 + 6 + 10_000 + 1_001)] {
        let labels: Vec<String> = (0..aliases).map(|number| format!("alias{number}")).collect();
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        let stage = Stage::new(aliased_view(7, &labels, 9));
        stage.publisher.publish(Arc::new(aliased_view(8, &labels, 8)));
        let records = transferred(&stage, request(RecordType::IXFR, Some(7)));
        assert_eq!(records.len(), expected, "{aliases} aliases");
    }
}

#[test]
fn aliases_are_known_the_same_bit_by_bit_and_at_once() {
    let views = [&["www"][..], &["www", "h1"], &["h2"], &[], &["h1"]];
    let mut older = aliased_view(1, &[], 1);
    let mut known = Aliases::of(&older);
    for (serial, leading) in (2..).zip(views) {
        let newer = aliased_view(serial, leading, 1);
        known = known.after(&older, &newer);
        assert_eq!(known, Aliases::of(&newer), "{leading:?}");
        assert_eq!(known.within(&name("example.test")).count(), leading.len());
        older = newer;
    }
}

#[test]
fn whoever_is_up_to_date_or_ahead_gets_the_soa_and_whoever_is_too_old_everything() {
    let stage = Stage::new(view(9, 1, 0));
    for since in [9, 10] {
        let records = transferred(&stage, request(RecordType::IXFR, Some(since)));
        assert_eq!(records.iter().map(serial_of).collect::<Vec<_>>(), [Some(9)], "{since}");
    }
    for since in [3, 0x9000_0000] {
        let records = transferred(&stage, request(RecordType::IXFR, Some(since)));
        assert_eq!(records.len(), 8, "{since}");
    }
}

#[test]
fn what_was_given_is_counted_as_what_it_was() {
    let recorder = PrometheusBuilder::new().build_recorder();
    metrics::with_local_recorder(&recorder, || {
        let stage = Stage::new(view(7, 1, 0));
        stage.publisher.publish(Arc::new(view(8, 2, 0)));
        transferred(&stage, request(RecordType::AXFR, None));
        for since in [3, 7, 7, 7, 8, 8] {
            transferred(&stage, request(RecordType::IXFR, Some(since)));
        }
        let in_datagram = |since| {
            stage.datagram(&signed(request(RecordType::IXFR, Some(since))).0);
        };
        [7, 8, 3].into_iter().for_each(in_datagram);
    });
    let text = recorder.handle().render();
    for (kind, result, times) in [
        ("axfr", "whole", 1),
        ("ixfr", "whole", 1),
        ("ixfr", "increment", 3 + 1),
        ("ixfr", "soa", 2 + 2),
    ] {
        let line =
            format!("{}{{kind=\"{kind}\",result=\"{result}\"}} {times}\n", metric::TRANSFERS);
        assert!(text.contains(&line), "{line}{text}");
    }
}

#[test]
fn an_alias_is_copied_as_it_is_answered() {
    let mut answers = view(7, 1, 0);
    let mut insert = |owner: &str, ttl: u64, data: &[RecordData]| {
        let ttl = Duration::from_secs(ttl);
        answers.names.insert(name(owner), here(vec![RecordSet { ttl, ..set(Pick::All, data) }]));
    };
    for (owner, target) in [
        ("brief.example.test", "quick.example.test"),
        ("deep.example.test", "any.name.apps.example.test"),
        ("renamed.example.test", "shop.old.example.test"),
        ("beyond.example.test", "host.lab.example.test"),
        ("nowhere.example.test", "missing.example.test"),
    ] {
        insert(owner, 60, &[RecordData::Alias(name(target))]);
    }
    insert("quick.example.test", 5, &[a(5)]);
    insert("*.apps.example.test", 90, &[a(6), a(7)]);
    insert("old.example.test", 20, &[RecordData::Dname(name("example.test"))]);
    insert("lab.example.test", 90, &[RecordData::Ns(name("ns.lab.example.test"))]);
    insert("host.lab.example.test", 90, &[a(8)]);
    let records = transferred(&Stage::new(answers.clone()), request(RecordType::AXFR, None));
    let client = Client::anybody(0);
    for (owner, expected) in [
        ("brief.example.test", &[(5, "192.0.2.5")][..]),
        ("deep.example.test", &[(60, "192.0.2.6"), (60, "192.0.2.7")]),
        ("renamed.example.test", &[(20, "192.0.2.1")]),
        ("beyond.example.test", &[]),
        ("nowhere.example.test", &[]),
    ] {
        let copied = records.iter().filter(|record| record.name.to_ascii() == format!("{owner}."));
        let copied: Vec<_> = copied.map(|r| (u64::from(r.ttl), r.data.to_string())).collect();
        let answer = answer::answer(&answers, &name(owner), answer::Kind::A, &client).answers;
        let answered = answer.iter().map(|record| (record.ttl.as_secs(), text_of(&record.data)));
        assert_eq!(copied, answered.collect::<Vec<_>>(), "{owner}");
        let expected: Vec<_> = expected.iter().map(|(ttl, ip)| (*ttl, ip.to_string())).collect();
        assert_eq!(copied, expected, "{owner}");
    }
}

fn text_of(data: &AnswerData) -> String {
    match data {
        AnswerData::Record(data) => data.to_string(),
        AnswerData::Soa { .. } => "SOA".to_owned(),
    }
}

#[test]
fn a_datagram_holds_an_increment_that_fits_and_else_the_soa() {
    let stage = Stage::new(view(7, 1, 0));
    stage.publisher.publish(Arc::new(view(8, 2, 0)));
    let (message, mut verifier) = signed(request(RecordType::IXFR, Some(7)));
    let reply = stage.datagram(&message);
    verifier.take(&reply, true, NOW).expect("is signed");
    assert_eq!(u16::from_be_bytes([reply[6], reply[7]]), 6);
    stage.publisher.publish(Arc::new(view(9, 2, 100)));
    let (message, mut verifier) = signed(request(RecordType::IXFR, Some(8)));
    let reply = stage.datagram(&message);
    verifier.take(&reply, true, NOW).expect("is signed");
    assert_eq!(u16::from_be_bytes([reply[6], reply[7]]), 1);
    assert!(reply.len() <= 512);
}

/// A view whose zone is given to addresses, without a key.
fn open_view(serial: u32, shop: u8) -> Answers {
    let mut answers = view(serial, shop, 0);
    let mut open = ZoneAnswers::clone(&zone(serial));
    open.zone.transfer.keys.clear();
    answers.zones.insert(name("example.test"), Arc::new(open));
    answers
}

#[test]
fn an_address_without_a_key_gets_no_increment_in_a_datagram() {
    let stage = Stage::new(open_view(7, 1));
    stage.publisher.publish(Arc::new(open_view(8, 2)));
    let request = request(RecordType::IXFR, Some(7));
    let reply = stage.datagram(&request);
    assert_eq!((code_of(&reply), u16::from_be_bytes([reply[6], reply[7]])), (0, 1), "the SOA");
    let over_tcp = stage.stream(&request);
    assert_eq!(u16::from_be_bytes([over_tcp[0][6], over_tcp[0][7]]), 6, "the increment");
}

#[test]
fn a_forged_flood_of_transfer_requests_is_not_amplified() {
    let Stage { publisher, source, transfers } = Stage::new(open_view(7, 1));
    publisher.publish(Arc::new(open_view(8, 2)));
    let settings = Settings { streams: Some(Arc::new(transfers)), ..Settings::default() };
    let limit = RateLimit { per_prefix: 200, exempt: Vec::new() };
    let mut responder =
        Responder::new(source, Arc::new(settings), Arc::default()).limited(&limit, 1);
    let request = request(RecordType::IXFR, Some(7));
    let (mut out, mut sent, mut received) = (Vec::new(), 0, 0);
    responder.acquire();
    for _ in 0..5_000 {
        sent += request.len();
        if responder.respond(&request, peer(Transport::Udp), &mut out) {
            received += out.len();
        }
    }
    responder.release();
    assert!(received > 0, "nothing was answered, so nothing is shown");
    assert!(received * 2 <= sent * 3, "{sent} bytes became {received}");
}

#[test]
fn a_signed_reply_is_no_longer_than_the_client_takes_and_keeps_its_opt() {
    let Stage { source, transfers, .. } = Stage::new(view(7, 1, 0));
    let settings = Settings { streams: Some(Arc::new(transfers)), ..Settings::default() };
    let mut responder = Responder::new(source, Arc::new(settings), Arc::default());
    let mut message = Message::new(7, MessageType::Query, OpCode::Query);
    let long = Name::from_ascii(format!("{0}.{0}.{0}.example.test.", "x".repeat(60)));
    message.add_query(Query::query(long.expect("valid"), RecordType::TXT));
    let mut edns = Edns::new();
    edns.set_max_payload(512);
    message.edns = Some(edns);
    let (signed, mut verifier) = signed(message.to_vec().expect("encodes"));
    let mut out = Vec::new();
    responder.acquire();
    assert!(responder.respond(&signed, peer(Transport::Udp), &mut out));
    verifier.take(&out, true, NOW).expect("is signed");
    assert!(out.len() <= 512, "{} bytes", out.len());
    let reply = Message::from_vec(&out).expect("a message");
    assert!(reply.edns.is_some(), "the OPT is there");
}

fn code_of(reply: &[u8]) -> u16 {
    u16::from(reply[3] & 0x0f)
}

#[test]
fn a_zone_is_given_to_nobody_else() {
    let stage = Stage::new(view(7, 1, 0));
    let refused = stage.stream(&request(RecordType::AXFR, None));
    assert_eq!(code_of(&refused[0]), 5, "unsigned");
    let published = stage.source.current();
    let elsewhere = Peer { address: ([203, 0, 113, 1], 40_000).into(), transport: Transport::Tcp };
    let (message, _) = signed(request(RecordType::AXFR, None));
    let messages = stage.transfers.reply(&message, elsewhere, published.as_ref());
    let replies: Vec<_> = messages.expect("special").collect().now_or_never().expect("at once");
    assert_eq!(replies.iter().map(|reply| code_of(reply)).collect::<Vec<_>>(), [5]);
    let mut other = request(RecordType::AXFR, None);
    other[13] = b'x';
    let (message, _) = signed(other);
    assert_eq!(code_of(&stage.stream(&message)[0]), 9, "no zone of ours");
}

#[test]
fn places_are_bounded_and_come_back() {
    let stage = Stage::new(view(7, 1, 5000));
    let published = stage.source.current();
    let (message, _) = signed(request(RecordType::AXFR, None));
    let begin = || {
        let stream = stage.transfers.reply(&message, peer(Transport::Tcp), published.as_ref());
        let mut stream = stream.expect("special");
        let first = stream.next().now_or_never().flatten().expect("at once");
        (code_of(&first), stream)
    };
    let held: Vec<_> = (0..64).map(|_| begin()).collect();
    assert!(held.iter().all(|(code, _)| *code == 0));
    assert_eq!(begin().0, 2);
    drop(held);
    assert_eq!(begin().0, 0);
}

#[test]
fn history_is_bounded_by_what_changed() {
    let (publisher, source) = channel();
    for serial in 1..=1000 {
        publisher.publish(Arc::new(view(serial, serial as u8, 0)));
    }
    let published = source.current().expect("published");
    let known = |serial| published.history().find(&name("example.test"), serial).is_some();
    assert!(known(999) && known(936) && !known(935), "64 of one zone");
}
