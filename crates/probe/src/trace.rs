//! What happens in the course of one probe: the phase it is in, how long each took, and the assertions made.
//!
//! The phase is kept beside the probe's future, so that it is known when the deadline cuts the future off.

use std::net::SocketAddr;
use std::time::Duration;

use holdfast_core::sample::{Abstention, Failure, FailureKind, Phase, Sample};
use tokio::time::Instant;

/// Why a probe ended without passing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The endpoint failed.
    Fail(Failure),
    /// This observer cannot tell.
    Abstain(Abstention),
}

/// What a step of a probe returns.
pub(crate) type Step<T = ()> = Result<T, Stop>;

/// A failure of the endpoint.
pub(crate) fn failed(phase: Phase, kind: FailureKind, detail: impl Into<String>) -> Stop {
    Stop::Fail(Failure::new(phase, kind, detail))
}

/// One probe with all that was seen on the way: what `holdfast check run --debug` prints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeReport {
    /// What was found.
    pub sample: Sample,
    /// The address last connected to.
    pub address: Option<SocketAddr>,
    /// Each phase with the time it took, in order; phases repeat when a redirect is followed.
    pub timings: Vec<(Phase, Duration)>,
    /// What was asserted, and what else is worth knowing, in order; at most [`ProbeReport::MAX_NOTES`].
    pub notes: Vec<String>,
}

impl ProbeReport {
    /// The most notes kept.
    pub const MAX_NOTES: usize = 64;
}

/// The course of one probe.
#[derive(Debug)]
pub(crate) struct Trace {
    phase: Phase,
    since: Instant,
    started: Instant,
    waiting: Option<String>,
    pub(crate) address: Option<SocketAddr>,
    timings: Vec<(Phase, Duration)>,
    notes: Option<Vec<String>>,
}

/// The most timings kept: every phase of the first request and of ten redirects.
const MAX_TIMINGS: usize = 88;

impl Trace {
    pub(crate) fn new(verbose: bool) -> Self {
        let now = Instant::now();
        Self {
            phase: Phase::Resolve,
            since: now,
            started: now,
            waiting: None,
            address: None,
            timings: Vec::new(),
            notes: verbose.then(Vec::new),
        }
    }

    /// Ends the phase that the probe was in, and begins another.
    pub(crate) fn enter(&mut self, phase: Phase) {
        if phase != self.phase {
            self.close();
        }
        self.phase = phase;
        self.waiting = None;
    }

    fn close(&mut self) {
        let now = Instant::now();
        if self.timings.len() < MAX_TIMINGS {
            self.timings.push((self.phase, now - self.since));
        }
        self.since = now;
    }

    /// Says what is waited for, for the case that it does not come in time.
    pub(crate) fn wait_for(&mut self, what: impl Into<String>) {
        self.waiting = Some(what.into());
    }

    /// Keeps a remark, where remarks are wanted.
    pub(crate) fn note(&mut self, remark: impl FnOnce() -> String) {
        if let Some(notes) = &mut self.notes
            && notes.len() < ProbeReport::MAX_NOTES
        {
            notes.push(remark());
        }
    }

    /// Time since the probe began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// The failure of a probe that the deadline cut off.
    pub(crate) fn timeout(&self, limit: Duration) -> Stop {
        let detail = match &self.waiting {
            Some(what) => format!("no answer within {} ms: {what}", limit.as_millis()),
            None => format!("no answer within {} ms", limit.as_millis()),
        };
        failed(self.phase, FailureKind::Timeout, detail)
    }

    pub(crate) fn report(mut self, sample: Sample) -> ProbeReport {
        self.close();
        ProbeReport {
            sample,
            address: self.address,
            timings: self.timings,
            notes: self.notes.unwrap_or_default(),
        }
    }
}
