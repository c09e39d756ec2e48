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
