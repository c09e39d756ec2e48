//! `RecordObservations`: takes note of what an observer says.
//!
//! A report of a new boot, or a full one, replaces everything that the observer said before. A report that is older
//! than the last one is refused, and an opinion on something that is declared differently by now is ignored.

use super::not_found;
use crate::command::{Rejection, Reply};
use crate::event::Event;
use crate::id::{AgentId, ServiceId};
use crate::observation::{Observation, ObserverState, Report};
use crate::state::{OpinionState, State, Touch, Work};

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
        if same_boot && report.sequence <= state.sequence {
            return Err(Rejection::Superseded(alloc::format!(
                "report {} of this boot is recorded already",
                state.sequence
            )));
        }
        state.boot = Some(report.boot);
        state.sequence = report.sequence;
        if state.agent.heard.replace(report.boot) != Some(report.boot) {
            work.say_of_itself(None, Event::ObserverHeard { agent: report.agent });
        }
        if report.full || !same_boot {
            self.void_opinions(work, report.agent, |opinion| {
                opinion.boot != report.boot || report.full
            });
        }
        for observation in &report.observations {
            self.record(work, report, observation);
        }
        Ok(Reply::Done)
    }

    fn record(&mut self, work: &mut Work<'_>, report: &Report, observation: &Observation) {
        let target = &observation.target;
        let check = self
            .data
            .services
            .get_mut(&target.service)
            .and_then(|service| service.endpoints.get_mut(&target.endpoint))
            .and_then(|endpoint| endpoint.checks.get_mut(&target.check))
            .filter(|check| check.fingerprint == observation.fingerprint);
        let Some(check) = check else { return };
        let opinion = OpinionState {
            state: observation.state,
            failure: observation.failure.clone(),
            since: observation.since,
            sequence: report.sequence,
            boot: report.boot,
            recorded_at: self.data.at,
        };
        check.opinions.insert(report.agent, opinion);
        work.touch(&target.service, Touch::Observed);
    }

    /// Forgets the opinions of an observer that `which` names.
    pub(super) fn void_opinions(
        &mut self,
        work: &mut Work<'_>,
        agent: AgentId,
        which: impl Fn(&OpinionState) -> bool,
    ) {
        for (id, service) in &mut self.data.services {
            let mut voided = false;
            for check in service.endpoints.values_mut().flat_map(|e| e.checks.values_mut()) {
                if check.opinions.get(&agent).is_some_and(&which) {
                    voided |= check.opinions.remove(&agent).is_some_and(|o| o.state != ObserverState::Unknown);
                }
            }
            if voided {
                touch_observed(work, id);
            }
        }
    }
}

fn touch_observed(work: &mut Work<'_>, id: &ServiceId) {
    work.touch(id, Touch::Observed);
}
