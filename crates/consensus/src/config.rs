//! What a group is started with: who it is, where it stores, how fast it is, and the seams to the world.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use holdfast_core::seam::{Clock, Entropy};
use holdfast_core::{AgentId, GroupId};
use holdfast_wire::peer::{PeerAddress, Wire};
use openraft::{Config, SnapshotPolicy};

use crate::audit_sink::AuditSink;
use crate::log_store::{Fatal, MemoryDisk};

/// A member of a group, as the committed membership describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its number; never reused.
    pub id: AgentId,
    /// Its name.
    pub name: String,
    /// Where it is.
    pub region: String,
    /// Where peers reach it: `host:port`, the host an IP address.
    pub address: String,
    /// Where clients reach its API.
    pub api_address: String,
}

impl Member {
    /// Where peers reach it.
    pub fn peer(&self) -> PeerAddress {
        PeerAddress { id: self.id, address: self.address.clone() }
    }
}

/// Where a group keeps its log, its snapshot and its identity.
#[derive(Debug, Clone)]
pub enum Storage {
    /// In this directory, which belongs to this group alone; it is created when absent.
    Directory(PathBuf),
    /// On a simulated disk.
    Memory(MemoryDisk),
}

/// How fast leadership is confirmed and lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timings {
    /// How often a leader shows that it is there.
    pub heartbeat: Duration,
    /// The shortest time without a leader before an agent stands for election.
    pub election_min: Duration,
    /// The longest; also how long a leader is trusted without being heard.
    pub election_max: Duration,
}

impl Timings {
    /// Within a region: a lost leader is replaced in about half a second.
    pub const REGION: Self = Self::from_millis(50, 150, 300);
    /// Within a region of quiet machines: about 0.3 s.
    pub const FAST: Self = Self::from_millis(25, 75, 150);

    /// Timings in milliseconds.
    pub const fn from_millis(heartbeat: u64, election_min: u64, election_max: u64) -> Self {
        Self {
            heartbeat: Duration::from_millis(heartbeat),
            election_min: Duration::from_millis(election_min),
            election_max: Duration::from_millis(election_max),
        }
    }

    /// For members whose slowest round trip is `rtt`: heartbeats at least 2 round trips apart, elections at least 10.
    pub fn for_round_trip(rtt: Duration) -> Self {
        let heartbeat = (rtt * 2).max(Self::REGION.heartbeat);
        let election_min = (rtt * 10).max(Self::REGION.election_min);
        Self { heartbeat, election_min, election_max: election_min * 2 }
    }

    /// How long a restarted member takes part in nothing: until no promise of its earlier life can be in force.
    pub fn hold(&self) -> Duration {
        self.election_max + self.heartbeat
    }
}

/// How a group is set up on this agent.
#[derive(Debug, Clone)]
pub struct GroupConfig {
    /// The cluster's name; messages of another one are refused.
    pub cluster: String,
    /// The group.
    pub group: GroupId,
    /// This agent.
    pub me: Member,
    /// Where it stores.
    pub storage: Storage,
    /// How fast it is.
    pub timings: Timings,
    /// Entries between snapshots.
    pub snapshot_every: u64,
    /// Entries below the snapshot that the log keeps for members that lag.
    pub keep_entries: u64,
    /// Raised when the group is recovered by force; messages of another generation are refused.
    pub generation: u64,
    /// Agents that may know this one: asked at the first start whether its number is free. Who is who goes by them
    /// until there is a membership.
    pub peers: Vec<Member>,
    /// How long [`propose`](crate::Group::propose), a read and a membership change may take.
    pub patience: Duration,
}

impl GroupConfig {
    /// The defaults of a region group.
    pub fn new(cluster: &str, group: GroupId, me: Member, storage: Storage) -> Self {
        Self {
            cluster: cluster.to_owned(),
            group,
            me,
            storage,
            timings: Timings::REGION,
            snapshot_every: 10_000,
            keep_entries: 2_000,
            generation: 0,
            peers: Vec::new(),
            patience: Duration::from_secs(5),
        }
    }

    pub(crate) fn raft(&self) -> Result<Config, openraft::ConfigError> {
        let millis = holdfast_core::time::millis;
        let timings = &self.timings;
        Config {
            cluster_name: format!("{}/{}", self.cluster, self.group),
            heartbeat_interval: millis(timings.heartbeat),
            election_timeout_min: millis(timings.election_min),
            election_timeout_max: millis(timings.election_max),
            // The lease equals the longest election timeout, and openraft wants one phase to outlast both.
            quorum_loss_probe_interval: Some(2 * millis(timings.election_max)),
            enable_pre_vote: Some(true),
            enable_leader_restore: Some(false),
            snapshot_policy: SnapshotPolicy::LogsSinceLast(self.snapshot_every),
            max_in_snapshot_log_to_keep: self.keep_entries,
            // Transmitting a snapshot must be able to cure the lag that triggers it.
            replication_lag_threshold: self.snapshot_every + self.keep_entries,
            purge_batch_size: PURGE_BATCH,
            max_payload_entries: MAX_PAYLOAD_ENTRIES,
            install_snapshot_timeout: millis(SNAPSHOT_TIMEOUT),
            backoff: "50ms 100ms 200ms ..500ms".to_owned(),
            ..Config::default()
        }
        .validate()
    }
}

/// Entries that one purge forgets at the least.
const PURGE_BATCH: u64 = 64;
/// Entries in one message at the most; the log store also bounds their bytes.
const MAX_PAYLOAD_ENTRIES: u64 = 512;
/// How long sending and installing a snapshot may take.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(60);

/// What the group needs of the world.
#[derive(Clone)]
pub struct Seams {
    /// The way to other agents.
    pub wire: Arc<dyn Wire>,
    /// Wall time, for stamps.
    pub clock: Arc<dyn Clock>,
    /// Randomness, for the identity of a new data directory.
    pub entropy: Arc<dyn Entropy>,
    /// Where audit records go.
    pub audit: Arc<dyn AuditSink>,
    /// What happens when storage fails.
    pub fatal: Fatal,
}

impl std::fmt::Debug for Seams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seams")
    }
}
