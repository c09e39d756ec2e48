//! The log in redb: one file per group, one writer thread per group, group commit.
//!
//! ```text
//! write() ─▶ bounded queue ─▶ writer thread: drain ─▶ one transaction, one fsync ─▶ every done()
//! ```
//!
//! All jobs that wait when the thread comes round go into one transaction with `Durability::Immediate`, in order;
//! their `done`s are called after its fsync. A transaction is atomic, so a crash leaves exactly a prefix of the
//! stream. `Committed` marks cost no fsync while jobs come: every [`MARK_PAUSE`] the latest one goes with the next job.
//! The last one before a rest is written when the rest begins, so that an agent that restarts without a quorum knows
//! what it knew.
//!
//! The inline variant performs each job where it is called, without a thread: for crash tests, which need every
//! write and sync counted in a fixed order.

use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use redb::{
    Database, Durability, ReadableDatabase as _, ReadableTable as _, TableDefinition,
    WriteTransaction,
};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::Instant;

use super::io::{Fatal, Job, LogIo, Stored, Write};
use crate::metrics::LogMetrics;

const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const VOTE: &str = "vote";
const COMMITTED: &str = "committed";
const PURGED: &str = "purged";

/// Jobs that wait for the writer thread, and jobs in one transaction, at the most; further callers wait for a place.
const QUEUE_LIMIT: usize = 1024;
/// How long `Committed` marks are passed over after one was written: each costs the pages of another table.
const MARK_PAUSE: Duration = Duration::from_millis(100);
/// How long nothing is written before the thread rests, having written the last mark.
const REST_AFTER: Duration = Duration::from_millis(20);
/// Page cache of one group's database.
const CACHE_BYTES: usize = 16 << 20;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The redb log store.
pub(crate) struct RedbIo {
    engine: Arc<Engine>,
    /// `None` performs jobs in place.
    queue: Option<Queue>,
}

struct Queue {
    places: Arc<Semaphore>,
    mark: Arc<Mutex<Mark>>,
    jobs: Mutex<Option<Sender<Task>>>,
    stopped: Mutex<Option<oneshot::Receiver<()>>>,
}

/// What the writer thread is given.
enum Task {
    Job(Job),
    /// There is a mark, and the thread rests.
    Wake,
}

/// The latest `Committed`, until a job takes it along.
#[derive(Default)]
struct Mark {
    job: Option<Job>,
    /// Whether the thread rests, so that a mark has to wake it.
    resting: bool,
}

impl Queue {
    fn send(&self, task: Task) {
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = jobs.as_ref() {
            // A thread that is gone has raised `Fatal` already; a job is dropped unacknowledged.
            let _ = sender.send(task);
        }
    }
}

/// Leaves a mark; returns whether the thread has to be woken for it.
fn put(mark: &Mutex<Mark>, job: Job) -> bool {
    let mut mark = mark.lock().unwrap_or_else(PoisonError::into_inner);
    mark.job = Some(job);
    std::mem::take(&mut mark.resting)
}

/// Takes the mark; where there is none, the thread is about to rest if it says so.
fn take(mark: &Mutex<Mark>, rest: bool) -> Option<Job> {
    let mut mark = mark.lock().unwrap_or_else(PoisonError::into_inner);
    let job = mark.job.take();
    mark.resting = rest && job.is_none();
    job
}

impl RedbIo {
    /// Opens or creates the file at `path` and starts the writer thread.
    pub(crate) fn open(
        path: &Path,
        group: &str,
        fatal: Fatal,
    ) -> Result<Self, redb::DatabaseError> {
        let database = open_or_create(path)?;
        let engine = Arc::new(Engine {
            database: RwLock::new(Some(database)),
            fatal,
            metrics: LogMetrics::new(group),
        });
        let (sender, receiver) = channel();
        let (stopped_sender, stopped) = oneshot::channel();
        let places = Arc::new(Semaphore::new(QUEUE_LIMIT));
        let mark = Arc::<Mutex<Mark>>::default();
        let (writer, freed, marked) = (engine.clone(), places.clone(), mark.clone());
        std::thread::Builder::new()
            .name(format!("log-{group}"))
            .spawn(move || {
                write_loop(&writer, &receiver, &freed, &marked);
                writer.drop_database();
                // The closer may have given up waiting; the file is free either way.
                let _ = stopped_sender.send(());
            })
            .map_err(|error| redb::DatabaseError::Storage(redb::StorageError::Io(error)))?;
        let (jobs, stopped) = (Mutex::new(Some(sender)), Mutex::new(Some(stopped)));
        let queue = Queue { places, mark, jobs, stopped };
        Ok(Self { engine, queue: Some(queue) })
    }

