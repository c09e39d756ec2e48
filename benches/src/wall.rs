//! The wall clock, read in one place: only to compare an observed moment with the time that an audit record carries.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// A moment on both clocks, to translate monotonic moments into wall time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Anchor {
    wall: Duration,
    mono: Instant,
}

impl Anchor {
    /// The present moment.
    #[expect(
        clippy::disallowed_methods,
        reason = "audit records carry wall time, and a benchmark has no seam"
    )]
    pub(crate) fn take() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { wall, mono: Instant::now() }
    }

    /// Milliseconds since the epoch at a later moment.
    pub(crate) fn wall_ms(&self, at: Instant) -> f64 {
        (self.wall + at.saturating_duration_since(self.mono)).as_secs_f64() * 1000.0
    }
}
