//! [`Wire`] over gRPC: per peer one connection for questions and one for snapshots, opened when first used.
//!
//! A connection that fails is opened anew by the next message; a peer whose address changed gets new ones. Dead
//! peers are noticed by keep-alive, and every message has its own time limit.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt as _};
use holdfast_core::AgentId;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Status};

use super::envelope::{refusal_from_proto, to_proto};
use super::{MAX_CHUNK_BYTES, MAX_MESSAGE_BYTES, Message, PeerAddress, Wire, WireError};
use crate::pb::internal::v1 as pb;
use crate::pb::internal::v1::peer_service_client::PeerServiceClient;

/// The most peers that connections are kept for; one more drops the connections of another.
const MAX_PEERS: usize = 256;
/// How long opening a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// How often an idle connection is tried.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(2);
/// How long a keep-alive may go unanswered.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(2);
/// Flow control: what one message and one connection may have in flight.
const STREAM_WINDOW: u32 = 2 * 1024 * 1024;
const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;

/// How peers are reached.
#[derive(Debug, Clone, Default)]
pub struct GrpcWireConfig {
    /// Our certificate and whom we trust; plaintext where absent.
    pub tls: Option<ClientTlsConfig>,
}

/// [`Wire`] over gRPC.
#[derive(Debug)]
pub struct GrpcWire {
    config: GrpcWireConfig,
    peers: Mutex<BTreeMap<AgentId, Peer>>,
}

#[derive(Debug, Clone)]
struct Peer {
    address: String,
    calls: PeerServiceClient<Channel>,
    snapshots: PeerServiceClient<Channel>,
}

impl GrpcWire {
    /// A wire without connections yet.
    pub fn new(config: GrpcWireConfig) -> Self {
        Self { config, peers: Mutex::new(BTreeMap::new()) }
    }

    fn peer(&self, to: &PeerAddress) -> Result<Peer, WireError> {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(peer) = peers.get(&to.id).filter(|peer| peer.address == to.address) {
            return Ok(peer.clone());
        }
        let peer = Peer {
            address: to.address.clone(),
            calls: self.client(&to.address)?,
            snapshots: self.client(&to.address)?,
        };
        if peers.len() >= MAX_PEERS && !peers.contains_key(&to.id) {
            peers.pop_first();
        }
        peers.insert(to.id, peer.clone());
        Ok(peer)
    }

    fn client(&self, address: &str) -> Result<PeerServiceClient<Channel>, WireError> {
        let scheme = if self.config.tls.is_some() { "https" } else { "http" };
        let wrong = |e: tonic::transport::Error| {
            WireError::Unreachable(format!("{address:?} is not usable: {}", chain(&e)))
        };
        let mut endpoint = Endpoint::from_shared(format!("{scheme}://{address}"))
            .map_err(wrong)?
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW);
        if let Some(tls) = &self.config.tls {
            endpoint = endpoint.tls_config(tls.clone()).map_err(wrong)?;
        }
        Ok(PeerServiceClient::new(endpoint.connect_lazy())
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES))
    }
}

#[async_trait]
impl Wire for GrpcWire {
    async fn call(
        &self,
        to: &PeerAddress,
        message: Message,
        timeout: Duration,
    ) -> Result<Bytes, WireError> {
        let mut client = self.peer(to)?.calls;
        let mut request = Request::new(to_proto(message));
        request.set_timeout(timeout);
        match tokio::time::timeout(timeout, client.call(request)).await {
            Err(_) => Err(WireError::Timeout(timeout)),
            Ok(Err(status)) => Err(failure(&status, timeout)),
            Ok(Ok(reply)) => answer(reply.into_inner()),
        }
    }

    async fn snapshot(
        &self,
        to: &PeerAddress,
        head: Message,
        chunks: BoxStream<'static, Bytes>,
        timeout: Duration,
    ) -> Result<Bytes, WireError> {
        let mut client = self.peer(to)?.snapshots;
        let frames = Frames { head: Some(to_proto(head)), chunks };
        let mut request = Request::new(frames);
        request.set_timeout(timeout);
        match tokio::time::timeout(timeout, client.snapshot(request)).await {
            Err(_) => Err(WireError::Timeout(timeout)),
            Ok(Err(status)) => Err(failure(&status, timeout)),
            Ok(Ok(reply)) => answer(reply.into_inner()),
        }
    }
}

/// A snapshot on its way: the head, then the chunks. A type of its own, because the compiler cannot prove a mapped
/// stream `Send` inside a boxed future.
struct Frames {
    head: Option<pb::PeerMessage>,
    chunks: BoxStream<'static, Bytes>,
}

impl Stream for Frames {
    type Item = pb::SnapshotFrame;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        use pb::snapshot_frame::Frame;
        let frame = |frame| pb::SnapshotFrame { frame: Some(frame) };
        if let Some(head) = self.head.take() {
            return Poll::Ready(Some(frame(Frame::Head(head))));
        }
        self.chunks.poll_next_unpin(context).map(|chunk| {
            chunk.map(|chunk| {
                debug_assert!(chunk.len() <= MAX_CHUNK_BYTES, "senders cut snapshots to size");
                frame(Frame::Chunk(chunk))
            })
        })
    }
}

fn answer(reply: pb::PeerReply) -> Result<Bytes, WireError> {
    match reply.result {
        Some(pb::peer_reply::Result::Body(body)) => Ok(body),
        Some(pb::peer_reply::Result::Refusal(refusal)) => {
            Err(WireError::Refused(refusal_from_proto(refusal)))
        }
        None => Err(WireError::Broken("it has neither a body nor a refusal".to_owned())),
    }
}

fn failure(status: &Status, timeout: Duration) -> WireError {
    match status.code() {
        Code::DeadlineExceeded | Code::Cancelled => WireError::Timeout(timeout),
        Code::OutOfRange | Code::Internal | Code::DataLoss => {
            WireError::Broken(status.message().to_owned())
        }
        _ => {
            let text = match std::error::Error::source(status) {
                Some(source) => format!("{}: {}", status.message(), chain(source)),
                None => status.message().to_owned(),
            };
            if is_unconnected(status) {
                WireError::NotConnected(text)
            } else {
                WireError::Unreachable(text)
            }
        }
    }
}

/// Whether the status stems from a connection that could not be opened.
fn is_unconnected(status: &Status) -> bool {
    let mut source = std::error::Error::source(status);
    while let Some(cause) = source {
        if cause.is::<tonic::ConnectError>() {
            return true;
        }
        source = cause.source();
    }
    false
}

/// An error with its sources: transport errors say the interesting part last.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = cause.source();
    }
    text
}
