//! Dynamic updates: each rule of RFC 2136, 3 that has a form here, and what holds of zones whatever is asked of them.

#[path = "updates/bounds.rs"]
mod bounds;
#[path = "updates/group.rs"]
mod group;
#[path = "updates/keys.rs"]
mod keys;
#[path = "updates/once.rs"]
mod once;
#[path = "updates/possible.rs"]
mod possible;
#[path = "updates/serials.rs"]
mod serials;
#[path = "updates/services.rs"]
mod services;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use holdfast_core::event::Event;
use holdfast_core::presentation::{NoOtherTypes, parse_data};
use holdfast_core::sealed::{Sealed, SealingKeyId};
use holdfast_core::signing::{SigningChange, ZoneKey};
use holdfast_core::spec::{
    Address, AllDown, Check, CheckKind, Dnssec, Endpoint, Failback, FailoverRules, KeyAlgorithm,
    Kind, Mode, NameServer, Policy, Pool, Quorum, Record, RecordData, RegionRule, Registers,
    Service, ServiceDns, Soa, TcpCheck, UpdateRule, Zone,
};
use holdfast_core::state::Applied;
use holdfast_core::update::{Action, Change, Condition, Prerequisite, UpdateCode, ZoneUpdate};
use holdfast_core::{
    Actor, ActorKind, Command, DnsName, Entry, GroupId, Rejection, Reply, RequestId, State,
    Timestamp,
};
use proptest::collection::vec;
use proptest::prelude::*;

use group::{Group, changed, data, name, open, registering, service, update, zone};

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
fn what_updates_made_is_refused_to_a_declaration_before_and_at_the_change_with_what_helps() {
    let mut group = Group::new(open());
    assert_eq!(group.update("+ acme 60 TXT x"), Ok(true));
    let clash = zone(&[("acme", "TXT", "y")], &[("k.test", &[], &[])]);
    let judged = group.state.check_zone(&clash, None).map(|_| ());
    let refused = group.apply(Command::ApplyZone { zone: clash, if_revision: None });
    assert_eq!(judged, refused.outcome.result.map(|_| ()), "a dry run is judged alike");
    let Err(Rejection::NameInUse { next_step, .. }) = judged else { panic!("{judged:?}") };
    assert!(next_step.contains("update delete acme.") && next_step.contains("TXT"), "{next_step}");
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
    group.done(Command::ApplyTsigKey { name: named.clone(), key, replace: false });
    let removed = group.apply(Command::RemoveTsigKey { name: named }).outcome.result;
    assert!(matches!(removed, Err(Rejection::InUse { .. })), "{removed:?}");
}
