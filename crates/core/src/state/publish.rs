//! Makes the view of the state: copies what changed since the last publication, shares the rest.

mod service_names;
mod supposed;
mod zone_names;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use self::service_names::names_of_service;
pub(super) use self::service_names::records_of_service;
pub(crate) use self::service_names::service_sets;
pub use self::supposed::dead_aliases;
use self::zone_names::{answers_at, static_names};
use super::judge::{evidence_of, is_heartbeat, tally_of};
use super::zone_records::{Dynamic, ZoneRecords};
use super::{Owner, ServiceState, Snapshot, ZoneState};
use crate::id::ServiceId;
use crate::name::DnsName;
use crate::quorum::Verdict;
use crate::shared_map::SharedMap;
use crate::spec::Zone;
use crate::view::{
    Answers, CheckStatus, CopyStatus, EndpointStatus, NameAnswers, ServiceStatus, View, ZoneAnswers,
};

type Services = SharedMap<ServiceId, Arc<ServiceStatus>>;
type Zones = SharedMap<DnsName, (Arc<Zone>, u64)>;
type Names = BTreeMap<DnsName, Owner>;

/// What was published last, and what has changed since.
#[derive(Debug, Clone, Default)]
pub(super) struct Published {
    view: Arc<View>,
    services: BTreeSet<ServiceId>,
    zones: BTreeSet<DnsName>,
    zone_marks: u64,
    /// Those of `zones` whose static records are others than before, or at names that are a service's.
    records: BTreeSet<DnsName>,
    /// The names whose dynamic records changed, by zone.
    updated: BTreeMap<DnsName, BTreeSet<DnsName>>,
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

    /// Marks a zone that may be served otherwise; so may others whose ALIASes lead into it.
    pub(super) fn mark_zone(&mut self, zone: &DnsName) {
        self.mark_status(zone);
        self.zone_marks += 1;
    }

    /// Marks a zone of which the view tells something else, and which is served as before.
    pub(super) fn mark_status(&mut self, zone: &DnsName) {
        self.zones.insert(zone.clone());
    }

    /// How often a zone was marked that may be served otherwise: two counts that are alike have no such mark between them.
    pub(super) fn zone_marks(&self) -> u64 {
        self.zone_marks
    }

    pub(super) fn mark_records(&mut self, zone: &DnsName) {
        self.mark_zone(zone);
        self.records.insert(zone.clone());
    }

    /// Marks names of a zone whose dynamic records changed.
    pub(super) fn mark_names(&mut self, zone: &DnsName, names: impl Iterator<Item = DnsName>) {
        self.updated.entry(zone.clone()).or_default().extend(names);
        self.mark_zone(zone);
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
        self.records.extend(data.zones.keys().cloned());
        self.orders = true;
        self.agents = true;
    }

