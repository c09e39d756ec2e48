//! Signed replies that are seldom asked for: names at the limit of their length, types with names in their data.

use std::collections::BTreeMap;

use holdfast_core::Timestamp;
use holdfast_core::spec::{Denial, Kind, RecordData};
use holdfast_core::view::{Answers, Pick};
use holdfast_seal::SealingKeys;
use metrics_exporter_prometheus::PrometheusBuilder;

use crate::fixture::{decode, exchange, name, sets, tcp, udp};
use crate::proofs::{key, kinds, signatures, told, with};
use crate::signed::{Later, Stage, query, responders, sealing, signed};

const A: u16 = 1;
const DNAME: u16 = 39;
const DNSKEY: u16 = 48;
const RRSIG: u16 = 46;
const BOTH: [Denial; 2] = [Denial::Compact, Denial::Nsec3];

/// RFC 6672, 2.2: the DNAME says why, so it is signed.
#[test]
fn a_name_that_a_dname_makes_too_long_comes_with_a_signed_dname() {
    let target = format!("{0}.{0}.example.test", "z".repeat(60));
    let dname = RecordData::Dname(name(&target));
    let long = format!("{0}.{0}.old.example.test", "x".repeat(63));
    for denial in BOTH {
        let answers = with(denial, &[("old.example.test", std::slice::from_ref(&dname))]);
        let reply = told(&answers, &long, A);
        assert_eq!(reply[3] & 0x0f, 6, "YXDOMAIN");
        let reply = decode(&reply);
        assert_eq!(kinds(&reply.answers), [DNAME, RRSIG], "{denial:?}");
        assert_eq!(signatures(&reply.answers), [(DNAME, 3)], "{denial:?}");
        assert!(reply.authorities.is_empty(), "nothing is denied: {denial:?}");
        for mut responder in responders(SealingKeys::default(), answers.clone(), Later(0)) {
            let reply = exchange(&mut responder, &query(&long, A), tcp()).expect("a reply");
            assert_eq!((reply[3] & 0x0f, reply[7]), (2, 0), "without the key: SERVFAIL");
        }
    }
}

