//! From samples to an opinion: one observer's node-local state of one target.
//!
//! ```text
//!            rise passes in a row                 fall failures in a row
//!  Unknown ───────────────────────▶ Up    any ─────────────────────────▶ Down
//!     ▲                                                                    │
//!     └────────── MAX_ABSTENTIONS in a row (the observer cannot tell) ◀────┘
//! ```
//!
//! A run is a series of passes, or of failures, that nothing of the other kind interrupts. A state changes only when
//! a run reaches its threshold, so that one failed probe changes nothing unless `fall` is 1. An abstention says
//! nothing about the endpoint and leaves the run as it is; after [`Sampler::MAX_ABSTENTIONS`] in a row the opinion
//! is too old to stand, and a full new round is needed. While a run is short of its threshold the next probe comes
//! after the `confirm` gap instead of the interval.
//!
//! The timeout adapts as TCP's does (Jacobson 1988, RFC 6298): smoothed latency plus four times its deviation,
//! doubled after each timeout, never above the declared one. Integers only.
//!
//! What it deliberately does not know: time (it is told when a probe began), the network, and other observers.

use core::time::Duration;

use crate::observation::{Observation, ObserverState, Target};
use crate::sample::{Failure, FailureKind, Finding, Sample};
use crate::spec::Check;
use crate::steer::band;
use crate::time::Timestamp;

/// What a sample brought about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recorded {
    /// The new state, if it changed.
    pub changed: Option<ObserverState>,
    /// The first failure of a run while the target was not down: worth asking the other observers to look.
    pub suspect: bool,
}

/// What the latest judged probes have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Run {
    Passes(u16),
    Failures(u16),
}

impl Run {
    const NONE: Self = Self::Passes(0);
}

/// One observer's state of one target.
#[derive(Debug, Clone)]
pub struct Sampler {
    tuning: Tuning,
    state: ObserverState,
    run: Run,
    run_since: Timestamp,
    abstentions: u8,
    abstaining_since: Timestamp,
    since: Timestamp,
    latency: Duration,
    /// Passes since `latency` was noted.
    noted_before: u16,
    failure: Option<Failure>,
    round_trip: RoundTrip,
}

impl Sampler {
    /// After so many abstentions in a row the state is unknown.
    pub const MAX_ABSTENTIONS: u8 = 3;
    /// No gap and no timeout is shorter, whatever a check says.
    pub const MIN_GAP: Duration = Duration::from_millis(10);
    /// A latency that was noted stands for at least so many passes.
    pub const LATENCY_HOLD: u16 = 32;
    /// The adaptive timeout does not fall below this, nor below a quarter of the declared one.
    pub const MIN_TIMEOUT: Duration = Duration::from_millis(50);

    /// A sampler without an opinion.
    pub fn new(check: &Check) -> Self {
        Self {
            tuning: Tuning::of(check),
            state: ObserverState::Unknown,
            run: Run::NONE,
            run_since: Timestamp::default(),
            abstentions: 0,
            abstaining_since: Timestamp::default(),
            since: Timestamp::default(),
            latency: Duration::ZERO,
            noted_before: 0,
            failure: None,
            round_trip: RoundTrip::default(),
        }
    }

    /// Takes over new timing and thresholds and keeps the opinion: for a check that asks the same question as before.
    pub fn retune(&mut self, check: &Check) {
        self.tuning = Tuning::of(check);
    }

    /// Takes in a sample of a probe that began at `wall`.
    pub fn record(&mut self, sample: &Sample, wall: Timestamp) -> Recorded {
        let before = self.state;
        let mut suspect = false;
        match &sample.finding {
            Finding::Pass => {
                self.round_trip.answered(sample.latency);
                self.pass(sample, wall);
            }
            Finding::Fail(failure) => {
                self.learn(failure, sample.latency);
                suspect = self.fail(failure, sample, wall);
            }
            Finding::Abstain(_) => self.abstain(wall),
        }
        Recorded { changed: (self.state != before).then_some(self.state), suspect }
    }

    /// The opinion.
    pub fn state(&self) -> ObserverState {
        self.state
    }

    /// The opinion with its evidence, as it is reported.
    pub fn observation(&self, target: Target, fingerprint: u64) -> Observation {
        let down = self.state == ObserverState::Down;
        Observation {
            target,
            fingerprint,
            state: self.state,
            failure: self.failure.clone().filter(|_| down),
            latency: self.latency,
            since: self.since,
        }
    }

    /// Notes the smoothed latency instead of the one noted last, where it has left that one's band by more than an
    /// eighth and that one has stood for long enough; so an observation changes at most once in
    /// [`LATENCY_HOLD`](Self::LATENCY_HOLD) passes. For services whose answers depend on latency.
    pub fn follow_latency(&mut self) {
        if self.state != ObserverState::Up || self.noted_before < Self::LATENCY_HOLD {
            return;
        }
        let Some((smooth, _)) = self.round_trip.estimate else { return };
        let (noted, at) = (band(self.latency), |micros| band(Duration::from_micros(micros)));
        if at(smooth - smooth / 8) > noted || at(smooth + smooth / 8) < noted {
            self.latency = Duration::from_micros(smooth);
            self.noted_before = 0;
        }
    }

