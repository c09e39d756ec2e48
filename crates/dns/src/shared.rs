//! The responder that the connections of a thread share.
//!
//! A responder owns the room for signatures and replies, which is dear for each of a thousand connections and cheap
//! for one thread. Answering is one step without waiting, so connections take turns under a lock that is held for that
//! step only; on a runtime of one thread it is always free.

use std::sync::{Arc, Mutex, PoisonError};

use crate::respond::Responder;

/// A handle to a shared responder.
#[derive(Debug, Clone)]
pub(crate) struct SharedResponder(Arc<Mutex<Responder>>);

impl SharedResponder {
    pub(crate) fn new(responder: Responder) -> Self {
        Self(Arc::new(Mutex::new(responder)))
    }

    /// Answers from the view that is served at this moment.
    pub(crate) fn answer<T>(&self, answer: impl FnOnce(&mut Responder) -> T) -> T {
        // A panic while answering is caught inside the responder.
        let mut responder = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        responder.acquire();
        let answered = answer(&mut responder);
        responder.release();
        answered
    }
}
