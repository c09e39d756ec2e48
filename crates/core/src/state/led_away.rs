//! Which zones answer with what is in others: those with an ALIAS and anything that leads out of the zone, be it
//! declared, made by updates, or an endpoint of a service that has a name.
//!
//! An index beside the data, made anew after a restore, kept by what changes. Which answers an ALIAS follows is not
//! traced, so a zone may be among them in vain; none is missing.

use alloc::collections::{BTreeMap, BTreeSet};

use super::publish::zone_of;
use super::{Snapshot, ZoneState};
use crate::id::ServiceId;
use crate::name::DnsName;
use crate::spec::{Address, Record, RecordData, Service};

/// The zones that are led away.
#[derive(Debug, Clone, Default)]
pub(super) struct LedAway {
    leads: BTreeMap<DnsName, Leads>,
    zones: BTreeSet<DnsName>,
}

/// What leads out of a zone.
#[derive(Debug, Clone, Default)]
struct Leads {
    /// Whether it has an ALIAS: without one nothing else counts.
    aliases: bool,
    /// Whether a record that it declares, or that was copied, does.
    declared: bool,
    /// How many records of updates do.
    updated: usize,
    /// The services that do.
    services: BTreeSet<ServiceId>,
}

impl LedAway {
    /// The index of everything there is.
    pub(super) fn of(data: &Snapshot) -> Self {
        let mut index = Self::default();
        data.zones.values().for_each(|state| index.declare(state));
        for state in data.services.values() {
            if let Some(apex) = zone_of(data, &state.spec.dns.name) {
                index.serve(&apex, &state.spec);
            }
        }
        index
    }

    /// The zones, in order.
    pub(super) fn zones(&self) -> &BTreeSet<DnsName> {
        &self.zones
    }

    /// Takes note of a zone that is declared, or copied, anew or otherwise.
    pub(super) fn declare(&mut self, state: &ZoneState) {
        let apex = &state.zone.name;
        let records = state.served().map_or(&[][..], |zone| &zone.records);
        self.note(apex, |leads| {
            leads.aliases = records.iter().any(|r| matches!(r.data, RecordData::Alias(_)));
            leads.declared = leading_out(apex, records) > 0;
            leads.updated = leading_out(apex, state.dynamic.values().flatten());
        });
    }

    /// Forgets a zone; it has no services.
    pub(super) fn remove(&mut self, apex: &DnsName) {
        self.leads.remove(apex);
        self.zones.remove(apex);
    }

    /// Takes note of what an update removed and added at a name.
    pub(super) fn update(&mut self, apex: &DnsName, gone: &[Record], come: &[Record]) {
        let (gone, come) = (leading_out(apex, gone), leading_out(apex, come));
        self.note(apex, |leads| leads.updated = (leads.updated + come).saturating_sub(gone));
    }

    /// Takes note of a service in a zone.
    pub(super) fn serve(&mut self, apex: &DnsName, service: &Service) {
        let leads_out = |address: &Address| match address {
            Address::Name(name) => !name.is_within(apex),
            Address::Ip(_) => false,
        };
        if service.endpoints().any(|(_, endpoint)| leads_out(&endpoint.address)) {
            self.note(apex, |leads| {
                leads.services.insert(service.id.clone());
            });
        }
    }

    /// Forgets a service of a zone.
    pub(super) fn end(&mut self, apex: &DnsName, service: &ServiceId) {
        self.note(apex, |leads| {
            leads.services.remove(service);
        });
    }

    fn note(&mut self, apex: &DnsName, change: impl FnOnce(&mut Leads)) {
        let leads = self.leads.entry(apex.clone()).or_default();
        change(leads);
        let out = leads.declared || leads.updated > 0 || !leads.services.is_empty();
        match leads.aliases && out {
            true => self.zones.insert(apex.clone()),
            false => self.zones.remove(apex),
        };
    }
}

/// How many of these records, which are of one zone, lead out of it.
fn leading_out<'a>(apex: &DnsName, records: impl IntoIterator<Item = &'a Record>) -> usize {
    let leads_out = |record: &&Record| match &record.data {
        RecordData::Alias(target) | RecordData::Cname(target) | RecordData::Dname(target) => {
            !target.is_within(apex)
        }
        _ => false,
    };
    records.into_iter().filter(leads_out).count()
}
