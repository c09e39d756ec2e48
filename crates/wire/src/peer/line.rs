//! Many questions on one long-lived stream: what a call of its own costs in headers, tasks and timers at both ends is
//! more than what most questions carry.
//!
//! ```text
//! ask() ─▶ queue ─▶ Question{number, message} ══Converse══▶ peer ══▶ Answer{number, reply} ─▶ whoever asked
//! ```
//!
//! Answers come in any order. A stream that ends leaves everything that was asked on it unanswered, and the next
//! question opens another. Large messages do not pass here, because whatever is behind them would wait.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use super::envelope::to_proto;
use super::grpc::{answer, failure, not_sent};
use super::{Message, MessageKind, WireError};
use crate::pb::internal::v1 as pb;
use crate::pb::internal::v1::peer_service_client::PeerServiceClient;

/// Questions on one line that wait for their answers; further ones wait for a place.
pub(super) const MAX_ASKED: usize = 512;
/// The largest body that passes.
pub(super) const MAX_BODY_BYTES: usize = 64 * 1024;

/// One way to one peer.
#[derive(Debug)]
pub(super) struct Line {
    client: PeerServiceClient<Channel>,
    places: Semaphore,
    open: Mutex<Option<Session>>,
}

/// An open stream.
#[derive(Debug, Clone)]
struct Session {
    queue: mpsc::Sender<Asked>,
    /// Why it ended, once it has.
    ended: watch::Receiver<Option<WireError>>,
}

#[derive(Debug)]
struct Asked {
    message: pb::PeerMessage,
    /// Set by whoever is first: the transport that takes it, which it does only once there is a connection, or
    /// whoever asked and gives up, and then it is not sent.
    taken: Arc<AtomicBool>,
    reply: oneshot::Sender<pb::PeerReply>,
}

/// Who waits for the answer to which number.
#[derive(Debug, Default)]
struct Waiting(Mutex<BTreeMap<u64, oneshot::Sender<pb::PeerReply>>>);

impl Line {
    pub(super) fn new(client: PeerServiceClient<Channel>) -> Self {
        Self { client, places: Semaphore::new(MAX_ASKED), open: Mutex::default() }
    }

    /// Whether a line is for such messages, small and many; what else arrives on one is refused.
    pub(super) fn carries(kind: MessageKind, body: &Bytes) -> bool {
        matches!(kind, MessageKind::AppendEntries | MessageKind::Propose)
            && body.len() <= MAX_BODY_BYTES
    }

    /// Asks, opening the stream where there is none. Errors: as [`super::Wire::call`].
    pub(super) async fn ask(
        &self,
        message: Message,
        timeout: Duration,
    ) -> Result<Bytes, WireError> {
        let taken = Arc::new(AtomicBool::new(false));
        let asking = self.ask_patiently(to_proto(message), Arc::clone(&taken));
        let failed = match tokio::time::timeout(timeout, asking).await {
            Ok(Ok(reply)) => return answer(reply),
            Ok(Err(failed)) => failed,
            Err(_) => WireError::Timeout(timeout),
        };
        Err(if taken.swap(true, Ordering::AcqRel) { failed } else { not_sent(failed) })
    }

    async fn ask_patiently(
        &self,
        message: pb::PeerMessage,
        taken: Arc<AtomicBool>,
    ) -> Result<pb::PeerReply, WireError> {
        let _place = self.places.acquire().await.expect("the places are never closed");
        let mut session = self.session();
        let (reply, replied) = oneshot::channel();
        // A queue that is closed drops the question, and with it who would reply.
        let _ = session.queue.send(Asked { message, taken, reply }).await;
        if let Ok(reply) = replied.await {
            return Ok(reply);
        }
        let ended = session.ended.wait_for(Option::is_some).await;
        Err(ended.ok().and_then(|why| why.clone()).unwrap_or_else(closed))
    }

