//! The wall clock, read in one place: only to compare an observed moment with the time that something else carries, an
//! audit record or a datagram that the kernel received.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// Time since the epoch.
#[expect(clippy::disallowed_methods, reason = "the kernel stamps datagrams with wall time")]
pub(crate) fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// A moment on both clocks, to translate monotonic moments into wall time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Anchor {
    wall: Duration,
    mono: Instant,
}

impl Anchor {
    /// The present moment.
    pub(crate) fn take() -> Self {
        Self { wall: now(), mono: Instant::now() }
    }

    /// Milliseconds since the epoch at a later moment.
    pub(crate) fn wall_ms(&self, at: Instant) -> f64 {
        (self.wall + at.saturating_duration_since(self.mono)).as_secs_f64() * 1000.0
    }
}
