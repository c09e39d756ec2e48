//! Dynamic updates: each rule of RFC 2136, 3 that has a form here, and what holds of zones whatever is asked of them.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use holdfast_core::event::Event;
use holdfast_core::presentation::{NoOtherTypes, parse_data};
use holdfast_core::sealed::{Sealed, SealingKeyId};
use holdfast_core::signing::{SigningChange, ZoneKey};
use holdfast_core::spec::{
    Address, AllDown, Check, CheckKind, Dnssec, Endpoint, Failback, FailoverRules, KeyAlgorithm,
    Kind, Mode, NameServer, Policy, Pool, Quorum, Record, RecordData, RegionRule, Service,
    ServiceDns, Soa, TcpCheck, UpdateRule, Zone,
};
use holdfast_core::state::Applied;
use holdfast_core::update::{Action, Change, Condition, Prerequisite, UpdateCode, ZoneUpdate};
use holdfast_core::{
    Actor, ActorKind, Command, DnsName, Entry, GroupId, Rejection, Reply, RequestId, State,
    Timestamp,
};
use proptest::collection::vec;
use proptest::prelude::*;

const APEX: &str = "z.test";

fn name(text: &str) -> DnsName {
    match text {
        "@" => DnsName::new(APEX),
        text if text.ends_with('.') => DnsName::new(text),
        text => DnsName::new(&format!("{text}.{APEX}")),
    }
    .expect("a valid name")
}

fn data(kind: &str, text: &str) -> RecordData {
    let kind: Kind = kind.parse().expect("a type");
    parse_data(kind, text, Some(&name("@")), &NoOtherTypes).expect("valid data")
}

fn zone(records: &[(&str, &str, &str)], rules: &[(&str, &[&str], &[Kind])]) -> Zone {
    let second = Duration::from_secs(1);
    let soa = Soa { negative_ttl: 5 * second, ..Soa::new(name("hostmaster")) };
    let addresses = vec![IpAddr::V4(Ipv4Addr::new(192, 0, 2, 53))];
    let servers = vec![NameServer { name: name("ns1"), addresses }];
    let mut zone = Zone::new(name("@"), soa, servers, 300 * second);
    zone.records = records
        .iter()
        .map(|(owner, kind, text)| Record {
            name: name(owner),
            ttl: 60 * second,
            data: data(kind, text),
        })
        .collect();
    zone.updates = rules
        .iter()
        .map(|(key, names, types)| UpdateRule {
            key: DnsName::new(key).expect("valid"),
            names: names.iter().map(|text| name(text)).collect(),
            types: types.to_vec(),
        })
        .collect();
    zone
}

/// A service at shop.z.test, with an endpoint at one.shop.z.test.
fn service(at: &str) -> Service {
    let endpoint = Endpoint {
        name: "one".parse().expect("a label"),
        address: Address::Ip(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 80))),
        port: 80,
        weight: 1,
    };
    let pool = Pool {
        name: "main".parse().expect("a label"),
        region: None,
        priority: 0,
        weight: 1,
        min_up: 1,
        endpoints: vec![endpoint],
    };
    let tcp = CheckKind::Tcp(TcpCheck { port: None, send: vec![], expect: vec![] });
    let second = Duration::from_secs(1);
    let check = Check {
        name: "tcp".parse().expect("a label"),
        kind: tcp,
        interval: 5 * second,
        timeout: second,
        rise: 2,
        fall: 2,
        confirm: second,
    };
    Service {
        id: "shop".parse().expect("an id"),
        dns: ServiceDns::new(name(at), 30 * second),
        policy: Policy::Failover,
        pools: vec![pool],
        checks: vec![check],
        quorum: Quorum { regions: RegionRule::Majority, veto_percent: 33 },
        failover: FailoverRules {
            mode: Mode::Enforce,
            failback: Failback::Auto,
            hold_down: 300 * second,
            cooldown: 60 * second,
            max_moves: 4,
            window: 600 * second,
            all_down: AllDown::FailOpen,
        },
    }
}

struct Group {
    state: State,
    index: u64,
}

impl Group {
    fn new(zone: Zone) -> Self {
        let mut group = Self { state: State::new(GroupId(1)), index: 0 };
        group.done(Command::ApplyZone { zone, if_revision: None });
        group
    }

    fn apply_as(&mut self, request_id: Option<u128>, command: Command) -> Applied {
        self.index += 1;
        let actor = Actor { kind: ActorKind::Workload, name: "tsig:k.test".into() };
        let at = Timestamp(1000 * self.index);
        let request_id = request_id.map(RequestId);
        self.state.apply(self.index, &Entry { at, request_id, actor, command })
    }

    fn apply(&mut self, command: Command) -> Applied {
        self.apply_as(None, command)
    }

    fn done(&mut self, command: Command) -> Applied {
        let applied = self.apply(command);
        assert!(applied.outcome.result.is_ok(), "{:?}", applied.outcome.result);
        applied
    }

