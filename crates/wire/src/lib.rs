//! Speaks: protobuf messages, their conversions to and from the core, entry encoding, and the ways agents talk.
//!
//! ```text
//! proto/ ──build.rs──▶ pb ◀──convert──▶ holdfast_core      entry, command, outcome, report: what is stored or sent
//!                                                          peer: agent ⇄ agent, one envelope for every kind
//! ```
//!
//! Decoding is total: any bytes give a value or a [`DecodeError`] that says what is wrong and where. Stored messages
//! begin with a format number, so that an old node stops at what it does not understand and does not guess.
//!
//! What it deliberately does not do: judge. A decoded service may still be impossible; `apply` says so.
//!
//! What must never become true: a value that changes on its way through bytes and back in a manner that two replicas
//! could disagree about; a prost type in a room other than `api` and `consensus`.

pub mod agent;
pub mod ca;
pub mod codec;
pub mod convert;
pub mod error;
pub mod lookup;
pub mod pb;
pub mod peer;
pub mod tls;

pub use codec::{command, entry, outcome, records, report, snapshot};
pub use convert::Convert;
pub use error::DecodeError;

#[cfg(test)]
mod tests;
