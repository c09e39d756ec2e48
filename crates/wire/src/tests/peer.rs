//! Two agents over real sockets, with mutual TLS: what is asked arrives, what is refused is understood, and who is no
//! agent is not heard.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use holdfast_core::{AgentId, GroupId};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::tls::{NOW, issue_for};
use crate::ca::{Authority, MAX_VALIDITY_DAYS, Role};
use crate::peer::{
    GrpcWire, GrpcWireConfig, MAX_CHUNK_BYTES, Message, MessageKind, PeerAddress, PeerHandler,
    Refusal, RefusalReason, Sender, Wire, WireError, serve,
};
use crate::tls::TlsMaterial;

const PATIENCE: Duration = Duration::from_secs(10);

/// Questions that have a call of their own, and questions that share a conversation.
const BOTH_WAYS: [MessageKind; 2] = [MessageKind::Vote, MessageKind::Propose];

/// Answers with what it was asked, or refuses.
#[derive(Default)]
struct Echo {
    refuse: Mutex<Option<Refusal>>,
}

#[async_trait]
impl PeerHandler for Echo {
    async fn handle(&self, sender: &Sender, message: Message) -> Result<Bytes, Refusal> {
        let refuse = self.refuse.lock().expect("not poisoned").clone();
        match refuse {
            Some(refusal) => Err(refusal),
            None if message.body == "wait" => std::future::pending().await,
            None if message.body == "who" => Ok(format!("{sender:?}").into()),
            None => Ok(message.body),
        }
    }

    async fn handle_snapshot(
        &self,
        sender: &Sender,
        head: Message,
        mut chunks: BoxStream<'static, Result<Bytes, WireError>>,
    ) -> Result<Bytes, Refusal> {
        let mut bytes = 0;
        while let Some(chunk) = chunks.next().await {
            let broken = |e: WireError| Refusal::new(RefusalReason::Internal, e.to_string());
            bytes += chunk.map_err(broken)?.len();
        }
        Ok(Bytes::from(format!("{}: {bytes} of {sender:?}", head.generation)))
    }
}

fn material(authority: &Authority, role: Role, name: &str) -> TlsMaterial {
    let issued = issue_for(authority, role, name, MAX_VALIDITY_DAYS);
    TlsMaterial::from_pem(&issued.cert_pem, &issued.key_pem, authority.cert_pem(), NOW)
        .expect("it was just issued")
}

/// Serves `handler` on a port of its own; ends when the sender is dropped.
async fn start(
    handler: Arc<Echo>,
    tls: Option<&TlsMaterial>,
) -> (PeerAddress, oneshot::Sender<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    let (stop, stopped) = oneshot::channel::<()>();
    let tls = tls.map(TlsMaterial::server);
    tokio::spawn(serve(listener, handler, tls, async move { drop(stopped.await) }));
    (PeerAddress { id: AgentId(2), address }, stop)
}

fn message(kind: MessageKind, body: impl Into<Bytes>) -> Message {
    Message {
        cluster: "demo".to_owned(),
        generation: 3,
        group: GroupId(1),
        from: AgentId(1),
        to: AgentId(2),
        kind,
        body: body.into(),
    }
}

fn wire(tls: Option<&TlsMaterial>) -> GrpcWire {
    GrpcWire::new(GrpcWireConfig { tls: tls.map(|material| material.client(None)) })
}

/// An authority for a hundred years: handshakes are judged by the machine's clock, whatever it says.
fn lasting() -> Authority {
    Authority::create("demo", NOW, MAX_VALIDITY_DAYS).expect("the name is possible")
}

#[tokio::test]
async fn questions_are_answered_and_large_ones_too() {
    let (to, _stop) = start(Arc::default(), None).await;
    let wire = wire(None);
    for kind in BOTH_WAYS {
        let small = wire.call(&to, message(kind, "ask"), PATIENCE).await;
        assert_eq!(small, Ok(Bytes::from("ask")));
    }
    let large = Bytes::from(vec![7; 8 * 1024 * 1024]);
    let answer = wire.call(&to, message(MessageKind::AppendEntries, large.clone()), PATIENCE).await;
    assert_eq!(answer, Ok(large));
}

