//! Serves UDP on a thread of its own: one socket per address, many datagrams per system call, one snapshot per batch.
//!
//! ```text
//! receive a batch of each socket ─▶ answer it from one view ─▶ send ─┐
//!   ▲                  nothing waits anywhere: poll (sockets, wake) ◀─┤
//!   └────────────────────────────────────────────────────────────────┘
//! ```
//!
//! The only thing waited for is that a socket has a datagram or that the server stops. A reply that the socket does not
//! take at once is dropped and counted: the client asks again, and nobody behind it waits.

use std::io::{self, ErrorKind};
use std::net::UdpSocket;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use tokio_util::sync::CancellationToken;

use crate::batch::Batch;
use crate::limits::{BATCH, MAX_UDP};
use crate::metric;
use crate::respond::{Peer, Responder, Transport};

/// The pause after an error of a socket itself, which would otherwise repeat without end.
const ERROR_PAUSE: Duration = Duration::from_millis(10);

/// Ends the waiting of all threads that poll it, once and for all.
#[derive(Debug, Clone)]
pub(crate) struct Wake(Arc<OwnedFd>);

impl Wake {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)))
    }

    /// Wakes when `shutdown` is cancelled.
    pub(crate) async fn on(self, shutdown: CancellationToken) {
        shutdown.cancelled().await;
        // It fails only where the counter is full, which wakes as well.
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }
}

/// The sockets of a thread and what answers at them.
pub(crate) struct UdpThread {
    pub(crate) sockets: Vec<UdpSocket>,
    pub(crate) responder: Responder,
    pub(crate) wake: Wake,
    pub(crate) shutdown: CancellationToken,
}

impl UdpThread {
    /// Answers until `shutdown`.
    pub(crate) fn run(mut self) {
        let mut batch = Batch::new();
        let mut replies = Vec::with_capacity(BATCH);
        let mut spare: Vec<Vec<u8>> =
            (0..BATCH).map(|_| Vec::with_capacity(usize::from(MAX_UDP))).collect();
        while !self.shutdown.is_cancelled() {
            let (mut idle, mut healthy) = (true, true);
            for socket in &self.sockets {
                match batch.receive(socket.as_fd()) {
                    Ok(count) => {
                        idle &= count == 0;
                        answer(&mut self.responder, &batch, count, &mut spare, &mut replies);
                        send(&mut batch, socket, &replies);
                        spare.extend(replies.drain(..).map(|(_, reply)| reply));
                    }
                    Err(error) if transient(&error) => {}
                    Err(error) => {
                        tracing::debug!(%error, "udp socket not read");
                        count_errors("receive", 1);
                        healthy = false;
                    }
                }
            }
            if !healthy {
                self.wait(&[], Some(ERROR_PAUSE));
            } else if idle {
                self.wait(&self.sockets, None);
            }
        }
    }

    fn wait(&self, sockets: &[UdpSocket], most: Option<Duration>) {
        let readable = |socket| PollFd::from_borrowed_fd(socket, PollFlags::IN);
        let mut waited: Vec<PollFd<'_>> =
            sockets.iter().map(|socket| readable(socket.as_fd())).collect();
        waited.push(readable(self.wake.0.as_fd()));
        let most = most.map(|most| Timespec { tv_sec: 0, tv_nsec: most.subsec_nanos().into() });
        // An interrupted wait ends in another look at the sockets.
        let _ = poll(&mut waited, most.as_ref());
    }
}

/// Whether nothing waits, or the socket is well though one datagram was not.
fn transient(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// Answers the datagrams of a batch from one view; replies take their buffers from `spare`, which has one for each.
fn answer(
    responder: &mut Responder,
    batch: &Batch,
    count: usize,
    spare: &mut Vec<Vec<u8>>,
    replies: &mut Vec<(usize, Vec<u8>)>,
) {
    responder.acquire();
    for place in 0..count {
        let Some((query, address)) = batch.query(place) else { continue };
        let mut reply = spare.pop().unwrap_or_default();
        let peer = Peer { address, transport: Transport::Udp };
        if responder.respond(query, peer, &mut reply) {
            replies.push((place, reply));
        } else {
            spare.push(reply);
        }
    }
    responder.release();
}

fn send(batch: &mut Batch, socket: &UdpSocket, replies: &[(usize, Vec<u8>)]) {
    let sent = batch.send(socket.as_fd(), replies);
    if let Some(error) = sent.error {
        count_errors("send", sent.lost);
        tracing::trace!(%error, lost = sent.lost, "replies not sent");
    }
}

fn count_errors(operation: &'static str, errors: usize) {
    counter!(metric::SOCKET_ERRORS, "transport" => "udp", "operation" => operation)
        .increment(errors as u64);
}
