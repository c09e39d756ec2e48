//! Chance. One seed makes any number of independent streams, each named by its purpose, so that drawing more in one
//! place does not shift what another place draws.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use holdfast_core::audit::Hash;
use holdfast_core::seam::Entropy;
use rand::{Rng as _, RngCore as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// One stream of chance.
pub(crate) struct Dice(Mutex<ChaCha8Rng>);

impl Dice {
    /// The stream of `seed` for this purpose.
    pub(crate) fn new(seed: u64, purpose: &str) -> Self {
        Self(Mutex::new(ChaCha8Rng::from_seed(Hash::of_value(&(seed, purpose)).0)))
    }

    /// A number of `0..limit`.
    pub(crate) fn below(&self, limit: u64) -> u64 {
        self.between(0, limit.max(1) - 1)
    }

    /// A number of `low..=high`.
    pub(crate) fn between(&self, low: u64, high: u64) -> u64 {
        self.with(|rng| rng.random_range(low..=high.max(low)))
    }

    /// A duration in milliseconds of `low..=high`.
    pub(crate) fn millis(&self, low: u64, high: u64) -> Duration {
        Duration::from_millis(self.between(low, high))
    }

    /// True so many times in a thousand.
    pub(crate) fn permille(&self, share: u64) -> bool {
        self.below(1000) < share
    }

    /// One of `choices`, which are not empty.
    pub(crate) fn pick<'a, T>(&self, choices: &'a [T]) -> &'a T {
        &choices[self.index(choices.len())]
    }

    /// `items` in another order.
    pub(crate) fn shuffle<T>(&self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.index(last + 1));
        }
    }

    fn index(&self, length: usize) -> usize {
        self.with(|rng| rng.random_range(0..length))
    }

    fn with<T>(&self, draw: impl FnOnce(&mut ChaCha8Rng) -> T) -> T {
        draw(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Entropy for Dice {
    fn next_u64(&self) -> u64 {
        self.with(|rng| rng.next_u64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_depends_on_seed_and_purpose_alone() {
        let draws = |seed, purpose| {
            let dice = Dice::new(seed, purpose);
            (0..8).map(|_| dice.below(1_000_000)).collect::<Vec<_>>()
        };
        assert_eq!(draws(1, "net"), draws(1, "net"));
        assert_ne!(draws(1, "net"), draws(2, "net"));
        assert_ne!(draws(1, "net"), draws(1, "disk"));
    }
}
