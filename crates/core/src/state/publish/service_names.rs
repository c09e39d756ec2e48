//! The names that a service contributes to the answers: its own, with a set for each type that it serves, and one for
//! each endpoint.
//!
//! What is in a set is the selection's; how a client's part of it is chosen follows from the policy (`steer`). A CNAME
//! stands alone (RFC 1034, 3.6.2) and one at a time, so a service that serves names has no other set.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use crate::decision::Served;
use crate::id::{AgentId, ServiceId};
use crate::name::DnsName;
use crate::observation::ObserverState;
use crate::spec::{Address, Binding, Policy, RecordData, Service, ServiceBinding, Spread};
use crate::state::{ServiceState, Snapshot};
use crate::steer::{self, Compiled, Latencies};
use crate::view::{NameAnswers, Pick, RecordSet};

/// The most addresses of one family in a hint; more would not fit a datagram beside the addresses.
const MAX_HINTS: usize = 16;

pub(super) fn names_of_service(
    data: &Snapshot,
    id: &ServiceId,
    state: &ServiceState,
) -> Vec<(DnsName, NameAnswers)> {
    let spec = &state.spec;
    let answers = |sets, refused| NameAnswers {
        service: Some(id.clone()),
        epoch: state.epoch,
        refused,
        sets,
    };
    let own = answers(own_sets(data, state), state.selection.refused);
    let mut names = Vec::from([(spec.dns.name.clone(), own)]);
    for (_, endpoint) in spec.endpoints() {
        let name = spec.dns.name.child(endpoint.name.as_str()).expect("checked by validate");
        let record = (address_data(&endpoint.address), 1);
        let set = RecordSet { ttl: state.ttl.served, pick: Pick::All, records: [record].into() };
        names.push((name, answers(Vec::from([set]), false)));
    }
    names.sort_by(|(a, _), (b, _)| a.cmp(b));
    names
}

/// The data that a service serves at one of its names; of the others nothing is made.
pub(in crate::state) fn records_of_service(
    data: &Snapshot,
    id: &ServiceId,
    name: &DnsName,
) -> Vec<RecordData> {
    let Some(state) = data.services.get(id) else { return Vec::new() };
    let own = &state.spec.dns.name;
    if name == own {
        let records = own_sets(data, state).into_iter().flat_map(|set| set.records);
        return records.map(|(data, _)| data).collect();
    }
    let label = name.as_str().strip_suffix(own.as_str()).and_then(|rest| rest.strip_suffix('.'));
    let here = state.spec.endpoints().filter(|(_, endpoint)| label == Some(endpoint.name.as_str()));
    here.map(|(_, endpoint)| address_data(&endpoint.address)).collect()
}

/// The sets of a service's own name.
fn own_sets(data: &Snapshot, state: &ServiceState) -> Vec<RecordSet> {
    let latencies = latencies_of(data, state);
    service_sets(&state.spec, &state.selection.served, state.ttl.served, &latencies)
}

/// How far the endpoints are from the regions of observers, where the service asks for it: of those that are up, the
/// check that answers fastest counts.
fn latencies_of(data: &Snapshot, state: &ServiceState) -> Latencies {
    let mut latencies = Latencies::default();
    if !state.spec.policy.asks_for_latency() {
        return latencies;
    }
    for (name, endpoint) in &state.endpoints {
        let mut bands: BTreeMap<AgentId, u8> = BTreeMap::new();
        for (agent, opinion) in endpoint.checks.values().flat_map(|check| &check.opinions) {
            if opinion.state == ObserverState::Up {
                let least = bands.entry(*agent).or_insert(opinion.band);
                *least = opinion.band.min(*least);
            }
        }
        let located = bands
            .into_iter()
            .filter_map(|(agent, band)| Some((&data.agents.get(&agent)?.agent.region, band)));
        latencies.record(name, located.collect());
    }
    latencies
}

