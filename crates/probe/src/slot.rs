//! One target on the schedule: what is asked, the sampler, and when the next probe is due.

use std::time::Duration;

use holdfast_core::observation::{Observation, ObserverState, Target, fingerprint};
use holdfast_core::sample::Finding;
use holdfast_core::sampler::{Recorded, Sampler};
use holdfast_core::spec::{Check, Endpoint};
use tokio::time::Instant;

use crate::prober::ProbeSpec;
use crate::rhythm::Rhythm;
use crate::self_test::Place;

/// A burst that the leader asked for: probes at the confirm gap until a run decides.
#[derive(Debug, Clone, Copy)]
struct Burst {
    left: u16,
    passes: u16,
    failures: u16,
}

/// One target on the schedule.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) target: Target,
    endpoint: Endpoint,
    check: Check,
    fingerprint: u64,
    sampler: Sampler,
    rhythm: Rhythm,
    burst: Option<Burst>,
    /// Whether the service's answers depend on latency.
    pub(crate) measured: bool,
    /// When the next probe is due; while one runs, when that one was.
    pub(crate) due: Instant,
    pub(crate) running: bool,
    /// When the sampler last turned down.
    pub(crate) down_at: Option<Instant>,
}

impl Slot {
    pub(crate) fn new(target: Target, endpoint: Endpoint, check: Check, rhythm: Rhythm) -> Self {
        Self {
            fingerprint: fingerprint(&endpoint, &check),
            sampler: Sampler::new(&check),
            target,
            endpoint,
            check,
            rhythm,
            burst: None,
            measured: false,
            due: rhythm.first(Instant::now()),
            running: false,
            down_at: None,
        }
    }

    /// Whether a declaration asks the same question of the same place, if perhaps at other times.
    pub(crate) fn asks_the_same(&self, endpoint: &Endpoint, check: &Check) -> bool {
        self.check.kind == check.kind
            && (&self.endpoint.address, self.endpoint.port) == (&endpoint.address, endpoint.port)
    }

    /// Takes over new times and thresholds. Says whether anything changed.
    pub(crate) fn retune(&mut self, endpoint: Endpoint, check: Check) -> bool {
        let fingerprint = fingerprint(&endpoint, &check);
        let changed = fingerprint != self.fingerprint;
        if changed {
            self.sampler.retune(&check);
            self.rhythm = self.rhythm.retuned(check.interval);
            self.fingerprint = fingerprint;
            self.burst = None;
        }
        self.endpoint = endpoint;
        self.check = check;
        changed
    }

    pub(crate) fn place(&self) -> Place {
        (self.endpoint.address.clone(), self.endpoint.port)
    }

    pub(crate) fn interval(&self) -> Duration {
        self.check.interval
    }

    /// A probe that could not begin for so long says nothing any more.
    pub(crate) fn patience(&self) -> Duration {
        self.check.interval / 2
    }

    pub(crate) fn kind(&self) -> &'static str {
        self.check.kind.label()
    }

    pub(crate) fn observation(&self) -> Observation {
        self.sampler.observation(self.target.clone(), self.fingerprint)
    }

    pub(crate) fn spec(&self) -> ProbeSpec {
        ProbeSpec {
            target: self.target.clone(),
            endpoint: self.endpoint.clone(),
            check: self.check.clone(),
            timeout: self.sampler.timeout(),
        }
    }

    /// Begins a burst, unless one is under way.
    pub(crate) fn confirm(&mut self) {
        let left = self.check.rise.max(self.check.fall).max(1);
        self.burst.get_or_insert(Burst { left, passes: 0, failures: 0 });
    }

    pub(crate) fn is_bursting(&self) -> bool {
        self.burst.is_some()
    }

    /// Takes in the sample of the probe that was under way, and sets when the next is due.
    pub(crate) fn record(&mut self, done: &crate::scheduler::Done, now: Instant) -> Recorded {
        let recorded = self.sampler.record(&done.sample, done.wall);
        if let Some(state) = recorded.changed {
            self.down_at = (state == ObserverState::Down).then_some(now);
        }
        if self.measured {
            self.sampler.follow_latency();
        }
        self.count(&done.sample.finding);
        self.running = false;
        self.due = if self.sampler.is_deciding() || self.burst.is_some() {
            now + self.confirm_gap()
        } else {
            self.rhythm.following(self.due, now)
        };
        recorded
    }

    /// The next point of the rhythm, for a slot whose times changed while it waits.
    pub(crate) fn reschedule(&mut self, now: Instant) {
        self.due = self.due.min(self.rhythm.after(now));
    }

    fn confirm_gap(&self) -> Duration {
        self.check.confirm.clamp(Sampler::MIN_GAP, self.check.interval.max(Sampler::MIN_GAP))
    }

    fn count(&mut self, finding: &Finding) {
        let Some(burst) = &mut self.burst else { return };
        burst.left -= 1;
        match finding {
            Finding::Pass => (burst.passes, burst.failures) = (burst.passes + 1, 0),
            Finding::Fail(_) => (burst.passes, burst.failures) = (0, burst.failures + 1),
            Finding::Abstain(_) => {}
        }
        let decided = burst.passes >= self.check.rise || burst.failures >= self.check.fall;
        if decided || burst.left == 0 {
            self.burst = None;
        }
    }
}