#[tokio::test]
async fn snapshots_stream() {
    let (to, _stop) = start(Arc::default(), None).await;
    let chunks = futures_util::stream::iter(vec![Bytes::from(vec![1; MAX_CHUNK_BYTES]); 40]);
    let head = message(MessageKind::Snapshot, "meta");
    let answer = wire(None).snapshot(&to, head, chunks.boxed(), PATIENCE).await;
    assert_eq!(answer, Ok(Bytes::from(format!("3: {} of Unproven", 40 * MAX_CHUNK_BYTES))));
}

#[tokio::test]
async fn refusals_keep_their_reason() {
    let echo = Arc::new(Echo::default());
    let (to, _stop) = start(Arc::clone(&echo), None).await;
    let wire = wire(None);
    for reason in [
        RefusalReason::WrongCluster,
        RefusalReason::WrongNode,
        RefusalReason::UnknownGroup,
        RefusalReason::OldGeneration,
        RefusalReason::StartingUp,
        RefusalReason::NotLeader { leader: Some(AgentId(9)) },
        RefusalReason::NotLeader { leader: None },
        RefusalReason::UnknownKind,
        RefusalReason::Malformed,
        RefusalReason::Denied,
        RefusalReason::Busy,
        RefusalReason::Internal,
    ] {
        let refusal = Refusal::new(reason, "because");
        *echo.refuse.lock().expect("not poisoned") = Some(refusal.clone());
        for kind in BOTH_WAYS {
            let answer = wire.call(&to, message(kind, ""), PATIENCE).await;
            assert_eq!(answer, Err(WireError::Refused(refusal.clone())));
        }
    }
}

#[tokio::test]
async fn silence_and_absence_are_told_apart() {
    let (to, stop) = start(Arc::default(), None).await;
    let wire = wire(None);
    let short = Duration::from_millis(100);
    for kind in BOTH_WAYS {
        let silent = wire.call(&to, message(kind, "wait"), short).await;
        assert_eq!(silent, Err(WireError::Timeout(short)));
    }
    drop(stop);
    let free = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let nobody = PeerAddress {
        id: AgentId(3),
        address: free.local_addr().expect("it is bound").to_string(),
    };
    drop(free);
    for kind in BOTH_WAYS {
        let absent = wire.call(&nobody, message(kind, ""), PATIENCE).await;
        assert!(matches!(absent, Err(WireError::NotConnected(_))), "{absent:?}");
    }
}

/// One question without an answer holds up none of the many behind it.
#[tokio::test]
async fn answers_in_a_conversation_find_who_asked() {
    let (to, _stop) = start(Arc::default(), None).await;
    let wire = wire(None);
    let mut waits = Box::pin(wire.call(&to, message(MessageKind::Propose, "wait"), PATIENCE));
    assert!(futures_util::poll!(waits.as_mut()).is_pending());
    let asked = (0..2_000).map(|number| {
        let body = Bytes::from(format!("question {number}"));
        let (wire, to) = (&wire, &to);
        async move {
            let answer = wire.call(to, message(MessageKind::Propose, body.clone()), PATIENCE).await;
            assert_eq!(answer, Ok(body));
        }
    });
    futures_util::future::join_all(asked).await;
    assert!(futures_util::poll!(waits.as_mut()).is_pending(), "nobody answered it");
}