    fn declare(&mut self, zone: Zone) -> Result<Reply, Rejection> {
        self.apply(Command::ApplyZone { zone, if_revision: None }).outcome.result
    }

    fn update(&mut self, told: &str) -> Result<bool, UpdateCode> {
        let applied = self.apply(Command::UpdateZone(update("k.test", told)));
        changed(applied.outcome.result)
    }

    fn serial(&mut self) -> u32 {
        self.state.view().answers.zones.get(&name("@")).expect("the zone").serial
    }

    /// Signs a zone; until when caches may hold what its key has not signed.
    fn key_awaits(&mut self, apex: &str) -> Timestamp {
        let private = Sealed { key: SealingKeyId([0; 8]), nonce: [0; 12], ciphertext: vec![] };
        let key = ZoneKey {
            algorithm: KeyAlgorithm::Ed25519,
            public: vec![1; 32],
            private,
            created: Timestamp(0),
        };
        let change = SigningChange::Enable(key);
        self.done(Command::ChangeSigning { zone: name(apex), change });
        self.state.snapshot().zones[&name(apex)].signing.cached_until
    }

    /// What updates made: `name type data`, sorted.
    fn dynamic(&self) -> Vec<String> {
        let zone = &self.state.snapshot().zones[&name("@")];
        let line =
            |r: &Record| format!("{} {} {} {}", r.name, r.ttl.as_secs(), r.data.kind(), r.data);
        zone.dynamic.values().flatten().map(line).collect()
    }

    /// What is answered with at a name, of a type.
    fn served(&mut self, owner: &str, kind: Kind) -> Vec<String> {
        let view = self.state.view();
        let here = view.answers.names.get(&name(owner));
        let sets = here.into_iter().flat_map(|here| &here.sets);
        let records = sets.flat_map(|set| &set.records).map(|(data, _)| data);
        records.filter(|data| data.kind() == kind).map(ToString::to_string).collect()
    }
}

fn changed(result: Result<Reply, Rejection>) -> Result<bool, UpdateCode> {
    match result {
        Ok(Reply::Stored { changed, .. }) => Ok(changed),
        Err(Rejection::Update(refusal)) => Err(refusal.code),
        other => panic!("no outcome of an update: {other:?}"),
    }
}

/// An update in lines: `yx NAME`, `nx NAME`, `yx NAME TYPE`, `nx NAME TYPE`, `is NAME TYPE DATA`, `+ NAME TTL TYPE
/// DATA`, `- NAME`, `- NAME TYPE`, `- NAME TYPE DATA`; separated by semicolons.
fn update(key: &str, told: &str) -> ZoneUpdate {
    let mut update = ZoneUpdate {
        zone: name("@"),
        key: DnsName::new(key).expect("valid"),
        prerequisites: vec![],
        changes: vec![],
    };
    for line in told.split(';') {
        let words: Vec<&str> = line.split_whitespace().collect();
        let owner = name(words[1]);
        let kind = |at: usize| words[at].parse::<Kind>().expect("a type");
        let rest = |at: usize| data(words[at], &words[at + 1..].join(" "));
        let exists = words[0] == "yx";
        let condition = match (words[0], words.len()) {
            ("yx" | "nx", 2) => Some(Condition::Name { exists }),
            ("yx" | "nx", _) => Some(Condition::Set { kind: kind(2), exists }),
            ("is", _) => Some(Condition::Holds(rest(2))),
            _ => None,
        };
        if let Some(condition) = condition {
            update.prerequisites.push(Prerequisite { name: owner, condition });
            continue;
        }
        let action = match (words[0], words.len()) {
            ("+", _) => {
                let ttl = Duration::from_secs(words[2].parse().expect("a TTL"));
                Action::Add { ttl, data: rest(3) }
            }
            ("-", 2) => Action::RemoveName,
            ("-", 3) => Action::RemoveSet(kind(2)),
            _ => Action::Remove(rest(2)),
        };
        update.changes.push(Change { name: owner, action });
    }
    update
}

fn open() -> Zone {
    zone(&[("www", "A", "192.0.2.1"), ("www", "TXT", "x")], &[("k.test", &[], &[])])
}

#[test]
fn records_come_change_and_go_and_are_served() {
    let mut group = Group::new(open());
    let before = group.serial();
    assert_eq!(group.update("+ a 60 A 192.0.2.9; + a 60 A 192.0.2.8; + a 60 TXT hi"), Ok(true));
    assert_eq!(group.served("a", Kind::A), ["192.0.2.8", "192.0.2.9"]);
    assert!(group.serial() > before);
    assert_eq!(group.update("- a A 192.0.2.9; + a 30 A 192.0.2.7"), Ok(true));
    assert_eq!(
        group.dynamic(),
        ["a.z.test 30 A 192.0.2.7", "a.z.test 30 A 192.0.2.8", "a.z.test 60 TXT \"hi\""]
    );
    assert_eq!(group.update("- a A"), Ok(true));
    assert!(group.served("a", Kind::A).is_empty());
    assert_eq!(group.update("- a; + b 1 MX 10 a"), Ok(true));
    assert!(group.state.view().answers.names.get(&name("a")).is_none());
    assert_eq!(group.served("b", Kind::MX).len(), 1);
    assert_eq!(group.served("www", Kind::A), ["192.0.2.1"], "what is declared stays");
}

