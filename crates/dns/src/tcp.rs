//! Serves DNS over TCP (RFC 7766): our own accept loop, and one task per connection.
//!
//! Connections are bounded in all and per prefix; one too many is closed at once. When nine tenths of the places are
//! taken, idle connections are closed after half a second, so that slow clients cannot keep the rest out. Queries may
//! be pipelined and are answered in order; several that wait are answered by one write. While a peer does not take
//! its replies, nothing more is read from it. A deadline is for a whole query: bytes that trickle in do not move it.
//!
//! An `accept` that fails for want of descriptors is tried again with back-off: the pending connection keeps the
//! listener readable, and a loop without a pause would take a whole core (hickory-server does).

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use metrics::{counter, gauge};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::TcpConfig;
use crate::limits::MAX_TCP;
use crate::metric;
use crate::respond::{Peer, Responder, Transport};

/// The first pause after a failed accept; doubled with each more.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// The longest pause after failed accepts.
const LAST_PAUSE: Duration = Duration::from_secs(1);
/// How long a connection may idle when most places are taken.
const CROWDED_IDLE: Duration = Duration::from_millis(500);
/// How many bytes are read at a time.
const READ: usize = 4096;
/// Replies are written when they have this many bytes, though more queries wait.
const WRITE: usize = 16 * 1024;

/// The part of an address that one client or site has to itself: IPv4 /24, IPv6 /48.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Prefix([u8; 6]);

impl Prefix {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            // 0/8 cannot be the source of an IPv6 packet, so the two kinds do not meet.
            IpAddr::V4(v4) => Self([0, 0, 0, v4.octets()[0], v4.octets()[1], v4.octets()[2]]),
            IpAddr::V6(v6) => Self(*v6.octets().first_chunk().expect("16 bytes begin with 6")),
        }
    }
}

/// Who may connect. Shared by the listeners of a server.
#[derive(Debug)]
pub(crate) struct Admission {
    config: TcpConfig,
    open: Mutex<BTreeMap<Prefix, usize>>,
    count: std::sync::atomic::AtomicUsize,
}

impl Admission {
    pub(crate) fn new(config: TcpConfig) -> Arc<Self> {
        Arc::new(Self { config, open: Mutex::default(), count: Default::default() })
    }

    fn admit(self: &Arc<Self>, address: SocketAddr) -> Result<Admitted, &'static str> {
        use std::sync::atomic::Ordering::Relaxed;
        let prefix = Prefix::of(address.ip());
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        // Changed under the lock only; read without it.
        if self.count.load(Relaxed) >= self.config.max_connections {
            return Err("total");
        }
        let here = open.entry(prefix).or_default();
        if *here >= self.config.max_per_prefix {
            return Err("prefix");
        }
        *here += 1;
        gauge!(metric::TCP_CONNECTIONS).set((self.count.fetch_add(1, Relaxed) + 1) as f64);
        Ok(Admitted { admission: Arc::clone(self), prefix })
    }

    fn idle_timeout(&self) -> Duration {
        let open = self.count.load(std::sync::atomic::Ordering::Relaxed);
        let crowded = open * 10 >= self.config.max_connections * 9;
        if crowded { CROWDED_IDLE.min(self.config.idle_timeout) } else { self.config.idle_timeout }
    }
}

/// A place that a connection holds.
#[derive(Debug)]
struct Admitted {
    admission: Arc<Admission>,
    prefix: Prefix,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        use std::sync::atomic::Ordering::Relaxed;
        let mut open = self.admission.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(here) = open.get_mut(&self.prefix) {
            *here -= 1;
            if *here == 0 {
                open.remove(&self.prefix);
            }
        }
        gauge!(metric::TCP_CONNECTIONS)
            .set((self.admission.count.fetch_sub(1, Relaxed) - 1) as f64);
    }
}

/// One listener.
pub(crate) struct TcpLoop<F> {
    pub(crate) listener: TcpListener,
    pub(crate) admission: Arc<Admission>,
    /// Makes the responder of a connection.
    pub(crate) responder: F,
    pub(crate) connections: TaskTracker,
}

