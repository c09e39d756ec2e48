//! The seams through which time and chance enter a running agent, so that a simulation can own both.
//!
//! Monotonic time is tokio's own clock, which a simulation pauses; wall time and randomness come through here.

use crate::time::Timestamp;

/// Wall time. Used for stamps and for people, never to measure how long something took.
pub trait Clock: Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> Timestamp;
}

/// Randomness: boot ids, request ids, jitter.
pub trait Entropy: Send + Sync + 'static {
    /// The next 64 random bits.
    fn next_u64(&self) -> u64;
}
