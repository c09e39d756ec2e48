//! The store in sled 0.34.
//!
//! sled's `flush` on Linux writes through `sync_file_range`, which neither flushes the disk's cache nor the file's
//! size, and it never syncs the files of its `blobs` directory (pages over 128 KiB). So [`SledStore::sync`]
//! flushes, then syncs blobs that are new, then the `db` file. Damage may show as a panic inside sled, at any
//! operation: each one is wrapped, so that it becomes an error. That needs a build that unwinds.
//!
//! After its first failed write sled refuses everything until it is opened anew, which [`SledStore`] does behind its
//! callers' backs once there is room again.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::ops::{Bound, ControlFlow, RangeInclusive};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{AuditStore, Order, Visit};
use crate::StoreError;

const RECORDS: &str = "records";
const META: &str = "meta";
const MARK: &str = "mark";
/// A file that says that something was stored: sled takes a file in which it recognises nothing for a new one.
const BEGUN: &str = "begun";
/// What sled says of a directory that is in use.
const LOCKED: &str = "could not acquire lock";
/// How often a lock is tried, and the time between: two seconds in all.
const LOCK_TRIES: u32 = 40;
const LOCK_PAUSE: Duration = Duration::from_millis(50);
/// Keys that one batch removes.
const REMOVE_BATCH: usize = 1024;

/// The store in sled.
#[derive(Debug)]
pub struct SledStore {
    dir: PathBuf,
    cache_bytes: u64,
    /// Absent where it could not be opened again.
    opened: Mutex<Option<Arc<Opened>>>,
}

/// One life of sled over the directory.
#[derive(Debug)]
struct Opened {
    db: ::sled::Db,
    records: ::sled::Tree,
    meta: ::sled::Tree,
    dir: PathBuf,
    file: File,
    synced_blobs: Mutex<BTreeSet<OsString>>,
    begun: AtomicBool,
}

/// Why sled did not open.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// What is on disk is damaged: another directory would do.
    Damaged(String),
    /// The directory or the machine does not allow it.
    Unusable(String),
}

impl SledStore {
    /// Opens or creates the store in `dir`, with a page cache of `cache_bytes`.
    pub(crate) fn open(dir: &Path, cache_bytes: u64) -> Result<Self, Refusal> {
        let opened = Mutex::new(Some(Arc::new(Opened::open(dir, cache_bytes)?)));
        Ok(Self { dir: dir.to_path_buf(), cache_bytes, opened })
    }

    fn opened(&self) -> Result<Arc<Opened>, StoreError> {
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        opened
            .clone()
            .ok_or_else(|| StoreError::new("open", "it is closed until it can be opened again"))
    }

    #[cfg(test)]
    pub(crate) fn tree(&self) -> ::sled::Tree {
        self.opened().expect("it is open").records.clone()
    }
}

/// Waits until nobody reads any more, and closes.
fn close(mut opened: Arc<Opened>) -> Result<(), (Arc<Opened>, StoreError)> {
    for _ in 0..LOCK_TRIES {
        match Arc::try_unwrap(opened) {
            Ok(last) => {
                let step = AssertUnwindSafe(|| drop(last));
                if let Err(panic) = catch_unwind(step) {
                    tracing::warn!(why = panic_text(&*panic), "sled panicked when it was closed");
                }
                return Ok(());
            }
            Err(shared) => opened = shared,
        }
        std::thread::park_timeout(LOCK_PAUSE);
    }
    Err((opened, StoreError::new("reopen", "a reader holds it open; it is tried again")))
}

impl Opened {
    fn open(dir: &Path, cache_bytes: u64) -> Result<Self, Refusal> {
        fs::create_dir_all(dir).map_err(|e| Refusal::Unusable(e.to_string()))?;
        let mut tries = 1;
        loop {
            match Self::open_once(dir, cache_bytes) {
                // A process that ends, and sled's own threads after a close, hold the lock a moment longer.
                Err(Refusal::Unusable(reason)) if tries < LOCK_TRIES && reason.contains(LOCKED) => {
                    tries += 1;
                    std::thread::park_timeout(LOCK_PAUSE);
                }
                other => return other,
            }
        }
    }

