//! The endpoints that are probed: each is well, refuses or hangs, and the way of an agent to it may be cut.
//!
//! The world remembers which probe it let fail. An opinion of "down" that no failed probe stands behind was made up
//! by the observer; the [`oracle`](crate::oracle) asks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _};
use holdfast_core::AgentId;
use holdfast_core::sample::{Failure, FailureKind, Finding, Phase, Sample};
use holdfast_core::spec::Address;
use holdfast_probe::{ProbeSpec, Prober};
use tokio::time::Instant;

use crate::coverage::Coverage;
use crate::dice::Dice;
use crate::plan::Plan;
use crate::sabotage::Sabotage;

/// The round trip to an endpoint, in microseconds.
const ROUND_TRIP_MICROS: (u64, u64) = (500, 6_000);

/// How an endpoint fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It refuses connections.
    Refuses,
    /// It accepts nothing and says nothing.
    Hangs,
}

/// The world; clones are the same.
#[derive(Clone)]
pub(crate) struct World(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    dice: Dice,
    coverage: Coverage,
}

#[derive(Default)]
struct State {
    troubled: BTreeMap<Address, Trouble>,
    cut: BTreeSet<(AgentId, Address)>,
    /// When an agent's probe of an endpoint last failed.
    failed: BTreeMap<(AgentId, Address), Instant>,
}

impl World {
    pub(crate) fn new(seed: u64, coverage: Coverage) -> Self {
        let dice = Dice::new(seed, "world");
        Self(Arc::new(Inner { state: Mutex::default(), dice, coverage }))
    }

    /// Endpoints fail.
    pub(crate) fn trouble(&self, endpoints: &[Address], trouble: Trouble) {
        self.lock().troubled.extend(endpoints.iter().map(|one| (one.clone(), trouble)));
    }

    /// The way of an agent to endpoints is cut.
    pub(crate) fn cut(&self, agent: AgentId, endpoints: &[Address]) {
        self.lock().cut.extend(endpoints.iter().map(|one| (agent, one.clone())));
    }

    /// Everything is well.
    pub(crate) fn mend(&self) {
        let mut state = self.lock();
        state.troubled.clear();
        state.cut.clear();
    }

    /// Whether a probe of `endpoint` by `agent` failed within `window`.
    pub(crate) fn failed_within(
        &self,
        agent: AgentId,
        endpoint: &Address,
        window: Duration,
    ) -> bool {
        let failed = self.lock().failed.get(&(agent, endpoint.clone())).copied();
        failed.is_some_and(|failed| failed.elapsed() <= window)
    }

    /// The prober of an agent.
    pub(crate) fn prober(&self, agent: AgentId, plan: &Plan) -> SimProber {
        let has = |how| plan.is_sabotaged(agent, how);
        let (lies, blind) = (has(Sabotage::LyingProbers), has(Sabotage::BlindProbers));
        SimProber { world: self.clone(), agent, lies, blind }
    }

    /// What a probe that arrives now meets.
    fn meets(&self, agent: AgentId, endpoint: &Address) -> Option<Trouble> {
        let mut state = self.lock();
        let cut = state.cut.contains(&(agent, endpoint.clone()));
        let trouble = state.troubled.get(endpoint).copied();
        if cut {
            self.0.coverage.felt("path_cut");
        }
        if trouble.is_some() {
            self.0.coverage.felt("endpoints");
        }
        let met = if cut { Some(Trouble::Hangs) } else { trouble };
        if met.is_some() {
            state.failed.insert((agent, endpoint.clone()), Instant::now());
        }
        met
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Probes the world from where one agent is.
pub(crate) struct SimProber {
    world: World,
    agent: AgentId,
    lies: bool,
    blind: bool,
}

impl SimProber {
    fn meets(&self, endpoint: &Address) -> Option<Trouble> {
        let met = self.world.meets(self.agent, endpoint).filter(|_| !self.blind);
        met.or(self.lies.then_some(Trouble::Refuses))
    }
}

impl Prober for SimProber {
    fn probe(&self, spec: ProbeSpec) -> BoxFuture<'_, Sample> {
        let (soonest, latest) = ROUND_TRIP_MICROS;
        let latency = Duration::from_micros(self.world.0.dice.between(soonest, latest));
        let work = async move {
            tokio::time::sleep(latency / 2).await;
            match self.meets(&spec.endpoint.address) {
                None => {
                    tokio::time::sleep(latency / 2).await;
                    Sample { finding: Finding::Pass, latency }
                }
                Some(Trouble::Refuses) => {
                    tokio::time::sleep(latency / 2).await;
                    failed(FailureKind::Refused, latency)
                }
                Some(Trouble::Hangs) => {
                    tokio::time::sleep(spec.timeout.saturating_sub(latency / 2)).await;
                    failed(FailureKind::Timeout, spec.timeout)
                }
            }
        };
        work.boxed()
    }
}

fn failed(kind: FailureKind, latency: Duration) -> Sample {
    Sample { finding: Finding::Fail(Failure::new(Phase::Connect, kind, "simulated")), latency }
}
