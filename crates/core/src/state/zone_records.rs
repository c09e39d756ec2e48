//! What stands at the names of zones, found by name: declared records, addresses of name servers, records of updates.
//!
//! An index beside the data, made anew after a restore. A record set is either declared or made by updates, never
//! both: what people declared is not changed by a program, and a declaration applied anew leaves alone what programs
//! registered.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::{Snapshot, ZoneState};
use crate::name::DnsName;
use crate::shared_map::SharedMap;
use crate::spec::{Kind, NameServer, Record, RecordData, Zone};

/// The records that updates made in a zone, by name; those of one name sorted by type and data.
pub type Dynamic = SharedMap<DnsName, Vec<Record>>;

/// How much records are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Volume {
    pub(super) records: usize,
    /// On the wire, names uncompressed.
    pub(super) bytes: usize,
}

impl Volume {
    pub(super) fn of<'a>(records: impl IntoIterator<Item = &'a Record>) -> Self {
        records.into_iter().fold(Self::default(), |volume, record| Self {
            records: volume.records + 1,
            bytes: volume.bytes + record.wire_len(),
        })
    }

    /// What becomes of it when `come` comes and `gone`, which is part of it, goes.
    pub(super) fn after(self, come: Self, gone: Self) -> Self {
        Self {
            records: (self.records + come.records).saturating_sub(gone.records),
            bytes: (self.bytes + come.bytes).saturating_sub(gone.bytes),
        }
    }
}

/// Where the records of each name are.
#[derive(Debug, Clone, Default)]
pub(super) struct ZoneRecords {
    /// The places of a name's records among those that its zone declares.
    declared: BTreeMap<DnsName, Vec<u32>>,
    /// How much is declared and made by updates, by apex.
    volumes: BTreeMap<DnsName, Volume>,
}

impl ZoneRecords {
    /// The index of everything there is.
    pub(super) fn of(data: &Snapshot) -> Self {
        let mut index = Self::default();
        data.zones.values().for_each(|state| index.add(state));
        index
    }

    /// Adds a zone.
    pub(super) fn add(&mut self, state: &ZoneState) {
        for (place, record) in state.zone.records.iter().enumerate() {
            // Zone::MAX_RECORDS fits.
            self.declared.entry(record.name.clone()).or_default().push(place as u32);
        }
        let dynamic = Volume::of(state.dynamic.values().flatten());
        let volume = Volume::of(&state.zone.records).after(dynamic, Volume::default());
        self.volumes.insert(state.zone.name.clone(), volume);
    }

    /// Removes a zone.
    pub(super) fn remove(&mut self, zone: &Zone) {
        for record in &zone.records {
            self.declared.remove(&record.name);
        }
        self.volumes.remove(&zone.name);
    }

    /// How much a zone declares and updates made in it.
    pub(super) fn volume(&self, apex: &DnsName) -> Volume {
        self.volumes.get(apex).copied().unwrap_or_default()
    }

    /// Notes how much a zone holds after an update.
    pub(super) fn set_volume(&mut self, apex: &DnsName, volume: Volume) {
        self.volumes.insert(apex.clone(), volume);
    }

    /// The records that a zone declares at a name.
    pub(super) fn declared<'a>(
        &self,
        zone: &'a Zone,
        name: &DnsName,
    ) -> impl Iterator<Item = &'a Record> {
        let places = self.declared.get(name).into_iter().flatten();
        places.filter_map(|place| zone.records.get(*place as usize))
    }

    /// The types of what a zone declares at a name, a name server's addresses among them, each as often as it stands there.
    pub(super) fn declared_kinds(&self, zone: &Zone, name: &DnsName) -> impl Iterator<Item = Kind> {
        let records = self.declared(zone, name).map(|record| record.data.kind());
        records.chain(server_addresses(zone, name).map(|data| data.kind()))
    }
}

/// The names at which a zone has records, sorted, each once.
pub(super) fn names_of(zone: &Zone, dynamic: &Dynamic) -> Vec<DnsName> {
    let records = zone.records.iter().map(|record| &record.name);
    let servers = zone.name_servers.iter().map(|server| &server.name);
    let servers = servers.filter(|name| name.is_within(&zone.name));
    let mut names: Vec<DnsName> = records.chain(servers).chain(dynamic.keys()).cloned().collect();
    names.sort();
    names.dedup();
    names
}

/// The addresses that a name has because it is a name server of the zone that it lies in.
pub(super) fn server_addresses(zone: &Zone, name: &DnsName) -> impl Iterator<Item = RecordData> {
    let this = move |server: &&NameServer| server.name == *name && name.is_within(&zone.name);
    let addresses = zone.name_servers.iter().filter(this).flat_map(|server| &server.addresses);
    addresses.map(|address| RecordData::from(*address))
}
