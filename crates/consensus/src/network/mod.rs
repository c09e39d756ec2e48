//! How openraft reaches the other members: its calls as messages over the [`Wire`].
//!
//! Every message names cluster, generation, group, receiver and both data directories. Whatever goes wrong on the way
//! is `Unreachable` to openraft, which then waits before it tries again; an answer that does not decode as well.
//! Pre-vote is implemented, because openraft's default answers itself with a grant. Snapshots go through
//! [`Wire::snapshot`], a channel of their own, in chunks. Nothing is retried here.

mod gate;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::{Either, select};
use holdfast_core::audit::Hash;
use holdfast_core::{AgentId, GroupId};
use holdfast_wire::peer::{MAX_CHUNK_BYTES, Message, MessageKind, PeerAddress, Wire, WireError};
use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use tokio::time::Instant;

use crate::clocks::Clocks;
use crate::codec::rpc::{self, Answer, Call};
use crate::codec::{self, CodecError};
use crate::types::{NodeRecord, RaftSnapshot, Types, Vote};
pub(crate) use gate::Gate;

/// Asks a node for its data directory and what it knows of the sender.
pub(crate) const IDENTIFY: MessageKind = MessageKind(32);

/// The slowest line on which replication still gets on: what carries entries gets this much more time.
const SLOWEST_BYTES_PER_SECOND: u64 = 256 * 1024;

/// What a peer may take to install a snapshot, besides the time of its transfer. An answer that is lost must not hold
/// replication up for as long as the largest snapshot may take.
const INSTALL_PATIENCE: Duration = Duration::from_secs(5);

/// This member's side of all conversations of one group.
pub(crate) struct Link {
    pub(crate) cluster: String,
    pub(crate) generation: u64,
    pub(crate) group: GroupId,
    pub(crate) me: AgentId,
    pub(crate) directory: u128,
    /// How long a peer may take to make entries durable.
    pub(crate) patience: Duration,
    pub(crate) wire: Arc<dyn Wire>,
    pub(crate) gate: Gate,
    pub(crate) clocks: Arc<Clocks>,
}

impl Link {
    fn message(&self, to: AgentId, kind: MessageKind, body: Bytes) -> Message {
        Message {
            cluster: self.cluster.clone(),
            generation: self.generation,
            group: self.group,
            from: self.me,
            to,
            kind,
            body,
        }
    }

    /// Asks `to`, waiting at most `timeout`.
    pub(crate) async fn ask(
        &self,
        to: &PeerAddress,
        kind: MessageKind,
        body: Bytes,
        timeout: Duration,
    ) -> Result<Bytes, WireError> {
        let call = self.wire.call(to, self.message(to.id, kind, body), timeout);
        tokio::time::timeout(timeout, call).await.unwrap_or(Err(WireError::Timeout(timeout)))
    }
}

/// Makes connections for openraft.
pub(crate) struct Network(pub(crate) Arc<Link>);

impl RaftNetworkFactory<Types> for Network {
    type Network = Peer;

    async fn new_client(&mut self, target: u64, node: &NodeRecord) -> Peer {
        let address = PeerAddress { id: AgentId(target), address: node.address.clone() };
        Peer { link: self.0.clone(), address, directory: node.directory }
    }
}

/// One peer, as openraft calls it.
pub(crate) struct Peer {
    link: Arc<Link>,
    address: PeerAddress,
    directory: u128,
}

impl Peer {
    async fn ask(
        &self,
        kind: MessageKind,
        body: Vec<u8>,
        timeout: Duration,
    ) -> Result<Bytes, RPCError<Types>> {
        let body = Call::encode(self.link.directory, self.directory, body);
        let sent = Instant::now();
        let answer = self.link.ask(&self.address, kind, body, timeout).await;
        let answer = answer.map_err(unreachable::<RPCError<Types>>)?;
        let answer = Answer::decode(&answer).map_err(undecodable)?;
        self.link.clocks.hear(self.address.id, answer.clock(), sent);
        Ok(answer.body)
    }