    /// A store over any backend that performs each job in place.
    #[cfg(test)]
    pub(crate) fn inline(
        backend: impl redb::StorageBackend,
        fatal: Fatal,
    ) -> Result<Self, redb::DatabaseError> {
        let database = Database::builder().set_cache_size(0).create_with_backend(backend)?;
        let database = RwLock::new(Some(database));
        let engine = Arc::new(Engine { database, fatal, metrics: LogMetrics::new("test") });
        Ok(Self { engine, queue: None })
    }
}

#[async_trait]
impl LogIo for RedbIo {
    async fn write(&self, job: Job) {
        let Some(queue) = &self.queue else {
            self.engine.commit(vec![job]);
            return;
        };
        if matches!(job.write, Write::Committed(_)) {
            if put(&queue.mark, job) {
                queue.send(Task::Wake);
            }
            return;
        }
        let Ok(place) = queue.places.acquire().await else { return };
        // The writer thread gives the place back when it takes the job.
        place.forget();
        queue.send(Task::Job(job));
    }

    fn load(&self) -> io::Result<Stored> {
        self.engine.with(|database| load(database).map_err(io::Error::other))
    }

    fn read(&self, from: u64, to: u64, max_bytes: usize) -> io::Result<Vec<(u64, Bytes)>> {
        self.engine.with(|database| read(database, from, to, max_bytes).map_err(io::Error::other))
    }

    async fn close(&self) {
        let Some(queue) = &self.queue else {
            self.engine.drop_database();
            return;
        };
        drop(queue.jobs.lock().unwrap_or_else(PoisonError::into_inner).take());
        let stopped = queue.stopped.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(stopped) = stopped {
            // An error means that the thread is gone, which is what is waited for.
            let _ = stopped.await;
        }
    }
}

/// A new file is prepared under another name, so that a crash in between leaves none rather than half of one.
fn open_or_create(path: &Path) -> Result<Database, redb::DatabaseError> {
    let storage = |error| redb::DatabaseError::Storage(redb::StorageError::Io(error));
    if !path.exists() {
        let new = path.with_extension("new");
        match std::fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(storage(error)),
            _ => {}
        }
        let database = Database::create(&new)?;
        load(&database).map_err(io::Error::other).map_err(storage)?;
        drop(database);
        std::fs::rename(&new, path).map_err(storage)?;
        let directory = path.parent().expect("a file lies in a directory");
        std::fs::File::open(directory).and_then(|file| file.sync_all()).map_err(storage)?;
    }
    Database::builder().set_cache_size(CACHE_BYTES).create(path)
}

fn write_loop(engine: &Engine, tasks: &Receiver<Task>, places: &Semaphore, mark: &Mutex<Mark>) {
    let job = |task| match task {
        Task::Job(job) => Some(job),
        Task::Wake => None,
    };
    let mut marked = Instant::now();
    let mut open = true;
    let mut resting = false;
    while open {
        let pause = if resting { Duration::MAX } else { REST_AFTER };
        let first = tasks.recv_timeout(pause);
        open = !matches!(first, Err(RecvTimeoutError::Disconnected));
        let quiet = matches!(first, Err(RecvTimeoutError::Timeout) | Ok(Task::Wake));
        // Before the queue is emptied: what a mark speaks of must not become durable after it.
        let mark = if !open || quiet || marked.elapsed() >= MARK_PAUSE {
            marked = Instant::now();
            take(mark, quiet)
        } else {
            None
        };
        // Who leaves a mark from here on wakes a thread that rests: that word must not get lost among the jobs.
        resting = quiet && mark.is_none();
        let waiting = if resting { 0 } else { usize::MAX };
        let mut group: Vec<Job> =
            first.ok().into_iter().chain(tasks.try_iter().take(waiting)).filter_map(job).collect();
        let freed = group.len();
        group.extend(mark);
        if !group.is_empty() && !engine.commit(group) {
            return;
        }
        places.add_permits(freed);
    }
}

struct Engine {
    /// `None` after closing.
    database: RwLock<Option<Database>>,
    fatal: Fatal,
    metrics: LogMetrics,
}

