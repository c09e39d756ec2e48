//! Which threads and endless tasks of the server run.
//!
//! Each begins as a part with a name and ends when what it runs on lets go of it: by returning, by a panic, or because its
//! runtime died. Before a stop none of them ends by itself, so a part that does has failed, and the agent says so where
//! readiness is asked for.
//!
//! Invariant: a part that is not running is named. Nothing is started anew here: a thread that ended left a state nobody
//! foresaw, and an agent is replaced as a whole.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;

use futures_util::FutureExt as _;
use metrics::counter;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::config::DnsError;
use crate::metric;

/// A name, and whether it runs.
type Named = (String, Weak<()>);

/// The parts of a server: at most one for each thread, and one for each address and transport.
#[derive(Debug, Clone, Default)]
pub struct Parts {
    named: Arc<Mutex<Vec<Named>>>,
    running: TaskTracker,
}

/// A part that runs for as long as this lives.
#[derive(Debug)]
struct Running {
    _alive: Arc<()>,
    _counted: TaskTrackerToken,
}

impl Parts {
    /// The names of those that ended, in the order they began.
    pub fn ended(&self) -> Vec<String> {
        let named = self.lock();
        let ended = named.iter().filter(|(_, part)| part.strong_count() == 0);
        ended.map(|(name, _)| name.clone()).collect()
    }

    /// Begins a part.
    fn begin(&self, name: impl Into<String>) -> Running {
        let alive = Arc::new(());
        self.lock().push((name.into(), Arc::downgrade(&alive)));
        Running { _alive: alive, _counted: self.running.token() }
    }

    /// Runs a task as a part. A panic ends it, and is counted.
    pub(crate) fn task<N: Into<String>, F: Future<Output = ()>>(
        &self,
        name: N,
        task: F,
    ) -> impl Future<Output = ()> + use<N, F> {
        let running = self.begin(name);
        async move {
            let ended = AssertUnwindSafe(task).catch_unwind().await;
            if ended.is_err() {
                counter!(metric::PANICS).increment(1);
            }
            drop(running);
        }
    }

    /// Starts a thread as a part. Errors: the system has none to give.
    pub(crate) fn thread(
        &self,
        name: String,
        run: impl FnOnce() + Send + 'static,
    ) -> Result<thread::JoinHandle<()>, DnsError> {
        let running = self.begin(name.clone());
        let run = move || {
            run();
            drop(running);
        };
        thread::Builder::new()
            .name(name.clone())
            .spawn(run)
            .map_err(|source| DnsError::Thread { name, source })
    }

    /// Waits until all have ended.
    pub(crate) async fn wait(&self) {
        self.running.close();
        self.running.wait().await;
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Named>> {
        self.named.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn a_part_is_named_once_it_ended_however_it_did() {
        let parts = Parts::default();
        let (stop, stopped) = oneshot::channel::<()>();
        let lives = parts.task("lives", async { stopped.await.unwrap_or_default() });
        let lives = tokio::spawn(lives);
        tokio::spawn(parts.task("returns", async {})).await.expect("no panic");
        tokio::spawn(parts.task("panics", async { panic!("as told") })).await.expect("caught");
        let thread = parts.thread("thread".to_owned(), || panic!("as told"));
        assert!(thread.expect("a thread").join().is_err());
        drop(parts.task("runtime died", async {}));
        assert_eq!(parts.ended(), ["returns", "panics", "thread", "runtime died"]);
        stop.send(()).expect("it waits");
        parts.wait().await;
        lives.await.expect("no panic");
        assert_eq!(parts.ended().len(), 5);
    }
}
