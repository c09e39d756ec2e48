//! Accepts connections: TCP (RFC 7766), and what TLS carries over it, one task for each.
//!
//! An `accept` that fails for want of descriptors is tried again with back-off: the pending connection keeps the
//! listener readable, and a loop without a pause would take a whole core (hickory-server does). The longest idle
//! connection gives its descriptor; where there is none, a descriptor kept in reserve takes the pending connection
//! and closes it, so that its client asks elsewhere rather than wait.
//!
//! A panic in the loop is counted and the loop begins again; a panic in a connection ends that connection only.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use metrics::counter;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admission::{Admission, Place};
use crate::connection::Connection;
use crate::desk::Desk;
use crate::https;
use crate::metric;
use crate::respond::Peer;
use crate::shared::SharedResponder;

/// The first pause after a failed accept; doubled with each more.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// The longest pause after failed accepts.
const LAST_PAUSE: Duration = Duration::from_secs(1);

/// What is spoken on the connections of a listener.
#[derive(Clone)]
pub(crate) enum Session {
    /// DNS.
    Plain,
    /// DNS over TLS.
    Tls(TlsAcceptor),
    /// DNS over HTTP over TLS.
    Https(TlsAcceptor),
}

/// One listener.
pub(crate) struct TcpLoop {
    pub(crate) listener: TcpListener,
    pub(crate) admission: Arc<Admission>,
    pub(crate) session: Session,
    pub(crate) responder: SharedResponder,
    pub(crate) connections: TaskTracker,
}

impl TcpLoop {
    /// Accepts until `shutdown`.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        loop {
            // Between two connections nothing is half done.
            let accepting = AssertUnwindSafe(self.accept_all(&shutdown)).catch_unwind();
            tokio::select! {
                () = shutdown.cancelled() => return,
                ended = accepting => if ended.is_err() {
                    counter!(metric::PANICS).increment(1);
                    tracing::error!("accepting connections panicked and begins again: report this");
                }
            }
            sleep(FIRST_PAUSE).await;
        }
    }

    async fn accept_all(&self, shutdown: &CancellationToken) {
        let mut pause = FIRST_PAUSE;
        let mut reserve = reserve();
        loop {
            match self.listener.accept().await {
                Ok((stream, address)) => {
                    pause = FIRST_PAUSE;
                    self.serve(stream, address, shutdown);
                }
                Err(error) if gone(&error) => {}
                Err(error) => {
                    self.count_failure(&error, pause);
                    if exhausted(&error) && !self.admission.dismiss_idlest() {
                        drop(reserve.take());
                        let _refused = self.listener.accept().now_or_never();
                    }
                    sleep(pause).await;
                    reserve = reserve.or_else(self::reserve);
                    pause = (pause * 2).min(LAST_PAUSE);
                }
            }
        }
    }

    fn count_failure(&self, error: &io::Error, pause: Duration) {
        let transport = self.admission.transport().name();
        counter!(metric::SOCKET_ERRORS, "transport" => transport, "operation" => "accept")
            .increment(1);
        tracing::debug!(%error, transport, ?pause, "connection not accepted");
    }

    fn serve(&self, stream: TcpStream, address: SocketAddr, shutdown: &CancellationToken) {
        let place = self.admission.admit(address.ip());
        let peer = Peer { address, transport: self.admission.transport() };
        let (responder, shutdown) = (self.responder.clone(), shutdown.clone());
        let session = self.session.clone();
        let accepted = Accepted { stream, peer, place };
        self.connections.spawn(async move {
            let served = AssertUnwindSafe(session.converse(accepted, responder, &shutdown));
            match served.catch_unwind().await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::trace!(from = %address, %error, "connection ended"),
                Err(_) => counter!(metric::PANICS).increment(1),
            }
        });
    }
}

impl Session {
    async fn converse(
        self,
        accepted: Accepted,
        responder: SharedResponder,
        shutdown: &CancellationToken,
    ) -> io::Result<()> {
        let Accepted { stream, peer, place } = accepted;
        stream.set_nodelay(true)?;
        let acceptor = match &self {
            Self::Plain => {
                return Connection::new(stream, peer, responder, place).run(shutdown).await;
            }
            Self::Tls(acceptor) | Self::Https(acceptor) => acceptor.clone(),
        };
        let Some(stream) = shake_hands(acceptor, stream, &place).await? else { return Ok(()) };
        if matches!(self, Self::Https(_)) {
            return https::serve(stream, Desk::new(peer, responder, place), shutdown).await;
        }
        Connection::new(stream, peer, responder, place).run(shutdown).await
    }
}

/// A connection that has a place.
struct Accepted {
    stream: TcpStream,
    peer: Peer,
    place: Place,
}

/// Agrees on keys in the time that a first query may take; `None` if the place is needed by others.
async fn shake_hands(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    place: &Place,
) -> io::Result<Option<TlsStream<TcpStream>>> {
    tokio::select! {
        () = place.leave().cancelled() => Ok(None),
        accepted = timeout(place.config().first_query_timeout, acceptor.accept(stream)) => {
            accepted?.map(Some)
        }
    }
}

/// A descriptor to give up when there are none; without one, pending connections wait.
fn reserve() -> Option<File> {
    File::open("/dev/null").ok()
}

/// Whether only the one connection failed.
fn gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted
    )
}

/// Whether the process or the system has no descriptor left.
fn exhausted(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}
