//! openraft's own storage suite on both stores, and what it does not ask: serial order, loss at a crash, byte caps.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use holdfast_core::GroupId;
use openraft::entry::RaftEntry as _;
use openraft::storage::{IOFlushed, RaftLogReader as _, RaftLogStorage as _};
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::type_config::TypeConfigExt as _;
use openraft::{EntryPayload, StorageError};
use proptest::prelude::*;

use super::*;
use crate::state_machine::{SnapshotIo, StateMachine};
use crate::testing::{Records, log_id, vote};
use crate::types::Blob;

struct Memory;
struct OnDisk;

impl StoreBuilder<Types, LogStore, StateMachine, ()> for Memory {
    async fn build(
        &self,
    ) -> std::result::Result<((), LogStore, StateMachine), StorageError<Types>> {
        let disk = MemoryDisk::default();
        let log = LogStore::open(Arc::new(disk.open())).expect("opens");
        Ok(((), log, machine(SnapshotIo::Memory(disk))))
    }
}

impl StoreBuilder<Types, LogStore, StateMachine, tempfile::TempDir> for OnDisk {
    async fn build(
        &self,
    ) -> std::result::Result<(tempfile::TempDir, LogStore, StateMachine), StorageError<Types>> {
        let directory = tempfile::tempdir().expect("a directory");
        let io = RedbIo::open(&directory.path().join("log.redb"), "1", fail_test()).expect("opens");
        let log = LogStore::open(Arc::new(io)).expect("opens");
        let snapshots = SnapshotIo::Directory(directory.path().to_owned());
        Ok((directory, log, machine(snapshots)))
    }
}

fn machine(snapshots: SnapshotIo) -> StateMachine {
    StateMachine::new(GroupId(1), Arc::new(Records::default()), snapshots)
}

fn fail_test() -> Fatal {
    Fatal::hook(|reason| panic!("{reason}"))
}

#[test]
fn the_suite_passes_in_memory() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(Suite::test_all(Memory)).expect("green");
}

#[test]
fn the_suite_passes_on_redb() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_time().build().expect("a runtime");
    runtime.block_on(Suite::test_all(OnDisk)).expect("green");
}

fn entry(term: u64, index: u64, size: usize) -> RaftEntry {
    let blob = Blob(Bytes::from(vec![7; size]));
    RaftEntry::new(log_id(term, index), EntryPayload::Normal(blob))
}

async fn append(store: &mut LogStore, entries: Vec<RaftEntry>) -> bool {
    let (sender, durable) = Types::oneshot();
    store.append(entries, IOFlushed::signal(sender)).await.expect("accepted");
    matches!(durable.await, Ok(Ok(())))
}

#[tokio::test]
async fn what_is_not_synced_is_readable_and_lost_in_a_crash() {
    let disk = MemoryDisk::new(SyncPolicy::Manual);
    let mut store = LogStore::open(Arc::new(disk.open())).expect("opens");
    let (sender, durable) = Types::oneshot();
    store.append([entry(1, 0, 10)], IOFlushed::signal(sender)).await.expect("accepted");
    disk.sync();
    assert!(matches!(durable.await, Ok(Ok(()))));
    let (sender, unsynced) = Types::oneshot();
    store.append([entry(1, 1, 10)], IOFlushed::signal(sender)).await.expect("accepted");
    assert_eq!(store.try_get_log_entries(0..9).await.expect("readable").len(), 2);
    disk.crash();
    assert!(unsynced.await.is_err(), "never acknowledged");
    let mut reopened = LogStore::open(Arc::new(disk.open())).expect("opens");
    assert_eq!(reopened.get_log_state().await.expect("ok").last_log_id, Some(log_id(1, 0)));
    store.append([entry(1, 1, 10)], IOFlushed::noop()).await.expect("a dead handle is ignored");
    disk.sync();
    let again = LogStore::open(Arc::new(disk.open())).expect("opens");
    assert_eq!(again.lock().last, Some(log_id(1, 0)));
}

