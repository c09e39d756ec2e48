//! The choice itself: from a published set and a client to the places of the records that the client gets.

use crate::steer::Client;
use crate::view::{Pick, RecordSet};

/// Takes the places of the records that a client gets, in the order of the answer, each once and at least one.
/// Returns the scope: the length of the prefix around the client for which the choice is the same, chance aside; 0
/// where it is the same for everybody. The set has at least one record.
pub fn choose(set: &RecordSet, client: &Client, mut take: impl FnMut(usize)) -> u8 {
    let count = set.records.len();
    if count == 1 {
        take(0);
        return 0;
    }
    let Pick::Steered(steering) = &set.pick else {
        return spread(&set.pick, count, client, take);
    };
    let route = steering.route(client);
    let records = &route.group.records;
    let within = spread(&route.group.pick, records.len(), client, |place| {
        take(usize::from(records[place]).min(count - 1));
    });
    within.max(route.geo.scope).max(route.region.scope)
}

/// Takes places among `count`.
fn spread(pick: &Pick, count: usize, client: &Client, mut take: impl FnMut(usize)) -> u8 {
    match pick {
        Pick::All | Pick::Steered(_) => (0..count).for_each(take),
        Pick::Rotate(most) => {
            let first = client.turn as usize % count;
            let places = (first..count).chain(0..first);
            places.take(usize::from((*most).max(1))).for_each(take);
        }
        Pick::Weighted(shares) => take(shares.at(client.turn, count)),
        Pick::Sticky(ring) => {
            let (place, scope) = ring.at(client, count);
            take(place);
            return scope;
        }
    }
    0
}

/// Whether another client or another turn might get other records.
pub fn varies(set: &RecordSet) -> bool {
    set.records.len() > 1 && set.pick != Pick::All
}

/// Whether the choice asks where the client is, not only for its network.
pub fn asks_for_place(set: &RecordSet) -> bool {
    matches!(&set.pick, Pick::Steered(steering) if steering.by_place)
}