    fn open_once(dir: &Path, cache_bytes: u64) -> Result<Self, Refusal> {
        match catch_unwind(AssertUnwindSafe(|| Self::open_unguarded(dir, cache_bytes))) {
            Ok(Ok(store)) => {
                store.sync_directories().map_err(|e| Refusal::Unusable(e.to_string()))?;
                store.refuse_oblivion()?;
                Ok(store)
            }
            Ok(Err(error)) => Err(refusal(error)),
            Err(panic) => Err(Refusal::Damaged(format!("sled panicked: {}", panic_text(&*panic)))),
        }
    }

    fn open_unguarded(dir: &Path, cache_bytes: u64) -> ::sled::Result<Self> {
        let db = ::sled::Config::new()
            .path(dir)
            .cache_capacity(cache_bytes)
            .flush_every_ms(None)
            .open()?;
        let records = db.open_tree(RECORDS)?;
        let meta = db.open_tree(META)?;
        let file = File::open(dir.join("db"))?;
        let synced_blobs = Mutex::new(blob_names(dir)?.collect());
        let begun = AtomicBool::new(dir.join(BEGUN).exists());
        Ok(Self { db, records, meta, dir: dir.to_path_buf(), file, synced_blobs, begun })
    }

    /// A store that held something and opens empty is damaged, whatever sled makes of it.
    fn refuse_oblivion(&self) -> Result<(), Refusal> {
        let mark = self.mark().map_err(|e| Refusal::Damaged(e.to_string()))?;
        if mark.is_none() && self.begun.load(Ordering::Relaxed) {
            return Err(Refusal::Damaged(
                "it opens empty, although records were stored in it".into(),
            ));
        }
        Ok(())
    }

    fn note_begun(&self) -> io::Result<()> {
        if self.begun.load(Ordering::Relaxed) {
            return Ok(());
        }
        File::create(self.dir.join(BEGUN))?.sync_all()?;
        File::open(&self.dir)?.sync_all()?;
        self.begun.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Makes the names of the files durable; a parent that cannot be opened is none of ours.
    fn sync_directories(&self) -> io::Result<()> {
        let conf = self.dir.join("conf");
        if conf.exists() {
            File::open(conf)?.sync_all()?;
        }
        File::open(&self.dir)?.sync_all()?;
        if let Some(Ok(parent)) = self.dir.parent().map(File::open) {
            parent.sync_all()?;
        }
        Ok(())
    }

    fn sync_blobs(&self) -> io::Result<()> {
        let names: BTreeSet<OsString> = blob_names(&self.dir)?.collect();
        let mut synced = self.synced_blobs.lock().unwrap_or_else(PoisonError::into_inner);
        if names == *synced {
            return Ok(());
        }
        let blobs = self.dir.join("blobs");
        for name in names.difference(&synced) {
            match File::open(blobs.join(name)) {
                Ok(file) => file.sync_all()?,
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(e),
            }
        }
        File::open(&blobs)?.sync_all()?;
        *synced = names;
        Ok(())
    }

    fn mark(&self) -> Result<Option<Vec<u8>>, StoreError> {
        guarded("read mark", || {
            let value = self.meta.get(MARK).map_err(failed("read mark"))?;
            Ok(value.map(|bytes| bytes.to_vec()))
        })
    }
}

fn blob_names(dir: &Path) -> io::Result<impl Iterator<Item = OsString>> {
    Ok(fs::read_dir(dir.join("blobs"))?.filter_map(|entry| Some(entry.ok()?.file_name())))
}

/// Damage is told from circumstances: setting a directory aside helps against the first only.
fn refusal(error: ::sled::Error) -> Refusal {
    let text = error.to_string();
    match error {
        ::sled::Error::Io(io) => match io.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::InvalidData
            | io::ErrorKind::InvalidInput => Refusal::Damaged(text),
            _ => Refusal::Unusable(text),
        },
        ::sled::Error::Corruption { .. }
        | ::sled::Error::ReportableBug(_)
        | ::sled::Error::CollectionNotFound(_)
        | ::sled::Error::Unsupported(_) => Refusal::Damaged(text),
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into())
}

