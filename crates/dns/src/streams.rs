//! The seam for what cannot be answered by one message made at once: transfers, which are many, and updates, which
//! other agents have to agree on first.
//!
//! The connection asks [`Streams`] before the responder. What it is given it *pulls*: the next message is asked for
//! when the peer has taken the one before, so a transfer needs the room of one message, whatever the zone's size, and a
//! peer that stops reading stops it. Dropping the stream cancels it. Queries behind it are answered meanwhile (RFC 7766,
//! 6.2.1.1).
//!
//! What is signed, and what is no query and came in a datagram, comes here by [`Streams::special`], from the responder.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::Stream;

use crate::publish::Published;
use crate::respond::Peer;

/// The messages of one reply, in order, each whole and at most 65,535 bytes. Ends after the last. An empty message ends
/// the connection: what was begun cannot be completed.
pub type Messages = Pin<Box<dyn Stream<Item = Vec<u8>> + Send>>;

/// Appends to a reply.
pub type Append = Box<dyn FnOnce(&mut Vec<u8>)>;

/// Finishes a reply, such as by signing it.
pub struct Finish {
    /// The bytes that are appended at the most.
    pub room: u16,
    /// Appends them.
    pub append: Append,
}

impl fmt::Debug for Finish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Finish").field("room", &self.room).finish_non_exhaustive()
    }
}

/// What becomes of a message that the responder cannot answer by itself.
pub enum Special {
    /// This is the reply.
    Reply(Vec<u8>),
    /// The query inside is the responder's; the reply to it is finished by this.
    Query(Vec<u8>, Finish),
    /// The reply takes a while; of a datagram, the first message is it. At most a few hundred at a time.
    Later(Messages),
}

impl fmt::Debug for Special {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reply(_) => "Reply",
            Self::Query(..) => "Query",
            Self::Later(_) => "Later",
        })
    }
}

/// Answers messages over streams (TCP, TLS, QUIC) that are not for the responder.
pub trait Streams: fmt::Debug + Send + Sync {
    /// The reply to a message; `None` leaves it to the responder. Called for each message before anything else looks at
    /// it: total on any bytes, quick, and without waiting. `published` is the view that is served, if there is one.
    fn reply(
        &self,
        message: &[u8],
        peer: Peer,
        published: Option<&Arc<Published>>,
    ) -> Option<Messages>;

    /// The reply to a message that the responder cannot answer by itself: it is signed, or asks for an increment, or is
    /// a NOTIFY or an UPDATE. As total and as quick as [`Streams::reply`].
    fn special(&self, message: &[u8], peer: Peer, published: Option<&Arc<Published>>) -> Special;
}
