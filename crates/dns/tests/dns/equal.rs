//! The compiled answers are the handler's, byte for byte, in every view that follows another.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use hickory_proto::rr::RecordType;
use holdfast_core::spec::{Binding, Kind, NameServer, RecordData, SvcParams};
use holdfast_core::view::{Answers, NameAnswers, Pick, RecordSet, ZoneAnswers};
use holdfast_core::{Epoch, SharedMap};
use holdfast_dns::{ChaosConfig, Peer, Publisher, Responder, Settings, channel};
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::fixture::{
    a, cookies, exchange, name, query, sets, tcp, udp, v6, view, with_options, zone,
};
use crate::steered;

/// Two responders over the same views: one with the compiled answers, one without.
struct Pair {
    publisher: Publisher,
    responders: [Responder; 2],
    turns: [Arc<AtomicU32>; 2],
}

impl Pair {
    fn new() -> Self {
        let (publisher, source) = channel();
        let chaos = ChaosConfig { version: Some("hf 1".into()), hostname: None };
        let settings = Arc::new(Settings {
            chaos,
            nsid: Some("ns1".into()),
            cookies: Some(cookies()),
            ..Settings::default()
        });
        let turns: [Arc<AtomicU32>; 2] = Default::default();
        let responder = |turns: &Arc<AtomicU32>| {
            Responder::new(source.clone(), Arc::clone(&settings), Arc::clone(turns))
        };
        let responders = [responder(&turns[0]), responder(&turns[1]).handler_only()];
        Self { publisher, responders, turns }
    }

    fn publish(&mut self, view: Answers) {
        self.publisher.publish(Arc::new(view));
        for responder in &mut self.responders {
            responder.release();
            responder.acquire();
        }
    }

    /// Asks both; `None` where their answers, or the turns that they took, differ.
    fn agree(&mut self, wire: &[u8], peer: Peer) -> Result<(), TestCaseError> {
        let [compiled, handler] =
            self.responders.each_mut().map(|responder| exchange(responder, wire, peer));
        // `_holdfast` tells an age in milliseconds, and two that are asked one after the other may be a millisecond apart.
        let aged = |reply: &Option<Vec<u8>>| {
            reply.as_ref().is_some_and(|reply| reply.windows(7).any(|part| part == b"age_ms="))
        };
        if !(aged(&compiled) && aged(&handler)) {
            prop_assert_eq!(compiled, handler, "asked {:?} over {:?}", wire, peer.transport);
        }
        let [compiled, handler] = self.turns.each_ref().map(|turns| turns.load(Ordering::Relaxed));
        prop_assert_eq!(compiled, handler, "turns after {:?}", wire);
        Ok(())
    }
}

/// A question with what may surround it.
#[derive(Debug, Clone)]
struct Question {
    owner: String,
    kind: u16,
    class: u16,
    flags: [u8; 2],
    edns: Option<(u16, bool)>,
    options: Vec<(u16, Vec<u8>)>,
    upper: u64,
    stream: bool,
}

impl Question {
    fn plain(owner: &str, kind: u16) -> Self {
        let (class, flags) = (1, [1, 0]);
        let (edns, options) = (None, Vec::new());
        Self { owner: owner.into(), kind, class, flags, edns, options, upper: 0, stream: false }
    }

    fn wire(&self) -> Vec<u8> {
        let edns = self.edns.map(|_| 1232);
        let mut wire = query(&format!("{}.", self.owner), RecordType::from(self.kind), edns);
        wire[2..4].copy_from_slice(&self.flags);
        let name_end = 12 + self.owner.len() + if self.owner.is_empty() { 1 } else { 2 };
        wire[name_end..name_end + 2].copy_from_slice(&self.kind.to_be_bytes());
        wire[name_end + 2..name_end + 4].copy_from_slice(&self.class.to_be_bytes());
        if let Some((payload, dnssec_ok)) = self.edns {
            wire[name_end + 7..name_end + 9].copy_from_slice(&payload.to_be_bytes());
            wire[name_end + 11] = if dnssec_ok { 0x80 } else { 0 };
        }
        if self.edns.is_some() {
            let options: Vec<_> =
                self.options.iter().map(|(code, data)| (*code, &data[..])).collect();
            wire = with_options(wire, &options);
        }
        for (place, byte) in wire[12..name_end].iter_mut().enumerate() {
            if self.upper >> (place % 64) & 1 == 1 {
                byte.make_ascii_uppercase();
            }
        }
        wire
    }

