//! The seam for what cannot be answered by one message made at once: transfers, which are many, and updates, which
//! other agents have to agree on first.
//!
//! The connection asks [`Streams`] before the responder. What it is given it *pulls*: the next message is asked for
//! when the peer has taken the one before, so a transfer needs the room of one message, whatever the zone's size, and a
//! peer that stops reading stops it. Dropping the stream cancels it. While it lasts nothing else of that connection is
//! answered (RFC 7766, 6.2.1 lets the server choose), and all other connections are.
//!
//! Invariant: only what comes over a stream gets here, never a datagram.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::Stream;

use crate::publish::Published;
use crate::respond::Peer;

/// The messages of one reply, in order, each whole and at most 65,535 bytes. Ends after the last. An empty message ends
/// the connection: what was begun cannot be completed.
pub type Messages = Pin<Box<dyn Stream<Item = Vec<u8>> + Send>>;

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
}
