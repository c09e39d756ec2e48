//! A store in memory: for simulations and tests, without files and threads.
//!
//! Clones share their content, so that a log can be dropped and opened again over the same store.
//! [`MemoryStore::crash`] loses what was not synced; [`MemoryStore::fail_syncs`] is a disk that fails, and
//! [`MemoryStore::fill_up`] one that is full.

use std::collections::BTreeMap;
use std::io;
use std::ops::{ControlFlow, RangeInclusive};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{AuditStore, Order, Visit};
use crate::StoreError;

/// A store in memory; clones share their content.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    shared: Arc<Mutex<Content>>,
}

#[derive(Debug, Default)]
struct Content {
    records: BTreeMap<u64, Vec<u8>>,
    mark: Option<Vec<u8>>,
    /// How to take back, newest last, what was written since the last sync.
    undo: Vec<Undo>,
    syncs_fail: bool,
    full: bool,
}

#[derive(Debug)]
enum Undo {
    Record(u64, Option<Vec<u8>>),
    Mark(Option<Vec<u8>>),
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Loses what was not synced, as a loss of power does.
    pub fn crash(&self) {
        let mut content = self.content();
        while let Some(undo) = content.undo.pop() {
            match undo {
                Undo::Record(sequence, Some(old)) => drop(content.records.insert(sequence, old)),
                Undo::Record(sequence, None) => drop(content.records.remove(&sequence)),
                Undo::Mark(old) => content.mark = old,
            }
        }
    }

    /// Lets every sync fail from here on, or no longer.
    pub fn fail_syncs(&self, fail: bool) {
        self.content().syncs_fail = fail;
    }

    /// Leaves no room for another write, or room again.
    pub fn fill_up(&self, full: bool) {
        self.content().full = full;
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AuditStore for MemoryStore {
    fn get(&self, sequence: u64) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.content().records.get(&sequence).cloned())
    }

    fn scan(
        &self,
        range: RangeInclusive<u64>,
        order: Order,
        visit: Visit<'_>,
    ) -> Result<(), StoreError> {
        let content = self.content();
        let mut visit = |(key, value): (&u64, &Vec<u8>)| visit(*key, value);
        if range.is_empty() {
            return Ok(());
        }
        let _: ControlFlow<()> = match order {
            Order::Ascending => content.records.range(range).try_for_each(&mut visit),
            Order::Descending => content.records.range(range).rev().try_for_each(&mut visit),
        };
        Ok(())
    }

    fn last(&self) -> Result<Option<u64>, StoreError> {
        Ok(self.content().records.last_key_value().map(|(key, _)| *key))
    }

    fn mark(&self) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.content().mark.clone())
    }

    fn write(&self, records: &BTreeMap<u64, Vec<u8>>, mark: &[u8]) -> Result<(), StoreError> {
        let mut content = self.content();
        if content.full {
            let full = io::Error::new(io::ErrorKind::StorageFull, "the simulated disk is full");
            return Err(StoreError::new("write", full));
        }
        for (sequence, bytes) in records {
            let old = content.records.insert(*sequence, bytes.clone());
            content.undo.push(Undo::Record(*sequence, old));
        }
        let old = content.mark.replace(mark.to_vec());
        content.undo.push(Undo::Mark(old));
        Ok(())
    }

    fn remove(&self, range: RangeInclusive<u64>) -> Result<(), StoreError> {
        let mut content = self.content();
        if range.is_empty() {
            return Ok(());
        }
        let keys: Vec<u64> = content.records.range(range).map(|(key, _)| *key).collect();
        for key in keys {
            let old = content.records.remove(&key);
            content.undo.push(Undo::Record(key, old));
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        let mut content = self.content();
        if content.syncs_fail {
            return Err(StoreError::new("sync", "the simulated disk fails"));
        }
        content.undo.clear();
        Ok(())
    }
}
