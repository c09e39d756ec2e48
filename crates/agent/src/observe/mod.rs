//! From this node's observations to the log, and from the leader's wishes back to this node.
//!
//! ```text
//!  Digest ─▶ reporter ══Report══▶ hub (leader) ─▶ propose RecordObservations
//!  scheduler ◀── Confirm ══════════ hub ◀── a suspicion at any observer
//! ```
//!
//! The digest is a map of the latest, never a queue: a storm of changes costs what a calm costs, and whatever was
//! lost on the way is sent again in full. Suspicions are hints: they make everybody look at once and leave no trace
//! in the log. Silence is noticed by the leader alone and makes opinions unknown, never anything down.

pub(crate) mod heartbeats;
pub(crate) mod hub;
pub(crate) mod reporter;
pub(crate) mod roster;

#[cfg(test)]
mod tests;
