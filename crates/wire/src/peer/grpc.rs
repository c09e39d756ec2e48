//! [`Wire`] over gRPC: per peer one connection for questions and one for snapshots, opened when first used.
//!
//! A connection that fails is opened anew by the next message; a peer whose address changed gets new ones. Dead
//! peers are noticed by keep-alive, and every message has its own time limit. Whether a question that failed had left
//! is seen from whether the transport took it: it does so only once there is a connection. The many small ones share a
//! long-lived stream ([`Line`]); appends and proposals have one each, so that neither waits for the other.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt as _};
use holdfast_core::AgentId;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Response, Status};
use tonic_prost::ProstCodec;

use super::envelope::{refusal_from_proto, to_proto};
use super::line::Line;
use super::{
    MAX_CHUNK_BYTES, MAX_MESSAGE_BYTES, Message, MessageKind, PeerAddress, Wire, WireError,
};
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
/// The method that the generated client calls as well.
const CALL: PathAndQuery = PathAndQuery::from_static("/holdfast.internal.v1.PeerService/Call");
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
    calls: Grpc<Channel>,
    appends: Arc<Line>,
    proposals: Arc<Line>,
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
        let channel = self.channel(&to.address)?;
        let line = || Arc::new(Line::new(PeerServiceClient::new(channel.clone())));
        let peer = Peer {
            address: to.address.clone(),
            appends: line(),
            proposals: line(),
            calls: Grpc::new(channel.clone())
                .max_decoding_message_size(MAX_MESSAGE_BYTES)
                .max_encoding_message_size(MAX_MESSAGE_BYTES),
            snapshots: PeerServiceClient::new(self.channel(&to.address)?)
                .max_decoding_message_size(MAX_MESSAGE_BYTES),
        };
        if peers.len() >= MAX_PEERS && !peers.contains_key(&to.id) {
            peers.pop_first();
        }
        peers.insert(to.id, peer.clone());
        Ok(peer)
    }

    fn channel(&self, address: &str) -> Result<Channel, WireError> {
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
        Ok(endpoint.connect_lazy())
    }
}

async fn ask(
    mut calls: Grpc<Channel>,
    request: Request<Question>,
) -> Result<Response<pb::PeerReply>, Status> {
    calls.ready().await.map_err(|error| Status::from_error(error.into()))?;
    calls.client_streaming(request, CALL, ProstCodec::default()).await
}

#[async_trait]
impl Wire for GrpcWire {
    async fn call(
        &self,
        to: &PeerAddress,
        message: Message,
        timeout: Duration,
    ) -> Result<Bytes, WireError> {
        let Peer { calls, appends, proposals, .. } = self.peer(to)?;
        if Line::carries(message.kind, &message.body) {
            let appends = (message.kind == MessageKind::AppendEntries).then_some(appends);
            return appends.unwrap_or(proposals).ask(message, timeout).await;
        }
        let taken = Arc::new(AtomicBool::new(false));
        let question = Question { message: Some(to_proto(message)), taken: Arc::clone(&taken) };
        let mut request = Request::new(question);
        request.set_timeout(timeout);
        let failed = match tokio::time::timeout(timeout, ask(calls, request)).await {
            Err(_) => WireError::Timeout(timeout),
            Ok(Err(status)) => failure(&status, timeout),
            Ok(Ok(reply)) => return answer(reply.into_inner()),
        };
        Err(if taken.swap(true, Ordering::AcqRel) { failed } else { not_sent(failed) })
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

/// A question on its way, which notes when the transport takes it, and stays unsaid where whoever asked gave up first.
struct Question {
    message: Option<pb::PeerMessage>,
    taken: Arc<AtomicBool>,
}

impl Stream for Question {
    type Item = pb::PeerMessage;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let message = self.message.take();
        Poll::Ready(message.filter(|_| !self.taken.swap(true, Ordering::AcqRel)))
    }
}

/// What the failure of a question that never left is.
pub(super) fn not_sent(failed: WireError) -> WireError {
    match failed {
        WireError::Timeout(waited) => {
            WireError::NotConnected(format!("no connection within {waited:?}"))
        }
        WireError::Unreachable(why) | WireError::Broken(why) => WireError::NotConnected(why),
        WireError::NotConnected(_) | WireError::Refused(_) => failed,
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

pub(super) fn answer(reply: pb::PeerReply) -> Result<Bytes, WireError> {
    match reply.result {
        Some(pb::peer_reply::Result::Body(body)) => Ok(body),
        Some(pb::peer_reply::Result::Refusal(refusal)) => {
            Err(WireError::Refused(refusal_from_proto(refusal)))
        }
        None => Err(WireError::Broken("it has neither a body nor a refusal".to_owned())),
    }
}

pub(super) fn failure(status: &Status, timeout: Duration) -> WireError {
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
