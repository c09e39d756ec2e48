//! How a group ends on this agent in good order.
//!
//! ```text
//! shutdown ─▶ another leads ─▶ stop: nothing new comes to Raft, what waits for it is let go ─▶ Raft ends ─▶ log closed
//! ```
//!
//! Raft must not end while somebody asks it something: it would take that for a fault and say so in the log, at the
//! level at which people are called. What is let go may have come to the log, and from there to the others: whoever
//! asked learns that the outcome is unknown. What comes later is refused, and did not happen.

use holdfast_core::AgentId;
use holdfast_wire::peer::{Refusal, RefusalReason};
use openraft::async_runtime::WatchReceiver as _;
use tokio::time::Instant;

use super::route::leader_of;
use super::{Group, Raft};

/// Why a group that ends in good order takes nothing more.
pub(super) const STOPPING: &str = "this agent is stopping; ask another one";

impl Group {
    /// Hands leadership over where this agent leads, then stops. The log is on disk and its file free afterwards.
    pub async fn shutdown(&self) {
        if let Ok(raft) = self.raft() {
            self.hand_over(raft).await;
        }
        self.0.stop.cancel();
        if let Ok(proposer) = &self.0.proposer {
            // An error means that the core is gone already.
            let _ = proposer.raft.shutdown().await;
        }
        self.0.log.close().await;
    }

    async fn hand_over(&self, raft: &Raft) {
        if let Some(successor) = self.heir() {
            self.transfer(raft, successor).await;
        }
    }

    pub(super) async fn transfer(&self, raft: &Raft, successor: AgentId) {
        let me = self.0.config.me.id;
        let until = Instant::now() + self.0.config.timings.election_max;
        let mut metrics = raft.metrics();
        if raft.trigger().transfer_leader(successor.0).await.is_err() {
            return;
        }
        while leader_of(raft) == Some(me) {
            match tokio::time::timeout_at(until, metrics.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return,
            }
        }
    }

    /// What `work` gives, unless the group stops first. Errors: it had stopped before, so nothing happened; or it
    /// stopped meanwhile, and what became of it is unknown.
    pub(super) async fn until_stop<T>(
        &self,
        work: impl Future<Output = Result<T, Refusal>>,
    ) -> Result<T, Refusal> {
        if self.0.stop.is_cancelled() {
            return Err(Refusal::new(RefusalReason::Busy, STOPPING));
        }
        let done = self.unless_stopping(work).await;
        done.unwrap_or_else(|| Err(Refusal::new(RefusalReason::Internal, STOPPING)))
    }

    /// What `work` gives, or nothing once the group stops. From then on `work` is not looked at again: Raft may have
    /// ended under it.
    pub(super) async fn unless_stopping<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.0.stop.cancelled() => None,
            done = work => Some(done),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex, PoisonError};
    use std::time::Duration;

    use futures_util::future::join_all;
    use holdfast_core::{Outcome, RequestId};
    use holdfast_wire::command::Proposal;
    use tracing::Level;

    use super::STOPPING;
    use crate::error::ProposeError;
    use crate::testing::person;
    use crate::testing_net::{Cluster, declaration};

    /// What is logged at WARN and above.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Log {
        /// The lines that people would see: of openraft, an agent shows errors only.
        fn shown(&self) -> Vec<String> {
            let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let text = String::from_utf8(bytes).expect("text");
            let hidden = |line: &&str| line.trim_start().starts_with("WARN openraft");
            text.lines().filter(|line| !hidden(line)).map(str::to_owned).collect()
        }
    }

    /// What people would see in the log of `work`.
    async fn shown(work: impl Future<Output = ()>) -> Vec<String> {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(Level::WARN)
            .with_ansi(false)
            .without_time()
            .with_writer(move || writer.clone())
            .finish();
        let captured = tracing::subscriber::set_default(subscriber);
        work.await;
        drop(captured);
        log.shown()
    }

    /// Asks agent `at` for a change and a read, and answers what became of the change.
    async fn ask(cluster: &Cluster, at: u64, number: u64) -> Result<Outcome, ProposeError> {
        let request_id = Some(RequestId(u128::from(number)));
        let proposal = Proposal { request_id, actor: person(), command: declaration(number) };
        let group = cluster.group(at);
        let patience = Duration::from_secs(1);
        tokio::join!(group.propose_within(proposal, patience), group.read_index()).0
    }

    #[tokio::test(start_paused = true)]
    async fn a_clean_stop_leaves_nothing_in_the_log_that_calls_people() {
        let cluster = Cluster::formed(3).await;
        let leader = cluster.leader().await;
        let stop = async {
            for stopping in [leader % 3 + 1, leader] {
                let begun = cluster.view(leader).zones.len();
                cluster.wait_view(leader, |view| view.zones.len() > begun).await;
                cluster.group(stopping).shutdown().await;
            }
        };
        let load = async {
            for round in 0..40 {
                let numbers = round * 30..round * 30 + 30;
                join_all(numbers.map(|number| ask(&cluster, number % 3 + 1, number))).await;
            }
        };
        let lines = shown(async {
            tokio::join!(load, stop);
        });
        assert_eq!(lines.await, Vec::<String>::new());
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_for_an_answer_is_let_go_before_raft_ends() {
        let cluster = Cluster::formed(3).await;
        let leader = cluster.leader().await;
        let stop = cluster.stop_with_more_in_its_log(leader);
        let follower = leader % 3 + 1;
        let lines = shown(async {
            let (here, forwarded, ()) =
                tokio::join!(ask(&cluster, leader, 1), ask(&cluster, follower, 2), stop);
            assert!(matches!(here, Err(ProposeError::Unknown(_))), "{here:?}");
            assert!(forwarded.is_ok(), "the next leader settles it: {forwarded:?}");
        });
        assert_eq!(lines.await, Vec::<String>::new());
        let late = ask(&cluster, leader, 3).await;
        assert_eq!(late, Err(ProposeError::Stopped(STOPPING.to_owned())));
    }
}
