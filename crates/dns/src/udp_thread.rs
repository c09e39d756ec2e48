//! Serves UDP on a thread of its own: one socket per address, many datagrams per system call, one snapshot per batch.
//!
//! ```text
//! receive a batch of each socket ─▶ answer it from one view ─▶ send ─┐
//!   ▲                  nothing waits anywhere: poll (sockets, wake) ◀─┤
//!   └────────────────────────────────────────────────────────────────┘
//! ```
//!
//! The only thing waited for is that a socket has a datagram or that the server stops. A reply that the socket does not
//! take at once is dropped and counted: the client asks again, and nobody behind it waits. A socket that fails rests for
//! a while, alone. After a stop what waits already is answered, for [`DRAIN`] at most.
//!
//! Invariant: nothing but a stop ends the thread. A panic, wherever it comes from, is counted and costs one batch.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd as _, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::batch::Batch;
use crate::later::Later;
use crate::limits::{BATCH, MAX_UDP};
use crate::metric;
use crate::respond::{Peer, Responder, Transport};
use crate::streams::Messages;

/// How long a socket rests after its first error in a row; each further one doubles it.
const SHORTEST_REST: Duration = Duration::from_millis(10);
/// The longest rest of a socket, and the longest wait for anything: a stop is seen after it even if nobody wakes.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// How long what waits in the sockets is answered after a stop.
pub(crate) const DRAIN: Duration = Duration::from_secs(3);

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
    pub(crate) later: Later,
    pub(crate) shutdown: CancellationToken,
}

/// When a socket that fails is looked at again; others go on meanwhile.
#[derive(Debug, Clone, Copy, Default)]
struct Health {
    rests_until: Option<Instant>,
    failures: u32,
}

impl Health {
    fn rests(&self) -> bool {
        self.rests_until.is_some_and(|until| Instant::now() < until)
    }

    fn fail(&mut self) {
        let rest = SHORTEST_REST.saturating_mul(1 << self.failures.min(10)).min(LONGEST_WAIT);
        self.failures = self.failures.saturating_add(1);
        self.rests_until = Some(Instant::now() + rest);
    }
}

/// What a thread works with, made anew after a panic.
struct Work {
    batch: Batch,
    replies: Vec<(usize, Vec<u8>)>,
    spare: Vec<Vec<u8>>,
}

impl Work {
    fn new() -> Self {
        let reply = |_| Vec::with_capacity(usize::from(MAX_UDP));
        let replies = Vec::with_capacity(BATCH);
        Self { batch: Batch::new(), replies, spare: (0..BATCH).map(reply).collect() }
    }
}

impl UdpThread {
    /// Answers until `shutdown`, and then what waits already.
    pub(crate) fn run(mut self) {
        let mut health = vec![Health::default(); self.sockets.len()];
        let mut work = Work::new();
        while !self.shutdown.is_cancelled() {
            if !self.turn(&mut work, &mut health) {
                self.wait(&health);
            }
        }
        let end = Instant::now() + DRAIN;
        while self.turn(&mut work, &mut health) && Instant::now() < end {}
    }

    /// Answers a batch of each socket; whether there was anything. A panic is counted, and costs its batch.
    fn turn(&mut self, work: &mut Work, health: &mut [Health]) -> bool {
        let Self { sockets, responder, later, .. } = self;
        outlive(|| {
            let mut busy = false;
            for (socket, health) in sockets.iter().zip(&mut *health) {
                if !health.rests() {
                    busy |= serve(socket, (&mut *responder, &*later), work, health);
                }
            }
            busy
        })
        .unwrap_or_else(|| {
            *work = Work::new();
            true
        })
    }

    /// Waits for a datagram at a socket that is well, for the end of a rest, or for a stop.
    fn wait(&self, health: &[Health]) {
        let readable = |socket| PollFd::from_borrowed_fd(socket, PollFlags::IN);
        let (mut waited, mut most) = (vec![readable(self.wake.0.as_fd())], LONGEST_WAIT);
        for (socket, health) in self.sockets.iter().zip(health) {
            let rest =
                health.rests_until.map(|until| until.saturating_duration_since(Instant::now()));
            match rest.filter(|rest| !rest.is_zero()) {
                Some(rest) => most = most.min(rest),
                None => waited.push(readable(socket.as_fd())),
            }
        }
        let most = Timespec { tv_sec: most.as_secs() as i64, tv_nsec: most.subsec_nanos().into() };
        // An interrupted wait ends in another look at the sockets.
        let _ = poll(&mut waited, Some(&most));
    }
}

/// Does a step of a thread; `None` where it panicked, which is a bug that is counted and ends nothing.
pub(crate) fn outlive<T>(step: impl FnOnce() -> T) -> Option<T> {
    let done = catch_unwind(AssertUnwindSafe(step)).ok();
    if done.is_none() {
        counter!(metric::PANICS).increment(1);
    }
    done
}

/// Answers a batch of one socket; whether there was any.
fn serve(
    socket: &UdpSocket,
    (responder, later): (&mut Responder, &Later),
    work: &mut Work,
    health: &mut Health,
) -> bool {
    match work.batch.receive(socket.as_fd()) {
        Ok(count) => {
            *health = Health::default();
            answer(responder, work, count, |to, messages| later.send(socket, to, messages));
            let Work { batch, replies, spare } = work;
            send(batch, socket, replies);
            spare.extend(replies.drain(..).map(|(_, reply)| reply));
            count > 0
        }
        Err(error) if transient(&error) => {
            *health = Health::default();
            false
        }
        Err(error) => {
            tracing::debug!(%error, "udp socket not read");
            count_errors("receive", 1);
            health.fail();
            false
        }
    }
}

/// Whether nothing waits, or the socket is well though one datagram was not.
fn transient(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// Answers the datagrams of a batch from one view; replies take their buffers from the spare ones, of which there is one
/// for each, and those that take a while go to `later`.
fn answer(
    responder: &mut Responder,
    Work { batch, replies, spare }: &mut Work,
    count: usize,
    later: impl Fn(SocketAddr, Messages),
) {
    responder.acquire();
    responder.look_ahead((0..count).filter_map(|place| batch.query(place)));
    for place in 0..count {
        let Some((query, address)) = batch.query(place) else { continue };
        let mut reply = spare.pop().unwrap_or_default();
        let peer = Peer { address, transport: Transport::Udp };
        if responder.respond(query, peer, &mut reply) {
            replies.push((place, reply));
        } else {
            spare.push(reply);
            if let Some(messages) = responder.take_later() {
                later(address, messages);
            }
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

#[cfg(test)]
mod tests;