#[test]
fn what_is_there_already_changes_nothing_and_no_serial() {
    let mut group = Group::new(open());
    assert_eq!(group.update("+ a 60 A 192.0.2.9"), Ok(true));
    let serial = group.serial();
    let repeated = group.done(Command::UpdateZone(update("k.test", "+ a 60 A 192.0.2.9")));
    assert!(repeated.records.is_empty());
    for nothing in ["- b", "- a A 192.0.2.1", "- a AAAA", "+ b 60 A 192.0.2.1; - b A", "yx a"] {
        assert_eq!(group.update(nothing), Ok(false), "{nothing}");
    }
    assert_eq!(group.serial(), serial);
}

#[test]
fn prerequisites_are_told_by_their_codes() {
    let mut group = Group::new(open());
    group.done(Command::ApplyService { service: service("shop"), if_revision: None });
    assert_eq!(group.update("+ a 60 A 192.0.2.9; + a 60 A 192.0.2.8"), Ok(true));
    let met = [
        "yx a; nx b; yx a A; nx a AAAA; nx b A",
        "is a A 192.0.2.8; is a A 192.0.2.9",
        "is a A 192.0.2.9; is a A 192.0.2.8; is a A 192.0.2.8",
        "yx www; is www TXT x; is www A 192.0.2.1",
        "yx @; yx @ SOA; yx @ NS; is @ NS ns1; is ns1 A 192.0.2.53",
        "yx shop; yx shop A; is shop A 192.0.2.80; nx shop AAAA; yx one.shop A",
        "is one.shop A 192.0.2.80; nx one.shop SRV; nx two.shop; nx a.one.shop",
    ];
    for met in met {
        assert_eq!(group.update(&format!("{met}; - b")), Ok(false), "{met}");
    }
    for (unmet, code) in [
        ("yx b", UpdateCode::NameMissing),
        ("nx a", UpdateCode::NameExists),
        ("nx shop", UpdateCode::NameExists),
        ("yx a AAAA", UpdateCode::SetMissing),
        ("yx b A", UpdateCode::SetMissing),
        ("nx a A", UpdateCode::SetExists),
        ("nx @ SOA", UpdateCode::SetExists),
        ("is a A 192.0.2.8", UpdateCode::SetMissing),
        ("is a A 192.0.2.8; is a A 192.0.2.9; is a A 192.0.2.7", UpdateCode::SetMissing),
        ("is b TXT hi", UpdateCode::SetMissing),
        ("is www A 192.0.2.1; is www TXT y", UpdateCode::SetMissing),
        ("is one.shop A 192.0.2.81", UpdateCode::SetMissing),
        ("yx other.test.", UpdateCode::NotInZone),
    ] {
        let before = group.state.snapshot().zones.clone();
        assert_eq!(group.update(&format!("{unmet}; + c 1 A 192.0.2.1")), Err(code), "{unmet}");
        assert_eq!(group.state.snapshot().zones, before, "{unmet}");
    }
}

#[test]
fn of_two_updates_that_exclude_each_other_one_happens() {
    let mut group = Group::new(open());
    assert_eq!(group.update("nx a; + a 60 A 192.0.2.1"), Ok(true));
    assert_eq!(group.update("nx a; + a 60 A 192.0.2.2"), Err(UpdateCode::NameExists));
    assert_eq!(group.served("a", Kind::A), ["192.0.2.1"]);
}

#[test]
fn an_update_happens_as_a_whole_or_not_at_all() {
    let mut group = Group::new(open());
    let before = group.state.snapshot().zones.clone();
    let refused = group.update("+ a 60 A 192.0.2.1; + www 60 A 192.0.2.2; + b 60 A 192.0.2.3");
    assert_eq!(refused, Err(UpdateCode::Refused));
    assert_eq!(group.state.snapshot().zones, before);
    assert!(group.state.view().answers.names.get(&name("a")).is_none());
}

