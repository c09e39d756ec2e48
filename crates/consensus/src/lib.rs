//! Agrees.

mod audit_sink;
mod codec;
mod log_store;
mod metrics;
mod rt;
mod state_machine;
#[cfg(test)]
mod testing;
mod types;

pub use audit_sink::AuditSink;
pub use log_store::{Fatal, MemoryDisk, SyncPolicy};
pub use rt::with_seed;
