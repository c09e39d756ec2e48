use alloc::format;

use super::*;
use crate::command::{Actor, Command, Entry};
use crate::id::GroupId;
use crate::spec::tests::{service, zone};
use crate::state::State;
use crate::time::Timestamp;

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
