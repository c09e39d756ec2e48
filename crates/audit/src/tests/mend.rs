//! A full disk: the log halts, and goes on once there is room, from what it holds.

use super::*;
use crate::{AppendError, AuditStore, Durable, Health};

fn part(from: u64, to: u64) -> Vec<Record> {
    chain(to).split_off(usize::try_from(from).expect("small") - 1)
}

#[tokio::test]
async fn a_full_disk_halts_until_there_is_room() {
    let (store, log) = filled(3).await;
    store.fill_up(true);
    let error = log.append(part(4, 5), 10).await.expect_err("there is no room");
    assert!(error.to_string().contains("the simulated disk is full"), "{error}");
    assert!(matches!(log.health(), Health::Halted { mendable: true, .. }));

    log.mend().await.expect_err("it is full still");
    assert!(matches!(log.append(part(4, 5), 10).await, Err(AppendError::Halted(_))));
    store.fill_up(false);
    log.mend().await.expect("there is room");
    assert_eq!(log.health(), Health::Writable);
    assert_eq!(*log.durable().borrow(), Durable { sequence: 3, index: 6 });
    log.append(part(4, 5), 10).await.expect("appends");
    assert_eq!(log.head(), head_of(&chain(5)));
    log.mend().await.expect("nothing is wrong, and nothing happens");
}

#[tokio::test]
async fn what_was_let_in_before_the_halt_is_not_taken_for_stored() {
    let (store, log) = filled(3).await;
    store.fill_up(true);
    log.append(part(4, 6), 12).await.expect_err("there is no room");
    store.fill_up(false);
    log.mend().await.expect("there is room");
    let error = log.append(part(7, 8), 16).await.expect_err("4 to 6 are missing");
    assert_eq!(error, AppendError::Gap { expected: 4, got: 7 });
}

#[tokio::test]
async fn a_failed_sync_and_a_contradiction_are_not_mended() {
    let (store, log) = filled(3).await;
    store.fail_syncs(true);
    log.append(part(4, 4), 8).await.expect_err("the sync fails");
    store.fail_syncs(false);
    log.mend().await.expect_err("nobody knows what is on disk");

    let (store, log) = filled(3).await;
    store.fill_up(true);
    log.append(part(4, 4), 8).await.expect_err("there is no room");
    store.fill_up(false);
    log.shared().halt(&crate::Halted { reason: "it diverges".into(), mendable: false });
    let halted = log.mend().await.expect_err("the later reason is for good");
    assert_eq!(halted.reason, "it diverges");
}

#[tokio::test]
async fn the_log_is_needed_until_what_was_passed_over_is_here() {
    let (store, log) = filled(10).await;
    log.skip_to(head_of(&chain(20))).await.expect("announces");
    log.append(part(21, 25), 50).await.expect("appends");
    assert_eq!(*log.durable().borrow(), Durable { sequence: 25, index: 20 });
    log.backfill(part(11, 15)).await.expect("fills");
    drop(log);
    store.crash();

    let log = over(&store);
    assert_eq!(log.durable().borrow().index, 20, "it is still owed");
    // The entries since the last snapshot are applied again.
    log.append(part(5, 25), 50).await.expect("appends");
    assert_eq!((log.health(), log.durable().borrow().index), (Health::Writable, 50));
    assert_eq!(log.read(1..=25, usize::MAX).expect("reads"), chain(25));
}

#[tokio::test]
async fn behind_a_snapshot_the_log_is_not_needed() {
    let (_, log) = filled(10).await;
    log.skip_to(head_of(&chain(20))).await.expect("announces");
    log.set_head(head_of(&chain(30)), 60).await.expect("announces");
    assert_eq!(log.durable().borrow().index, 60);
}

#[tokio::test]
async fn sled_opens_again_in_the_same_process() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = crate::SledStore::open(&dir.path().join("audit"), 1 << 20);
    let store = Arc::new(store.unwrap_or_else(|why| panic!("opens: {why}")));
    let open = || AuditLog::synchronous(store.clone(), &Config::default()).expect("is sound").0;
    open().append(chain(50), 100).await.expect("appends");
    store.reopen().expect("opens again");
    let log = open();
    assert_eq!(log.head(), head_of(&chain(50)));
    log.append(part(51, 60), 120).await.expect("goes on");
    assert_eq!(log.read(1..=60, usize::MAX).expect("reads"), chain(60));
}
