//! The log as openraft wants it, over a [`LogIo`].
//!
//! Entries are readable as soon as they are accepted and acknowledged only when durable. In between, and for a while
//! after, they are served from [`Tail`], a contiguous suffix of the log in memory; older ones come from the store.
//! The bounds (last, purged) and the vote are kept in memory as well, as the accepted stream of writes leaves them:
//! that is sound because a write that fails ends the process.
//!
//! One call returns at most [`READ_BYTES`] of entries where openraft allows fewer, so that a message stays small.

mod io;
mod memory;
mod redb_io;

#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io::{Error, ErrorKind, Result};
use std::ops::{Bound, RangeBounds, RangeInclusive};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use openraft::storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage};
use tokio::sync::oneshot;

pub use io::Fatal;
pub(crate) use io::LogIo;
use io::{Job, Write};
pub use memory::{MemoryDisk, SyncPolicy};
pub(crate) use redb_io::RedbIo;

use crate::codec;
use crate::types::{LogId, RaftEntry, Types, Vote};

/// Bytes of entries in one answer to replication, at the most (one entry always fits).
pub(crate) const READ_BYTES: usize = 1 << 20;
/// Bytes of durable entries that are kept in memory for replication and apply.
const TAIL_BYTES: usize = 4 << 20;
/// How often a read is repeated when a purge overtakes it.
const READ_ATTEMPTS: usize = 4;

/// One group's log.
#[derive(Clone)]
pub(crate) struct LogStore {
    io: Arc<dyn LogIo>,
    tail: Arc<Mutex<Tail>>,
}

/// The log's bounds, and its last entries.
#[derive(Default)]
struct Tail {
    vote: Option<Vote>,
    committed: Option<LogId>,
    purged: Option<LogId>,
    last: Option<LogId>,
    /// A contiguous run of entries that ends in `last`.
    entries: BTreeMap<u64, Kept>,
    bytes: usize,
    /// Counts appends, to tell an entry from an older one at the same index.
    ticket: u64,
}

struct Kept {
    entry: RaftEntry,
    bytes: usize,
    ticket: u64,
    durable: bool,
}

impl LogStore {
    /// Reads the bounds of what `io` holds.
    pub(crate) fn open(io: Arc<dyn LogIo>) -> Result<Self> {
        let stored = io.load()?;
        let purged = stored.purged.as_deref().map(codec::decode_log_id).transpose()?;
        let last = stored.last.as_deref().map(codec::decode_entry).transpose()?;
        let tail = Tail {
            vote: stored.vote.as_deref().map(codec::decode_vote).transpose()?,
            committed: stored.committed.as_deref().map(codec::decode_log_id).transpose()?,
            last: last.map(|entry| entry.log_id).max(purged),
            purged,
            ..Tail::default()
        };
        Ok(Self { io, tail: Arc::new(Mutex::new(tail)) })
    }

    /// Whether nothing was ever stored.
    pub(crate) fn is_new(&self) -> bool {
        let tail = self.lock();
        tail.vote.is_none() && tail.last.is_none()
    }

    /// The index of the last entry, 0 where there is none.
    pub(crate) fn last_index(&self) -> u64 {
        self.lock().last.map_or(0, |id| id.index)
    }

    /// Performs what is queued and lets go of the file.
    pub(crate) async fn close(&self) {
        self.io.close().await;
    }

    fn lock(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn submit(&self, write: Write) {
        self.io.write(Job { write, done: Box::new(|| ()) }).await;
    }

    /// Entries of `from..to` that exist, up to `max_bytes`.
    fn entries(&self, from: u64, to: u64, max_bytes: usize) -> Result<Vec<RaftEntry>> {
        for _ in 0..READ_ATTEMPTS {
            if let Some(entries) = self.try_entries(from, to, max_bytes)? {
                return Ok(entries);
            }
        }
        Err(Error::other(format!(
            "purging overtook the read of {from}..{to} {READ_ATTEMPTS} times"
        )))
    }

    /// `None` when a purge overtook the read.
    fn try_entries(&self, from: u64, to: u64, max_bytes: usize) -> Result<Option<Vec<RaftEntry>>> {
        let (purged, from, to, kept_from, mut kept) = {
            let tail = self.lock();
            let from = from.max(tail.purged.as_ref().map_or(0, |id| id.index + 1));
            let to = to.min(tail.last.as_ref().map_or(0, |id| id.index + 1));
            let kept_from = tail.entries.first_key_value().map_or(to, |(index, _)| *index);
            (tail.purged, from, to, kept_from, tail.kept(from.max(kept_from), to, max_bytes))
        };
        if from >= kept_from.min(to) {
            return Ok(Some(kept));
        }
        let stored = self.io.read(from, kept_from.min(to), max_bytes)?;
        if self.lock().purged != purged {
            return Ok(None);
        }
        let next = stored.last().map_or(kept_from, |(index, _)| index + 1);
        let bytes: usize = stored.iter().map(|(_, bytes)| bytes.len()).sum();
        let mut entries = Vec::with_capacity(stored.len() + kept.len());
        for (_, bytes) in stored {
            entries.push(codec::decode_entry(&bytes)?);
        }
        if next == kept_from && bytes < max_bytes {
            entries.append(&mut kept);
        }
        Ok(Some(entries))
    }
}

impl Tail {
    fn kept(&self, from: u64, to: u64, max_bytes: usize) -> Vec<RaftEntry> {
        if from >= to {
            return Vec::new();
        }
        let mut entries = Vec::new();
        let mut bytes = 0;
        for kept in self.entries.range(from..to).map(|(_, kept)| kept) {
            bytes += kept.bytes;
            if !entries.is_empty() && bytes > max_bytes {
                break;
            }
            entries.push(kept.entry.clone());
        }
        entries
    }

