//! Answers: the authoritative server over a watched view.
//!
//! ```text
//! Publisher::publish ─▶ ArcSwap<Published> ─┬─▶ UDP threads ┐                      ┌─▶ plain: the compiled Table
//!        │ (only what is newer)             └─▶ TCP loops  ─┴─▶ Responder: screen ─┼─▶ hickory RequestHandler ─▶ core::answer
//!        ▼                                                                         └─▶ silence, or a fault's reply
//!   LkgWriter ─▶ last-known-good file ─▶ (next start) served until the first publication
//! ```
//!
//! What is answered is decided by the pure `holdfast_core::answer`. Plain questions (addresses, no data, no such name)
//! are answered from a table that each publication compiles from what changed, without allocation and locks; all others
//! by hickory-server behind one `RequestHandler`, on the same thread. Both give the same bytes
//! (`tests/dns/equal.rs`). What hickory-server 0.26.3 does not do, or does unsafely, stands in front of it: the sockets
//! and accept loop are ours, and `Responder` looks at each message before anything else does.
//!
//! TCP, TLS, HTTPS and QUIC give the bytes of the same `Responder`; over streams, `Streams` may answer with many
//! messages (transfers), or with one that the group has to agree on (updates).
//!
//! What must never become true: an answer that mixes two snapshots; a query that waits for anything but its socket;
//! a reply to a reply; an older snapshot that replaces a newer one; a wildcard or forgotten socket that replies from
//! another address than it was asked at; two answers to one question
//! because one was compiled.
//!
//! The log filter must hold `hickory_server` at `warn`: it writes events at `info` for every request that passes
//! through its own sockets, which would turn a flood of queries into a flood of log lines.

mod admission;
mod ahead;
mod batch;
mod bind;
mod capture;
mod certificate;
mod class;
mod client;
mod compiled;
mod config;
mod connection;
mod cookie;
mod cursor;
mod desk;
mod dnssec;
mod encrypted;
mod geo;
mod handler;
mod https;
mod inherit;
mod keys;
mod later;
mod limits;
pub mod lkg;
mod lkg_writer;
mod memory;
mod metric;
mod opt;
mod parts;
mod plain;
mod precedence;
mod publish;
mod query_log;
mod queue_drops;
mod quic;
mod rate_limit;
mod rdata;
mod record;
mod reply_opt;
mod respond;
mod retired;
mod screen;
mod server;
mod shared;
mod streams;
mod table;
mod tally;
mod tcp;
#[cfg(test)]
mod testing;
mod transfer;
mod tsig;
mod udp;
mod udp_socket;
mod udp_thread;
mod update;

pub use config::{ChaosConfig, DnsConfig, DnsError, EncryptedConfig, LastKnownGood, TcpConfig};
pub use cookie::{CookieSecret, CookieSecretError, Cookies, MAX_SECRETS};
pub use dnssec::{Presigner, Refusal, SigningContext, Unsignable};
pub use geo::{Geo, GeoConfig, GeoError};
pub use handler::{Handler, Settings};
pub use inherit::Inherited;
pub use lkg::LkgError;
pub use parts::Parts;
pub use publish::{
    AnswersSource, Outcome, Position, Published, Publisher, channel, signing_channel,
};
pub use query_log::QueryLogConfig;
pub use rate_limit::RateLimit;
pub use respond::{Peer, Responder, Transport};
pub use server::DnsServer;
pub use streams::{Append, Finish, Messages, Special, Streams};
pub use transfer::{
    Fault, FetchError, Incoming, Notices, Notifier, Progress, Received, Source, Transfers, Wanted,
};
pub use update::{Agreement, Decided, UpdatePlace, UpdatePlaces, read_update};
