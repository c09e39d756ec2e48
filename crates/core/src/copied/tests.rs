use alloc::string::ToString;
use alloc::vec;

use super::*;
use crate::answer::{self, AnswerData, Code};
use crate::command::{Actor, Command, Entry, Rejection, Reply};
use crate::event::Event;
use crate::id::{AgentId, GroupId};
use crate::spec::tests::{service, zone};
use crate::spec::{Primaries, Service};
use crate::state::State;
use crate::steer::Client;

const TERM: u64 = 3;
const SECOND: Duration = Duration::from_secs(1);

fn name(text: &str) -> DnsName {
    DnsName::new(text).expect("a name")
}

fn a(owner: &str, last: u8) -> Record {
    Record { name: name(owner), ttl: 60 * SECOND, data: RecordData::A([192, 0, 2, last].into()) }
}

fn ns(owner: &str, server: &str) -> Record {
    Record { name: name(owner), ttl: 60 * SECOND, data: RecordData::Ns(name(server)) }
}

fn other(owner: &str, kind: u16) -> Record {
    let data = RecordData::Other { kind: Kind(kind), data: vec![1, 2, 3, 4] };
    Record { name: name(owner), ttl: 60 * SECOND, data }
}

fn declared() -> Zone {
    let primaries = Primaries { addresses: vec![primary()], key: None };
    let zone = zone();
    Zone { primaries: Some(primaries), ..Zone::new(zone.name, zone.soa, Vec::new(), zone.ttl) }
}

/// A zone of ours with an ALIAS at its apex.
fn leading_to(target: &str) -> Zone {
    let (owner, data) = (name("front.test"), RecordData::Alias(name(target)));
    let records = vec![Record { name: owner.clone(), ttl: 60 * SECOND, data }];
    Zone { name: owner, records, ..zone() }
}

fn primary() -> SocketAddr {
    "198.51.100.1:53".parse().expect("an address")
}

fn fetched(since: u64, serial: u32, removed: Vec<Record>, added: Vec<Record>) -> Fetched {
    let soa = Soa { refresh: 77 * SECOND, ..zone().soa };
    let mname = name("hidden.example.net");
    Fetched { since, serial, from: primary(), mname, soa, ttl: 300 * SECOND, removed, added }
}

fn whole(serial: u32, more: Vec<Record>) -> Fetched {
    let mut added = vec![
        ns("example.test", "ns1.example.test"),
        a("ns1.example.test", 53),
        a("www.example.test", 1),
    ];
    added.extend(more);
    fetched(0, serial, Vec::new(), added)
}

struct Group(State);

impl Group {
    fn new() -> Self {
        let mut group = Self(State::new(GroupId(1)));
        group.try_apply(Command::BeginTerm { term: TERM, leader: AgentId(1) }).expect("the first");
        group
    }

    /// One that has declared the zone and copied it.
    fn with_copy() -> Self {
        let mut group = Self::new();
        group.declare(declared()).expect("possible");
        group.record(whole(10, Vec::new())).expect("possible");
        group
    }

    fn try_apply(&mut self, command: Command) -> Result<Vec<Event>, Rejection> {
        let index = self.0.index() + 1;
        let entry =
            Entry { at: Timestamp(index), actor: Actor::system(), request_id: None, command };
        let applied = self.0.apply(index, &entry);
        applied.outcome.result.map(|_: Reply| {
            applied.records.into_iter().map(|record| record.content.event).collect()
        })
    }

    fn declare(&mut self, zone: Zone) -> Result<Vec<Event>, Rejection> {
        self.try_apply(Command::ApplyZone { zone, if_revision: None })
    }

    fn record(&mut self, fetched: Fetched) -> Result<Vec<Event>, Rejection> {
        self.record_for(self.declared(), fetched)
    }

    /// Records what was fetched for the declaration of this revision.
    fn record_for(&mut self, declared: u64, fetched: Fetched) -> Result<Vec<Event>, Rejection> {
        let zone = name("example.test");
        self.try_apply(Command::RecordZoneCopy { term: TERM, zone, declared, fetched })
    }

    /// The revision of the zone's declaration.
    fn declared(&self) -> u64 {
        self.0.snapshot().zones[&name("example.test")].revision
    }

    fn serve(&mut self, owner: &str) -> Result<Vec<Event>, Rejection> {
        let mut service = service();
        service.dns.name = name(owner);
        self.try_apply(Command::ApplyService { service, if_revision: None })
    }

    fn copied(&self) -> Arc<Copied> {
        let zone = &self.0.snapshot().zones[&name("example.test")];
        zone.copied.clone().expect("copied")
    }

