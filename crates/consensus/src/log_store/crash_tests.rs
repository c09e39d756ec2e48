//! Power is cut at every single write and sync of a scripted run, and the store is opened again.
//!
//! After each cut the store must hold the state after all acknowledged steps, or that plus the whole step that was
//! under way: nothing acknowledged is lost, nothing is torn. The disk below forgets what was not synced; in the
//! second mode it keeps an arbitrary part of it instead, half of the last write included, as a real disk may.

use std::sync::atomic::{AtomicBool, Ordering};

use openraft::entry::RaftEntry as _;
use openraft::storage::{IOFlushed, RaftLogReader as _, RaftLogStorage as _};
use openraft::type_config::TypeConfigExt as _;
use redb::StorageBackend;

use super::*;
use crate::testing::{log_id, vote};

#[derive(Debug, Clone, Copy, PartialEq)]
enum Loss {
    /// Everything since the last sync is lost.
    Whole,
    /// An arbitrary part of it survives.
    Part,
}

#[derive(Debug)]
struct Device {
    durable: Vec<u8>,
    current: Vec<u8>,
    unsynced: Vec<(u64, Vec<u8>)>,
    /// Operations until the power is cut.
    left: Option<usize>,
    operations: usize,
    loss: Loss,
    seed: u64,
}

#[derive(Debug, Clone)]
struct Disk(Arc<Mutex<Device>>);

impl Disk {
    fn new(loss: Loss) -> Self {
        Self(Arc::new(Mutex::new(Device {
            durable: Vec::new(),
            current: Vec::new(),
            unsynced: Vec::new(),
            left: None,
            operations: 0,
            loss,
            seed: 1,
        })))
    }

    fn device(&self) -> MutexGuard<'_, Device> {
        self.0.lock().expect("no panic while locked")
    }

    /// The disk as it is found when the power is back.
    fn after_the_cut(&self) -> Self {
        let device = self.device();
        let disk = Self::new(device.loss);
        disk.device().durable.clone_from(&device.durable);
        disk.device().current.clone_from(&device.durable);
        disk
    }
}

impl Device {
    fn coin(&mut self) -> bool {
        self.seed = self
            .seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.seed >> 63 == 1
    }

    /// Counts an operation; at the last one the power goes.
    fn step(&mut self, write: Option<(u64, &[u8])>) -> Result<()> {
        if self.left == Some(0) {
            return Err(Error::other("the power is out"));
        }
        self.operations += 1;
        self.left = self.left.map(|left| left - 1);
        if self.left != Some(0) {
            return Ok(());
        }
        if self.loss == Loss::Part {
            let torn = write.map(|(offset, bytes)| (offset, bytes[..bytes.len() / 2].to_vec()));
            let unsynced: Vec<_> = self.unsynced.drain(..).chain(torn).collect();
            for (offset, bytes) in unsynced {
                if self.coin() {
                    put(&mut self.durable, offset, &bytes);
                }
            }
        }
        Err(Error::other("the power is out"))
    }
}

fn put(image: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let offset = usize::try_from(offset).expect("small");
    if image.len() < offset + bytes.len() {
        image.resize(offset + bytes.len(), 0);
    }
    image[offset..offset + bytes.len()].copy_from_slice(bytes);
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64> {
        Ok(self.device().current.len() as u64)
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        let device = self.device();
        let offset = usize::try_from(offset).expect("small");
        let bytes = device.current.get(offset..offset + out.len());
        out.copy_from_slice(bytes.ok_or_else(|| Error::other("beyond the end"))?);
        Ok(())
    }
    fn set_len(&self, len: u64) -> Result<()> {
        let mut device = self.device();
        device.step(None)?;
        // The length is metadata, which a journalling file system keeps in order.
        let len = usize::try_from(len).expect("small");
        device.current.resize(len, 0);
        device.durable.resize(len, 0);
        Ok(())
    }
    fn sync_data(&self) -> Result<()> {
        let mut device = self.device();
        device.step(None)?;
        device.durable = device.current.clone();
        device.unsynced.clear();
        Ok(())
    }
    fn write(&self, offset: u64, data: &[u8]) -> Result<()> {
        let mut device = self.device();
        device.step(Some((offset, data)))?;
        put(&mut device.current, offset, data);
        device.unsynced.push((offset, data.to_vec()));
        Ok(())
    }
}

/// What the store shows to Raft.
#[derive(Debug, Clone, Default, PartialEq)]
struct Shown {
    vote: Option<Vote>,
    committed: Option<LogId>,
    purged: Option<LogId>,
    last: Option<LogId>,
    entries: Vec<RaftEntry>,
}

