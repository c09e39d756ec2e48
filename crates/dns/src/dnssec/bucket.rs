//! How many signatures a thread makes while questions wait: a bucket of tokens, so that a flood of names nobody has
//! asked for before costs a bounded part of the thread.

use holdfast_core::Timestamp;

/// Signatures per second and thread, on average.
const RATE: u64 = 1000;
/// Signatures at once.
const BURST: u64 = 1000;
/// A token, in thousandths, so that each millisecond fills in whole numbers.
const TOKEN: u64 = 1000;

/// A bucket of tokens.
#[derive(Debug)]
pub(super) struct Bucket {
    level: u64,
    filled: Timestamp,
}

impl Default for Bucket {
    fn default() -> Self {
        Self { level: BURST * TOKEN, filled: Timestamp(0) }
    }
}

impl Bucket {
    /// Takes one token; false if there is none.
    pub(super) fn take(&mut self, now: Timestamp) -> bool {
        // A clock that was set back fills nothing until it has caught up.
        let passed = now.0.saturating_sub(self.filled.0);
        self.filled = now;
        self.level = self.level.saturating_add(passed.saturating_mul(RATE)).min(BURST * TOKEN);
        let left = self.level.checked_sub(TOKEN);
        self.level = left.unwrap_or(self.level);
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_a_burst_and_then_its_rate() {
        let mut bucket = Bucket::default();
        let now = Timestamp(1_000_000);
        assert_eq!((0..5000).filter(|_| bucket.take(now)).count() as u64, BURST);
        let mut taken = 0;
        for ms in 1..=2000 {
            taken += (0..10).filter(|_| bucket.take(Timestamp(now.0 + ms))).count() as u64;
        }
        assert_eq!(taken, 2 * RATE);
    }
}
