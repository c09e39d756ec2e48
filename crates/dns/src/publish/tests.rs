//! What is published when a part of it cannot be made, with compilers that panic.

use std::net::Ipv4Addr;
use std::time::Duration;

use holdfast_core::spec::{RecordData, Soa, Zone};
use holdfast_core::view::{NameAnswers, Pick, RecordSet, ZoneAnswers};
use holdfast_core::{DnsName, Epoch};

use super::*;
use crate::{Peer, Responder, Settings, Transport};

const QUERY: &[u8] = b"\x12\x34\0\0\0\x01\0\0\0\0\0\0\x03www\x04test\0\0\x01\0\x01";

fn view(index: u64) -> Arc<Answers> {
    let second = Duration::from_secs(1);
    let name = |text| DnsName::new(text).expect("a valid name");
    let soa = Soa::new(name("hostmaster.test"));
    let zone = Zone::new(name("test"), soa, vec![], second);
    let zone = Arc::new(ZoneAnswers::new(zone, 1));
    let record = RecordData::A(Ipv4Addr::new(192, 0, 2, 1));
    let set =
        RecordSet { ttl: second, pick: Pick::All, records: [(record, 1)].into_iter().collect() };
    let answers = NameAnswers {
        service: None,
        epoch: Epoch(0),
        refused: false,
        sets: [set].into_iter().collect(),
    };
    Arc::new(Answers {
        generation: 1,
        index,
        zones: [(name("test"), zone)].into(),
        names: [(name("www.test"), Arc::new(answers))].into(),
        ..Answers::default()
    })
}

fn reply(source: AnswersSource) -> Vec<u8> {
    let mut responder = Responder::new(source, Arc::new(Settings::default()), Arc::default());
    let peer = Peer { address: ([198, 51, 100, 9], 40_000).into(), transport: Transport::Udp };
    let mut reply = Vec::new();
    responder.acquire();
    assert!(responder.respond(QUERY, peer, &mut reply), "no answer");
    reply
}

#[test]
fn a_view_without_a_table_is_answered_from_alike() {
    let (publisher, source) = channel();
    publisher.publish(view(1));
    let (broken, without_table) = make_channel(None, |_, _| panic!("always"));
    broken.publish(view(1));
    let expected = reply(source);
    assert_eq!(expected[3..8], [0, 0, 1, 0, 1], "one record, no error");
    assert_eq!(reply(without_table), expected);
}

fn compiled(compile: Compile, indexes: &[u64]) -> Vec<(u64, bool)> {
    let (publisher, source) = make_channel(None, compile);
    let publish = |index: &u64| {
        assert_eq!(publisher.publish(view(*index)), Outcome::Served);
        let current = source.current().expect("published");
        (current.position().index, current.table().is_some())
    };
    indexes.iter().map(publish).collect()
}

#[test]
fn a_panic_while_compiling_does_not_stop_publication() {
    for (compile, expected) in [
        ((|_, _| panic!("always")) as Compile, [(1, false), (2, false), (3, false)]),
        (
            |before, answers| match before {
                Some(_) => panic!("only with a table before"),
                None => Table::of(None, answers),
            },
            [(1, true), (2, true), (3, true)],
        ),
        (
            |before, answers| {
                assert_ne!(answers.index, 2, "only this view");
                Table::of(before, answers)
            },
            [(1, true), (2, false), (3, true)],
        ),
    ] {
        assert_eq!(compiled(compile, &[1, 2, 3]), expected);
    }
}
