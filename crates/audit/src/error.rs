//! Why something about the audit chain could not be done: one type per group of operations.
//!
//! The engine's own errors stay behind [`StoreError`]; nothing outside this crate names them.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// The engine below failed, and the log halts. Only a write that found no room is ever tried again.
#[derive(Debug, Error)]
#[error("audit store: {operation} failed: {source}")]
pub struct StoreError {
    /// Such as `flush`.
    pub operation: &'static str,
    /// What the engine or the operating system said.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

impl StoreError {
    /// `operation` failed because of `source`.
    pub fn new(
        operation: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { operation, source: source.into() }
    }

    /// Whether there was no room. What had been written before is as it was, which nobody knows after another error.
    pub fn is_full(&self) -> bool {
        let kind = self.source.downcast_ref::<io::Error>().map(io::Error::kind);
        matches!(kind, Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
    }
}

/// Why the log could not be opened. Damage is not among the reasons: a damaged store is set aside.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The directory cannot be used as it is, and setting it aside would not help.
    #[error(
        "cannot open the audit store in {dir}: {reason}; check that no other agent uses this directory, \
         that it is writable and that the disk is not full",
        dir = dir.display()
    )]
    Unusable {
        /// The directory.
        dir: PathBuf,
        /// What the engine or the operating system said.
        reason: String,
    },
    /// A damaged store could not be renamed.
    #[error(
        "the audit store in {dir} is damaged ({damage}) and cannot be set aside: {source}; move it away by hand",
        dir = dir.display()
    )]
    CannotSetAside {
        /// The directory.
        dir: PathBuf,
        /// What is wrong with it.
        damage: String,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The store given to a log without files is damaged.
    #[error("the audit store is damaged: {0}")]
    Damaged(String),
    /// The writer's thread could not be started.
    #[error("cannot start the thread of the audit writer: {0}")]
    Thread(#[source] io::Error),
}

/// The log takes no more records.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the audit log is halted: {reason}; the agent needs attention, its DNS goes on")]
pub struct Halted {
    /// What happened.
    pub reason: String,
    /// Whether [`AuditLog::mend`](crate::AuditLog::mend) may help.
    pub mendable: bool,
}

/// Why records were not taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AppendError {
    /// Records in between are missing: announce the head before them, append again, and back-fill.
    #[error(
        "audit record {got} does not follow the last one: {expected} is expected; back-fill from a peer"
    )]
    Gap {
        /// The sequence that would follow.
        expected: u64,
        /// The sequence that was given.
        got: u64,
    },
    /// The record contradicts the chain; the log is halted.
    #[error(
        "audit record {sequence} diverges from the stored chain: {reason}; the log is halted, compare the replicas"
    )]
    Divergence {
        /// The record.
        sequence: u64,
        /// How.
        reason: String,
    },
    /// The records of one call do not follow each other.
    #[error(
        "audit record {got} cannot stand after {after} in one append: sequences must be consecutive"
    )]
    Disordered {
        /// The sequence before.
        after: u64,
        /// The sequence that was given.
        got: u64,
    },
    /// The queue is full; nothing was taken.
    #[error("the audit queue is full; refuse mutations until the store has caught up")]
    Full,
    /// The log takes no more records.
    #[error(transparent)]
    Halted(#[from] Halted),
}

/// Why a peer's records were not taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BackfillError {
    /// Nothing is missing.
    #[error("no audit record is missing")]
    NothingMissing,
    /// More records than one call may bring.
    #[error("{given} records in one back-fill, at most {limit} are allowed; send fewer")]
    TooMany {
        /// How many were given.
        given: usize,
        /// The bound.
        limit: usize,
    },
    /// The records begin or go on at the wrong place.
    #[error("back-fill needs record {expected} next, the peer sent {got}")]
    Unexpected {
        /// The sequence that is needed.
        expected: u64,
        /// The sequence that was given.
        got: u64,
    },
    /// A record does not fit its hash or its predecessor.
    #[error("record {sequence} of the peer is not part of this chain: {reason}; ask another peer")]
    Broken {
        /// The record.
        sequence: u64,
        /// How.
        reason: String,
    },
    /// The records chain among themselves and miss the replicated head; what was filled is dropped.
    #[error(
        "the peer's records up to {sequence} do not lead to the replicated chain; ask another peer"
    )]
    WrongChain {
        /// The last record of the hole.
        sequence: u64,
    },
    /// The log takes no more records.
    #[error(transparent)]
    Halted(#[from] Halted),
}

/// Why an export could not be written or read.
#[derive(Debug, Error)]
pub enum ExportError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file failed.
    #[error("audit export: {0}")]
    Io(#[from] io::Error),
    /// A stored record cannot be decoded, so the export would be incomplete.
    #[error("stored audit record {sequence} cannot be decoded; run audit verify")]
    Undecodable {
        /// The record.
        sequence: u64,
    },
    /// A line is not a record.
    #[error("line {line} is not an audit record: {reason}")]
    Line {
        /// Counted from 1.
        line: u64,
        /// What is wrong.
        reason: String,
    },
}
