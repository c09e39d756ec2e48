//! The handle of the audit log: the door for records, and what is known of the log's standing.
//!
//! Records are taken in apply order. The door holds each one against the end of what was accepted before, so that a
//! gap or a divergence is told to whoever applies, at once; the writer does the rest behind a bounded queue. Readers
//! never wait for it: they read the store and watch what is published.

use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use holdfast_core::GroupId;
use holdfast_core::audit::{Head, Record};
use tokio::sync::{mpsc, oneshot, watch};

use crate::open::{Opened, open_directory};
use crate::position::{Durable, Position};
use crate::shared::{Health, Shared, lock};
use crate::store::AuditStore;
use crate::verify::{self, Verification};
use crate::writer::{Filled, Work, Writer};
use crate::{AppendError, BackfillError, Halted, OpenError, StoreError};

/// Pieces of work that wait for the writer.
const QUEUE_WORKS: usize = 256;
/// Records in one piece of work; a larger append is taken apart. Small under test, so that a queue is soon full.
const WORK_RECORDS: usize = if cfg!(test) { 16 } else { 1024 };
/// Pieces of work that share one sync.
const GROUP_WORKS: usize = 64;
/// Records that one back-fill may bring.
pub(crate) const TRANSFER_RECORDS: usize = 4096;
/// With less room than this in the queue, mutations should be refused.
const CONGESTED_BELOW: usize = QUEUE_WORKS / 4;

/// How an audit log is kept.
#[derive(Debug, Clone)]
pub struct Config {
    /// The group whose chain it is; a label of its metrics.
    pub group: GroupId,
    /// How many records at the end are checked at open.
    pub tail_check: u64,
    /// The page cache, in bytes.
    pub cache_bytes: u64,
    /// How many damaged stores are kept beside the good one.
    pub kept_broken: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { group: GroupId(0), tail_check: 1024, cache_bytes: 32 << 20, kept_broken: 3 }
    }
}

/// How work reaches the writer.
#[derive(Debug)]
enum Lane {
    /// Over a queue, to its thread.
    Queue(mpsc::Sender<Work>),
    /// In the caller's own step.
    Inline(Box<Mutex<Writer>>),
}

/// The audit log of one group. Clones are handles of the same log.
#[derive(Debug, Clone)]
pub struct AuditLog {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Arc<dyn AuditStore>,
    shared: Arc<Shared>,
    lane: Option<Lane>,
    /// The head with everything that was accepted, written or not.
    accepted: Mutex<Head>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.lane = None;
        if let Some(thread) = self.thread.take() {
            // The writer ends once its queue is empty. It catches its own panics, so there is nothing to hand on.
            drop(thread.join());
        }
    }
}

impl AuditLog {
    /// Opens the log in `dir`, with a writer thread. A damaged store is renamed to `<dir>.broken-<n>` and replaced by
    /// an empty one; [`Opened::repaired`] says so, and the chain then comes from a peer.
    pub fn open(dir: &Path, config: &Config) -> Result<(Self, Opened), OpenError> {
        let (store, position, repaired) = open_directory(dir, config)?;
        let store: Arc<dyn AuditStore> = Arc::new(store);
        let shared = Arc::new(Shared::new(&position, config.group));
        let writer = Writer::new(
            Arc::clone(&store),
            Arc::clone(&shared),
            position.clone(),
            config.tail_check,
        );
        let (sender, receiver) = mpsc::channel(QUEUE_WORKS);
        let watched = Arc::clone(&shared);
        let name = format!("audit-{}", config.group);
        let thread = std::thread::Builder::new()
            .name(name)
            .spawn(move || drive(writer, receiver, &watched))
            .map_err(OpenError::Thread)?;
        let opened = Opened::new(&position, repaired);
        let lane = Some(Lane::Queue(sender));
        let accepted = Mutex::new(position.head);
        let inner = Inner { store, shared, lane, accepted, thread: Some(thread) };
        Ok((Self { inner: Arc::new(inner) }, opened))
    }

    /// Opens the log over `store`, without a thread: each call writes and syncs before it returns.
    pub fn synchronous(
        store: Arc<dyn AuditStore>,
        config: &Config,
    ) -> Result<(Self, Opened), OpenError> {
        let position = crate::recovery::recover(&*store, config.tail_check)
            .map_err(|refusal| OpenError::Damaged(refusal.to_string()))?;
        let shared = Arc::new(Shared::new(&position, config.group));
        let writer = Writer::new(
            Arc::clone(&store),
            Arc::clone(&shared),
            position.clone(),
            config.tail_check,
        );
        let opened = Opened::new(&position, None);
        let lane = Some(Lane::Inline(Box::new(Mutex::new(writer))));
        let accepted = Mutex::new(position.head);
        let inner = Inner { store, shared, lane, accepted, thread: None };
        Ok((Self { inner: Arc::new(inner) }, opened))
    }

