//! Makes the view of the state: copies what changed since the last publication, shares the rest.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use super::judge::{evidence_of, is_heartbeat, tally_of};
use super::{ServiceState, Snapshot, ZoneState};
use crate::decision::Served;
use crate::id::{AgentId, Epoch, ServiceId};
use crate::name::DnsName;
use crate::observation::ObserverState;
use crate::quorum::Verdict;
use crate::shared_map::SharedMap;
use crate::spec::{Address, Binding, Policy, RecordData, Service, ServiceBinding, Spread, Zone};
use crate::steer::{self, Compiled, Latencies};
use crate::view::{
    Answers, CheckStatus, EndpointStatus, NameAnswers, Pick, RecordSet, ServiceStatus, View,
    ZoneAnswers,
};

/// The most addresses of one family in a hint; more would not fit a datagram beside the addresses.
const MAX_HINTS: usize = 16;

type Services = SharedMap<ServiceId, Arc<ServiceStatus>>;
type Zones = SharedMap<DnsName, (Arc<Zone>, u64)>;

/// What was published last, and what has changed since.
#[derive(Debug, Clone, Default)]
pub(super) struct Published {
    view: Arc<View>,
    services: BTreeSet<ServiceId>,
    zones: BTreeSet<DnsName>,
    orders: bool,
    agents: bool,
    /// The names that each service, and each zone, contributes at present.
    owned: BTreeMap<ServiceId, Vec<DnsName>>,
    static_names: BTreeMap<DnsName, Vec<DnsName>>,
    /// How many services of each zone have each TTL: negative answers must not outlive positive ones.
    ttls: BTreeMap<DnsName, BTreeMap<Duration, u32>>,
    counted: BTreeMap<ServiceId, (DnsName, Duration)>,
}

/// What a publication changes of the names. A name can pass from one owner to another within a batch, so everything
/// old goes before anything new comes. What one owner contributes is sorted.
#[derive(Default)]
struct Renaming {
    old: Vec<DnsName>,
    new: Vec<(DnsName, NameAnswers)>,
}

impl Renaming {
    /// Replaces what one owner contributes; returns the names of what it contributes from now on.
    fn replace(
        &mut self,
        present: &Answers,
        old: Vec<DnsName>,
        new: Vec<(DnsName, NameAnswers)>,
    ) -> Vec<DnsName> {
        let names: Vec<DnsName> = new.iter().map(|(name, _)| name.clone()).collect();
        let changes = |(name, now): &(DnsName, NameAnswers)| {
            let known = old.binary_search(name).is_ok();
            !known || present.names.get(name).is_none_or(|was| **was != *now)
        };
        self.new.extend(new.into_iter().filter(changes));
        self.old.extend(old.into_iter().filter(|name| names.binary_search(name).is_err()));
        names
    }

    fn carry_out(self, answers: &mut Answers) {
        let kept: BTreeSet<&DnsName> = self.new.iter().map(|(name, _)| name).collect();
        for name in self.old.iter().filter(|name| !kept.contains(name)) {
            answers.names.remove(name);
        }
        let new = self.new.into_iter().map(|(name, new)| (name, Arc::new(new)));
        answers.names.extend(new);
    }
}

impl Published {
    pub(super) fn mark(&mut self, service: &ServiceId) {
        self.services.insert(service.clone());
    }

    pub(super) fn mark_zone(&mut self, zone: &DnsName) {
        self.zones.insert(zone.clone());
    }

    pub(super) fn mark_orders(&mut self) {
        self.orders = true;
    }

    pub(super) fn mark_agents(&mut self) {
        self.agents = true;
    }

    pub(super) fn mark_all(&mut self, data: &Snapshot) {
        self.services.extend(data.services.keys().cloned());
        self.zones.extend(data.zones.keys().cloned());
        self.orders = true;
        self.agents = true;
    }