async fn shown(store: &mut LogStore) -> Shown {
    let state = store.get_log_state().await.expect("readable");
    Shown {
        vote: store.read_vote().await.expect("readable"),
        committed: store.read_committed().await.expect("readable"),
        purged: state.last_purged_log_id,
        last: state.last_log_id,
        entries: store.try_get_log_entries(..).await.expect("readable"),
    }
}

#[derive(Clone)]
enum Step {
    Vote(u64),
    Append(u64, std::ops::Range<u64>, usize),
    Committed(u64, u64),
    Truncate(u64, u64),
    Purge(u64, u64),
}

fn script() -> Vec<Step> {
    vec![
        Step::Vote(1),
        Step::Append(1, 0..5, 30),
        Step::Committed(1, 3),
        Step::Append(1, 5..60, 900),
        Step::Vote(2),
        Step::Truncate(1, 3),
        Step::Append(2, 4..8, 50),
        Step::Purge(1, 2),
        Step::Vote(3),
        Step::Append(3, 8..9, 20_000),
        Step::Purge(2, 6),
        Step::Append(3, 9..12, 40),
    ]
}

/// Whether the step was acknowledged.
async fn perform(store: &mut LogStore, step: Step, failed: &AtomicBool) -> bool {
    match step {
        Step::Vote(term) => return store.save_vote(&vote(term, 1)).await.is_ok(),
        Step::Append(term, range, size) => {
            let entry = |index| {
                let blob = crate::types::Blob(Bytes::from(vec![3; size]));
                RaftEntry::new(log_id(term, index), openraft::EntryPayload::Normal(blob))
            };
            let (sender, durable) = Types::oneshot();
            let callback = IOFlushed::signal(sender);
            store.append(range.map(entry).collect::<Vec<_>>(), callback).await.expect("accepted");
            return matches!(durable.await, Ok(Ok(())));
        }
        Step::Committed(term, index) => store.save_committed(Some(log_id(term, index))).await,
        Step::Truncate(term, index) => store.truncate_after(Some(log_id(term, index))).await,
        Step::Purge(term, index) => store.purge(log_id(term, index)).await,
    }
    .expect("accepted");
    !failed.load(Ordering::SeqCst)
}

fn open(disk: &Disk, failed: &Arc<AtomicBool>) -> LogStore {
    let failed = failed.clone();
    let fatal = Fatal::hook(move |_| failed.store(true, Ordering::SeqCst));
    let io = RedbIo::inline(disk.clone(), fatal).expect("opens");
    LogStore::open(Arc::new(io)).expect("opens")
}

/// The states after 0, 1, 2, … steps, and how many disk operations the whole script takes.
async fn reference() -> (Vec<Shown>, usize) {
    let (disk, failed) = (Disk::new(Loss::Whole), Arc::default());
    let mut store = open(&disk, &failed);
    let before = disk.device().operations;
    let mut states = vec![shown(&mut store).await];
    for step in script() {
        assert!(perform(&mut store, step, &failed).await);
        states.push(shown(&mut store).await);
    }
    let operations = disk.device().operations - before;
    (states, operations)
}

async fn cut_at_every_operation(loss: Loss) {
    let (states, operations) = reference().await;
    assert!(operations > 50, "the script does real work: {operations}");
    let mut acknowledged = 0;
    for cut in 1..=operations {
        let (disk, failed) = (Disk::new(loss), Arc::default());
        let mut store = open(&disk, &failed);
        {
            let mut device = disk.device();
            device.left = Some(cut);
            device.seed = cut as u64;
        }
        let mut done = 0;
        for step in script() {
            if !perform(&mut store, step, &failed).await {
                break;
            }
            done += 1;
        }
        assert!(failed.load(Ordering::SeqCst), "cut {cut} is noticed and fatal");
        let survivor = disk.after_the_cut();
        drop(store);
        let found = shown(&mut open(&survivor, &Arc::default())).await;
        let next = states.get(done + 1);
        assert!(
            found == states[done] || Some(&found) == next,
            "cut {cut}: after {done} acknowledged steps the store shows {found:?}"
        );
        acknowledged += done;
    }
    assert!(acknowledged > operations, "cuts fall all over the script");
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_when_unsynced_writes_vanish() {
    cut_at_every_operation(Loss::Whole).await;
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_when_a_part_of_unsynced_writes_survives() {
    cut_at_every_operation(Loss::Part).await;
}
