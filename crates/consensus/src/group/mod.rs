//! One replicated group on this agent: the handle that the rest of the agent holds.
//!
//! ```text
//! propose ──▶ leader, wherever it is ──▶ log ──▶ state machine ──▶ view()     handle() ◀── peers
//! ```
//!
//! The front door is [`Group::propose`], the back door [`Group::view`]. Reads from the view are stale by nature;
//! [`Group::read_index`] says how far the view has to be for a linearizable one, and waits until it is.
//! openraft does not show.

mod clock;
mod membership;
mod propose;
mod route;
mod sender;
mod serve;
mod start;
mod status;
mod stop;
mod ticker;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use holdfast_core::audit::{Hash, Head};
use holdfast_core::spec::{Service, Zone};
use holdfast_core::state::Declared;
use holdfast_core::{
    Actor, AgentId, BootId, Command, GroupId, Outcome, Rejection, RequestId, View,
};
use holdfast_wire::command::Proposal;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::codec::rpc::FailureKind;
use crate::config::GroupConfig;
use crate::error::{ProposeError, ReadError};
use crate::log_store::LogStore;
use crate::network::Link;
use crate::state_machine::StateMachine;
use crate::types::Types;
use propose::Proposer;
use route::{Reply, Request, leader_of};
pub(crate) use serve::{Heard, is_served};
pub use status::{GroupStatus, MemberStatus, Role};

pub(crate) type Raft = openraft::Raft<Types, StateMachine>;

/// A replicated group on this agent; clones are handles of the same.
#[derive(Clone)]
pub struct Group(Arc<Inner>);

struct Inner {
    config: GroupConfig,
    link: Arc<Link>,
    machine: StateMachine,
    log: LogStore,
    /// The way into Raft, or why it did not start.
    proposer: Result<Arc<Proposer>, String>,
    status: watch::Receiver<GroupStatus>,
    heard: Arc<Heard>,
    /// Until when this member takes part in nothing.
    hold_until: Option<Instant>,
    /// The group, in metrics.
    label: String,
    /// This life of the directory.
    boot: BootId,
    stop: CancellationToken,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl std::fmt::Debug for Group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Group({} on agent {})", self.0.config.group, self.0.config.me.id)
    }
}

impl Group {
    /// The group's number.
    pub fn id(&self) -> GroupId {
        self.0.config.group
    }

    /// Proposes a command from any agent and waits for its outcome, within the configured patience. With a request
    /// id, asking again returns the first outcome. Errors: see [`ProposeError`].
    pub async fn propose(
        &self,
        request_id: Option<RequestId>,
        actor: Actor,
        command: Command,
    ) -> Result<Outcome, ProposeError> {
        let proposal = Proposal { request_id, actor, command };
        self.propose_within(proposal, self.0.config.patience).await
    }

    /// As [`Group::propose`], with a patience of the caller's.
    pub async fn propose_within(
        &self,
        proposal: Proposal,
        patience: Duration,
    ) -> Result<Outcome, ProposeError> {
        match self.route(Request::Propose(Box::new(proposal)), patience).await {
            Ok(Reply::Outcome(outcome)) => Ok(outcome),
            Ok(Reply::Index(_)) => Err(ProposeError::Invalid("no outcome".to_owned())),
            Err(given_up) => Err(match given_up.kind {
                FailureKind::NotLeader => ProposeError::NoLeader(given_up.attempts),
                FailureKind::NoQuorum => ProposeError::NoQuorum(given_up.attempts),
                FailureKind::Overloaded => ProposeError::Overloaded(given_up.message),
                FailureKind::AuditRefused => ProposeError::AuditRefused(given_up.message),
                FailureKind::Unknown => ProposeError::Unknown(given_up.attempts),
                FailureKind::Invalid | FailureKind::Denied | FailureKind::Unspecified => {
                    ProposeError::Invalid(given_up.message)
                }
                FailureKind::Stopped => ProposeError::Stopped(given_up.message),
            }),
        }
    }

