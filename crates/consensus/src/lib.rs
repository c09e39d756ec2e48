//! Agrees: openraft, the log store, snapshots and the [`Group`] handle.
//!
//! ```text
//! propose ─▶ leader ─▶ LogStore (redb, fsync) ─▶ quorum ─▶ StateMachine (core State) ─▶ AuditSink, watch<Arc<View>>
//!                └─ Network ══Wire══▶ Group::handle of the peers
//! ```
//!
//! Raft lives behind one concrete handle. Votes and entries are durable before anyone is told; a storage failure ends
//! the process; an entry that is not understood stops the group on this agent and leaves its view. Entries,
//! snapshots and messages have our own versioned encoding.
//!
//! What must never become true: an openraft type in the public API, or on disk or wire; a lease read; an
//! acknowledgement before an fsync; a node that lost its log and still votes.

mod audit_sink;
mod clocks;
mod codec;
mod config;
mod error;
mod group;
mod groups;
mod identity;
mod log_store;
mod metrics;
mod network;
mod rt;
mod state_machine;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod testing_net;
mod types;

pub use audit_sink::AuditSink;
pub use config::{GroupConfig, Member, Seams, Storage, Timings};
pub use error::{Attempts, ChangeError, ProposeError, ReadError, StartError};
pub use group::{Group, GroupStatus, MemberStatus, Role};
pub use groups::Groups;
pub use log_store::{Fatal, MemoryDisk, SyncPolicy};
pub use metrics::describe_metrics;
pub use rt::with_seed;
