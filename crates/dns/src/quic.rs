//! DNS over QUIC (RFC 9250): one stream for each query, the same bytes as over TCP.
//!
//! quinn speaks QUIC; hickory's own listener answers the streams of a connection one after the other, encodes the
//! answers again without our OPT, and bounds no connections. Here a connection has a place like one over TCP and at most
//! [`STREAMS`] queries at a time. While half of the places are taken, or half of those of its prefix, a client has to show that it is where it says
//! (Retry) before it gets one, so that forged addresses cannot make others leave. There is no 0-RTT and no
//! migration. Transfers go over a stream of their own (RFC 9103).

use std::io;
use std::sync::Arc;

use futures_util::StreamExt as _;
use metrics::counter;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{
    Connection, Endpoint, EndpointConfig, IdleTimeout, Incoming, RecvStream, SendStream,
    ServerConfig, TokioRuntime, TransportConfig, VarInt,
};
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admission::Admission;
use crate::certificate::Certificate;
use crate::config::TcpConfig;
use crate::desk::{Desk, Reply};
use crate::limits::{HEADER, MAX_TCP};
use crate::metric;
use crate::respond::Peer;
use crate::shared::SharedResponder;

/// The protocol's name in TLS.
const ALPN: &[u8] = b"doq";
/// The most queries of a connection at a time.
const STREAMS: u32 = 100;
/// The most bytes of a stream: a message and its length.
const STREAM_BYTES: usize = MAX_TCP as usize + 2;
/// The most handshakes that wait to be looked at.
const MAX_INCOMING: usize = 1024;
/// The most bytes that those may have sent already.
const INCOMING_BYTES: u64 = 4 << 20;

/// Nothing is wrong (RFC 9250, 4.3).
const NO_ERROR: VarInt = VarInt::from_u32(0);
/// The peer does what it must not.
const PROTOCOL_ERROR: VarInt = VarInt::from_u32(2);
/// The place is needed by others.
const EXCESSIVE_LOAD: VarInt = VarInt::from_u32(4);

/// One endpoint.
pub(crate) struct QuicLoop {
    pub(crate) endpoint: Endpoint,
    pub(crate) admission: Arc<Admission>,
    pub(crate) responder: SharedResponder,
    pub(crate) connections: TaskTracker,
}

/// Makes an endpoint of a socket; called inside a runtime.
pub(crate) fn endpoint(
    socket: std::net::UdpSocket,
    certificate: &Arc<Certificate>,
    limits: &TcpConfig,
) -> io::Result<Endpoint> {
    let tls = certificate.server_config(ALPN, true);
    let tls = QuicServerConfig::try_from(tls).map_err(io::Error::other)?;
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(STREAMS.into())
        .max_concurrent_uni_streams(0u32.into())
        .stream_receive_window(VarInt::from_u32(STREAM_BYTES as u32))
        .receive_window(VarInt::from_u32(2 * STREAM_BYTES as u32))
        .send_window(2 * STREAM_BYTES as u64)
        .datagram_receive_buffer_size(None)
        .max_idle_timeout(IdleTimeout::try_from(limits.idle_timeout).ok());
    let mut config = ServerConfig::with_crypto(Arc::new(tls));
    config
        .transport_config(Arc::new(transport))
        .migration(false)
        .max_incoming(MAX_INCOMING)
        .incoming_buffer_size_total(INCOMING_BYTES);
    Endpoint::new(EndpointConfig::default(), Some(config), socket, Arc::new(TokioRuntime))
}

