use alloc::format;

use super::*;
use crate::command::{Actor, Command, Entry};
use crate::id::GroupId;
use crate::sealed::{Sealed, SealingKeyId};
use crate::signing::{Ds, SigningChange, ZoneKey};
use crate::spec::Kind;
use crate::spec::tests::{service, zone};
use crate::spec::{Dnssec, KeyAlgorithm, Policy, RecordData, ServiceBinding, Zone};
use crate::state::State;
use crate::time::Timestamp;
use crate::view::{Pick, RecordSet};

fn apply(state: &mut State, command: Command) {
    let index = state.index() + 1;
    let entry = Entry { at: Timestamp(index), actor: Actor::system(), request_id: None, command };
    state.apply(index, &entry).outcome.result.expect("possible");
}

/// A group that has published this many services.
fn group_of(services: usize) -> State {
    let mut state = State::new(GroupId(1));
    apply(&mut state, Command::ApplyZone { zone: zone(), if_revision: None });
    for number in 0..services {
        let mut service = service();
        service.id = ServiceId::new(&format!("s{number}")).expect("a label");
        service.dns.name = DnsName::new(&format!("s{number}.example.test")).expect("a name");
        apply(&mut state, Command::ApplyService { service, if_revision: None });
    }
    state.view();
    state
}

/// Moves an endpoint of a service in the middle to another port; returns the views before and after.
fn one_registration(services: usize) -> (Arc<View>, Arc<View>) {
    let mut state = group_of(services);
    let before = state.view();
    let mut endpoint = service().pools[0].endpoints[0].clone();
    endpoint.port = 8080;
    let service = ServiceId::new(&format!("s{}", services / 2)).expect("a label");
    let pool = crate::spec::tests::service().pools[0].name.clone();
    apply(&mut state, Command::RegisterEndpoint { service, pool, endpoint });
    (before, state.view())
}

#[test]
fn a_publication_copies_what_changed_whatever_the_views_size() {
    // Of each map one path from the root to a leaf; a tree of a few thousand entries is three nodes high.
    const PATH: usize = 3;
    for services in [10, 3000] {
        let (before, after) = one_registration(services);
        let changed: Vec<&ServiceId> =
            before.services.differences(&after.services).map(|(id, ..)| id).collect();
        assert_eq!(changed, [&ServiceId::new(&format!("s{}", services / 2)).expect("a label")]);
        assert!(after.services.nodes_beside(&before.services) <= PATH);

        let service = format!("s{}.example.test", services / 2);
        let names: Vec<&str> = before
            .answers
            .names
            .differences(&after.answers.names)
            .map(|(name, ..)| name.as_str())
            .collect();
        assert_eq!(names, [service.as_str(), &format!("e1.{service}"), &format!("e2.{service}")]);
        assert!(after.answers.names.nodes_beside(&before.answers.names) < 2 * PATH);
        assert_eq!(after.zones.nodes_beside(&before.zones), 0);
        assert!(Arc::ptr_eq(&after.agents, &before.agents));
    }
}

#[test]
fn what_follows_a_copy_for_a_snapshot_costs_what_it_changes() {
    let mut state = group_of(3000);
    let copy = state.snapshot().clone();
    let (id, other) =
        (ServiceId::new("s7").expect("a label"), ServiceId::new("s8").expect("a label"));
    let mut endpoint = service().pools[0].endpoints[0].clone();
    endpoint.port = 8080;
    let pool = service().pools[0].name.clone();
    apply(&mut state, Command::RegisterEndpoint { service: id.clone(), pool, endpoint });

    let now = &state.snapshot().services;
    assert!(now.nodes_beside(&copy.services) <= 3);
    let both = |id| (now.get(id).expect("declared"), copy.services.get(id).expect("declared"));
    let (changed, before) = both(&id);
    assert_ne!(changed.revision, before.revision);
    let (untouched, before) = both(&other);
    assert!(Arc::ptr_eq(untouched, before));
}