    /// The same question by somebody who writes it otherwise and has other room.
    fn again(&self) -> Self {
        let edns = self.edns.map_or(Some((1232, false)), |_| None);
        Self { edns, upper: !self.upper, options: Vec::new(), ..self.clone() }
    }

    fn peer(&self) -> Peer {
        if self.stream { tcp() } else { udp() }
    }
}

const KINDS: [u16; 20] =
    [0, 1, 2, 5, 6, 15, 16, 28, 33, 39, 41, 43, 52, 65, 250, 251, 252, 255, 65_280, 65_401];

/// Names of few labels, so that they meet: each may be an apex, hold data, lie above data, or be asked for.
fn owner() -> impl Strategy<Value = String> {
    let label = select(vec!["a", "b", "ns", "mail", "x"]);
    let first = select(vec!["a", "b", "ns", "mail", "x", "*", "_holdfast"]);
    (prop::option::of(first), prop::collection::vec(label, 0..4), select(vec!["", "test"]))
        .prop_map(|(first, labels, top)| {
            let all = first.into_iter().chain(labels).chain([top]);
            all.filter(|label| !label.is_empty()).collect::<Vec<_>>().join(".")
        })
}

fn held() -> impl Strategy<Value = String> {
    owner().prop_filter("names of our own are not the root", |owner| !owner.is_empty())
}

/// Options of which each has a meaning here, or none.
fn option() -> impl Strategy<Value = (u16, Vec<u8>)> {
    let known: Vec<(u16, Vec<u8>)> = vec![
        (3, vec![]),
        (8, vec![0, 1, 24, 0, 192, 0, 2]),
        (8, vec![0, 1, 32, 0, 192, 0, 2, 200]),
        (8, vec![0, 1, 8, 0, 198]),
        (8, vec![0, 1, 0, 0]),
        (8, vec![0, 2, 56, 0, 0x20, 1, 0xd, 0xb8, 0, 0, 1]),
        (8, vec![0, 0, 0, 0]),
        (8, vec![0, 1, 24, 24, 192, 0, 2]),
        (10, vec![1, 2, 3, 4, 5, 6, 7, 8]),
        (10, vec![9; 24]),
        (11, vec![]),
        (12, vec![0; 31]),
        (65_001, vec![1]),
    ];
    select(known)
}

fn question() -> impl Strategy<Value = Question> {
    let kind =
        prop_oneof![4 => select(vec![1u16, 28]), 2 => select(KINDS.to_vec()), 1 => any::<u16>()];
    let class = prop_oneof![8 => Just(1u16), 1 => select(vec![0u16, 3, 4, 254, 255, 1000])];
    let payload = prop_oneof![select(vec![0u16, 512, 700, 1232, 4096]), any::<u16>()];
    (
        owner(),
        kind,
        class,
        (0u8..2, any::<u8>()),
        prop::option::of((payload, any::<bool>())),
        prop::collection::vec(option(), 0..3),
        any::<u64>(),
        prop::bool::weighted(0.2),
    )
        .prop_map(|(owner, kind, class, (recursion, flags), edns, options, upper, stream)| {
            Question { owner, kind, class, flags: [recursion, flags], edns, options, upper, stream }
        })
}

fn zone_of() -> impl Strategy<Value = (String, ZoneAnswers)> {
    (held(), held(), held(), 0u64..100, any::<u32>(), any::<[bool; 2]>()).prop_map(
        |(apex, server, mailbox, ttl, serial, [served, tailored])| {
            let apex = apex.trim_start_matches("*.").trim_matches('*').to_owned();
            let apex = if apex.is_empty() { "test".to_owned() } else { apex };
            let mut answers = ZoneAnswers::clone(&zone());
            answers.zone.name = name(&apex);
            answers.zone.client_subnet = tailored;
            let server = NameServer { name: name(&server), addresses: vec![] };
            answers.zone.name_servers = served.then_some(server).into_iter().collect();
            answers.zone.soa.mailbox = name(&mailbox);
            answers.negative_ttl = Duration::from_secs(ttl);
            answers.serial = serial;
            (apex, answers)
        },
    )
}

