//! The rules of a service: what is answered, how observers agree, and when a failover may happen.

use core::fmt;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Spread, Steered};
use crate::id::PoolName;

/// How the answer is chosen from what is up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Policy {
    /// All endpoints that are up in the first pool, by priority, that is up.
    Failover,
    /// One endpoint that is up per answer, by weight (pool weight × endpoint weight).
    Weighted,
    /// Up to `max` endpoints that are up, from all pools, rotated.
    Multivalue {
        /// The most addresses in one answer; 1–32.
        max: u8,
    },
    /// One endpoint that is up per client network, by weight, the same as long as it is up.
    Sticky,
    /// By where the client is, or what is nearest to it.
    Steered(Steered),
}

impl Policy {
    /// How an answer is chosen from a group of what is up.
    pub fn spread(&self) -> Spread {
        match self {
            Self::Failover => Spread::All,
            Self::Weighted => Spread::Weighted,
            Self::Multivalue { max } => Spread::Multivalue { max: *max },
            Self::Sticky => Spread::Sticky,
            Self::Steered(steered) => steered.then,
        }
    }

    /// Whether the choice depends on what observers measure.
    pub fn asks_for_latency(&self) -> bool {
        matches!(self, Self::Steered(steered) if steered.nearest.is_some())
    }

    /// `failover`, `weighted`, `multivalue`, `sticky`, `geo` or `nearest`: the first of its stages.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Failover => "failover",
            Self::Weighted => "weighted",
            Self::Multivalue { .. } => "multivalue",
            Self::Sticky => "sticky",
            Self::Steered(steered) if steered.geo.is_empty() => "nearest",
            Self::Steered(_) => "geo",
        }
    }
}

/// What is answered when nothing is up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AllDown {
    /// Every endpoint, as if all were up: a wrong verdict then costs nothing.
    FailOpen,
    /// What was answered last while something was up.
    LastKnownGood,
    /// This pool, whatever its verdict.
    Fallback(PoolName),
    /// SERVFAIL: for services where a wrong answer is worse than none.
    FailClosed,
}

impl AllDown {
    /// `fail_open`, `last_known_good`, `fallback` or `fail_closed`.
    pub fn label(&self) -> &'static str {
        match self {
            Self::FailOpen => "fail_open",
            Self::LastKnownGood => "last_known_good",
            Self::Fallback(_) => "fallback",
            Self::FailClosed => "fail_closed",
        }
    }
}

/// As a manifest names it: the label, and with `fallback` the pool.
impl fmt::Display for AllDown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())?;
        match self {
            Self::Fallback(pool) => write!(f, " {pool}"),
            Self::FailOpen | Self::LastKnownGood | Self::FailClosed => Ok(()),
        }
    }
}

/// Whether the answer goes back by itself to a better pool that has recovered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Failback {
    /// After the hold-down.
    Auto,
    /// Only when an operator pins the pool (and then clears the pin).
    Manual,
}

/// Whether decisions move the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// They do.
    Enforce,
    /// They are taken, explained and recorded, and the answer stays.
    Observe,
}

/// When the answer may move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailoverRules {
    /// Whether decisions move the answer.
    pub mode: Mode,
    /// Whether the answer goes back by itself.
    pub failback: Failback,
    /// A pool or endpoint must have been up for this long before the answer returns to it; at most 7 days.
    pub hold_down: Duration,
    /// After a move, no return for this long; at most 7 days. A dead pool is left all the same.
    pub cooldown: Duration,
    /// At most this many automatic moves per `window`; 1–1000. A return must leave room for the departure that may follow.
    pub max_moves: u16,
    /// The window of `max_moves`; 1 s – 7 days.
    pub window: Duration,
    /// What is answered when nothing is up.
    pub all_down: AllDown,
}

impl FailoverRules {
    /// The largest budget of a service.
    pub const MOST_MOVES: u16 = 1000;
}

/// What a declaration that says nothing gets: six moves an hour, back by itself after five minutes.
impl Default for FailoverRules {
    fn default() -> Self {
        Self {
            mode: Mode::Enforce,
            failback: Failback::Auto,
            hold_down: Duration::from_secs(300),
            cooldown: Duration::from_secs(300),
            max_moves: 6,
            window: Duration::from_secs(3600),
            all_down: AllDown::FailOpen,
        }
    }
}

/// How many of the configured regions must agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RegionRule {
    /// One region is enough.
    Any,
    /// More than half of the regions.
    Majority,
    /// Every region.
    All,
    /// At least this many regions; more than there are means all of them.
    AtLeast(u8),
    /// At least this share of the regions; 1–100 %.
    Percent(u8),
}

/// How observers agree on an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quorum {
    /// How many regions must call an endpoint down (or up). A region votes by the majority of its observers.
    pub regions: RegionRule,
    /// No endpoint is down while more than this share of the fresh observers says it is up; 0–100 %, 33 by default.
    pub veto_percent: u8,
}

impl Default for Quorum {
    fn default() -> Self {
        Self { regions: RegionRule::Majority, veto_percent: 33 }
    }
}
