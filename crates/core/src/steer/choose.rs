//! The choice itself: from a published set and a client to the places of the records that the client gets.

use crate::spec::RecordData;
use crate::steer::Client;
use crate::view::{Pick, RecordSet};

/// Takes the places of the records that a client gets, in the order of the answer, each once and at least one.
/// Returns the scope: the length of the prefix around the client for which the choice is the same, chance aside; 0
/// where it is the same for everybody. The set has at least one record.
pub fn choose(set: &RecordSet, client: &Client, mut take: impl FnMut(usize)) -> u8 {
    let count = set.records.len();
    match set.pick {
        Pick::All => (0..count).for_each(take),
        Pick::Rotate(most) => {
            let first = client.turn as usize % count;
            let places = (first..count).chain(0..first);
            places.take(usize::from(most.max(1))).for_each(take);
        }
        Pick::Weighted => take(weighted(&set.records, client.turn)),
    }
    0
}

/// The place that `turn` falls on when every record covers as many turns as it weighs. Multiplying by a large prime
/// spreads consecutive turns over the places and keeps the shares exact.
fn weighted(records: &[(RecordData, u32)], turn: u32) -> usize {
    let total: u64 = records.iter().map(|(_, weight)| u64::from(*weight)).sum();
    if total == 0 {
        return turn as usize % records.len();
    }
    let mut at = u64::from(turn).wrapping_mul(2_654_435_761) % total;
    for (place, (_, weight)) in records.iter().enumerate() {
        if at < u64::from(*weight) {
            return place;
        }
        at -= u64::from(*weight);
    }
    0
}
