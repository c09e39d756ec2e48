//! A disk in memory, without threads: for simulations and tests, in which a crash is a method call.
//!
//! A write becomes durable only when it is synced: at once, when asked ([`MemoryDisk::sync`]), or after a delay of the
//! runtime's (paused) clock. [`MemoryDisk::crash`] loses everything that was not, and from then on ignores whoever
//! still holds a handle of the life before: a process that is gone cannot write.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use openraft_rt::AsyncRuntime as _;

use super::io::{Done, Job, LogIo, Stored, Write};
use crate::rt::Rt;

/// When writes to a [`MemoryDisk`] become durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SyncPolicy {
    /// At once.
    #[default]
    Immediate,
    /// When [`MemoryDisk::sync`] is called.
    Manual,
    /// So long after they were written.
    After(Duration),
}

/// What survives a crash of a simulated agent: its log, its snapshot and its identity.
#[derive(Clone, Default)]
pub struct MemoryDisk(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    policy: SyncPolicy,
    /// Grows at each crash and each opening; handles of an earlier life are dead.
    life: u64,
    durable: Image,
    pending: Vec<Job>,
    files: BTreeMap<&'static str, Bytes>,
}

#[derive(Clone, Default)]
struct Image {
    vote: Option<Vec<u8>>,
    committed: Option<Vec<u8>>,
    purged: Option<Vec<u8>>,
    log: BTreeMap<u64, Bytes>,
}

impl Image {
    fn perform(&mut self, write: Write) {
        match write {
            Write::Vote(bytes) => self.vote = Some(bytes),
            Write::Committed(bytes) => self.committed = Some(bytes),
            Write::Append(entries) => self.log.extend(entries),
            Write::Truncate { from } => drop(self.log.split_off(&from)),
            Write::Purge { upto, mark } => {
                self.log.retain(|index, _| *index > upto);
                self.purged = Some(mark);
            }
        }
    }
}

impl MemoryDisk {
    /// An empty disk.
    pub fn new(policy: SyncPolicy) -> Self {
        Self(Arc::new(Mutex::new(Inner { policy, ..Inner::default() })))
    }

    /// Makes everything written so far durable.
    pub fn sync(&self) {
        self.sync_first(usize::MAX);
    }

    /// The machine stops: what was not synced is lost, and open handles are dead.
    pub fn crash(&self) {
        let mut inner = self.lock();
        inner.life += 1;
        inner.pending.clear();
    }

    /// The machine stops for good and its disk goes into another: a disk with what was synced on this one, which nobody
    /// who still holds this one can write to, neither log nor snapshot.
    #[must_use]
    pub fn survivor(&self) -> Self {
        self.crash();
        let inner = self.lock();
        Self(Arc::new(Mutex::new(Inner {
            policy: inner.policy,
            durable: inner.durable.clone(),
            files: inner.files.clone(),
            ..Inner::default()
        })))
    }

    /// Opens the log; handles opened before are dead.
    pub(crate) fn open(&self) -> MemoryIo {
        let mut inner = self.lock();
        inner.life += 1;
        inner.pending.clear();
        MemoryIo { life: inner.life, disk: self.clone() }
    }

    pub(crate) fn file(&self, name: &'static str) -> Option<Bytes> {
        self.lock().files.get(name).cloned()
    }

    pub(crate) fn put_file(&self, name: &'static str, bytes: Bytes) {
        self.lock().files.insert(name, bytes);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the oldest `count` pending writes durable.
    fn sync_first(&self, count: usize) {
        let mut dones: Vec<Done> = Vec::new();
        let mut inner = self.lock();
        let count = count.min(inner.pending.len());
        let jobs: Vec<Job> = inner.pending.drain(..count).collect();
        for job in jobs {
            inner.durable.perform(job.write);
            dones.push(job.done);
        }
        drop(inner);
        dones.into_iter().for_each(|done| done());
    }
}

impl std::fmt::Debug for MemoryDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let inner = self.lock();
        write!(
            f,
            "MemoryDisk({} entries, {} pending)",
            inner.durable.log.len(),
            inner.pending.len()
        )
    }
}

/// An open log on a [`MemoryDisk`].
pub(crate) struct MemoryIo {
    life: u64,
    disk: MemoryDisk,
}

#[async_trait]
impl LogIo for MemoryIo {
    async fn write(&self, job: Job) {
        let policy = {
            let mut inner = self.disk.lock();
            if inner.life != self.life {
                return;
            }
            inner.pending.push(job);
            inner.policy
        };
        match policy {
            SyncPolicy::Immediate => self.disk.sync(),
            SyncPolicy::Manual => {}
            SyncPolicy::After(delay) => {
                let (disk, life) = (self.disk.clone(), self.life);
                drop(Rt::spawn(async move {
                    Rt::sleep(delay).await;
                    if disk.lock().life == life {
                        disk.sync_first(1);
                    }
                }));
            }
        }
    }

    fn load(&self) -> io::Result<Stored> {
        let inner = self.disk.lock();
        let image = &inner.durable;
        Ok(Stored {
            vote: image.vote.clone(),
            committed: image.committed.clone(),
            purged: image.purged.clone(),
            last: image.log.last_key_value().map(|(_, bytes)| bytes.clone()),
        })
    }

    fn read(&self, from: u64, to: u64, max_bytes: usize) -> io::Result<Vec<(u64, Bytes)>> {
        if from >= to {
            return Ok(Vec::new());
        }
        let mut bytes = 0;
        let within = |(_, value): &(&u64, &Bytes)| {
            let first = bytes == 0;
            bytes += value.len();
            first || bytes <= max_bytes
        };
        let inner = self.disk.lock();
        let entries = inner.durable.log.range(from..to).take_while(within);
        Ok(entries.map(|(index, value)| (*index, value.clone())).collect())
    }

    async fn close(&self) {
        let closing = self.disk.lock().life == self.life;
        if closing {
            self.disk.sync();
        }
    }
}
