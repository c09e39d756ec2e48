//! What is believed of a store that is opened.
//!
//! The mark says up to where the chain was durable. Below it the last records are checked: a store that cannot show
//! them in order is damaged. Beyond it lie records whose sync never returned: they are kept as long as they chain
//! and cut from the first that does not, for the log derives them again.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use holdfast_core::audit::{Head, Record};

use crate::position::Position;
use crate::store::{AuditStore, Order, Refusal};
use crate::verify::{Walker, decode};

/// Reads where the store stands, and checks the last `tail` records.
pub(crate) fn recover(store: &dyn AuditStore, tail: u64) -> Result<Position, Refusal> {
    let damaged = |e: crate::StoreError| Refusal::Damaged(e.to_string());
    let mark = store.mark().map_err(damaged)?;
    let marked = mark.as_deref().map_or(Ok(Position::EMPTY), Position::decode)?;
    check_tail(store, &marked, tail)?;
    let mut position = marked.clone();
    extend(store, &mut position).map_err(damaged)?;
    let unfilled = position.hole.as_ref().map(crate::position::Hole::missing);
    let beyond = position.head.length + 1..=u64::MAX;
    let mut cut = false;
    for range in unfilled.into_iter().chain([beyond]) {
        if holds_any(store, range.clone()).map_err(damaged)? {
            store.remove(range).map_err(damaged)?;
            cut = true;
        }
    }
    if cut || position != marked {
        store.write(&BTreeMap::new(), &position.encode()).map_err(damaged)?;
        store.sync().map_err(|e| Refusal::Unusable(e.to_string()))?;
    }
    Ok(position)
}

fn check_tail(store: &dyn AuditStore, position: &Position, tail: u64) -> Result<(), Refusal> {
    let above_hole = position.hole.as_ref().map_or(position.base, |hole| hole.to);
    let oldest = position.head.length.saturating_sub(tail).max(above_hole.length);
    let before = if oldest == above_hole.length {
        above_hole
    } else {
        let bytes = store.get(oldest).map_err(|e| Refusal::Damaged(e.to_string()))?;
        let record = bytes.as_deref().and_then(decode);
        record
            .ok_or_else(|| Refusal::Damaged(format!("record {oldest} is missing or no record")))?
            .head()
    };
    let mut walker = Walker::new(before, position.head.length);
    let range = oldest + 1..=position.head.length;
    store
        .scan(range, Order::Ascending, &mut |sequence, bytes| walker.step(sequence, bytes))
        .map_err(|e| Refusal::Damaged(e.to_string()))?;
    match walker.finish(Some(&position.head)).finding {
        None => Ok(()),
        Some(tampering) => Err(Refusal::Damaged(tampering.to_string())),
    }
}

/// Takes in what was written after the mark, while it chains.
fn extend(store: &dyn AuditStore, position: &mut Position) -> Result<(), crate::StoreError> {
    let range = position.head.length + 1..=u64::MAX;
    store.scan(range, Order::Ascending, &mut |sequence, bytes| match decode(bytes) {
        Some(record) if sequence == record.sequence && follows(&record, &position.head) => {
            position.head = record.head();
            // The entry of the last record may have made more: only the one before is complete.
            position.index = position.index.max(record.content.index.saturating_sub(1));
            ControlFlow::Continue(())
        }
        Some(_) | None => ControlFlow::Break(()),
    })
}

/// Whether `record` is the next link after `head`, and intact.
pub(crate) fn follows(record: &Record, head: &Head) -> bool {
    record.sequence == head.length + 1 && record.previous == head.hash && record.is_intact()
}

fn holds_any(
    store: &dyn AuditStore,
    range: std::ops::RangeInclusive<u64>,
) -> Result<bool, crate::StoreError> {
    let mut any = false;
    store.scan(range, Order::Ascending, &mut |_, _| {
        any = true;
        ControlFlow::Break(())
    })?;
    Ok(any)
}
