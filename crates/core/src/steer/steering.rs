//! The compiled steering of one record set: from the rules that a client falls under to a group of its records.
//!
//! ```text
//! client ─▶ geo rules ─▶ row │ pools with records here, one group of records for each pool and region of clients
//!        └▶ regions ───▶ column
//! ```
//!
//! It is made when a view is published, of what is served then. So each rule leads to the first of its pools that has
//! a record in the set, and no group is empty: a set of addresses of one type is never emptied by a rule.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::rules::{Found, Rules};
use super::{Client, Latencies, Ring, Shares};
use crate::decision::Served;
use crate::id::PoolName;
use crate::spec::{Pool, Spread, Steered};
use crate::view::Pick;

/// By which latencies records were chosen among others, in bands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Nearness {
    /// That of the chosen ones.
    pub(super) least: u8,
    /// The least of the others, where there are any.
    pub(super) next: Option<u8>,
}

/// Records that are chosen from together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Group {
    /// Their places in the set; at least one.
    pub(super) records: Box<[u16]>,
    /// How near they are, where that decided.
    pub(super) nearness: Option<Nearness>,
    /// How an answer is chosen from them; never `Steered`.
    pub(super) pick: Pick,
}

/// The steering of one record set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Steering {
    geo: Arc<Rules>,
    regions: Arc<Rules>,
    /// Whether the rules ask for more of a client than its network.
    pub(super) by_place: bool,
    /// The pools with records, and all of them as one where no rule tells pools apart.
    pools: Vec<Option<PoolName>>,
    /// The place in `pools` for each geo rule, and for clients without one.
    rows: Vec<u16>,
    columns: usize,
    /// For each pool one for each region of clients, and one for clients without one.
    groups: Vec<Group>,
}

/// How a client was led to its group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route<'a> {
    /// Under which geo rule it falls.
    pub geo: Found,
    /// To which region of clients it belongs.
    pub region: Found,
    /// The pool that it gets, where rules tell pools apart.
    pub pool: Option<&'a PoolName>,
    pub(super) group: &'a Group,
}

/// The rules of a service, compiled once for all its sets.
#[derive(Debug)]
pub(crate) struct Compiled<'a> {
    spec: &'a Steered,
    pools: &'a [Pool],
    latencies: &'a Latencies,
    geo: Arc<Rules>,
    regions: Arc<Rules>,
}

impl<'a> Compiled<'a> {
    pub(crate) fn new(spec: &'a Steered, pools: &'a [Pool], latencies: &'a Latencies) -> Self {
        let geo = Rules::new(spec.geo.iter().map(|rule| (&rule.matches[..], None)));
        let regions = spec.nearest.iter().flatten();
        let regions = Rules::new(regions.map(|region| (&region.matches[..], region.at)));
        Self { spec, pools, latencies, geo: Arc::new(geo), regions: Arc::new(regions) }
    }

    /// The steering of a set whose records are these endpoints', at least one, chosen from in this way.
    pub(crate) fn of(&self, served: &[&Served], spread: Spread) -> Steering {
        let mut members: BTreeMap<Option<&PoolName>, Vec<u16>> = BTreeMap::new();
        // A service has at most 1024 endpoints.
        for (place, one) in (0u16..).zip(served) {
            let pool = (!self.spec.geo.is_empty()).then_some(&one.pool);
            members.entry(pool).or_default().push(place);
        }
        let pools: Vec<Option<&PoolName>> = members.keys().copied().collect();
        let rows = self.rows(&pools);
        let columns = self.spec.nearest.as_ref().map_or(0, Vec::len) + 1;
        let groups = members.values().flat_map(|records| {
            (0..columns).map(|column| self.group(records, column, served, spread))
        });
        Steering {
            by_place: self.geo.by_place() || self.regions.by_place(),
            geo: Arc::clone(&self.geo),
            regions: Arc::clone(&self.regions),
            rows,
            columns,
            groups: groups.collect(),
            pools: pools.iter().map(|pool| pool.cloned()).collect(),
        }
    }

    /// Which of these pools each rule leads to, and clients without one.
    fn rows(&self, present: &[Option<&PoolName>]) -> Vec<u16> {
        let mut ranked: Vec<&Pool> = self.pools.iter().collect();
        ranked.sort_by_key(|pool| pool.priority);
        let rest = ranked.iter().map(|pool| &pool.name);
        let row = |named: &'a [PoolName]| {
            let mut wanted = named.iter().chain(rest.clone());
            let place = wanted.find_map(|name| present.iter().position(|pool| *pool == Some(name)));
            // At most 32 pools.
            place.unwrap_or(0) as u16
        };
        let default = self.spec.geo.iter().find(|rule| rule.matches.is_empty());
        let rules = self.spec.geo.iter().map(|rule| row(&rule.pools));
        rules.chain([row(default.map_or(&[], |rule| &rule.pools))]).collect()
    }

    /// What clients of a region get of these records: those with the least latency.
    fn group(&self, records: &[u16], column: usize, served: &[&Served], spread: Spread) -> Group {
        let regions = self.spec.nearest.as_deref();
        let region = regions.and_then(|regions| regions.get(column)).map(|one| &one.region);
        let latency = |place: &u16| match regions {
            Some(_) => self.latencies.of(&served[usize::from(*place)].endpoint, region),
            None => 0,
        };
        let least = records.iter().map(latency).min().unwrap_or_default();
        let next = records.iter().map(latency).filter(|band| *band != least).min();
        let nearness = regions.map(|_| Nearness { least, next });
        let nearest = records.iter().filter(|place| latency(place) == least);
        let records: Box<[u16]> = nearest.copied().collect();
        let chosen: Vec<&Served> =
            records.iter().map(|place| served[usize::from(*place)]).collect();
        Group { pick: pick(spread, &chosen), records, nearness }
    }
}

/// How an answer is chosen from the records of these endpoints.
pub(crate) fn pick(spread: Spread, served: &[&Served]) -> Pick {
    match spread {
        Spread::All => Pick::All,
        Spread::Weighted => Pick::Weighted(Shares::new(served.iter().map(|one| one.weight))),
        Spread::Multivalue { max } => Pick::Rotate(max),
        Spread::Sticky => {
            Pick::Sticky(Ring::new(served.iter().map(|one| (&one.endpoint, one.weight))))
        }
    }
}

impl Steering {
    /// The steering of a set whose records are these endpoints', at least one. For a service's sets, publication makes it.
    pub fn new(spec: &Steered, pools: &[Pool], latencies: &Latencies, served: &[&Served]) -> Self {
        Compiled::new(spec, pools, latencies).of(served, spec.then)
    }

    /// All groups that a client can be led to.
    pub(super) fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// How a client is led.
    pub fn route(&self, client: &Client) -> Route<'_> {
        let geo = self.geo.find(client);
        let region = self.regions.find(client);
        let last = self.rows.len().saturating_sub(1);
        let row = self.rows.get(geo.rule.unwrap_or(last)).copied().map_or(0, usize::from);
        let column = region.rule.unwrap_or(self.columns.saturating_sub(1));
        let group = self.groups.get(row * self.columns + column).unwrap_or(&self.groups[0]);
        Route { geo, region, pool: self.pools.get(row).and_then(Option::as_ref), group }
    }
}
