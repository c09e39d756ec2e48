//! One connection of DNS messages with a length before each: TCP (RFC 7766), and TLS over it (RFC 7858).
//!
//! Queries may be pipelined; we make an answer at once, so in order is the fastest order. Several that wait are
//! answered by one write. What takes a while ([`Streams`](crate::streams::Streams): transfers, updates) is passed by the
//! queries behind it (RFC 7766, 6.2.1.1): each of its messages is written as it is made, as soon as the peer has taken what
//! was written before. While a peer does not take its replies, nothing more is read from it. A deadline is for a
//! whole query: bytes that trickle in do not move it. A half-closed connection is answered to its end. One alarm rings
//! for all deadlines of a connection and is put off when it rings, not at each reply, which would cost as much as an answer.
//!
//! When the server stops, a connection is answered until it has been silent for [`DRAIN_IDLE`], at most [`DRAIN_MAX`].

use std::io;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use futures_util::stream::{BoxStream, SelectAll};
use futures_util::{StreamExt as _, poll, stream};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::admission::Place;
use crate::limits::MAX_TCP;
use crate::respond::{Peer, Responder};
use crate::shared::SharedResponder;
use crate::streams::Messages;

/// How many bytes are read at a time.
const READ: usize = 4096;
/// Replies are written when they have this many bytes, though more queries wait.
const WRITE: usize = 16 * 1024;
/// Replies of a connection that take a while, at a time: with so many, nothing more is read.
const UNDER_WAY: usize = 8;
/// The longest wait for the next message of replies that take a while.
const NEXT_MESSAGE: Duration = Duration::from_secs(10);
/// How long a connection may be silent while the server stops.
const DRAIN_IDLE: Duration = Duration::from_millis(250);
/// How long a connection goes on while the server stops.
const DRAIN_MAX: Duration = Duration::from_secs(3);

/// A connection and what answers on it.
pub(crate) struct Connection<S> {
    stream: S,
    peer: Peer,
    responder: SharedResponder,
    place: Place,
    /// When the next whole query has to be there.
    deadline: Instant,
    /// Bytes that are not yet answered: at most one query that is not whole, and what one read brings.
    inbox: BytesMut,
    reply: Vec<u8>,
    outbox: Vec<u8>,
    under_way: SelectAll<BoxStream<'static, Part>>,
    /// How many replies are under way: `under_way` holds one that has ended for a moment longer.
    replies: usize,
}

/// A message of a reply that takes a while; `None` once after its last.
type Part = Option<Vec<u8>>;

/// What is left to do after the queries that wait.
enum Left {
    /// More queries wait: the outbox is full.
    Queries,
    /// Nothing is whole, or too much is under way.
    Nothing,
    /// A message deserved silence: whoever sends one over TCP is no client, and is disconnected.
    Impropriety,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub(crate) fn new(stream: S, peer: Peer, responder: SharedResponder, place: Place) -> Self {
        let deadline = Instant::now() + place.config().first_query_timeout;
        let (inbox, reply, outbox) = (BytesMut::new(), Vec::new(), Vec::new());
        let under_way = SelectAll::new();
        Self {
            stream,
            peer,
            responder,
            place,
            deadline,
            inbox,
            reply,
            outbox,
            under_way,
            replies: 0,
        }
    }

    /// Answers until the peer is done, a limit is met, the place is needed by others, or `shutdown`.
    pub(crate) async fn run(mut self, shutdown: &CancellationToken) -> io::Result<()> {
        let leave = self.place.leave().clone();
        let write_timeout = self.place.config().write_timeout;
        tokio::select! {
            () = leave.cancelled() => return Ok(()),
            ended = self.converse(shutdown) => ended?,
        }
        timeout(write_timeout, self.stream.shutdown()).await?
    }

    async fn converse(&mut self, shutdown: &CancellationToken) -> io::Result<()> {
        let mut stop: Option<Instant> = None;
        let mut stopping = pin!(shutdown.cancelled());
        let mut alarm = pin!(sleep_until(self.deadline));
        let mut open = true;
        loop {
            let left = self.answer_waiting();
            self.write().await?;
            match left {
                Left::Queries => continue,
                Left::Impropriety => return Ok(()),
                Left::Nothing => {}
            }
            let (reads, waits) = (open && self.has_room(), self.replies > 0);
            if !reads && !waits {
                return Ok(());
            }
            if let Some(stop) = stop {
                let silence = if waits { stop } else { Instant::now() + DRAIN_IDLE };
                self.deadline = self.deadline.min(stop).min(silence);
            }
            // One byte of room is enough for the read to end; a whole query ends the deadline.
            self.inbox.reserve(READ);
            // None comes first: neither a peer that never pauses nor a long reply keeps the rest from its turn.
            tokio::select! {
                () = &mut stopping, if stop.is_none() => stop = Some(Instant::now() + DRAIN_MAX),
                read = self.stream.read_buf(&mut self.inbox), if reads => open = read? > 0,
                part = self.under_way.next(), if waits => self.pass_on(part.flatten()).await?,
                () = ring(alarm.as_mut(), self.deadline) => return Ok(()),
            }
        }
    }

