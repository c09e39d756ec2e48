//! How the group stands, as this agent sees it: derived from Raft's metrics, published when it changes.
//!
//! The same task tells the transport's gate whether this agent leads, and stops Raft when the state machine halts.

use std::time::Duration;

use holdfast_core::AgentId;
use holdfast_core::membership::MembershipChange;
use openraft::ServerState;
use openraft::alias::WatchReceiverOf;
use openraft::async_runtime::WatchReceiver as _;
use openraft::metrics::{RaftMetrics, RaftServerMetrics};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Heard, Raft};
use crate::config::GroupConfig;
use crate::network::Link;
use crate::state_machine::StateMachine;
use crate::types::Types;
use std::sync::Arc;

/// What this agent is in the group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Role {
    /// It leads.
    Leader,
    /// It votes and follows.
    Follower,
    /// It stands for election.
    Candidate,
    /// It follows without a vote, or is no member (yet).
    #[default]
    Learner,
    /// The group has stopped on this agent.
    Stopped,
}

/// A member as this agent sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberStatus {
    /// Its number.
    pub id: AgentId,
    /// Its name.
    pub name: String,
    /// Where it is.
    pub region: String,
    /// Where peers reach it.
    pub address: String,
    /// Where clients reach its API.
    pub api_address: String,
    /// Whether it votes.
    pub voter: bool,
    /// Up to which index its log is known to match; on the leader only.
    pub matched: Option<u64>,
    /// How long ago it last acknowledged; on the leader only.
    pub acknowledged_ago: Option<Duration>,
}

/// How the group stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GroupStatus {
    /// The leader, where it is known.
    pub leader: Option<AgentId>,
    /// The current term.
    pub term: u64,
    /// What this agent is.
    pub role: Role,
    /// The last index in this agent's log.
    pub last_log_index: u64,
    /// The last index known to be committed.
    pub committed: u64,
    /// The last index applied here.
    pub applied: u64,
    /// The last index in the snapshot.
    pub snapshot_index: u64,
    /// The members of the group.
    pub members: Vec<MemberStatus>,
    /// The change of membership that is agreed on and not carried out.
    pub requested: Option<MembershipChange>,
    /// Whether a change of voters is half done: the old voters still count as well.
    pub joint: bool,
    /// A leader: a quorum acknowledged lately. Others: the leader was heard lately.
    pub quorum_ok: bool,
    /// The group's generation.
    pub generation: u64,
    /// Why the group has stopped on this agent, where it has.
    pub halted: Option<String>,
}

impl GroupStatus {
    /// The status of a group that has not started here.
    pub(crate) fn halted(config: &GroupConfig, reason: String) -> Self {
        Self {
            role: Role::Stopped,
            generation: config.generation,
            halted: Some(reason),
            ..Self::default()
        }
    }
}

/// How long progress of the log gathers before it is told.
const PROGRESS_PAUSE: Duration = Duration::from_millis(20);

/// Waits until who leads whom has changed, or the log got on a while ago; false when Raft is gone.
async fn news(
    roles: &mut WatchReceiverOf<Types, RaftServerMetrics<Types>>,
    metrics: &mut WatchReceiverOf<Types, RaftMetrics<Types>>,
) -> bool {
    let progress = async {
        let runs = metrics.changed().await.is_ok();
        tokio::time::sleep(PROGRESS_PAUSE).await;
        runs
    };
    tokio::select! {
        biased;
        changed = roles.changed() => changed.is_ok(),
        runs = progress => runs,
    }
}

/// Keeps the status up to date.
pub(crate) struct Reporter {
    pub(crate) config: GroupConfig,
    pub(crate) raft: Raft,
    pub(crate) link: Arc<Link>,
    pub(crate) machine: StateMachine,
    pub(crate) heard: Arc<Heard>,
    pub(crate) status: watch::Sender<GroupStatus>,
    pub(crate) stop: CancellationToken,
}

impl Reporter {
    pub(crate) async fn run(self) {
        let mut metrics = self.raft.metrics();
        let mut roles = self.raft.server_metrics();
        let mut halted = self.machine.halted();
        loop {
            drop(roles.borrow_and_update());
            let current = metrics.borrow_and_update().clone();
            self.gate(&current);
            let status = self.status_of(&current);
            crate::metrics::status(&self.config.group.to_string(), &status);
            self.status.send_if_modified(|published| {
                let changed = *published != status;
                *published = status;
                changed
            });
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return self.ended(),
                changed = halted.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    // The core is gone when this fails, which is what is wanted.
                    let _ = self.raft.shutdown().await;
                }
                runs = news(&mut roles, &mut metrics) => {
                    if !runs {
                        return self.ended();
                    }
                }
                // Silence changes the status as well.
                () = tokio::time::sleep(self.config.timings.election_max) => {}
            }
        }
    }

    fn ended(&self) {
        self.status.send_modify(|status| status.role = Role::Stopped);
    }

    fn gate(&self, metrics: &RaftMetrics<Types>) {
        let leads = metrics.state == ServerState::Leader;
        self.link.gate.lead(leads.then(|| metrics.membership_config.get_joint_config()));
    }

    fn status_of(&self, metrics: &RaftMetrics<Types>) -> GroupStatus {
        let index = |id: &Option<crate::types::LogId>| id.as_ref().map_or(0, |id| id.index);
        let leads = metrics.state == ServerState::Leader;
        let stopped = metrics.running_state.as_ref().err().map(ToString::to_string);
        let halted = self.machine.halted().borrow().clone().or(stopped);
        let role = match metrics.state {
            _ if halted.is_some() => Role::Stopped,
            ServerState::Leader => Role::Leader,
            ServerState::Follower => Role::Follower,
            ServerState::Candidate => Role::Candidate,
            ServerState::Learner | ServerState::Shutdown => Role::Learner,
        };
        GroupStatus {
            leader: metrics.current_leader.map(AgentId),
            term: metrics.current_term,
            role,
            last_log_index: metrics.last_log_index.unwrap_or(0),
            committed: index(&metrics.local_committed),
            applied: index(&metrics.last_applied),
            snapshot_index: index(&metrics.snapshot),
            members: self.members_of(metrics),
            requested: self.machine.open_change(),
            joint: self.machine.half_done().is_some(),
            quorum_ok: if leads { self.link.gate.has_quorum() } else { self.heard.lately() },
            generation: self.config.generation,
            halted,
        }
    }

    fn members_of(&self, metrics: &RaftMetrics<Types>) -> Vec<MemberStatus> {
        let membership = metrics.membership_config.membership();
        let voters: Vec<u64> = membership.voter_ids().collect();
        let now = Instant::now();
        let member = |(id, node): (&u64, &crate::types::NodeRecord)| MemberStatus {
            id: AgentId(*id),
            name: node.name.clone(),
            region: node.region.clone(),
            address: node.address.clone(),
            api_address: node.api_address.clone(),
            voter: voters.contains(id),
            matched: metrics
                .replication
                .as_ref()
                .and_then(|matched| matched.get(id)?.as_ref().map(|id| id.index)),
            acknowledged_ago: metrics
                .replication
                .as_ref()
                .and_then(|_| self.link.gate.last_acknowledged(*id))
                .map(|at| now - at),
        };
        membership.nodes().map(member).collect()
    }
}
