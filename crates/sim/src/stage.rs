//! What everything in a run shares: the network, the world, the clocks, the oracle, and who is running.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use holdfast_agent::world::{AnswersSource, AuditLog};
use holdfast_consensus::{Group, Role};
use holdfast_core::spec::Service;
use holdfast_core::{AgentId, View};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::catalogue;
use crate::clock::Clocks;
use crate::coverage::Coverage;
use crate::net::Net;
use crate::oracle::Oracle;
use crate::plan::{AGENTS, Plan};
use crate::trace::Trace;
use crate::world::World;

/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A running agent, for whoever uses it.
#[derive(Clone)]
pub(crate) struct Live {
    pub(crate) group: Group,
    pub(crate) audit: AuditLog,
    pub(crate) answers: AnswersSource,
    /// Cancelled when its machine stops.
    pub(crate) gone: CancellationToken,
}

impl Live {
    pub(crate) fn view(&self) -> Arc<View> {
        self.group.view().borrow().clone()
    }
}

/// What everything in a run shares.
pub(crate) struct Stage {
    pub(crate) plan: Plan,
    pub(crate) trace: Trace,
    pub(crate) coverage: Coverage,
    pub(crate) net: Net,
    pub(crate) world: World,
    pub(crate) clocks: Clocks,
    pub(crate) oracle: Oracle,
    pub(crate) services: Arc<Vec<Service>>,
    live: Mutex<BTreeMap<AgentId, Live>>,
}

impl Stage {
    pub(crate) fn new(plan: Plan, trace: Trace) -> Self {
        let coverage = Coverage::default();
        let services = Arc::new(catalogue::services());
        let world = World::new(plan.seed, coverage.clone());
        Self {
            net: Net::new(&plan, trace.clone(), coverage.clone()),
            clocks: Clocks::new(plan.seed, &coverage),
            oracle: Oracle::new(trace.clone(), world.clone(), &services),
            world,
            plan,
            trace,
            coverage,
            services,
            live: Mutex::default(),
        }
    }

    /// The ids of all agents.
    pub(crate) fn agents() -> impl Iterator<Item = AgentId> {
        (1..=AGENTS).map(AgentId)
    }

    /// An agent, while it runs.
    pub(crate) fn agent(&self, id: AgentId) -> Option<Live> {
        self.lock().get(&id).cloned()
    }

    /// Every agent that runs, by id.
    pub(crate) fn running(&self) -> Vec<(AgentId, Live)> {
        self.lock().iter().map(|(id, live)| (*id, live.clone())).collect()
    }

    pub(crate) fn enter(&self, id: AgentId, live: Live) {
        self.lock().insert(id, live);
    }

    pub(crate) fn leave(&self, id: AgentId) {
        if let Some(live) = self.lock().remove(&id) {
            live.gone.cancel();
        }
    }

    /// Who leads with a quorum, where anybody does.
    pub(crate) fn leader(&self) -> Option<AgentId> {
        let leads = |live: &Live| {
            let status = live.group.status();
            let status = status.borrow();
            status.role == Role::Leader && status.quorum_ok
        };
        self.running().into_iter().find(|(_, live)| leads(live)).map(|(id, _)| id)
    }

    /// Waits until all agents run and `holds` of each. Errors: it does not within `limit`.
    pub(crate) async fn until_all(
        &self,
        what: &str,
        limit: Duration,
        holds: impl Fn(&Live) -> bool,
    ) -> Result<Duration, String> {
        self.until(what, limit, || {
            let running = self.running();
            running.len() as u64 == AGENTS && running.iter().all(|(_, live)| holds(live))
        })
        .await
    }

    /// Waits until `holds`; returns how long that took. Errors: it does not within `limit`.
    pub(crate) async fn until(
        &self,
        what: &str,
        limit: Duration,
        holds: impl Fn() -> bool,
    ) -> Result<Duration, String> {
        let begun = Instant::now();
        while !holds() {
            if begun.elapsed() > limit {
                return Err(format!("not within {limit:?}: {what}; {}", self.standing()));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(begun.elapsed())
    }

    /// How every agent stands, for people.
    pub(crate) fn standing(&self) -> String {
        let describe = |(id, live): (AgentId, Live)| {
            let status = live.group.status().borrow().clone();
            let (index, hash, head) = live.group.state_hash();
            let halted = status.halted.map_or_else(String::new, |why| format!(" halted: {why}"));
            format!(
                "agent {id} is {:?} in term {} of leader {:?} at index {index} state {} records {}{halted}",
                status.role,
                status.term,
                status.leader.map(|leader| leader.0),
                &hash.to_string()[..12],
                head.length,
            )
        };
        self.running().into_iter().map(describe).collect::<Vec<_>>().join("; ")
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<AgentId, Live>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
