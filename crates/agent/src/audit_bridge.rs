//! Between `apply` and the audit store: records are handed over in order, and nobody who applies ever waits.
//!
//! ```text
//! apply ─▶ buffer ─▶ store            buffer full: passed over, and fetched from a peer once there is room
//!                      │ no room: everything waits here ─▶ mended, with a growing pause ─▶ goes on
//!                      └ failed:  nothing is carried any more, until a restart
//! ```
//!
//! While the store is halted or the buffer fills, mutations are refused; observations still come. What was passed over
//! is a hole of the chain, so no record is lost: peers hold it, or the log, which is kept until then, derives it again
//! after a restart. DNS knows nothing of all this.
//!
//! Nothing waits for the store, so records wait for each other: what arrives within [`LINGER`] shares one sync, which
//! leaves the disk to the log, for which everybody waits.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use holdfast_audit::{AppendError, AuditLog, Halted};
use holdfast_consensus::AuditSink;
use holdfast_core::audit::{Head, Record};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Batches that wait at the most.
const BUFFER_BATCHES: usize = 20_000;
/// Bytes of records, encoded, that wait at the most. Few under test, so that they are soon reached.
const BUFFER_BYTES: usize = if cfg!(test) { 64 << 10 } else { 64 << 20 };
/// With more than one part in so many of either waiting, mutations are refused.
const CONGESTED_PART: usize = 4;
/// How long the first record of a group waits for others to share a sync with.
const LINGER: Duration = Duration::from_millis(20);
/// The first pause before a store without room is tried again.
const FIRST_MEND_PAUSE: Duration = Duration::from_secs(1);
/// The longest.
const LONGEST_MEND_PAUSE: Duration = Duration::from_secs(30);

/// What is on its way to the store.
#[derive(Debug, Clone)]
enum Parcel {
    /// Records, and their bytes.
    Records(Arc<[Record]>, usize),
    /// A snapshot was installed, whose chain ends here.
    Reach(Head),
    /// Records up to here were passed over.
    Skipped(Head),
}

#[derive(Debug)]
struct Buffer {
    parcels: VecDeque<Parcel>,
    bytes: usize,
    /// The end of what was passed over since the buffer was full. Until it is empty, what follows is passed over too:
    /// one hole.
    skipped: Option<Head>,
    /// The end of what was handed to the store.
    handed: Head,
    /// Nothing is carried any more.
    closed: bool,
}

/// The audit sink of a group. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct AuditBridge {
    log: AuditLog,
    buffer: Arc<Mutex<Buffer>>,
    filled: Arc<Notify>,
    /// The log index through which a quorum of the members holds all records.
    on_quorum: Arc<AtomicU64>,
}

impl AuditBridge {
    /// A bridge to `log`; [`AuditBridge::run`] carries.
    pub(crate) fn new(log: AuditLog) -> Self {
        let buffer = Arc::new(Mutex::new(Buffer::after(log.head())));
        Self { log, buffer, filled: Arc::default(), on_quorum: Arc::default() }
    }

    /// Notes that a quorum of the members holds all records through this log index.
    pub(crate) fn note_quorum(&self, index: u64) {
        self.on_quorum.store(index, Ordering::Relaxed);
    }

    /// Carries what arrives to the store, until cancelled.
    pub(crate) async fn run(self, cancel: CancellationToken) {
        tokio::select! {
            biased;
            () = cancel.cancelled() => {}
            () = self.keep_carrying() => {}
        }
    }

    async fn keep_carrying(&self) {
        let mut health = self.log.watch_health();
        loop {
            health.mark_unchanged();
            let trouble = self.drain().await.err().or_else(|| self.log.halted());
            match trouble {
                None => {
                    tokio::select! {
                        biased;
                        () = self.filled.notified() => {}
                        // The sender lives as long as the log, so this is news.
                        _ = health.changed() => {}
                    }
                    tokio::time::sleep(LINGER).await;
                }
                Some(halted) if halted.mendable => self.mend().await,
                Some(halted) => {
                    tracing::error!(
                        reason = halted.reason,
                        "no audit record is stored on this agent until it is restarted; changes are refused here, \
                         DNS goes on"
                    );
                    self.lock().close();
                    return std::future::pending().await;
                }
            }
        }
    }

    /// Carries what has arrived. Errors: the store is halted; what was not stored stays.
    pub(crate) async fn drain(&self) -> Result<(), Halted> {
        loop {
            let parcel = self.lock().next();
            let Some(parcel) = parcel else { return Ok(()) };
            self.carry(parcel).await?;
            self.lock().carried();
        }
    }

    async fn carry(&self, parcel: Parcel) -> Result<(), Halted> {
        match parcel {
            Parcel::Records(records, _) => self.store(&records).await,
            Parcel::Reach(head) => {
                let through = self.log.durable().borrow().index;
                self.log.set_head(head, through).await
            }
            Parcel::Skipped(head) => self.log.skip_to(head).await,
        }
    }