impl<F: Fn() -> Responder> TcpLoop<F> {
    /// Accepts until `shutdown`.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let mut pause = FIRST_PAUSE;
        loop {
            let accepted = tokio::select! {
                () = shutdown.cancelled() => return,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, address)) => {
                    pause = FIRST_PAUSE;
                    self.serve(stream, address, &shutdown);
                }
                Err(error) if gone(&error) => {}
                Err(error) => {
                    counter!(metric::SOCKET_ERRORS, "transport" => "tcp", "operation" => "accept")
                        .increment(1);
                    tracing::debug!(%error, ?pause, "connection not accepted");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LAST_PAUSE);
                }
            }
        }
    }

    fn serve(&self, stream: TcpStream, address: SocketAddr, shutdown: &CancellationToken) {
        match self.admission.admit(address) {
            Err(why) => counter!(metric::TCP_REFUSED, "why" => why).increment(1),
            Ok(admitted) => {
                let connection = Connection {
                    stream,
                    peer: Peer { address, transport: Transport::Tcp },
                    responder: (self.responder)(),
                    admitted,
                    inbox: BytesMut::new(),
                    reply: Vec::new(),
                    outbox: Vec::new(),
                };
                let shutdown = shutdown.clone();
                self.connections.spawn(async move {
                    tokio::select! {
                        () = shutdown.cancelled() => {}
                        ended = connection.run() => if let Err(error) = ended {
                            tracing::trace!(from = %address, %error, "connection ended");
                        }
                    }
                });
            }
        }
    }
}

/// Whether only the one connection failed.
fn gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted
    )
}

struct Connection {
    stream: TcpStream,
    peer: Peer,
    responder: Responder,
    admitted: Admitted,
    /// Bytes that are not yet answered: at most one query that is not whole, and what one read brings.
    inbox: BytesMut,
    reply: Vec<u8>,
    outbox: Vec<u8>,
}

impl Connection {
    async fn run(mut self) -> io::Result<()> {
        let admission = Arc::clone(&self.admitted.admission);
        self.stream.set_nodelay(true)?;
        let mut deadline = Instant::now() + admission.config.first_query_timeout;
        loop {
            let proper = self.answer_waiting();
            if !self.outbox.is_empty() {
                timeout(admission.config.write_timeout, self.stream.write_all(&self.outbox))
                    .await??;
                self.outbox.clear();
                deadline = Instant::now() + admission.idle_timeout();
                if proper {
                    continue;
                }
            }
            if !proper {
                return Ok(());
            }
            self.inbox.reserve(READ);
            // One byte of room is enough for the read to end; a whole query ends the deadline.
            if timeout_at(deadline, self.stream.read_buf(&mut self.inbox)).await?? == 0 {
                return Ok(());
            }
        }
    }

    /// Answers the whole queries of the inbox into the outbox, as many as one write takes. False after a message
    /// that deserves silence: whoever sends one over TCP is no client, and is disconnected.
    fn answer_waiting(&mut self) -> bool {
        self.responder.acquire();
        let mut proper = true;
        while let Some(length) = whole_message(&self.inbox).filter(|_| self.outbox.len() < WRITE) {
            proper = self.responder.respond(&self.inbox[2..2 + length], self.peer, &mut self.reply);
            self.inbox.advance(2 + length);
            if !proper {
                break;
            }
            debug_assert!(
                self.reply.len() <= usize::from(MAX_TCP),
                "the encoder is limited to that"
            );
            let length = u16::try_from(self.reply.len()).unwrap_or(MAX_TCP);
            self.outbox.extend_from_slice(&length.to_be_bytes());
            self.outbox.extend_from_slice(&self.reply[..usize::from(length)]);
        }
        self.responder.release();
        proper
    }
}

/// The length of the message that the bytes begin with, if all of it is there.
fn whole_message(bytes: &[u8]) -> Option<usize> {
    let (length, rest) = bytes.split_first_chunk()?;
    let length = usize::from(u16::from_be_bytes(*length));
    (rest.len() >= length).then_some(length)
}
