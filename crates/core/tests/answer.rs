//! The answer projection, question by question, over one hand-made view.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use holdfast_core::answer::{Answer, AnswerData, Code, Kind, answer, zone_of};
use holdfast_core::spec::{NameServer, RecordData, Soa, Zone};
use holdfast_core::steer::{Client, Shares};
use holdfast_core::view::{Answers, NameAnswers, Pick, RecordSet, ZoneAnswers};
use holdfast_core::{DnsName, Epoch, ServiceId};
use proptest::prelude::*;

fn name(text: &str) -> DnsName {
    DnsName::new(text).expect("a valid name")
}

fn a(last: u8) -> RecordData {
    RecordData::A(Ipv4Addr::new(192, 0, 2, last))
}

fn aaaa(last: u16) -> RecordData {
    RecordData::Aaaa(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last))
}

fn set(pick: Pick, records: &[(RecordData, u32)]) -> RecordSet {
    RecordSet { ttl: Duration::from_secs(30), pick, records: records.to_vec() }
}

fn weighted(weights: &[u32]) -> Pick {
    Pick::Weighted(Shares::new(weights.iter().copied()))
}

fn all(records: &[RecordData]) -> RecordSet {
    let weighed: Vec<_> = records.iter().map(|data| (data.clone(), 1)).collect();
    set(Pick::All, &weighed)
}

fn zone(apex: &str) -> (DnsName, Arc<ZoneAnswers>) {
    let second = Duration::from_secs(1);
    let zone = Zone::new(
        name(apex),
        Soa { negative_ttl: 5 * second, ..Soa::new(name("hostmaster.example.test")) },
        vec![
            NameServer { name: name("ns1.example.test"), addresses: vec![] },
            NameServer { name: name("ns2.elsewhere.test"), addresses: vec![] },
        ],
        300 * second,
    );
    (zone.name.clone(), Arc::new(ZoneAnswers::new(zone, 7)))
}

fn at(sets: Vec<RecordSet>) -> Arc<NameAnswers> {
    Arc::new(NameAnswers { service: None, epoch: Epoch(0), refused: false, sets })
}

fn view() -> Answers {
    let cname = |target: &str| at(vec![all(&[RecordData::Cname(name(target))])]);
    let srv =
        |target: &str| RecordData::Srv { priority: 0, weight: 1, port: 443, target: name(target) };
    let closed = NameAnswers {
        service: Some(ServiceId::new("closed").expect("valid")),
        epoch: Epoch(3),
        refused: true,
        sets: vec![all(&[a(99)])],
    };
    let names = [
        ("ns1.example.test", at(vec![all(&[a(53)]), all(&[aaaa(53)])])),
        ("shop.example.test", at(vec![set(Pick::Rotate(2), &[(a(1), 1), (a(2), 1), (a(3), 1)])])),
        ("api.example.test", at(vec![set(weighted(&[3, 1]), &[(a(1), 3), (a(2), 1)])])),
        ("weightless.example.test", at(vec![set(weighted(&[0, 0]), &[(a(1), 0), (a(2), 0)])])),
        ("bare.example.test", at(vec![])),
        ("hollow.example.test", at(vec![all(&[])])),
        ("closed.example.test", Arc::new(closed)),
        ("txt.deep.below.example.test", at(vec![all(&[RecordData::Txt(vec!["hi".into()])])])),
        ("www.example.test", cname("shop.example.test")),
        ("alias.example.test", cname("www.example.test")),
        ("out.example.test", cname("www.elsewhere.test")),
        ("dangling.example.test", cname("nothing.example.test")),
        ("to-closed.example.test", cname("closed.example.test")),
        ("across.example.test", cname("shop.other.test")),
        ("loop-a.example.test", cname("loop-b.example.test")),
        ("loop-b.example.test", cname("loop-a.example.test")),
        (
            "_https._tcp.example.test",
            at(vec![all(&[srv("ns1.example.test"), srv("closed.example.test")])]),
        ),
        ("*.wild.example.test", at(vec![all(&[a(42)])])),
        ("known.wild.example.test", at(vec![all(&[RecordData::Txt(vec!["known".into()])])])),
        ("shop.other.test", at(vec![all(&[a(7)])])),
        ("host.sub.example.test", at(vec![all(&[a(8)])])),
    ];
    Answers {
        generation: 1,
        index: 7,
        zones: [zone("example.test"), zone("sub.example.test"), zone("other.test")].into(),
        names: names.into_iter().map(|(owner, data)| (name(owner), data)).collect(),
        ..Answers::default()
    }
}

fn ask(question: &str, kind: Kind) -> Answer {
    answer(&view(), &DnsName::from_query(question.into()), kind, &Client::anybody(0))
}

