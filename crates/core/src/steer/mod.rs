//! Which of the records that are served a given client gets.
//!
//! What may be served at all is decided by verdicts, brakes and orders (`selection`); steering only chooses among
//! that, and never chooses nothing. It is a pure function of a published set and a [`Client`]: equal clients get equal
//! answers from every agent, and each answer says for how large a network it is right (the scope of RFC 7871).

mod choose;
mod client;

pub use choose::choose;
pub use client::{Client, Place};
