//! Keeps the observers that the group counts in step with its members: the leader admits who joined and removes who
//! left. Quorums are counted over this configured set, so a member that is cut off still counts.

use std::sync::Arc;
use std::time::Duration;

use holdfast_consensus::Group;
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
        for command in self.differences() {
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

    fn differences(&self) -> Vec<Command> {
        let status = self.group.status();
        let status = status.borrow();
        if status.leader != Some(self.agent) {
            return Vec::new();
        }
        let view = self.group.view();
        let view = view.borrow();
        // Who left goes first: its name may be that of somebody who came.
        let gone = view.agents.keys().filter(|id| !status.members.iter().any(|m| m.id == **id));
        let mut commands: Vec<Command> = gone.map(|id| Command::RemoveAgent { id: *id }).collect();
        for member in &status.members {
            let (Ok(name), Ok(region)) =
                (AgentName::new(&member.name), RegionName::new(&member.region))
            else {
                tracing::error!(agent = %member.id, "a member's name or region is no label; it is not counted");
                continue;
            };
            let known = view.agents.get(&member.id);
            if !known.is_some_and(|agent| agent.name == name && agent.region == region) {
                commands.push(Command::AdmitAgent { id: member.id, name, region, observer: true });
            }
        }
        commands
    }
}
