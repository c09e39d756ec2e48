//! The seam below the log store: bytes in one serial stream, durable in that order.
//!
//! A [`LogIo`] takes [`Job`]s and performs them strictly in the order given: a vote is never reordered with the
//! entries around it, and no job's `done` is called before it and everything before it is durable. What it stores are
//! bytes; it knows no Raft. A failed write or sync is never retried and never reported upwards: the kernel may have
//! dropped the pages, so nothing that follows could be trusted. The [`Fatal`] hook ends the process.

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

/// What is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Write {
    /// The vote.
    Vote(Vec<u8>),
    /// How far the log is known to be committed. May become durable late; nothing depends on it for safety.
    Committed(Vec<u8>),
    /// Entries by ascending index.
    Append(Vec<(u64, Bytes)>),
    /// Forget the entries from this index on.
    Truncate {
        /// The first one to forget.
        from: u64,
    },
    /// Forget the entries up to this index, and remember the mark.
    Purge {
        /// The last one to forget.
        upto: u64,
        /// The log id of that entry.
        mark: Vec<u8>,
    },
}

/// Called once, when the write is durable. Dropped uncalled when it never became so.
pub(crate) type Done = Box<dyn FnOnce() + Send>;

/// One write and who waits for it.
pub(crate) struct Job {
    pub(crate) write: Write,
    pub(crate) done: Done,
}

/// What was found when the store was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) vote: Option<Vec<u8>>,
    pub(crate) committed: Option<Vec<u8>>,
    pub(crate) purged: Option<Vec<u8>>,
    /// The entry with the highest index.
    pub(crate) last: Option<Bytes>,
}

/// Durable storage of one group's log.
#[async_trait]
pub(crate) trait LogIo: Send + Sync + 'static {
    /// Accepts a job; waits for a place in the queue.
    async fn write(&self, job: Job);
    /// What is stored; called once, before the first write.
    fn load(&self) -> io::Result<Stored>;
    /// Durable entries of `from..to` by ascending index: the first one always, the following while all of them
    /// together stay within `max_bytes`.
    fn read(&self, from: u64, to: u64, max_bytes: usize) -> io::Result<Vec<(u64, Bytes)>>;
    /// Performs what is queued and lets go of the file.
    async fn close(&self);
}

/// What happens when storage fails. The default ends the process; tests observe it.
#[derive(Clone)]
pub struct Fatal(Arc<dyn Fn(&str) + Send + Sync>);

impl Fatal {
    /// Logs at ERROR and aborts the process: what was not synced must not be acknowledged by anything that runs on.
    pub fn abort() -> Self {
        Self::hook(|_| std::process::abort())
    }

    /// Calls `hook` with the reason instead.
    pub fn hook(hook: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(hook))
    }

    /// Storage failed for good.
    pub(crate) fn raise(&self, what: &str, error: &dyn std::fmt::Display) {
        let reason = format!("{what}: {error}");
        tracing::error!(
            reason,
            "storage failed; this agent stops, because nothing it wrote can be trusted"
        );
        (self.0)(&reason);
    }
}

impl std::fmt::Debug for Fatal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fatal")
    }
}