    pub(super) fn refresh(&mut self, data: &Snapshot) -> Arc<View> {
        let mut answers = self.view.answers.as_ref().clone();
        let mut renaming = Renaming::default();
        let services = self.refresh_services(data, &mut renaming);
        let zones = self.refresh_zones(data, &mut answers, &mut renaming);
        renaming.carry_out(&mut answers);
        answers.group = data.group;
        answers.generation = data.generation;
        answers.index = data.index;
        answers.at = data.at;
        answers.tsig_keys = data.tsig_keys.clone();
        let agents = || data.agents.iter().map(|(id, a)| (*id, a.agent.clone())).collect();
        let overrides = || data.overrides.clone();
        self.view = Arc::new(View {
            answers: Arc::new(answers),
            services,
            zones,
            agents: renewed(&self.view.agents, core::mem::take(&mut self.agents), agents),
            overrides: renewed(&self.view.overrides, core::mem::take(&mut self.orders), overrides),
            pause: data.pause.clone(),
            settings: data.settings.clone(),
            audit: Some(data.audit),
            logic_version: data.logic_version,
            term: data.term,
            warm_up_until: data.warm_up_until,
        });
        self.view.clone()
    }

    fn refresh_services(&mut self, data: &Snapshot, renaming: &mut Renaming) -> Services {
        let mut services = self.view.services.clone();
        for id in core::mem::take(&mut self.services) {
            let state = data.services.get(&id).map(|state| &**state);
            self.count_ttl(data, &id, state);
            let names = state.map(|state| names_of_service(data, &id, state)).unwrap_or_default();
            let old = self.owned.remove(&id).unwrap_or_default();
            let new = renaming.replace(&self.view.answers, old, names);
            match state {
                Some(state) => {
                    self.owned.insert(id.clone(), new);
                    services.insert(id, Arc::new(status_of(data, state)));
                }
                None => {
                    services.remove(&id);
                }
            }
        }
        services
    }

    fn refresh_zones(
        &mut self,
        data: &Snapshot,
        answers: &mut Answers,
        renaming: &mut Renaming,
    ) -> Zones {
        let mut zones = self.view.zones.clone();
        for apex in core::mem::take(&mut self.zones) {
            let Some(state) = data.zones.get(&apex) else {
                let old = self.static_names.remove(&apex).unwrap_or_default();
                renaming.replace(&self.view.answers, old, Vec::new());
                answers.zones.remove(&apex);
                zones.remove(&apex);
                continue;
            };
            if zones.get(&apex).map(|(_, revision)| *revision) != Some(state.revision) {
                let old = self.static_names.remove(&apex).unwrap_or_default();
                let new = renaming.replace(&self.view.answers, old, static_names(&state.zone));
                self.static_names.insert(apex.clone(), new);
                zones.insert(apex.clone(), (state.zone.clone(), state.revision));
            }
            let smallest = self.ttls.get(&apex).and_then(|ttls| ttls.keys().next().copied());
            answers.zones.insert(apex, Arc::new(zone_answers(state, smallest)));
        }
        zones
    }

    /// Keeps the count of TTLs per zone in step with a service.
    fn count_ttl(&mut self, data: &Snapshot, id: &ServiceId, state: Option<&ServiceState>) {
        let now = state.and_then(|state| {
            let apex = zone_of(data, &state.spec.dns.name)?;
            Some((apex, state.ttl.served))
        });
        let before = self.counted.get(id).cloned();
        if before == now {
            return;
        }
        if let Some((apex, ttl)) = before
            && let Some(ttls) = self.ttls.get_mut(&apex)
            && let Some(count) = ttls.get_mut(&ttl)
        {
            *count -= 1;
            if *count == 0 {
                ttls.remove(&ttl);
            }
            self.zones.insert(apex);
            self.counted.remove(id);
        }
        if let Some((apex, ttl)) = now {
            *self.ttls.entry(apex.clone()).or_default().entry(ttl).or_default() += 1;
            self.zones.insert(apex.clone());
            self.counted.insert(id.clone(), (apex, ttl));
        }
    }
}

/// The zone that a name lies in.
pub(super) fn zone_of(data: &Snapshot, name: &DnsName) -> Option<DnsName> {
    let mut at = Some(name.clone());
    while let Some(apex) = at {
        if data.zones.contains_key(&apex) {
            return Some(apex);
        }
        at = apex.parent();
    }
    None
}

/// The old map, or a new one where something changed.
fn renewed<K, V>(
    old: &Arc<BTreeMap<K, V>>,
    changed: bool,
    new: impl FnOnce() -> BTreeMap<K, V>,
) -> Arc<BTreeMap<K, V>> {
    if changed { Arc::new(new()) } else { old.clone() }
}

