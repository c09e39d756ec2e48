//! What updates made at one name, while an update changes it: sets by type, each with one TTL (RFC 2181, 5.2).
//!
//! Invariant: a change costs the logarithm of what stands at its name, whatever was changed before it; what the zone
//! declares there is looked up once for all changes of an update. Who may change what is decided before.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::time::Duration;

use crate::name::DnsName;
use crate::spec::{Kind, LONGEST_TTL, Record, RecordData};

/// The records of updates at a name, and what else there is.
pub(super) struct AtName {
    /// The types that the zone declares there, sorted, each once.
    declared: Vec<Kind>,
    /// Whether the SOA stands there.
    apex: bool,
    sets: BTreeMap<Kind, Set>,
}

/// The records of one type; at least one.
#[derive(Default)]
struct Set {
    ttl: Duration,
    data: BTreeSet<RecordData>,
}

impl AtName {
    /// What stands at a name before the update.
    pub(super) fn new(
        declared: impl Iterator<Item = Kind>,
        apex: bool,
        records: &[Record],
    ) -> Self {
        let mut declared: Vec<Kind> = declared.collect();
        declared.sort();
        declared.dedup();
        let mut sets: BTreeMap<Kind, Set> = BTreeMap::new();
        for Record { ttl, data, .. } in records {
            let set = sets.entry(data.kind()).or_default();
            set.ttl = *ttl;
            set.data.insert(data.clone());
        }
        Self { declared, apex, sets }
    }

    /// Whether the zone declares this type there.
    pub(super) fn declares(&self, kind: Kind) -> bool {
        self.declared.binary_search(&kind).is_ok()
    }

    /// The types that stand there, whoever made them, each once.
    pub(super) fn kinds(&self) -> BTreeSet<Kind> {
        self.declared.iter().chain(self.sets.keys()).copied().collect()
    }

    /// Adds a record; where that is not possible nothing happens (RFC 2136, 3.4.2.2).
    pub(super) fn add(&mut self, ttl: Duration, data: &RecordData) {
        let kind = data.kind();
        if !self.may_have(kind) {
            return;
        }
        let set = self.sets.entry(kind).or_default();
        if matches!(kind, Kind::CNAME | Kind::DNAME) {
            set.data.clear();
        }
        set.ttl = ttl.min(LONGEST_TTL);
        set.data.insert(data.clone());
    }

    /// Removes a record, if it is there.
    pub(super) fn remove(&mut self, data: &RecordData) {
        let Some(set) = self.sets.get_mut(&data.kind()) else { return };
        set.data.remove(data);
        if set.data.is_empty() {
            self.remove_set(data.kind());
        }
    }

    /// Removes the records of a type.
    pub(super) fn remove_set(&mut self, kind: Kind) {
        self.sets.remove(&kind);
    }

    /// Removes all.
    pub(super) fn remove_all(&mut self) {
        self.sets.clear();
    }

    /// The records of updates, sorted by type and data.
    pub(super) fn into_records(self, name: &DnsName) -> Vec<Record> {
        let sets = self.sets.into_values();
        let record = |ttl, data| Record { name: name.clone(), ttl, data };
        sets.flat_map(|set| set.data.into_iter().map(move |data| record(set.ttl, data))).collect()
    }

    /// A CNAME stands alone (RFC 1034, 3.6.2).
    fn may_have(&self, kind: Kind) -> bool {
        let cnames = [self.sets.contains_key(&Kind::CNAME), self.declares(Kind::CNAME)];
        let cnames = cnames.into_iter().filter(|there| *there).count();
        match kind {
            Kind::CNAME => !self.apex && self.sets.len() + self.declared.len() == cnames,
            _ => cnames == 0,
        }
    }
}
