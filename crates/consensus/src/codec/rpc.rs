//! Bodies of the peer messages that this crate sends.
//!
//! Every Raft message travels in a [`Call`] that names the data directories of both ends, so that a node that lost
//! its log is recognised before it can vote or acknowledge; what it is answered with travels in an [`Answer`].

use bytes::Bytes;
use holdfast_core::Timestamp;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, TransferLeaderRequest, VoteRequest, VoteResponse,
};

use super::record::{
    LogIdRecord, VoteRecord, decode_entry, encode_entry, log_id_of, log_id_record, vote_of,
    vote_record,
};
use super::{CodecError, decode, encode, require};
use crate::types::{Types, Vote};

/// A Raft message between two data directories.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Call {
    #[prost(bytes = "bytes", tag = "1")]
    from: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    to: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    pub(crate) body: Bytes,
}

impl Call {
    pub(crate) fn encode(from: u128, to: u128, body: Vec<u8>) -> Bytes {
        let bytes = |id: u128| Bytes::copy_from_slice(&id.to_be_bytes());
        encode(&Self { from: bytes(from), to: bytes(to), body: body.into() }).into()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        decode("raft message", bytes)
    }

    /// The sender's directory; 0 when it names none.
    pub(crate) fn from(&self) -> u128 {
        directory(&self.from)
    }

    /// The directory that the sender believes to speak to; 0 when it names none.
    pub(crate) fn to(&self) -> u128 {
        directory(&self.to)
    }
}

/// The answer to a Raft message, and what the answering member's wall clock shows.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Answer {
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) body: Bytes,
    #[prost(uint64, tag = "2")]
    clock_ms: u64,
}

impl Answer {
    pub(crate) fn encode(body: Vec<u8>, clock: Timestamp) -> Bytes {
        encode(&Self { body: body.into(), clock_ms: clock.0 }).into()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        decode("raft answer", bytes)
    }

    pub(crate) fn clock(&self) -> Timestamp {
        Timestamp(self.clock_ms)
    }
}

fn directory(bytes: &[u8]) -> u128 {
    bytes.try_into().map_or(0, u128::from_be_bytes)
}

#[derive(Clone, PartialEq, prost::Message)]
struct VoteCall {
    #[prost(message, optional, tag = "1")]
    vote: Option<VoteRecord>,
    #[prost(message, optional, tag = "2")]
    last: Option<LogIdRecord>,
    #[prost(bool, tag = "3")]
    transfer: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct VoteReply {
    #[prost(message, optional, tag = "1")]
    vote: Option<VoteRecord>,
    #[prost(message, optional, tag = "2")]
    last: Option<LogIdRecord>,
    #[prost(bool, tag = "3")]
    granted: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct AppendCall {
    #[prost(message, optional, tag = "1")]
    vote: Option<VoteRecord>,
    #[prost(message, optional, tag = "2")]
    previous: Option<LogIdRecord>,
    #[prost(bytes = "bytes", repeated, tag = "3")]
    entries: Vec<Bytes>,
    #[prost(message, optional, tag = "4")]
    commit: Option<LogIdRecord>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Partial {
    #[prost(message, optional, tag = "1")]
    upto: Option<LogIdRecord>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum AppendResult {
    #[prost(bool, tag = "1")]
    Success(bool),
    #[prost(message, tag = "2")]
    Partial(Partial),
    #[prost(bool, tag = "3")]
    Conflict(bool),
    #[prost(message, tag = "4")]
    HigherVote(VoteRecord),
}

#[derive(Clone, PartialEq, prost::Message)]
struct AppendReply {
    #[prost(oneof = "AppendResult", tags = "1, 2, 3, 4")]
    result: Option<AppendResult>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct TransferCall {
    #[prost(message, optional, tag = "1")]
    vote: Option<VoteRecord>,
    #[prost(uint64, tag = "2")]
    to: u64,
    #[prost(message, optional, tag = "3")]
    last: Option<LogIdRecord>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct VoteOnly {
    #[prost(message, optional, tag = "1")]
    vote: Option<VoteRecord>,
}

/// Announces a snapshot whose body follows in chunks.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SnapshotCall {
    #[prost(message, optional, tag = "1")]
    pub(crate) vote: Option<VoteRecord>,
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) meta: Bytes,
    #[prost(uint64, tag = "3")]
    pub(crate) length: u64,
    #[prost(bytes = "bytes", tag = "4")]
    pub(crate) sha256: Bytes,
}

/// A command for the leader, and how long its sender waits.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ProposeCall {
    #[prost(uint64, tag = "1")]
    pub(crate) patience_ms: u64,
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) proposal: Bytes,
}

/// Why a leader did not answer a proposal.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Failure {
    #[prost(enumeration = "FailureKind", tag = "1")]
    pub(crate) kind: i32,
    #[prost(uint64, optional, tag = "2")]
    pub(crate) leader: Option<u64>,
    #[prost(string, tag = "3")]
    pub(crate) message: String,
}

/// The kinds of [`Failure`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub(crate) enum FailureKind {
    Unspecified = 0,
    /// Not appended: the node does not lead.
    NotLeader = 1,
    /// Not appended: no quorum.
    NoQuorum = 2,
    /// Not appended: too much to do.
    Overloaded = 3,
    /// Not appended: the audit store refuses.
    AuditRefused = 4,
    /// Appended, and nobody knows what became of it.
    Unknown = 5,
    /// Not appended: the group has stopped there.
    Stopped = 6,
    /// Not appended: the request makes no sense.
    Invalid = 7,
    /// Not appended: the node denies that the asker may ask. Known by its refusal, never sent.
    Denied = 8,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum ProposeResult {
    #[prost(bytes = "bytes", tag = "1")]
    Outcome(Bytes),
    #[prost(message, tag = "2")]
    Failure(Failure),
}

/// What a leader answers to a proposal.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ProposeReply {
    #[prost(oneof = "ProposeResult", tags = "1, 2")]
    pub(crate) result: Option<ProposeResult>,
}