    /// The code and the addresses that a name is answered with, and whether a restored state says the same.
    fn ask(&mut self, owner: &str) -> (Code, Vec<RecordData>) {
        let view = self.0.view();
        let restored = State::restore(self.0.snapshot().clone()).view();
        let found = answer::answer(&view.answers, &name(owner), Kind::A, &Client::anybody(0));
        let again = answer::answer(&restored.answers, &name(owner), Kind::A, &Client::anybody(0));
        assert_eq!(found, again, "a restored state answers {owner} otherwise");
        let data = found.answers.into_iter().filter_map(|record| match record.data {
            AnswerData::Record(data) => Some(data),
            AnswerData::Soa { .. } => None,
        });
        (found.code, data.collect())
    }
}

fn one(last: u8) -> (Code, Vec<RecordData>) {
    (Code::NoError, vec![RecordData::A([192, 0, 2, last].into())])
}

fn is_superseded(result: Result<Vec<Event>, Rejection>) -> bool {
    matches!(result, Err(Rejection::Superseded(_)))
}

#[test]
fn serials_are_compared_in_a_circle() {
    for (serial, than, newer) in [
        (1, 0, true),
        (0, 1, false),
        (7, 7, false),
        (0, u32::MAX, true),
        (u32::MAX, 0, false),
        (1 << 31, 0, false),
        ((1 << 31) - 1, 0, true),
        (0, (1 << 31) + 1, true),
    ] {
        assert_eq!(is_newer(serial, than), newer, "{serial} {than}");
    }
}

#[test]
fn a_zone_is_not_ours_to_answer_until_it_was_copied_and_then_whole() {
    let mut group = Group::new();
    group.declare(declared()).expect("possible");
    assert_eq!(group.ask("www.example.test").0, Code::Refused);
    let early = group.serve("shop.example.test").expect_err("nothing is known of the zone");
    assert!(early.to_string().contains("was not copied"), "{early}");

    let events = group.record(whole(10, vec![a("long.example.test", 9)])).expect("possible");
    let [Event::ZoneCopied { serial: 10, added: 4, removed: 0, .. }] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(group.ask("www.example.test"), one(1));
    assert_eq!(group.ask("none.example.test").0, Code::NameError);
    let index = group.0.index();
    let view = group.0.view();
    let zone = view.answers.zones.get(&name("example.test")).expect("served");
    assert_eq!(u64::from(zone.serial), index, "the serial is ours");
    assert_eq!(zone.mname, name("hidden.example.net"));
    assert_eq!(zone.zone.soa.refresh, 77 * SECOND);
    assert_eq!(zone.zone.ttl, 300 * SECOND);
    let copy = view.copies.get(&name("example.test")).expect("it is a copy");
    assert_eq!(copy.copied.as_ref().and_then(|copied| copied.serial), Some(10));
}

#[test]
fn a_difference_is_taken_to_the_copy_it_is_of_and_forward_only() {
    let mut group = Group::with_copy();
    let index = group.copied().index;
    let step = |since, serial| {
        fetched(since, serial, vec![a("www.example.test", 1)], vec![a("www.example.test", 2)])
    };
    assert!(is_superseded(group.record(step(index + 1, 11))), "of another copy");
    assert!(is_superseded(group.record(step(index, 10))), "the same serial");
    assert!(is_superseded(group.record(step(index, 9))), "an older serial");
    assert!(is_superseded(group.record(whole(9, Vec::new()))), "an older zone");
    assert_eq!(group.ask("www.example.test"), one(1));
    group.record(step(index, 11)).expect("the next serial");
    assert_eq!(group.ask("www.example.test"), one(2));
    assert_eq!(group.ask("ns1.example.test"), one(53));
    let zone = name("example.test");
    let (declared, fetched) = (group.declared(), whole(99, Vec::new()));
    let old = Command::RecordZoneCopy { term: TERM - 1, zone, declared, fetched };
    assert!(is_superseded(group.try_apply(old)), "of a leader that is none any more");
}