    /// How long an append may take. openraft allows one heartbeat interval for each, which a megabyte of entries on
    /// a slow line would exceed every time, so that the peer would never catch up. No heartbeat waits behind it: large
    /// messages are calls of their own on the wire.
    fn append_timeout(&self, option: &RPCOption, entries: usize, bytes: usize) -> Duration {
        if entries == 0 {
            return option.soft_ttl();
        }
        option.soft_ttl().max(self.link.patience) + transfer(bytes)
    }
}

/// How long so much takes on the slowest line.
fn transfer(bytes: usize) -> Duration {
    Duration::from_millis(bytes as u64 * 1000 / SLOWEST_BYTES_PER_SECOND)
}

fn unreachable<E: From<Unreachable<Types>>>(error: impl std::error::Error + 'static) -> E {
    Unreachable::new(&error).into()
}

fn undecodable(error: CodecError) -> RPCError<Types> {
    unreachable(error)
}

impl RaftNetworkV2<Types> for Peer {
    type SnapshotData = Bytes;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        let peer = self.address.id.0;
        if !self.link.gate.permits(peer) {
            return Err(Unreachable::from_string("this leader has lost its quorum").into());
        }
        let sent = Instant::now();
        let body = rpc::encode_append(&rpc);
        let timeout = self.append_timeout(&option, rpc.entries.len(), body.len());
        let answer = self.ask(MessageKind::AppendEntries, body, timeout).await?;
        let reply = rpc::decode_append_reply(&answer).map_err(undecodable)?;
        if !matches!(reply, AppendEntriesResponse::HigherVote(_)) {
            self.link.gate.acknowledge(peer, sent);
        }
        Ok(reply)
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        let answer =
            self.ask(MessageKind::Vote, rpc::encode_vote_request(&rpc), option.soft_ttl()).await?;
        rpc::decode_vote_reply(&answer).map_err(undecodable)
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        let answer = self
            .ask(MessageKind::PreVote, rpc::encode_vote_request(&rpc), option.soft_ttl())
            .await?;
        rpc::decode_vote_reply(&answer).map_err(undecodable)
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: RaftSnapshot,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let body = snapshot.snapshot;
        let meta = codec::encode_meta(&snapshot.meta);
        let head = rpc::snapshot_call(&vote, meta, body.len() as u64, Hash::of(&body).0);
        let head = Call::encode(self.link.directory, self.directory, head);
        let head = self.link.message(self.address.id, MessageKind::Snapshot, head);
        let timeout = option.soft_ttl().min(INSTALL_PATIENCE + transfer(body.len()));
        let chunks = futures_util::stream::iter(chunks_of(body)).boxed();
        let call = self.link.wire.snapshot(&self.address, head, chunks, timeout);
        let sent = tokio::time::timeout(timeout, call);
        let answer = match select(std::pin::pin!(sent), std::pin::pin!(cancel)).await {
            Either::Left((Ok(answer), _)) => {
                answer.map_err(unreachable::<StreamingError<Types>>)?
            }
            Either::Left((Err(_), _)) => return Err(unreachable(WireError::Timeout(timeout))),
            Either::Right((closed, _)) => return Err(closed.into()),
        };
        rpc::decode_vote_only(&answer).map(SnapshotResponse::new).map_err(unreachable)
    }

    async fn transfer_leader(
        &mut self,
        rpc: TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types>, RPCError<Types>> {
        self.ask(MessageKind::TransferLeader, rpc::encode_transfer(&rpc), option.soft_ttl())
            .await?;
        Ok(Ok(()))
    }
}

fn chunks_of(body: Bytes) -> impl Iterator<Item = Bytes> + Send {
    let starts = (0..body.len()).step_by(MAX_CHUNK_BYTES);
    starts.map(move |start| body.slice(start..body.len().min(start + MAX_CHUNK_BYTES)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_bounded_and_add_up() {
        for length in [0, 1, MAX_CHUNK_BYTES, MAX_CHUNK_BYTES + 1, 3 * MAX_CHUNK_BYTES] {
            let body = Bytes::from((0..length).map(|i| i.to_le_bytes()[0]).collect::<Vec<_>>());
            let chunks: Vec<Bytes> = chunks_of(body.clone()).collect();
            assert!(chunks.iter().all(|chunk| (1..=MAX_CHUNK_BYTES).contains(&chunk.len())));
            assert_eq!(chunks.concat(), body);
        }
    }
}