    fn session(&self) -> Session {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = open.as_ref().filter(|session| session.is_open()) {
            return session.clone();
        }
        let (queue, asked) = mpsc::channel(MAX_ASKED);
        let (end, ended) = watch::channel(None);
        tokio::spawn(converse(self.client.clone(), asked, end));
        open.insert(Session { queue, ended }).clone()
    }
}

impl Session {
    fn is_open(&self) -> bool {
        !self.queue.is_closed() && matches!(self.ended.has_changed(), Ok(false))
    }
}

fn closed() -> WireError {
    WireError::Unreachable("the peer closed the conversation".to_owned())
}

/// A conversation has no time limit that could have been exceeded.
fn broken_off(status: &Status) -> WireError {
    match failure(status, Duration::ZERO) {
        WireError::Timeout(_) => WireError::Unreachable(status.message().to_owned()),
        failed => failed,
    }
}

async fn converse(
    mut client: PeerServiceClient<Channel>,
    asked: mpsc::Receiver<Asked>,
    end: watch::Sender<Option<WireError>>,
) {
    let waiting = Arc::new(Waiting::default());
    let questions = Questions { asked, waiting: Arc::clone(&waiting), next: 0 };
    let why = match client.converse(questions).await {
        Ok(answers) => waiting.answer(answers.into_inner()).await,
        Err(status) => broken_off(&status),
    };
    end.send_replace(Some(why));
    waiting.lock().clear();
}

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, oneshot::Sender<pb::PeerReply>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, number: u64, reply: oneshot::Sender<pb::PeerReply>) {
        let mut waiting = self.lock();
        if waiting.len() >= 2 * MAX_ASKED {
            waiting.retain(|_, reply| !reply.is_closed());
        }
        waiting.insert(number, reply);
    }

    /// Hands out answers until there are no more, and says why.
    async fn answer(&self, mut answers: Streaming<pb::Answer>) -> WireError {
        loop {
            match answers.message().await {
                Ok(Some(pb::Answer { number, reply: Some(reply) })) => {
                    if let Some(waiting) = self.lock().remove(&number) {
                        // Whoever asked may be gone.
                        let _ = waiting.send(reply);
                    }
                }
                Ok(Some(pb::Answer { reply: None, .. })) => {
                    return WireError::Broken("an answer without a reply".to_owned());
                }
                Ok(None) => return closed(),
                Err(status) => return broken_off(&status),
            }
        }
    }
}

/// Questions on their way.
struct Questions {
    asked: mpsc::Receiver<Asked>,
    waiting: Arc<Waiting>,
    next: u64,
}

impl Stream for Questions {
    type Item = pb::Question;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let Some(asked) = ready!(self.asked.poll_recv(context)) else {
                return Poll::Ready(None);
            };
            if asked.reply.is_closed() || asked.taken.swap(true, Ordering::AcqRel) {
                continue;
            }
            self.next += 1;
            let number = self.next;
            self.waiting.enter(number, asked.reply);
            return Poll::Ready(Some(pb::Question { number, message: Some(asked.message) }));
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;

    use super::*;

    #[tokio::test]
    async fn a_question_that_was_given_up_is_not_sent() {
        let (queue, asked) = mpsc::channel(2);
        let waiting = Arc::new(Waiting::default());
        let questions = Questions { asked, waiting: Arc::clone(&waiting), next: 0 };
        let mut replies = Vec::new();
        for given_up in [true, false] {
            let (reply, replied) = oneshot::channel();
            replies.push(replied);
            let taken = Arc::new(AtomicBool::new(given_up));
            let message = pb::PeerMessage { from: u64::from(given_up), ..Default::default() };
            queue.try_send(Asked { message, taken, reply }).expect("there is room");
        }
        drop(queue);
        let sent: Vec<pb::Question> = questions.collect().await;
        let from = |question: &pb::Question| question.message.as_ref().map(|m| m.from);
        assert_eq!(sent.iter().map(from).collect::<Vec<_>>(), [Some(0)]);
        assert_eq!(waiting.lock().len(), 1);
    }
}
