//! The configuration of one agent: TOML read once, checked once, then plain data.
//!
//! An unknown key refuses to start, with its line and column: a misspelt safety setting must not be a silent default.
//! Relative paths are relative to the file. Nothing here is replicated; what the whole group must agree on stands in
//! the log.

mod dns;
mod duration;
mod encrypted;
mod propagation;
mod raw;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use holdfast_core::{AgentId, AgentName, GroupId, RegionName};
use holdfast_dns::{GeoConfig, QueryLogConfig};

use holdfast_probe::AddressPolicy;

pub use dns::DnsGuard;
pub use duration::{format_duration, parse_duration};

/// A checked configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Who this agent is.
    pub node: Node,
    /// Where it listens.
    pub listen: Listen,
    /// The cluster it belongs to.
    pub cluster: Cluster,
    /// Raft's timing.
    pub raft: Raft,
    /// How it proves who it is.
    pub tls: Tls,
    /// How it probes.
    pub probe: Probe,
    /// How it answers DNS.
    pub dns: Dns,
    /// Which keys open the secrets that agents share.
    pub secrets: Secrets,
    /// How it logs.
    pub telemetry: Telemetry,
}

/// Who an agent is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its number: its place among the first members, or what `cluster add` gave.
    pub id: AgentId,
    /// Its name.
    pub name: AgentName,
    /// Where it is.
    pub region: RegionName,
    /// Where it keeps its data.
    pub data_dir: PathBuf,
    /// Whom it runs as once its ports are open; as it was started without one.
    pub user: Option<String>,
    /// The group that it runs as; the user's own without one.
    pub group: Option<String>,
}

/// Where an agent listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// For other agents.
    pub peer: SocketAddr,
    /// For clients over gRPC.
    pub api: SocketAddr,
    /// For DNS, UDP and TCP; each a single address.
    pub dns: Vec<SocketAddr>,
    /// For `/metrics`, `/healthz` and `/readyz`.
    pub http: Option<SocketAddr>,
}

/// A member that the cluster begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitialMember {
    /// Its number: its place in the list, from 1.
    pub id: AgentId,
    /// Its name.
    pub name: AgentName,
    /// Where it is.
    pub region: RegionName,
    /// Where other agents reach it: an IP address and a port.
    pub peer: SocketAddr,
    /// Where clients reach it.
    pub api: SocketAddr,
}

/// The cluster an agent belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// Its name; messages of another cluster are refused.
    pub id: String,
    /// The group that this agent is a voter of.
    pub group: GroupId,
    /// The members that it begins with; the same list, in the same order, at each of them.
    pub members: Vec<InitialMember>,
}

impl Cluster {
    /// Whether an agent is among the first members.
    pub fn begins_with(&self, id: AgentId) -> bool {
        self.members.iter().any(|member| member.id == id)
    }
}

/// Raft's timing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raft {
    /// Time between heartbeats.
    pub heartbeat: Duration,
    /// The shortest election timeout.
    pub election_min: Duration,
    /// The longest election timeout; also the leader's lease.
    pub election_max: Duration,
    /// Entries between snapshots.
    pub snapshot_every: u64,
}

/// How an agent proves who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tls {
    /// Mutual TLS.
    Mutual {
        /// PEM of the certificate chain.
        cert: PathBuf,
        /// PEM of its key.
        key: PathBuf,
        /// PEM of the authorities that are trusted.
        ca: PathBuf,
    },
    /// Nobody proves anything; allowed on loopback only.
    Plaintext,
}

/// How an agent probes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// Probes under way at once.
    pub max_concurrency: usize,
    /// Probes of one host under way at once.
    pub per_host: usize,
    /// Which addresses may be probed.
    pub policy: AddressPolicy,
    /// How often an observer that has nothing new says that it is there.
    pub report_every: Duration,
    /// How long the leader waits for an observer before its opinions are void.
    pub silent_after: Duration,
}

/// How an agent answers DNS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dns {
    /// Answered to `version.bind` in class CHAOS; refused where absent.
    pub version: Option<String>,
    /// Answered to `hostname.bind` in class CHAOS; refused where absent.
    pub hostname: Option<String>,
    /// Threads of their own that answer; 1 where absent, 0 answers on the agent's.
    pub threads: usize,
    /// Resolvers that are asked what the world is told; at most 16.
    pub resolvers: Vec<SocketAddr>,
    /// The sampled query log; none where absent.
    pub query_log: Option<QueryLogConfig>,
    /// Databases of where addresses are; none where absent.
    pub geo: GeoConfig,
    /// The encrypted transports.
    pub tls: Option<DnsTls>,
    /// What stands between the open internet and an answer.
    pub guard: DnsGuard,
}

/// DNS over TLS, HTTPS and QUIC; an empty list leaves one out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsTls {
    /// PEM of the certificate chain that clients see; read again when it changes.
    pub cert: PathBuf,
    /// PEM of its key.
    pub key: PathBuf,
    /// For DNS over TLS; usually port 853.
    pub listen: Vec<SocketAddr>,
    /// For DNS over HTTPS, at `/dns-query`; usually port 443.
    pub https: Vec<SocketAddr>,
    /// For DNS over QUIC; usually port 853.
    pub quic: Vec<SocketAddr>,
}

/// Which keys open the secrets that agents share.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Secrets {
    /// Files of sealing keys: the first seals, all open.
    pub keys: Vec<PathBuf>,
}

/// How an agent logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Telemetry {
    /// JSON, one object per line, or lines for people.
    pub json: bool,
    /// What is logged, in the syntax of tracing's `EnvFilter`.
    pub filter: String,
}

/// Why a configuration is not taken.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}; pass the agent's configuration with --config FILE")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML, or has a key that does not exist.
    #[error("{path}: {message}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What and where: line, column and the line itself.
        message: String,
    },
    /// A value is not possible.
    #[error("{path}: {key}: {problem}")]
    Value {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// What is wrong and what would be right.
        problem: String,
    },
}

impl Config {
    /// Reads and checks a file. Errors: what is wrong, where, and what would be right.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.into(), source })?;
        Self::parse(&text, path)
    }

    /// Checks a text that stands in `path`.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let raw: raw::Raw = toml::from_str(text).map_err(|error| ConfigError::Syntax {
            path: path.into(),
            message: error.to_string().trim_end().into(),
        })?;
        let base = path.parent().unwrap_or(Path::new("."));
        raw.check(base).map_err(|(key, problem)| ConfigError::Value {
            path: path.into(),
            key,
            problem,
        })
    }
}

#[cfg(test)]
mod tests;
