//! Decides: from observations to verdicts, from verdicts to a selection, from a selection to DNS answers.
//!
//! ```text
//! Sample ─▶ Sampler ─▶ Observation ══▶ Entry{at, command} ─▶ State::apply ─▶ records, events, View
//!          (node-local)                (replicated log)       (pure, total)
//! ```
//!
//! Everything here is a pure function of its arguments. There is no clock, no I/O, no randomness, no thread and
//! no hash-ordered iteration: time enters as data (`Entry::at`), random ids come inside commands, maps are sorted.
//! The crate is `no_std`, so the compiler holds us to it. Equal logs therefore give equal state on every replica,
//! and a recorded log can be replayed to explain any decision bit for bit.
//!
//! What must never become true: a decision that depends on anything that is not in the log; an `apply` that fails
//! or panics on an input; a second place that computes what `explain` prints.
#![no_std]
#![warn(missing_docs)]

extern crate alloc;

pub mod answer;
pub mod audit;
pub mod command;
pub mod copied;
pub mod decision;
pub mod event;
pub mod explain;
pub mod history;
pub mod id;
pub mod invariant;
pub mod membership;
pub mod name;
pub mod observation;
pub mod overrides;
pub mod presentation;
pub mod propagation;
pub mod prospects;
pub mod quorum;
pub mod recovery;
pub mod sample;
pub mod sampler;
pub mod sealed;
pub mod seam;
pub mod selection;
pub mod shared_map;
pub mod signing;
pub mod spec;
pub mod state;
pub mod steer;
pub mod time;
pub mod tsig;
pub mod ttl;
pub mod update;
pub mod view;

pub use command::{Actor, ActorKind, Command, Entry, Outcome, Rejection, Reply};
pub use id::{
    AgentId, AgentName, BootId, CheckName, EndpointName, Epoch, GroupId, OverrideId, PoolName,
    RegionName, RequestId, ServiceId,
};
pub use name::DnsName;
pub use sealed::Sealed;
pub use shared_map::SharedMap;
pub use state::State;
pub use time::Timestamp;
pub use view::View;