#[test]
fn a_key_changes_what_a_rule_gives_it_and_nothing_else() {
    let rules: [(&str, &[&str], &[Kind]); 2] = [
        ("k.test", &["*.lab", "_acme-challenge.shop"], &[Kind::A, Kind::TXT]),
        ("all.test", &[], &[]),
    ];
    let mut group = Group::new(zone(&[("www", "A", "192.0.2.1")], &rules));
    group.done(Command::ApplyService { service: service("shop"), if_revision: None });
    for allowed in [
        "+ a.lab 60 A 192.0.2.1; + b.a.lab 60 TXT hi",
        "+ _acme-challenge.shop 60 TXT token",
        "- a.lab",
    ] {
        assert_eq!(group.update(allowed), Ok(true), "{allowed}");
    }
    for refused in [
        "+ lab 60 A 192.0.2.1",
        "+ a.lab 60 MX 10 a",
        "- a.lab MX",
        "- lab",
        "+ c 60 A 192.0.2.1",
        "- www A",
        "+ shop 60 A 192.0.2.1",
        "- one.shop A",
        "- shop",
        "+ _holdfast 60 TXT x",
        "- @",
    ] {
        assert_eq!(group.update(refused), Err(UpdateCode::Refused), "{refused}");
    }
    for (key, code) in [("other.test", UpdateCode::Refused), ("all.test", UpdateCode::Refused)] {
        let applied = group.apply(Command::UpdateZone(update(key, "+ shop 60 TXT x")));
        assert_eq!(changed(applied.outcome.result), Err(code), "{key}");
    }
    let outside = Command::UpdateZone(update("all.test", "+ other.test. 60 TXT x"));
    assert_eq!(changed(group.apply(outside).outcome.result), Err(UpdateCode::NotInZone));
    let elsewhere = ZoneUpdate { zone: name("lab"), ..update("all.test", "+ a.lab 60 TXT x") };
    let applied = group.apply(Command::UpdateZone(elsewhere));
    assert_eq!(changed(applied.outcome.result), Err(UpdateCode::NotOurs));
}

#[test]
fn what_is_declared_is_no_updates_to_change_and_other_types_beside_it_are() {
    let mut group = Group::new(open());
    for refused in ["+ www 60 A 192.0.2.2", "- www A", "- www A 192.0.2.1", "- www", "- ns1 A"] {
        assert_eq!(group.update(refused), Err(UpdateCode::Refused), "{refused}");
    }
    assert_eq!(group.update("+ www 60 AAAA 2001:db8::1; + @ 60 TXT site"), Ok(true));
    assert_eq!(group.served("www", Kind::A), ["192.0.2.1"]);
    assert_eq!(group.served("www", Kind::AAAA), ["2001:db8::1"]);
    assert_eq!(group.served("@", Kind::TXT), ["\"site\""]);
}

#[test]
fn a_cname_and_other_data_do_not_meet() {
    let mut group = Group::new(zone(&[("d", "CNAME", "www")], &[("k.test", &[], &[])]));
    assert_eq!(group.update("+ c 60 CNAME a; + c 60 CNAME b"), Ok(true));
    assert_eq!(group.dynamic(), ["c.z.test 60 CNAME b.z.test."], "a name has one");
    assert_eq!(group.update("+ c 60 A 192.0.2.1"), Ok(false), "ignored (RFC 2136, 3.4.2.2)");
    assert_eq!(group.update("+ d 60 TXT x"), Ok(false));
    assert_eq!(group.update("+ a 60 A 192.0.2.1; + a 60 CNAME b"), Ok(true));
    assert_eq!(group.served("a", Kind::CNAME), [""; 0]);
    assert_eq!(group.update("- c CNAME; + c 60 A 192.0.2.1"), Ok(true), "in order");
    assert_eq!(group.update("+ @ 60 CNAME a"), Ok(false));
}

#[test]
fn a_zone_stays_possible() {
    let all = [Kind::A, Kind::NS, Kind::DS, Kind::DNAME, Kind::TXT];
    let mut group = Group::new(zone(&[("x.sub", "TXT", "x")], &[("k.test", &[], &all)]));
    group.done(Command::ApplyService { service: service("s.cut"), if_revision: None });
    for refused in [
        "+ sub 60 NS ns.elsewhere.test.",
        "+ cut 60 NS ns.elsewhere.test.",
        "+ lab 60 NS ns.lab",
        "+ lab 60 DS 1 13 2 00",
        "+ @ 60 NS ns.elsewhere.test.",
        "+ *.w 60 NS ns.elsewhere.test.",
        "+ sub 60 DNAME other.test.",
    ] {
        assert_eq!(group.update(refused), Err(UpdateCode::Refused), "{refused}");
    }
    assert_eq!(group.update("+ lab 60 NS ns.lab; + ns.lab 60 A 192.0.2.1"), Ok(true));
    for refused in ["- ns.lab", "+ a.lab 60 TXT x", "+ lab 60 TXT x"] {
        assert_eq!(group.update(refused), Err(UpdateCode::Refused), "{refused}");
    }
    assert_eq!(group.update("- lab; - ns.lab"), Ok(true));
    let big = format!("+ t 60 TXT {}", vec!["x".repeat(250); 30].join(" "));
    let sets: Vec<String> = (0..8).map(|n| big.replace("TXT ", &format!("TXT {n} "))).collect();
    assert_eq!(group.update(&sets.join(";")), Err(UpdateCode::Refused), "no answer would hold it");
}

#[test]
fn a_ttl_is_at_most_a_day_and_one_per_set() {
    let mut group = Group::new(open());
    assert_eq!(
        group.update("+ a 100000 A 192.0.2.1; + a 99999 A 192.0.2.2; + a 7 TXT x"),
        Ok(true)
    );
    let expected =
        ["a.z.test 86400 A 192.0.2.1", "a.z.test 86400 A 192.0.2.2", "a.z.test 7 TXT \"x\""];
    assert_eq!(group.dynamic(), expected);
}

