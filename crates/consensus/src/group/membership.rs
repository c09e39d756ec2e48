//! Forming a group and changing its members.
//!
//! ```text
//! RequestMembership ─▶ agreed on, in the log ─▶ Raft changes the members ─▶ their entry is applied: settled
//! ```
//!
//! A change is a command like any other: refused, deduplicated and audited by the state. The leader that proposed it
//! then carries out what stands in the state as requested, one change at a time, and only while the members are those
//! that the state judged it by (a precondition that Raft checks). If it fails, or the leader is lost, before the
//! request is agreed on or after that, whoever asks again with the same request id gets the first answer, and the rest
//! is carried out by whoever leads then: what is settled is no longer requested, so nothing happens twice. If another
//! change came first, the answer is that it was superseded.
//!
//! Between the two entries of a change of voters the old voters count as well as the new, and one that is dead counts
//! against the quorum. So whoever leads completes that unasked ([`Proposer::complete_change`]), before any other change.
//!
//! A member is recorded with the id of its data directory, which it is asked for when it is added, so a member has to
//! run before it can be added.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use holdfast_core::membership::{Member as Joining, MembershipChange, shared_address};
use holdfast_core::{AgentId, Command, Outcome};
use holdfast_wire::command::Proposal;
use openraft::ChangeMembers;
use openraft::async_runtime::WatchReceiver as _;
use openraft::errors::{InitializeError, RaftError};
use openraft::raft::Precondition;
use tokio::time::Instant;

use super::propose::{Proposer, failure_of};
use super::{Group, leader_of};
use crate::codec::decode;
use crate::codec::rpc::{Failure, FailureKind, IdentifyReply};
use crate::config::Member;
use crate::error::ChangeError;
use crate::network::IDENTIFY;
use crate::types::{LogId, NodeRecord};

/// How long one question for a member's identity may take.
const IDENTIFY_TIMEOUT: Duration = Duration::from_secs(1);
/// The pause before a member is asked again.
const IDENTIFY_PAUSE: Duration = Duration::from_millis(50);

impl Group {
    /// Forms the group of `members`, all voters, once. Does nothing where it is formed already. Every member has to
    /// run, because its data directory is recorded. Errors: see [`ChangeError`].
    pub async fn initialize(&self, members: &[Member]) -> Result<(), ChangeError> {
        let raft = self.raft().map_err(ChangeError::Stopped)?;
        let stopped = |error: &dyn std::fmt::Display| ChangeError::Stopped(error.to_string());
        if raft.is_initialized().await.map_err(|error| stopped(&error))? {
            return Ok(());
        }
        if !members.iter().any(|member| member.id == self.0.config.me.id) {
            let me = self.0.config.me.id;
            return Err(ChangeError::Refused(format!(
                "agent {me} is not among the members to form a group of"
            )));
        }
        check_distinct(members)?;
        let mut nodes = BTreeMap::new();
        for member in members {
            let directory = self.directory_of(member, self.0.config.patience).await?;
            nodes.insert(member.id.0, NodeRecord::from(member.joining(directory)));
        }
        match raft.initialize(nodes).await {
            // Somebody was faster, or a leader has made this node a member already.
            Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Ok(()),
            Err(RaftError::APIError(error)) => Err(ChangeError::Refused(error.to_string())),
            Err(RaftError::Fatal(fatal)) => Err(stopped(&fatal)),
        }
    }

    /// The member's data directory, which it is asked for until `patience` ends: a request to add it names it.
    /// Errors: see [`ChangeError`].
    pub async fn directory_of(
        &self,
        member: &Member,
        patience: Duration,
    ) -> Result<u128, ChangeError> {
        if member.id == self.0.config.me.id {
            return Ok(self.0.link.directory);
        }
        let until = Instant::now() + patience;
        let peer = member.peer();
        loop {
            let ask = self.0.link.ask(&peer, IDENTIFY, Bytes::new(), IDENTIFY_TIMEOUT);
            let why = match ask.await {
                Ok(bytes) => match decode::<IdentifyReply>("identity", &bytes) {
                    Ok(reply) => return Ok(reply.directory()),
                    Err(error) => error.to_string(),
                },
                Err(error) => error.to_string(),
            };
            if Instant::now() + IDENTIFY_PAUSE > until {
                let (agent, address) = (member.id, member.address.clone());
                return Err(ChangeError::Unreachable { agent, address, why });
            }
            tokio::time::sleep(IDENTIFY_PAUSE).await;
        }
    }