    /// Takes the records of everything up to the log index `through`, in apply order, and waits for room in the
    /// queue. `records` may be empty. Records that are already stored are compared, so an append whose future was
    /// dropped can be repeated. Errors: a gap or a disorder, of which nothing was taken; the log is or was halted.
    pub async fn append(&self, records: Vec<Record>, through: u64) -> Result<(), AppendError> {
        for work in take_apart(records, through)? {
            self.submit(work).await?;
        }
        Ok(())
    }

    /// As [`append`](Self::append), but refuses with [`AppendError::Full`] instead of waiting.
    pub fn try_append(&self, records: Vec<Record>, through: u64) -> Result<(), AppendError> {
        let works = take_apart(records, through)?;
        match self.lane() {
            Lane::Inline(writer) => works.into_iter().try_for_each(|work| self.run(writer, work)),
            Lane::Queue(sender) => {
                let permits =
                    sender.try_reserve_many(works.len()).map_err(|_| AppendError::Full)?;
                permits
                    .zip(works)
                    .try_for_each(|(permit, work)| self.enter(work, |work| permit.send(work)))
            }
        }
    }

    /// Says that a snapshot up to log index `through` was installed, with the chain's head in it. Records between the
    /// stored ones and `head` are then missing, and later ones are taken all the same. Returns once this is durable.
    /// Errors: halted, also when the stored chain contradicts `head`.
    pub async fn set_head(&self, head: Head, through: u64) -> Result<(), Halted> {
        self.reach(head, Some(through)).await
    }

    /// Says that the records up to `head` were not taken and come from a peer; later ones are taken all the same. Until
    /// they are here, [`Durable::index`] stays where it is. Errors: as [`set_head`](Self::set_head).
    pub async fn skip_to(&self, head: Head) -> Result<(), Halted> {
        self.reach(head, None).await
    }

    async fn reach(&self, head: Head, through: Option<u64>) -> Result<(), Halted> {
        self.submit(Work::Reach { head, through }).await.map_err(into_halted)?;
        self.settle().await.map(drop)
    }

    /// What is missing to reach `head`, lowest part first: what to ask a peer for.
    pub fn missing(&self, head: Head) -> Option<RangeInclusive<u64>> {
        let position = self.shared().position();
        let tail = position.head.length + 1..=head.length;
        position.missing().or((!tail.is_empty()).then_some(tail))
    }

    /// Stores a peer's records at the low end of what is missing, ascending, at most
    /// [`AuditLog::MAX_TRANSFER`] in one call; records outside the hole are passed over. Each must chain to the one
    /// before, and the last one to the head that was announced.
    pub async fn backfill(&self, records: Vec<Record>) -> Result<Filled, BackfillError> {
        if records.len() > TRANSFER_RECORDS {
            return Err(BackfillError::TooMany { given: records.len(), limit: TRANSFER_RECORDS });
        }
        let (reply, answer) = oneshot::channel();
        self.submit(Work::Backfill { records, reply }).await.map_err(into_halted)?;
        answer.await.unwrap_or_else(|_| Err(self.gone().into()))
    }

    /// The most records of one [`backfill`](Self::backfill) and one [`read`](Self::read).
    pub const MAX_TRANSFER: usize = TRANSFER_RECORDS;

    /// Waits until everything that was appended before is durable.
    pub async fn settle(&self) -> Result<Durable, Halted> {
        let (reply, answer) = oneshot::channel();
        self.submit(Work::Settle { reply }).await.map_err(into_halted)?;
        answer.await.unwrap_or_else(|_| Err(self.gone()))
    }

    /// The head of what is durable, over a hole that waits for back-fill.
    pub fn head(&self) -> Head {
        self.shared().position().head
    }

    /// The first sequence that is kept, once there is one.
    pub fn first_sequence(&self) -> u64 {
        self.shared().position().base.length + 1
    }

    /// What is durable, to watch.
    pub fn durable(&self) -> watch::Receiver<Durable> {
        self.shared().durable()
    }

    /// Whether the log does its work.
    pub fn health(&self) -> Health {
        self.shared().health().borrow().clone()
    }

    /// Why nothing is taken any more, while it is so.
    pub fn halted(&self) -> Option<Halted> {
        self.shared().halted()
    }

    /// The health, to watch.
    pub fn watch_health(&self) -> watch::Receiver<Health> {
        self.shared().health()
    }

    /// Opens the store again after a halt for want of room, and goes on from what it holds; does nothing where the log
    /// is not halted. What was appended and is not durable has to be appended again, or comes from a peer. Safe to
    /// cancel. Errors: it is halted still, or for good.
    pub async fn mend(&self) -> Result<(), Halted> {
        match self.shared().halted() {
            None => return Ok(()),
            Some(halted) if !halted.mendable => return Err(halted),
            Some(_) => {}
        }
        let (reply, answer) = oneshot::channel();
        let work = Work::Mend { reply };
        match self.lane() {
            Lane::Inline(writer) => lock(writer).process(vec![work]),
            Lane::Queue(sender) => {
                let permit = sender.reserve().await.map_err(|_| self.gone())?;
                // Under the lock, so that whatever was let in before the halt is refused before this is done.
                let _accepted = lock(&self.inner.accepted);
                permit.send(work);
            }
        }
        let position = answer.await.unwrap_or_else(|_| Err(self.gone()))?;
        let mut accepted = lock(&self.inner.accepted);
        *accepted = position.head;
        self.shared().resume(&position);
        self.shared().halted().map_or(Ok(()), Err)
    }