/// The sets of a service's own name where this is served.
pub(crate) fn service_sets(
    spec: &Service,
    served: &[Served],
    ttl: Duration,
    latencies: &Latencies,
) -> Vec<RecordSet> {
    let spread = spec.policy.spread();
    let one = match spread {
        Spread::All | Spread::Multivalue { .. } => Spread::Multivalue { max: 1 },
        Spread::Weighted | Spread::Sticky => spread,
    };
    let compiled = match &spec.policy {
        Policy::Steered(steered) => Some(Compiled::new(steered, &spec.pools, latencies)),
        _ => None,
    };
    let pick = |of: &[&Served], spread| match &compiled {
        Some(compiled) if of.len() > 1 => Pick::Steered(Arc::new(compiled.of(of, spread))),
        _ => steer::pick(spread, of),
    };
    let set = |pick, records: Vec<(RecordData, u32)>| RecordSet { ttl, pick, records };
    let aliases: Vec<&Served> =
        served.iter().filter(|s| matches!(s.address, Address::Name(_))).collect();
    if served.first().is_some_and(|first| matches!(first.address, Address::Name(_))) {
        // A CNAME stands alone (RFC 1034, 3.6.2) and there can be only one in an answer.
        let kept = if spec.policy == Policy::Failover { &aliases[..1] } else { &aliases[..] };
        let records = kept.iter().map(|s| (address_data(&s.address), s.weight)).collect();
        return Vec::from([set(pick(kept, one), records)]);
    }
    let mut sets = Vec::new();
    for v4 in [true, false] {
        let of_family = |s: &&Served| matches!(s.address, Address::Ip(ip) if ip.is_ipv4() == v4);
        let family: Vec<&Served> = served.iter().filter(of_family).collect();
        if !family.is_empty() {
            let records = family.iter().map(|s| (address_data(&s.address), s.weight)).collect();
            sets.push(set(pick(&family, spread), records));
        }
    }
    if !served.is_empty() {
        let records = served.iter().map(|one| (srv_data(spec, one), one.weight)).collect();
        let all: Vec<&Served> = served.iter().collect();
        sets.push(set(pick(&all, Spread::All), records));
    }
    if let Some(https) = spec.dns.https.as_ref().filter(|_| !served.is_empty()) {
        let all: Vec<&Served> = served.iter().collect();
        let whole = spec.policy == Policy::Failover;
        let chosen = if whole { Pick::All } else { pick(&all, one) };
        sets.push(set(chosen, https_data(https, whole, served)));
    }
    if !spec.dns.txt.is_empty() {
        let text = |text: &alloc::string::String| {
            (RecordData::Txt(Vec::from([text.as_bytes().into()])), 1)
        };
        sets.push(set(Pick::All, spec.dns.txt.iter().map(text).collect()));
    }
    sets
}

/// The HTTPS records of a service. Their hints are what is served: of all endpoints in one record where all are
/// answered, and of one each where an answer is a choice.
fn https_data(https: &ServiceBinding, whole: bool, served: &[Served]) -> Vec<(RecordData, u32)> {
    let record = |served: &[Served]| {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for one in served {
            match one.address {
                Address::Ip(IpAddr::V4(ip)) => v4.push(ip),
                Address::Ip(IpAddr::V6(ip)) => v6.push(ip),
                Address::Name(_) => {}
            }
        }
        v4.truncate(MAX_HINTS);
        v6.truncate(MAX_HINTS);
        let params = https.params.with_hints(&v4, &v6);
        RecordData::Https(Binding { priority: 1, target: DnsName::root(), params })
    };
    if whole {
        return Vec::from([(record(served), 1)]);
    }
    served.iter().map(|one| (record(core::slice::from_ref(one)), one.weight)).collect()
}

fn srv_data(spec: &Service, one: &Served) -> RecordData {
    let target = match &one.address {
        Address::Ip(_) => spec.dns.name.child(one.endpoint.as_str()).expect("checked by validate"),
        Address::Name(name) => name.clone(),
    };
    let weight = u16::try_from(one.weight).unwrap_or(u16::MAX);
    RecordData::Srv { priority: 0, weight, port: one.port, target }
}

fn address_data(address: &Address) -> RecordData {
    match address {
        Address::Ip(ip) => RecordData::from(*ip),
        Address::Name(name) => RecordData::Cname(name.clone()),
    }
}