impl Engine {
    fn with<T>(&self, f: impl FnOnce(&Database) -> io::Result<T>) -> io::Result<T> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        database.as_ref().map_or_else(|| Err(io::Error::other("the log store is closed")), f)
    }

    fn drop_database(&self) {
        drop(self.database.write().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Commits a group with one fsync; false when storage has failed for good.
    fn commit(&self, jobs: Vec<Job>) -> bool {
        let begun = Instant::now();
        let (writes, dones): (Vec<Write>, Vec<_>) =
            jobs.into_iter().map(|job| (job.write, job.done)).unzip();
        let result = self.with(|database| commit(database, &writes).map_err(io::Error::other));
        if let Err(error) = result {
            self.fatal.raise("the raft log could not be written", &error);
            return false;
        }
        self.metrics.synced(begun.elapsed(), writes.len());
        dones.into_iter().for_each(|done| done());
        true
    }
}

fn commit(database: &Database, writes: &[Write]) -> Result<(), Failure> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    {
        let mut log = transaction.open_table(LOG)?;
        for write in writes {
            match write {
                Write::Vote(bytes) => note(&transaction, VOTE, bytes)?,
                Write::Committed(bytes) => note(&transaction, COMMITTED, bytes)?,
                Write::Append(entries) => {
                    for (index, bytes) in entries {
                        log.insert(index, bytes.as_ref())?;
                    }
                }
                Write::Truncate { from } => log.retain_in(*from.., |_, _| false)?,
                Write::Purge { upto, mark } => {
                    log.retain_in(..=*upto, |_, _| false)?;
                    note(&transaction, PURGED, mark)?;
                }
            }
        }
    }
    transaction.commit()?;
    Ok(())
}

/// The table is opened only where it is written to: a commit pays for every table that was open.
fn note(transaction: &WriteTransaction, key: &str, value: &[u8]) -> Result<(), Failure> {
    transaction.open_table(META)?.insert(key, value)?;
    Ok(())
}

/// Opening a table in a read transaction fails when nothing was ever written.
fn create_tables(database: &Database) -> Result<(), Failure> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    drop((transaction.open_table(LOG)?, transaction.open_table(META)?));
    transaction.commit()?;
    Ok(())
}

fn load(database: &Database) -> Result<Stored, Failure> {
    create_tables(database)?;
    let transaction = database.begin_read()?;
    let meta = transaction.open_table(META)?;
    let value = |key: &str| -> Result<Option<Vec<u8>>, Failure> {
        Ok(meta.get(key)?.map(|guard| guard.value().to_vec()))
    };
    let log = transaction.open_table(LOG)?;
    let last = log.last()?.map(|(_, guard)| Bytes::copy_from_slice(guard.value()));
    Ok(Stored { vote: value(VOTE)?, committed: value(COMMITTED)?, purged: value(PURGED)?, last })
}

fn read(
    database: &Database,
    from: u64,
    to: u64,
    max_bytes: usize,
) -> Result<Vec<(u64, Bytes)>, Failure> {
    let transaction = database.begin_read()?;
    let log = transaction.open_table(LOG)?;
    let mut entries = Vec::new();
    let mut bytes = 0;
    for item in log.range(from..to)? {
        let (index, value) = item?;
        bytes += value.value().len();
        if !entries.is_empty() && bytes > max_bytes {
            break;
        }
        entries.push((index.value(), Bytes::copy_from_slice(value.value())));
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Many words to the thread, so that it is busy with them when the mark is left and the word of it comes last.
    #[test]
    fn a_mark_that_is_left_while_the_thread_goes_to_rest_is_written() {
        const WORDS: usize = 200_000;
        let backend = redb::backends::InMemoryBackend::new();
        let database = Database::builder().create_with_backend(backend).expect("it opens");
        let database = RwLock::new(Some(database));
        let fatal = Fatal::hook(|why| panic!("{why}"));
        let engine = Engine { database, fatal, metrics: LogMetrics::new("test") };
        let (sender, receiver) = channel();
        for _ in 0..WORDS {
            sender.send(Task::Wake).expect("it is open");
        }
        let (mark, places) = (Mutex::new(Mark::default()), Semaphore::new(0));
        let (written, done) = channel();
        let (engine, places, mark) = (&engine, &places, &mark);
        std::thread::scope(|scope| {
            scope.spawn(move || write_loop(engine, &receiver, places, mark));
            while !mark.lock().expect("not poisoned").resting {
                std::hint::spin_loop();
            }
            let done_one = Box::new(move || written.send(()).expect("it is waited for"));
            if put(mark, Job { write: Write::Committed(vec![7]), done: done_one }) {
                sender.send(Task::Wake).expect("it is open");
            }
            let outcome = done.recv_timeout(Duration::from_secs(5));
            drop(sender);
            outcome.expect("it is written though nothing follows");
        });
    }
}
