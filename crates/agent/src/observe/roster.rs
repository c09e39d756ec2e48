//! Keeps the observers that the group counts in step with its members: the leader admits who joined and removes who
//! left. Quorums are counted over this configured set, so a member that is cut off still counts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use holdfast_consensus::{Group, MemberStatus};
use holdfast_core::view::Agent;
use holdfast_core::{Actor, AgentId, AgentName, Command, RegionName};
use tokio_util::sync::CancellationToken;

/// The first pause after a proposal that did not go through.
const RETRY_PAUSE: Duration = Duration::from_millis(200);
/// The longest: what is refused for good (a name that is in use) must not be proposed at the speed of the log.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Keeps the roster while this agent leads.
#[derive(Debug)]
pub(crate) struct Roster {
    /// This agent.
    pub(crate) agent: AgentId,
    /// The group.
    pub(crate) group: Group,
}

impl Roster {
    /// Runs until cancelled.
    pub(crate) async fn run(self: Arc<Self>, cancel: CancellationToken) {
        let mut status = self.group.status();
        let mut view = self.group.view();
        let mut pause = RETRY_PAUSE;
        loop {
            status.borrow_and_update();
            view.borrow_and_update();
            if !self.settle().await {
                tokio::select! {
                    biased;
                    () = cancel.cancelled() => return,
                    () = tokio::time::sleep(pause) => {}
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
                continue;
            }
            pause = RETRY_PAUSE;
            tokio::select! {
                biased;
                () = cancel.cancelled() => return,
                changed = status.changed() => if changed.is_err() { return },
                changed = view.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Proposes what is missing; returns whether nothing is left to do.
    async fn settle(&self) -> bool {
        for command in self.due() {
            match self.group.propose(None, Actor::system(), command).await.map(|o| o.result) {
                Ok(Ok(_)) => {}
                Ok(Err(rejection)) => {
                    tracing::error!(%rejection, "a member cannot be counted; give it a name of its own");
                    return false;
                }
                Err(error) => {
                    tracing::debug!(%error, "the roster is not up to date; it is tried again");
                    return false;
                }
            }
        }
        true
    }

    fn due(&self) -> Vec<Command> {
        let (status, view) = (self.group.status(), self.group.view());
        let (status, view) = (status.borrow(), view.borrow());
        if status.leader == Some(self.agent) {
            differences(&status.members, &view.agents)
        } else {
            Vec::new()
        }
    }
}

/// What makes the observers those of the members. Who left goes first: its name may be that of somebody who came.
fn differences(members: &[MemberStatus], known: &BTreeMap<AgentId, Agent>) -> Vec<Command> {
    let gone = known.keys().filter(|id| !members.iter().any(|member| member.id == **id));
    let mut commands: Vec<Command> = gone.map(|id| Command::RemoveAgent { id: *id }).collect();
    for member in members {
        let (Ok(name), Ok(region)) =
            (AgentName::new(&member.name), RegionName::new(&member.region))
        else {
            tracing::error!(agent = %member.id, "a member's name or region is no label; it is not counted");
            continue;
        };
        let known = known.get(&member.id);
        if !known.is_some_and(|agent| agent.name == name && agent.region == region) {
            commands.push(Command::AdmitAgent { id: member.id, name, region, observer: true });
        }
    }
    commands
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_core::{Entry, GroupId, State, Timestamp};

    fn member(id: u64, name: &str) -> MemberStatus {
        MemberStatus {
            id: AgentId(id),
            name: name.to_owned(),
            region: "eu".to_owned(),
            address: String::new(),
            api_address: String::new(),
            voter: true,
            matched: None,
            acknowledged_ago: None,
        }
    }

    /// Applies what is due for these members, all of which must be accepted; returns the names that are then known.
    fn settle(state: &mut State, members: &[MemberStatus]) -> Vec<(u64, String)> {
        let known = state.view().agents.iter().map(|(id, agent)| (*id, agent.clone())).collect();
        for command in differences(members, &known) {
            let (at, actor) = (Timestamp(0), Actor::system());
            let entry = Entry { at, request_id: None, actor, command };
            let applied = state.apply(state.index() + 1, &entry);
            assert!(applied.outcome.result.is_ok(), "{:?}: {:?}", entry.command, applied.outcome);
        }
        state.view().agents.values().map(|agent| (agent.id.0, agent.name.to_string())).collect()
    }

    #[test]
    fn a_host_that_joins_anew_takes_over_its_own_name() {
        let mut state = State::new(GroupId(1));
        let named = |id, name: &str| (id, name.to_owned());
        let known = settle(&mut state, &[member(1, "a1"), member(2, "a2")]);
        assert_eq!(known, [named(1, "a1"), named(2, "a2")]);
        let known = settle(&mut state, &[member(1, "a1"), member(3, "a2")]);
        assert_eq!(known, [named(1, "a1"), named(3, "a2")]);
        assert_eq!(settle(&mut state, &[member(1, "no label"), member(3, "a2")]), known);
    }
}