    fn has_room(&self) -> bool {
        self.replies < UNDER_WAY
    }

    /// Answers the whole queries of the inbox into the outbox, as many as one write takes.
    fn answer_waiting(&mut self) -> Left {
        let shared = self.responder.clone();
        shared.answer(|responder| self.answer_some(responder))
    }

    fn answer_some(&mut self, responder: &mut Responder) -> Left {
        while self.has_room()
            && let Some(length) = whole_message(&self.inbox)
        {
            if self.outbox.len() >= WRITE {
                return Left::Queries;
            }
            let message = &self.inbox[2..2 + length];
            if let Some(messages) = responder.stream(message, self.peer) {
                self.inbox.advance(2 + length);
                self.under_way.push(parts_of(messages));
                self.replies += 1;
                self.put_off();
                continue;
            }
            let proper = responder.respond(message, self.peer, &mut self.reply);
            self.inbox.advance(2 + length);
            if !proper {
                return Left::Impropriety;
            }
            frame(&self.reply, &mut self.outbox);
        }
        Left::Nothing
    }

    /// Writes what is in the outbox, if anything; the peer has a new deadline then.
    async fn write(&mut self) -> io::Result<()> {
        if self.outbox.is_empty() {
            return Ok(());
        }
        let write_timeout = self.place.config().write_timeout;
        let mut written = pin!(async {
            self.stream.write_all(&self.outbox).await?;
            self.stream.flush().await
        });
        match poll!(written.as_mut()) {
            Poll::Ready(written) => written?,
            Poll::Pending => timeout(write_timeout, written).await??,
        }
        self.outbox.clear();
        self.place.touch();
        self.put_off();
        Ok(())
    }

    /// Gives the peer a new deadline.
    fn put_off(&mut self) {
        let idle = self.place.config().idle_timeout;
        let wait = if self.replies == 0 { idle } else { idle.max(NEXT_MESSAGE) };
        self.deadline = Instant::now() + wait;
    }

    async fn pass_on(&mut self, part: Part) -> io::Result<()> {
        let Some(message) = part else {
            self.replies = self.replies.saturating_sub(1);
            self.put_off();
            return Ok(());
        };
        if message.is_empty() {
            return Err(io::Error::other("a reply of many messages could not be completed"));
        }
        frame(&message, &mut self.outbox);
        self.write().await?;
        // Making a message costs time too, and the runtime counts only what is read and written.
        tokio::task::yield_now().await;
        Ok(())
    }
}

fn parts_of(messages: Messages) -> BoxStream<'static, Part> {
    messages.map(Some).chain(stream::iter([None])).boxed()
}

/// Waits for this deadline by an alarm that is set for it or for an earlier one.
async fn ring(mut alarm: Pin<&mut Sleep>, deadline: Instant) {
    if deadline < alarm.deadline() {
        alarm.as_mut().reset(deadline);
    }
    alarm.as_mut().await;
    while alarm.deadline() < deadline {
        alarm.as_mut().reset(deadline);
        alarm.as_mut().await;
    }
}

/// Appends a message with its length before it.
fn frame(message: &[u8], outbox: &mut Vec<u8>) {
    debug_assert!(message.len() <= usize::from(MAX_TCP), "whoever makes it is limited to that");
    let length = u16::try_from(message.len()).unwrap_or(MAX_TCP);
    outbox.extend_from_slice(&length.to_be_bytes());
    outbox.extend_from_slice(&message[..usize::from(length)]);
}

/// The length of the message that the bytes begin with, if all of it is there.
fn whole_message(bytes: &[u8]) -> Option<usize> {
    let (length, rest) = bytes.split_first_chunk()?;
    let length = usize::from(u16::from_be_bytes(*length));
    (rest.len() >= length).then_some(length)
}

#[cfg(test)]
mod tests;
