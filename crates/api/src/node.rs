//! What the API asks the node that it runs in: facts about itself, and somebody to take heartbeats.

use std::net::IpAddr;

use async_trait::async_trait;
use holdfast_core::observation::Target;
use holdfast_core::propagation::{ParentSighting, Sighting};
use holdfast_core::recovery::GroupTimes;
use holdfast_core::spec::Zone;
use holdfast_core::steer::Place;
use holdfast_core::{AgentId, Timestamp};
use holdfast_wire::lookup::Lookup;

/// A supervised task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Its name.
    pub name: String,
    /// Such as `running`.
    pub state: String,
    /// How often it was begun again.
    pub restarts: u64,
    /// Why it last ended unasked.
    pub last_error: Option<String>,
}

/// A part of readiness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadinessPart {
    /// Such as `dns` or `quorum`.
    pub name: String,
    /// Whether it is ready.
    pub ready: bool,
    /// Why not, and what to do.
    pub detail: String,
}

/// Where the node is reached; empty where it is not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Addresses {
    /// By other agents.
    pub peer: String,
    /// By clients.
    pub api: String,
    /// By resolvers.
    pub dns: String,
    /// For metrics and health.
    pub http: String,
}

/// What never changes while a node runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeIdentity {
    /// The cluster.
    pub cluster: String,
    /// The node's number.
    pub id: AgentId,
    /// Its name.
    pub name: String,
    /// Where it is.
    pub region: String,
    /// The version of the program.
    pub version: String,
    /// Where it is reached.
    pub addresses: Addresses,
    /// When it started.
    pub started_at: Timestamp,
}

/// Facts about the node that answers.
pub trait NodeFacts: Send + Sync + 'static {
    /// What never changes while it runs.
    fn identity(&self) -> NodeIdentity;
    /// Its tasks.
    fn tasks(&self) -> Vec<Task>;
    /// What it is ready for.
    fn readiness(&self) -> Vec<ReadinessPart>;
    /// When its certificate ends; `None` without TLS.
    fn certificate_expires(&self) -> Option<Timestamp>;
    /// What the group adds to every failover.
    fn group_times(&self) -> GroupTimes;
    /// Where an address is, as this node's DNS server knows; `None` without a database.
    fn place(&self, address: IpAddr) -> Option<Place> {
        let _ = address;
        None
    }
}

/// Takes the beats of endpoints with a heartbeat check.
#[async_trait]
pub trait HeartbeatSink: Send + Sync + 'static {
    /// Takes beats to whoever leads. Errors: why not, and what to do.
    async fn beat(&self, targets: Vec<Target>) -> Result<(), String>;
}

/// What was seen from outside.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Looked {
    /// What agents were told.
    pub sightings: Vec<Sighting>,
    /// The names of agents that did not answer.
    pub silent: Vec<String>,
    /// What servers of the parent zone told agents; none where they were not asked for.
    pub parent: Vec<ParentSighting>,
}

/// Looks at the answers from outside, from every agent.
#[async_trait]
pub trait Propagation: Send + Sync + 'static {
    /// Asks the zone's name servers, the resolvers that are configured, the targets of `lookup` and, where it says so,
    /// the parent zone. Never fails: who does not answer is told as such.
    async fn look(&self, lookup: Lookup, zone: &Zone) -> Looked;
}