    /// Waits until the view here includes everything that was committed before the call, and returns that index.
    /// Errors: see [`ReadError`].
    pub async fn read_index(&self) -> Result<u64, ReadError> {
        let patience = self.0.config.patience;
        let until = Instant::now() + patience;
        let index = match self.route(Request::ReadIndex, patience).await {
            Ok(Reply::Index(index)) => index,
            Ok(Reply::Outcome(outcome)) => outcome.index,
            Err(given_up) if given_up.kind == FailureKind::Stopped => {
                return Err(ReadError::Stopped(given_up.message));
            }
            Err(given_up) => return Err(ReadError::Unavailable(given_up.attempts)),
        };
        let mut progress = self.0.machine.progress();
        let caught_up = progress.wait_for(|progress| progress.applied >= index);
        match tokio::time::timeout_at(until, caught_up).await {
            Ok(Ok(_)) => Ok(index),
            _ => {
                let applied = self.0.machine.progress().borrow().applied;
                Err(ReadError::Behind { applied, wanted: index })
            }
        }
    }

    /// What is known here, as of the last applied batch.
    pub fn view(&self) -> watch::Receiver<Arc<View>> {
        self.0.machine.view()
    }

    /// How the group stands.
    pub fn status(&self) -> watch::Receiver<GroupStatus> {
        self.0.status.clone()
    }

    /// What declaring a zone would come to, by the rules of `apply` and as far as the log is applied here; nothing is
    /// changed. Errors: why it would be refused.
    pub fn check_zone(&self, zone: &Zone, if_revision: Option<u64>) -> Result<Declared, Rejection> {
        self.0.machine.check_zone(zone, if_revision)
    }

    /// As [`Group::check_zone`], of a service.
    pub fn check_service(
        &self,
        service: &Service,
        if_revision: Option<u64>,
    ) -> Result<Declared, Rejection> {
        self.0.machine.check_service(service, if_revision)
    }

    /// The applied index with the hash of the state and the audit head at it: equal on all replicas at one index.
    pub fn state_hash(&self) -> (u64, Hash, Head) {
        self.0.machine.fingerprint()
    }

    /// The applied index with the head of the audit chain at it; cheaper than [`Group::state_hash`].
    pub fn audit_head(&self) -> (u64, Head) {
        self.0.machine.audit_head()
    }

    /// The id of the data directory: who this agent is to the other members.
    pub fn directory(&self) -> u128 {
        self.0.link.directory
    }

    /// Which start of the directory this is: later ones compare greater, and none comes twice.
    pub fn boot(&self) -> BootId {
        self.0.boot
    }

    /// Stops the group on this agent for a reason that people have to act on, such as a diverged audit chain. The
    /// view stays.
    pub fn halt(&self, reason: &str) {
        self.0.machine.halt(reason.to_owned());
    }

    /// Hands leadership to `successor`, a voter, where this agent leads. Returns whether another one leads, or nobody
    /// yet, within the longest election timeout.
    pub async fn yield_to(&self, successor: AgentId) -> bool {
        let Ok(raft) = self.raft() else { return false };
        if leader_of(raft) == Some(self.0.config.me.id) {
            self.transfer(raft, successor).await;
        }
        leader_of(raft) != Some(self.0.config.me.id)
    }

    /// Whether this agent stands for election once it hears no leader; it does unless told otherwise. Leadership that
    /// is handed to it is taken all the same.
    pub fn stand_for_election(&self, stands: bool) {
        if let Ok(raft) = self.raft() {
            raft.runtime_config().elect(stands);
        }
    }

    /// The way to Raft. Errors: why there is none; nothing came to Raft then.
    pub(crate) fn raft(&self) -> Result<&Raft, String> {
        if self.0.stop.is_cancelled() {
            return Err(stop::STOPPING.to_owned());
        }
        match &self.0.proposer {
            Ok(proposer) => match self.0.machine.halted().borrow().as_ref() {
                None => Ok(&proposer.raft),
                Some(reason) => Err(reason.clone()),
            },
            Err(reason) => Err(reason.clone()),
        }
    }

    pub(crate) fn proposer(&self) -> Result<&Proposer, String> {
        self.raft()?;
        self.0.proposer.as_deref().map_err(Clone::clone)
    }
}