    fn keep(&mut self, entry: RaftEntry, bytes: usize) {
        let ticket = self.ticket;
        self.last = Some(entry.log_id);
        self.bytes += bytes;
        let kept = Kept { bytes, ticket, durable: false, entry };
        if let Some(replaced) = self.entries.insert(kept.entry.log_id.index, kept) {
            self.bytes -= replaced.bytes;
        }
    }

    /// Marks what the append `ticket` wrote as durable, and lets go of the oldest durable entries beyond the bound.
    fn flushed(&mut self, ticket: u64, written: RangeInclusive<u64>) {
        let kept = self.entries.range_mut(written).map(|(_, kept)| kept);
        for kept in kept.filter(|kept| kept.ticket == ticket) {
            kept.durable = true;
        }
        while self.bytes > TAIL_BYTES {
            match self.entries.first_entry() {
                Some(first) if first.get().durable => self.bytes -= first.remove().bytes,
                _ => break,
            }
        }
    }

    fn forget(&mut self, gone: impl Fn(u64) -> bool) {
        let mut freed = 0;
        self.entries.retain(|index, kept| {
            let stays = !gone(*index);
            freed += if stays { 0 } else { kept.bytes };
            stays
        });
        self.bytes -= freed;
    }
}

fn bounds(range: &impl RangeBounds<u64>) -> (u64, u64) {
    let from = match range.start_bound() {
        Bound::Included(index) => *index,
        Bound::Excluded(index) => index.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let to = match range.end_bound() {
        Bound::Included(index) => index.saturating_add(1),
        Bound::Excluded(index) => *index,
        Bound::Unbounded => u64::MAX,
    };
    (from, to)
}

impl RaftLogReader<Types> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + Send>(
        &mut self,
        range: RB,
    ) -> Result<Vec<RaftEntry>> {
        let (from, to) = bounds(&range);
        self.entries(from, to, usize::MAX)
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>> {
        Ok(self.lock().vote)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<RaftEntry>> {
        self.entries(start, end, READ_BYTES)
    }
}

impl RaftLogStorage<Types> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types>> {
        let tail = self.lock();
        Ok(LogState { last_purged_log_id: tail.purged, last_log_id: tail.last })
    }

    async fn get_log_reader(&mut self) -> Self::LogReader {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<()> {
        let (sender, durable) = oneshot::channel();
        // Whoever waited may be gone; the vote is durable all the same.
        let done = Box::new(move || sender.send(()).unwrap_or_default());
        self.io.write(Job { write: Write::Vote(codec::encode_vote(vote)), done }).await;
        durable
            .await
            .map_err(|_| Error::new(ErrorKind::BrokenPipe, "the vote did not reach the disk"))?;
        self.lock().vote = Some(*vote);
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<()> {
        let Some(committed) = committed else { return Ok(()) };
        self.lock().committed = Some(committed);
        self.submit(Write::Committed(codec::encode_log_id(&committed))).await;
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>> {
        let tail = self.lock();
        // A mark that became durable later than the entries it speaks of may point beyond them.
        Ok(tail.committed.min(tail.last))
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> Result<()>
    where
        I: IntoIterator<Item = RaftEntry> + Send,
        I::IntoIter: Send,
    {
        let entries: Vec<(RaftEntry, Bytes)> = entries
            .into_iter()
            .map(|entry| {
                let bytes = codec::encode_entry(&entry).into();
                (entry, bytes)
            })
            .collect();
        let writes: Vec<(u64, Bytes)> =
            entries.iter().map(|(entry, bytes)| (entry.log_id.index, bytes.clone())).collect();
        let indexes = || writes.iter().map(|(index, _)| *index);
        let written = indexes().min().unwrap_or(1)..=indexes().max().unwrap_or(1);
        let ticket = {
            let mut tail = self.lock();
            tail.ticket += 1;
            for (entry, bytes) in entries {
                tail.keep(entry, bytes.len());
            }
            tail.ticket
        };
        let tail = self.tail.clone();
        let done = Box::new(move || {
            tail.lock().unwrap_or_else(PoisonError::into_inner).flushed(ticket, written);
            callback.io_completed(Ok(()));
        });
        self.io.write(Job { write: Write::Append(writes), done }).await;
        Ok(())
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> Result<()> {
        let from = {
            let mut tail = self.lock();
            let from = last_log_id.as_ref().map_or(0, |id| id.index + 1);
            tail.forget(|index| index >= from);
            if tail.last.as_ref().is_some_and(|last| last.index >= from) {
                tail.last = last_log_id.max(tail.purged);
            }
            from
        };
        self.submit(Write::Truncate { from }).await;
        Ok(())
    }

    async fn purge(&mut self, log_id: LogId) -> Result<()> {
        {
            let mut tail = self.lock();
            tail.forget(|index| index <= log_id.index);
            tail.purged = tail.purged.max(Some(log_id));
            tail.last = tail.last.max(Some(log_id));
        }
        let mark = codec::encode_log_id(&log_id);
        self.submit(Write::Purge { upto: log_id.index, mark }).await;
        Ok(())
    }
}
