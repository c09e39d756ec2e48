//! Keeps the last-known-good file up with what is served, without anything waiting for it.
//!
//! The task remembers nothing but the last position it has written: it wakes on a publication, waits until its
//! interval has passed, and writes the newest view there is. So a storm of publications costs one write per interval,
//! and a slow or full disk costs an old file, never an answer. A failed write is tried again after a back-off, then
//! with the newest view. A view that came from the file is not written back.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::LastKnownGood;
use crate::lkg::{self, LkgError};
use crate::metric;
use crate::publish::{AnswersSource, Position, Published};

/// The pause after a first failure; doubled with each more.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// The longest pause after a failure.
const LAST_RETRY: Duration = Duration::from_secs(60);

pub(crate) struct LkgWriter {
    source: AnswersSource,
    path: PathBuf,
    min_interval: Duration,
    written: Option<Position>,
    failures: u32,
}

impl LkgWriter {
    pub(crate) fn new(source: AnswersSource, file: LastKnownGood) -> Self {
        let LastKnownGood { path, min_interval } = file;
        Self { source, path, min_interval, written: None, failures: 0 }
    }

    /// Writes until `shutdown`, and then once more what is not yet written.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        let mut changes = self.source.changes();
        loop {
            changes.mark_unchanged();
            let pause = match self.write_newest().await {
                Ok(true) => self.min_interval,
                Ok(false) => Duration::ZERO,
                Err(pause) => pause,
            };
            let retry = self.failures > 0;
            let until = Instant::now() + pause;
            let due = async {
                tokio::time::sleep_until(until).await;
                // Nothing to try again: the next publication is the next reason to write.
                if !retry {
                    // The source holds the sender, so the channel cannot close while we run.
                    let _ = changes.changed().await;
                }
            };
            tokio::select! {
                () = due => {}
                () = shutdown.cancelled() => break,
            }
        }
        // What fails at the end was reported by write_newest and cannot be tried again.
        let _ = self.write_newest().await;
    }

    /// Writes the newest view if it is not on disk. Says whether it wrote, or how long to wait after a failure.
    async fn write_newest(&mut self) -> Result<bool, Duration> {
        let newest = self.source.current().filter(|newest| newest.position().live);
        let Some(newest) = newest.filter(|newest| Some(newest.position()) > self.written) else {
            return Ok(false);
        };
        match self.write(Arc::clone(&newest)).await {
            Ok(()) => {
                self.written = Some(newest.position());
                self.failures = 0;
                Ok(true)
            }
            Err(error) => {
                metrics::counter!(metric::LKG_FAILURES).increment(1);
                let pause = FIRST_RETRY.saturating_mul(1 << self.failures.min(6)).min(LAST_RETRY);
                self.failures = self.failures.saturating_add(1);
                tracing::warn!(error = %error, source = ?std::error::Error::source(&error), retry_in = ?pause,
                    "last-known-good file not written; answers go on");
                Err(pause.max(self.min_interval))
            }
        }
    }

    async fn write(&self, newest: Arc<Published>) -> Result<(), LkgError> {
        let path = self.path.clone();
        let written = tokio::task::spawn_blocking(move || lkg::save(&path, newest.answers())).await;
        written.unwrap_or_else(|panicked| Err(LkgError::Encode { why: panicked.to_string() }))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use holdfast_core::view::Answers;

    use super::*;
    use crate::publish::{Publisher, channel};

    const INTERVAL: Duration = Duration::from_secs(10);

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
        let file = LastKnownGood { path: path.clone(), min_interval: INTERVAL };
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(LkgWriter::new(source, file).run(shutdown.clone()));
        Bench { _directory: directory, path, publisher, shutdown, running }
    }

    impl Bench {
        fn publish(&self, index: u64) {
            self.publisher.publish(Arc::new(Answers { index, ..Answers::default() }));
        }

        fn on_disk(&self) -> Option<u64> {
            lkg::load(&self.path).ok().flatten().map(|answers| answers.index)
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
        assert_eq!(lkg::load(&path).expect("whole").map(|answers| answers.index), Some(2));
    }
}
