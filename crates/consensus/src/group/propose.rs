//! What happens to a command at the leader: admission, stamping, commit.
//!
//! Admission comes first, in this order: the audit store's veto (mutations only), a bounded number of commands in
//! flight, what cannot be encoded. None of these leaves a trace in the log. Once an entry was handed to Raft without
//! a definite answer, its outcome is *unknown*, and only the request id makes asking again safe.

use std::sync::Arc;

use holdfast_core::{ActorKind, Command, Entry, Outcome, Timestamp};
use holdfast_wire::command::Proposal;
use metrics::Histogram;
use openraft::async_runtime::WatchReceiver as _;
use openraft::errors::{ClientWriteError, ForwardReason, ForwardToLeader, RaftError};
use openraft::vote::RaftLeaderId as _;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::Raft;
use super::clock::Stamper;
use crate::codec::rpc::{Failure, FailureKind};
use crate::state_machine::StateMachine;
use crate::types::{Blob, Types};

/// Commands in flight at one leader; beyond it, callers wait until their patience ends.
pub(crate) const IN_FLIGHT_LIMIT: usize = 1024;

/// Proposes commands to the Raft of this agent.
pub(crate) struct Proposer {
    pub(crate) raft: Raft,
    pub(crate) machine: StateMachine,
    pub(crate) stamper: Stamper,
    pub(crate) places: Arc<Semaphore>,
    /// Held while a change of membership is carried out.
    pub(crate) changing: tokio::sync::Mutex<()>,
    pub(crate) commit_duration: Histogram,
}

impl Failure {
    pub(crate) fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind: kind as i32, leader: None, message: message.into() }
    }
}

impl Proposer {
    /// The time to stamp now.
    pub(crate) fn stamp(&self) -> Timestamp {
        let term = self.raft.server_metrics().borrow_watched().vote.leader_id().term();
        let group_time = self.machine.view().borrow().answers.at;
        self.stamper.stamp(term, group_time, self.machine.witnessed())
    }

    /// Proposes here. Errors: this agent does not lead, or the reasons of the module.
    pub(crate) async fn propose(
        &self,
        proposal: &Proposal,
        until: Instant,
    ) -> Result<Outcome, Failure> {
        self.admit(proposal)?;
        let _place = self.place(proposal, until).await?;
        let begun = Instant::now();
        let entry = Entry {
            at: self.stamp(),
            request_id: proposal.request_id,
            actor: proposal.actor.clone(),
            command: proposal.command.clone(),
        };
        let bytes = holdfast_wire::entry::encode(&entry);
        // What does not decode here would stop every replica.
        holdfast_wire::entry::decode(&bytes)
            .map_err(|error| Failure::new(FailureKind::Invalid, error.to_string()))?;
        let write = self.raft.client_write(Blob(bytes.into()));
        let Ok(written) = tokio::time::timeout_at(until, write).await else {
            return Err(Failure::new(FailureKind::Unknown, "it was not committed in time"));
        };
        let outcome = written.map_err(failure_of)?.data.0;
        self.commit_duration.record(begun.elapsed().as_secs_f64());
        Ok(outcome.expect("every entry with content has an outcome"))
    }

    /// A place among the commands in flight; the group's own commands need none.
    async fn place(
        &self,
        proposal: &Proposal,
        until: Instant,
    ) -> Result<Option<SemaphorePermit<'_>>, Failure> {
        if proposal.actor.kind == ActorKind::System {
            return Ok(None);
        }
        match tokio::time::timeout_at(until, self.places.acquire()).await {
            Ok(Ok(place)) => Ok(Some(place)),
            Ok(Err(_)) => Err(Failure::new(FailureKind::Stopped, "the group is stopping")),
            Err(_) => {
                let why = format!("{IN_FLIGHT_LIMIT} commands are in flight");
                Err(Failure::new(FailureKind::Overloaded, why))
            }
        }
    }

    fn admit(&self, proposal: &Proposal) -> Result<(), Failure> {
        if !is_mutation(&proposal.command) {
            return Ok(());
        }
        match self.machine.audit().refuse_mutations() {
            Some(why) => Err(Failure::new(FailureKind::AuditRefused, why)),
            None => Ok(()),
        }
    }
}

/// Whether the command changes what people declared or ordered. The others are observations and the group's own
/// affairs: never refused for the audit's sake, and harmless when they are proposed twice.
pub(crate) fn is_mutation(command: &Command) -> bool {
    match command {
        Command::RecordObservations(_)
        | Command::RecordHeartbeats { .. }
        | Command::RecordConvergence { .. }
        | Command::RecordZoneCopy { .. }
        | Command::RecordZoneSource { .. }
        | Command::SilenceObserver { .. }
        | Command::BeginTerm { .. }
        | Command::AdvanceTime => false,
        Command::ApplyZone { .. }
        | Command::DeleteZone { .. }
        | Command::ApplyTsigKey { .. }
        | Command::RemoveTsigKey { .. }
        | Command::UpdateZone(_)
        | Command::ChangeSigning { .. }
        | Command::ApplyService { .. }
        | Command::DeleteService { .. }
        | Command::RegisterEndpoint { .. }
        | Command::DeregisterEndpoint { .. }
        | Command::SetOverride { .. }
        | Command::ClearOverride { .. }
        | Command::Pause { .. }
        | Command::Resume { .. }
        | Command::AdmitAgent { .. }
        | Command::RemoveAgent { .. }
        | Command::RequestMembership(_)
        | Command::ChangeSettings(_)
        | Command::RaiseLogicVersion { .. } => true,
    }
}

/// A write's error as what is known of the entry.
pub(crate) fn failure_of(error: RaftError<Types, ClientWriteError<Types>>) -> Failure {
    match error {
        RaftError::APIError(ClientWriteError::ForwardToLeader(forward)) => forwarded(&forward),
        RaftError::APIError(ClientWriteError::LogEntryDiscarded(forward)) => Failure {
            leader: forward.leader_id,
            ..Failure::new(FailureKind::Unknown, "leadership changed before it was committed")
        },
        RaftError::APIError(ClientWriteError::ChangeMembershipError(error)) => {
            use openraft::errors::ChangeMembershipError as E;
            let kind = match error {
                // These pass by themselves.
                E::InProgress(_) | E::UncommittedLeaderLog(_) => FailureKind::NoQuorum,
                _ => FailureKind::Invalid,
            };
            Failure::new(kind, error.to_string())
        }
        RaftError::APIError(error @ ClientWriteError::PreconditionFailed(_)) => {
            Failure::new(FailureKind::Invalid, error.to_string())
        }
        // It may have come to the log, and from there to the others, before Raft stopped.
        RaftError::Fatal(fatal) => Failure::new(FailureKind::Unknown, fatal.to_string()),
    }
}

/// Who leads instead, or that nobody does.
pub(crate) fn forwarded(forward: &ForwardToLeader<Types>) -> Failure {
    let leader = forward.leader_id;
    match forward.reason {
        ForwardReason::LeaseExpired => {
            Failure::new(FailureKind::NoQuorum, "it leads without a quorum")
        }
        ForwardReason::NotLeader | ForwardReason::LeadershipTransfer => {
            Failure { leader, ..Failure::new(FailureKind::NotLeader, "it does not lead") }
        }
    }
}