#[test]
fn a_declaration_applied_anew_leaves_what_updates_made() {
    let mut group = Group::new(open());
    assert_eq!(group.update("+ a 60 A 192.0.2.9; + www 60 AAAA 2001:db8::1"), Ok(true));
    let mut anew = open();
    anew.records.push(Record {
        name: name("new"),
        ttl: Duration::ZERO,
        data: data("A", "192.0.2.5"),
    });
    anew.records.retain(|record| record.data.kind() != Kind::TXT);
    assert!(group.declare(anew.clone()).is_ok());
    assert_eq!(group.served("a", Kind::A), ["192.0.2.9"]);
    assert_eq!(group.served("www", Kind::AAAA), ["2001:db8::1"]);
    assert_eq!(group.served("new", Kind::A), ["192.0.2.5"]);
    assert!(group.served("www", Kind::TXT).is_empty());
    for (owner, kind, text) in [
        ("a", "A", "192.0.2.1"),
        ("a", "CNAME", "www"),
        ("www", "AAAA", "::1"),
        ("a", "DNAME", "x"),
    ] {
        let mut clash = anew.clone();
        let record = Record { name: name(owner), ttl: Duration::ZERO, data: data(kind, text) };
        clash.records.push(record);
        let refused = group.declare(clash);
        let possible = kind == "DNAME";
        assert_eq!(refused.is_ok(), possible, "{owner} {kind}: {refused:?}");
    }
    assert_eq!(group.served("a", Kind::A), ["192.0.2.9"]);
}

#[test]
fn names_of_updates_and_of_services_do_not_meet() {
    let mut group = Group::new(open());
    assert_eq!(group.update("+ one.shop 60 A 192.0.2.9"), Ok(true));
    let taken = group.apply(Command::ApplyService { service: service("shop"), if_revision: None });
    assert!(matches!(taken.outcome.result, Err(Rejection::NameInUse { .. })));
    assert_eq!(group.update("- one.shop"), Ok(true));
    group.done(Command::ApplyService { service: service("shop"), if_revision: None });
}

/// What happens to the serial when an address in other.test changes: whether it is the index of that change.
fn follows_other(group: &mut Group, last: u8) -> bool {
    let second = Duration::from_secs(1);
    let soa = Soa::new(name("hostmaster.other.test."));
    let servers = vec![NameServer { name: name("ns1"), addresses: vec![] }];
    let mut other = Zone::new(name("other.test."), soa, servers, 300 * second);
    let data = RecordData::A(Ipv4Addr::new(198, 51, 100, last));
    other.records = vec![Record { name: name("host.other.test."), ttl: 60 * second, data }];
    let before = group.serial();
    group.done(Command::ApplyZone { zone: other, if_revision: None });
    let mut restored = State::restore(group.state.snapshot().clone());
    assert_eq!(restored.view().answers, group.state.view().answers);
    let after = group.serial();
    assert!(after == before || u64::from(after) == group.index);
    after > before
}

#[test]
fn a_serial_grows_with_the_zones_that_an_alias_leads_into_by_way_of_updates() {
    let mut group = Group::new(zone(&[("@", "ALIAS", "www")], &[("k.test", &[], &[])]));
    assert!(!follows_other(&mut group, 1));
    assert_eq!(group.update("+ www 60 CNAME host.other.test.; + x 60 A 192.0.2.1"), Ok(true));
    assert!(follows_other(&mut group, 2));
    group.state = State::restore(group.state.snapshot().clone());
    assert!(follows_other(&mut group, 3));
    assert_eq!(group.update("+ www 60 CNAME x"), Ok(true));
    assert!(!follows_other(&mut group, 4));
    assert_eq!(group.update("+ www 60 CNAME host.other.test."), Ok(true));
    let anew = zone(&[("@", "ALIAS", "www"), ("y", "A", "192.0.2.1")], &[("k.test", &[], &[])]);
    assert!(group.declare(anew).is_ok());
    assert!(follows_other(&mut group, 5), "what updates made is still there");
}

#[test]
fn a_serial_grows_with_the_zones_that_an_alias_leads_into_by_way_of_services() {
    let mut group = Group::new(zone(&[("@", "ALIAS", "shop")], &[]));
    assert!(!follows_other(&mut group, 1));
    let mut leading = service("shop");
    leading.pools[0].endpoints[0].address = Address::Name(name("host.other.test."));
    group.done(Command::ApplyService { service: leading, if_revision: None });
    assert!(follows_other(&mut group, 2));
    group.state = State::restore(group.state.snapshot().clone());
    assert!(follows_other(&mut group, 3));
    assert!(group.declare(zone(&[("@", "ALIAS", "shop"), ("y", "A", "192.0.2.1")], &[])).is_ok());
    assert!(follows_other(&mut group, 4), "the service is still there");
    group.done(Command::ApplyService { service: service("shop"), if_revision: None });
    assert!(!follows_other(&mut group, 5));
}

