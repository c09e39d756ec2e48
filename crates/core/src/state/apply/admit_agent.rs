//! `AdmitAgent`: makes an agent known. An observer is counted in quorums from then on, heard or not.

use alloc::format;

use crate::command::{Rejection, Reply};
use crate::event::Event;
use crate::id::{AgentId, AgentName, RegionName};
use crate::state::{AgentState, State, Touch, Work};
use crate::view::Agent;

/// The most agents of a group.
const MAX_AGENTS: usize = 100;

impl State {
    pub(in crate::state) fn admit_agent(
        &mut self,
        work: &mut Work<'_>,
        id: AgentId,
        (name, region): (&AgentName, &RegionName),
        observer: bool,
    ) -> Result<Reply, Rejection> {
        let stored = self.data.agents.get(&id);
        let same = stored.is_some_and(|s| {
            s.agent.name == *name && s.agent.region == *region && s.agent.observer == observer
        });
        if same {
            return Ok(Reply::Done);
        }
        if let Some(other) =
            self.data.agents.values().find(|s| s.agent.name == *name && s.agent.id != id)
        {
            return Err(Rejection::NameInUse {
                name: format!("agent name {name}"),
                owner: format!("agent {}", other.agent.id),
                next_step: "give one of the two agents another name".into(),
            });
        }
        if stored.is_none() && self.data.agents.len() >= MAX_AGENTS {
            return Err(Rejection::LimitReached {
                what: "agents".into(),
                limit: MAX_AGENTS as u64,
            });
        }
        let heard = stored.and_then(|s| s.agent.heard);
        let agent = Agent { id, name: name.clone(), region: region.clone(), observer, heard };
        let fresh = || AgentState { agent: agent.clone(), boot: None, sequence: 0, paged: None };
        self.data.agents.entry(id).or_insert_with(fresh).agent = agent.clone();
        self.published.mark_agents();
        work.say(
            None,
            Event::AgentAdmitted { agent: id, description: format!("{name} in {region}") },
        );
        self.touch_all(work);
        Ok(Reply::Done)
    }

    /// The configured observers changed: every verdict is counted anew.
    pub(super) fn touch_all(&self, work: &mut Work<'_>) {
        for id in self.data.services.keys() {
            work.touch(id, Touch::Observed);
        }
    }
}