#[test]
fn a_copy_that_is_as_the_one_before_costs_no_serial_of_ours() {
    let mut group = Group::with_copy();
    group.declare(leading_to("www.example.test")).expect("the name is served here");
    let serial = |group: &mut Group| {
        let view = group.0.view();
        let of = |zone| view.answers.zones.get(&name(zone)).expect("served").serial;
        [of("example.test"), of("front.test")]
    };
    let (before, ours) = (group.copied(), serial(&mut group));
    assert_eq!(group.record(fetched(before.index, 11, Vec::new(), Vec::new())), Ok(Vec::new()));
    assert_eq!(group.record(whole(12, Vec::new())), Ok(Vec::new()), "nor one that is given whole");
    assert_eq!(serial(&mut group), ours);
    let kept = group.copied();
    assert_eq!((kept.serial, kept.index, &kept.zone), (Some(12), before.index, &before.zone));
    let published = group.0.view().copies.get(&name("example.test")).cloned().expect("a copy");
    assert_eq!(published.copied, Some(kept), "what is asked of primaries next begins there");

    let mut slower = fetched(before.index, 13, Vec::new(), Vec::new());
    slower.soa.refresh = 78 * SECOND;
    let events = group.record(slower).expect("possible");
    assert!(matches!(events[..], [Event::ZoneCopied { serial: 13, .. }]), "{events:?}");
    let index = u32::try_from(group.0.index()).expect("few entries");
    assert_eq!(
        serial(&mut group),
        [index; 2],
        "the SOA is another one, and ALIASes follow any change"
    );
}

#[test]
fn how_primaries_stand_costs_no_serial_of_a_zone_whose_alias_leads_to_their_names() {
    let mut group = Group::with_copy();
    group.declare(leading_to("www.example.test")).expect("the name is served here");
    let serial = |group: &mut Group| {
        group.0.view().answers.zones.get(&name("front.test")).expect("served").serial
    };
    let (before, declared) = (serial(&mut group), group.declared());
    for problem in [Some("no answer"), Some("still none"), None, None] {
        group.try_apply(source(declared, problem)).expect("possible");
        let view = group.0.view();
        let copy = view.copies.get(&name("example.test")).expect("it is a copy");
        assert_eq!(copy.stale.as_deref(), problem, "it is shown");
        assert_eq!(serial(&mut group), before);
    }
}

#[test]
fn what_the_primaries_of_another_declaration_gave_is_refused() {
    let mut group = Group::with_copy();
    let (before, index) = (group.declared(), group.copied().index);
    let mut elsewhere = declared();
    let other = "198.51.100.2:53".parse().expect("an address");
    elsewhere.primaries = Some(Primaries { addresses: vec![other], key: None });
    group.declare(elsewhere.clone()).expect("possible");
    let change = fetched(index, 90, vec![a("www.example.test", 1)], Vec::new());
    assert!(is_superseded(group.record_for(before, change)), "a change");
    assert!(is_superseded(group.record_for(before, whole(90, Vec::new()))), "all of it");
    group.record(whole(3, Vec::new())).expect("the new primary counts otherwise");

    let before = group.declared();
    let name = name("example.test");
    group.try_apply(Command::DeleteZone { name }).expect("nobody uses it");
    group.declare(elsewhere).expect("possible");
    assert!(is_superseded(group.record_for(before, whole(90, Vec::new()))), "declared again");
}

#[test]
fn what_cannot_be_served_leaves_the_copy_before() {
    let mut group = Group::with_copy();
    let before = group.0.snapshot().zones.clone();
    let index = group.copied().index;
    let alias = |owner: &str| Record { data: RecordData::Cname(name("x.test")), ..a(owner, 0) };
    for (what, fetched) in [
        ("is not there", fetched(index, 11, vec![a("www.example.test", 7)], Vec::new())),
        ("outside the zone", whole(11, vec![a("www.example.org", 1)])),
        ("cannot stand beside", whole(11, vec![alias("www.example.test")])),
        ("no NS records", fetched(0, 11, Vec::new(), vec![a("www.example.test", 1)])),
        ("signed here", whole(11, vec![other("www.example.test", 46)])),
        ("signed here", whole(11, vec![other("example.test", 48)])),
        ("would never be answered", {
            let cut = ns("sub.example.test", "ns.example.net");
            whole(11, vec![cut, other("deep.sub.example.test", 99)])
        }),
    ] {
        let known = group.copied();
        let early = fetched.check(&name("example.test"), Some(&known)).expect_err(what);
        assert!(early.to_string().contains(what), "{early}");
        let error = group.record(fetched).expect_err(what).to_string();
        assert!(error.contains(what) && error.starts_with("copy of example.test"), "{error}");
        assert_eq!(group.0.snapshot().zones, before);
    }
}

