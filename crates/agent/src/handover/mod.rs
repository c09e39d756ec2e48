//! Replaces a running agent without a lost DNS answer: sockets, then the data directory, go from one process to the next.
//!
//! ```text
//! starting                         running
//!    │ ── hello ─────────────────▶    │  is it root or the same user?
//!    │ ◀──────────────── sockets ──   │  goes on as before
//!    │                                │  group, audit and API stop; leadership goes to another agent
//!    │ ◀── free (view on disk) ────   │  answers from its last view
//!  answers too, from that view        │
//!    │ ── serving ───────────────▶    │  its place in the data directory is gone
//!    │ ◀───────────────── yours ───   │  answers what it has taken, and ends
//!  opens the data directory
//! ```
//!
//! Both hold the very same sockets, so each datagram and connection is taken by one of them. Every wait is bounded. Up to
//! `yours`, whatever goes wrong on either side leaves the running agent in charge: it opens its own data directory again,
//! which nobody else has touched. From `yours` on, it is the other's.
//!
//! Invariant: never two owners of the data directory, never nobody who reads the sockets while one of the two lives.

mod message;
mod predecessor;
mod release;
mod successor;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) use predecessor::{Given, Predecessor, running};
pub(crate) use release::released;
pub(crate) use successor::{Station, Successor};

/// What a starting agent does about one that runs with its data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// It refuses to start.
    Alone,
    /// It takes over; where none runs, it starts as ever.
    Replace,
}

/// A greeting and what answers it come within this.
const GREETING_WAIT: Duration = Duration::from_secs(5);
/// The running agent has stopped everything but DNS within this.
const FREE_WAIT: Duration = Duration::from_secs(60);
/// The files of the data directory are let go of within this.
const RELEASE_WAIT: Duration = Duration::from_secs(10);
/// The starting agent answers DNS within this.
const SERVING_WAIT: Duration = Duration::from_secs(30);

/// How long each side waits for the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waits {
    /// For a greeting, and for what answers one.
    pub(crate) greeting: Duration,
    /// For everything but DNS to have stopped.
    pub(crate) free: Duration,
    /// For the files of the data directory.
    pub(crate) release: Duration,
    /// For the starting agent to answer.
    pub(crate) serving: Duration,
}

impl Default for Waits {
    fn default() -> Self {
        Self {
            greeting: GREETING_WAIT,
            free: FREE_WAIT,
            release: RELEASE_WAIT,
            serving: SERVING_WAIT,
        }
    }
}

/// The socket of an agent that can be replaced.
pub(crate) fn socket_in(data_dir: &Path) -> PathBuf {
    data_dir.join("handover.sock")
}

/// Why an agent does not replace the one that runs, or is not replaced.
#[derive(Debug, thiserror::Error)]
pub enum HandoverError {
    /// The other side ended, or the socket failed.
    #[error("{step}: {source}; the running agent goes on, its log says more")]
    Broken {
        /// What was under way.
        step: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// The other side does nothing.
    #[error(
        "{step}: nothing came within {waited:?}; if the running agent hangs, stop it and start without `--replace`"
    )]
    Silent {
        /// What was under way.
        step: &'static str,
        /// How long was waited.
        waited: Duration,
    },
    /// The running agent does not want to.
    #[error("the running agent refuses: {0}")]
    Refused(String),
    /// The socket is another user's.
    #[error(
        "the process at the other end runs as user id {uid}, which is neither root nor this agent's user; start as the \
         user of the running agent, or as root"
    )]
    Stranger {
        /// Whose process it is.
        uid: u32,
    },
    /// Something else was said than expected.
    #[error(
        "{step}: something else was said than this version expects; stop the running agent and start without `--replace`"
    )]
    Unexpected {
        /// What was under way.
        step: &'static str,
    },
}
