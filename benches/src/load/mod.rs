//! Generators of DNS load that check what they are answered.
//!
//! ```text
//! closed  256 questions under way, many per system call: how many answers a second a server has in it
//! tcp     one question under way on each of some connections
//! paced   questions at a fixed rate, answered or not: how long an answer takes below saturation
//! ```
//!
//! What is probed meanwhile (`listeners`) is served by the paced generator, between its questions.
//!
//! A reply counts as an answer only with the right id, the question repeated byte for byte, not truncated, and with the
//! response code and number of records that the question calls for, so that nobody wins by wrong answers. Each
//! generator is one thread on one processor; its own time per question is far below what any server spends.

pub(crate) mod closed;
pub(crate) mod dnsperf;
pub(crate) mod listeners;
pub(crate) mod paced;
pub(crate) mod tcp;

use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::thread::{CpuSet, sched_setaffinity};
use tokio::sync::oneshot;

/// The bytes of a header.
const HEADER: usize = 12;
/// The most bytes of a reply that is read; all servers answer in far fewer.
const REPLY: usize = 1500;

/// A question with what its answer must be.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    /// The message, with id 0.
    pub wire: Vec<u8>,
    /// Where its question section ends.
    pub question_end: usize,
    /// The right answer.
    pub expected: Expected,
}

/// What an answer is checked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Expected {
    /// The response code.
    pub code: u8,
    /// Records in the answer section.
    pub answers: u16,
}

/// What came of a load.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Outcome {
    /// Right answers.
    pub answered: u64,
    /// Replies that are no right answers.
    pub wrong: u64,
    /// Questions without a reply in time.
    pub lost: u64,
    /// How long it took.
    pub span: Duration,
}

impl Outcome {
    /// Right answers per second.
    pub(crate) fn rate(&self) -> f64 {
        self.answered as f64 / self.span.as_secs_f64().max(f64::EPSILON)
    }
}

impl Question {
    /// Whether these bytes are the right answer to this question, asked with this id.
    fn is_answered_by(&self, id: u16, reply: &[u8]) -> bool {
        let Some(header) = reply.first_chunk::<HEADER>() else { return false };
        const QR: u8 = 0x80;
        const TC: u8 = 0x02;
        u16::from_be_bytes([header[0], header[1]]) == id
            && header[2] & (QR | TC) == QR
            && header[3] & 0x0f == self.expected.code
            && u16::from_be_bytes([header[6], header[7]]) == self.expected.answers
            && reply.get(HEADER..self.question_end) == Some(&self.wire[HEADER..self.question_end])
    }
}

/// Runs a generator on a thread of its own, pinned to a processor.
pub(crate) async fn on_cpu<T: Send + 'static>(
    cpu: usize,
    generate: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let (done, outcome) = oneshot::channel();
    std::thread::Builder::new().name("load".into()).spawn(move || {
        let mut set = CpuSet::new();
        set.set(cpu);
        let pinned = sched_setaffinity(None, &set).context("cannot pin the generator");
        // Nobody waits for it any more where the benchmark was stopped.
        drop(done.send(pinned.and_then(|()| generate())));
    })?;
    outcome.await.context("the generator ended without an outcome")?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question() -> Question {
        let wire = b"\0\0\x01\0\0\x01\0\0\0\0\0\0\x01a\0\0\x01\0\x01".to_vec();
        let question_end = wire.len();
        Question { wire, question_end, expected: Expected { code: 0, answers: 1 } }
    }

    fn reply(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut bytes = b"\x12\x34\x84\0\0\x01\0\x01\0\0\0\0\x01a\0\0\x01\0\x01...".to_vec();
        change(&mut bytes);
        bytes
    }

    #[test]
    fn only_right_answers_count() {
        let right = |bytes: Vec<u8>| question().is_answered_by(0x1234, &bytes);
        assert!(right(reply(|_| {})));
        assert!(!right(reply(|bytes| bytes[1] = 0x35)), "another id");
        assert!(!right(reply(|bytes| bytes[2] = 0x04)), "a question");
        assert!(!right(reply(|bytes| bytes[2] = 0x86)), "truncated");
        assert!(!right(reply(|bytes| bytes[3] = 3)), "another code");
        assert!(!right(reply(|bytes| bytes[7] = 0)), "no record");
        assert!(!right(reply(|bytes| bytes[13] = b'b')), "another name");
        assert!(!right(reply(|bytes| bytes.truncate(11))), "no header");
        assert!(!right(reply(|bytes| bytes.truncate(15))), "no question");
    }
}
