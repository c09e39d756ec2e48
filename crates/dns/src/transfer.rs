//! Zones on their way to and from other servers: copies (AXFR, IXFR) both ways, and the word that something changed
//! (NOTIFY). Changes that others ask for (UPDATE) come in by the same door.
//!
//! ```text
//! Published ─┬─ Answers ──▶ zone: every record of a zone, name by name ─▶ outgoing ─▶ messages ≤ 16 KiB, signed
//!            └─ History ──▶ delta: what differs since the serial that a secondary has, aliases included
//!
//! primary ─▶ messages ─▶ incoming: whole or nothing, within bounds ─▶ what the group agrees to serve
//! ```
//!
//! A transfer is of one snapshot, however long it takes, and is made as fast as the peer reads it. Serials are log
//! indexes, so a secondary may ask any agent; one that has never served the secondary's serial gives the whole zone.
//!
//! What is deliberately not here: agreement. An update is checked for its signature and its form, and handed to whoever
//! can propose it (`update`).

mod aliases;
mod delta;
mod history;
mod incoming;
mod messages;
mod notices;
mod notify;
mod outgoing;
mod request;
mod server;
mod updates;
mod zone;

#[cfg(test)]
mod tests;

pub(crate) use history::History;
pub use incoming::{Fault, FetchError, Incoming, Progress, Received, Source, Wanted};
pub use notices::Notices;
pub use notify::Notifier;
pub(crate) use request::Question;
pub use server::Transfers;
