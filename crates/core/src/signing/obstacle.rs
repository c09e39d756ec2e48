//! What stands against a step in exchanging a zone's keys, and what to do about it.
//!
//! Invariant: whoever is refused is told either until when, or what to do first; never to wait for what time alone does not
//! bring.

use alloc::string::String;

const LOOK_AGAIN: &str = "ask for the step with `holdfast zone dnssec`, which looks at the parent first; `--resolver IP` of a \
                          server of the parent makes the wait the shortest";

/// What stands against a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Obstacle {
    /// Why the step is not safe, or not possible.
    pub problem: String,
    /// What to do about it.
    pub next_step: &'static str,
}

impl Obstacle {
    pub(super) fn new(problem: impl Into<String>, next_step: &'static str) -> Self {
        Self { problem: problem.into(), next_step }
    }

    /// Nothing but time is in the way; the problem says until when.
    pub(super) fn waiting(problem: String) -> Self {
        Self::new(problem, "ask again then; `holdfast zone dnssec status` shows what is awaited")
    }

    /// Nobody has looked at the parent, or not lately.
    pub(super) fn unseen(problem: impl Into<String>) -> Self {
        Self::new(problem, LOOK_AGAIN)
    }
}
