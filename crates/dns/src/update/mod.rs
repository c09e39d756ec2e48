//! Dynamic updates (RFC 2136) at the door: read, checked for a key, and handed to whoever has them agreed on.
//!
//! ```text
//! message ─▶ signature (transfer) ─▶ read ─▶ rules for the key? ─▶ Agreement ══▶ the leader's log ═▶ reply
//! ```
//!
//! Nothing is decided here that could differ between two agents: what is refused here at once (no key, no rule for it,
//! not a possible message) saves the group the work, and everything else is decided by `holdfast_core` when the log
//! comes to it. A retransmission has the same MAC and so the same request id, and is answered as the first time.
//!
//! Invariant: total on any bytes; no thread of DNS waits for an answer; [`agreement::MAX_UNDER_WAY`] updates are under way at
//! most, and one more is told SERVFAIL.

mod agreement;
mod read;

#[cfg(test)]
mod tests;

pub use agreement::{Agreement, Decided, UpdatePlace, UpdatePlaces};
pub(crate) use agreement::{Path, request_id};
pub use read::read_update;
pub(crate) use read::{Asked, opt_alone, read};