#[test]
fn a_service_wins_over_copied_records_and_leaves_them_when_it_goes() {
    let mut group = Group::with_copy();
    group
        .record(whole(11, vec![a("shop.example.test", 7), a("eu.shop.example.test", 8)]))
        .expect("possible");
    assert_eq!(group.ask("shop.example.test"), one(7));
    group.serve("shop.example.test").expect("a copied name is free");
    let steered = group.ask("shop.example.test");
    assert_ne!(steered, one(7));
    group.record(whole(12, vec![a("shop.example.test", 9)])).expect("possible");
    assert_eq!(group.ask("shop.example.test"), steered);

    let hides = group.record(whole(13, vec![ns("shop.example.test", "ns.example.net")]));
    assert!(matches!(hides, Err(Rejection::NameInUse { .. })), "{hides:?}");
    let apex = group.serve("example.test");
    assert!(matches!(apex, Err(Rejection::NameInUse { .. })), "{apex:?}");

    let Service { id, .. } = service();
    group.try_apply(Command::DeleteService { id, if_revision: None }).expect("it is there");
    assert_eq!(group.ask("shop.example.test"), one(9));
    assert_eq!(group.ask("eu.shop.example.test").0, Code::NameError);
}

#[test]
fn a_zone_that_comes_from_primaries_from_now_on_is_served_until_it_does() {
    let mut group = Group::new();
    group.declare(zone()).expect("possible");
    group.serve("shop.example.test").expect("free");
    group.declare(declared()).expect("possible");
    assert_eq!(group.ask("www.example.test"), one(1));
    assert_eq!(group.ask("shop.example.test").0, Code::NoError);
    assert_eq!(group.copied().serial, None);

    let index = group.copied().index;
    let removed = vec![a("www.example.test", 1)];
    group.record(fetched(index, 2, removed, vec![a("new.example.test", 5)])).expect("possible");
    assert_eq!(group.ask("www.example.test").0, Code::NameError);
    assert_eq!(group.ask("new.example.test"), one(5));

    let mut elsewhere = declared();
    let more = "198.51.100.2:53".parse().expect("an address");
    elsewhere.primaries.iter_mut().for_each(|primaries| primaries.addresses.push(more));
    group.declare(elsewhere).expect("possible");
    assert_eq!(group.ask("new.example.test"), one(5));
    group.record(whole(1, Vec::new())).expect("other primaries may count otherwise");

    group.declare(zone()).expect("possible");
    assert_eq!(group.ask("www.example.test"), one(1));
    assert_eq!(group.ask("new.example.test").0, Code::NameError);
    assert!(is_superseded(group.record(whole(90, Vec::new()))), "it is nobody's copy");
}

/// Whether the primaries of the declaration of this revision give the zone.
fn source(declared: u64, problem: Option<&str>) -> Command {
    let problem = problem.map(ToString::to_string);
    Command::RecordZoneSource { term: TERM, zone: name("example.test"), declared, problem }
}

#[test]
fn primaries_are_not_blamed_for_those_that_were_declared_before_them() {
    let mut group = Group::with_copy();
    let before = group.declared();
    let mut elsewhere = declared();
    let more = "198.51.100.2:53".parse().expect("an address");
    elsewhere.primaries.iter_mut().for_each(|primaries| primaries.addresses.push(more));
    group.declare(elsewhere).expect("possible");
    assert!(is_superseded(group.try_apply(source(before, Some("no answer")))));
    let stale = |group: &mut Group| {
        let view = group.0.view();
        view.copies.get(&name("example.test")).expect("it is a copy").stale.clone()
    };
    assert_eq!(stale(&mut group), None);
    let declared = group.declared();
    group.try_apply(source(declared, Some("none"))).expect("of the present ones");
    assert!(is_superseded(group.try_apply(source(before, None))), "nor are they praised");
    assert_eq!(stale(&mut group).as_deref(), Some("none"));
}

#[test]
fn silent_primaries_are_told_once_and_the_copy_is_served_on() {
    let mut group = Group::with_copy();
    let declared = group.declared();
    let source = |problem| source(declared, problem);
    let events = group.try_apply(source(Some("no answer"))).expect("possible");
    assert!(matches!(&events[..], [Event::ZoneStale { problem, .. }] if problem == "no answer"));
    assert_eq!(group.try_apply(source(Some("still none"))), Ok(Vec::new()));
    assert_eq!(group.ask("www.example.test"), one(1));
    let view = group.0.view();
    let status = view.copies.get(&name("example.test")).expect("it is a copy");
    assert_eq!(status.stale.as_deref(), Some("still none"));
    let events = group.record(whole(11, vec![a("new.example.test", 5)])).expect("possible");
    assert!(matches!(&events[..], [Event::ZoneCopied { .. }, Event::ZoneFresh { .. }]));
    assert_eq!(group.try_apply(source(None)), Ok(Vec::new()));
}
