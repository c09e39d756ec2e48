//! Observes: asks every endpoint what its checks say, and keeps this node's opinion of each.
//!
//! ```text
//!  View ─▶ Scheduler ─▶ Prober ─▶ Sample ─▶ Sampler (core) ─▶ Digest ══▶ reporter
//!             ▲  when, how many     what was found   thresholds    latest opinion per target
//!             └── ConfirmHandle (the leader asks for a burst)
//! ```
//!
//! A probe is a plain `async fn` per kind of check under one deadline; what it finds is raw. Thresholds are the
//! core's. The [`Digest`] is a map of the latest opinions, never a queue: a storm costs what calm costs.
//!
//! What must never become true: a failure of this node that is told as a failure of an endpoint; a connection to an
//! address that the [`AddressPolicy`] denies; a decision about health that is taken here.

mod board;
mod connect;
mod digest;
mod exchange;
mod expect;
mod kind;
pub mod lookup;
mod metrics;
mod policy;
mod prober;
mod rhythm;
mod scheduler;
mod self_test;
mod slot;
mod tls;
mod trace;

pub use digest::Digest;
pub use metrics::describe as describe_metrics;
pub use policy::{AddressPolicy, Cidr, CidrError, Denial};
pub use prober::{NetProber, ProbeSpec, Prober};
pub use scheduler::{ConfirmHandle, Scheduler, SchedulerConfig};
pub use self_test::Sentinels;
pub use trace::ProbeReport;