#[test]
fn a_request_is_done_once() {
    let mut group = Group::new(open());
    let add = Command::UpdateZone(update("k.test", "+ a 60 A 192.0.2.9"));
    assert_eq!(changed(group.apply_as(Some(7), add.clone()).outcome.result), Ok(true));
    assert_eq!(group.update("- a"), Ok(true));
    let again = group.apply_as(Some(7), add);
    assert_eq!(changed(again.outcome.result), Ok(true), "told as the first time");
    assert!(group.dynamic().is_empty(), "and not done again");
}

#[test]
fn updates_take_no_places_from_other_requests_and_go_earlier() {
    let mut group = Group::new(open());
    let delete = Command::DeleteZone { name: name("none") };
    let refused = group.apply_as(Some(1), delete).outcome;
    let mut snapshot = group.state.snapshot().clone();
    let at = snapshot.at;
    // All places of other requests are taken, this one's first.
    let others = (2..=Entry::REPLAY_LIMIT as u128).map(|id| (at, RequestId(id)));
    snapshot.reply_order.extend(others);
    group.state = State::restore(snapshot);
    let add = Command::UpdateZone(update("k.test", "+ a 60 A 192.0.2.9"));
    let signed = 1 << 64;
    assert_eq!(changed(group.apply_as(Some(signed), add.clone()).outcome.result), Ok(true));
    let create = Command::ApplyZone { zone: open(), if_revision: None };
    assert_eq!(group.apply_as(Some(1), create.clone()).outcome, refused, "it is remembered");

    let hour = u64::try_from(Entry::UPDATE_REPLAY_WINDOW.as_millis()).expect("an hour");
    assert_eq!(group.update("- a"), Ok(true));
    group.index += hour / 1000 - 10;
    group.apply_as(Some(signed), add.clone());
    assert!(group.dynamic().is_empty(), "the update is remembered");
    group.index += 10;
    group.apply_as(Some(signed), add);
    assert_eq!(group.dynamic().len(), 1, "and forgotten after an hour");
    assert_eq!(group.apply_as(Some(1), create).outcome, refused, "the other is remembered on");
    let snapshot = group.state.snapshot();
    let kept = (snapshot.reply_order.len(), snapshot.update_order.len());
    assert_eq!(kept, (Entry::REPLAY_LIMIT, 1));
}

#[test]
fn the_audit_chain_names_the_key_and_what_changed() {
    let mut group = Group::new(open());
    group.done(Command::UpdateZone(update("k.test", "+ a 60 A 192.0.2.9")));
    let applied =
        group.done(Command::UpdateZone(update("k.test", "- a A 192.0.2.9; + a 30 A 192.0.2.8")));
    let [record] = &applied.records[..] else { panic!("{:?}", applied.records) };
    let expected = Event::ZoneUpdated {
        zone: name("@"),
        key: DnsName::new("k.test").expect("valid"),
        changes: vec!["- a.z.test 60 A 192.0.2.9".into(), "+ a.z.test 30 A 192.0.2.8".into()],
        unnamed: 0,
    };
    assert_eq!(record.content.event, expected);
    let many: Vec<String> = (0..100).map(|n| format!("+ h{n} 60 A 192.0.2.1")).collect();
    let applied = group.done(Command::UpdateZone(update("k.test", &many.join(";"))));
    let Event::ZoneUpdated { changes, unnamed, .. } = &applied.records[0].content.event else {
        panic!("{:?}", applied.records)
    };
    assert_eq!((changes.len(), *unnamed), (64, 36));
    let refused = group.apply(Command::UpdateZone(update("k.test", "- www A")));
    assert!(matches!(refused.records[0].content.event, Event::CommandRefused { .. }));
    let unmet = group.apply(Command::UpdateZone(update("k.test", "yx none; - a")));
    assert!(unmet.records.is_empty(), "an answer to a question is no refusal");
}

#[test]
fn a_key_that_a_rule_names_is_not_removed() {
    let mut group = Group::new(open());
    let key = holdfast_core::tsig::TsigKey {
        algorithm: holdfast_core::tsig::TsigAlgorithm::HmacSha256,
        secret: Sealed { key: SealingKeyId([0; 8]), nonce: [0; 12], ciphertext: vec![0; 48] },
    };
    let named = DnsName::new("k.test").expect("valid");
    group.done(Command::ApplyTsigKey { name: named.clone(), key });
    let removed = group.apply(Command::RemoveTsigKey { name: named }).outcome.result;
    assert!(matches!(removed, Err(Rejection::InUse { .. })), "{removed:?}");
}

