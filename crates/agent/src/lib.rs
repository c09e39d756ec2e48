//! Runs: the composition root. Everything meets here and nowhere else.
//!
//! ```text
//! start ▼  dns (last-known-good) · http · audit · group · peers · tasks · api      stop ▲
//! ```
//!
//! [`run`] is a whole agent on real sockets and disks. [`Agent`] is its inside, with the world passed in through
//! seams, which is what the simulation runs. What happens in the background is a supervised task with a name.
//!
//! What must never become true: two leaves that meet anywhere else; DNS that waits for anything else to start or
//! that stops before everything else has.

mod agent;
mod audit_bridge;
mod certificate;
pub mod config;
mod convergence;
mod copies;
mod facts;
mod handover;
mod http;
mod life;
mod observatory;
mod observe;
mod peers;
mod privileges;
mod probe_once;
mod probing;
mod replicas;
mod run;
mod seams;
mod succession;
mod tasks;
pub mod telemetry;
#[cfg(test)]
mod testing;
mod updates;
pub mod world;

pub use agent::{Agent, AgentSeams, AuditStorage};
pub use certificate::{CertificateError, certificate};
pub use config::{Config, ConfigError};
pub use facts::Facts;
pub use handover::{HandoverError, Start};
pub use holdfast_probe::{AddressPolicy, ProbeReport};
pub use http::Part;
pub use privileges::PrivilegeError;
pub use probe_once::probe_once;
pub use run::{StartError, run};
pub use seams::{SystemClock, SystemEntropy};
pub use tasks::{TaskStatus, Tasks};
