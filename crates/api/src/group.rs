//! The group of `consensus` as the API's [`Agreement`].

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use holdfast_consensus::{
    Attempts, ChangeError, Group, Member as GroupMember, MemberStatus, ProposeError, ReadError,
    Role as GroupRole,
};
use holdfast_core::audit::Hash;
use holdfast_core::spec::{Service, Zone};
use holdfast_core::state::Declared;
use holdfast_core::{Outcome, Rejection, View};
use holdfast_wire::command::Proposal;
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;

use crate::agreement::{
    Agreement, AgreementError, AgreementErrorKind, Member, NewMember, Role, Standing,
};

#[async_trait]
impl Agreement for Group {
    async fn propose(
        &self,
        proposal: Proposal,
        within: Duration,
    ) -> Result<Outcome, AgreementError> {
        self.propose_within(proposal, within).await.map_err(not_proposed)
    }

    async fn read_index(&self, within: Duration) -> Result<u64, AgreementError> {
        match tokio::time::timeout(within, Self::read_index(self)).await {
            Ok(read) => read.map_err(not_read),
            Err(_) => {
                let leader = self.status().borrow().leader;
                let attempts = Attempts { leader, tried: Vec::new(), waited: within };
                Err(not_read(ReadError::Unavailable(attempts)))
            }
        }
    }

    fn view(&self) -> watch::Receiver<Arc<View>> {
        Self::view(self)
    }

    fn standing(&self) -> Standing {
        let (_, audit_head) = self.audit_head();
        let status = self.status();
        let status = status.borrow();
        Standing {
            group: self.id(),
            generation: status.generation,
            role: role(status.role),
            leader: status.leader,
            term: status.term,
            quorum: status.quorum_ok,
            members: status.members.iter().map(member).collect(),
            requested: status.requested.clone(),
            joint: status.joint,
            last_log_index: status.last_log_index,
            committed_index: status.committed,
            applied_index: status.applied,
            snapshot_index: status.snapshot_index,
            audit_head,
        }
    }

    fn changes(&self) -> BoxStream<'static, ()> {
        WatchStream::from_changes(self.status()).map(drop).boxed()
    }

    fn check_zone(&self, zone: &Zone, if_revision: Option<u64>) -> Result<Declared, Rejection> {
        Self::check_zone(self, zone, if_revision)
    }

    fn check_service(
        &self,
        service: &Service,
        if_revision: Option<u64>,
    ) -> Result<Declared, Rejection> {
        Self::check_service(self, service, if_revision)
    }

    fn state_hash(&self) -> (u64, Hash) {
        let (index, hash, _) = Self::state_hash(self);
        (index, hash)
    }

    async fn directory_of(
        &self,
        joining: &NewMember,
        within: Duration,
    ) -> Result<u128, AgreementError> {
        let member = GroupMember {
            id: joining.id,
            name: joining.name.clone(),
            region: joining.region.clone(),
            address: joining.peer_address.clone(),
            api_address: joining.api_address.clone(),
        };
        Self::directory_of(self, &member, within).await.map_err(not_known)
    }
}

fn role(role: GroupRole) -> Role {
    match role {
        GroupRole::Leader => Role::Leader,
        GroupRole::Follower => Role::Follower,
        GroupRole::Candidate => Role::Candidate,
        GroupRole::Learner => Role::Learner,
        GroupRole::Stopped => Role::Stopped,
    }
}

fn member(status: &MemberStatus) -> Member {
    Member {
        id: status.id,
        name: status.name.clone(),
        region: status.region.clone(),
        peer_address: status.address.clone(),
        api_address: status.api_address.clone(),
        voter: status.voter,
        matched_index: status.matched,
        last_heard: status.acknowledged_ago,
    }
}

fn not_proposed(error: ProposeError) -> AgreementError {
    let kind = match &error {
        ProposeError::NoLeader(_) => AgreementErrorKind::NoLeader,
        ProposeError::NoQuorum(_) => AgreementErrorKind::NoQuorum,
        ProposeError::Overloaded(_) => AgreementErrorKind::Overloaded,
        ProposeError::AuditRefused(_) => AgreementErrorKind::AuditUnavailable,
        ProposeError::Unknown(_) => AgreementErrorKind::Unknown,
        ProposeError::Invalid(_) => AgreementErrorKind::Invalid,
        ProposeError::Stopped(_) => AgreementErrorKind::Stopped,
    };
    AgreementError { kind, message: error.to_string() }
}

fn not_read(error: ReadError) -> AgreementError {
    let kind = match &error {
        ReadError::Unavailable(attempts) if attempts.leader.is_none() => {
            AgreementErrorKind::NoLeader
        }
        ReadError::Unavailable(_) => AgreementErrorKind::NoQuorum,
        ReadError::Behind { .. } => AgreementErrorKind::Behind,
        ReadError::Stopped(_) => AgreementErrorKind::Stopped,
    };
    AgreementError { kind, message: error.to_string() }
}

fn not_known(error: ChangeError) -> AgreementError {
    let kind = match &error {
        ChangeError::Unreachable { .. } | ChangeError::Refused(_) => {
            AgreementErrorKind::Unreachable
        }
        ChangeError::Stopped(_) => AgreementErrorKind::Stopped,
    };
    AgreementError { kind, message: error.to_string() }
}