#[test]
fn an_update_has_bounds() {
    let mut group = Group::new(open());
    let whole = update("k.test", "yx www; + a 60 A 192.0.2.9");
    let asking = |count| vec![whole.prerequisites[0].clone(); count];
    let changing = |count| vec![whole.changes[0].clone(); count];
    for (prerequisites, changes, expected) in [
        (64, 1000, Ok(true)),
        (65, 0, Err(UpdateCode::Refused)),
        (0, 1001, Err(UpdateCode::Refused)),
    ] {
        let update = ZoneUpdate {
            prerequisites: asking(prerequisites),
            changes: changing(changes),
            ..whole.clone()
        };
        let result = group.apply(Command::UpdateZone(update)).outcome.result;
        assert_eq!(changed(result), expected, "{prerequisites} and {changes}");
    }
}

#[test]
fn a_name_has_a_bounded_number_of_records_of_updates() {
    let mut group = Group::new(open());
    let mut add = |kind: usize, records: std::ops::Range<usize>| {
        let lines = records.map(|n| format!("+ a 60 TYPE{} \\# 2 {n:04x}", 1000 + kind));
        group.update(&lines.collect::<Vec<_>>().join(";"))
    };
    for kind in 0..4 {
        assert_eq!(add(kind, 0..1000), Ok(true));
    }
    assert_eq!(add(4, 0..96), Ok(true), "4096 records");
    assert_eq!(add(5, 0..1), Err(UpdateCode::Refused));
    assert_eq!(add(4, 0..96), Ok(false), "they are there");
    let longer = update("k.test", "+ a 61 TYPE1001 \\# 2 0000");
    let applied = group.done(Command::UpdateZone(longer));
    let Event::ZoneUpdated { changes, unnamed, .. } = &applied.records[0].content.event else {
        panic!("{:?}", applied.records)
    };
    assert_eq!((changes.len(), *unnamed), (64, 2000 - 64), "a TTL is that of the whole set");
    assert!(changes.iter().all(|line| line.starts_with("- a.z.test 60 TYPE1001 ")), "{changes:?}");
    assert_eq!(group.update("- a; + b 60 A 192.0.2.1"), Ok(true));
}

#[test]
fn a_zone_has_a_bounded_number_of_bytes() {
    let mut group = Group::new(open());
    let record = |n: usize, last: u8| {
        let data = RecordData::Other { kind: Kind(1000), data: vec![last; 8000] };
        Record { name: name(&format!("h{n}")), ttl: Duration::from_secs(60), data }
    };
    // 24 KB at each name.
    let fill = |names: std::ops::Range<usize>| {
        let records = names.flat_map(|n| (0..3).map(move |last| record(n, last)));
        let changes = records
            .map(|Record { name, ttl, data }| Change { name, action: Action::Add { ttl, data } });
        let update = ZoneUpdate { changes: changes.collect(), ..update("k.test", "- a") };
        Command::UpdateZone(update)
    };
    for chunk in 0..4 {
        group.done(fill(chunk * 330..(chunk + 1) * 330));
    }
    let held =
        |group: &Group| group.state.snapshot().zones[&name("@")].dynamic.values().flatten().count();
    assert_eq!(held(&group), 3960);
    assert_eq!(changed(group.apply(fill(1320..1420)).outcome.result), Err(UpdateCode::Refused));
    assert_eq!(held(&group), 3960);
    assert_eq!(group.update("- h0; - h1"), Ok(true));
    assert_eq!(changed(group.apply(fill(2000..2002)).outcome.result), Ok(true));
    let declaring = |count: usize| {
        let records = (0..count).map(|n| record(5000 + n, 0)).collect();
        Zone { records, ..open() }
    };
    let beside = group.declare(declaring(250));
    assert!(matches!(beside, Err(Rejection::LimitReached { .. })), "{beside:?}");
    let alone = declaring(4200).validate().expect_err("more than 32 MiB");
    assert_eq!(alone.field, "records");
    assert!(declaring(4000).validate().is_ok());
}

/// What may be asked of a small zone.
fn step() -> impl Strategy<Value = Command> {
    let owner =
        prop::sample::select(vec!["@", "a", "b", "a.b", "c.a.b", "*.b", "ns1", "www", "shop"]);
    let kinds = vec![
        ("A", "192.0.2.1"),
        ("A", "192.0.2.2"),
        ("CNAME", "a"),
        ("TXT", "x"),
        ("NS", "ns.elsewhere.test."),
        ("NS", "c.a.b"),
        ("DNAME", "b"),
        ("DS", "1 13 2 00"),
    ];
    let record = move || prop::sample::select(kinds.clone());
    let line =
        (owner, record(), 0_u8..9, 0_u8..3).prop_map(
            |(owner, (kind, text), verb, ttl)| match verb {
                0..5 => format!("+ {owner} {ttl} {kind} {text}"),
                5 => format!("- {owner}"),
                6 => format!("- {owner} {kind}"),
                7 => format!("- {owner} {kind} {text}"),
                _ => format!("yx {owner} {kind}"),
            },
        );
    let declared = vec![
        ("www", "A", "192.0.2.1"),
        ("a", "TXT", "d"),
        ("b", "NS", "ns.elsewhere.test."),
        ("c.a.b", "A", "192.0.2.3"),
    ];
    let declared = prop::sample::subsequence(declared, 0..4);
    prop_oneof![
        8 => vec(line, 1..4).prop_map(|lines| Command::UpdateZone(update("k.test", &lines.join(";")))),
        2 => declared.prop_map(|records| {
            let all = [Kind::A, Kind::CNAME, Kind::TXT, Kind::NS, Kind::DNAME, Kind::DS];
            let zone = zone(&records, &[("k.test", &[], &all)]);
            Command::ApplyZone { zone, if_revision: None }
        }),
        1 => Just(Command::ApplyService { service: service("shop"), if_revision: None }),
        1 => Just(Command::DeleteService { id: service("shop").id, if_revision: None }),
        1 => Just(Command::DeleteZone { name: name("@") }),
    ]
}

