//! What a service may come to serve, before it does: so that the signatures of an answer are there before the failover
//! that brings it.
//!
//! ```text
//! one endpoint alone ─▶ pools, and all of them ─▶ one more or less than now ─▶ ever more of them out … up to MOST
//! ```
//!
//! A selection serves some of the endpoints of one pool, or of all: whatever verdicts, brakes, orders and the all-down
//! policy make of it. What is likely comes first, since what lies beyond [`MOST`] is left out; whoever uses this must
//! do without it.
//!
//! Invariant: nothing is decided here. A prospect that never comes true costs memory and no more.
//!
//! What it deliberately does not know: latencies. A choice by latency among several endpoints of one answer is
//! foreseen only where it takes one of them, or all.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::time::Duration;

use crate::decision::Served;
use crate::id::EndpointName;
use crate::selection::serve;
use crate::spec::{Endpoint, Policy, Pool, Service};
use crate::state::service_sets;
use crate::steer::Latencies;
use crate::ttl::{calm_ttl, short_ttl};
use crate::view::{RecordSet, ServiceStatus};

/// The most prospects of a service beside each of its endpoints alone.
pub const MOST: usize = 256;

/// Endpoints by their places in the declaration, ascending.
type Places = Vec<u16>;

/// What a service may come to serve.
#[derive(Debug)]
pub struct Prospects<'a> {
    spec: &'a Service,
    endpoints: Vec<(&'a Pool, &'a Endpoint)>,
    served: Vec<Places>,
    ttls: Vec<Duration>,
}

impl<'a> Prospects<'a> {
    /// What a service may come to serve from where it stands.
    pub fn of(status: &'a ServiceStatus) -> Self {
        let (spec, floor) = (&*status.spec, status.ttl_floor);
        let endpoints: Vec<_> = spec.endpoints().collect();
        let is_served = |endpoint: &Endpoint| {
            status.selection.served.iter().any(|one| one.endpoint == endpoint.name)
        };
        let present = (0u16..).zip(&endpoints).filter(|(_, (_, endpoint))| is_served(endpoint));
        let present: Places = present.map(|(place, _)| place).collect();
        let (calm, short) = (calm_ttl(&spec.dns, floor), short_ttl(&spec.dns, floor));
        let mut ttls = Vec::from([status.ttl.served, short, calm]);
        ttls.sort();
        ttls.dedup();
        Self { spec, served: foresee(spec, present), endpoints, ttls }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.served.len()
    }

    /// Whether there is none: the service has no endpoint.
    pub fn is_empty(&self) -> bool {
        self.served.is_empty()
    }

    /// The TTLs that its answers may have without an order: ascending, at most three.
    pub fn ttls(&self) -> &[Duration] {
        &self.ttls
    }

    /// Whether this prospect is of one endpoint. All endpoints are among those: an answer of one record is in one of
    /// them, whatever else is served.
    pub fn is_single(&self, prospect: usize) -> bool {
        self.served[prospect].len() == 1
    }

    /// The endpoints that are served if this prospect comes true.
    pub fn endpoints(&self, prospect: usize) -> impl Iterator<Item = &'a EndpointName> {
        let places = self.served[prospect].iter();
        places.map(|place| &self.endpoints[usize::from(*place)].1.name)
    }

    /// The record sets at the service's name if this prospect comes true.
    pub fn sets(&self, prospect: usize, ttl: Duration) -> Vec<RecordSet> {
        let places = self.served[prospect].iter();
        let served: Vec<Served> =
            places.map(|place| serve(self.endpoints[usize::from(*place)])).collect();
        service_sets(self.spec, &served, ttl, &Latencies::default())
    }
}

/// Prospects in the order in which they are found, each once.
struct Found {
    known: BTreeSet<Places>,
    ordered: Vec<Places>,
    room: usize,
}

impl Found {
    /// Takes one in; false where there is no room for more.
    fn add(&mut self, places: Places) -> bool {
        if places.is_empty() || self.known.contains(&places) {
            return true;
        }
        if self.ordered.len() >= self.room {
            return false;
        }
        self.known.insert(places.clone());
        self.ordered.push(places);
        true
    }
}

fn foresee(spec: &Service, present: Places) -> Vec<Places> {
    let groups = groups_of(spec);
    // A service has at most 1024 endpoints.
    let count = groups.iter().map(Vec::len).max().unwrap_or(0) as u16;
    let mut found =
        Found { known: BTreeSet::new(), ordered: Vec::new(), room: MOST + usize::from(count) };
    let singles = (0..count).map(|place| Vec::from([place]));
    let near = near(&present, &groups);
    for places in singles.chain([present]).chain(groups.iter().cloned()).chain(near) {
        found.add(places);
    }
    'full: for out in 1..usize::from(count) {
        for group in groups.iter().filter(|group| out < group.len()) {
            if !each_without(group, out, |places| found.add(places)) {
                break 'full;
            }
        }
    }
    found.ordered
}

/// Whose endpoints are served together: of one pool, or of all. The one that is usual for the policy comes first.
fn groups_of(spec: &Service) -> Vec<Places> {
    let mut groups: Vec<Places> = Vec::new();
    let mut next = 0u16;
    for pool in &spec.pools {
        // At most 1024 in all.
        let end = next + pool.endpoints.len() as u16;
        groups.push((next..end).collect());
        next = end;
    }
    let all = if spec.policy == Policy::Failover { groups.len() } else { 0 };
    groups.insert(all, (0..next).collect());
    groups
}

/// What is served now with one endpoint more or less, of groups that hold it.
fn near(present: &Places, groups: &[Places]) -> Vec<Places> {
    let less = present.iter().map(|left| present.iter().copied().filter(|p| p != left).collect());
    let mut near: Vec<Places> = less.collect();
    let around = groups.iter().filter(|group| present.iter().all(|place| group.contains(place)));
    for more in around.flatten().filter(|place| !present.contains(place)) {
        let mut places = present.clone();
        places.push(*more);
        places.sort_unstable();
        near.push(places);
    }
    near
}

/// Hands out a group without so many of its endpoints, in every way; stops, and returns false, where `take` does.
fn each_without(group: &Places, out: usize, mut take: impl FnMut(Places) -> bool) -> bool {
    let count = group.len();
    let mut missing: Vec<usize> = (0..out).collect();
    loop {
        let left = (0..count).filter(|place| missing.binary_search(place).is_err());
        if !take(left.map(|place| group[place]).collect()) {
            return false;
        }
        let Some(at) = (0..out).rev().find(|at| missing[*at] != at + count - out) else {
            return true;
        };
        missing[at] += 1;
        for later in at + 1..out {
            missing[later] = missing[later - 1] + 1;
        }
    }
}

#[cfg(test)]
mod tests;
