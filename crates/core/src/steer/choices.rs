//! Every choice that `choose` can make of a set, for whatever client and turn: what can be signed before it is asked for.

use alloc::vec::Vec;

use crate::view::{Pick, RecordSet};

/// The places of the records of every answer that some client can get of a set, each at least one; the same places may
/// come more than once. There are no more than the set has records, for each group of a steered set.
pub fn choices(set: &RecordSet) -> Vec<Vec<usize>> {
    let count = set.records.len();
    let Pick::Steered(steering) = &set.pick else { return of_pick(&set.pick, count) };
    if count == 1 {
        return of_pick(&Pick::All, count);
    }
    let mut all = Vec::new();
    for group in steering.groups() {
        let within = |place: &usize| usize::from(group.records[*place]).min(count - 1);
        let of_group = of_pick(&group.pick, group.records.len());
        all.extend(of_group.iter().map(|places| places.iter().map(within).collect::<Vec<_>>()));
    }
    all
}

fn of_pick(pick: &Pick, count: usize) -> Vec<Vec<usize>> {
    match pick {
        Pick::Rotate(most) if usize::from((*most).max(1)) < count => {
            let most = usize::from((*most).max(1));
            (0..count).map(|first| (0..most).map(|at| (first + at) % count).collect()).collect()
        }
        Pick::All | Pick::Rotate(_) | Pick::Steered(_) => Vec::from([(0..count).collect()]),
        Pick::Weighted(_) | Pick::Sticky(_) => (0..count).map(|place| Vec::from([place])).collect(),
    }
}