/// What a leader answers to a read-index request.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct IndexReply {
    #[prost(uint64, tag = "1")]
    pub(crate) index: u64,
    #[prost(message, optional, tag = "2")]
    pub(crate) failure: Option<Failure>,
}

/// Asks who a node is.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct IdentifyReply {
    /// The answering node's data directory.
    #[prost(bytes = "bytes", tag = "1")]
    directory: Bytes,
    /// The directory under which the answering node knows the asking one, where it knows it as a member.
    #[prost(bytes = "bytes", optional, tag = "2")]
    known: Option<Bytes>,
}

impl IdentifyReply {
    pub(crate) fn new(own: u128, yours: Option<u128>) -> Self {
        let bytes = |id: u128| Bytes::copy_from_slice(&id.to_be_bytes());
        Self { directory: bytes(own), known: yours.map(bytes) }
    }

    pub(crate) fn directory(&self) -> u128 {
        directory(&self.directory)
    }

    pub(crate) fn yours(&self) -> Option<u128> {
        self.known.as_deref().map(directory)
    }
}

pub(crate) fn encode_vote_request(rpc: &VoteRequest<Types>) -> Vec<u8> {
    encode(&VoteCall {
        vote: Some(vote_record(&rpc.vote)),
        last: rpc.last_log_id.as_ref().map(log_id_record),
        transfer: rpc.leadership_transfer,
    })
}

pub(crate) fn decode_vote_request(bytes: &[u8]) -> Result<VoteRequest<Types>, CodecError> {
    let call: VoteCall = decode("vote request", bytes)?;
    let vote = vote_of(&require(call.vote, "vote request", "vote")?)?;
    let mut rpc = VoteRequest::new(vote, call.last.as_ref().map(log_id_of));
    rpc.leadership_transfer = call.transfer;
    Ok(rpc)
}

pub(crate) fn encode_vote_reply(reply: &VoteResponse<Types>) -> Vec<u8> {
    encode(&VoteReply {
        vote: Some(vote_record(&reply.vote)),
        last: reply.last_log_id.as_ref().map(log_id_record),
        granted: reply.vote_granted,
    })
}

pub(crate) fn decode_vote_reply(bytes: &[u8]) -> Result<VoteResponse<Types>, CodecError> {
    let reply: VoteReply = decode("vote reply", bytes)?;
    let vote = vote_of(&require(reply.vote, "vote reply", "vote")?)?;
    Ok(VoteResponse::new(vote, reply.last.as_ref().map(log_id_of), reply.granted))
}

