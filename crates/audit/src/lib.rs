//! Remembers: keeps the audit chain in sled, proves that nobody touched it, and hands it out.
//!
//! ```text
//! apply ─▶ append ─▶ bounded queue ─▶ writer ─▶ sled: write, flush, our own fdatasync ─▶ durable
//!                    peers' records ─▶ backfill ──┘                │
//!                        verify · query · follow · export ◀────────┘
//! ```
//!
//! Records are a projection of the replicated log: made by `apply`, equal on every replica. The store is therefore
//! never the source of truth. A store that is damaged is set aside and filled again from a peer, and a record that
//! is derived a second time must equal the stored one byte for byte. sled 0.34 does not fsync on Linux, so a record
//! counts as durable only after a sync of our own.
//!
//! One chain is one sled directory. Retention by segments will rotate directories beneath [`AuditStore`]; the
//! chain's base (the head before its first retained record) is already part of what is stored.
//!
//! What must never become true: a record changed or deleted in place; a damaged directory deleted without a word;
//! a failed sync tried again as if nothing had happened; a reader or DNS waiting for the writer.
#![warn(missing_docs)]

mod error;
mod export;
mod follow;
mod log;
mod metrics;
mod open;
mod position;
mod query;
mod recovery;
mod shared;
mod store;
mod verify;
mod writer;

pub use error::{AppendError, BackfillError, ExportError, Halted, OpenError, StoreError};
pub use export::{Contiguity, Exported, record_from_json, record_to_json, verify_export};
pub use follow::Follow;
pub use log::{AuditLog, Config};
pub use open::{Opened, Repair};
pub use position::Durable;
pub use query::{Filter, Page, Query};
pub use shared::Health;
pub use store::{AuditStore, MemoryStore, Order, SledStore, Visit};
pub use verify::{Tampering, TamperingKind, Verification};
pub use writer::Filled;

#[cfg(test)]
mod tests;
