//! What a member answers to its peers.
//!
//! First the address: cluster, receiver, group, generation. Then the sender: its certificate, and whether it is a
//! member. Then, for Raft's own messages, the start-up hold (no promise of an earlier life may still be in force) and
//! the data directories of both ends (a member that lost its log must neither vote nor acknowledge). Only then Raft
//! hears the message.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use holdfast_core::AgentId;
use holdfast_core::audit::Hash;
use holdfast_wire::command;
use holdfast_wire::outcome;
use holdfast_wire::peer::{Message, MessageKind, Refusal, RefusalReason, Sender, WireError};
use openraft::async_runtime::WatchReceiver as _;
use tokio::time::Instant;

use super::route::{Reply, Request};
use super::sender::check_vote;
use super::{Group, Raft};
use crate::codec::rpc::{
    self, Answer, Call, Failure, FailureKind, IdentifyReply, IndexReply, ProposeCall, ProposeReply,
    ProposeResult, SnapshotCall,
};
use crate::codec::{self, CodecError, decode, encode};
use crate::network::IDENTIFY;
use crate::types::RaftSnapshot;

/// The largest snapshot that is taken.
const MAX_SNAPSHOT_BYTES: u64 = 1 << 30;

/// When the leader was last heard.
pub(crate) struct Heard {
    last: Mutex<Option<Instant>>,
    patience: Duration,
}

impl Heard {
    pub(crate) fn new(patience: Duration) -> Self {
        Self { last: Mutex::new(None), patience }
    }

    fn now(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    pub(crate) fn lately(&self) -> bool {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.is_some_and(|last| last.elapsed() <= self.patience)
    }
}

/// Whether the kind of message is one that groups answer.
pub(crate) fn is_served(kind: MessageKind) -> bool {
    is_raft(kind)
        || matches!(kind, MessageKind::Propose | MessageKind::ReadIndex)
        || kind == IDENTIFY
}

pub(super) fn is_raft(kind: MessageKind) -> bool {
    matches!(
        kind,
        MessageKind::Vote
            | MessageKind::PreVote
            | MessageKind::AppendEntries
            | MessageKind::TransferLeader
            | MessageKind::Snapshot
    )
}

fn malformed(error: CodecError) -> Refusal {
    Refusal::new(RefusalReason::Malformed, error.to_string())
}

fn internal(error: impl std::fmt::Display) -> Refusal {
    Refusal::new(RefusalReason::Internal, error.to_string())
}

impl Group {
    /// Answers a message of a peer. Errors: it is not for this group, the sender may not send it, or this member does
    /// not take part yet.
    pub async fn handle(&self, sender: &Sender, message: Message) -> Result<Bytes, Refusal> {
        let answer = self.until_stop(self.answer(sender, message)).await;
        if let Err(refusal) = &answer {
            self.note_refusal(refusal);
        }
        answer
    }

    /// Takes a snapshot that the leader sends. Errors: as [`Group::handle`], or it arrived damaged.
    pub async fn handle_snapshot(
        &self,
        sender: &Sender,
        head: Message,
        chunks: BoxStream<'static, Result<Bytes, WireError>>,
    ) -> Result<Bytes, Refusal> {
        let answer = self.until_stop(self.answer_snapshot(sender, head, chunks)).await;
        if let Err(refusal) = &answer {
            self.note_refusal(refusal);
        }
        answer
    }

    pub(super) fn note_refusal(&self, refusal: &Refusal) {
        let reason = match refusal.reason {
            RefusalReason::WrongCluster => "wrong_cluster",
            RefusalReason::WrongNode => "wrong_node",
            RefusalReason::UnknownGroup => "unknown_group",
            RefusalReason::OldGeneration => "old_generation",
            RefusalReason::StartingUp => "starting_up",
            RefusalReason::NotLeader { .. } => "not_leader",
            RefusalReason::UnknownKind => "unknown_kind",
            RefusalReason::Malformed => "malformed",
            RefusalReason::Denied => "denied",
            RefusalReason::Busy => "busy",
            RefusalReason::Internal => "internal",
        };
        crate::metrics::refused(&self.0.label, reason);
        if refusal.reason == RefusalReason::Denied {
            tracing::warn!(message = refusal.message, "a peer said what it may not say");
        } else {
            tracing::debug!(reason, message = refusal.message, "a peer's message was refused");
        }
    }

