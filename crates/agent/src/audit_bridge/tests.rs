use std::ops::RangeInclusive;

use holdfast_audit::{Config, Health, MemoryStore};
use holdfast_core::audit::Content;
use holdfast_core::event::Event;
use holdfast_core::{Actor, Timestamp};

use super::*;

/// So large that a few dozen fill the buffer.
const RECORD_BYTES: usize = 1024;

/// A chain of records, one per log index.
pub(crate) fn chain(count: u64) -> Vec<Record> {
    let mut head = Head::EMPTY;
    let record = |index| {
        let event = Event::ServiceApplied { digest: "x".repeat(RECORD_BYTES) };
        let actor = Actor::system();
        let at = Timestamp(1_790_000_000_000);
        let content = Content { index, at, actor, request_id: None, service: None, event };
        let record = Record::after(&head, content);
        head = record.head();
        record
    };
    (1..=count).map(record).collect()
}

fn bridge() -> (MemoryStore, AuditLog, AuditBridge) {
    let store = MemoryStore::new();
    let opened = AuditLog::synchronous(Arc::new(store.clone()), &Config::default());
    let log = opened.expect("an empty store is sound").0;
    (store, log.clone(), AuditBridge::new(log))
}

fn hand(bridge: &AuditBridge, chain: &[Record], range: RangeInclusive<usize>) {
    chain[range.start() - 1..*range.end()].iter().for_each(|r| bridge.append(vec![r.clone()]));
}

#[tokio::test]
async fn what_does_not_fit_is_passed_over_as_one_hole_that_the_log_is_kept_for() {
    let (_, log, bridge) = bridge();
    let fit = BUFFER_BYTES / chain(1)[0].to_bytes().len();
    let chain = chain(fit as u64 + 21);
    hand(&bridge, &chain, 1..=fit + 20);
    assert!(bridge.refuse_mutations().is_some_and(|why| why.contains("behind")));
    assert!(bridge.lock().bytes <= BUFFER_BYTES);

    bridge.drain().await.expect("the store is well");
    let missing = fit as u64 + 1..=fit as u64 + 20;
    assert_eq!(log.health(), Health::Backfilling { missing: missing.clone() });
    assert_eq!(bridge.refuse_mutations(), None);
    hand(&bridge, &chain, fit + 21..=fit + 21);
    bridge.drain().await.expect("the store is well");
    assert_eq!(bridge.durable_index(), fit as u64, "the log is needed until it is filled");

    log.backfill(chain[fit..fit + 20].to_vec()).await.expect("a peer holds them");
    assert_eq!((log.health(), bridge.durable_index()), (Health::Writable, fit as u64 + 21));
    assert_eq!(bridge.lock().bytes, 0);
}

#[tokio::test]
async fn a_snapshot_reaches_over_what_was_passed_over() {
    let (_, log, bridge) = bridge();
    let chain = chain(200);
    hand(&bridge, &chain, 1..=150);
    let passed_over = bridge.lock().skipped.is_some();
    assert!(passed_over);
    bridge.reset(chain[179].head());
    bridge.drain().await.expect("the store is well");
    assert_eq!(log.head(), chain[179].head());
    hand(&bridge, &chain, 181..=181);
    bridge.drain().await.expect("the store is well");
    assert_eq!(log.head(), chain[180].head());
    assert_eq!(bridge.durable_index(), 181, "the log behind a snapshot is gone anyway");
}

#[tokio::test(start_paused = true)]
async fn records_wait_while_there_is_no_room_and_are_stored_afterwards() {
    let (store, log, bridge) = bridge();
    let chain = chain(10);
    let cancel = CancellationToken::new();
    let task = tokio::spawn(bridge.clone().run(cancel.clone()));
    hand(&bridge, &chain, 1..=3);
    log.durable().wait_for(|durable| durable.sequence == 3).await.expect("they are stored");
    store.fill_up(true);
    hand(&bridge, &chain, 4..=10);
    let halted = |health: &Health| matches!(health, Health::Halted { mendable: true, .. });
    log.watch_health().wait_for(halted).await.expect("it is noticed");
    assert!(bridge.refuse_mutations().is_some_and(|why| why.contains("full")));
    // Long enough for some attempts in vain.
    tokio::time::sleep(4 * LONGEST_MEND_PAUSE).await;
    assert_eq!(log.head().length, 3);

    store.fill_up(false);
    log.durable().wait_for(|durable| durable.sequence == 10).await.expect("they are stored");
    assert_eq!((log.health(), bridge.refuse_mutations()), (Health::Writable, None));
    cancel.cancel();
    task.await.expect("it ends");
}

#[tokio::test(start_paused = true)]
async fn what_was_handed_over_and_never_reached_the_disk_comes_from_a_peer() {
    let (store, log, bridge) = bridge();
    let chain = chain(9);
    hand(&bridge, &chain, 1..=4);
    bridge.drain().await.expect("the store is well");
    store.fill_up(true);
    hand(&bridge, &chain, 9..=9);
    bridge.drain().await.expect_err("there is no room");
    // As behind a queue: 5 to 8 were taken, and were in it when the disk filled up.
    bridge.lock().handed = chain[7].head();
    store.fill_up(false);
    bridge.mend().await;
    bridge.drain().await.expect("there is room");
    assert_eq!(log.health(), Health::Backfilling { missing: 5..=8 });
    assert_eq!(log.head(), chain[8].head());
    assert_eq!(bridge.durable_index(), 4);
    bridge.note_quorum(7);
    assert_eq!(bridge.durable_index(), 7, "a quorum holds them");
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_failed_is_not_tried_again() {
    let (store, log, bridge) = bridge();
    let chain = chain(5);
    let task = tokio::spawn(bridge.clone().run(CancellationToken::new()));
    store.fail_syncs(true);
    hand(&bridge, &chain, 1..=3);
    let halted = |health: &Health| matches!(health, Health::Halted { mendable: false, .. });
    log.watch_health().wait_for(halted).await.expect("it is noticed");
    store.fail_syncs(false);
    tokio::time::sleep(4 * LONGEST_MEND_PAUSE).await;
    hand(&bridge, &chain, 4..=5);
    assert!(bridge.lock().parcels.is_empty(), "nothing is kept for a store that takes nothing");
    assert_eq!(log.head().length, 0);
    assert!(bridge.refuse_mutations().is_some());
    task.abort();
}
