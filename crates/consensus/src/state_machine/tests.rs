use super::*;
use crate::log_store::MemoryDisk;
use crate::testing::Records;
use openraft::EntryPayload;
use openraft::entry::RaftEntry as _;

use crate::testing::{log_id, mutation, normal};

fn machine() -> (StateMachine, Arc<Records>, MemoryDisk) {
    let (records, disk) = (Arc::new(Records::default()), MemoryDisk::default());
    let io = SnapshotIo::Memory(disk.clone());
    (StateMachine::new(GroupId(1), records.clone(), io), records, disk)
}

async fn apply(machine: &mut StateMachine, entries: Vec<RaftEntry>) -> Result<()> {
    let items = entries.into_iter().map(|entry| Ok((entry, None)));
    machine.apply(futures_util::stream::iter(items.collect::<Vec<_>>())).await
}

#[tokio::test]
async fn a_snapshot_restores_state_audit_head_and_place_in_the_log() {
    let (mut first, _, disk) = machine();
    let entries = (1..=20).map(|index| normal(1, index, &mutation(index))).collect();
    apply(&mut first, entries).await.expect("applies");
    first.get_snapshot_builder().await.build_snapshot().await.expect("builds");

    let records = Arc::new(Records::default());
    let mut second = StateMachine::new(GroupId(1), records.clone(), SnapshotIo::Memory(disk));
    let snapshot = second.get_current_snapshot().await.expect("loads").expect("is there");
    second.install_snapshot(&snapshot.meta, snapshot.snapshot).await.expect("installs");
    assert_eq!(second.fingerprint(), first.fingerprint());
    assert_eq!(records.resets(), vec![first.fingerprint().2]);
    assert_eq!(second.applied_state().await.expect("ok"), first.applied_state().await.expect("ok"));

    for machine in [&mut first, &mut second] {
        apply(machine, vec![normal(2, 21, &mutation(21))]).await.expect("applies");
    }
    assert_eq!(second.fingerprint(), first.fingerprint());
}

#[tokio::test(start_paused = true)]
async fn what_the_log_held_at_start_tells_nothing_of_when_it_was_agreed_on() {
    let (mut machine, _, _) = machine();
    machine.inherit(2);
    let entries = (1..=2).map(|index| normal(1, index, &mutation(index))).collect();
    apply(&mut machine, entries).await.expect("applies");
    assert_eq!(machine.witnessed(), None);
    apply(&mut machine, vec![normal(1, 3, &mutation(3))]).await.expect("applies");
    assert_eq!(machine.witnessed(), Some((mutation(3).at, Instant::now())));
}

#[tokio::test]
async fn an_entry_that_is_not_understood_stops_the_group_and_leaves_the_view() {
    let (mut machine, _, _) = machine();
    apply(&mut machine, vec![normal(1, 1, &mutation(1))]).await.expect("applies");
    let view = machine.view().borrow().clone();
    let strange = RaftEntry::new(
        log_id(1, 3),
        EntryPayload::Normal(crate::types::Blob(Bytes::from_static(b"\xff"))),
    );
    let good = normal(1, 2, &mutation(2));
    assert!(apply(&mut machine, vec![good, strange]).await.is_err());

    let halted = machine.halted().borrow().clone().expect("it says so");
    assert!(halted.contains("index 3"), "{halted}");
    assert_eq!(machine.progress().borrow().applied, 2, "what came before it is applied");
    assert_ne!(machine.view().borrow().audit, view.audit);
    let next = normal(1, 4, &mutation(4));
    assert!(apply(&mut machine, vec![next]).await.is_err(), "nothing is applied after it");
    assert_eq!(machine.progress().borrow().applied, 2);
}

#[tokio::test]
async fn a_snapshot_waits_for_the_audit_to_be_durable() {
    let (mut machine, records, _) = machine();
    apply(&mut machine, vec![normal(1, 1, &mutation(1))]).await.expect("applies");
    records.set_durable(0);
    assert!(machine.try_create_snapshot_builder(false).await.is_none());
    records.set_durable(1);
    assert!(machine.try_create_snapshot_builder(false).await.is_some());
}

#[tokio::test]
async fn records_that_keep_coming_do_not_put_a_snapshot_off_for_ever() {
    let (mut machine, records, _) = machine();
    let mut covered = Vec::new();
    for index in 1..=4 {
        records.set_durable(index - 1);
        apply(&mut machine, vec![normal(1, index, &mutation(index))]).await.expect("applies");
        let builder = machine.try_create_snapshot_builder(false).await;
        covered.push(builder.map(|builder| builder.meta.last_log_id.map_or(0, |id| id.index)));
    }
    // The store is always one behind: what was due at 1 is taken at 2.
    assert_eq!(covered, [None, Some(1), None, Some(3)]);
}
