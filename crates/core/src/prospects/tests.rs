//! What is foreseen, and how much of it at the most.

use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::*;
use crate::command::{Actor, Command, Entry};
use crate::id::{EndpointName, GroupId};
use crate::spec::tests::{service, zone};
use crate::spec::{AllDown, Service};
use crate::state::State;
use crate::time::Timestamp;
use crate::view::View;

fn state_of(service: Service) -> State {
    let mut state = State::new(GroupId(1));
    for command in [
        Command::ApplyZone { zone: zone(), if_revision: None },
        Command::ApplyService { service, if_revision: None },
    ] {
        let index = state.index() + 1;
        let (at, actor) = (Timestamp(index), Actor::system());
        let entry = Entry { at, actor, request_id: None, command };
        state.apply(index, &entry).outcome.result.expect("possible");
    }
    state
}

fn status(view: &View) -> Arc<ServiceStatus> {
    view.services.values().next().expect("declared").clone()
}

fn many(endpoints: u16) -> Service {
    let mut service = service();
    let first = service.pools[0].endpoints[0].clone();
    let numbered = |number| Endpoint {
        name: EndpointName::new(&format!("n{number}")).expect("a label"),
        ..first.clone()
    };
    service.pools[0].endpoints = (0..endpoints).map(numbered).collect();
    service
}

fn named(prospects: &Prospects<'_>, place: usize) -> Vec<&'static str> {
    // The fixtures' endpoints.
    let known = ["e1", "e2"];
    let names: Vec<&EndpointName> = prospects.endpoints(place).collect();
    known.into_iter().filter(|text| names.iter().any(|name| name.as_str() == *text)).collect()
}

#[test]
fn of_two_pools_of_one_endpoint_each_is_foreseen_and_both_together() {
    let mut state = state_of(service());
    let view = state.view();
    let status = status(&view);
    let prospects = Prospects::of(&status);
    let all: Vec<_> = (0..prospects.len()).map(|place| named(&prospects, place)).collect();
    assert_eq!(all, [Vec::from(["e1"]), Vec::from(["e2"]), Vec::from(["e1", "e2"])]);
    let seconds: Vec<u64> = prospects.ttls().iter().map(Duration::as_secs).collect();
    assert_eq!(seconds, [5, 30]);
    let first = prospects.sets(0, prospects.ttls()[1]);
    let name = &status.spec.dns.name;
    assert_eq!(view.answers.names.get(name).expect("published").sets, first, "what is served");
}

#[test]
fn a_service_without_endpoints_has_no_prospect() {
    let mut service = service();
    service.pools.iter_mut().for_each(|pool| pool.endpoints.clear());
    service.failover.all_down = AllDown::FailOpen;
    let view = state_of(service).view();
    assert!(Prospects::of(&status(&view)).is_empty());
}

#[test]
fn prospects_are_bounded_and_the_likely_ones_come_first() {
    for endpoints in [8, 40, 1000] {
        let view = state_of(many(endpoints)).view();
        let status = status(&view);
        let prospects = Prospects::of(&status);
        let count = usize::from(endpoints) + 1;
        assert!(prospects.len() <= MOST + count, "{}", prospects.len());
        let sizes: Vec<usize> =
            (0..prospects.len()).map(|place| prospects.endpoints(place).count()).collect();
        assert!(sizes[..count].iter().all(|size| *size == 1), "each endpoint alone");
        assert_eq!(sizes[count], usize::from(endpoints), "the pool that is served");
        let places = 0..prospects.len();
        let short_of_one = places.filter(|place| {
            let mut names = prospects.endpoints(*place);
            let all_of_the_pool = names.all(|name| name.as_str().starts_with('n'));
            all_of_the_pool && sizes[*place] == usize::from(endpoints) - 1
        });
        assert!(short_of_one.count() >= usize::from(endpoints).min(MOST - 3), "of {endpoints}");
    }
}