    async fn answer(&self, sender: &Sender, message: Message) -> Result<Bytes, Refusal> {
        self.check_address(&message)?;
        self.entitled(sender, &message)?;
        let body = message.body.clone();
        match message.kind {
            IDENTIFY => Ok(self.identify(&message)),
            MessageKind::Propose => self.answer_proposal(message.from, &body).await,
            MessageKind::ReadIndex => Ok(self.answer_read().await),
            kind if is_raft(kind) => {
                let raft = self.ready(&message)?;
                let body = self.check_directories(&message)?.body;
                self.answer_raft(raft, &message, &body).await
            }
            kind => Err(Refusal::new(
                RefusalReason::UnknownKind,
                format!("messages of kind {} are unknown here; start a newer version", kind.0),
            )),
        }
    }

    async fn answer_raft(
        &self,
        raft: &Raft,
        message: &Message,
        body: &[u8],
    ) -> Result<Bytes, Refusal> {
        let from = message.from;
        let bytes = match message.kind {
            MessageKind::Vote => {
                let rpc = rpc::decode_vote_request(body).map_err(malformed)?;
                check_vote(&rpc.vote, from)?;
                rpc::encode_vote_reply(&raft.vote(rpc).await.map_err(internal)?)
            }
            MessageKind::PreVote => {
                let rpc = rpc::decode_vote_request(body).map_err(malformed)?;
                check_vote(&rpc.vote, from)?;
                rpc::encode_vote_reply(&raft.pre_vote(rpc).await.map_err(internal)?)
            }
            MessageKind::AppendEntries => {
                let rpc = rpc::decode_append(body).map_err(malformed)?;
                check_vote(&rpc.vote, from)?;
                let reply = raft.append_entries(rpc).await.map_err(internal)?;
                if !matches!(reply, openraft::raft::AppendEntriesResponse::HigherVote(_)) {
                    self.0.heard.now();
                }
                rpc::encode_append_reply(&reply)
            }
            _ => {
                let rpc = rpc::decode_transfer(body).map_err(malformed)?;
                check_vote(rpc.from_leader(), from)?;
                let taken = raft.handle_transfer_leader(rpc).await.map_err(internal)?;
                taken.map_err(|error| Refusal::new(RefusalReason::Busy, error.to_string()))?;
                Vec::new()
            }
        };
        Ok(Answer::encode(bytes, self.0.link.clocks.own()))
    }

    async fn answer_snapshot(
        &self,
        sender: &Sender,
        head: Message,
        mut chunks: BoxStream<'static, Result<Bytes, WireError>>,
    ) -> Result<Bytes, Refusal> {
        self.check_address(&head)?;
        self.entitled(sender, &head)?;
        let raft = self.ready(&head)?;
        let call = self.check_directories(&head)?;
        let call: SnapshotCall = decode("snapshot call", &call.body).map_err(malformed)?;
        let vote = call.leader_vote().map_err(malformed)?;
        check_vote(&vote, head.from)?;
        let damaged =
            |why: &str| Refusal::new(RefusalReason::Malformed, format!("the snapshot {why}"));
        if call.length > MAX_SNAPSHOT_BYTES {
            return Err(damaged("is larger than 1 GiB"));
        }
        let mut body = BytesMut::new();
        while let Some(chunk) = chunks.next().await {
            body.extend_from_slice(&chunk.map_err(|error| damaged(&error.to_string()))?);
            if body.len() as u64 > call.length {
                return Err(damaged("is longer than announced"));
            }
        }
        let body = body.freeze();
        if body.len() as u64 != call.length || Hash::of(&body).0.as_slice() != call.sha256 {
            return Err(damaged("did not arrive whole"));
        }
        let meta = codec::decode_meta(&call.meta).map_err(malformed)?;
        let snapshot = RaftSnapshot { meta, snapshot: body };
        let reply = raft.install_full_snapshot(vote, snapshot).await.map_err(internal)?;
        self.0.heard.now();
        Ok(rpc::encode_vote_only(&reply.vote).into())
    }