proptest! {
    #[test]
    fn a_zone_is_possible_and_served_whole_whatever_is_asked(steps in vec(step(), 1..40)) {
        let rule: (&str, &[&str], &[Kind]) =
            ("k.test", &[], &[Kind::A, Kind::CNAME, Kind::TXT, Kind::NS, Kind::DNAME, Kind::DS]);
        let mut group = Group::new(zone(&[], &[rule]));
        let mut serial = 0;
        for command in steps {
            let before = group.state.snapshot().zones.clone();
            let applied = group.apply(command);
            if applied.outcome.result.is_err() {
                prop_assert_eq!(&group.state.snapshot().zones, &before);
            }
            let view = group.state.view();
            let mut restored = State::restore(group.state.snapshot().clone());
            prop_assert_eq!(&restored.view().answers, &view.answers, "published bit by bit and at once");
            let Some(state) = group.state.snapshot().zones.get(&name("@")) else { continue };
            let mut whole = (*state.zone).clone();
            whole.records.extend(state.dynamic.values().flatten().cloned());
            prop_assert_eq!(whole.validate(), Ok(()));
            let next = view.answers.zones.get(&name("@")).expect("it is there").serial;
            prop_assert!(next >= serial);
            serial = next;
        }
    }
}

#[test]
fn a_key_waits_for_the_records_of_updates_too_even_for_those_that_are_gone() {
    let rules: &[(&str, &[&str], &[Kind])] = &[("k.test", &["a"], &[])];
    let signed = Zone { dnssec: Some(Dnssec::default()), ..zone(&[], rules) };
    let group = Group::new(signed);
    let added = "+ a 7200 A 192.0.2.7";
    for (told, kept_from) in [(vec![added], 3), (vec![added, "- a"], 3)] {
        let mut group = Group { state: group.state.clone(), index: group.index };
        for told in &told {
            assert_eq!(group.update(told), Ok(true), "{told}");
        }
        // Two hours and a tenth after the key came, or after the record went.
        let expected = Timestamp(1000 * kept_from + 7_920_000);
        assert_eq!(group.key_awaits("@"), expected, "{told:?}");
    }
}

#[test]
fn a_key_waits_for_what_a_deleted_zone_served_at_its_names() {
    let signed = |apex: &str| {
        let zone = zone(&[], &[("k.test", &[], &[])]);
        Zone { name: name(apex), dnssec: Some(Dnssec::default()), ..zone }
    };
    let mut group = Group::new(signed("@"));
    assert_eq!(group.update("+ a 7200 A 192.0.2.7"), Ok(true));
    group.done(Command::DeleteZone { name: name("@") });
    let kept_until = Timestamp(3000 + 7_920_000);
    for apex in ["@", "below", "test."] {
        let mut group = Group { state: State::restore(group.state.snapshot().clone()), index: 3 };
        assert!(group.declare(signed(apex)).is_ok(), "{apex}");
        assert_eq!(group.key_awaits(apex), kept_until, "{apex}");
    }
    assert!(group.declare(signed("elsewhere.")).is_ok());
    assert!(group.key_awaits("elsewhere.") < kept_until, "nothing was served there");
    let unsigned = Zone { dnssec: None, ..signed("other.") };
    assert!(group.declare(unsigned).is_ok());
    group.index += 8000;
    group.done(Command::DeleteZone { name: name("other.") });
    let kept: Vec<_> = group.state.snapshot().deleted_zones.keys().cloned().collect();
    assert_eq!(kept, [name("other.")], "the first is forgotten");
}

#[test]
fn the_deleted_zones_that_are_remembered_have_a_bound() {
    let mut group = Group::new(open());
    let mut snapshot = group.state.snapshot().clone();
    let full = |until| (0..10_000).map(move |n| (name(&format!("d{n}.test.")), until));
    snapshot.deleted_zones = full(Timestamp(5000)).collect();
    group.state = State::restore(snapshot);
    let delete = Command::DeleteZone { name: name("@") };
    let refused = group.apply(delete.clone()).outcome.result;
    assert!(matches!(refused, Err(Rejection::LimitReached { .. })), "{refused:?}");
    group.index += 3;
    group.done(delete);
    assert_eq!(group.state.snapshot().deleted_zones.len(), 1);
}
