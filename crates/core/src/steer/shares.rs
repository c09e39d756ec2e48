//! Shares of the answers in proportion to weights, in one look: the alias method (Walker 1974, Vose 1991).
//!
//! Each of `n` slots takes the same share of all turns, and divides it between its own record and at most one other.
//! Turns are mixed first, so that any sequence of them (all, every second, backwards) meets the shares.
//!
//! Integers only. What is lost by 32-bit thresholds is less than `n` in 2³² of a share.

use alloc::sync::Arc;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

/// A slot: turns below the threshold are its own, the others go to another slot's record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Slot {
    threshold: u32,
    other: u16,
}

/// How turns are shared out among records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shares(Arc<[Slot]>);

impl Shares {
    /// Shares in proportion to the weights; where all are zero, equal ones. At most 65,536 weights count.
    pub fn new(weights: impl IntoIterator<Item = u32>) -> Self {
        let mut weights: Vec<u64> = weights.into_iter().take(1 << 16).map(u64::from).collect();
        if weights.iter().all(|weight| *weight == 0) {
            weights.fill(1);
        }
        let count = weights.len() as u64;
        // A full slot holds `full`, and the weights, times `count`, fill all slots: sums are below 2^48, products below 2^64.
        let full: u64 = weights.iter().sum();
        let mut left: Vec<u64> = weights.iter().map(|weight| weight * count).collect();
        let mut slots: Vec<Slot> = (0..weights.len())
            .map(|place| Slot { threshold: u32::MAX, other: place as u16 })
            .collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) =
            (0..weights.len()).partition(|place| left[*place] < full);
        while let (Some(poor), Some(&rich)) = (small.pop(), large.last()) {
            // Below 2^32, for what is left of a poor slot is less than `full`.
            let threshold = ((u128::from(left[poor]) << 32) / u128::from(full)) as u32;
            slots[poor] = Slot { threshold, other: rich as u16 };
            left[rich] -= full - left[poor];
            if left[rich] < full {
                large.pop();
                small.push(rich);
            }
        }
        Self(slots.into())
    }

    /// The place of the record that a turn falls on, among `count` of them.
    pub fn at(&self, turn: u32, count: usize) -> usize {
        let Some(last) = self.0.len().checked_sub(1) else { return 0 };
        let mixed = u64::from(mix(turn)) * self.0.len() as u64;
        // The upper half is below the number of slots, the lower half is the place within the slot.
        let place = ((mixed >> 32) as usize).min(last);
        let Slot { threshold, other } = self.0[place];
        let chosen = if (mixed as u32) < threshold { place } else { usize::from(other) };
        chosen.min(count.saturating_sub(1))
    }
}

/// A bijection of 32 bits that lets every bit of the input change every bit of the output.
fn mix(mut turn: u32) -> u32 {
    turn = (turn ^ (turn >> 16)).wrapping_mul(0x7feb_352d);
    turn = (turn ^ (turn >> 15)).wrapping_mul(0x846c_a68b);
    turn ^ (turn >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TURNS: u32 = 100_000;

    /// Says whether each record gets its share within a hundredth of all answers.
    fn check(weights: &[u32], turns: impl Iterator<Item = u32>) {
        let shares = Shares::new(weights.iter().copied());
        let mut counts = alloc::vec![0u32; weights.len()];
        turns.for_each(|turn| counts[shares.at(turn, weights.len())] += 1);
        let total: u64 = weights.iter().copied().map(u64::from).sum();
        for (count, weight) in counts.iter().zip(weights) {
            let expected = f64::from(TURNS) * f64::from(*weight) / total as f64;
            let off = (f64::from(*count) - expected).abs();
            assert!(off <= f64::from(TURNS) / 100.0, "{weights:?}: {count}, not {expected}");
            assert!(*weight > 0 || *count == 0, "{weights:?}: a weight of 0 is never chosen");
        }
    }

    #[test]
    fn shares_are_those_of_the_weights_in_any_order_of_turns() {
        let many: Vec<u32> = (0..1024).collect();
        let cases: [&[u32]; 7] = [
            &[1],
            &[3, 1],
            &[1, 0, 1],
            &[1, 99],
            &[7, 11, 13, 17, 19],
            &[u32::MAX, u32::MAX - 1, 1, 0],
            &many,
        ];
        for weights in cases {
            check(weights, 0..TURNS);
            check(weights, (0..TURNS).rev());
            check(weights, (0..TURNS).map(|turn| turn * 2));
            check(weights, (0..TURNS).map(|turn| turn << 15));
            check(weights, (0..TURNS).map(|turn| turn.wrapping_mul(2_654_435_761)));
            check(weights, (0..TURNS).map(|turn| u32::MAX - turn));
        }
    }

    #[test]
    fn without_weights_all_get_the_same() {
        let shares = Shares::new([0, 0, 0, 0]);
        let mut counts = [0u32; 4];
        (0..TURNS).for_each(|turn| counts[shares.at(turn, 4)] += 1);
        assert!(counts.iter().all(|count| count.abs_diff(TURNS / 4) < TURNS / 100), "{counts:?}");
    }

    #[test]
    fn a_table_of_another_set_is_harmless() {
        let shares = Shares::new([1; 9]);
        assert!((0..TURNS).all(|turn| shares.at(turn, 2) < 2));
        assert_eq!(Shares::new([]).at(7, 0), 0);
    }
}
