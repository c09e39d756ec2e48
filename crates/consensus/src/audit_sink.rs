//! The seam to the audit store: records go out in apply order, and the store says what it has made durable.
//!
//! The records are derived from the log, so the log must outlive them: no snapshot (and so no purge) reaches beyond a
//! record that neither this store nor a quorum of the members' has made durable. A store that is full or slow says so,
//! and mutations are refused with its reason; observations, time and leadership go on.

use holdfast_core::audit::{Head, Record};

/// Where the audit records of one group go.
pub trait AuditSink: Send + Sync + 'static {
    /// Takes the records of applied entries, in order. After a restart the records since the last snapshot come
    /// again, byte for byte; the sink keeps what it has. Must not block for long: apply waits for it.
    fn append(&self, records: Vec<Record>);

    /// The log index up to which every record that was appended is durable, here or on a quorum of the members.
    fn durable_index(&self) -> u64;

    /// Why mutations are to be refused, while they are.
    fn refuse_mutations(&self) -> Option<String>;

    /// The state was restored from a snapshot that ends at `head`: what is appended next follows it. Called at
    /// start (the sink usually holds these records already) and when the leader sent a snapshot (records that it
    /// does not hold are to be fetched from a peer).
    fn reset(&self, head: Head);
}
