//! Under construction.

use alloc::sync::Arc;
use alloc::vec::Vec;
use crate::audit::{Hash, Head, Record};
use crate::command::{Entry, Outcome};
use crate::id::GroupId;
use crate::time::Timestamp;
use crate::view::View;

/// What an entry brought about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The answer to whoever asked.
    pub outcome: Outcome,
    /// The records that it added to the audit chain, in order.
    pub records: Vec<Record>,
}

/// The next moment at which something falls due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deadline {
    /// When.
    pub at: Timestamp,
    /// What.
    pub reason: &'static str,
}

/// Everything that is replicated, as plain data: what a snapshot holds.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Snapshot {}

/// The state.
#[derive(Debug)]
pub struct State;

impl State {
    /// The state before the first entry.
    pub fn new(_group: GroupId) -> Self { Self }
    /// Applies the entry at `index`. Total: a bad command yields a replicated rejection.
    pub fn apply(&mut self, _index: u64, _entry: &Entry) -> Applied { unreachable!() }
    /// What the world sees; cheap, shares what has not changed since the last call.
    pub fn view(&mut self) -> Arc<View> { unreachable!() }
    /// The last applied index.
    pub fn index(&self) -> u64 { 0 }
    /// SHA-256 over the canonical encoding of the whole state.
    pub fn hash(&self) -> Hash { Hash::GENESIS }
    /// Where the audit chain stands.
    pub fn audit_head(&self) -> Head { Head::EMPTY }
    /// The next moment at which something falls due, with its reason: the leader then proposes `AdvanceTime`.
    pub fn next_deadline(&self) -> Option<Deadline> { None }
    /// Everything replicated, as plain data.
    pub fn snapshot(&self) -> Snapshot { Snapshot {} }
    /// The state that a snapshot holds.
    pub fn restore(_snapshot: Snapshot) -> Self { Self }
}