#[test]
fn an_https_record_hints_at_what_is_served_in_the_same_view() {
    let mut state = group_of(1);
    let name = DnsName::new("s0.example.test").expect("a name");
    let https = |policy: Policy, state: &mut State| {
        let mut service = service();
        service.id = ServiceId::new("s0").expect("a label");
        service.dns.name = name.clone();
        service.policy = policy;
        let params = "alpn=h2 ipv4hint=203.0.113.9".parse().expect("parameters");
        service.dns.https = Some(ServiceBinding { params });
        apply(state, Command::ApplyService { service, if_revision: None });
        let view = state.view();
        let here = view.answers.names.get(&name).expect("published").clone();
        let set = |kind| here.sets.iter().find(|set| set.records[0].0.kind() == kind).cloned();
        (set(Kind::A).expect("addresses"), set(Kind::HTTPS).expect("a binding"))
    };
    let told = |set: &RecordSet| -> Vec<alloc::string::String> {
        set.records.iter().map(|(data, _)| format!("{data}")).collect()
    };
    let (addresses, bindings) = https(Policy::Failover, &mut state);
    let all = format!("1 . alpn=\"h2\" ipv4hint={}", told(&addresses).join(","));
    assert_eq!((told(&bindings), bindings.pick), (Vec::from([all]), Pick::All));
    let (addresses, bindings) = https(Policy::Weighted, &mut state);
    let each = told(&addresses).into_iter().map(|ip| format!("1 . alpn=\"h2\" ipv4hint={ip}"));
    assert_eq!(told(&bindings), each.collect::<Vec<_>>());
    assert!(matches!(bindings.pick, Pick::Weighted(_)), "{:?}", bindings.pick);
    let weights =
        |set: &RecordSet| set.records.iter().map(|(_, weight)| *weight).collect::<Vec<_>>();
    assert_eq!(weights(&addresses), weights(&bindings));
}

#[test]
fn records_that_lead_nowhere_or_hide_a_service_are_refused() {
    let outcome = |state: &mut State, owner: &str, data: RecordData| {
        let name = |text: &str| DnsName::new(text).expect("a name");
        let ttl = Duration::from_secs(60);
        let mut zone = zone();
        zone.records.push(crate::spec::Record { name: name(owner), ttl, data });
        let index = state.index() + 1;
        let command = Command::ApplyZone { zone, if_revision: None };
        let (at, actor) = (Timestamp(index), Actor::system());
        let entry = Entry { at, actor, request_id: None, command };
        state.apply(index, &entry).outcome.result.map_err(|rejection| format!("{rejection}"))
    };
    let name = |text: &str| DnsName::new(text).expect("a name");
    let mut state = group_of(1);
    let alias = |target| RecordData::Alias(name(target));
    let refused = outcome(&mut state, "example.test", alias("elsewhere.net")).expect_err("outside");
    assert!(refused.contains("no zone of this group") && refused.contains("CNAME"), "{refused}");
    outcome(&mut state, "example.test", alias("s0.example.test")).expect("inside");
    for data in [RecordData::Ns(name("ns.elsewhere.net")), RecordData::Dname(name("a.test"))] {
        let refused = outcome(&mut state, "s0.example.test", data).expect_err("hides");
        assert!(refused.contains("s0"), "{refused}");
    }
    outcome(&mut state, "sub.example.test", RecordData::Ns(name("ns.elsewhere.net")))
        .expect("free");
    let mut service = service();
    service.id = ServiceId::new("late").expect("a label");
    service.dns.name = name("late.sub.example.test");
    let command = Command::ApplyService { service, if_revision: None };
    let index = state.index() + 1;
    let (at, actor) = (Timestamp(index), Actor::system());
    let entry = Entry { at, actor, request_id: None, command };
    assert!(state.apply(index, &entry).outcome.result.is_err(), "below a delegation");
}

