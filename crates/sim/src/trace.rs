//! What happened, line by line: a running SHA-256 over every line, and the text where somebody wants to read it.
//!
//! Two runs of one seed must leave the same trace, byte for byte. A line holds virtual time and facts, and never
//! anything of the process that ran it.

use std::fmt;
use std::io::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use holdfast_core::audit::Hash;
use tokio::time::Instant;

/// The trace of one run; clones write to the same.
#[derive(Clone)]
pub(crate) struct Trace(Arc<Mutex<Inner>>);

struct Inner {
    begun: Instant,
    hash: Hash,
    lines: u64,
    shown: bool,
}

impl Trace {
    /// An empty trace that begins now. Where `shown`, each line is printed as well.
    pub(crate) fn new(shown: bool) -> Self {
        let inner = Inner { begun: Instant::now(), hash: Hash::GENESIS, lines: 0, shown };
        Self(Arc::new(Mutex::new(inner)))
    }

    /// Adds a line.
    pub(crate) fn note(&self, what: fmt::Arguments<'_>) {
        let mut inner = self.lock();
        let at = inner.begun.elapsed().as_micros();
        let line = format!("{:>5}.{:06} {what}\n", at / 1_000_000, at % 1_000_000);
        let mut bytes = inner.hash.0.to_vec();
        bytes.extend_from_slice(line.as_bytes());
        inner.hash = Hash::of(&bytes);
        inner.lines += 1;
        if inner.shown {
            // A reader that has gone away does not change what happens.
            let _ = std::io::stdout().lock().write_all(line.as_bytes());
        }
    }

    /// The hash over all lines, and how many there are.
    pub(crate) fn digest(&self) -> (Hash, u64) {
        let inner = self.lock();
        (inner.hash, inner.lines)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds a line to a trace, formatted as `format!` does.
macro_rules! note {
    ($trace:expr, $($what:tt)+) => {
        $trace.note(format_args!($($what)+))
    };
}
pub(crate) use note;
