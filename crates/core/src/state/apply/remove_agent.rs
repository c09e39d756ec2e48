//! `RemoveAgent`: forgets an agent and its opinions; the quorum is counted without it from then on.

use super::not_found;
use crate::command::{Rejection, Reply};
use crate::event::Event;
use crate::id::AgentId;
use crate::state::{State, Work};

impl State {
    pub(in crate::state) fn remove_agent(
        &mut self,
        work: &mut Work<'_>,
        agent: AgentId,
    ) -> Result<Reply, Rejection> {
        if self.data.agents.remove(&agent).is_none() {
            return Err(not_found("agent", agent));
        }
        self.published.mark_agents();
        self.void_opinions(work, agent, |_, _| true);
        work.say(None, Event::AgentRemoved { agent });
        self.touch_all(work);
        Ok(Reply::Done)
    }
}
