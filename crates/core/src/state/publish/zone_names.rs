//! The names that a zone contributes to the answers: what it declares, what updates made, and the addresses of its name
//! servers.
//!
//! Invariant: a name has the same sets whether its zone is made anew as a whole ([`static_names`]) or an update changed
//! that name alone ([`answers_at`]). What a service has is not the zone's to contribute.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use crate::id::Epoch;
use crate::name::DnsName;
use crate::spec::{RecordData, Zone};
use crate::state::ZoneState;
use crate::state::zone_records::{Dynamic, ZoneRecords, server_addresses};
use crate::view::{NameAnswers, Pick, RecordSet};

/// What a zone contributes at all its names but those that a service has.
pub(super) fn static_names(
    zone: &Zone,
    dynamic: &Dynamic,
    of_service: impl Fn(&DnsName) -> bool,
) -> Vec<(DnsName, NameAnswers)> {
    let mut names: BTreeMap<DnsName, Vec<RecordSet>> = BTreeMap::new();
    for record in zone.records.iter().chain(dynamic.values().flatten()) {
        add(names.entry(record.name.clone()).or_default(), record.ttl, record.data.clone());
    }
    for server in zone.name_servers.iter().filter(|server| server.name.is_within(&zone.name)) {
        let sets = names.entry(server.name.clone()).or_default();
        for address in &server.addresses {
            add(sets, zone.ttl, RecordData::from(*address));
        }
    }
    names
        .into_iter()
        .filter(|(name, _)| !of_service(name))
        .map(|(name, sets)| (name, of_zone(sets)))
        .collect()
}

fn of_zone(sets: Vec<RecordSet>) -> NameAnswers {
    NameAnswers { service: None, epoch: Epoch(0), refused: false, sets }
}

/// What a zone that is declared here contributes at a name.
pub(super) fn answers_at(
    state: &ZoneState,
    records: &ZoneRecords,
    name: DnsName,
) -> Option<(DnsName, NameAnswers)> {
    let zone = &state.zone;
    let mut sets = Vec::new();
    let dynamic = state.dynamic.get(&name).into_iter().flatten();
    for record in records.declared(zone, &name).chain(dynamic) {
        add(&mut sets, record.ttl, record.data.clone());
    }
    for data in server_addresses(zone, &name) {
        add(&mut sets, zone.ttl, data);
    }
    (!sets.is_empty()).then(|| (name, of_zone(sets)))
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
