//! The receiving end: checks who speaks, and hands the message to the [`PeerHandler`].
//!
//! With TLS, only certificates of agents are heard, and only about the cluster that the certificate names. Whether
//! the message is for this cluster, group and node, and whether the certificate's name is its sender's, is the
//! handler's to say: it knows the members.
//!
//! While a conversation lasts, its questions are worked on also when nobody reads the answers: a handler driven by its
//! reader could be frozen with all that it holds, and its time limit with it. What one connection may have under way
//! is bounded over all its conversations.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use futures_util::stream::BoxStream;
use futures_util::{FutureExt as _, StreamExt as _};
use holdfast_core::ActorKind;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio_util::task::AbortOnDropHandle;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Server, ServerTlsConfig};
use tonic::{Request, Response, Status, Streaming};

use super::envelope::{from_proto, refusal_to_proto};
use super::grpc::chain;
use super::line::{Line, MAX_ASKED};
use super::{
    MAX_MESSAGE_BYTES, MessageKind, PeerHandler, Refusal, RefusalReason, Sender, WireError,
};
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
    /// By the connection that converses.
    places: Arc<Mutex<BTreeMap<Option<SocketAddr>, Weak<Places>>>>,
}

/// What the conversations of one connection may have under way; appends and proposals do not wait for each other.
#[derive(Debug)]
struct Places {
    appends: Semaphore,
    proposals: Semaphore,
}

impl Default for Places {
    fn default() -> Self {
        Self { appends: Semaphore::new(MAX_ASKED), proposals: Semaphore::new(MAX_ASKED) }
    }
}

impl Places {
    /// A place for the question. Errors: it is not for a conversation, or too many are under way.
    fn take(&self, question: &pb::PeerMessage) -> Result<SemaphorePermit<'_>, Refusal> {
        let kind = MessageKind(question.kind);
        if !Line::carries(kind, &question.body) {
            let why =
                "a conversation carries small appends and proposals; ask this by a call of its own";
            return Err(Refusal::new(RefusalReason::Malformed, why));
        }
        let appends = kind == MessageKind::AppendEntries;
        let places = if appends { &self.appends } else { &self.proposals };
        places.try_acquire().map_err(|_| {
            let why = format!(
                "{MAX_ASKED} questions of this kind are under way on the connection; ask again when one is answered"
            );
            Refusal::new(RefusalReason::Busy, why)
        })
    }
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
    let peers = Peers { handler, identified: tls.is_some(), open, places: Arc::default() };
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

    /// The places of a connection, for as long as it converses.
    fn places_of(&self, connection: Option<SocketAddr>) -> Arc<Places> {
        let mut connections = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        connections.retain(|_, places| places.strong_count() > 0);
        if let Some(places) = connections.get(&connection).and_then(Weak::upgrade) {
            return places;
        }
        let places = Arc::default();
        connections.insert(connection, Arc::downgrade(&places));
        places
    }
}

/// Many questions of one sender.
struct Conversation {
    peers: Peers,
    entitled: Result<Entitled, Refusal>,
    places: Arc<Places>,
}

impl Conversation {
    async fn answer(
        self: Arc<Self>,
        question: Result<pb::Question, Status>,
    ) -> Result<pb::Answer, Status> {
        let pb::Question { number, message } = question?;
        let message = message.ok_or_else(|| Status::invalid_argument("an empty question"))?;
        let reply = match self.places.take(&message) {
            Ok(_place) => self.peers.answer(self.entitled.as_ref(), message).await,
            Err(refusal) => reply(Err(refusal)),
        };
        Ok(pb::Answer { number, reply: Some(reply) })
    }
}