#[test]
fn the_serial_of_a_zone_grows_with_the_zones_that_its_aliases_lead_into() {
    let name = |text: &str| DnsName::new(text).expect("a name");
    let front = |alias: &str, cname: &str| {
        let mut front = zone();
        front.name = name("front.test");
        let record = |owner, data| {
            let ttl = Duration::from_secs(60);
            crate::spec::Record { name: name(owner), ttl, data }
        };
        front.records = Vec::from([
            record("front.test", RecordData::Alias(name(alias))),
            record("www.front.test", RecordData::Cname(name(cname))),
        ]);
        Command::ApplyZone { zone: front, if_revision: None }
    };
    let mut state = group_of(2);
    let moved = |state: &mut State| {
        let mut endpoint = service().pools[0].endpoints[0].clone();
        endpoint.port = 1000 + u16::try_from(state.index()).expect("few entries");
        let (service, pool) = ("s0".parse().expect("an id"), service().pools[0].name.clone());
        apply(state, Command::RegisterEndpoint { service, pool, endpoint });
        let serial = state.view().answers.zones.get(&name("front.test")).expect("declared").serial;
        (u64::from(serial), state.index())
    };
    for (alias, cname) in
        [("s0.example.test", "a.front.test"), ("www.front.test", "s0.example.test")]
    {
        apply(&mut state, front(alias, cname));
        let (serial, index) = moved(&mut state);
        assert_eq!(serial, index, "it leads there");
        let mut restored = State::restore(state.snapshot().clone());
        let (serial, index) = moved(&mut restored);
        assert_eq!(serial, index, "the same after a restore");
    }
    apply(&mut state, front("www.front.test", "a.front.test"));
    let changed = state.index();
    let (serial, _) = moved(&mut state);
    assert_eq!(serial, changed, "it leads nowhere else");
}

#[test]
fn a_look_at_the_parent_is_told_and_costs_no_serial() {
    let name = |text: &str| DnsName::new(text).expect("a name");
    let mut state = State::new(GroupId(1));
    let signed = Zone { dnssec: Some(Dnssec::default()), ..zone() };
    apply(&mut state, Command::ApplyZone { zone: signed, if_revision: None });
    let (owner, data) = (name("front.test"), RecordData::Alias(name("www.example.test")));
    let record = crate::spec::Record { name: owner.clone(), ttl: Duration::from_secs(60), data };
    let front = Zone { name: owner, records: Vec::from([record]), ..zone() };
    apply(&mut state, Command::ApplyZone { zone: front, if_revision: None });
    let change = |change| Command::ChangeSigning {
        zone: DnsName::new("example.test").expect("a name"),
        change,
    };
    let private = Sealed { key: SealingKeyId([0; 8]), nonce: [0; 12], ciphertext: Vec::new() };
    let (algorithm, public) = (KeyAlgorithm::Ed25519, Vec::from([1; 32]));
    let key = ZoneKey { algorithm, public, private, created: Timestamp(0) };
    apply(&mut state, change(SigningChange::Enable(key)));
    let serials = |view: &View| {
        ["example.test", "front.test"]
            .map(|zone| view.answers.zones.get(&name(zone)).map(|z| z.serial))
    };
    let before = serials(&state.view());
    let ds = Ds { tag: 7, algorithm: 13, digest_type: 2, digest: Vec::from([7; 32]) };
    for records in [Vec::from([ds.clone()]), Vec::from([ds.clone()]), Vec::new()] {
        let seen = records.clone();
        apply(&mut state, change(SigningChange::NoteParent { records, ttl: Duration::ZERO }));
        let view = state.view();
        let zone = view.answers.zones.get(&name("example.test")).expect("declared");
        assert_eq!(zone.signing.parent.as_ref().map(|parent| &parent.records), Some(&seen));
        assert_eq!(serials(&view), before);
    }
}
