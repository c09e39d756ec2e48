//! Between `apply` and the audit store: records are handed over in order, and nobody who applies ever waits.
//!
//! `apply` puts records into a bounded buffer; a task carries them to the store and waits there for room. When the
//! buffer fills, mutations are refused; when it is full all the same (observations still come), the store is halted
//! rather than the group: its records are then fetched from a peer after a restart. DNS knows nothing of all this.
//!
//! Nothing waits for the store, so records wait for each other: what arrives within [`LINGER`] shares one sync, which
//! leaves the disk to the log, for which everybody waits.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use holdfast_audit::{AppendError, AuditLog, Health};
use holdfast_consensus::AuditSink;
use holdfast_core::audit::{Head, Record};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Batches that wait at the most.
const BUFFER_BATCHES: usize = 20_000;
/// How long the first record of a group waits for others to share a sync with.
const LINGER: Duration = Duration::from_millis(20);
/// With more than this waiting, mutations are refused.
const CONGESTED_BATCHES: usize = BUFFER_BATCHES / 4;

/// What is on its way to the store.
#[derive(Debug)]
enum Parcel {
    Records(Vec<Record>),
    Reach(Head),
}

/// The audit sink of a group. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct AuditBridge {
    log: AuditLog,
    buffer: Arc<Mutex<VecDeque<Parcel>>>,
    filled: Arc<Notify>,
}

impl AuditBridge {
    /// A bridge to `log`; [`AuditBridge::run`] carries.
    pub(crate) fn new(log: AuditLog) -> Self {
        Self { log, buffer: Arc::default(), filled: Arc::default() }
    }

    /// Carries what arrives to the store, until cancelled.
    pub(crate) async fn run(self, cancel: CancellationToken) {
        loop {
            self.drain().await;
            tokio::select! {
                biased;
                () = self.filled.notified() => {}
                () = cancel.cancelled() => return,
            }
            tokio::select! {
                biased;
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(LINGER) => {}
            }
        }
    }

    /// Carries what has arrived.
    pub(crate) async fn drain(&self) {
        loop {
            let parcel = self.lock().front().map(Parcel::copy);
            let Some(parcel) = parcel else { return };
            self.carry(parcel).await;
            self.lock().pop_front();
        }
    }

    async fn carry(&self, parcel: Parcel) {
        let result = match parcel {
            Parcel::Records(records) => self.store(records).await,
            Parcel::Reach(head) => {
                let through = self.log.durable().borrow().index;
                self.log.set_head(head, through).await.map_err(|halted| halted.reason)
            }
        };
        if let Err(why) = result {
            tracing::error!(
                why,
                "audit records could not be stored; mutations are refused, DNS goes on"
            );
        }
    }

    /// Stores records. Where the store lacks what comes before them (it was set aside, or a snapshot leapt ahead),
    /// it is told how far the chain reaches, and what is missing comes from a peer.
    async fn store(&self, records: Vec<Record>) -> Result<(), String> {
        let through = records.last().map_or(0, |record| record.content.index);
        match self.log.append(records.clone(), through).await {
            Err(AppendError::Gap { expected, got }) => {
                let Some(first) = records.first() else { return Ok(()) };
                tracing::warn!(
                    expected,
                    got,
                    "audit records are missing; they are fetched from a peer"
                );
                let before = Head { length: first.sequence - 1, hash: first.previous };
                self.log.set_head(before, through).await.map_err(|halted| halted.reason)?;
                self.log.append(records, through).await.map_err(|error| error.to_string())
            }
            result => result.map_err(|error| error.to_string()),
        }
    }

    fn put(&self, parcel: Parcel) {
        let mut buffer = self.lock();
        if buffer.len() >= BUFFER_BATCHES {
            drop(buffer);
            self.log.halt("the audit store is too slow: its buffer is full");
            return;
        }
        buffer.push_back(parcel);
        metrics::gauge!("holdfast_audit_spool_batches").set(buffer.len() as f64);
        drop(buffer);
        self.filled.notify_one();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Parcel>> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Parcel {
    /// A copy to work on: the original stays at the front until it is stored, so that a restarted task repeats it.
    fn copy(&self) -> Self {
        match self {
            Self::Records(records) => Self::Records(records.clone()),
            Self::Reach(head) => Self::Reach(*head),
        }
    }
}

impl AuditSink for AuditBridge {
    fn append(&self, records: Vec<Record>) {
        if !records.is_empty() {
            self.put(Parcel::Records(records));
        }
    }

    fn durable_index(&self) -> u64 {
        self.log.durable().borrow().index
    }

    fn refuse_mutations(&self) -> Option<String> {
        if let Health::Halted { reason } = self.log.health() {
            return Some(format!("the audit store is halted: {reason}"));
        }
        let congested = self.log.is_congested() || self.lock().len() > CONGESTED_BATCHES;
        congested.then(|| "the audit store is behind; try again in a moment".to_owned())
    }

    fn reset(&self, head: Head) {
        self.put(Parcel::Reach(head));
    }
}