/// Begins a task for the answer, which ends with the conversation.
fn apart(
    answer: impl Future<Output = Result<pb::Answer, Status>> + Send + 'static,
) -> impl Future<Output = Result<pb::Answer, Status>> {
    let task = AbortOnDropHandle::new(tokio::spawn(answer));
    task.map(|ended| ended.unwrap_or_else(|error| Err(Status::internal(error.to_string()))))
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
        let conversation = Arc::new(Conversation {
            peers: self.clone(),
            entitled: self.entitled(&request),
            places: self.places_of(request.remote_addr()),
        });
        let mut open = self.open.clone();
        // A conversation has no end of its own, and would hold up the server's.
        let closing = async move { drop(open.changed().await) };
        let answers = request
            .into_inner()
            .take_until(closing.boxed())
            .map(move |question| apart(Arc::clone(&conversation).answer(question)))
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

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use bytes::Bytes;
    use holdfast_core::{AgentId, GroupId};
    use tokio::sync::mpsc;
    use tokio::task::JoinHandle;
    use tonic::transport::{Channel, Endpoint};

    use super::super::envelope::to_proto;
    use super::super::grpc::answer;
    use super::super::line::MAX_BODY_BYTES;
    use super::super::{GrpcWire, GrpcWireConfig, Message, PeerAddress, Wire as _};
    use super::*;
    use crate::pb::internal::v1::peer_service_client::PeerServiceClient;

    const PATIENCE: Duration = Duration::from_secs(10);

    /// Answers `at once` at once. All else takes a place and keeps it until the gate opens, as a proposal does until
    /// it is committed.
    struct Desk {
        places: Semaphore,
        inside: watch::Sender<usize>,
        answered: watch::Sender<usize>,
        gate: watch::Sender<bool>,
    }

    #[async_trait]
    impl PeerHandler for Desk {
        async fn handle(&self, _: &Sender, message: Message) -> Result<Bytes, Refusal> {
            if message.body != "at once" {
                let _place = self.places.acquire().await.expect("it is never closed");
                self.inside.send_modify(|inside| *inside += 1);
                drop(self.gate.subscribe().wait_for(|open| *open).await);
            }
            self.answered.send_modify(|answered| *answered += 1);
            Ok(message.body)
        }

        async fn handle_snapshot(
            &self,
            _: &Sender,
            _: Message,
            _: BoxStream<'static, Result<Bytes, WireError>>,
        ) -> Result<Bytes, Refusal> {
            Err(Refusal::new(RefusalReason::UnknownKind, "nobody sends one"))
        }
    }

    struct Served {
        desk: Arc<Desk>,
        address: String,
        server: JoinHandle<()>,
    }

    impl Drop for Served {
        fn drop(&mut self) {
            self.server.abort();
        }
    }

    async fn served(places: usize) -> Served {
        let desk = Arc::new(Desk {
            places: Semaphore::new(places),
            inside: watch::Sender::new(0),
            answered: watch::Sender::new(0),
            gate: watch::Sender::new(false),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let handler = Arc::clone(&desk);
        let server = tokio::spawn(async move {
            serve(listener, handler, None, std::future::pending()).await.expect("it serves");
        });
        Served { desk, address, server }
    }

    async fn reaches(counter: &watch::Sender<usize>, number: usize) {
        let mut counter = counter.subscribe();
        let reached = counter.wait_for(|count| *count >= number);
        drop(tokio::time::timeout(PATIENCE, reached).await.expect("it gets there"));
    }

    fn message(kind: MessageKind, body: impl Into<Bytes>) -> Message {
        Message {
            cluster: "c".to_owned(),
            generation: 0,
            group: GroupId(1),
            from: AgentId(2),
            to: AgentId(1),
            kind,
            body: body.into(),
        }
    }

    /// A peer that speaks the protocol by hand.
    struct Conversation {
        questions: mpsc::UnboundedSender<pb::Question>,
        answers: Streaming<pb::Answer>,
        asked: u64,
    }

    impl Conversation {
        async fn open(channel: Channel) -> Self {
            let (questions, mut asked) = mpsc::unbounded_channel();
            let stream = futures_util::stream::poll_fn(move |context| asked.poll_recv(context));
            let answers = PeerServiceClient::new(channel).converse(stream).await;
            let answers = answers.expect("the peer converses").into_inner();
            Self { questions, answers, asked: 0 }
        }

        fn ask(&mut self, message: Message) {
            self.asked += 1;
            let message = Some(to_proto(message));
            let question = pb::Question { number: self.asked, message };
            self.questions.send(question).expect("the conversation goes on");
        }

        /// Asks where nothing else is asked.
        async fn call(&mut self, message: Message) -> Result<Bytes, RefusalReason> {
            self.ask(message);
            self.answer().await
        }

        async fn answer(&mut self) -> Result<Bytes, RefusalReason> {
            let told = tokio::time::timeout(PATIENCE, self.answers.message()).await;
            let told = told.expect("in time").expect("it goes on").expect("it goes on");
            match answer(told.reply.expect("it has a reply")) {
                Ok(body) => Ok(body),
                Err(WireError::Refused(refusal)) => Err(refusal.reason),
                Err(error) => panic!("{error}"),
            }
        }
    }

    async fn connect(served: &Served, window: u32) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", served.address));
        let endpoint = endpoint.expect("an address").initial_stream_window_size(window);
        endpoint.connect().await.expect("it listens")
    }

    #[tokio::test]
    async fn who_never_reads_keeps_no_place_from_others() {
        let served = served(4).await;
        let mut hostile = Conversation::open(connect(&served, 1).await).await;
        for _ in 0..4 {
            hostile.ask(message(MessageKind::Propose, "held"));
        }
        reaches(&served.desk.inside, 4).await;
        // The first answer fills the window, the second waits: from here on the transport asks for no more.
        for answered in 1..=2 {
            hostile.ask(message(MessageKind::Propose, "at once"));
            reaches(&served.desk.answered, answered).await;
        }
        served.desk.gate.send_replace(true);

        let wire = GrpcWire::new(GrpcWireConfig::default());
        let to = PeerAddress { id: AgentId(1), address: served.address.clone() };
        let answer = wire.call(&to, message(MessageKind::Propose, "held"), PATIENCE).await;
        assert_eq!(answer, Ok(Bytes::from("held")));
        reaches(&served.desk.answered, 7).await;
        drop(hostile);
    }

    #[tokio::test]
    async fn the_conversations_of_one_connection_share_its_places() {
        let served = served(2 * MAX_ASKED).await;
        let connection = connect(&served, STREAM_WINDOW).await;
        let mut first = Conversation::open(connection.clone()).await;
        for _ in 0..MAX_ASKED {
            first.ask(message(MessageKind::Propose, "held"));
        }
        reaches(&served.desk.inside, MAX_ASKED).await;

        let mut second = Conversation::open(connection).await;
        let proposed = second.call(message(MessageKind::Propose, "at once")).await;
        assert_eq!(proposed, Err(RefusalReason::Busy));
        let appended = second.call(message(MessageKind::AppendEntries, "at once")).await;
        assert_eq!(appended, Ok(Bytes::from("at once")));
        let mut other = Conversation::open(connect(&served, STREAM_WINDOW).await).await;
        let proposed = other.call(message(MessageKind::Propose, "at once")).await;
        assert_eq!(proposed, Ok(Bytes::from("at once")));

        drop(first);
        let given_back =
            async { while second.call(message(MessageKind::Propose, "at once")).await.is_err() {} };
        tokio::time::timeout(PATIENCE, given_back).await.expect("who leaves gives places back");
        assert_eq!(*served.desk.inside.borrow(), MAX_ASKED);
    }

    #[tokio::test]
    async fn a_conversation_refuses_what_its_sender_would_send_by_a_call() {
        let served = served(1).await;
        let mut conversation = Conversation::open(connect(&served, STREAM_WINDOW).await).await;
        let large = Bytes::from(vec![0; MAX_BODY_BYTES + 1]);
        let (vote, propose) = (MessageKind::Vote, MessageKind::Propose);
        for (kind, body) in [(vote, Bytes::from("at once")), (propose, large)] {
            let refused = conversation.call(message(kind, body)).await;
            assert_eq!(refused, Err(RefusalReason::Malformed));
        }
        let answer = conversation.call(message(propose, "at once")).await;
        assert_eq!(answer, Ok(Bytes::from("at once")));
        assert_eq!(*served.desk.answered.borrow(), 1);
    }
}
