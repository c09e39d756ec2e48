//! `SilenceObserver`: the leader no longer hears an observer. Silence is not a failure of what it watched: its
//! opinions become unknown.

use super::not_found;
use crate::command::{Rejection, Reply};
use crate::event::Event;
use crate::id::{AgentId, BootId};
use crate::state::{State, Work};

impl State {
    pub(in crate::state) fn silence_observer(
        &mut self,
        work: &mut Work<'_>,
        term: u64,
        agent: AgentId,
        boot: BootId,
    ) -> Result<Reply, Rejection> {
        self.check_term(term)?;
        let Some(state) = self.data.agents.get_mut(&agent) else {
            return Err(not_found("agent", agent));
        };
        if state.agent.heard != Some(boot) {
            return Err(Rejection::Superseded(alloc::format!(
                "agent {agent} is not heard under boot {boot}"
            )));
        }
        state.agent.heard = None;
        state.paged = None;
        self.published.mark_agents();
        work.say(None, Event::ObserverSilenced { agent });
        self.void_opinions(work, agent, |_, _| true);
        Ok(Reply::Done)
    }
}
