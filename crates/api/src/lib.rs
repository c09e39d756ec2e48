//! Serves: the public gRPC API, and with it the trust boundary.
//!
//! ```text
//! client ══mTLS══▶ door (how many) ─▶ gate (who, how often) ─▶ service ─▶ Agreement::propose ─▶ Outcome ─▶ response or Status
//!                                              └─▶ read index, then View ─▶ response
//! ```
//!
//! Who asks is read from the client's certificate and nowhere else; in clear text, which is served on loopback alone,
//! the client names itself. Every node answers every request: what only the leader can do is forwarded below. Every
//! refusal is a `Status` with a stable reason, what to do next, and the request's id.
//!
//! What must never become true: a change without a request id; an answer that depends on anything but one view read
//! once; a queue, map or number of streams that a client can grow without bound.

pub mod agreement;
mod caller;
mod connections;
mod context;
mod feed;
mod group;
mod limit;
mod metrics;
mod native;
pub mod node;
mod refusal;
mod server;
mod services;

pub use agreement::Agreement;
pub use caller::ACTOR_METADATA;
pub use connections::ConnectionLimits;
pub use context::{Deps, INDEX_METADATA};
pub use node::{HeartbeatSink, NodeFacts};
pub use refusal::DOMAIN;
pub use server::{ApiConfig, MAX_REQUEST_BYTES, ServeError, serve};

#[cfg(test)]
mod tests;
