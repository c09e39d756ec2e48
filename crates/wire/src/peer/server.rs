//! The receiving end: checks who speaks, and hands the message to the [`PeerHandler`].
//!
//! With TLS, only certificates of agents are heard, and only about the cluster that the certificate names. Whether
//! the message is for this cluster, group and node, and whether the certificate's name is its sender's, is the
//! handler's to say: it knows the members.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::BoxStream;
use futures_util::{FutureExt as _, StreamExt as _};
use holdfast_core::ActorKind;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Server, ServerTlsConfig};
use tonic::{Request, Response, Status, Streaming};

use super::envelope::{from_proto, refusal_to_proto};
use super::grpc::chain;
use super::line::MAX_ASKED;
use super::{MAX_MESSAGE_BYTES, PeerHandler, Refusal, RefusalReason, Sender, WireError};
use crate::pb::internal::v1 as pb;
use crate::pb::internal::v1::peer_service_server::{PeerService, PeerServiceServer};
use crate::tls::Identity;

/// How often a connection is tried while nothing else arrives.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(2);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(4);
/// Messages of one peer that are worked on at once.
const MAX_STREAMS: u32 = 512;
const STREAM_WINDOW: u32 = 2 * 1024 * 1024;
const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;

/// Why the peers' port is not served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The TLS configuration is not usable.
    #[error("the peers' TLS configuration is not usable: {0}")]
    Tls(String),
    /// The server ended.
    #[error("the peers' server on {address} ended: {why}")]
    Ended {
        /// Where it listened.
        address: String,
        /// What the transport says.
        why: String,
    },
}

#[derive(Clone)]
struct Peers {
    handler: Arc<dyn PeerHandler>,
    /// Whether senders must show an agent's certificate.
    identified: bool,
    /// Closed when no more questions are taken.
    open: watch::Receiver<()>,
}

/// Serves peers on `listener` until `shutdown`. Errors: TLS is not usable, or the transport failed.
pub async fn serve(
    listener: TcpListener,
    handler: Arc<dyn PeerHandler>,
    tls: Option<ServerTlsConfig>,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    let address =
        listener.local_addr().map_or_else(|_| "?".to_owned(), |a: SocketAddr| a.to_string());
    let mut server = Server::builder()
        .tcp_nodelay(true)
        .http2_keepalive_interval(Some(KEEP_ALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEP_ALIVE_TIMEOUT))
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    let (closing, open) = watch::channel(());
    let peers = Peers { handler, identified: tls.is_some(), open };
    if let Some(tls) = tls {
        server = server.tls_config(tls).map_err(|e| ServeError::Tls(chain(&e)))?;
    }
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let service = PeerServiceServer::new(peers)
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    let shutdown = async move {
        shutdown.await;
        drop(closing);
    };
    server
        .add_service(service)
        .serve_with_incoming_shutdown(incoming, shutdown)
        .await
        .map_err(|e| ServeError::Ended { address, why: chain(&e) })
}

/// Whom a connection's certificate entitles to speak.
struct Entitled {
    sender: Sender,
    /// About which cluster; about any where nobody proves anything.
    cluster: Option<String>,
}

impl Entitled {
    fn check(&self, head: &pb::PeerMessage) -> Result<(), Refusal> {
        match &self.cluster {
            Some(cluster) if *cluster != head.cluster => Err(denied(format!(
                "the certificate is of cluster {cluster}, the message of cluster {}",
                head.cluster
            ))),
            Some(_) | None => Ok(()),
        }
    }
}

fn denied(why: String) -> Refusal {
    Refusal::new(RefusalReason::Denied, why)
}

impl Peers {
    fn entitled<T>(&self, request: &Request<T>) -> Result<Entitled, Refusal> {
        if !self.identified {
            return Ok(Entitled { sender: Sender::Unproven, cluster: None });
        }
        let certificates = request.peer_certs();
        let leaf = certificates
            .as_deref()
            .and_then(|chain| chain.first())
            .ok_or_else(|| denied("the connection shows no certificate".to_owned()))?;
        let identity = Identity::of(leaf).map_err(|e| denied(e.to_string()))?;
        if identity.kind == ActorKind::Agent {
            let sender = Sender::Certified(identity.name);
            return Ok(Entitled { sender, cluster: identity.cluster });
        }
        Err(denied(format!(
            "the certificate of {} is no agent's; only agents may use the peers' port",
            identity.name
        )))
    }

