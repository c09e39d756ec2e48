//! How many signatures a thread makes while questions wait: a bounded part of its time, whatever is asked.
//!
//! ```text
//! names that exist ───────────────────────────────────────▶ the thread's bucket, all of it
//! names made up, by network ─▶ the network's bucket ─ and ─▶ the thread's bucket, its upper half
//! ```
//!
//! Names that exist have an end; those that whoever asks makes up have none. So a flood of the latter leaves half of the
//! bucket to the former, and one network with such a flood leaves three quarters of their part to the others.
//!
//! What it deliberately does not decide: which names exist (`existence`).

use std::hash::{BuildHasher as _, RandomState};

use holdfast_core::Timestamp;

/// Signatures per second and thread, on average, and at once.
const RATE: u64 = 1000;
/// Signatures that are left to names that exist.
const RESERVED: u64 = RATE / 2;
/// Signatures per second, on average and at once, for what one network makes up.
const SHARE: u64 = RATE / 4;
/// Buckets of networks; networks that meet in one share it.
const SHARES: usize = 1 << 10;
/// A token, in thousandths, so that each millisecond fills in whole numbers.
const TOKEN: u64 = 1000;

/// What a signature is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Demand {
    /// A name that exists.
    Declared,
    /// A name that somebody in this network made up.
    MadeUp(u64),
}

/// What a thread may sign.
#[derive(Debug)]
pub(super) struct Budget {
    thread: Bucket,
    shares: Box<[Bucket]>,
    random: RandomState,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            thread: Bucket::full(RATE),
            shares: vec![Bucket::full(SHARE); SHARES].into(),
            random: RandomState::new(),
        }
    }
}

impl Budget {
    /// Takes what one signature costs; false if that is not there.
    pub(super) fn take(&mut self, now: Timestamp, demand: Demand) -> bool {
        self.thread.fill(now, RATE);
        let Demand::MadeUp(network) = demand else { return self.thread.take(0) };
        let place = self.place_of(network);
        let share = &mut self.shares[place];
        share.fill(now, SHARE);
        self.thread.has(RESERVED) && share.take(0) && self.thread.take(RESERVED)
    }

    fn place_of(&self, network: u64) -> usize {
        // The remainder fits any usize.
        (self.random.hash_one(network) % SHARES as u64) as usize
    }
}

/// A bucket of tokens that holds a second's worth.
#[derive(Debug, Clone)]
struct Bucket {
    level: u64,
    filled: Timestamp,
}

impl Bucket {
    fn full(rate: u64) -> Self {
        Self { level: rate * TOKEN, filled: Timestamp(0) }
    }

    fn fill(&mut self, now: Timestamp, rate: u64) {
        // A clock that was set back fills nothing until it has caught up.
        let passed = now.0.saturating_sub(self.filled.0);
        self.filled = now;
        self.level = self.level.saturating_add(passed.saturating_mul(rate)).min(rate * TOKEN);
    }

    /// Whether a token can be taken so that so many are left.
    fn has(&self, left: u64) -> bool {
        self.level >= (left + 1) * TOKEN
    }

    fn take(&mut self, left: u64) -> bool {
        let has = self.has(left);
        self.level -= if has { TOKEN } else { 0 };
        has
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(budget: &mut Budget, demand: Demand, at: u64, times: usize) -> u64 {
        (0..times).filter(|_| budget.take(Timestamp(1_000_000 + at), demand)).count() as u64
    }

    #[test]
    fn gives_a_burst_and_then_its_rate() {
        let mut budget = Budget::default();
        assert_eq!(taken(&mut budget, Demand::Declared, 0, 5000), RATE);
        let later = (1..=2000).map(|ms| taken(&mut budget, Demand::Declared, ms, 10));
        assert_eq!(later.sum::<u64>(), 2 * RATE);
    }

    #[test]
    fn a_flood_of_names_made_up_leaves_half_to_names_that_exist() {
        let mut budget = Budget::default();
        let flood = |budget: &mut Budget, at, times| -> u64 {
            (0..40).map(|network| taken(budget, Demand::MadeUp(network), at, times)).sum()
        };
        assert_eq!(flood(&mut budget, 0, 100), RATE - RESERVED);
        assert_eq!(taken(&mut budget, Demand::Declared, 0, 5000), RESERVED);
        // While the flood goes on, names that exist have the whole rate.
        for second in 1..=3 {
            let mut declared = 0;
            for ms in 0..1000 {
                let at = second * 1000 + ms;
                declared += taken(&mut budget, Demand::Declared, at, 5);
                flood(&mut budget, at, 2);
            }
            assert!(declared >= RATE - 1, "{declared} in second {second}");
        }
    }

    #[test]
    fn what_one_network_makes_up_leaves_some_to_others() {
        let mut budget = Budget::default();
        let place = budget.place_of(0);
        let apart = (1..).find(|network| budget.place_of(*network) != place);
        let apart = apart.expect("there are many places");
        let mut told = 0;
        for ms in 0..10_000 {
            taken(&mut budget, Demand::MadeUp(0), ms, 100);
            if ms % 10 == 0 {
                told += taken(&mut budget, Demand::MadeUp(apart), ms, 1);
            }
        }
        assert_eq!(told, 1000, "all of 100 per second for ten seconds");
    }

    #[test]
    fn a_clock_that_is_set_back_gives_nothing_for_it() {
        let mut budget = Budget::default();
        taken(&mut budget, Demand::Declared, 10_000, 5000);
        assert_eq!(taken(&mut budget, Demand::Declared, 0, 5000), 0);
        assert_eq!(taken(&mut budget, Demand::Declared, 1000, 5000), RATE);
    }
}