/// Answer and authority as a person would note them down: `CODE owner DATA …/ authority`.
fn told(answer: &Answer) -> String {
    let data = |data: &AnswerData| match data {
        AnswerData::Record(RecordData::A(address)) => address.to_string(),
        AnswerData::Record(RecordData::Aaaa(address)) => address.to_string(),
        AnswerData::Record(RecordData::Cname(target)) => format!("CNAME {target}"),
        AnswerData::Record(RecordData::Ns(server)) => format!("NS {server}"),
        AnswerData::Record(RecordData::Srv { target, .. }) => format!("SRV {target}"),
        AnswerData::Record(data) => format!("{} {data}", data.kind()),
        AnswerData::Soa { .. } => "SOA".into(),
    };
    let section = |records: &[holdfast_core::answer::AnswerRecord]| {
        records
            .iter()
            .map(|record| format!(" {}={}", record.name, data(&record.data)))
            .collect::<String>()
    };
    format!("{:?}{} /{}", answer.code, section(&answer.answers), section(&answer.authority))
}

fn check(cases: &[(&str, Kind, &str)]) {
    for (question, kind, expected) in cases {
        assert_eq!(told(&ask(question, *kind)), *expected, "{question} {kind:?}");
    }
}

#[test]
fn declared_data_is_answered() {
    check(&[
        ("ns1.example.test", Kind::A, "NoError ns1.example.test=192.0.2.53 /"),
        ("ns1.example.test", Kind::AAAA, "NoError ns1.example.test=2001:db8::35 /"),
        (
            "txt.deep.below.example.test",
            Kind::TXT,
            "NoError txt.deep.below.example.test=TXT \"hi\" /",
        ),
        ("ns1.example.test", Kind::ANY, "NoError ns1.example.test=192.0.2.53 /"),
        ("example.test", Kind::SOA, "NoError example.test=SOA /"),
        ("example.test", Kind::ANY, "NoError example.test=SOA /"),
        (
            "example.test",
            Kind::NS,
            "NoError example.test=NS ns1.example.test example.test=NS ns2.elsewhere.test /",
        ),
    ]);
}

#[test]
fn what_exists_without_data_is_nodata_and_what_does_not_is_nxdomain() {
    check(&[
        ("ns1.example.test", Kind::TXT, "NoError / example.test=SOA"),
        ("ns1.example.test", Kind(65_280), "NoError / example.test=SOA"),
        ("example.test", Kind::A, "NoError / example.test=SOA"),
        ("bare.example.test", Kind::A, "NoError / example.test=SOA"),
        ("hollow.example.test", Kind::A, "NoError / example.test=SOA"),
        ("hollow.example.test", Kind::ANY, "NoError / example.test=SOA"),
        // Empty non-terminals exist.
        ("deep.below.example.test", Kind::A, "NoError / example.test=SOA"),
        ("below.example.test", Kind::A, "NoError / example.test=SOA"),
        ("nothing.example.test", Kind::A, "NameError / example.test=SOA"),
        ("nothing.ns1.example.test", Kind::A, "NameError / example.test=SOA"),
        ("elow.example.test", Kind::A, "NameError / example.test=SOA"),
    ]);
}

#[test]
fn negative_answers_expire_soon() {
    let nothing = ask("nothing.example.test", Kind::A);
    assert_eq!(nothing.authority[0].ttl, Duration::from_secs(5));
    let AnswerData::Soa { minimum, serial, .. } = &nothing.authority[0].data else {
        panic!("no SOA")
    };
    assert_eq!((*minimum, *serial), (Duration::from_secs(5), 7));
    assert_eq!(ask("example.test", Kind::SOA).answers[0].ttl, Duration::from_secs(300));
}

#[test]
fn the_deepest_zone_answers_and_nothing_outside_is_ours() {
    check(&[
        ("host.sub.example.test", Kind::A, "NoError host.sub.example.test=192.0.2.8 /"),
        ("nothing.sub.example.test", Kind::A, "NameError / sub.example.test=SOA"),
        ("sub.example.test", Kind::A, "NoError / sub.example.test=SOA"),
        ("elsewhere.test", Kind::A, "Refused /"),
        ("test", Kind::A, "Refused /"),
        ("", Kind::SOA, "Refused /"),
        ("badexample.test", Kind::A, "Refused /"),
        // One label that spells a dot is not two labels.
        ("shop\\046example.test", Kind::A, "Refused /"),
    ]);
    assert!(!ask("elsewhere.test", Kind::A).authoritative);
    assert!(ask("nothing.example.test", Kind::A).authoritative);
}

