//! What the concurrent requests of one connection share: the place, and when it was last in use.
//!
//! HTTP/2 and QUIC carry many requests at a time on one connection, each in a task. Answering is one step without
//! waiting, so they take turns under a lock that is held for that step only.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::admission::Place;
use crate::config::TcpConfig;
use crate::respond::Peer;
use crate::shared::SharedResponder;
use crate::streams::Messages;

/// The reply to a request.
pub(crate) enum Reply {
    /// One message.
    Message(Vec<u8>),
    /// Several, or one that has to be waited for.
    Messages(Messages),
}

/// One connection's.
#[derive(Debug)]
pub(crate) struct Desk {
    peer: Peer,
    config: TcpConfig,
    leave: CancellationToken,
    responder: SharedResponder,
    inside: Mutex<Inside>,
}

#[derive(Debug)]
struct Inside {
    place: Place,
    used: Instant,
}

impl Desk {
    pub(crate) fn new(peer: Peer, responder: SharedResponder, place: Place) -> Self {
        let (config, leave) = (place.config().clone(), place.leave().clone());
        let inside = Mutex::new(Inside { place, used: Instant::now() });
        Self { peer, config, leave, responder, inside }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.peer.address
    }

    pub(crate) fn config(&self) -> &TcpConfig {
        &self.config
    }

    /// Is cancelled when the connection has to go.
    pub(crate) fn leave(&self) -> &CancellationToken {
        &self.leave
    }

    /// When the connection has been idle for too long.
    pub(crate) fn deadline(&self) -> Instant {
        self.lock().used + self.config.idle_timeout
    }

    /// Answers a message; `None` for silence. `transfers` says whether a reply may have many messages.
    pub(crate) fn answer(&self, message: &[u8], transfers: bool) -> Option<Reply> {
        self.touch();
        self.responder.answer(|responder| {
            let messages = if transfers { responder.stream(message, self.peer) } else { None };
            if let Some(messages) = messages {
                return Some(Reply::Messages(messages));
            }
            let mut out = Vec::new();
            responder.respond(message, self.peer, &mut out).then_some(Reply::Message(out))
        })
    }

    fn touch(&self) {
        let mut inside = self.lock();
        inside.used = Instant::now();
        inside.place.touch();
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        // Nothing panics while it is held.
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