fn set() -> impl Strategy<Value = RecordSet> {
    let count = prop_oneof![3 => 1usize..5, 1 => 20usize..90];
    let kind = select(vec![
        "A", "A", "A", "AAAA", "AAAA", "AAAA", "CNAME", "TXT", "SRV", "MX", "NS", "DNAME", "ALIAS",
        "DS", "HTTPS", "TYPE52",
    ]);
    (any::<usize>(), count, kind, held(), prop::collection::vec(0u32..4, 90), 0u64..1_000_000)
        .prop_map(|(way, count, kind, target, weights, ttl)| {
            let target = name(&target);
            let data = |place: usize| match kind {
                "A" => a(place as u8),
                "AAAA" => v6(place as u16),
                "CNAME" => RecordData::Cname(target.clone()),
                "TXT" => RecordData::Txt(vec![format!("text {place}").into()]),
                "MX" => RecordData::Mx { preference: place as u16, exchange: target.clone() },
                "NS" => RecordData::Ns(target.clone()),
                "DNAME" => RecordData::Dname(target.clone()),
                "ALIAS" => RecordData::Alias(target.clone()),
                "DS" => RecordData::Ds {
                    key_tag: place as u16,
                    algorithm: 13,
                    digest_type: 2,
                    digest: vec![1; 32],
                },
                "HTTPS" => RecordData::Https(Binding {
                    priority: 1,
                    target: target.clone(),
                    params: SvcParams::default(),
                }),
                "TYPE52" => RecordData::Other { kind: Kind(52), data: vec![place as u8; 9] },
                _ => RecordData::Srv { priority: 0, weight: 1, port: 1, target: target.clone() },
            };
            let single = matches!(kind, "CNAME" | "DNAME" | "ALIAS");
            let count = if single { 1 } else { count };
            let records = (0..count).map(|place| (data(place), weights[place])).collect();
            let pick = steered::pick(way, &weights[..count]);
            RecordSet { ttl: Duration::from_secs(ttl), pick, records }
        })
}

fn here() -> impl Strategy<Value = Arc<NameAnswers>> {
    (prop::bool::weighted(0.1), prop::collection::vec(set(), 0..4)).prop_map(|(refused, sets)| {
        Arc::new(NameAnswers { service: None, epoch: Epoch(0), refused, sets })
    })
}

/// What becomes of a view: names that are set or go, and at times other zones.
#[derive(Debug, Clone)]
struct Change {
    names: Vec<(String, Arc<NameAnswers>)>,
    gone: Vec<Index>,
    zones: Option<Vec<(String, ZoneAnswers)>>,
    serial: u32,
}

fn change() -> impl Strategy<Value = Change> {
    let names = prop::collection::vec((held(), here()), 0..5);
    let gone = prop::collection::vec(any::<Index>(), 0..4);
    let zones = prop::option::weighted(0.3, prop::collection::vec(zone_of(), 0..4));
    (names, gone, zones, any::<u32>()).prop_map(|(names, gone, zones, serial)| Change {
        names,
        gone,
        zones,
        serial,
    })
}

fn changed(view: &Answers, change: Change) -> Answers {
    let mut next = view.clone();
    next.index += 1;
    if let Some(zones) = change.zones {
        next.zones = zones.into_iter().map(|(apex, zone)| (name(&apex), Arc::new(zone))).collect();
    } else {
        let renewed =
            |zone: &Arc<ZoneAnswers>| ZoneAnswers { serial: change.serial, ..(**zone).clone() };
        let zones: SharedMap<_, _> =
            next.zones.iter().map(|(apex, zone)| (apex.clone(), Arc::new(renewed(zone)))).collect();
        next.zones = zones;
    }
    for index in change.gone.iter().filter(|_| !view.names.is_empty()) {
        let (gone, _) = view.names.iter().nth(index.index(view.names.len())).expect("is within");
        next.names.remove(gone);
    }
    next.names.extend(change.names.into_iter().map(|(owner, here)| (name(&owner), here)));
    next
}

/// The names that differ between two views, and those above them.
fn touched(old: &Answers, new: &Answers) -> BTreeSet<String> {
    let mut touched = BTreeSet::new();
    for (name, ..) in old.names.differences(&new.names) {
        let mut at = Some(name.clone());
        while let Some(name) = at {
            touched.insert(name.as_str().to_owned());
            at = name.parent();
        }
    }
    touched
}

