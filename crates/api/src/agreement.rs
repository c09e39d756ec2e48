//! What the API needs of agreement: to propose, to read what is agreed, and to know who agrees.
//!
//! A seam, so that the services can be tested without Raft. The group of `consensus` is the one that runs.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use holdfast_core::audit::{Hash, Head};
use holdfast_core::membership::MembershipChange;
use holdfast_core::spec::{Service, Zone};
use holdfast_core::state::Declared;
use holdfast_core::{AgentId, GroupId, Outcome, Rejection, View};
use holdfast_wire::command::Proposal;
use tokio::sync::watch;

/// What the API needs of agreement.
#[async_trait]
pub trait Agreement: Send + Sync + 'static {
    /// Has a command agreed on, by the leader wherever it is. Safe to repeat with the same request id. Errors: it was
    /// not, or it is not known whether it was; see [`AgreementErrorKind`].
    async fn propose(
        &self,
        proposal: Proposal,
        within: Duration,
    ) -> Result<Outcome, AgreementError>;

    /// Waits until the local view includes everything that was acknowledged before. Errors: as `propose`.
    async fn read_index(&self, within: Duration) -> Result<u64, AgreementError>;

    /// The state as this node knows it.
    fn view(&self) -> watch::Receiver<Arc<View>>;

    /// How the group stands, as this node sees it.
    fn standing(&self) -> Standing;

    /// Yields whenever the standing may have changed.
    fn changes(&self) -> BoxStream<'static, ()>;

    /// What declaring a zone would come to, by the rules of `apply` and the state as this node knows it. Errors: why it
    /// would be refused.
    fn check_zone(&self, zone: &Zone, if_revision: Option<u64>) -> Result<Declared, Rejection>;

    /// As `check_zone`, of a service.
    fn check_service(
        &self,
        service: &Service,
        if_revision: Option<u64>,
    ) -> Result<Declared, Rejection>;

    /// The applied index and the hash of the state at it. Hashes everything, so it is asked for on purpose.
    fn state_hash(&self) -> (u64, Hash);

    /// The data directory of a node that is to join, which it is asked for. Errors: it does not answer.
    async fn directory_of(
        &self,
        joining: &NewMember,
        within: Duration,
    ) -> Result<u128, AgreementError>;
}

/// A node that is let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMember {
    /// Its number, never used before.
    pub id: AgentId,
    /// Its name.
    pub name: String,
    /// Where it is.
    pub region: String,
    /// Where other agents reach it.
    pub peer_address: String,
    /// Where clients reach it.
    pub api_address: String,
}

/// What part a node takes in the group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Receives the log and does not vote.
    Learner,
    /// Follows a leader.
    Follower,
    /// Asks for votes.
    Candidate,
    /// Leads.
    Leader,
    /// Takes no part any more.
    Stopped,
}

/// A member of the group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its number.
    pub id: AgentId,
    /// Its name.
    pub name: String,
    /// Where it is.
    pub region: String,
    /// Where other agents reach it.
    pub peer_address: String,
    /// Where clients reach it.
    pub api_address: String,
    /// Whether it votes.
    pub voter: bool,
    /// How far its log is known to match; on the leader.
    pub matched_index: Option<u64>,
    /// How long ago it was last heard; on the leader.
    pub last_heard: Option<Duration>,
}

/// How the group stands, as a node sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The group.
    pub group: GroupId,
    /// Raised when the group is recovered by force.
    pub generation: u64,
    /// The part this node takes.
    pub role: Role,
    /// The leader, where it is known.
    pub leader: Option<AgentId>,
    /// The term.
    pub term: u64,
    /// Whether this node is in contact with a quorum.
    pub quorum: bool,
    /// The members.
    pub members: Vec<Member>,
    /// The change of membership that is agreed on and not carried out.
    pub requested: Option<MembershipChange>,
    /// Whether a change of voters is half done: the old voters still count as well.
    pub joint: bool,
    /// The last index of the log.
    pub last_log_index: u64,
    /// The last index that is agreed on.
    pub committed_index: u64,
    /// The last index that is applied.
    pub applied_index: u64,
    /// The last index of the newest snapshot.
    pub snapshot_index: u64,
    /// The replicated audit chain.
    pub audit_head: Head,
}

impl Standing {
    /// Where clients reach the leader, where it is known.
    pub fn leader_address(&self) -> Option<&str> {
        let leader = self.leader?;
        let member = self.members.iter().find(|member| member.id == leader)?;
        Some(member.api_address.as_str())
    }
}

/// Why something was not agreed on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct AgreementError {
    /// The kind.
    pub kind: AgreementErrorKind,
    /// What happened, and which members were tried.
    pub message: String,
}

/// The kinds of reasons for which something was not agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgreementErrorKind {
    /// Nobody leads; nothing happened.
    NoLeader,
    /// The leader cannot reach a quorum; nothing happened.
    NoQuorum,
    /// Too much is being asked; nothing happened.
    Overloaded,
    /// The audit store takes nothing; nothing happened.
    AuditUnavailable,
    /// It is not known whether it happened: ask again with the same request id.
    Unknown,
    /// The command cannot be stored.
    Invalid,
    /// This node does not catch up with the leader in time.
    Behind,
    /// This node has stopped taking part.
    Stopped,
    /// A node that is to join does not answer.
    Unreachable,
}