fn guarded<T>(
    operation: &'static str,
    act: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(act)).unwrap_or_else(|panic| {
        Err(StoreError::new(operation, format!("sled panicked: {}", panic_text(&*panic))))
    })
}

fn failed(operation: &'static str) -> impl FnOnce(::sled::Error) -> StoreError {
    move |error| match error {
        ::sled::Error::Io(source) => StoreError::new(operation, source),
        other => StoreError::new(operation, other),
    }
}

fn sequence_of(key: &[u8]) -> Option<u64> {
    key.try_into().ok().map(u64::from_be_bytes)
}

impl AuditStore for SledStore {
    fn get(&self, sequence: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let opened = self.opened()?;
        guarded("get", || {
            let value = opened.records.get(sequence.to_be_bytes()).map_err(failed("get"))?;
            Ok(value.map(|bytes| bytes.to_vec()))
        })
    }

    fn scan(
        &self,
        range: RangeInclusive<u64>,
        order: Order,
        visit: Visit<'_>,
    ) -> Result<(), StoreError> {
        if range.is_empty() {
            return Ok(());
        }
        let opened = self.opened()?;
        guarded("scan", || {
            let bounds = (
                Bound::Included(range.start().to_be_bytes()),
                Bound::Included(range.end().to_be_bytes()),
            );
            let mut iter = opened.records.range(bounds);
            loop {
                let step = match order {
                    Order::Ascending => iter.next(),
                    Order::Descending => iter.next_back(),
                };
                let Some(item) = step else { return Ok(()) };
                let (key, value) = item.map_err(failed("scan"))?;
                let Some(sequence) = sequence_of(&key) else { continue };
                if let ControlFlow::Break(()) = visit(sequence, &value) {
                    return Ok(());
                }
            }
        })
    }

    fn last(&self) -> Result<Option<u64>, StoreError> {
        let mut last = None;
        self.scan(0..=u64::MAX, Order::Descending, &mut |sequence, _| {
            last = Some(sequence);
            ControlFlow::Break(())
        })?;
        Ok(last)
    }

    fn mark(&self) -> Result<Option<Vec<u8>>, StoreError> {
        self.opened()?.mark()
    }

    fn write(&self, records: &BTreeMap<u64, Vec<u8>>, mark: &[u8]) -> Result<(), StoreError> {
        let opened = self.opened()?;
        guarded("write", || {
            let mut batch = ::sled::Batch::default();
            for (sequence, bytes) in records {
                batch.insert(&sequence.to_be_bytes(), bytes.as_slice());
            }
            opened.records.apply_batch(batch).map_err(failed("write"))?;
            opened.meta.insert(MARK, mark).map_err(failed("write"))?;
            Ok(())
        })
    }

    fn remove(&self, range: RangeInclusive<u64>) -> Result<(), StoreError> {
        loop {
            let mut batch = ::sled::Batch::default();
            let mut count = 0;
            self.scan(range.clone(), Order::Ascending, &mut |sequence, _| {
                batch.remove(&sequence.to_be_bytes());
                count += 1;
                if count < REMOVE_BATCH {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            })?;
            if count == 0 {
                return Ok(());
            }
            let opened = self.opened()?;
            guarded("remove", || opened.records.apply_batch(batch).map_err(failed("remove")))?;
        }
    }

    fn sync(&self) -> Result<(), StoreError> {
        let opened = self.opened()?;
        guarded("flush", || opened.db.flush().map(drop).map_err(failed("flush")))?;
        opened.sync_blobs().map_err(|e| StoreError::new("sync of blobs", e))?;
        opened.file.sync_data().map_err(|e| StoreError::new("sync of db", e))?;
        opened.note_begun().map_err(|e| StoreError::new("sync of the directory", e))
    }

    fn reopen(&self) -> Result<(), StoreError> {
        // Whoever reads meanwhile is told so, and does not wait.
        let slot = || self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = slot().take();
        if let Some(failed) = failed
            && let Err((failed, error)) = close(failed)
        {
            *slot() = Some(failed);
            return Err(error);
        }
        let opened = Opened::open(&self.dir, self.cache_bytes)
            .map_err(|refusal| StoreError::new("reopen", refusal.to_string()))?;
        *slot() = Some(Arc::new(opened));
        Ok(())
    }
}
