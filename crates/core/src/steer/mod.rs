//! Which of the records that are served a given client gets.
//!
//! What may be served at all is decided by verdicts, brakes and orders (`selection`); steering only chooses among
//! that, and never chooses nothing. It is a pure function of a published set and a [`Client`]: equal clients get equal
//! answers from every agent, and each answer says for how large a network it is right (the scope of RFC 7871).

mod choices;
mod choose;
mod client;
mod earth;
mod explain;
mod latencies;
mod ring;
mod rules;
mod shares;
mod steering;
#[cfg(test)]
mod tests;

pub use choices::choices;
pub use choose::{asks_for_place, choose, varies};
pub use client::{Client, Place};
pub use explain::explain;
pub use latencies::{Latencies, UNMEASURED, band};
pub use ring::Ring;
pub use rules::{Found, Ground};
pub use shares::Shares;
pub(crate) use steering::{Compiled, pick};
pub use steering::{Route, Steering};
