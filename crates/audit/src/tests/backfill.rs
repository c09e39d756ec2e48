//! Filling a hole from a peer: after a snapshot, from nothing, against a peer that is wrong, across crashes.

use super::*;
use crate::writer::{Work, Writer};
use crate::{AppendError, BackfillError, Filled, Health};

const TO: u64 = 30;

/// A log with 10 records that was told of a chain of 30.
async fn holed() -> (MemoryStore, AuditLog) {
    let (store, log) = filled(10).await;
    log.set_head(head_of(&chain(TO)), 60).await.expect("announces");
    (store, log)
}

fn part(from: u64, to: u64) -> Vec<Record> {
    let records = chain(to);
    records.into_iter().filter(|record| record.sequence >= from).collect()
}

#[tokio::test]
async fn a_hole_is_told_filled_in_parts_and_closed() {
    let (_, log) = holed().await;
    assert_eq!(log.health(), Health::Backfilling { missing: 11..=TO });
    assert_eq!(log.missing(head_of(&chain(TO))), Some(11..=TO));
    let filled = log.backfill(part(11, 20)).await.expect("fills");
    assert_eq!(filled, Filled { taken: 10, missing: Some(21..=TO) });
    let filled = log.backfill(part(15, TO)).await.expect("overlap is passed over");
    assert_eq!(filled, Filled { taken: 10, missing: None });
    assert_eq!(log.health(), Health::Writable);
    assert_eq!(log.read(1..=TO, usize::MAX).expect("reads"), chain(TO));
    assert!(log.verify(1..=u64::MAX, Some(head_of(&chain(TO)))).expect("walks").is_ok());
    assert_eq!(log.backfill(part(1, 3)).await, Err(BackfillError::NothingMissing));
}

#[tokio::test]
async fn new_records_are_taken_while_the_hole_is_open() {
    let (_, log) = holed().await;
    log.append(part(31, 40), 80).await.expect("appends above the hole");
    let verification = log.verify(1..=u64::MAX, Some(head_of(&chain(40)))).expect("walks");
    assert_eq!((verification.finding, verification.missing), (None, Some(11..=TO)));
    assert_eq!(verification.checked, 20);
    log.backfill(part(11, TO)).await.expect("fills");
    assert!(log.verify(1..=u64::MAX, Some(head_of(&chain(40)))).expect("walks").is_ok());
}

#[tokio::test]
async fn an_append_after_a_gap_works_once_the_head_before_is_announced() {
    let (_, log) = filled(10).await;
    let late = part(21, 25);
    let error = log.append(late.clone(), 50).await.expect_err("11 to 20 are missing");
    assert_eq!(error, AppendError::Gap { expected: 11, got: 21 });
    log.set_head(Head { length: 20, hash: late[0].previous }, 40).await.expect("announces");
    log.append(late, 50).await.expect("appends");
    assert_eq!(log.missing(head_of(&chain(25))), Some(11..=20));
}

#[tokio::test]
async fn from_nothing_the_hole_begins_at_the_first_record() {
    let log = over(&MemoryStore::new());
    assert_eq!(log.missing(head_of(&chain(TO))), Some(1..=TO));
    log.set_head(head_of(&chain(TO)), 60).await.expect("announces");
    log.backfill(chain(TO)).await.expect("fills");
    assert_eq!(log.head(), head_of(&chain(TO)));
}

#[tokio::test]
async fn a_wrong_peer_is_refused_and_leaves_nothing_behind() {
    let (_, log) = holed().await;
    let strangers = other_chain(TO).split_off(10);
    assert!(matches!(
        log.backfill(strangers).await,
        Err(BackfillError::Broken { sequence: 11, .. })
    ));
    let mut flipped = part(11, TO);
    flipped[5].content.index += 1;
    assert!(matches!(log.backfill(flipped).await, Err(BackfillError::Broken { sequence: 16, .. })));
    let late = log.backfill(part(12, TO)).await;
    assert_eq!(late, Err(BackfillError::Unexpected { expected: 11, got: 12 }));
    assert_eq!(
        log.backfill(Vec::new()).await,
        Err(BackfillError::Unexpected { expected: 11, got: 0 })
    );
    assert_eq!(log.health(), Health::Backfilling { missing: 11..=TO });
}

