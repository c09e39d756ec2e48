//! Forming a group and changing its members.
//!
//! A member is recorded with the id of its data directory, which it is asked for when it is added, so a member has to
//! run before it can be added. Changes go to the leader from any agent, and asking for the same change twice does no
//! harm. A change of voters is two entries (joint, then final); if the leader is lost in between, the same request
//! completes it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use holdfast_core::AgentId;
use openraft::ChangeMembers;
use openraft::async_runtime::WatchReceiver as _;
use openraft::errors::{InitializeError, RaftError};
use tokio::time::Instant;

use super::propose::failure_of;
use super::route::{Reply, Request};
use super::{Group, leader_of};
use crate::codec::decode;
use crate::codec::rpc::{ChangeOp, Failure, FailureKind, IdentifyReply, member_message, member_of};
use crate::config::Member;
use crate::error::ChangeError;
use crate::network::IDENTIFY;
use crate::types::NodeRecord;

/// How long one question for a member's identity may take.
const IDENTIFY_TIMEOUT: Duration = Duration::from_secs(1);
/// The pause before a member is asked again.
const IDENTIFY_PAUSE: Duration = Duration::from_millis(50);
/// How long adding a learner may take: it has to catch up first.
const CATCH_UP: Duration = Duration::from_secs(120);

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
        let mut nodes = BTreeMap::new();
        for member in members {
            nodes.insert(member.id.0, self.identified(member).await?);
        }
        match raft.initialize(nodes).await {
            // Somebody was faster, or a leader has made this node a member already.
            Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Ok(()),
            Err(RaftError::APIError(error)) => Err(ChangeError::Refused(error.to_string())),
            Err(RaftError::Fatal(fatal)) => Err(stopped(&fatal)),
        }
    }

    /// Adds a member without a vote, and waits until it has caught up.
    pub async fn add_learner(&self, member: &Member) -> Result<(), ChangeError> {
        let node = self.identified(member).await?;
        self.change(ChangeOp::AddLearner(member_message(member.id.0, &node)), CATCH_UP).await
    }

    /// Gives a learner a vote.
    pub async fn promote(&self, agent: AgentId) -> Result<(), ChangeError> {
        self.change(ChangeOp::Promote(agent.0), self.0.config.patience).await
    }

    /// Removes a member for good: its number must not be used again.
    pub async fn remove(&self, agent: AgentId) -> Result<(), ChangeError> {
        self.change(ChangeOp::Remove(agent.0), self.0.config.patience).await
    }

    /// Makes `agent`, a voter, the leader.
    pub async fn transfer_leader(&self, agent: AgentId) -> Result<(), ChangeError> {
        self.change(ChangeOp::TransferLeader(agent.0), self.0.config.patience).await
    }

    async fn change(&self, op: ChangeOp, patience: Duration) -> Result<(), ChangeError> {
        match self.route(Request::Change(op), patience).await {
            Ok(Reply::Index(_) | Reply::Outcome(_)) => Ok(()),
            Err(given_up) => Err(match given_up.kind {
                FailureKind::Invalid => ChangeError::Refused(given_up.message),
                FailureKind::Stopped => ChangeError::Stopped(given_up.message),
                _ => ChangeError::Unavailable(given_up.attempts),
            }),
        }
    }

    /// The member's record with its data directory, which it is asked for until patience ends.
    async fn identified(&self, member: &Member) -> Result<NodeRecord, ChangeError> {
        let record = |directory| NodeRecord {
            name: member.name.clone(),
            region: member.region.clone(),
            address: member.address.clone(),
            api_address: member.api_address.clone(),
            directory,
        };
        if member.id == self.0.config.me.id {
            return Ok(record(self.0.link.directory));
        }
        let until = Instant::now() + self.0.config.patience;
        let peer = member.peer();
        loop {
            let ask = self.0.link.ask(&peer, IDENTIFY, Bytes::new(), IDENTIFY_TIMEOUT);
            let why = match ask.await {
                Ok(bytes) => match decode::<IdentifyReply>("identity", &bytes) {
                    Ok(reply) => return Ok(record(reply.directory())),
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

    /// Makes the change here, where this agent leads; answers the index of the change.
    pub(crate) async fn change_here(&self, op: ChangeOp, until: Instant) -> Result<u64, Failure> {
        let change = async {
            match op {
                ChangeOp::AddLearner(message) => {
                    let (id, node) = member_of(message)
                        .map_err(|error| Failure::new(FailureKind::Invalid, error.to_string()))?;
                    self.add_here(id, node).await
                }
                ChangeOp::Promote(id) => {
                    self.members_here(ChangeMembers::AddVoterIds(BTreeSet::from([id])), true).await
                }
                ChangeOp::Remove(id) => self.remove_here(id).await,
                ChangeOp::TransferLeader(id) => self.transfer_here(id).await,
            }
        };
        tokio::time::timeout_at(until, change).await.unwrap_or_else(|_| {
            Err(Failure::new(FailureKind::Unknown, "it did not happen in time"))
        })
    }

    async fn add_here(&self, id: u64, node: NodeRecord) -> Result<u64, Failure> {
        let raft = self.raft().map_err(|why| Failure::new(FailureKind::Stopped, why))?;
        let known = raft.metrics().borrow_watched().membership_config.get_node(&id).cloned();
        if known.is_some_and(|known| known.directory != node.directory) {
            let why = format!(
                "agent {id} is a member with another data directory; remove it with `holdfast cluster remove {id}` \
                 and let it join under a new id"
            );
            return Err(Failure::new(FailureKind::Invalid, why));
        }
        let added = raft.add_learner(id, node, true).await.map_err(failure_of)?;
        Ok(added.log_id.index)
    }

    async fn remove_here(&self, id: u64) -> Result<u64, Failure> {
        let raft = self.raft().map_err(|why| Failure::new(FailureKind::Stopped, why))?;
        let (votes, known) = {
            let metrics = raft.metrics();
            let metrics = metrics.borrow_watched();
            let membership = metrics.membership_config.membership();
            (membership.voter_ids().any(|voter| voter == id), membership.get_node(&id).is_some())
        };
        let ids = BTreeSet::from([id]);
        match (votes, known) {
            (true, _) => self.members_here(ChangeMembers::RemoveVoters(ids), false).await,
            (false, true) => self.members_here(ChangeMembers::RemoveNodes(ids), false).await,
            (false, false) => {
                Err(Failure::new(FailureKind::Invalid, format!("agent {id} is not a member")))
            }
        }
    }

    async fn members_here(
        &self,
        members: ChangeMembers<u64, NodeRecord>,
        retain: bool,
    ) -> Result<u64, Failure> {
        let raft = self.raft().map_err(|why| Failure::new(FailureKind::Stopped, why))?;
        let changed = raft.change_membership(members, retain).await.map_err(failure_of)?;
        Ok(changed.log_id.index)
    }

    async fn transfer_here(&self, to: u64) -> Result<u64, Failure> {
        let raft = self.raft().map_err(|why| Failure::new(FailureKind::Stopped, why))?;
        let mut metrics = raft.metrics();
        let (leads, votes) = {
            let metrics = metrics.borrow_and_update();
            let votes = metrics.membership_config.voter_ids().any(|voter| voter == to);
            (metrics.state.is_leader(), votes)
        };
        if !votes {
            return Err(Failure::new(FailureKind::Invalid, format!("agent {to} has no vote")));
        }
        if !leads {
            let leader = leader_of(raft).map(|leader| leader.0);
            return Err(Failure {
                leader,
                ..Failure::new(FailureKind::NotLeader, "it does not lead")
            });
        }
        let stopped = |error: openraft::errors::Fatal<crate::types::Types>| {
            Failure::new(FailureKind::Stopped, error.to_string())
        };
        raft.trigger().transfer_leader(to).await.map_err(stopped)?;
        while leader_of(raft) != Some(AgentId(to)) {
            if metrics.changed().await.is_err() {
                return Err(Failure::new(FailureKind::Stopped, "raft is gone"));
            }
        }
        Ok(0)
    }
}
