//! Wall clocks: virtual time plus what each machine's clock is wrong by. Nobody may depend on them for order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use holdfast_core::seam::Clock;
use holdfast_core::{AgentId, Timestamp};
use tokio::time::Instant;

use crate::coverage::Coverage;
use crate::dice::Dice;
use crate::plan::AGENTS;

/// The wall time at which every run begins: 2026-01-01T00:00:00Z.
const BEGINNING_MS: i64 = 1_767_225_600_000;
/// A clock is wrong by up to this at the beginning.
const SKEW_MS: u64 = 400;
/// And drifts by up to this many millionths.
const DRIFT_PPM: u64 = 200;

/// The clocks of all agents.
pub(crate) struct Clocks(BTreeMap<AgentId, Arc<SimClock>>);

impl Clocks {
    pub(crate) fn new(seed: u64, coverage: &Coverage) -> Self {
        let dice = Dice::new(seed, "clocks");
        let centred = |range: u64| {
            i64::try_from(dice.below(2 * range + 1)).unwrap_or(0) - range.cast_signed()
        };
        let clock = |id| {
            let clock = SimClock {
                begun: Instant::now(),
                offset: AtomicI64::new(centred(SKEW_MS)),
                drift_ppm: centred(DRIFT_PPM),
                jumps: AtomicU64::new(0),
                coverage: coverage.clone(),
            };
            (AgentId(id), Arc::new(clock))
        };
        Self((1..=AGENTS).map(clock).collect())
    }

    /// The clock of an agent's machine.
    pub(crate) fn of(&self, agent: AgentId) -> Arc<SimClock> {
        self.0.get(&agent).expect("every agent has a clock").clone()
    }
}

/// The wall clock of one machine.
pub(crate) struct SimClock {
    begun: Instant,
    offset: AtomicI64,
    drift_ppm: i64,
    /// Jumps that nobody has read the clock since.
    jumps: AtomicU64,
    coverage: Coverage,
}

impl SimClock {
    /// The clock jumps.
    pub(crate) fn jump(&self, by_ms: i64) {
        self.offset.fetch_add(by_ms, Ordering::Relaxed);
        self.jumps.store(1, Ordering::Relaxed);
    }
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        if self.jumps.swap(0, Ordering::Relaxed) > 0 {
            self.coverage.felt("clock_jump");
        }
        let micros = i64::try_from(self.begun.elapsed().as_micros()).unwrap_or(i64::MAX);
        let drifted = micros / 1000 + micros / 1_000_000 * self.drift_ppm / 1000;
        let now = BEGINNING_MS + drifted + self.offset.load(Ordering::Relaxed);
        Timestamp(u64::try_from(now).unwrap_or(0))
    }
}
