//! Appending: order, repetition, contradiction, durability and failure.

use std::sync::Arc;

use super::*;
use crate::{AppendError, AuditStore, Durable, Health, Opened};

fn open(dir: &std::path::Path) -> (AuditLog, Opened) {
    AuditLog::open(dir, &Config::default()).expect("opens")
}

#[tokio::test]
async fn what_is_settled_is_there_after_reopening() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("audit");
    let records = chain(3000);
    let (log, opened) = open(&path);
    assert_eq!((opened.head, opened.first_sequence), (Head::EMPTY, 1));
    log.append(records.clone(), 6000).await.expect("appends");
    let durable = log.settle().await.expect("settles");
    assert_eq!(durable, Durable { sequence: 3000, index: 6000 });
    drop(log);
    let (log, opened) = open(&path);
    assert_eq!((opened.head, opened.index, opened.repaired), (head_of(&records), 6000, None));
    assert_eq!(log.read(2990..=3010, usize::MAX).expect("reads"), records[2989..]);
    assert!(log.verify(1..=u64::MAX, Some(head_of(&records))).expect("walks").is_ok());
}

#[tokio::test]
async fn the_same_record_again_changes_nothing() {
    let (_, log) = filled(10).await;
    let mut again = chain(12);
    log.append(again.split_off(5), 24).await.expect("repeats 6 to 10, adds 11 and 12");
    assert_eq!(log.head(), head_of(&chain(12)));
    assert_eq!(log.health(), Health::Writable);
}

#[tokio::test]
async fn another_record_in_the_same_place_halts_the_log() {
    let (_, log) = filled(10).await;
    let error = log.append(other_chain(10), 20).await.expect_err("contradicts");
    assert!(error.to_string().contains("record 1 diverges"), "{error}");
    assert!(matches!(log.health(), Health::Halted { .. }));
    let next = chain(11).split_off(10);
    assert!(matches!(log.append(next, 22).await, Err(AppendError::Halted(_))));
    assert!(log.verify(1..=u64::MAX, None).expect("readers go on").is_ok());
}

#[tokio::test]
async fn a_record_that_does_not_link_halts_the_log_at_the_door() {
    let (_, log) = filled(10).await;
    let stranger = other_chain(11).split_off(10);
    let error = log.append(stranger, 22).await.expect_err("does not link");
    assert!(matches!(error, AppendError::Divergence { sequence: 11, .. }), "{error}");
    assert!(matches!(log.health(), Health::Halted { .. }));
}

#[tokio::test]
async fn a_gap_is_told_and_nothing_is_taken() {
    let (_, log) = filled(10).await;
    let later = chain(15).split_off(12);
    let error = log.append(later, 30).await.expect_err("11 and 12 are missing");
    assert_eq!(error, AppendError::Gap { expected: 11, got: 13 });
    assert_eq!((log.head().length, log.health()), (10, Health::Writable));
    let mut shuffled = chain(12).split_off(10);
    shuffled.swap(0, 1);
    let error = log.append(shuffled, 24).await.expect_err("out of order");
    assert_eq!(error, AppendError::Disordered { after: 12, got: 11 });
}

#[tokio::test]
async fn entries_without_records_move_the_index() {
    let (_, log) = filled(10).await;
    log.append(Vec::new(), 99).await.expect("appends nothing");
    assert_eq!(*log.durable().borrow(), Durable { sequence: 10, index: 99 });
}

#[tokio::test]
async fn a_failed_sync_halts_and_is_never_tried_again() {
    let (store, log) = filled(3).await;
    let mut health = log.watch_health();
    store.fail_syncs(true);
    let next = || chain(4).split_off(3);
    assert!(matches!(log.append(next(), 8).await, Err(AppendError::Halted(_))));
    store.fail_syncs(false);
    assert!(matches!(log.append(next(), 8).await, Err(AppendError::Halted(_))));
    assert_eq!(log.durable().borrow().sequence, 3, "nothing is called durable that is not");
    assert!(health.has_changed().expect("watched"));
    assert!(
        matches!(&*health.borrow_and_update(), Health::Halted { reason, mendable: false } if reason.contains("sync"))
    );
}