    /// Stores records. Where the store lacks what comes before them, it is told how far the chain reaches, and what is
    /// missing comes from a peer.
    async fn store(&self, records: &[Record]) -> Result<(), Halted> {
        let through = records.last().map_or(0, |record| record.content.index);
        let mut result = self.log.append(records.to_vec(), through).await;
        if let (Err(AppendError::Gap { expected, got }), Some(first)) = (&result, records.first()) {
            tracing::warn!(expected, got, "audit records are missing; they come from a peer");
            let before = Head { length: first.sequence - 1, hash: first.previous };
            self.log.skip_to(before).await?;
            result = self.log.append(records.to_vec(), through).await;
        }
        match result {
            Ok(()) => Ok(()),
            Err(AppendError::Halted(halted)) => Err(halted),
            // A divergence has halted the log; nothing else is possible here.
            Err(error) => {
                let reason = error.to_string();
                Err(self.log.halted().unwrap_or(Halted { reason, mendable: false }))
            }
        }
    }

    /// Tries until there is room in the store, or it is halted for good.
    async fn mend(&self) {
        let mut pause = FIRST_MEND_PAUSE;
        loop {
            tokio::time::sleep(pause).await;
            match self.log.mend().await {
                Ok(()) => break,
                Err(halted) if !halted.mendable => return,
                Err(halted) => {
                    pause = (pause * 2).min(LONGEST_MEND_PAUSE);
                    tracing::warn!(
                        reason = halted.reason,
                        again_in = ?pause,
                        "the audit store cannot go on yet; make room on its disk"
                    );
                }
            }
        }
        tracing::info!(head = self.log.head().length, "the audit store goes on");
        let mut buffer = self.lock();
        // What was handed over and did not reach the disk.
        if self.log.head().length < buffer.handed.length {
            let handed = buffer.handed;
            buffer.parcels.push_front(Parcel::Skipped(handed));
        }
    }

    fn put(&self, parcel: Parcel) {
        self.lock().put(parcel);
        self.filled.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Buffer {
    fn after(handed: Head) -> Self {
        Self { parcels: VecDeque::new(), bytes: 0, skipped: None, handed, closed: false }
    }

    fn close(&mut self) {
        *self = Self { closed: true, ..Self::after(self.handed) };
        self.show();
    }

    fn put(&mut self, parcel: Parcel) {
        if self.closed {
            return;
        }
        match &parcel {
            Parcel::Records(records, bytes) => {
                let full =
                    self.parcels.len() >= BUFFER_BATCHES || self.bytes + bytes > BUFFER_BYTES;
                if full && self.skipped.is_none() {
                    tracing::error!(
                        waiting = self.parcels.len(),
                        bytes = self.bytes,
                        "the audit store is too slow; records are passed over and come from a peer later"
                    );
                }
                if full || self.skipped.is_some() {
                    self.skipped = records.last().map(Record::head).or(self.skipped);
                    return;
                }
                self.bytes += bytes;
            }
            // It reaches over whatever was passed over before it.
            Parcel::Reach(_) => self.skipped = None,
            Parcel::Skipped(_) => {}
        }
        self.parcels.push_back(parcel);
        self.show();
    }

    /// A copy of the first parcel: it stays until it is stored, so that a task that is begun again repeats it.
    fn next(&mut self) -> Option<Parcel> {
        if self.parcels.is_empty() {
            self.parcels.extend(self.skipped.take().map(Parcel::Skipped));
        }
        self.parcels.front().cloned()
    }

    fn carried(&mut self) {
        let end = match self.parcels.pop_front() {
            Some(Parcel::Records(records, bytes)) => {
                self.bytes = self.bytes.saturating_sub(bytes);
                records.last().map(Record::head)
            }
            Some(Parcel::Reach(head) | Parcel::Skipped(head)) => Some(head),
            None => None,
        };
        self.handed = end.filter(|end| end.length > self.handed.length).unwrap_or(self.handed);
        self.show();
    }

    fn is_congested(&self) -> bool {
        self.skipped.is_some()
            || self.parcels.len() > BUFFER_BATCHES / CONGESTED_PART
            || self.bytes > BUFFER_BYTES / CONGESTED_PART
    }

    fn show(&self) {
        metrics::gauge!("holdfast_audit_spool_batches").set(self.parcels.len() as f64);
        metrics::gauge!("holdfast_audit_spool_bytes").set(self.bytes as f64);
    }
}

impl AuditSink for AuditBridge {
    fn append(&self, records: Vec<Record>) {
        if !records.is_empty() {
            let bytes = records.iter().map(Record::encoded_len).sum();
            self.put(Parcel::Records(records.into(), bytes));
        }
    }

    fn durable_index(&self) -> u64 {
        self.log.durable().borrow().index.max(self.on_quorum.load(Ordering::Relaxed))
    }

    fn refuse_mutations(&self) -> Option<String> {
        if let Some(halted) = self.log.halted() {
            return Some(format!("the audit store is halted: {}", halted.reason));
        }
        let congested = self.log.is_congested() || self.lock().is_congested();
        congested.then(|| "the audit store is behind; try again in a moment".to_owned())
    }

    fn reset(&self, head: Head) {
        self.put(Parcel::Reach(head));
    }
}

#[cfg(test)]
pub(crate) mod tests;
