//! Keeps the last-known-good file up with what is served, without anything waiting for it.
//!
//! The task remembers nothing but the last view it has written. One that answers otherwise, such as after a failover,
//! is written at once; one in which only the log went on waits until the interval has passed. One write is under way
//! at a time, takes the newest view there is, and is followed by a pause [`PAUSES`] times as long, so that a storm does
//! not keep the disk busy for good. So after a crash the file is behind what was served by the last write and its pause
//! (and after failures by the back-off, at most a minute): a slow or full disk costs an old file, never an answer. A
//! failed write is tried again after a back-off, then with the newest view. A view that came from the file is not
//! written back.

use std::sync::Arc;
use std::time::Duration;

use holdfast_core::view::Answers;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::LastKnownGood;
use crate::lkg::{self, LkgError};
use crate::metric;
use crate::publish::{AnswersSource, Position, Published};

/// The pause after a write, in times of what the write took.
const PAUSES: u32 = 4;
/// The pause after a first failure; doubled with each more.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// The longest pause after a failure.
const LAST_RETRY: Duration = Duration::from_secs(60);

pub(crate) struct LkgWriter {
    source: AnswersSource,
    file: LastKnownGood,
    /// Of the last view that was written, what the next one is compared with: not its compiled table.
    written: Option<(Position, Arc<Answers>)>,
    /// Tells what is on disk.
    told: watch::Sender<Option<Position>>,
    failures: u32,
}

impl LkgWriter {
    pub(crate) fn new(source: AnswersSource, file: LastKnownGood) -> Self {
        Self { source, file, written: None, told: watch::Sender::new(None), failures: 0 }
    }

    /// The position of the last view that was written.
    pub(crate) fn written(&self) -> watch::Receiver<Option<Position>> {
        self.told.subscribe()
    }