    async fn answer_proposal(&self, from: AgentId, body: &[u8]) -> Result<Bytes, Refusal> {
        let call: ProposeCall = decode("proposal", body).map_err(malformed)?;
        let proposal = command::decode(&call.proposal)
            .map_err(|error| Refusal::new(RefusalReason::Malformed, error.to_string()))?;
        self.check_forwarded(from, &proposal)?;
        let until = Instant::now() + self.bounded(call.patience_ms);
        let result = match self.here(&Request::Propose(Box::new(proposal)), until).await {
            Ok(Reply::Outcome(outcome)) => ProposeResult::Outcome(outcome::encode(&outcome).into()),
            Ok(Reply::Index(_)) => {
                ProposeResult::Failure(Failure::new(FailureKind::Unspecified, "no outcome"))
            }
            Err(failure) => ProposeResult::Failure(failure),
        };
        Ok(encode(&ProposeReply { result: Some(result) }).into())
    }

    async fn answer_read(&self) -> Bytes {
        let until = Instant::now() + self.0.config.patience;
        index_reply(self.here(&Request::ReadIndex, until).await)
    }

    fn identify(&self, message: &Message) -> Bytes {
        let yours = self.raft().ok().and_then(|raft| {
            let metrics = raft.metrics();
            let metrics = metrics.borrow_watched();
            metrics.membership_config.get_node(&message.from.0).map(|node| node.directory)
        });
        encode(&IdentifyReply::new(self.0.link.directory, yours)).into()
    }

    fn bounded(&self, patience_ms: u64) -> Duration {
        Duration::from_millis(patience_ms).min(Duration::from_millis(MAX_PATIENCE_MS))
    }

    fn check_address(&self, message: &Message) -> Result<(), Refusal> {
        let link = &self.0.link;
        let refuse = |reason, text: String| Err(Refusal::new(reason, text));
        if message.cluster != link.cluster {
            let text = format!("this is cluster {:?}, not {:?}", link.cluster, message.cluster);
            return refuse(RefusalReason::WrongCluster, text);
        }
        if message.to != link.me {
            let text = format!("this is agent {}, not {}; check its address", link.me, message.to);
            return refuse(RefusalReason::WrongNode, text);
        }
        if message.group != link.group {
            let text = format!("agent {} is not in group {}", link.me, message.group);
            return refuse(RefusalReason::UnknownGroup, text);
        }
        if message.generation != link.generation {
            let (theirs, ours) = (message.generation, link.generation);
            let text = format!(
                "the message is of generation {theirs}, this agent of {ours}: the group was recovered by force; the \
                 older one must be emptied and join again"
            );
            return refuse(RefusalReason::OldGeneration, text);
        }
        Ok(())
    }

    /// Raft, once this member takes part.
    fn ready(&self, _message: &Message) -> Result<&Raft, Refusal> {
        let raft = self.raft().map_err(internal)?;
        if self.0.hold_until.is_some_and(|until| Instant::now() < until) {
            let text = "it has just restarted and takes part in a moment";
            return Err(Refusal::new(RefusalReason::StartingUp, text));
        }
        Ok(raft)
    }

    /// The message, if both ends are who the membership says they are.
    fn check_directories(&self, message: &Message) -> Result<Call, Refusal> {
        let call = Call::decode(&message.body).map_err(malformed)?;
        let (own, from) = (self.0.link.directory, message.from);
        if call.to() != 0 && call.to() != own {
            let me = self.0.link.me;
            let text = format!(
                "agent {me} has lost its data directory; run `holdfast cluster remove {me}` on another agent and let \
                 it join under a new id"
            );
            tracing::error!(sender = %from, "the cluster knows this agent with another data directory: {text}");
            return Err(Refusal::new(RefusalReason::Denied, text));
        }
        let raft = self.raft().map_err(internal)?;
        let metrics = raft.metrics();
        let metrics = metrics.borrow_watched();
        let known = metrics.membership_config.get_node(&from.0).map_or(0, |node| node.directory);
        if known != 0 && call.from() != 0 && known != call.from() {
            let text = format!(
                "agent {from} is a member with another data directory; a wiped member must join under a new id"
            );
            return Err(Refusal::new(RefusalReason::Denied, text));
        }
        Ok(call)
    }
}

/// The longest that a peer may ask this agent to work on something.
const MAX_PATIENCE_MS: u64 = 300_000;

fn index_reply(result: Result<Reply, Failure>) -> Bytes {
    let reply = match result {
        Ok(Reply::Index(index)) => IndexReply { index, failure: None },
        Ok(Reply::Outcome(outcome)) => IndexReply { index: outcome.index, failure: None },
        Err(failure) => IndexReply { index: 0, failure: Some(failure) },
    };
    encode(&reply).into()
}
