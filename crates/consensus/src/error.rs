//! Why a group does not start, does not take a command, or does not change: what, why, and the next step.

use std::fmt;
use std::time::Duration;

use holdfast_core::AgentId;

/// Why a group does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The timings or limits contradict each other.
    #[error("the raft configuration is not possible: {0}")]
    Config(String),
    /// The storage cannot be opened or read.
    #[error("{what} in {place} cannot be used: {source}")]
    Storage {
        /// Such as `the raft log`.
        what: &'static str,
        /// Where.
        place: String,
        /// Why.
        source: std::io::Error,
    },
    /// The directory belongs to another agent or cluster.
    #[error(
        "the data directory {place} belongs to agent {agent} of cluster {cluster:?}, not to agent {wanted} of \
         {wanted_cluster:?}; point the configuration at the right directory"
    )]
    WrongDirectory {
        /// The directory.
        place: String,
        /// Whose it is.
        agent: AgentId,
        /// Of which cluster.
        cluster: String,
        /// Who was to start.
        wanted: AgentId,
        /// In which cluster.
        wanted_cluster: String,
    },
    /// The directory says who it belongs to, and its log is gone.
    #[error(
        "the raft log is gone from {place}, which belongs to agent {agent}; its promises are forgotten and it must \
         not vote again: run `holdfast cluster remove {agent}` on another agent, empty the directory, and join \
         under a new id"
    )]
    LogLost {
        /// The directory.
        place: String,
        /// Whose it is.
        agent: AgentId,
    },
    /// The cluster knows this agent under another directory.
    #[error(
        "agent {agent} is a member with another data directory than {place}, which is new; a wiped member must not \
         return under its old id: run `holdfast cluster remove {agent}` on another agent, then join under a new id"
    )]
    Wiped {
        /// The new directory.
        place: String,
        /// The agent.
        agent: AgentId,
    },
    /// Raft does not start.
    #[error("raft does not start: {0}")]
    Raft(String),
}

/// Who was asked in vain, and for how long.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attempts {
    /// The leader last heard of.
    pub leader: Option<AgentId>,
    /// Whom this agent asked, and what came of it: the last word of each, the latest at the end.
    pub tried: Vec<(AgentId, String)>,
    /// For how long.
    pub waited: Duration,
}

impl Attempts {
    pub(crate) fn note(&mut self, agent: AgentId, what: String) {
        self.tried.retain(|(id, _)| *id != agent);
        self.tried.push((agent, what));
    }
}

impl fmt::Display for Attempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.leader {
            Some(leader) => write!(f, "leader: agent {leader}")?,
            None => write!(f, "no leader is known")?,
        }
        for (agent, what) in &self.tried {
            write!(f, "; agent {agent}: {what}")?;
        }
        write!(f, "; waited {:?}", self.waited)
    }
}

/// Why a command brought no outcome.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// No leader was found in time; the command was not accepted.
    #[error("the group has no leader ({0}); see `holdfast cluster status`")]
    NoLeader(Attempts),
    /// A leader was found, without a quorum; the command was not accepted.
    #[error("the group has no quorum ({0}); see `holdfast cluster status`")]
    NoQuorum(Attempts),
    /// The leader has too much to do; the command was not accepted.
    #[error("the leader is overloaded ({0}); try again later")]
    Overloaded(String),
    /// The audit store does not keep up or is full; the command was not accepted.
    #[error("the audit store refuses changes: {0}")]
    AuditRefused(String),
    /// The command may or may not take effect.
    #[error(
        "it is not known whether the command took effect ({0}); ask again with the same request id"
    )]
    Unknown(Attempts),
    /// The command cannot be stored.
    #[error("the command cannot be stored: {0}")]
    Invalid(String),
    /// The group has stopped on this agent.
    #[error("the group has stopped on this agent: {0}")]
    Stopped(String),
}

/// Why a linearizable read is not possible.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// No leader with a quorum confirmed in time.
    #[error("no leader with a quorum confirmed the read ({0}); a stale read is possible")]
    Unavailable(Attempts),
    /// This agent does not catch up with the leader in time.
    #[error("this agent is at index {applied}, the read needs {wanted}; try again, or read stale")]
    Behind {
        /// Where it is.
        applied: u64,
        /// Where it has to be.
        wanted: u64,
    },
    /// The group has stopped on this agent.
    #[error("the group has stopped on this agent: {0}")]
    Stopped(String),
}

/// Why a group is not formed, or a member is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// A member cannot be reached, whose data directory has to be known.
    #[error("agent {agent} at {address} cannot be reached: {why}; start it and try again")]
    Unreachable {
        /// The member.
        agent: AgentId,
        /// Its address.
        address: String,
        /// Why.
        why: String,
    },
    /// The members are not possible.
    #[error("{0}")]
    Refused(String),
    /// The group has stopped on this agent.
    #[error("the group has stopped on this agent: {0}")]
    Stopped(String),
}