#[test]
fn cnames_are_followed_inside_our_zones() {
    check(&[
        (
            "alias.example.test",
            Kind::A,
            "NoError alias.example.test=CNAME www.example.test www.example.test=CNAME shop.example.test \
             shop.example.test=192.0.2.1 shop.example.test=192.0.2.2 /",
        ),
        ("alias.example.test", Kind::CNAME, "NoError alias.example.test=CNAME www.example.test /"),
        ("alias.example.test", Kind::ANY, "NoError alias.example.test=CNAME www.example.test /"),
        ("out.example.test", Kind::A, "NoError out.example.test=CNAME www.elsewhere.test /"),
        (
            "across.example.test",
            Kind::A,
            "NoError across.example.test=CNAME shop.other.test shop.other.test=192.0.2.7 /",
        ),
        (
            "across.example.test",
            Kind::TXT,
            "NoError across.example.test=CNAME shop.other.test / other.test=SOA",
        ),
        // The code is that of the last name (RFC 2308, 2.1).
        (
            "dangling.example.test",
            Kind::A,
            "NameError dangling.example.test=CNAME nothing.example.test / example.test=SOA",
        ),
        (
            "loop-a.example.test",
            Kind::A,
            "NoError loop-a.example.test=CNAME loop-b.example.test loop-b.example.test=CNAME loop-a.example.test /",
        ),
    ]);
}

#[test]
fn a_closed_service_is_servfail_and_says_nothing() {
    check(&[
        ("closed.example.test", Kind::A, "ServerFailure /"),
        ("closed.example.test", Kind::ANY, "ServerFailure /"),
        ("to-closed.example.test", Kind::A, "ServerFailure /"),
    ]);
    assert!(!ask("closed.example.test", Kind::A).authoritative);
}

#[test]
fn a_closed_service_at_the_apex_leaves_the_zone_standing() {
    let mut view = view();
    let closed = view.names.get(&name("closed.example.test")).expect("declared").clone();
    view.names.insert(name("example.test"), closed);
    let ask = |kind| answer(&view, &name("example.test"), kind, &Client::anybody(0)).code;
    assert_eq!(
        (ask(Kind::A), ask(Kind::SOA), ask(Kind::NS)),
        (Code::ServerFailure, Code::NoError, Code::NoError)
    );
}

#[test]
fn wildcards_follow_the_closest_encloser() {
    check(&[
        ("any.wild.example.test", Kind::A, "NoError any.wild.example.test=192.0.2.42 /"),
        (
            "two.labels.wild.example.test",
            Kind::A,
            "NoError two.labels.wild.example.test=192.0.2.42 /",
        ),
        ("any.wild.example.test", Kind::TXT, "NoError / example.test=SOA"),
        // A name that exists is not covered, nor is anything below it.
        ("known.wild.example.test", Kind::A, "NoError / example.test=SOA"),
        ("below.known.wild.example.test", Kind::A, "NameError / example.test=SOA"),
        ("wild.example.test", Kind::A, "NoError / example.test=SOA"),
    ]);
}

#[test]
fn addresses_of_targets_come_along_but_not_of_closed_services() {
    let owners = |answer: Answer| {
        answer.additional.iter().map(|record| record.name.to_string()).collect::<Vec<_>>()
    };
    let expected = ["ns1.example.test", "ns1.example.test"];
    assert_eq!(owners(ask("_https._tcp.example.test", Kind::SRV)), expected);
    assert_eq!(owners(ask("example.test", Kind::NS)), expected);
}

fn addresses(view: &Answers, question: &str, turn: u32) -> Vec<String> {
    let answer = answer(view, &name(question), Kind::A, &Client::anybody(turn));
    answer
        .answers
        .iter()
        .filter_map(|record| match &record.data {
            AnswerData::Record(RecordData::A(address)) => Some(address.to_string()),
            _ => None,
        })
        .collect()
}

#[test]
fn rotation_begins_at_the_turn() {
    let view = view();
    let at = |turn| addresses(&view, "shop.example.test", turn).join(" ");
    assert_eq!(at(0), "192.0.2.1 192.0.2.2");
    assert_eq!(at(1), "192.0.2.2 192.0.2.3");
    assert_eq!(at(2), "192.0.2.3 192.0.2.1");
    assert_eq!(at(3), at(0));
    assert_eq!(at(u32::MAX), at(0));
}

#[test]
fn weights_are_kept_within_a_hundredth() {
    let view = view();
    for (name, expected) in [("api.example.test", 7500usize), ("weightless.example.test", 5000)] {
        let first = (0..10_000).filter(|turn| addresses(&view, name, *turn) == ["192.0.2.1"]);
        let count = first.count();
        assert!(count.abs_diff(expected) <= 100, "{name}: {count}");
    }
}