pub(crate) fn encode_append(rpc: &AppendEntriesRequest<Types>) -> Vec<u8> {
    encode(&AppendCall {
        vote: Some(vote_record(&rpc.vote)),
        previous: rpc.prev_log_id.as_ref().map(log_id_record),
        entries: rpc.entries.iter().map(|entry| encode_entry(entry).into()).collect(),
        commit: rpc.leader_commit.as_ref().map(log_id_record),
    })
}

pub(crate) fn decode_append(bytes: &[u8]) -> Result<AppendEntriesRequest<Types>, CodecError> {
    let call: AppendCall = decode("append", bytes)?;
    Ok(AppendEntriesRequest {
        vote: vote_of(&require(call.vote, "append", "vote")?)?,
        prev_log_id: call.previous.as_ref().map(log_id_of),
        entries: call.entries.iter().map(|bytes| decode_entry(bytes)).collect::<Result<_, _>>()?,
        leader_commit: call.commit.as_ref().map(log_id_of),
    })
}

pub(crate) fn encode_append_reply(reply: &AppendEntriesResponse<Types>) -> Vec<u8> {
    let result = match reply {
        AppendEntriesResponse::Success => AppendResult::Success(true),
        AppendEntriesResponse::PartialSuccess(upto) => {
            AppendResult::Partial(Partial { upto: upto.as_ref().map(log_id_record) })
        }
        AppendEntriesResponse::Conflict => AppendResult::Conflict(true),
        AppendEntriesResponse::HigherVote(vote) => AppendResult::HigherVote(vote_record(vote)),
    };
    encode(&AppendReply { result: Some(result) })
}

pub(crate) fn decode_append_reply(
    bytes: &[u8],
) -> Result<AppendEntriesResponse<Types>, CodecError> {
    let reply: AppendReply = decode("append reply", bytes)?;
    Ok(match require(reply.result, "append reply", "result")? {
        AppendResult::Success(_) => AppendEntriesResponse::Success,
        AppendResult::Partial(partial) => {
            AppendEntriesResponse::PartialSuccess(partial.upto.as_ref().map(log_id_of))
        }
        AppendResult::Conflict(_) => AppendEntriesResponse::Conflict,
        AppendResult::HigherVote(vote) => AppendEntriesResponse::HigherVote(vote_of(&vote)?),
    })
}

pub(crate) fn encode_transfer(rpc: &TransferLeaderRequest<Types>) -> Vec<u8> {
    encode(&TransferCall {
        vote: Some(vote_record(rpc.from_leader())),
        to: *rpc.to_node_id(),
        last: rpc.last_log_id().map(log_id_record),
    })
}

pub(crate) fn decode_transfer(bytes: &[u8]) -> Result<TransferLeaderRequest<Types>, CodecError> {
    let call: TransferCall = decode("transfer", bytes)?;
    let vote = vote_of(&require(call.vote, "transfer", "vote")?)?;
    Ok(TransferLeaderRequest::new(vote, call.to, call.last.as_ref().map(log_id_of)))
}

pub(crate) fn encode_vote_only(vote: &Vote) -> Vec<u8> {
    encode(&VoteOnly { vote: Some(vote_record(vote)) })
}

pub(crate) fn decode_vote_only(bytes: &[u8]) -> Result<Vote, CodecError> {
    let reply: VoteOnly = decode("snapshot reply", bytes)?;
    vote_of(&require(reply.vote, "snapshot reply", "vote")?)
}

pub(crate) fn snapshot_call(vote: &Vote, meta: Vec<u8>, length: u64, sha256: [u8; 32]) -> Vec<u8> {
    encode(&SnapshotCall {
        vote: Some(vote_record(vote)),
        meta: meta.into(),
        length,
        sha256: Bytes::copy_from_slice(&sha256),
    })
}

impl SnapshotCall {
    pub(crate) fn leader_vote(&self) -> Result<Vote, CodecError> {
        vote_of(&require(self.vote.clone(), "snapshot call", "vote")?)
    }
}