    /// Has a change of membership agreed on and carries it out, where this agent leads. Errors: it was not agreed on;
    /// or it was, and was not carried out in time, which is [`FailureKind::Unknown`].
    pub(crate) async fn change_here(
        &self,
        proposal: &Proposal,
        until: Instant,
    ) -> Result<Outcome, Failure> {
        let proposer = self.proposer().map_err(|why| Failure::new(FailureKind::Stopped, why))?;
        let Ok(alone) = tokio::time::timeout_at(until, proposer.changing.lock()).await else {
            let why = "another change of membership is under way";
            return Err(Failure::new(FailureKind::Overloaded, why));
        };
        proposer.complete_change(until).await?;
        let agreed = proposer.propose(&self.with_heir(proposal), until).await?;
        if agreed.result.is_err() {
            return Ok(agreed);
        }
        in_time(until, self.carry_out(agreed.index)).await?;
        drop(alone);
        if let Command::RequestMembership(MembershipChange::Add { id, .. }) = &proposal.command {
            in_time(until, self.caught_up(id.0)).await?;
        }
        // What was superseded meanwhile has another answer since.
        Ok(proposal.request_id.and_then(|id| self.0.machine.answer_to(id)).unwrap_or(agreed))
    }

    /// The proposal with a voter to hand leadership to, where it names none and one answers.
    fn with_heir(&self, proposal: &Proposal) -> Proposal {
        let mut proposal = proposal.clone();
        if let Command::RequestMembership(MembershipChange::TransferLeadership(to)) =
            &mut proposal.command
            && *to == MembershipChange::ANY_VOTER
        {
            *to = self.heir().unwrap_or(*to);
        }
        proposal
    }

    /// The voter that lags least behind this leader, of those that answer it.
    pub(super) fn heir(&self) -> Option<AgentId> {
        let metrics = self.raft().ok()?.metrics();
        let metrics = metrics.borrow_watched();
        let voters: BTreeSet<u64> = metrics.membership_config.voter_ids().collect();
        let others = metrics.replication.iter().flatten().filter(|(id, _)| {
            **id != self.0.config.me.id.0 && voters.contains(id) && self.answers(AgentId(**id))
        });
        let nearest = others.max_by_key(|(_, matched)| matched.as_ref().map(|at| at.index));
        nearest.map(|(id, _)| AgentId(*id))
    }

    /// Carries out the change that was requested at this index, unless it is settled.
    async fn carry_out(&self, index: u64) -> Result<(), Failure> {
        let Some((change, judged_by)) = self.0.machine.requested(index) else { return Ok(()) };
        match change {
            MembershipChange::Add { id, member } => {
                let nodes = BTreeMap::from([(id.0, NodeRecord::from(member))]);
                self.alter(ChangeMembers::AddNodes(nodes), true, judged_by).await
            }
            MembershipChange::Promote(id) => {
                let ids = BTreeSet::from([id.0]);
                self.alter(ChangeMembers::AddVoterIds(ids), true, judged_by).await
            }
            MembershipChange::Remove(id) => {
                let ids = BTreeSet::from([id.0]);
                let change = if self.votes(id)? {
                    ChangeMembers::RemoveVoters(ids)
                } else {
                    ChangeMembers::RemoveNodes(ids)
                };
                self.alter(change, false, judged_by).await
            }
            MembershipChange::TransferLeadership(to) => self.transfer_to(to).await,
        }
    }

    /// Whether the member votes, in the old or in the new half of an unfinished change.
    fn votes(&self, id: AgentId) -> Result<bool, Failure> {
        let raft = self.raft().map_err(|why| Failure::new(FailureKind::Stopped, why))?;
        let metrics = raft.metrics();
        let metrics = metrics.borrow_watched();
        Ok(metrics.membership_config.voter_ids().any(|voter| voter == id.0))
    }

    /// Changes the members, if they are still those at `judged_by`.
    async fn alter(
        &self,
        change: ChangeMembers<u64, NodeRecord>,
        retain: bool,
        judged_by: Option<LogId>,
    ) -> Result<(), Failure> {
        let raft = self.raft().map_err(|why| Failure::new(FailureKind::Stopped, why))?;
        let unchanged = Precondition::LastMembershipLogId { last_membership_log_id: judged_by };
        let changed = raft.change_membership_if(change, retain, [unchanged]).await;
        changed.map(drop).map_err(failure_of)
    }

    /// Waits until a member that was added has received what there is.
    async fn caught_up(&self, id: u64) -> Result<(), Failure> {
        let raft = self.raft().map_err(|why| Failure::new(FailureKind::Stopped, why))?;
        let mut metrics = raft.metrics();
        let goal = metrics.borrow_watched().last_log_index;
        loop {
            {
                let metrics = metrics.borrow_and_update();
                let Some(replication) = &metrics.replication else { return Err(lost(raft)) };
                let known = self.0.machine.has_member(AgentId(id));
                let matched = replication.get(&id).and_then(|at| at.as_ref().map(|at| at.index));
                if !known || id == self.0.config.me.id.0 || matched >= goal {
                    return Ok(());
                }
            }
            if metrics.changed().await.is_err() {
                return Err(Failure::new(FailureKind::Stopped, "raft is gone"));
            }
        }
    }