/// The zone by definition: each ancestor in turn.
fn zone_by_walking(view: &Answers, name: &DnsName) -> Option<DnsName> {
    let mut at = Some(name.clone());
    while let Some(apex) = at {
        if view.zones.contains_key(&apex) {
            return Some(apex);
        }
        at = apex.parent();
    }
    None
}

fn any_name() -> impl Strategy<Value = String> {
    prop::collection::vec("[ab*]|ab|example|test|sub", 0..6).prop_map(|labels| labels.join("."))
}

proptest! {
    #[test]
    fn the_zone_is_the_nearest_apex_above(apexes in prop::collection::vec(any_name(), 0..8), asked in any_name()) {
        let mut view = Answers::default();
        let template = zone("example.test").1;
        view.zones = apexes.into_iter().map(|apex| {
            let apex = DnsName::from_query(apex);
            let mut answers = (*template).clone();
            answers.zone.name = apex.clone();
            (apex, Arc::new(answers))
        }).collect();
        let asked = DnsName::from_query(asked);
        let found = zone_of(&view, &asked).map(|zone| zone.zone.name.clone());
        prop_assert_eq!(found, zone_by_walking(&view, &asked));
    }

    #[test]
    fn no_question_panics_and_no_registered_name_is_nxdomain(asked in any_name(), turn: u32, known in 0usize..21) {
        let view = view();
        let registered = view.names.keys().nth(known).cloned();
        for kind in [Kind::A, Kind::CNAME, Kind::ANY, Kind(65_280)] {
            let below = DnsName::from_query(format!("{asked}.example.test"));
            let answer = answer(&view, &below, kind, &Client::anybody(turn));
            prop_assert!(answer.code != Code::Refused);
            if answer.code == Code::NoError && answer.answers.is_empty() {
                prop_assert_eq!(answer.authority.len(), 1);
            }
            if let Some(registered) = registered.as_ref().filter(|name| !name.as_str().starts_with("dangling")) {
                let code = holdfast_core::answer::answer(&view, registered, kind, &Client::anybody(turn)).code;
                prop_assert!(code != Code::NameError, "{} {:?}", registered, kind);
            }
        }
    }
}

#[test]
fn an_alias_that_has_an_address_by_turns_is_told_to_vary_when_it_has_none() {
    let mut view = view();
    let to = |target: &str| RecordData::Cname(name(target));
    let turning = set(weighted(&[1, 1]), &[(to("v4.example.test"), 1), (to("v6.example.test"), 1)]);
    let names = [
        ("v4.example.test", at(vec![all(&[a(4)])])),
        ("v6.example.test", at(vec![all(&[aaaa(6)])])),
        ("turning.example.test", at(vec![turning])),
        ("flat.example.test", at(vec![all(&[RecordData::Alias(name("turning.example.test"))])])),
    ];
    view.names.extend(names.into_iter().map(|(owner, data)| (name(owner), data)));
    let asked = |kind| {
        let answers = (0..64)
            .map(|turn| answer(&view, &name("flat.example.test"), kind, &Client::anybody(turn)));
        answers.collect::<Vec<Answer>>()
    };
    for kind in [Kind::A, Kind::AAAA, Kind::ANY] {
        let answers = asked(kind);
        assert!(
            answers.iter().all(|answer| answer.code == Code::NoError && answer.varies),
            "{kind}"
        );
    }
    let empty = asked(Kind::A).iter().filter(|answer| answer.answers.is_empty()).count();
    assert!(empty > 0 && empty < 64, "{empty}");
}

#[test]
fn of_several_cnames_the_one_that_is_told_is_followed() {
    let mut view = view();
    let to = |target: &str| RecordData::Cname(name(target));
    let turning =
        set(weighted(&[1, 1]), &[(to("one.example.test"), 1), (to("two.example.test"), 1)]);
    let names = [
        ("one.example.test", at(vec![all(&[a(1)])])),
        ("two.example.test", at(vec![all(&[a(2)])])),
        ("turning.example.test", at(vec![turning])),
    ];
    view.names.extend(names.into_iter().map(|(owner, data)| (name(owner), data)));
    let mut seen = std::collections::BTreeSet::new();
    for turn in 0..64 {
        let answer = answer(&view, &name("turning.example.test"), Kind::A, &Client::anybody(turn));
        seen.insert(told(&answer));
    }
    let line = |target: &str, address: &str| {
        format!(
            "NoError turning.example.test=CNAME {target}.example.test {target}.example.test={address} /"
        )
    };
    assert_eq!(
        seen.into_iter().collect::<Vec<_>>(),
        [line("one", "192.0.2.1"), line("two", "192.0.2.2")]
    );
}
