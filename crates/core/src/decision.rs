//! What is served and why: the vocabulary that `selection` decides in, events record and `explain` prints.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::id::{EndpointName, OverrideId, PoolName};
use crate::quorum::Verdict;
use crate::spec::{Address, AllDown};
use crate::time::Timestamp;

/// An endpoint that is served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Served {
    /// Its pool.
    pub pool: PoolName,
    /// Its name.
    pub endpoint: EndpointName,
    /// What is answered.
    pub address: Address,
    /// What SRV answers.
    pub port: u16,
    /// Share of the answers: pool weight × endpoint weight.
    pub weight: u32,
}

/// What a service's name is answered with, and on what footing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// The pool in charge, for `failover`.
    pub active: Option<PoolName>,
    /// The endpoints served, in order of preference; empty only when the service has none or `refused` is set.
    pub served: Vec<Served>,
    /// Answer SERVFAIL: nothing is up and the service is `fail_closed`.
    pub refused: bool,
    /// On what footing.
    pub basis: Basis,
}

impl Selection {
    /// Whether clients see the same: footing aside.
    pub fn same_answer(&self, other: &Self) -> bool {
        self.active == other.active && self.served == other.served && self.refused == other.refused
    }
}

/// On what footing something is served.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Basis {
    /// Nothing has been judged yet: the preferred pool is served on trust.
    #[default]
    Unjudged,
    /// What is up.
    Healthy,
    /// An operator's order.
    Ordered,
    /// Nothing is up: the all-down policy.
    AllDown,
}

impl Basis {
    /// `unjudged`, `healthy`, `ordered` or `all_down`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Unjudged => "unjudged",
            Self::Healthy => "healthy",
            Self::Ordered => "ordered",
            Self::AllDown => "all_down",
        }
    }
}

/// Why something changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Cause {
    /// The declaration changed.
    Declared,
    /// An operator's order began or ended.
    Ordered,
    /// Something that was served is down.
    Failed,
    /// Something that was down is up again.
    Recovered,
    /// A new endpoint was found up for the first time.
    Judged,
}

impl Cause {
    /// `declared`, `ordered`, `failed`, `recovered` or `judged`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Declared => "declared",
            Self::Ordered => "ordered",
            Self::Failed => "failed",
            Self::Recovered => "recovered",
            Self::Judged => "judged",
        }
    }

    /// Whether the change counts as an automatic move.
    pub fn is_automatic(self) -> bool {
        matches!(self, Self::Failed | Self::Recovered)
    }
}

/// Why a move that the verdicts ask for does not happen. Closed: each has a metric label and a next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum BlockReason {
    /// Automation is paused.
    Paused,
    /// A leader has just taken office.
    WarmUp,
    /// The service moved a moment ago.
    Cooldown,
    /// What recovered has not been up for long enough.
    HoldDown,
    /// Failback is manual.
    ManualFailback,
    /// The service used up its moves.
    ServiceBudget,
    /// The group used up its moves.
    GroupBudget,
    /// The service is in observe mode.
    ObserveMode,
}

impl BlockReason {
    /// Every reason.
    pub const ALL: [Self; 8] = [
        Self::Paused,
        Self::WarmUp,
        Self::Cooldown,
        Self::HoldDown,
        Self::ManualFailback,
        Self::ServiceBudget,
        Self::GroupBudget,
        Self::ObserveMode,
    ];

    /// The reason as metrics and the CLI print it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Paused => "paused",
            Self::WarmUp => "warm_up",
            Self::Cooldown => "cooldown",
            Self::HoldDown => "hold_down",
            Self::ManualFailback => "manual_failback",
            Self::ServiceBudget => "service_budget",
            Self::GroupBudget => "group_budget",
            Self::ObserveMode => "observe_mode",
        }
    }

    /// What an operator can do about it.
    pub fn next_step(self) -> &'static str {
        match self {
            Self::Paused => "holdfast resume --reason …",
            Self::WarmUp | Self::Cooldown | Self::HoldDown => {
                "wait, or holdfast override set SERVICE --pin POOL …"
            }
            Self::ManualFailback => {
                "holdfast override set SERVICE --pin POOL --for 5m --reason failback"
            }
            Self::ServiceBudget | Self::GroupBudget => {
                "find what flaps (holdfast audit search), then holdfast override set SERVICE --pin POOL …"
            }
            Self::ObserveMode => "set failover.mode: enforce in the manifest",
        }
    }
}

/// One step of the reasoning, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// An operator pinned this pool.
    Pinned {
        /// The pool.
        pool: PoolName,
        /// The override.
        order: OverrideId,
    },
    /// How a pool was judged.
    Pool {
        /// The pool.
        pool: PoolName,
        /// Its priority.
        priority: u16,
        /// Endpoints that may be moved onto.
        up: u16,
        /// Endpoints that are served while they hold their last verdict, or none.
        held: u16,
        /// Endpoints that are out: down, forced down or drained.
        out: u16,
        /// How many must be up.
        min_up: u16,
        /// What follows.
        standing: Standing,
    },
    /// This is what the verdicts ask for.
    Wanted {
        /// The pool in charge, for `failover`.
        active: Option<PoolName>,
        /// How many endpoints are served.
        endpoints: u16,
    },
    /// Nothing is up: the all-down policy was applied.
    AllDown {
        /// The policy.
        policy: AllDown,
    },
    /// The move that is asked for is forbidden.
    Blocked {
        /// By what.
        reason: BlockReason,
        /// Until when, where it ends by itself.
        until: Option<Timestamp>,
    },
    /// The answer stays as it is.
    Kept,
    /// The answer changed.
    Moved {
        /// Why.
        cause: Cause,
    },
}

/// What a pool is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Standing {
    /// Enough endpoints are up: it may be moved onto.
    Up,
    /// Not enough are known to be up, too few are known to be down: it may be kept, not moved onto.
    Unsure,
    /// Too few are left.
    Down,
}

impl Standing {
    /// `up`, `unsure` or `down`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Unsure => "unsure",
            Self::Down => "down",
        }
    }
}

/// What one endpoint counts as.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Footing {
    /// What the observers say.
    pub judged: Verdict,
    /// What an operator says instead (`force_up`, `force_down`).
    pub forced: Option<Verdict>,
    /// Whether an operator drained it.
    pub drained: bool,
    /// Since when it has counted as up without a break.
    pub up_since: Option<Timestamp>,
    /// Too few opinions are fresh: the judgement is the last one.
    pub stale: bool,
}

impl Footing {
    /// What it counts as: the order, else what is known.
    pub fn verdict(&self) -> Verdict {
        self.forced.unwrap_or(self.known())
    }

    /// What fresh opinions say.
    pub fn known(&self) -> Verdict {
        if self.stale { Verdict::Unknown } else { self.judged }
    }
}