    /// Whether so much waits for the writer that mutations should be refused.
    pub fn is_congested(&self) -> bool {
        match self.lane() {
            Lane::Queue(sender) => sender.capacity() < CONGESTED_BELOW,
            Lane::Inline(_) => false,
        }
    }

    /// Walks `range` of the chain, and holds its end against the replicated head. Reads everything, so it belongs
    /// on a blocking thread. Append's queue should have settled, or the newest records count as cut off.
    pub fn verify(
        &self,
        range: RangeInclusive<u64>,
        replicated: Option<Head>,
    ) -> Result<Verification, StoreError> {
        verify::verify(self.store(), &self.shared().position(), range, replicated.as_ref())
    }

    pub(crate) fn store(&self) -> &dyn AuditStore {
        &*self.inner.store
    }

    pub(crate) fn position(&self) -> Position {
        self.shared().position()
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.inner.shared
    }

    fn lane(&self) -> &Lane {
        self.inner.lane.as_ref().expect("only drop takes the lane")
    }

    fn gone(&self) -> Halted {
        let ended = || Halted { reason: "the writer has ended".to_owned(), mendable: false };
        self.shared().halted().unwrap_or_else(ended)
    }

    async fn submit(&self, work: Work) -> Result<(), AppendError> {
        match self.lane() {
            Lane::Inline(writer) => self.run(writer, work),
            Lane::Queue(sender) => {
                let permit = sender.reserve().await.map_err(|_| self.gone())?;
                self.enter(work, |work| permit.send(work))
            }
        }
    }

    fn run(&self, writer: &Mutex<Writer>, work: Work) -> Result<(), AppendError> {
        self.enter(work, |work| lock(writer).process(vec![work]))?;
        self.shared().halted().map_or(Ok(()), |halted| Err(halted.into()))
    }

    /// Lets work in when it follows what was let in before; `send` runs under the lock, so that order is kept.
    fn enter(&self, work: Work, send: impl FnOnce(Work)) -> Result<(), AppendError> {
        let mut accepted = lock(&self.inner.accepted);
        if let Some(halted) = self.shared().halted() {
            return Err(halted.into());
        }
        match &work {
            Work::Append { records, .. } => {
                let head = admit(*accepted, records);
                if let Err(error @ AppendError::Divergence { .. }) = &head {
                    self.shared().halt(&Halted { reason: error.to_string(), mendable: false });
                }
                *accepted = head?;
                self.shared().enqueued(records.len());
            }
            Work::Reach { head, .. } if head.length > accepted.length => *accepted = *head,
            Work::Reach { .. }
            | Work::Backfill { .. }
            | Work::Settle { .. }
            | Work::Mend { .. } => {}
        }
        send(work);
        Ok(())
    }
}

/// The head after `records`, which must follow each other and `accepted`; older ones are for the writer to compare.
fn admit(accepted: Head, records: &[Record]) -> Result<Head, AppendError> {
    let mut head = accepted;
    for record in records.iter().filter(|record| record.sequence > accepted.length) {
        let (expected, got) = (head.length + 1, record.sequence);
        if got > expected {
            return Err(AppendError::Gap { expected, got });
        }
        if record.previous != head.hash {
            let reason = "it does not link to the record before it".into();
            return Err(AppendError::Divergence { sequence: got, reason });
        }
        head = record.head();
    }
    Ok(head)
}

/// Pieces that fit the queue; only the last one completes `through`.
fn take_apart(mut records: Vec<Record>, through: u64) -> Result<Vec<Work>, AppendError> {
    for pair in records.windows(2) {
        if pair[1].sequence != pair[0].sequence + 1 {
            return Err(AppendError::Disordered { after: pair[0].sequence, got: pair[1].sequence });
        }
    }
    let mut works = Vec::new();
    while records.len() > WORK_RECORDS {
        let rest = records.split_off(WORK_RECORDS);
        works.push(Work::Append { records: std::mem::replace(&mut records, rest), through: 0 });
    }
    works.push(Work::Append { records, through });
    Ok(works)
}

fn into_halted(error: AppendError) -> Halted {
    match error {
        AppendError::Halted(halted) => halted,
        other => Halted { reason: other.to_string(), mendable: false },
    }
}

/// The writer's thread: takes what waits, up to a bound, and lets it share one sync.
fn drive(mut writer: Writer, mut queue: mpsc::Receiver<Work>, shared: &Shared) {
    while let Some(first) = queue.blocking_recv() {
        let mut group = vec![first];
        while group.len() < GROUP_WORKS
            && let Ok(next) = queue.try_recv()
        {
            group.push(next);
        }
        let step = std::panic::AssertUnwindSafe(|| writer.process(group));
        if std::panic::catch_unwind(step).is_err() {
            let reason = "the audit writer panicked".to_owned();
            shared.halt(&Halted { reason, mendable: false });
        }
    }
}