impl QuicLoop {
    /// Accepts until `shutdown`, then lets queries that have begun end.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        while let Some(Some(incoming)) = shutdown.run_until_cancelled(self.endpoint.accept()).await
        {
            self.admit(incoming, &shutdown);
        }
        // New handshakes are refused, connections end by themselves.
        self.endpoint.set_server_config(None);
        self.endpoint.wait_idle().await;
    }

    fn admit(&self, incoming: Incoming, shutdown: &CancellationToken) {
        let address = incoming.remote_address();
        let unknown = incoming.may_retry() && !incoming.remote_address_validated();
        if unknown && self.admission.is_busy(address.ip()) {
            // It fails only for those that cannot be asked again.
            let _ = incoming.retry();
            return;
        }
        let place = self.admission.admit(address.ip());
        let peer = Peer { address, transport: self.admission.transport() };
        let desk = Arc::new(Desk::new(peer, self.responder.clone(), place));
        let shutdown = shutdown.clone();
        self.connections.spawn(async move {
            if let Err(error) = converse(incoming, desk, shutdown).await {
                tracing::trace!(from = %address, %error, "quic connection ended");
            }
        });
    }
}

async fn converse(
    incoming: Incoming,
    desk: Arc<Desk>,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let connection = tokio::select! {
        () = desk.leave().cancelled() => return Ok(()),
        connected = timeout(desk.config().first_query_timeout, incoming) => connected??,
    };
    let mut queries = JoinSet::new();
    loop {
        let until = desk.deadline();
        tokio::select! {
            accepted = connection.accept_bi() => {
                let (send, receive) = accepted?;
                queries.spawn(query(connection.clone(), send, receive, desk.clone()));
            }
            // Their errors are told by themselves.
            Some(_) = queries.join_next() => {}
            () = desk.leave().cancelled() => {
                connection.close(EXCESSIVE_LOAD, b"");
                return Ok(());
            }
            () = shutdown.cancelled() => break,
            () = sleep_until(until), if queries.is_empty() => if desk.deadline() <= until { break },
        }
    }
    let last = async { while queries.join_next().await.is_some() {} };
    let ended = timeout(desk.config().write_timeout, last).await;
    connection.close(NO_ERROR, b"");
    ended.map_err(io::Error::from)
}

/// Answers one stream.
async fn query(
    connection: Connection,
    mut send: SendStream,
    mut receive: RecvStream,
    desk: Arc<Desk>,
) {
    let read = timeout(desk.config().first_query_timeout, receive.read_to_end(STREAM_BYTES)).await;
    let Ok(Ok(bytes)) = read else {
        // The client went away, or took too long: RFC 9250, 4.3.
        let _ = send.reset(PROTOCOL_ERROR);
        return;
    };
    let reply = whole_message(&bytes).and_then(|message| desk.answer(message, true));
    let Some(reply) = reply else {
        connection.close(PROTOCOL_ERROR, b"one query with id 0 on each stream");
        return;
    };
    if let Err(error) = write(&mut send, reply, &desk).await {
        counter!(metric::SOCKET_ERRORS, "transport" => "quic", "operation" => "send").increment(1);
        tracing::trace!(to = %desk.address(), %error, "reply not sent");
        let _ = send.reset(NO_ERROR);
    }
}

/// The message of a stream: all of it, and with the id 0 (RFC 9250, 4.2.1).
fn whole_message(bytes: &[u8]) -> Option<&[u8]> {
    let (length, message) = bytes.split_first_chunk()?;
    let whole = message.len() == usize::from(u16::from_be_bytes(*length));
    (whole && message.len() >= HEADER && message[..2] == [0, 0]).then_some(message)
}

async fn write(send: &mut SendStream, reply: Reply, desk: &Desk) -> io::Result<()> {
    match reply {
        Reply::Message(message) => write_message(send, &message, desk).await?,
        Reply::Messages(mut messages) => {
            while let Some(message) = messages.next().await {
                if message.is_empty() {
                    return Err(io::Error::other(
                        "a reply of many messages could not be completed",
                    ));
                }
                write_message(send, &message, desk).await?;
                tokio::task::yield_now().await;
            }
        }
    }
    send.finish().map_err(io::Error::other)
}

async fn write_message(send: &mut SendStream, message: &[u8], desk: &Desk) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
    let framed = [&length.to_be_bytes(), message].concat();
    timeout(desk.config().write_timeout, send.write_all(&framed)).await?.map_err(io::Error::other)
}
