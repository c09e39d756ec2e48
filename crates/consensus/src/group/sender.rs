//! Who may say what: a sender is held to its certificate and to the membership.
//!
//! A certificate speaks for the one member that bears its name. Who is no member, as far as is known here, is heard
//! where a joining agent or this one, if it lags, could not go on otherwise: Raft's own messages (a leader that was
//! added lately is known only by what it replicates; it may even bear the name of a member removed since) and the
//! question who somebody is. Before there is a membership, the configured members stand for it.
//!
//! A member forwards what people and programs ask of it, and what is asked in its own name. What only a leader
//! proposes is never forwarded, so no member can pass its opinion off as a leader's.

use holdfast_core::{Actor, ActorKind, AgentId, Command};
use holdfast_wire::command::Proposal;
use holdfast_wire::peer::{Message, MessageKind, Refusal, RefusalReason, Sender};
use openraft::vote::RaftLeaderId as _;

use super::Group;
use super::propose::is_mutation;
use super::serve::is_raft;
use crate::network::IDENTIFY;
use crate::types::Vote;

impl Group {
    /// Checks that the sender is whom the message names, and may send messages of this kind. Errors:
    /// [`RefusalReason::Denied`].
    pub fn check_sender(&self, sender: &Sender, message: &Message) -> Result<(), Refusal> {
        let known = self.name_of(message.from);
        check_sender(known.as_deref(), sender, message.from, message.kind)
    }

    /// Checks that `from` may forward the proposal.
    pub(super) fn check_forwarded(
        &self,
        from: AgentId,
        proposal: &Proposal,
    ) -> Result<(), Refusal> {
        check_forwarded(self.name_of(from).as_deref(), from, proposal)
    }

    fn name_of(&self, id: AgentId) -> Option<String> {
        let status = self.0.status.borrow();
        if status.members.is_empty() {
            let configured = self.0.config.peers.iter().find(|member| member.id == id);
            return configured.map(|member| member.name.clone());
        }
        status.members.iter().find(|member| member.id == id).map(|member| member.name.clone())
    }
}

fn check_sender(
    known: Option<&str>,
    sender: &Sender,
    from: AgentId,
    kind: MessageKind,
) -> Result<(), Refusal> {
    match (known, sender) {
        (Some(name), Sender::Certified(shown)) if shown != name => Err(denied(format!(
            "agent {from} is {name} in this group, and the sender's certificate is {shown}'s; give agent {from} \
             the certificate that `holdfast ca issue agent {name}` makes"
        ))),
        (Some(_), _) => Ok(()),
        (None, _) if is_raft(kind) || kind == IDENTIFY => Ok(()),
        (None, _) => Err(denied(format!(
            "agent {from} is not known here as a member, and only members may ask for {}; look at `holdfast cluster \
             status`, and add it with `holdfast cluster add` if it is missing there",
            kind.label()
        ))),
    }
}

fn check_forwarded(known: Option<&str>, from: AgentId, proposal: &Proposal) -> Result<(), Refusal> {
    let Proposal { actor, command, .. } = proposal;
    if is_leaders_own(actor, command) {
        return Err(denied(format!(
            "only the leader proposes {} as {}, and it does so itself; agent {from} must not forward it",
            command.label(),
            actor.name
        )));
    }
    if actor.kind == ActorKind::Agent && known != Some(&actor.name) {
        return Err(denied(format!(
            "agent {from} cannot speak for agent {}; ask that agent itself, or use a person's certificate (`holdfast \
             ca issue user NAME`)",
            actor.name
        )));
    }
    Ok(())
}

/// Whether only a leader proposes this: what observers say, who observes, time, terms and the rules in force.
pub(super) fn is_leaders_own(actor: &Actor, command: &Command) -> bool {
    actor.kind == ActorKind::System
        || !is_mutation(command)
        || matches!(
            command,
            Command::AdmitAgent { .. }
                | Command::RemoveAgent { .. }
                | Command::RaiseLogicVersion { .. }
        )
}

/// Checks that a member of Raft votes, leads and hands over in its own name only.
pub(super) fn check_vote(vote: &Vote, from: AgentId) -> Result<(), Refusal> {
    let named = *vote.leader_id().node_id();
    if named == from.0 {
        return Ok(());
    }
    Err(denied(format!(
        "agent {from} sent a vote of agent {named}; every agent sends its own alone"
    )))
}

fn denied(why: String) -> Refusal {
    Refusal::new(RefusalReason::Denied, why)
}
