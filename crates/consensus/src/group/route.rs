//! Getting something to the leader, wherever it is: here, or over the wire, again and again within the caller's
//! patience.
//!
//! A request that may have reached a leader, and was not answered, is ambiguous. It is asked again only when that is
//! harmless: it carries a request id, or is such that twice is as good as once. Unless an answer comes in the end, the
//! caller then learns that the outcome is unknown, whatever later attempts said; without an ambiguous attempt it
//! learns why nothing happened.

use std::time::Duration;

use bytes::Bytes;
use holdfast_core::{AgentId, Command, Outcome};
use holdfast_wire::command::{self, Proposal};
use holdfast_wire::outcome;
use holdfast_wire::peer::{MessageKind, PeerAddress, RefusalReason, WireError};
use openraft::ReadPolicy;
use openraft::async_runtime::WatchReceiver as _;
use openraft::errors::{LinearizableReadError, RaftError};
use tokio::time::Instant;

use super::propose::{forwarded, is_mutation};
use super::sender::is_leaders_own;
use super::stop::STOPPING;
use super::{Group, Raft};
use crate::codec::rpc::{
    Failure, FailureKind, IndexReply, ProposeCall, ProposeReply, ProposeResult,
};
use crate::codec::{decode, encode};
use crate::error::Attempts;

/// The pause between two attempts.
const RETRY_PAUSE: Duration = Duration::from_millis(20);
/// The pause after a denial, which whoever denied it writes to its log.
const DENIED_PAUSE: Duration = Duration::from_millis(200);

/// Something that only the leader can do.
#[derive(Debug, Clone)]
pub(crate) enum Request {
    Propose(Box<Proposal>),
    ReadIndex,
}

/// What the leader answers.
#[derive(Debug)]
pub(crate) enum Reply {
    Outcome(Outcome),
    Index(u64),
}

/// Why a request was given up.
#[derive(Debug)]
pub(crate) struct GivenUp {
    pub(crate) kind: FailureKind,
    pub(crate) message: String,
    pub(crate) attempts: Attempts,
}

impl Request {
    fn is_safe_twice(&self) -> bool {
        match self {
            Self::Propose(proposal) => {
                proposal.request_id.is_some() || !is_mutation(&proposal.command)
            }
            Self::ReadIndex => true,
        }
    }

    fn message(&self, patience: Duration) -> (MessageKind, Bytes) {
        let patience_ms = holdfast_core::time::millis(patience);
        match self {
            Self::Propose(proposal) => {
                let proposal = command::encode(proposal).into();
                let call = ProposeCall { patience_ms, proposal };
                (MessageKind::Propose, encode(&call).into())
            }
            Self::ReadIndex => (MessageKind::ReadIndex, Bytes::new()),
        }
    }

    fn reply(&self, bytes: &[u8]) -> Result<Reply, Failure> {
        let broken = |why: String| Failure::new(FailureKind::Unknown, why);
        match self {
            Self::Propose(_) => {
                let reply: ProposeReply =
                    decode("answer", bytes).map_err(|error| broken(error.to_string()))?;
                match reply.result {
                    Some(ProposeResult::Outcome(bytes)) => outcome::decode(&bytes)
                        .map(Reply::Outcome)
                        .map_err(|error| broken(error.to_string())),
                    Some(ProposeResult::Failure(failure)) => Err(failure),
                    None => Err(broken("the answer is empty".to_owned())),
                }
            }
            Self::ReadIndex => {
                let reply: IndexReply =
                    decode("answer", bytes).map_err(|error| broken(error.to_string()))?;
                reply.failure.map_or(Ok(Reply::Index(reply.index)), Err)
            }
        }
    }
}

impl Group {
    /// Takes the request to the leader, again and again until `patience` ends.
    pub(crate) async fn route(
        &self,
        request: Request,
        patience: Duration,
    ) -> Result<Reply, GivenUp> {
        let begun = Instant::now();
        let until = begun + patience;
        let mut attempts = Attempts::default();
        let mut last = FailureKind::NotLeader;
        let mut ambiguous = false;
        let mut hint = None;
        let mut stopped = None;
        while Instant::now() < until {
            let raft = match self.raft() {
                Ok(raft) => raft,
                Err(why) => {
                    last = FailureKind::Stopped;
                    stopped = Some(why);
                    break;
                }
            };
            let hinted = hint.take();
            attempts.leader = hinted.or_else(|| leader_of(raft));
            last = FailureKind::NotLeader;
            if let Some(leader) = attempts.leader
                && hinted.is_none()
                && !self.hears(leader)
            {
                attempts.note(leader, "it led, and is not heard any more".to_owned());
            } else if let Some(leader) = attempts.leader {
                let failure = match self.attempt(leader, &request, until).await {
                    Ok(reply) => return Ok(reply),
                    Err(failure) => failure,
                };
                hint = failure.leader.map(AgentId).filter(|hint| *hint != leader);
                attempts.note(leader, failure.message.clone());
                last = failure.kind();
                ambiguous |= last == FailureKind::Unknown;
            }
            if is_final(last) || (ambiguous && !request.is_safe_twice()) {
                break;
            }
            let pause = if last == FailureKind::Denied { DENIED_PAUSE } else { RETRY_PAUSE };
            tokio::time::sleep_until(until.min(Instant::now() + pause)).await;
        }
        attempts.waited = begun.elapsed();
        let kind = if ambiguous { FailureKind::Unknown } else { last };
        let said = attempts.tried.last().map(|(_, message)| message.clone());
        let message = stopped.or(said).unwrap_or_default();
        Err(GivenUp { kind, message, attempts })
    }

