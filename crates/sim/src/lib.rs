//! Proves: the real agent, three times, in a world that one seed decides.
//!
//! ```text
//! seed ─▶ Plan ─▶ nemesis ─▶ Net · World · Clocks · Disk ─▶ Agent ×3 ─▶ watchers ─▶ oracle (invariants of the core)
//!            └──▶ clients ─▶ Group::propose ─▶ history ────────────────────────────▶ reckoning
//! ```
//!
//! Tokio's clock is paused, its scheduler seeded, and whatever the agent asks of the world comes through its seams,
//! so that a run repeats bit for bit: the trace of a failing seed is the whole bug report. `meta` proves that by
//! running seeds twice.
//!
//! What must never become true: a copy of the agent's composition in here; a check that is switched off for a fault;
//! a run that passes without having felt the faults it applied.

mod catalogue;
pub mod children;
mod clients;
mod clock;
mod coverage;
mod dice;
mod disk;
mod history;
mod liveness;
mod machine;
mod nemesis;
mod net;
mod oracle;
mod plan;
mod run;
mod sabotage;
mod stage;
mod trace;
mod watchers;
mod world;

pub use run::{Options, Report, run};
pub use sabotage::Sabotage;
