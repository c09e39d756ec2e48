//! Serves one UDP socket on the caller's runtime, where DNS has no threads of its own: take a batch, answer it from one
//! snapshot, take the next.
//!
//! The only thing awaited is that the socket has a datagram. A reply that the socket does not take at once is dropped
//! and counted: the client asks again, and nobody behind it waits. After a stop what waits already is answered.

use std::io::ErrorKind;
use std::time::Duration;

use metrics::counter;
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::later::Later;
use crate::limits::{BATCH, MAX_UDP, MAX_UDP_QUERY};
use crate::metric;
use crate::respond::{Peer, Responder, Transport};
use crate::udp_thread::{DRAIN, outlive};

/// The pause after an error of the socket itself, which would otherwise repeat without end.
const ERROR_PAUSE: Duration = Duration::from_millis(10);

/// How long nothing must have come for a socket to hold nothing.
const QUIET: Duration = Duration::from_millis(10);

/// One socket and what answers at it.
pub(crate) struct UdpLoop {
    socket: UdpSocket,
    responder: Responder,
    later: Later,
    query: Vec<u8>,
    reply: Vec<u8>,
}

impl UdpLoop {
    pub(crate) fn new(socket: UdpSocket, responder: Responder, later: Later) -> Self {
        let (query, reply) = (vec![0; MAX_UDP_QUERY], Vec::with_capacity(usize::from(MAX_UDP)));
        Self { socket, responder, later, query, reply }
    }

    /// Answers until `shutdown`.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        let stop = shutdown.cancelled();
        tokio::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => return self.drain().await,
                readable = self.socket.readable() => {
                    let healthy = readable.is_ok() && self.answer_batch();
                    if !healthy {
                        counter!(metric::SOCKET_ERRORS, "transport" => "udp", "operation" => "receive")
                            .increment(1);
                        tokio::time::sleep(ERROR_PAUSE).await;
                    }
                }
            }
            tokio::task::yield_now().await;
        }
    }

    /// Answers what waits already.
    async fn drain(mut self) {
        let end = Instant::now() + DRAIN;
        while Instant::now() < end {
            let readable = timeout(QUIET, self.socket.readable()).await;
            if !matches!(readable, Ok(Ok(()))) || !self.answer_batch() {
                return;
            }
        }
    }

    /// Answers what waits, up to a batch. False when the socket failed. A panic is counted, and costs one message.
    fn answer_batch(&mut self) -> bool {
        outlive(|| self.answer_each()).unwrap_or(true)
    }

    fn answer_each(&mut self) -> bool {
        self.responder.acquire();
        let mut healthy = true;
        for _ in 0..BATCH {
            match self.socket.try_recv_from(&mut self.query) {
                Ok((length, address)) => {
                    let peer = Peer { address, transport: Transport::Udp };
                    if self.responder.respond(&self.query[..length], peer, &mut self.reply) {
                        self.send(peer);
                    } else if let Some(messages) = self.responder.take_later() {
                        self.later.send(&self.socket, address, messages);
                    }
                }
                Err(error) => {
                    healthy = error.kind() == ErrorKind::WouldBlock;
                    break;
                }
            }
        }
        self.responder.release();
        healthy
    }

    fn send(&self, peer: Peer) {
        if let Err(error) = self.socket.try_send_to(&self.reply, peer.address) {
            counter!(metric::SOCKET_ERRORS, "transport" => "udp", "operation" => "send")
                .increment(1);
            tracing::trace!(to = %peer.address, %error, "reply not sent");
        }
    }
}