#[tokio::test]
async fn a_vote_is_durable_after_everything_before_it() {
    let disk = MemoryDisk::new(SyncPolicy::Manual);
    let mut store = LogStore::open(Arc::new(disk.open())).expect("opens");
    store.append([entry(1, 0, 10)], IOFlushed::noop()).await.expect("accepted");
    let saved = tokio::spawn(async move { store.save_vote(&vote(2, 1)).await });
    while format!("{disk:?}") != "MemoryDisk(0 entries, 2 pending)" {
        tokio::task::yield_now().await;
    }
    assert!(!saved.is_finished(), "it waits for the disk");
    disk.sync();
    saved.await.expect("no panic").expect("saved");
    let reopened = LogStore::open(Arc::new(disk.open())).expect("opens");
    assert!(!reopened.is_new());
    assert_eq!(reopened.lock().vote, Some(vote(2, 1)));
    assert_eq!(reopened.lock().last, Some(log_id(1, 0)));
}

#[tokio::test]
async fn a_read_for_replication_is_capped_by_bytes_but_never_empty() {
    let disk = MemoryDisk::default();
    let mut store = LogStore::open(Arc::new(disk.open())).expect("opens");
    let size = READ_BYTES / 2 - 100;
    let entries = (0..20).map(|index| entry(1, index, size)).collect();
    assert!(append(&mut store, entries).await);
    assert!(append(&mut store, vec![entry(1, 20, 2 * READ_BYTES)]).await);
    for _ in 0..2 {
        // The first entries are on disk only, the last ones are kept in memory.
        assert_eq!(store.limited_get_log_entries(0, 21).await.expect("ok").len(), 2);
        assert_eq!(store.limited_get_log_entries(19, 21).await.expect("ok").len(), 1);
        assert_eq!(store.limited_get_log_entries(20, 21).await.expect("ok").len(), 1);
        let all = store.try_get_log_entries(0..21).await.expect("ok");
        assert!(all.iter().map(|entry| entry.log_id.index).eq(0..21));
        store = LogStore::open(Arc::new(disk.open())).expect("opens");
    }
}

#[tokio::test]
async fn a_truncated_tail_is_replaced_at_once_and_for_good() {
    let directory = tempfile::tempdir().expect("a directory");
    let open = || {
        let io = RedbIo::open(&directory.path().join("log.redb"), "1", fail_test()).expect("opens");
        LogStore::open(Arc::new(io)).expect("opens")
    };
    let mut store = open();
    assert!(append(&mut store, (0..10).map(|index| entry(1, index, 10)).collect()).await);
    store.truncate_after(Some(log_id(1, 4))).await.expect("accepted");
    assert_eq!(store.try_get_log_entries(0..99).await.expect("ok").len(), 5);
    assert!(append(&mut store, vec![entry(2, 5, 10)]).await);
    store.purge(log_id(1, 2)).await.expect("accepted");
    store.save_committed(Some(log_id(2, 5))).await.expect("accepted");
    for _ in 0..2 {
        let entries = store.try_get_log_entries(0..99).await.expect("ok");
        let ids: Vec<_> = entries.iter().map(|entry| entry.log_id).collect();
        assert_eq!(ids, vec![log_id(1, 3), log_id(1, 4), log_id(2, 5)]);
        assert_eq!(store.read_committed().await.expect("ok"), Some(log_id(2, 5)));
        store.close().await;
        store = open();
    }
}

/// One step of a random history.
#[derive(Debug, Clone)]
enum Step {
    Append { back: u64, count: u64, size: usize },
    Purge { ahead: u64 },
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..4_u64, 1..30_u64, 0..300_000_usize)
            .prop_map(|(back, count, size)| Step::Append { back, count, size }),
        2 => (0..20_u64).prop_map(|ahead| Step::Purge { ahead }),
        1 => Just(Step::Reopen),
    ]
}

