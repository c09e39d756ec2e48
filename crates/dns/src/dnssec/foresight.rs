//! Views that may follow the one that is served, as far as services make them, and what is signed in them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use holdfast_core::answer::{Kind, zone_of};
use holdfast_core::prospects::Prospects;
use holdfast_core::steer;
use holdfast_core::ttl::{calm_ttl, short_ttl};
use holdfast_core::view::{Answers, NameAnswers, Pick, RecordSet, ServiceStatus};
use holdfast_core::{DnsName, Epoch, ServiceId};

use super::agenda::Job;
use super::asking::is_signed;
use super::presign::Presigner;
use crate::publish::Published;

/// So many prospects of a service are signed at a time.
const AT_A_TIME: usize = 16;

impl Presigner {
    /// Signs what a service may come to serve, some prospects from this one on.
    pub(super) fn sign_service(&mut self, newest: &Published, id: &ServiceId, from: usize) {
        let Some(status) = newest.services().get(id) else { return };
        let name = &status.spec.dns.name;
        if !is_signed(newest, name) {
            return;
        }
        let prospects = Prospects::of(status);
        if from == 0 {
            self.sign_endpoints(newest, status, prospects.ttls());
        }
        let end = prospects.len().min(from + AT_A_TIME);
        // A proof says which types there are, so it is the same for most prospects.
        let mut denied: BTreeSet<Vec<Kind>> = BTreeSet::new();
        for prospect in from..end {
            for ttl in prospects.ttls() {
                let sets = prospects.sets(prospect, *ttl);
                self.sign_prospect(newest, name, &sets, prospects.is_single(prospect));
                if denied.insert(kinds_of(&sets)) {
                    let world = with_sets(newest.answers(), name, sets);
                    self.deny(newest, (&world, name));
                }
            }
        }
        if end < prospects.len() {
            self.agenda.put_back(Job::Service(id.clone(), end));
        }
    }

    fn sign_prospect(
        &mut self,
        newest: &Published,
        name: &DnsName,
        sets: &[RecordSet],
        single: bool,
    ) {
        for set in sets {
            for choice in steer::choices(set) {
                // Answers of one record are signed with the prospects of one endpoint.
                if choice.len() == 1 && set.records.len() > 1 && !single {
                    continue;
                }
                let chosen = chosen_from(set, &choice);
                let world = with_sets(newest.answers(), name, vec![chosen.clone()]);
                self.sign_in((newest, &world), name, &chosen);
            }
        }
    }

    /// Signs the names of a service's endpoints, of which only the TTL changes.
    fn sign_endpoints(&mut self, newest: &Published, status: &ServiceStatus, ttls: &[Duration]) {
        for (_, endpoint) in status.spec.endpoints() {
            let name = status.spec.dns.name.child(endpoint.name.as_str());
            let here = name.ok().and_then(|name| Some((newest.answers().names.get(&name)?, name)));
            let Some((here, name)) = here else { continue };
            for ttl in ttls {
                let other = |set: &RecordSet| RecordSet { ttl: *ttl, ..set.clone() };
                let sets: Vec<RecordSet> = here.sets.iter().map(other).collect();
                let world = with_sets(newest.answers(), &name, sets.clone());
                sets.iter().for_each(|set| self.sign_in((newest, &world), &name, set));
            }
        }
    }
}

/// The TTLs that negative answers of each zone with services may have: by the services' TTLs when all are calm, and when
/// one is not.
pub(super) fn negative_ttls(newest: &Published) -> BTreeMap<DnsName, Vec<Duration>> {
    let answers = newest.answers();
    let mut ttls: BTreeMap<DnsName, Vec<Duration>> = BTreeMap::new();
    for (apex, zone) in answers.zones.iter().filter(|(_, zone)| !zone.signing.keys.is_empty()) {
        ttls.insert(apex.clone(), [zone.zone.soa.negative_ttl; 2].into());
    }
    for status in newest.services().values() {
        let dns = &status.spec.dns;
        let zone = zone_of(answers, &dns.name);
        let known = zone.and_then(|zone| ttls.get_mut(&zone.zone.name));
        if let Some([calm, doubted]) = known.map(Vec::as_mut_slice) {
            *calm = (*calm).min(calm_ttl(dns, status.ttl_floor));
            *doubted = (*doubted).min(short_ttl(dns, status.ttl_floor));
        }
    }
    for (apex, known) in &mut ttls {
        known.extend(answers.zones.get(apex).map(|zone| zone.negative_ttl));
        known.sort();
        known.dedup();
    }
    ttls
}

/// A view with nothing but these sets at a name.
pub(super) fn with_sets(answers: &Answers, name: &DnsName, sets: Vec<RecordSet>) -> Answers {
    let here = NameAnswers { service: None, epoch: Epoch(0), refused: false, sets };
    let mut world = answers.clone();
    world.names.insert(name.clone(), Arc::new(here));
    world
}

/// These records of a set, given to everybody.
pub(super) fn chosen_from(set: &RecordSet, places: &[usize]) -> RecordSet {
    let records = places.iter().map(|place| set.records[*place].clone()).collect();
    RecordSet { ttl: set.ttl, pick: Pick::All, records }
}

fn kinds_of(sets: &[RecordSet]) -> Vec<Kind> {
    let first = |set: &RecordSet| set.records.first().map(|(data, _)| data.kind());
    sets.iter().filter_map(first).collect()
}