    async fn answer(
        &self,
        entitled: Result<&Entitled, &Refusal>,
        message: pb::PeerMessage,
    ) -> pb::PeerReply {
        let answer = async {
            let entitled = entitled.map_err(Clone::clone)?;
            entitled.check(&message)?;
            self.handler.handle(&entitled.sender, from_proto(message)).await
        };
        reply(answer.await)
    }

    async fn answer_one(
        self,
        entitled: Arc<Result<Entitled, Refusal>>,
        question: Result<pb::Question, Status>,
    ) -> Result<pb::Answer, Status> {
        let pb::Question { number, message } = question?;
        let message = message.ok_or_else(|| Status::invalid_argument("an empty question"))?;
        let reply = self.answer(entitled.as_ref().as_ref(), message).await;
        Ok(pb::Answer { number, reply: Some(reply) })
    }
}

#[tonic::async_trait]
impl PeerService for Peers {
    async fn call(
        &self,
        request: Request<pb::PeerMessage>,
    ) -> Result<Response<pb::PeerReply>, Status> {
        let entitled = self.entitled(&request);
        Ok(Response::new(self.answer(entitled.as_ref(), request.into_inner()).await))
    }

    type ConverseStream = BoxStream<'static, Result<pb::Answer, Status>>;

    async fn converse(
        &self,
        request: Request<Streaming<pb::Question>>,
    ) -> Result<Response<Self::ConverseStream>, Status> {
        let entitled = Arc::new(self.entitled(&request));
        let (peers, mut open) = (self.clone(), self.open.clone());
        // A conversation has no end of its own, and would hold up the server's.
        let closing = async move { drop(open.changed().await) };
        let answers = request
            .into_inner()
            .take_until(closing.boxed())
            .map(move |question| peers.clone().answer_one(Arc::clone(&entitled), question))
            .buffer_unordered(MAX_ASKED);
        Ok(Response::new(answers.boxed()))
    }

    async fn snapshot(
        &self,
        request: Request<Streaming<pb::SnapshotFrame>>,
    ) -> Result<Response<pb::PeerReply>, Status> {
        let entitled = match self.entitled(&request) {
            Ok(entitled) => entitled,
            Err(refusal) => return Ok(Response::new(reply(Err(refusal)))),
        };
        let mut frames = request.into_inner();
        let Some(pb::SnapshotFrame { frame: Some(pb::snapshot_frame::Frame::Head(head)) }) =
            frames.message().await?
        else {
            let refusal = Refusal::new(RefusalReason::Malformed, "a snapshot begins with its head");
            return Ok(Response::new(reply(Err(refusal))));
        };
        if let Err(refusal) = entitled.check(&head) {
            return Ok(Response::new(reply(Err(refusal))));
        }
        let head = from_proto(head);
        let answer = self.handler.handle_snapshot(&entitled.sender, head, chunks(frames)).await;
        Ok(Response::new(reply(answer)))
    }
}

fn chunks(
    frames: Streaming<pb::SnapshotFrame>,
) -> BoxStream<'static, Result<bytes::Bytes, WireError>> {
    let chunk = |frame: Result<pb::SnapshotFrame, Status>| match frame {
        Ok(pb::SnapshotFrame { frame: Some(pb::snapshot_frame::Frame::Chunk(chunk)) }) => Ok(chunk),
        Ok(_) => Err(WireError::Broken("a snapshot's head is followed by chunks alone".to_owned())),
        Err(status) => Err(WireError::Unreachable(status.message().to_owned())),
    };
    frames.map(chunk).boxed()
}

fn reply(result: Result<bytes::Bytes, Refusal>) -> pb::PeerReply {
    let result = match result {
        Ok(body) => pb::peer_reply::Result::Body(body),
        Err(refusal) => pb::peer_reply::Result::Refusal(refusal_to_proto(refusal)),
    };
    pb::PeerReply { result: Some(result) }
}
