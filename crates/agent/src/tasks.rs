//! Supervised, named tasks. Whatever an agent does in the background has a name, shows whether it runs, and when it
//! ends unasked (a panic, or a return before the shutdown) is logged, counted and begun again with a growing pause.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// The first pause before a task is begun again.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How a task stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskStatus {
    /// Its name.
    pub name: &'static str,
    /// Whether it runs.
    pub running: bool,
    /// How often it was begun again.
    pub restarts: u64,
    /// Why it last ended unasked.
    pub last_error: Option<String>,
}

/// The tasks of one agent. Clones are handles of the same set.
#[derive(Debug, Clone)]
pub struct Tasks {
    cancel: CancellationToken,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    statuses: BTreeMap<&'static str, TaskStatus>,
    set: JoinSet<()>,
}

impl Tasks {
    /// No tasks yet; they end when `cancel` does.
    pub fn new(cancel: CancellationToken) -> Self {
        Self { cancel, inner: Arc::default() }
    }

    /// What ends the tasks.
    pub fn cancel_token(&self) -> CancellationToken {
        self.cancel.clone()
    }

    /// How each task stands, by name.
    pub fn statuses(&self) -> Vec<TaskStatus> {
        self.lock().statuses.values().cloned().collect()
    }

    /// Begins a task that runs until the agent shuts down. `make` is called for each (re)start.
    pub fn supervise<F>(&self, name: &'static str, make: impl Fn() -> F + Send + Sync + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let status = TaskStatus { name, running: true, restarts: 0, last_error: None };
        let tasks = self.clone();
        let mut inner = self.lock();
        inner.statuses.insert(name, status);
        inner.set.spawn(async move { tasks.keep(name, make).await });
    }

    /// Waits for every task to end. The caller cancels first.
    pub async fn ended(&self) {
        let mut set = std::mem::take(&mut self.lock().set);
        while set.join_next().await.is_some() {}
    }

    async fn keep<F>(&self, name: &'static str, make: impl Fn() -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut pause = FIRST_PAUSE;
        loop {
            let began = tokio::time::Instant::now();
            let mut task = tokio::spawn(make());
            let ended = tokio::select! {
                biased;
                ended = &mut task => ended,
                () = self.cancel.cancelled() => {
                    // A task watches the same token; one that does not is ended at its next await.
                    tokio::select! {
                        biased;
                        _ = &mut task => {}
                        () = tokio::time::sleep(Duration::from_secs(2)) => task.abort(),
                    }
                    self.note(name, |status| status.running = false);
                    return;
                }
            };
            if self.cancel.is_cancelled() {
                self.note(name, |status| status.running = false);
                return;
            }
            let why =
                ended.err().map_or_else(|| "it returned".to_owned(), |error| error.to_string());
            tracing::warn!(task = name, why, "a background task ended unasked and is begun again");
            metrics::counter!("holdfast_task_restarts_total", "task" => name).increment(1);
            self.note(name, |status| {
                status.running = false;
                status.restarts += 1;
                status.last_error = Some(why);
            });
            if began.elapsed() > LONGEST_PAUSE {
                pause = FIRST_PAUSE;
            }
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
            self.note(name, |status| status.running = true);
        }
    }

    fn note(&self, name: &'static str, change: impl FnOnce(&mut TaskStatus)) {
        if let Some(status) = self.lock().statuses.get_mut(name) {
            change(status);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[tokio::test(start_paused = true)]
    async fn a_task_that_panics_is_begun_again_and_shown() {
        let tasks = Tasks::new(CancellationToken::new());
        let runs = Arc::new(AtomicU32::new(0));
        let counted = runs.clone();
        tasks.supervise("fragile", move || {
            let run = counted.fetch_add(1, Ordering::SeqCst);
            async move {
                assert!(run > 0, "the first run fails");
                std::future::pending::<()>().await;
            }
        });
        while runs.load(Ordering::SeqCst) < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let status = tasks.statuses().remove(0);
        assert_eq!((status.running, status.restarts), (true, 1));
        tasks.cancel_token().cancel();
        tasks.ended().await;
        assert!(!tasks.statuses()[0].running);
    }
}