    /// Whether the leader was heard lately: what is sent to one that was not is most likely lost without an answer,
    /// and then nobody knows what became of it.
    fn hears(&self, leader: AgentId) -> bool {
        leader == self.0.config.me.id || self.0.heard.lately()
    }

    async fn attempt(
        &self,
        leader: AgentId,
        request: &Request,
        until: Instant,
    ) -> Result<Reply, Failure> {
        if leader == self.0.config.me.id {
            let done = self.unless_stopping(self.here(request, until)).await;
            return done.unwrap_or_else(|| Err(Failure::new(FailureKind::Unknown, STOPPING)));
        }
        if let Request::Propose(proposal) = request
            && is_leaders_own(&proposal.actor, &proposal.command)
        {
            let label = proposal.command.label();
            let why = format!("only the leader proposes {label}, and it leads no more");
            return Err(Failure::new(FailureKind::Invalid, why));
        }
        let raft = self.raft().map_err(|why| Failure::new(FailureKind::Stopped, why))?;
        let Some(peer) = address_of(raft, leader) else {
            return Err(Failure::new(FailureKind::NotLeader, "its address is not known"));
        };
        let patience = until.saturating_duration_since(Instant::now());
        let (kind, body) = request.message(patience);
        tokio::select! {
            biased;
            answer = self.0.link.ask(&peer, kind, body, patience) => {
                request.reply(&answer.map_err(unanswered)?)
            }
            () = succeeded(raft, leader), if request.is_safe_twice() => {
                Err(Failure::new(FailureKind::Unknown, "it was silent until another led"))
            }
        }
    }

    /// Does the request here, where this agent leads.
    pub(crate) async fn here(&self, request: &Request, until: Instant) -> Result<Reply, Failure> {
        match request {
            Request::Propose(_) if !self.0.link.gate.has_quorum() => {
                Err(Failure::new(FailureKind::NoQuorum, "it leads without a quorum"))
            }
            Request::Propose(proposal)
                if matches!(proposal.command, Command::RequestMembership(_)) =>
            {
                self.change_here(proposal, until).await.map(Reply::Outcome)
            }
            Request::Propose(proposal) => {
                let proposer =
                    self.proposer().map_err(|why| Failure::new(FailureKind::Stopped, why))?;
                proposer.propose(proposal, until).await.map(Reply::Outcome)
            }
            Request::ReadIndex => self.read_here(until).await.map(Reply::Index),
        }
    }

    async fn read_here(&self, until: Instant) -> Result<u64, Failure> {
        let raft = self.raft().map_err(|why| Failure::new(FailureKind::Stopped, why))?;
        let read = raft.get_read_linearizer(ReadPolicy::ReadIndex);
        let Ok(read) = tokio::time::timeout_at(until, read).await else {
            return Err(Failure::new(FailureKind::NoQuorum, "no quorum confirmed in time"));
        };
        match read {
            Ok(linearizer) => Ok(linearizer.read_log_id().index()),
            Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(forward))) => {
                Err(forwarded(&forward))
            }
            Err(RaftError::APIError(LinearizableReadError::QuorumNotEnough(_))) => {
                Err(Failure::new(FailureKind::NoQuorum, "it leads without a quorum"))
            }
            Err(RaftError::Fatal(fatal)) => {
                Err(Failure::new(FailureKind::Stopped, fatal.to_string()))
            }
        }
    }
}

/// Whether asking again cannot help.
fn is_final(kind: FailureKind) -> bool {
    match kind {
        FailureKind::Overloaded
        | FailureKind::AuditRefused
        | FailureKind::Invalid
        | FailureKind::Unspecified => true,
        FailureKind::Unknown
        // One that lags behind, or led before, may not know the asker yet; the next leader does.
        | FailureKind::Denied
        | FailureKind::NotLeader
        | FailureKind::NoQuorum
        | FailureKind::Stopped => false,
    }
}

/// What no answer means for the request.
fn unanswered(error: WireError) -> Failure {
    let message = error.to_string();
    match error {
        WireError::Refused(refusal) => {
            let kind = match refusal.reason {
                RefusalReason::Malformed => FailureKind::Invalid,
                RefusalReason::Denied => FailureKind::Denied,
                RefusalReason::Internal => FailureKind::Unknown,
                _ => FailureKind::NotLeader,
            };
            let leader = match refusal.reason {
                RefusalReason::NotLeader { leader } => leader.map(|leader| leader.0),
                _ => None,
            };
            Failure { leader, ..Failure::new(kind, message) }
        }
        WireError::NotConnected(_) => Failure::new(FailureKind::NotLeader, message),
        WireError::Unreachable(_) | WireError::Timeout(_) | WireError::Broken(_) => {
            Failure::new(FailureKind::Unknown, message)
        }
    }
}

/// Waits until another than `asked` is found to lead since: what is asked of the former one is most likely lost.
async fn succeeded(raft: &Raft, asked: AgentId) {
    let known = leader_of(raft);
    let mut metrics = raft.metrics();
    loop {
        let leader = leader_of(raft);
        if leader != known && leader.is_some_and(|leader| leader != asked) {
            return;
        }
        if metrics.changed().await.is_err() {
            // Raft is gone; the answer, or the patience, decides.
            std::future::pending::<()>().await;
        }
    }
}

pub(crate) fn leader_of(raft: &Raft) -> Option<AgentId> {
    raft.metrics().borrow_watched().current_leader.map(AgentId)
}

pub(crate) fn address_of(raft: &Raft, agent: AgentId) -> Option<PeerAddress> {
    let metrics = raft.metrics();
    let metrics = metrics.borrow_watched();
    let node = metrics.membership_config.get_node(&agent.0)?;
    Some(PeerAddress { id: agent, address: node.address.clone() })
}