/// A conversation has no end of its own, so the server ends it; the next question begins another one.
#[tokio::test]
async fn a_conversation_ends_with_its_server_and_begins_anew() {
    let wire = wire(None);
    let ask = |to: PeerAddress| {
        let wire = &wire;
        async move { wire.call(&to, message(MessageKind::AppendEntries, "ask"), PATIENCE).await }
    };
    let serving = async |address: &str| {
        let listener = TcpListener::bind(address).await.expect("a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async move { drop(stopped.await) };
        let served = tokio::spawn(serve(listener, Arc::<Echo>::default(), None, stopped));
        (PeerAddress { id: AgentId(2), address }, stop, served)
    };
    let (to, stop, served) = serving("127.0.0.1:0").await;
    assert_eq!(ask(to.clone()).await, Ok(Bytes::from("ask")));
    drop(stop);
    let ended = tokio::time::timeout(PATIENCE, served).await.expect("the server ends");
    ended.expect("it does not panic").expect("it ends in order");
    let absent = ask(to.clone()).await;
    assert!(matches!(absent, Err(WireError::NotConnected(_))), "{absent:?}");
    let (to, _stop, _served) = serving(&to.address).await;
    assert_eq!(ask(to).await, Ok(Bytes::from("ask")));
}

/// What waited for a connection in vain did not arrive, although nobody said no.
#[tokio::test]
async fn a_question_that_never_left_is_told_from_one_without_an_answer() {
    let mute = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = mute.local_addr().expect("it is bound").to_string();
    let to = PeerAddress { id: AgentId(2), address };
    let short = Duration::from_millis(100);
    let secured = wire(Some(&material(&lasting(), Role::Agent, "eu-1")));
    let unsent = secured.call(&to, message(MessageKind::Propose, "do"), short).await;
    assert!(matches!(unsent, Err(WireError::NotConnected(_))), "no handshake: {unsent:?}");
    let sent = wire(None).call(&to, message(MessageKind::Propose, "do"), short).await;
    assert_eq!(sent, Err(WireError::Timeout(short)), "it may be read later");
}

#[tokio::test]
async fn a_peer_that_moves_is_followed() {
    let (first, stop) = start(Arc::default(), None).await;
    let wire = wire(None);
    assert!(wire.call(&first, message(MessageKind::Vote, ""), PATIENCE).await.is_ok());
    drop(stop);
    let (second, _stop) = start(Arc::default(), None).await;
    assert_ne!(first.address, second.address);
    assert!(wire.call(&second, message(MessageKind::Vote, ""), PATIENCE).await.is_ok());
}

#[tokio::test]
async fn with_tls_agents_are_heard_and_others_are_not() {
    let authority = lasting();
    let server = material(&authority, Role::Agent, "eu-2");
    let (to, _stop) = start(Arc::default(), Some(&server)).await;

    let agent = wire(Some(&material(&authority, Role::Agent, "eu-1")));
    let person = wire(Some(&material(&authority, Role::User, "ann")));
    for kind in BOTH_WAYS {
        let answer = agent.call(&to, message(kind, "ask"), PATIENCE).await;
        assert_eq!(answer, Ok(Bytes::from("ask")));

        let stray = Message { cluster: "other".to_owned(), ..message(kind, "ask") };
        match agent.call(&to, stray, PATIENCE).await {
            Err(WireError::Refused(refusal)) => assert_eq!(refusal.reason, RefusalReason::Denied),
            other => panic!("an agent spoke for another cluster: {other:?}"),
        }
        match person.call(&to, message(kind, "ask"), PATIENCE).await {
            Err(WireError::Refused(refusal)) => assert_eq!(refusal.reason, RefusalReason::Denied),
            other => panic!("a person was heard: {other:?}"),
        }
    }

    let foreign = wire(Some(&material(&lasting(), Role::Agent, "eu-1")));
    let answer = foreign.call(&to, message(MessageKind::Vote, "ask"), PATIENCE).await;
    assert!(matches!(answer, Err(WireError::NotConnected(_))), "{answer:?}");

    let plain = wire(None).call(&to, message(MessageKind::Vote, "ask"), PATIENCE).await;
    assert!(matches!(plain, Err(WireError::Unreachable(_))), "{plain:?}");
}

/// Whatever a message says of its sender, the handler is told whose certificate the connection shows.
#[tokio::test]
async fn the_certificates_name_goes_with_the_message() {
    let authority = lasting();
    let server = material(&authority, Role::Agent, "eu-2");
    let (to, _stop) = start(Arc::default(), Some(&server)).await;
    for name in ["eu-1", "eu-3"] {
        let agent = wire(Some(&material(&authority, Role::Agent, name)));
        let said = Bytes::from(format!("Certified({name:?})"));
        for kind in BOTH_WAYS {
            let answer = agent.call(&to, message(kind, "who"), PATIENCE).await;
            assert_eq!(answer, Ok(said.clone()));
        }
        let chunks = futures_util::stream::iter([Bytes::from_static(b"chunk")]).boxed();
        let answer =
            agent.snapshot(&to, message(MessageKind::Snapshot, ""), chunks, PATIENCE).await;
        assert_eq!(answer, Ok(Bytes::from(format!("3: 5 of Certified({name:?})"))));
    }
    let (to, _stop) = start(Arc::default(), None).await;
    let answer = wire(None).call(&to, message(MessageKind::Status, "who"), PATIENCE).await;
    assert_eq!(answer, Ok(Bytes::from("Unproven")));
}
