//! What survives when a machine stops: the synced part of the log, the audit records, the answers served last.
//!
//! A disk outlives its machine and has lives. Whoever holds a handle of an earlier life writes nothing any more, so
//! that a stopped agent which still runs in this process cannot reach into the next one. The answers are kept the
//! moment they are served; the real agent's last-known-good file may lag by half a second.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use holdfast_agent::world::{AuditStore, MemoryStore, Order, StoreError, Visit};
use holdfast_consensus::{MemoryDisk, SyncPolicy};
use holdfast_core::AgentId;
use holdfast_core::view::Answers;

use crate::plan::Plan;
use crate::sabotage::Sabotage;

/// The disk of one machine.
pub(crate) struct Disk {
    log: Mutex<MemoryDisk>,
    audit: MemoryStore,
    tampers: bool,
    life: Arc<AtomicU32>,
    answers: Arc<Mutex<Option<Arc<Answers>>>>,
}

impl Disk {
    pub(crate) fn new(agent: AgentId, plan: &Plan) -> Self {
        let policy =
            if plan.sync.is_zero() { SyncPolicy::Immediate } else { SyncPolicy::After(plan.sync) };
        Self {
            log: Mutex::new(MemoryDisk::new(policy)),
            audit: MemoryStore::new(),
            tampers: plan.is_sabotaged(agent, Sabotage::TamperedRecords),
            life: Arc::default(),
            answers: Arc::default(),
        }
    }

    /// The machine stops: what was not synced is lost, and every handle is dead.
    pub(crate) fn crash(&self) {
        self.life.fetch_add(1, Ordering::SeqCst);
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let survivor = log.survivor();
        *log = survivor;
        self.audit.crash();
    }

    /// The log, for the present life.
    pub(crate) fn log(&self) -> MemoryDisk {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The audit store, for the present life.
    pub(crate) fn audit(&self) -> Arc<dyn AuditStore> {
        let life = self.life.load(Ordering::SeqCst);
        Arc::new(Held {
            store: self.audit.clone(),
            tampers: self.tampers,
            life,
            current: self.life.clone(),
        })
    }

    /// Keeps answers as the ones served last.
    pub(crate) fn keep(&self, answers: Arc<Answers>) {
        *self.answers.lock().unwrap_or_else(PoisonError::into_inner) = Some(answers);
    }

    /// The answers served last.
    pub(crate) fn kept(&self) -> Option<Arc<Answers>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A handle of the audit store that dies with its life.
#[derive(Debug)]
struct Held {
    store: MemoryStore,
    tampers: bool,
    life: u32,
    current: Arc<AtomicU32>,
}

impl Held {
    fn alive(&self) -> bool {
        self.current.load(Ordering::SeqCst) == self.life
    }
}

impl AuditStore for Held {
    fn get(&self, sequence: u64) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.get(sequence)
    }

    fn scan(
        &self,
        range: RangeInclusive<u64>,
        order: Order,
        visit: Visit<'_>,
    ) -> Result<(), StoreError> {
        self.store.scan(range, order, visit)
    }

    fn last(&self) -> Result<Option<u64>, StoreError> {
        self.store.last()
    }

    fn mark(&self) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.mark()
    }

    fn write(&self, records: &BTreeMap<u64, Vec<u8>>, mark: &[u8]) -> Result<(), StoreError> {
        if !self.alive() {
            return Ok(());
        }
        let mut records = records.clone();
        if let Some(last) = records
            .values_mut()
            .filter(|_| self.tampers)
            .filter_map(|bytes| bytes.last_mut())
            .next()
        {
            *last ^= 1;
        }
        self.store.write(&records, mark)
    }

    fn remove(&self, range: RangeInclusive<u64>) -> Result<(), StoreError> {
        if self.alive() { self.store.remove(range) } else { Ok(()) }
    }

    fn sync(&self) -> Result<(), StoreError> {
        if self.alive() { self.store.sync() } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_of_an_earlier_life_writes_nothing() {
        let disk = Disk::new(AgentId(1), &Plan::new(1, 1));
        let before = disk.audit();
        disk.crash();
        let after = disk.audit();
        let write = |store: &dyn AuditStore, sequence| {
            store.write(&BTreeMap::from([(sequence, vec![1])]), b"mark").expect("writes");
            store.sync().expect("syncs");
        };
        write(&*before, 1);
        write(&*after, 2);
        assert_eq!(after.get(1).expect("reads"), None);
        assert_eq!(after.get(2).expect("reads"), Some(vec![1]));
    }
}