    /// Whether a run is short of its threshold, so that the next probe should come soon.
    ///
    /// An observer that abstains does not hurry: it is overloaded, or not allowed to look at all.
    pub fn is_deciding(&self) -> bool {
        self.abstentions == 0
            && match self.run {
                Run::Passes(n) => self.state != ObserverState::Up && n < self.tuning.rise,
                Run::Failures(n) => self.state != ObserverState::Down && n < self.tuning.fall,
            }
    }

    /// The time from one probe to the next: the interval, or the `confirm` gap while deciding.
    pub fn next_gap(&self) -> Duration {
        if self.is_deciding() { self.tuning.confirm } else { self.tuning.interval }
    }

    /// How long the next probe may take; never more than the check's timeout.
    pub fn timeout(&self) -> Duration {
        self.round_trip.timeout(self.tuning.timeout)
    }

    fn pass(&mut self, sample: &Sample, wall: Timestamp) {
        self.abstentions = 0;
        self.noted_before = self.noted_before.saturating_add(1);
        let length = match self.run {
            Run::Passes(n) if n > 0 => n.saturating_add(1),
            Run::Passes(_) | Run::Failures(_) => {
                self.run_since = wall;
                1
            }
        };
        self.run = Run::Passes(length);
        if length >= self.tuning.rise && self.state != ObserverState::Up {
            self.settle(ObserverState::Up, sample.latency, self.run_since);
        }
    }

    fn fail(&mut self, failure: &Failure, sample: &Sample, wall: Timestamp) -> bool {
        self.abstentions = 0;
        let length = match self.run {
            Run::Failures(n) => n.saturating_add(1),
            Run::Passes(_) => {
                self.run_since = wall;
                1
            }
        };
        let suspect = length == 1 && self.state != ObserverState::Down;
        self.run = Run::Failures(length);
        self.failure = Some(failure.clone());
        if length >= self.tuning.fall && self.state != ObserverState::Down {
            self.settle(ObserverState::Down, sample.latency, self.run_since);
        }
        suspect
    }

    fn abstain(&mut self, wall: Timestamp) {
        if self.abstentions == 0 {
            self.abstaining_since = wall;
        }
        self.abstentions = self.abstentions.saturating_add(1);
        if self.abstentions >= Self::MAX_ABSTENTIONS {
            self.run = Run::NONE;
            if self.state != ObserverState::Unknown {
                self.settle(ObserverState::Unknown, Duration::ZERO, self.abstaining_since);
            }
        }
    }

    fn settle(&mut self, state: ObserverState, latency: Duration, since: Timestamp) {
        self.state = state;
        self.latency = latency;
        self.noted_before = 0;
        self.since = since;
    }

    fn learn(&mut self, failure: &Failure, latency: Duration) {
        match failure.kind {
            FailureKind::Timeout => self.round_trip.timed_out(),
            FailureKind::Slow => self.round_trip.answered(latency),
            FailureKind::Refused
            | FailureKind::Reset
            | FailureKind::Unreachable
            | FailureKind::NoAddress
            | FailureKind::Certificate
            | FailureKind::Protocol
            | FailureKind::Status
            | FailureKind::Content
            | FailureKind::Silent => {}
        }
    }
}

/// A check's numbers, made safe: nothing is zero, and the confirm gap is at most the interval.
#[derive(Debug, Clone, Copy)]
struct Tuning {
    interval: Duration,
    confirm: Duration,
    timeout: Duration,
    rise: u16,
    fall: u16,
}

impl Tuning {
    fn of(check: &Check) -> Self {
        let interval = check.interval.max(Sampler::MIN_GAP);
        Self {
            interval,
            confirm: check.confirm.clamp(Sampler::MIN_GAP, interval),
            timeout: check.timeout.max(Sampler::MIN_GAP),
            rise: check.rise.max(1),
            fall: check.fall.max(1),
        }
    }
}

/// Smoothed latency and its deviation in microseconds, and how often the timeout was doubled since an answer.
#[derive(Debug, Clone, Copy, Default)]
struct RoundTrip {
    estimate: Option<(u64, u64)>,
    doublings: u32,
}

impl RoundTrip {
    const MAX_DOUBLINGS: u32 = 16;
    /// A day: longer latencies count as this, so that the arithmetic has room.
    const MAX_MICROS: u64 = 86_400_000_000;

    fn answered(&mut self, latency: Duration) {
        let sample = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX).min(Self::MAX_MICROS);
        self.doublings = 0;
        self.estimate = Some(match self.estimate {
            None => (sample, sample / 2),
            Some((smooth, deviation)) => (
                smooth - smooth / 8 + sample / 8,
                deviation - deviation / 4 + smooth.abs_diff(sample) / 4,
            ),
        });
    }

    fn timed_out(&mut self) {
        self.doublings = (self.doublings + 1).min(Self::MAX_DOUBLINGS);
    }

    fn timeout(&self, limit: Duration) -> Duration {
        let Some((smooth, deviation)) = self.estimate else { return limit };
        let base = Duration::from_micros(smooth.saturating_add(deviation.saturating_mul(4)));
        let floor = Sampler::MIN_TIMEOUT.max(limit / 4).min(limit);
        base.max(floor).saturating_mul(1 << self.doublings).min(limit)
    }
}
