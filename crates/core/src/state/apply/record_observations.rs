//! `RecordObservations`: takes note of what an observer says.
//!
//! A report of a later boot replaces everything that the observer said before; a page of a digest, everything in its
//! range. Only the last page of a digest that came whole makes the observer heard. A report that is older than the
//! last one, or of an earlier boot, is refused, and an opinion on something that is declared differently by now is
//! ignored. An opinion that is merely said again changes nothing: the observers' periodic digests cost no decisions.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::not_found;
use crate::command::{Rejection, Reply};
use crate::event::Event;
use crate::id::{AgentId, CheckName, EndpointName, ServiceId};
use crate::observation::{Extent, Observation, Report, Target};
use crate::state::{AgentState, CheckState, OpinionState, State, Touch, Work};
use crate::steer::band;

impl State {
    pub(in crate::state) fn record_observations(
        &mut self,
        work: &mut Work<'_>,
        report: &Report,
    ) -> Result<Reply, Rejection> {
        let Some(state) = self.data.agents.get_mut(&report.agent) else {
            return Err(not_found("agent", report.agent));
        };
        let same_boot = state.boot == Some(report.boot);
        accept(state, report)?;
        // An observer that was silenced has lost its opinions here: only its whole digest makes it heard again.
        let before = state.agent.heard;
        let heard = before.filter(|boot| *boot == report.boot);
        state.agent.heard = if state.turn_page(report) { Some(report.boot) } else { heard };
        if state.agent.heard != before {
            self.published.mark_agents();
            if state.agent.heard.is_some() {
                work.say_of_itself(None, Event::ObserverHeard { agent: report.agent });
            }
        }
        let mut said = BTreeSet::new();
        for observation in &report.observations {
            if self.record(work, report, observation) {
                said.insert(parts(&observation.target));
            }
        }
        if !same_boot {
            self.void_opinions(work, report.agent, |target, _| !said.contains(&target));
        } else if let Extent::Page { after, last } = &report.extent {
            let after = after.as_ref();
            let through = report.observations.last().map(|o| &o.target).or(after);
            self.void_opinions(work, report.agent, |target, _| {
                let covered = after.map(parts) < Some(target)
                    && (*last || Some(target) <= through.map(parts));
                covered && !said.contains(&target)
            });
        }
        Ok(Reply::Done)
    }

    /// Records one opinion; returns whether it is one on something that is declared.
    fn record(&mut self, work: &mut Work<'_>, report: &Report, observation: &Observation) -> bool {
        let target = &observation.target;
        let service = self.data.services.get(&target.service);
        let endpoint = service.and_then(|service| service.endpoints.get(&target.endpoint));
        let check = endpoint
            .and_then(|endpoint| endpoint.checks.get(&target.check))
            .filter(|check| check.fingerprint == observation.fingerprint);
        let Some(check) = check else { return false };
        let known = check.opinions.get(&report.agent);
        if known.is_some_and(|known| says_again(known, report, observation)) {
            return true;
        }
        let opinion = OpinionState {
            state: observation.state,
            failure: observation.failure.clone(),
            since: observation.since,
            band: band(observation.latency),
            sequence: report.sequence,
            boot: report.boot,
            recorded_at: self.data.at,
        };
        if let Some(check) = self.check_mut(target) {
            check.opinions.insert(report.agent, opinion);
        }
        work.touch(&target.service, Touch::Observed);
        true
    }

    fn check_mut(&mut self, target: &Target) -> Option<&mut CheckState> {
        let service = Arc::make_mut(self.data.services.get_mut(&target.service)?);
        service.endpoints.get_mut(&target.endpoint)?.checks.get_mut(&target.check)
    }

    /// Forgets the opinions of an observer that `which` names.
    pub(super) fn void_opinions(
        &mut self,
        work: &mut Work<'_>,
        agent: AgentId,
        which: impl Fn((&ServiceId, &EndpointName, &CheckName), &OpinionState) -> bool,
    ) {
        let mut voided = Vec::new();
        for (id, service) in &self.data.services {
            let endpoints = service.endpoints.iter();
            let checks =
                endpoints.flat_map(|(name, e)| e.checks.iter().map(move |(c, s)| (name, c, s)));
            for (endpoint, check, state) in checks {
                if state.opinions.get(&agent).is_some_and(|o| which((id, endpoint, check), o)) {
                    let (service, endpoint, check) = (id.clone(), endpoint.clone(), check.clone());
                    voided.push(Target { service, endpoint, check });
                }
            }
        }
        for target in voided {
            if let Some(check) = self.check_mut(&target) {
                check.opinions.remove(&agent);
                work.touch(&target.service, Touch::Observed);
            }
        }
    }
}

/// Takes note of how far an observer's reports have come. Errors: this one comes too late.
fn accept(state: &mut AgentState, report: &Report) -> Result<(), Rejection> {
    if state.boot == Some(report.boot) {
        if report.sequence <= state.sequence {
            return Err(Rejection::Superseded(alloc::format!(
                "report {} of this boot is recorded already",
                state.sequence
            )));
        }
    } else if state.boot > Some(report.boot) {
        return Err(Rejection::Superseded(alloc::format!(
            "agent {} has been started anew since boot {}",
            report.agent,
            report.boot
        )));
    } else {
        state.boot = Some(report.boot);
        state.paged = None;
    }
    state.sequence = report.sequence;
    Ok(())
}

impl AgentState {
    /// Takes note of a page; returns whether it completes a digest of which all pages have come.
    fn turn_page(&mut self, report: &Report) -> bool {
        let Extent::Page { after, last } = &report.extent else { return false };
        let follows = after.is_none() || *after == self.paged;
        let through = report.observations.last().map(|o| &o.target).or(after.as_ref());
        self.paged = if follows && !last { through.cloned() } else { None };
        follows && *last
    }
}

/// A target as the state's maps have it, in the order of targets.
fn parts(target: &Target) -> (&ServiceId, &EndpointName, &CheckName) {
    (&target.service, &target.endpoint, &target.check)
}

/// Whether an observation says what its observer has said before.
fn says_again(known: &OpinionState, report: &Report, observation: &Observation) -> bool {
    let kind =
        |failure: &Option<crate::sample::Failure>| failure.as_ref().map(|f| (f.phase, f.kind));
    known.boot == report.boot
        && known.state == observation.state
        && known.since == observation.since
        && known.band == band(observation.latency)
        && kind(&known.failure) == kind(&observation.failure)
}
