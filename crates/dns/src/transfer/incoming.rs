//! Zones on their way in: what a primary is asked, and what its answer is worth.
//!
//! ```text
//! primary ─▶ SOA ─┬─ not newer ─▶ nothing
//!                 └─ newer ─▶ IXFR, else AXFR ─▶ rows ─▶ Incoming ─▶ Received ─▶ Fetched, for the log
//! ```
//!
//! Over TCP alone, so that nobody else's datagram counts. A transfer is worth something when it is whole: signed with the
//! zone's key where it has one, begun and ended by the same SOA, all of it in the zone, within the bounds.
//!
//! What is deliberately not here: when to ask, and what becomes of the answer. The first is the leader's task, the second
//! the log's.

mod fetch;
mod row;
mod stream;

#[cfg(test)]
mod tests;

pub use fetch::{FetchError, Source};
pub use row::Fault;
pub use stream::{Incoming, Progress, Received, Wanted};