    pub(super) fn refresh(
        &mut self,
        data: &Snapshot,
        (owners, records): (&Names, &ZoneRecords),
    ) -> Arc<View> {
        let mut answers = self.view.answers.as_ref().clone();
        let mut renaming = Renaming::default();
        let services = self.refresh_services(data, &mut renaming);
        let copies = self.refresh_copies(data);
        let dynamic = self.refresh_dynamic(data);
        self.refresh_updated((data, records), &mut renaming);
        let zones = self.refresh_zones((data, owners), &mut answers, &mut renaming);
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
            copies,
            dynamic,
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

    fn refresh_copies(&self, data: &Snapshot) -> SharedMap<DnsName, Arc<CopyStatus>> {
        let mut copies = self.view.copies.clone();
        for apex in &self.zones {
            let state = data.zones.get(apex).filter(|state| state.zone.primaries.is_some());
            let status = state.map(|state| CopyStatus {
                copied: state.copied.clone(),
                stale: state.stale.clone(),
            });
            match status {
                Some(status) => drop(copies.insert(apex.clone(), Arc::new(status))),
                None => drop(copies.remove(apex)),
            }
        }
        copies
    }

    fn refresh_zones(
        &mut self,
        (data, owners): (&Snapshot, &Names),
        answers: &mut Answers,
        renaming: &mut Renaming,
    ) -> Zones {
        let mut zones = self.view.zones.clone();
        let records = core::mem::take(&mut self.records);
        for apex in core::mem::take(&mut self.zones) {
            let state = data.zones.get(&apex);
            let served = state.and_then(|state| Some((state, state.served()?)));
            if records.contains(&apex) {
                let old = self.static_names.remove(&apex).unwrap_or_default();
                let of_service = |name: &_| matches!(owners.get(name), Some(Owner::Service(_)));
                let names =
                    served.map(|(state, zone)| static_names(zone, &state.dynamic, of_service));
                let names = names.unwrap_or_default();
                let new = renaming.replace(&self.view.answers, old, names);
                self.static_names.insert(apex.clone(), new);
            }
            match served {
                Some((state, zone)) => {
                    let smallest =
                        self.ttls.get(&apex).and_then(|ttls| ttls.keys().next().copied());
                    let zone = zone_answers(state, zone, smallest);
                    answers.zones.insert(apex.clone(), Arc::new(zone));
                }
                None => drop(answers.zones.remove(&apex)),
            }
            match state {
                Some(state) => {
                    if zones.get(&apex).map(|(_, revision)| *revision) != Some(state.revision) {
                        zones.insert(apex, (state.zone.clone(), state.revision));
                    }
                }
                None => {
                    self.static_names.remove(&apex);
                    zones.remove(&apex);
                }
            }
        }
        zones
    }

    fn refresh_dynamic(&self, data: &Snapshot) -> SharedMap<DnsName, Dynamic> {
        let mut dynamic = self.view.dynamic.clone();
        for apex in &self.zones {
            match data.zones.get(apex).filter(|state| !state.dynamic.is_empty()) {
                Some(state) => drop(dynamic.insert(apex.clone(), state.dynamic.clone())),
                None => drop(dynamic.remove(apex)),
            }
        }
        dynamic
    }

    /// Replaces what zones contribute at the names that updates changed, but for those that are made anew as a whole.
    fn refresh_updated(
        &mut self,
        (data, records): (&Snapshot, &ZoneRecords),
        renaming: &mut Renaming,
    ) {
        for (apex, names) in core::mem::take(&mut self.updated) {
            let state = data.zones.get(&apex).filter(|_| !self.records.contains(&apex));
            let Some(state) = state else { continue };
            let known = self.static_names.entry(apex).or_default();
            let mut old = Vec::new();
            for name in &names {
                if let Ok(place) = known.binary_search(name) {
                    old.push(known.remove(place));
                }
            }
            let new = names.into_iter().filter_map(|name| answers_at(state, records, name));
            for name in renaming.replace(&self.view.answers, old, new.collect()) {
                if let Err(place) = known.binary_search(&name) {
                    known.insert(place, name);
                }
            }
        }
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

fn zone_answers(state: &ZoneState, zone: &Zone, smallest_ttl: Option<Duration>) -> ZoneAnswers {
    // Field by field: a clone would copy every static record only to drop it.
    let Zone { name, soa, name_servers, ttl, .. } = zone;
    let Zone { client_subnet, transfer, updates, dnssec, primaries, .. } = state.zone.as_ref();
    let zone = Zone {
        client_subnet: *client_subnet,
        transfer: transfer.clone(),
        updates: updates.clone(),
        dnssec: dnssec.clone(),
        primaries: primaries.clone(),
        ..Zone::new(name.clone(), soa.clone(), name_servers.clone(), *ttl)
    };
    let negative_ttl = zone.soa.negative_ttl.min(smallest_ttl.unwrap_or(zone.soa.negative_ttl));
    // Serial arithmetic (RFC 1982) wants 32 bits that grow.
    let serial = (state.touched & 0xffff_ffff) as u32;
    let mname = match (&zone.primaries, &state.copied) {
        (Some(_), Some(copied)) => copied.mname.clone(),
        _ => zone.mname().clone(),
    };
    ZoneAnswers { negative_ttl, serial, mname, zone, signing: state.signing.clone() }
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
        ttl_floor: data.settings.ttl_floor,
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
        convergence: state.convergence.clone(),
    }
}

#[cfg(test)]
mod tests;