fn zone_answers(state: &ZoneState, smallest_ttl: Option<Duration>) -> ZoneAnswers {
    // Field by field: a clone would copy every static record only to drop it.
    let Zone { name, soa, name_servers, ttl, records: _, client_subnet, transfer } =
        state.zone.as_ref();
    let zone = Zone {
        client_subnet: *client_subnet,
        transfer: transfer.clone(),
        ..Zone::new(name.clone(), soa.clone(), name_servers.clone(), *ttl)
    };
    let negative_ttl = zone.soa.negative_ttl.min(smallest_ttl.unwrap_or(zone.soa.negative_ttl));
    // Serial arithmetic (RFC 1982) wants 32 bits that grow.
    ZoneAnswers { negative_ttl, serial: (state.touched & 0xffff_ffff) as u32, zone }
}

fn static_names(zone: &Zone) -> Vec<(DnsName, NameAnswers)> {
    let mut names: BTreeMap<DnsName, Vec<RecordSet>> = BTreeMap::new();
    for record in &zone.records {
        add(names.entry(record.name.clone()).or_default(), record.ttl, record.data.clone());
    }
    for server in zone.name_servers.iter().filter(|server| server.name.is_within(&zone.name)) {
        let sets = names.entry(server.name.clone()).or_default();
        for address in &server.addresses {
            add(sets, zone.ttl, address_data(&Address::Ip(*address)));
        }
    }
    names
        .into_iter()
        .map(|(name, sets)| {
            (name, NameAnswers { service: None, epoch: Epoch(0), refused: false, sets })
        })
        .collect()
}

/// Adds a record to the set of its type; the set's TTL is the smallest of its records (RFC 2181, 5.2).
fn add(sets: &mut Vec<RecordSet>, ttl: Duration, data: RecordData) {
    let kind = data.kind();
    let same = sets.iter_mut().find(|set| set.records[0].0.kind() == kind);
    match same {
        Some(set) => {
            set.ttl = set.ttl.min(ttl);
            if !set.records.iter().any(|(present, _)| *present == data) {
                set.records.push((data, 1));
            }
        }
        None => sets.push(RecordSet { ttl, pick: Pick::All, records: [(data, 1)].into() }),
    }
}

fn names_of_service(
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
    let latencies = latencies_of(data, state);
    let sets = service_sets(spec, &state.selection.served, state.ttl.served, &latencies);
    let mut names = Vec::from([(spec.dns.name.clone(), answers(sets, state.selection.refused))]);
    for (_, endpoint) in spec.endpoints() {
        let name = spec.dns.name.child(endpoint.name.as_str()).expect("checked by validate");
        let record = (address_data(&endpoint.address), 1);
        let set = RecordSet { ttl: state.ttl.served, pick: Pick::All, records: [record].into() };
        names.push((name, answers(Vec::from([set]), false)));
    }
    names.sort_by(|(a, _), (b, _)| a.cmp(b));
    names
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

fn service_sets(
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
        Address::Ip(IpAddr::V4(ip)) => RecordData::A(*ip),
        Address::Ip(IpAddr::V6(ip)) => RecordData::Aaaa(*ip),
        Address::Name(name) => RecordData::Cname(name.clone()),
    }
}

fn status_of(data: &Snapshot, state: &ServiceState) -> ServiceStatus {
    let endpoints = state.endpoints.iter().map(|(name, endpoint)| {
        let checks: Vec<CheckStatus> = endpoint
            .checks
            .iter()
            .map(|(check, state_of_check)| CheckStatus {
                check: check.clone(),
                verdict: state_of_check.verdict,
                tally: tally_of(&state.spec, state_of_check, &data.agents),
                opinions: evidence_of(state_of_check, &data.agents),
            })
            .collect();
        let probed = checks.iter().filter(|check| !is_heartbeat(&state.spec, &check.check));
        EndpointStatus {
            endpoint: name.clone(),
            verdict: endpoint.verdict,
            stale: probed
                .clone()
                .any(|check| check.tally.stale && check.verdict != Verdict::Unknown),
            partial: probed.clone().any(|check| check.tally.partial),
            since: endpoint.since,
            checks,
        }
    });
    ServiceStatus {
        spec: state.spec.clone(),
        revision: state.revision,
        epoch: state.epoch,
        selection: state.selection.clone(),
        selected_at: state.selected_at,
        steps: state.steps.clone(),
        decided_at: state.decided_at,
        blocked: state.blocked.clone(),
        moves: state.moves.clone(),
        endpoints: endpoints.collect(),
        ttl: state.ttl.clone(),
    }
}

#[cfg(test)]
mod tests;