#[tokio::test]
async fn a_peer_whose_chain_misses_the_head_is_found_at_the_end_and_dropped() {
    let (store, log) = holed().await;
    let head = chain(10)[9].head();
    // Linked to our records, then another story.
    let mut story: Vec<Record> = Vec::new();
    for _ in 11..=TO {
        let before = story.last().map_or(head, Record::head);
        story.push(Record::after(&before, content(7)));
    }
    let second = story.split_off(10);
    log.backfill(story).await.expect("chains so far");
    assert_eq!(log.backfill(second).await, Err(BackfillError::WrongChain { sequence: TO }));
    assert_eq!(log.health(), Health::Backfilling { missing: 11..=TO });
    assert_eq!(crate::AuditStore::last(&store).expect("reads"), Some(10), "the story is dropped");
    log.backfill(part(11, TO)).await.expect("another peer fills");
    assert!(log.verify(1..=u64::MAX, Some(head_of(&chain(TO)))).expect("walks").is_ok());
}

#[tokio::test]
async fn a_hole_survives_a_crash_with_what_was_filled() {
    let (store, log) = holed().await;
    log.append(part(31, 33), 66).await.expect("appends");
    log.backfill(part(11, 20)).await.expect("fills");
    drop(log);
    store.crash();
    let log = over(&store);
    assert_eq!(log.health(), Health::Backfilling { missing: 21..=TO });
    log.backfill(part(21, TO)).await.expect("fills");
    assert_eq!(log.head(), head_of(&chain(33)));
    assert!(log.verify(1..=u64::MAX, Some(head_of(&chain(33)))).expect("walks").is_ok());
}

#[tokio::test]
async fn a_hole_that_is_told_and_filled_in_one_write_keeps_what_filled_it() {
    let (store, log) = filled(10).await;
    let position = log.position();
    drop(log);
    let shared = Arc::new(crate::shared::Shared::new(&position, holdfast_core::GroupId(0)));
    let (reply, answer) = tokio::sync::oneshot::channel();
    let group = vec![
        Work::Reach { head: head_of(&chain(TO)), through: Some(60) },
        Work::Append { records: part(31, 32), through: 64 },
        Work::Backfill { records: part(11, 25), reply },
    ];
    Writer::new(Arc::new(store.clone()), shared, position, 1024).process(group);
    assert_eq!(answer.await.expect("answers"), Ok(Filled { taken: 15, missing: Some(26..=TO) }));
    let log = over(&store);
    assert_eq!(log.health(), Health::Backfilling { missing: 26..=TO });
    assert_eq!(log.read(1..=25, usize::MAX).expect("reads"), chain(25));
    log.backfill(part(26, TO)).await.expect("fills");
    assert!(log.verify(1..=u64::MAX, Some(head_of(&chain(32)))).expect("walks").is_ok());
}

#[tokio::test]
async fn a_second_snapshot_makes_the_hole_longer() {
    let (_, log) = holed().await;
    log.append(part(31, 35), 70).await.expect("appends");
    log.backfill(part(11, 15)).await.expect("fills");
    log.set_head(head_of(&chain(50)), 100).await.expect("announces");
    assert_eq!(log.health(), Health::Backfilling { missing: 16..=50 });
    log.append(part(51, 52), 104).await.expect("appends above");
    log.backfill(part(16, 50)).await.expect("fills");
    assert!(log.verify(1..=u64::MAX, Some(head_of(&chain(52)))).expect("walks").is_ok());
}

#[tokio::test]
async fn an_older_snapshot_changes_nothing_and_a_foreign_one_halts() {
    let (_, log) = filled(10).await;
    log.set_head(head_of(&chain(5)), 10).await.expect("known");
    assert_eq!((log.head().length, log.health()), (10, Health::Writable));
    log.set_head(head_of(&other_chain(5)), 10).await.expect_err("contradicts");
    assert!(matches!(log.health(), Health::Halted { .. }));
}

#[tokio::test]
async fn a_peer_is_served_within_bounds() {
    let (_, log) = filled(10).await;
    let size = crate::verify::encode(&chain(1)[0]).len();
    assert_eq!(log.read(1..=10, 1).expect("reads").len(), 1, "one at least");
    assert!((2..=4).contains(&log.read(1..=10, size * 3).expect("reads").len()));
    assert_eq!(log.read(9..=99, usize::MAX).expect("reads"), chain(10).split_off(8));
    assert!(log.read(11..=20, usize::MAX).expect("reads").is_empty());
    let many = vec![chain(1)[0].clone(); AuditLog::MAX_TRANSFER + 1];
    assert!(matches!(log.backfill(many).await, Err(BackfillError::TooMany { .. })));
    let (_, holed) = holed().await;
    holed.append(part(31, 33), 66).await.expect("appends");
    assert_eq!(holed.read(8..=33, usize::MAX).expect("reads"), part(8, 10), "up to the hole");
}
