//! From opinions to verdicts, for the endpoints of one service.
//!
//! A verdict holds until enough fresh opinions say otherwise. A check with heartbeats has no opinions: the
//! endpoint's own word, or its silence, is the verdict and is always fresh. What changed is said with the opinions
//! that were counted, so that anybody can count them again.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::{AgentState, CheckState, EndpointState, OpinionState, State, Work};
use crate::event::Event;
use crate::id::{AgentId, CheckName, EndpointName, ServiceId};
use crate::observation::ObserverState;
use crate::quorum::{self, Evidence, Tally, Verdict};
use crate::spec::{CheckKind, Service};

impl State {
    /// Brings the verdicts of a service up to date with its opinions; returns the endpoints whose verdict is held
    /// because too few opinions are fresh.
    pub(super) fn judge(&mut self, work: &mut Work<'_>, id: &ServiceId) -> BTreeSet<EndpointName> {
        let at = self.data.at;
        let mut stale = BTreeSet::new();
        let Some(service) = self.data.services.get_mut(id).map(Arc::make_mut) else {
            return stale;
        };
        for (name, endpoint) in &mut service.endpoints {
            let before = endpoint.verdict;
            let bench = Bench::of(&service.spec, endpoint, &self.data.agents);
            let after = verdict_over(endpoint.checks.values().map(|check| check.verdict));
            if bench.is_stale(after) {
                stale.insert(name.clone());
            }
            if after == before {
                continue;
            }
            endpoint.verdict = after;
            endpoint.since = at;
            let Some(check) = bench.decisive(after) else { continue };
            let evidence = evidence_of(&endpoint.checks[&check], &self.data.agents);
            let endpoint = name.clone();
            let event =
                Event::VerdictChanged { endpoint, check, from: before, to: after, evidence };
            work.say_of_itself(Some(id), event);
        }
        stale
    }
}

/// What the checks of one endpoint came to.
struct Bench {
    rulings: Vec<Ruling>,
}

/// What one check came to.
struct Ruling {
    check: CheckName,
    verdict: Verdict,
    changed: bool,
    heartbeat: bool,
    fresh: bool,
}

impl Bench {
    /// Counts the opinions of every check and stores what they add up to.
    fn of(
        spec: &Service,
        endpoint: &mut EndpointState,
        agents: &BTreeMap<AgentId, AgentState>,
    ) -> Self {
        let rule = |(check, state): (&CheckName, &mut CheckState)| {
            let was = state.verdict;
            let heartbeat = is_heartbeat(spec, check);
            let tally = tally_of(spec, state, agents);
            if let Some(verdict) = tally.result
                && !heartbeat
            {
                state.verdict = verdict;
            }
            let changed = state.verdict != was;
            let fresh = heartbeat || !tally.stale;
            Ruling { check: check.clone(), verdict: state.verdict, changed, heartbeat, fresh }
        };
        Self { rulings: endpoint.checks.iter_mut().map(rule).collect() }
    }

    /// Whether the verdict over all checks rests on opinions that are no longer fresh: "down" needs one fresh check
    /// that says so, "up" needs all.
    fn is_stale(&self, verdict: Verdict) -> bool {
        match verdict {
            Verdict::Unknown => false,
            Verdict::Up => self.rulings.iter().any(|ruling| !ruling.fresh),
            Verdict::Down => {
                !self.rulings.iter().any(|ruling| ruling.verdict == Verdict::Down && ruling.fresh)
            }
        }
    }

    /// The check whose vote made the verdict over all checks what it is: one that opinions changed, else one with
    /// heartbeats (whose word was taken before), else the first that agrees.
    fn decisive(&self, verdict: Verdict) -> Option<CheckName> {
        let agreeing = || self.rulings.iter().filter(|ruling| ruling.verdict == verdict);
        let changed = agreeing().find(|ruling| ruling.changed);
        let found = changed.or(agreeing().find(|ruling| ruling.heartbeat)).or(agreeing().next());
        found.map(|ruling| ruling.check.clone())
    }
}

pub(super) fn is_heartbeat(spec: &Service, check: &CheckName) -> bool {
    spec.checks.iter().any(|c| c.name == *check && matches!(c.kind, CheckKind::Heartbeat(_)))
}

/// How the opinions on one check add up, over the configured observers.
pub(super) fn tally_of(
    spec: &Service,
    check: &CheckState,
    agents: &BTreeMap<AgentId, AgentState>,
) -> Tally {
    let observers = agents.values().filter(|state| state.agent.observer);
    let opinions = observers.map(|state| {
        let opinion = check.opinions.get(&state.agent.id);
        (&state.agent.region, opinion.map_or(ObserverState::Unknown, |opinion| opinion.state))
    });
    quorum::tally(&spec.quorum, opinions)
}

/// An endpoint is down when any check is, up when all are.
fn verdict_over(checks: impl Iterator<Item = Verdict>) -> Verdict {
    let mut all_up = true;
    let mut any = false;
    for verdict in checks {
        any = true;
        match verdict {
            Verdict::Down => return Verdict::Down,
            Verdict::Unknown => all_up = false,
            Verdict::Up => {}
        }
    }
    if any && all_up { Verdict::Up } else { Verdict::Unknown }
}

/// The opinions of the configured observers that have one.
pub(super) fn evidence_of(
    check: &CheckState,
    agents: &BTreeMap<AgentId, AgentState>,
) -> Vec<Evidence> {
    let evidence = |(agent, opinion): (&AgentId, &OpinionState)| {
        let state = agents.get(agent).filter(|state| state.agent.observer)?;
        Some(Evidence {
            agent: *agent,
            region: state.agent.region.clone(),
            boot: opinion.boot,
            sequence: opinion.sequence,
            state: opinion.state,
            failure: opinion.failure.clone(),
            since: opinion.since,
            recorded_at: opinion.recorded_at,
        })
    };
    check.opinions.iter().filter_map(evidence).collect()
}