/// A runtime whose clock stands still: the server tells how old its view is.
fn paused() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time().start_paused(true).build().expect("a runtime")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn in_any_view_after_any_other(
        first in prop::collection::vec(zone_of(), 1..4),
        changes in prop::collection::vec((change(), prop::collection::vec(question(), 1..40)), 1..6),
    ) {
        let zones = Change { names: vec![], gone: vec![], zones: Some(first), serial: 0 };
        let mut view = changed(&Answers::default(), zones);
        let clock = paused();
        let _entered = clock.enter();
        let mut pair = Pair::new();
        for (change, questions) in changes {
            let next = changed(&view, change);
            let touched = touched(&view, &next);
            view = next;
            pair.publish(view.clone());
            for owner in touched.iter().flat_map(|owner| [owner.clone(), format!("b.{owner}").trim_end_matches('.').to_owned()]) {
                for kind in [1, 28, 16] {
                    let asked = Question::plain(&owner, kind);
                    pair.agree(&asked.wire(), asked.peer())?;
                }
            }
            for question in questions {
                pair.agree(&question.wire(), question.peer())?;
                let again = question.again();
                pair.agree(&again.wire(), again.peer())?;
            }
        }
    }

    #[test]
    fn for_any_damage(
        question in question(),
        damage in prop::collection::vec((any::<Index>(), any::<u8>()), 0..4),
        cut in prop::option::of(any::<Index>()),
        tail in prop::collection::vec(any::<u8>(), 0..12),
    ) {
        let mut wire = question.wire();
        for (place, byte) in damage {
            let place = place.index(wire.len());
            wire[place] = byte;
        }
        if let Some(cut) = cut {
            wire.truncate(cut.index(wire.len() + 1));
        }
        wire.extend(tail);
        let mut pair = Pair::new();
        pair.publish(view(7));
        pair.agree(&wire, question.peer())?;
    }
}

#[test]
fn for_every_name_and_type_with_and_without_edns() {
    let clock = paused();
    let _entered = clock.enter();
    let mut pair = Pair::new();
    pair.publish(view(7));
    let view = view(7);
    let mut owners: Vec<String> = view.names.keys().map(ToString::to_string).collect();
    owners.extend(owners.clone().iter().map(|owner| format!("below.{owner}")));
    owners.extend(
        [
            "",
            "test",
            "example.test",
            "_tcp.example.test",
            "wild.example.test",
            "a.b.wild.example.test",
            "no.example.test",
            "ns1.example.test",
            "below.ns1.example.test",
            "_holdfast.example.test",
            "elsewhere.test",
            "version.bind",
        ]
        .map(String::from),
    );
    let payloads = [None, Some((0, false)), Some((900, true)), Some((4096, false))];
    for owner in &owners {
        for kind in (0..270).chain([32_768, 32_769, 65_280, 65_535]) {
            for class in [1, 3] {
                for edns in payloads.into_iter().take(if class == 1 { 4 } else { 1 }) {
                    let question =
                        Question { class, edns, upper: 0x5555, ..Question::plain(owner, kind) };
                    pair.agree(&question.wire(), udp()).expect("equal");
                    pair.agree(&question.again().wire(), udp()).expect("equal");
                }
            }
        }
    }
}

#[test]
fn for_names_of_many_labels_and_of_the_longest() {
    let clock = paused();
    let _entered = clock.enter();
    let mut pair = Pair::new();
    pair.publish(view(7));
    for labels in [1, 20, 30, 58, 59, 60, 61, 62, 63, 64, 100, 119] {
        let owner = format!("{}example.test", "x.".repeat(labels));
        for kind in [1, 255] {
            let question = Question { edns: Some((1232, true)), ..Question::plain(&owner, kind) };
            pair.agree(&question.wire(), udp()).expect("equal");
        }
    }
    let longest = format!("{0}.{0}.{0}.{1}.example.test", "y".repeat(63), "z".repeat(48));
    assert_eq!(longest.len(), 253);
    pair.agree(&Question::plain(&longest, 1).wire(), udp()).expect("equal");
}

#[test]
fn for_answers_that_are_remembered_while_others_change_them() {
    let clock = paused();
    let _entered = clock.enter();
    let mut pair = Pair::new();
    for index in 7..12 {
        let mut view = view(index);
        view.names.insert(name("shop.example.test"), sets(Pick::All, &[vec![a(index as u8)]]));
        pair.publish(view);
        for (owner, kind) in [
            ("www.example.test", 1),
            ("_srv._tcp.example.test", 33),
            ("example.test", 6),
            ("example.test", 2),
            ("example.test", 255),
            ("x.wild.example.test", 1),
            ("y.wild.example.test", 16),
            ("hostmaster.example.test", 1),
        ] {
            for edns in [None, Some((1232, false)), Some((512, true)), None] {
                let question = Question { edns, upper: index, ..Question::plain(owner, kind) };
                pair.agree(&question.wire(), udp()).expect("equal");
                pair.agree(&question.wire(), tcp()).expect("equal");
            }
        }
    }
}