#[tokio::test]
async fn what_was_not_synced_is_derived_again() {
    let (store, log) = filled(8).await;
    store.fail_syncs(true);
    log.append(chain(11).split_off(8), 22).await.expect_err("the sync fails");
    drop(log);
    store.crash();
    store.fail_syncs(false);
    let log = over(&store);
    assert_eq!(log.head().length, 8);
    log.append(chain(11), 22).await.expect("replays all entries");
    assert_eq!(log.head(), head_of(&chain(11)));
}

#[tokio::test]
async fn records_beyond_the_mark_are_kept_only_while_they_chain() {
    let (store, log) = filled(8).await;
    drop(log);
    let good = chain(10);
    let bad = other_chain(12);
    let mark = store.mark().expect("reads").expect("there is one");
    let beyond = [&good[8], &good[9], &bad[10], &bad[11]];
    let puts = beyond.iter().map(|r| (r.sequence, crate::verify::encode(r))).collect();
    store.write(&puts, &mark).expect("writes");
    let log = over(&store);
    assert_eq!(log.head(), head_of(&good), "9 and 10 chain, 11 does not");
    assert_eq!(store.last().expect("reads"), Some(10), "what does not chain is cut");
    assert!(log.verify(1..=u64::MAX, Some(head_of(&good))).expect("walks").is_ok());
}

#[tokio::test]
async fn a_full_queue_refuses_without_taking_anything() {
    let dir = tempfile::tempdir().expect("a directory");
    let (log, _) = open(&dir.path().join("audit"));
    // More pieces than the queue has places can never fit at once.
    assert_eq!(log.try_append(chain(5000), 1), Err(AppendError::Full));
    log.append(chain(1), 2).await.expect("nothing of it was taken");
    assert_eq!(log.settle().await.expect("settles").sequence, 1);
}

#[tokio::test]
async fn large_records_survive() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("audit");
    let mut head = Head::EMPTY;
    let records: Vec<Record> = (1..=40)
        .map(|n| {
            let event = Event::ServiceApplied { digest: "x".repeat(60_000 + n) };
            let record = Record::after(&head, Content { event, ..content(1) });
            head = record.head();
            record
        })
        .collect();
    let (log, _) = open(&path);
    log.append(records, 2).await.expect("appends");
    log.settle().await.expect("settles");
    drop(log);
    let (log, opened) = open(&path);
    assert_eq!((opened.head, opened.repaired), (head, None));
    assert!(log.verify(1..=u64::MAX, Some(head)).expect("walks").is_ok());
}

#[tokio::test]
async fn a_record_beyond_the_cap_halts() {
    let (_, log) = filled(1).await;
    let event = Event::ServiceApplied { digest: "x".repeat(5 << 20) };
    let record = Record::after(&log.head(), Content { event, ..content(2) });
    let error = log.append(vec![record], 4).await.expect_err("too large");
    assert!(error.to_string().contains("at most 4194304"), "{error}");
}

#[tokio::test]
async fn the_threaded_log_tells_a_contradiction_by_its_health() {
    let dir = tempfile::tempdir().expect("a directory");
    let (log, _) = open(&dir.path().join("audit"));
    log.append(chain(5), 10).await.expect("appends");
    let mut health = log.watch_health();
    // Older than what was accepted: the writer compares, behind the queue.
    log.append(other_chain(5), 10).await.expect("accepted at the door");
    let halted = health.wait_for(|h| matches!(h, Health::Halted { .. })).await.expect("watched");
    assert!(
        matches!(&*halted, Health::Halted { reason, mendable: false } if reason.contains("record 1 diverges"))
    );
    drop(halted);
    assert!(log.settle().await.is_err());
}

#[tokio::test]
async fn replicas_fed_the_same_have_the_same_head() {
    let (one, two) = (filled(50).await.1, MemoryStore::new());
    let two = over(&two);
    for record in chain(50) {
        two.append(vec![record], 1).await.expect("appends");
    }
    assert_eq!(one.head(), two.head());
    let store: Arc<dyn AuditStore> = Arc::new(MemoryStore::new());
    assert!(store.last().expect("reads").is_none());
}