async fn follow_a_model(steps: Vec<Step>) {
    let disk = MemoryDisk::default();
    let mut store = LogStore::open(Arc::new(disk.open())).expect("opens");
    let mut model: Vec<LogId> = Vec::new();
    let (mut purged, mut term) = (None::<LogId>, 0);
    for step in steps {
        match step {
            Step::Append { back, count, size } => {
                term += 1;
                model.truncate(model.len().saturating_sub(back.try_into().expect("small")));
                store.truncate_after(model.last().copied().or(purged)).await.expect("accepted");
                let next = model.last().copied().or(purged).map_or(0, |id| id.index + 1);
                let ids: Vec<LogId> =
                    (next..next + count).map(|index| log_id(term, index)).collect();
                let entries = ids.iter().map(|id| entry(term, id.index, size)).collect();
                assert!(append(&mut store, entries).await);
                model.extend(ids);
            }
            Step::Purge { ahead } => {
                let Some(id) = model.get(usize::try_from(ahead).expect("small")).copied() else {
                    continue;
                };
                store.purge(id).await.expect("accepted");
                model.retain(|kept| kept.index > id.index);
                purged = Some(id);
            }
            Step::Reopen => store = LogStore::open(Arc::new(disk.open())).expect("opens"),
        }
        let entries = store.try_get_log_entries(..).await.expect("readable");
        assert!(entries.iter().map(|entry| entry.log_id).eq(model.iter().copied()));
        let state = store.get_log_state().await.expect("readable");
        assert_eq!(state.last_purged_log_id, purged);
        assert_eq!(state.last_log_id, model.last().copied().or(purged));
        if let Some(first) = model.first() {
            let limited =
                store.limited_get_log_entries(first.index, u64::MAX).await.expect("readable");
            assert!(!limited.is_empty(), "replication always gets on");
            assert!(limited.iter().zip(&model).all(|(entry, id)| entry.log_id == *id));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_history_leaves_what_a_plain_list_would(steps in prop::collection::vec(step(), 1..25)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(follow_a_model(steps));
    }

    #[test]
    fn decoding_is_total(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        use crate::codec::rpc;
        if let Ok(entry) = codec::decode_entry(&bytes) {
            prop_assert_eq!(codec::decode_entry(&codec::encode_entry(&entry)), Ok(entry));
        }
        if let Ok(vote) = codec::decode_vote(&bytes) {
            prop_assert_eq!(codec::decode_vote(&codec::encode_vote(&vote)), Ok(vote));
        }
        if let Ok(meta) = codec::decode_meta(&bytes) {
            prop_assert_eq!(codec::decode_meta(&codec::encode_meta(&meta)), Ok(meta));
        }
        if let Ok(rpc) = rpc::decode_vote_request(&bytes) {
            prop_assert_eq!(rpc::decode_vote_request(&rpc::encode_vote_request(&rpc)), Ok(rpc));
        }
        if let Ok(rpc) = rpc::decode_transfer(&bytes) {
            prop_assert_eq!(rpc::decode_transfer(&rpc::encode_transfer(&rpc)), Ok(rpc));
        }
        if let Ok(rpc) = rpc::decode_append(&bytes) {
            let again = rpc::decode_append(&rpc::encode_append(&rpc)).map(|rpc| rpc.entries);
            prop_assert_eq!(again, Ok(rpc.entries));
        }
    }
}

/// Waits until the mark is durable, which nobody tells.
async fn until_marked(io: &RedbIo, bytes: &[u8]) {
    let durable = async {
        while io.load().expect("readable").committed.as_deref() != Some(bytes) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), durable).await.expect("it becomes durable");
}

#[tokio::test]
async fn the_last_commit_mark_becomes_durable_though_nothing_follows() {
    let directory = tempfile::tempdir().expect("a directory");
    let io = RedbIo::open(&directory.path().join("log.redb"), "1", fail_test()).expect("opens");
    for round in 0..3_u8 {
        let mark = vec![round];
        io.write(Job { write: Write::Committed(mark.clone()), done: Box::new(|| {}) }).await;
        until_marked(&io, &mark).await;
    }
}
