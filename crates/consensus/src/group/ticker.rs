//! What a leader owes the state: word that its term began, word that time has passed when something falls due, and the
//! end of a change of voters that is half done.
//!
//! ```text
//! not leading ──elected──▶ BeginTerm ─┬▶ wait for next deadline ─▶ AdvanceTime ─▶ … ──deposed──▶ not leading
//!                                     └▶ wait for half a change ─▶ the other half ─▶ …
//! ```
//!
//! It waits for leadership, for deadlines and for changes of either; it never polls. A tick that changes nothing is
//! followed by a pause of [`TICK_FLOOR`], so that a deadline which does not move cannot spin.

use std::sync::Arc;
use std::time::Duration;

use holdfast_core::{Actor, AgentId, Command};
use holdfast_wire::command::Proposal;
use openraft::ServerState;
use openraft::async_runtime::WatchReceiver as _;
use openraft::vote::RaftLeaderId as _;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::propose::Proposer;

/// The shortest time between two ticks.
const TICK_FLOOR: Duration = Duration::from_millis(2);
/// The pause before `BeginTerm` is tried again.
const RETRY: Duration = Duration::from_millis(20);
/// The pause before a change of voters is looked after again.
const COMPLETION_PAUSE: Duration = Duration::from_millis(500);
/// How long one proposal may take before leadership is looked at again.
const PATIENCE: Duration = Duration::from_secs(2);

pub(crate) struct Ticker {
    pub(crate) me: AgentId,
    pub(crate) proposer: Arc<Proposer>,
    pub(crate) stop: CancellationToken,
}

impl Ticker {
    pub(crate) async fn run(self) {
        let stop = self.stop.clone();
        let work = async {
            while let Some(term) = self.elected().await {
                let lead = self.lead(term);
                tokio::select! {
                    biased;
                    () = self.deposed(term) => {}
                    () = lead => {}
                }
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = work => {}
        }
    }

    /// Waits until this agent leads; `None` when Raft is gone.
    async fn elected(&self) -> Option<u64> {
        let mut metrics = self.proposer.raft.server_metrics();
        loop {
            {
                let metrics = metrics.borrow_and_update();
                if metrics.state == ServerState::Leader {
                    return Some(metrics.vote.leader_id().term());
                }
            }
            metrics.changed().await.ok()?;
        }
    }

    /// Waits until this agent no longer leads in `term`.
    async fn deposed(&self, term: u64) {
        let mut metrics = self.proposer.raft.server_metrics();
        loop {
            {
                let metrics = metrics.borrow_and_update();
                if metrics.state != ServerState::Leader || metrics.vote.leader_id().term() != term {
                    return;
                }
            }
            if metrics.changed().await.is_err() {
                return;
            }
        }
    }

    async fn lead(&self, term: u64) {
        while !self.propose(Command::BeginTerm { term, leader: self.me }).await {
            tokio::time::sleep(RETRY).await;
        }
        tracing::info!(term, leader = %self.me, "this agent leads the group");
        tokio::select! {
            biased;
            () = self.tick() => {}
            () = self.complete_changes() => {}
        }
    }

    /// Completes what is half done of a change of voters, whoever asked for it; until Raft is gone.
    async fn complete_changes(&self) {
        let mut progress = self.proposer.machine.progress();
        while progress.wait_for(|progress| progress.joint).await.is_ok() {
            // Whoever carries the change out holds this.
            let alone = self.proposer.changing.lock().await;
            let completed = self.proposer.complete_change(Instant::now() + PATIENCE).await;
            drop(alone);
            if let Err(failure) = completed {
                let why = failure.message;
                tracing::warn!(why, "a change of voters stays half done; it is tried again");
            }
            tokio::time::sleep(COMPLETION_PAUSE).await;
        }
    }

    /// Says that time has passed whenever something falls due; until Raft is gone.
    async fn tick(&self) {
        let mut progress = self.proposer.machine.progress();
        loop {
            let deadline = progress.borrow_and_update().deadline.clone();
            let Some(deadline) = deadline else {
                if progress.changed().await.is_err() {
                    return;
                }
                continue;
            };
            let wait = deadline.at.since(self.proposer.stamp()).max(TICK_FLOOR);
            tokio::select! {
                biased;
                changed = progress.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
                () = tokio::time::sleep(wait) => {
                    tracing::debug!(reason = deadline.reason, "something falls due");
                    self.propose(Command::AdvanceTime).await;
                }
            }
        }
    }

    async fn propose(&self, command: Command) -> bool {
        let proposal = Proposal { request_id: None, actor: Actor::system(), command };
        match self.proposer.propose(&proposal, Instant::now() + PATIENCE).await {
            Ok(_) => true,
            Err(failure) => {
                tracing::debug!(failure = failure.message, "the leader's own proposal failed");
                false
            }
        }
    }
}