    /// Writes until `shutdown`, and then once more what is not yet written.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        let mut changes = self.source.changes();
        loop {
            changes.mark_unchanged();
            let pause = self.write_newest().await.unwrap_or_else(|pause| pause);
            tokio::select! {
                () = self.due(Instant::now(), pause, &mut changes) => {}
                () = shutdown.cancelled() => break,
            }
        }
        // What fails at the end was reported by write_newest and cannot be tried again.
        let _ = self.write_newest().await;
    }

    /// Waits until there is something to write, `pause` after the last attempt at the earliest.
    async fn due(
        &self,
        tried: Instant,
        pause: Duration,
        changes: &mut watch::Receiver<Option<Position>>,
    ) {
        tokio::time::sleep_until(tried + pause).await;
        if self.failures > 0 {
            return;
        }
        while !self.answers_otherwise() {
            // The source holds the sender, so the channel cannot close while we run.
            tokio::select! {
                _ = changes.changed() => {}
                () = tokio::time::sleep_until(tried + self.file.min_interval),
                    if self.newest().is_some() => return,
            }
        }
    }

    /// The newest view, if it is not on disk.
    fn newest(&self) -> Option<Arc<Published>> {
        let written = self.written.as_ref().map(|(position, _)| *position);
        let newest = self.source.current().filter(|newest| newest.position().live)?;
        (Some(newest.position()) > written).then_some(newest)
    }

    /// Whether the newest view answers otherwise than the one on disk; copies of a view share what is equal, so this
    /// costs as much as has changed.
    fn answers_otherwise(&self) -> bool {
        let Some(newest) = self.newest() else { return false };
        let (newest, written) =
            (newest.answers(), self.written.as_ref().map(|(_, answers)| answers));
        written.is_none_or(|on_disk| on_disk.names != newest.names || on_disk.zones != newest.zones)
    }

    /// Writes the newest view if it is not on disk. Says how long to pause: some times what it took, or longer
    /// after a failure.
    async fn write_newest(&mut self) -> Result<Duration, Duration> {
        let Some(newest) = self.newest() else { return Ok(Duration::ZERO) };
        let begun = Instant::now();
        match self.write(Arc::clone(&newest)).await {
            Ok(()) => {
                self.written = Some((newest.position(), Arc::clone(newest.answers())));
                self.told.send_replace(Some(newest.position()));
                self.failures = 0;
                Ok((begun.elapsed() * PAUSES).min(self.file.min_interval))
            }
            Err(error) => {
                metrics::counter!(metric::LKG_FAILURES).increment(1);
                let pause = FIRST_RETRY.saturating_mul(1 << self.failures.min(6)).min(LAST_RETRY);
                self.failures = self.failures.saturating_add(1);
                tracing::warn!(error = %error, source = ?std::error::Error::source(&error), retry_in = ?pause,
                    "last-known-good file not written; answers go on");
                Err(pause.max(self.file.min_interval))
            }
        }
    }

    async fn write(&self, newest: Arc<Published>) -> Result<(), LkgError> {
        let (path, cluster) = (self.file.path.clone(), self.file.cluster.clone());
        let write = move || lkg::save(&path, &cluster, newest.answers());
        let written = tokio::task::spawn_blocking(write).await;
        written.unwrap_or_else(|panicked| Err(LkgError::Encode { why: panicked.to_string() }))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use holdfast_core::view::{Answers, NameAnswers};
    use holdfast_core::{DnsName, Epoch, GroupId};

    use super::*;
    use crate::publish::{Publisher, channel};

    const INTERVAL: Duration = Duration::from_secs(10);
    const CLUSTER: &str = "prod";

    struct Bench {
        _directory: tempfile::TempDir,
        path: PathBuf,
        publisher: Publisher,
        shutdown: CancellationToken,
        running: tokio::task::JoinHandle<()>,
    }

    fn bench() -> Bench {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("data").join("lkg");
        let (publisher, source) = channel();
        let (cluster, group) = (CLUSTER.to_owned(), GroupId::default());
        let file = LastKnownGood { path: path.clone(), cluster, group, min_interval: INTERVAL };
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(LkgWriter::new(source, file).run(shutdown.clone()));
        Bench { _directory: directory, path, publisher, shutdown, running }
    }

    impl Bench {
        fn publish(&self, index: u64) {
            self.publisher.publish(Arc::new(Answers { index, ..Answers::default() }));
        }

        fn on_disk(&self) -> Option<u64> {
            lkg::load(&self.path, CLUSTER, GroupId::default())
                .ok()
                .flatten()
                .map(|answers| answers.index)
        }

        /// Waits until an index is on disk, and says how long that took by the paused clock.
        async fn until_on_disk(&self, index: u64) -> Duration {
            let begun = Instant::now();
            while self.on_disk() != Some(index) {
                assert!(begun.elapsed() < 100 * LAST_RETRY, "{index} is never written");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            begun.elapsed()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_storm_costs_one_write_per_interval_and_the_latest_wins() {
        let bench = bench();
        bench.publish(1);
        assert!(bench.until_on_disk(1).await < INTERVAL, "the first is written at once");
        for index in 2..=100 {
            bench.publish(index);
            tokio::task::yield_now().await;
            assert_eq!(bench.on_disk(), Some(1));
        }
        let waited = bench.until_on_disk(100).await;
        assert!(
            waited > INTERVAL - Duration::from_secs(1)
                && waited <= INTERVAL + Duration::from_secs(1)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_failover_is_written_at_once() {
        let bench = bench();
        bench.publish(1);
        bench.until_on_disk(1).await;
        for index in 2..=20 {
            let name = DnsName::new("shop.example.test").expect("valid");
            let epoch = Epoch(index);
            let here = NameAnswers { service: None, epoch, refused: false, sets: vec![] };
            let names = [(name, Arc::new(here))].into_iter().collect();
            let failover = Answers { index, names, ..Answers::default() };
            bench.publisher.publish(Arc::new(failover));
            assert!(bench.until_on_disk(index).await < INTERVAL / 10, "epoch {index}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_failing_disk_is_tried_again_until_it_works() {
        let bench = bench();
        let directory = bench.path.parent().expect("has one").to_owned();
        fs::write(&directory, b"a file where the directory should be").expect("writes");
        bench.publish(1);
        tokio::time::sleep(3 * LAST_RETRY).await;
        assert_eq!(bench.on_disk(), None);
        fs::remove_file(&directory).expect("removes");
        bench.until_on_disk(1).await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_yet_written_is_written_at_the_end() {
        let bench = bench();
        bench.publish(1);
        bench.until_on_disk(1).await;
        bench.publish(2);
        bench.shutdown.cancel();
        let path = bench.path.clone();
        bench.running.await.expect("ends");
        let on_disk = lkg::load(&path, CLUSTER, GroupId::default()).expect("whole");
        assert_eq!(on_disk.map(|answers| answers.index), Some(2));
    }
}