/// A name of labels with these lengths below the zone, and its length on the wire.
fn long(lengths: &[usize]) -> (String, usize) {
    let labels: String = lengths.iter().map(|length| "x".repeat(*length) + ".").collect();
    (format!("{labels}example.test"), labels.len() + b"\x07example\x04test\0".len())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_names_are_denied_too() {
    let names = [
        (long(&[47, 63, 63, 63]), 254),
        (long(&[63, 63, 63, 47]), 254),
        (long(&[48, 63, 63, 63]), 255),
        (long(&[63, 63, 63, 48]), 255),
    ];
    for denial in BOTH {
        let there = long(&[46, 63, 63, 63, 1]).0;
        let stage = Stage::new(with(denial, &[(&there, &[crate::fixture::a(9)])]), &key()).await;
        for ((owner, length), expected) in &names {
            assert_eq!(length, expected);
            stage.check(&[(owner, "A", "negative response")]).await;
        }
        let there = [(&*there, "A", "192.0.2.9"), (&*there, "AAAA", "negative response")];
        stage.check(&there).await;
    }
}

/// RFC 4034, 6.2: signatures cover the names in data in lower case; such data come as the peer sent them.
#[tokio::test(flavor = "multi_thread")]
async fn capitals_in_names_within_data_do_not_spoil_signatures() {
    let host = b"\x04HoSt\x07Example\x04TEST\0";
    let data = [
        ("RP", 17, [&host[..], b"\x04TeXt\0"].concat()),
        ("AFSDB", 18, [b"\0\x01", &host[..]].concat()),
        ("RT", 21, [b"\0\x0a", &host[..]].concat()),
        ("PX", 26, [b"\0\x0a", &host[..], b"\x03MaP\0"].concat()),
        ("NAPTR", 35, [b"\0\x01\0\x02\x01S\x07SIP+D2U\x06!^A!b!", &host[..]].concat()),
        ("KX", 36, [b"\0\x0a", &host[..]].concat()),
        ("A6", 38, [b"\x40\0\0\0\0\0\0\0\x01", &host[..]].concat()),
    ];
    let records = data.clone().map(|(_, kind, data)| RecordData::Other { kind: Kind(kind), data });
    let stage = Stage::new(with(Denial::Compact, &[("r.example.test", &records)]), &key()).await;
    for (kind, ..) in data {
        stage.check(&[("r.example.test", kind, "r.example.test")]).await;
    }
    let said = stage.delv("r.example.test", "NAPTR").await;
    assert!(said.contains("\"SIP+D2U\" \"!^A!b!\""), "strings keep their capitals: {said}");
}

/// A private type.
const FULL: u16 = 65_280;

/// The same, and a set that fills a message to the last hundred bytes.
fn full(answers: &Answers) -> Answers {
    let mut answers = answers.clone();
    let record = |number| RecordData::Other { kind: Kind(FULL), data: vec![number; 4_080] };
    let records: Vec<_> = (0..16).map(record).collect();
    answers.names.insert(name("full.example.test"), sets(Pick::All, &[records]));
    answers
}

#[test]
fn what_signing_refuses_is_counted_by_its_reason() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let answers = signed(7, &[key()], Denial::Compact);
    let behind = || {
        let mut answers = answers.clone();
        answers.at = Timestamp(u64::MAX / 2);
        answers
    };
    let text = metrics::with_local_recorder(&recorder, || {
        let wire = query("shop.example.test", A);
        let [mut keyless, _] = responders(SealingKeys::default(), answers.clone(), Later(0));
        let [mut late, _] = responders(sealing(), behind(), Later(0));
        for (responder, times) in [(&mut keyless, 1), (&mut late, 2)] {
            for _ in 0..times {
                assert_eq!(exchange(responder, &wire, udp()).expect("a reply")[3] & 0x0f, 2);
            }
        }
        let [mut flooded, _] = responders(sealing(), answers.clone(), Later(0));
        let mut numbers = 0..20_000;
        let refused = numbers.any(|number| {
            let wire = query(&format!("n{number}.example.test"), A);
            exchange(&mut flooded, &wire, tcp()).expect("a reply")[3] & 0x0f == 2
        });
        assert!(refused, "signing is bounded");
        let wire = query("full.example.test", FULL);
        for mut responder in responders(sealing(), full(&answers), Later(0)) {
            let mut plain = wire.clone();
            plain.truncate(plain.len() - 11);
            plain[11] = 0;
            assert!(exchange(&mut responder, &plain, tcp()).expect("a reply").len() > 65_400);
            let reply = exchange(&mut responder, &wire, tcp()).expect("a reply");
            assert_eq!(reply[3] & 0x0f, 2, "with its signature it is longer than a message can be");
            let cut = exchange(&mut responder, &wire, udp()).expect("a reply");
            assert_eq!((cut[2] & 2, cut[3] & 0x0f), (2, 0), "over UDP it is cut in any case");
        }
        recorder.handle().render()
    });
    for (why, count) in [("key", 1), ("clock", 2), ("limit", 1), ("form", 2)] {
        let line = format!("holdfast_dns_unsigned_total{{why=\"{why}\"}} {count}");
        assert!(text.lines().any(|one| one == line), "{line}: {text}");
    }
}

/// The class and number of the queries that are counted in all.
fn classes(text: &str) -> BTreeMap<&str, u64> {
    let mut classes = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("holdfast_dns_queries_total{")) {
        let class = line.split("class=\"").nth(1).and_then(|rest| rest.split('"').next());
        let count: u64 = line.rsplit(' ').next().expect("a value").parse().expect("a number");
        *classes.entry(class.expect("it has a class")).or_default() += count;
    }
    classes
}

#[test]
fn an_answer_that_signing_refuses_is_counted_as_the_error_that_is_sent() {
    let answers = signed(7, &[key()], Denial::Compact);
    // From the compiled table, from the handler and then from what it remembers, and the keys of the zone.
    let questions = [
        ("shop.example.test", A),
        ("nothing.example.test", A),
        ("x.wild.example.test", A),
        ("x.wild.example.test", A),
        ("example.test", DNSKEY),
    ];
    let recorder = PrometheusBuilder::new().build_recorder();
    let text = metrics::with_local_recorder(&recorder, || {
        for mut keyless in responders(SealingKeys::default(), answers.clone(), Later(0)) {
            for (owner, kind) in questions {
                let reply = exchange(&mut keyless, &query(owner, kind), udp()).expect("a reply");
                assert_eq!(reply[3] & 0x0f, 2, "{owner}");
            }
            keyless.release();
        }
        recorder.handle().render()
    });
    assert_eq!(classes(&text), BTreeMap::from([("error", 2 * questions.len() as u64)]));
}
