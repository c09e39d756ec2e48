//! The group as the API asks for it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use holdfast_api::agreement::{
    Agreement, AgreementError, AgreementErrorKind, Member, Membership, NewMember, Role, Standing,
};
use holdfast_consensus::{ChangeError, Group, MemberStatus, ProposeError, ReadError};
use holdfast_core::{AgentId, Outcome, View};
use holdfast_wire::command::Proposal;
use tokio::sync::watch;
use tokio::time::timeout;

/// The group as the API asks for it.
#[derive(Debug, Clone)]
pub struct GroupAgreement(pub Group);

fn error(kind: AgreementErrorKind, error: &dyn std::fmt::Display) -> AgreementError {
    AgreementError { kind, message: error.to_string() }
}

fn from_propose(e: ProposeError) -> AgreementError {
    let kind = match &e {
        ProposeError::NoLeader(_) => AgreementErrorKind::NoLeader,
        ProposeError::NoQuorum(_) => AgreementErrorKind::NoQuorum,
        ProposeError::Overloaded(_) => AgreementErrorKind::Overloaded,
        ProposeError::AuditRefused(_) => AgreementErrorKind::AuditUnavailable,
        ProposeError::Unknown(_) | ProposeError::Invalid(_) => AgreementErrorKind::Unknown,
        ProposeError::Stopped(_) => AgreementErrorKind::Stopped,
    };
    error(kind, &e)
}

fn from_read(e: ReadError) -> AgreementError {
    let kind = match &e {
        ReadError::Unavailable(_) | ReadError::Behind { .. } => AgreementErrorKind::NoQuorum,
        ReadError::Stopped(_) => AgreementErrorKind::Stopped,
    };
    error(kind, &e)
}

fn from_change(e: ChangeError) -> AgreementError {
    let kind = match &e {
        ChangeError::Unreachable { .. } | ChangeError::Refused(_) => AgreementErrorKind::Membership,
        ChangeError::Unavailable(_) => AgreementErrorKind::Unknown,
        ChangeError::Stopped(_) => AgreementErrorKind::Stopped,
    };
    error(kind, &e)
}

fn member_of(new: NewMember) -> holdfast_consensus::Member {
    holdfast_consensus::Member {
        id: new.id,
        name: new.name.to_string(),
        region: new.region.to_string(),
        address: new.peer_address,
        api_address: new.api_address,
    }
}

fn shown(member: &MemberStatus) -> Member {
    Member {
        id: member.id,
        name: member.name.clone(),
        region: member.region.clone(),
        peer_address: member.address.clone(),
        api_address: member.api_address.clone(),
        voter: member.voter,
        matched_index: member.matched,
        last_heard: member.acknowledged_ago,
    }
}

impl GroupAgreement {
    /// Another voter, the one whose log reaches furthest.
    fn any_successor(&self) -> Option<AgentId> {
        let status = self.0.status();
        let status = status.borrow();
        let others = status.members.iter().filter(|m| m.voter && Some(m.id) != status.leader);
        others.max_by_key(|member| member.matched).map(|member| member.id)
    }

    async fn change(&self, change: Membership) -> Result<(), ChangeError> {
        match change {
            Membership::Add(new) => self.0.add_learner(&member_of(new)).await,
            Membership::Promote(agent) => self.0.promote(agent).await,
            Membership::Remove(agent) => self.0.remove(agent).await,
            Membership::Transfer(to) => match to.or_else(|| self.any_successor()) {
                Some(to) => self.0.transfer_leader(to).await,
                None => Err(ChangeError::Refused("there is no other voter to lead".to_owned())),
            },
        }
    }
}

#[async_trait]
impl Agreement for GroupAgreement {
    async fn propose(&self, proposal: Proposal, within: Duration) -> Result<Outcome, AgreementError> {
        self.0.propose_within(proposal, within).await.map_err(from_propose)
    }

    async fn read_index(&self, within: Duration) -> Result<u64, AgreementError> {
        match timeout(within, self.0.read_index()).await {
            Ok(read) => read.map_err(from_read),
            Err(_) => Err(error(
                AgreementErrorKind::NoQuorum,
                &format!("no quorum confirmed a read within {within:?}; ask with consistency STALE"),
            )),
        }
    }

    fn view(&self) -> watch::Receiver<Arc<View>> {
        self.0.view()
    }

    fn standing(&self) -> Standing {
        let status = self.0.status().borrow().clone();
        let (index, audit_head) = self.0.audit_head();
        let role = match status.role {
            holdfast_consensus::Role::Leader => Role::Leader,
            holdfast_consensus::Role::Follower => Role::Follower,
            holdfast_consensus::Role::Candidate => Role::Candidate,
            holdfast_consensus::Role::Learner => Role::Learner,
            holdfast_consensus::Role::Stopped => Role::Stopped,
        };
        Standing {
            group: self.0.id(),
            generation: status.generation,
            role,
            leader: status.leader,
            term: status.term,
            quorum: status.quorum_ok,
            members: status.members.iter().map(shown).collect(),
            last_log_index: status.last_log_index,
            committed_index: status.committed,
            applied_index: index,
            snapshot_index: status.snapshot_index,
            state_hash: None,
            audit_head,
        }
    }

    async fn change_membership(
        &self,
        change: Membership,
        within: Duration,
    ) -> Result<(), AgreementError> {
        match timeout(within, self.change(change)).await {
            Ok(changed) => changed.map_err(from_change),
            Err(_) => Err(error(
                AgreementErrorKind::Unknown,
                &format!("the change was not confirmed within {within:?}; look at `holdfast cluster members`"),
            )),
        }
    }
}