    async fn transfer_to(&self, to: AgentId) -> Result<(), Failure> {
        let raft = self.raft().map_err(|why| Failure::new(FailureKind::Stopped, why))?;
        let mut metrics = raft.metrics();
        if leader_of(raft) == Some(to) {
            return Ok(());
        }
        // Told to hand over, Raft leads no more, whether or not the other can: one that is away would depose leader
        // after leader, each time this is asked again.
        loop {
            if !metrics.borrow_and_update().state.is_leader() {
                return Err(lost(raft));
            }
            if self.answers(to) {
                break;
            }
            if metrics.changed().await.is_err() {
                return Err(Failure::new(FailureKind::Stopped, "raft is gone"));
            }
        }
        let stopped = |error: openraft::errors::Fatal<crate::types::Types>| {
            Failure::new(FailureKind::Stopped, error.to_string())
        };
        raft.trigger().transfer_leader(to.0).await.map_err(stopped)?;
        while leader_of(raft) != Some(to) {
            if metrics.changed().await.is_err() {
                return Err(Failure::new(FailureKind::Stopped, "raft is gone"));
            }
        }
        Ok(())
    }

    /// Whether the member has acknowledged something to this leader lately.
    fn answers(&self, member: AgentId) -> bool {
        let last = self.0.link.gate.last_acknowledged(member.0);
        last.is_some_and(|at| at.elapsed() <= self.0.config.timings.election_max)
    }
}

impl Proposer {
    /// Completes a change of voters that is half done, if there is one, for whoever holds `changing`. Errors: it is
    /// not known to be complete, or this agent does not lead.
    pub(super) async fn complete_change(&self, until: Instant) -> Result<(), Failure> {
        let Some(at) = self.machine.half_done() else { return Ok(()) };
        let unchanged = Precondition::LastMembershipLogId { last_membership_log_id: Some(at) };
        // Towards the new voters there is nothing to add. Only a removal takes a vote, so who loses it leaves.
        let rest = ChangeMembers::AddVoterIds(BTreeSet::new());
        let complete = self.raft.change_membership_if(rest, false, [unchanged]);
        let why = match tokio::time::timeout_at(until, complete).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => failure_of(error),
            Err(_) => {
                Failure::new(FailureKind::NoQuorum, "too few of the old or new voters answer")
            }
        };
        let kind = match why.kind() {
            FailureKind::NotLeader | FailureKind::Stopped => why.kind(),
            // What is asked beside it has not been proposed.
            _ => FailureKind::NoQuorum,
        };
        let message = format!("a change of voters is half done: {}", why.message);
        Err(Failure { leader: why.leader, ..Failure::new(kind, message) })
    }
}

impl Member {
    /// The member as the state knows it, bound to its data directory.
    pub fn joining(&self, directory: u128) -> Joining {
        Joining {
            name: self.name.clone(),
            region: self.region.clone(),
            peer_address: self.address.clone(),
            api_address: self.api_address.clone(),
            directory,
        }
    }
}

/// Says whether members to form a group of can be told apart.
fn check_distinct(members: &[Member]) -> Result<(), ChangeError> {
    for (place, one) in members.iter().enumerate() {
        for other in &members[..place] {
            let what = if one.id == other.id {
                "the same number".to_owned()
            } else if one.name == other.name {
                format!("the name {}", one.name)
            } else if let Some(address) = shared_address([&one.joining(0), &other.joining(0)]) {
                format!("the address {address}")
            } else {
                continue;
            };
            let (one, other) = (one.id, other.id);
            return Err(ChangeError::Refused(format!(
                "agents {other} and {one} are both given {what}; correct `cluster.members` in the configuration"
            )));
        }
    }
    Ok(())
}

/// What became of a change that is agreed on, by `until`: whatever fails, asking again carries it out.
async fn in_time(
    until: Instant,
    work: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    let why = match tokio::time::timeout_at(until, work).await {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(failure)) => failure,
        Err(_) => Failure::new(FailureKind::Unknown, "it takes longer"),
    };
    let message = format!("the change is agreed on and not carried out yet: {}", why.message);
    Err(Failure { leader: why.leader, ..Failure::new(FailureKind::Unknown, message) })
}

fn lost(raft: &super::Raft) -> Failure {
    let leader = leader_of(raft).map(|leader| leader.0);
    Failure { leader, ..Failure::new(FailureKind::NotLeader, "it does not lead any more") }
}
