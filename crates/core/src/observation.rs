//! What an observer says about a target: the only thing about health that leaves a node and enters the log.

use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::audit::Hash;
use crate::id::{AgentId, BootId, CheckName, EndpointName, ServiceId};
use crate::sample::Failure;
use crate::spec::{Check, Endpoint};
use crate::time::Timestamp;

/// One endpoint of one service under one check: what observers have opinions on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Target {
    /// The service.
    pub service: ServiceId,
    /// The endpoint.
    pub endpoint: EndpointName,
    /// The check.
    pub check: CheckName,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.service, self.endpoint, self.check)
    }
}

/// An observer's opinion. `Unknown` is never counted as down.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ObserverState {
    /// No opinion: too early, silent, or not fit to judge.
    #[default]
    Unknown,
    /// `rise` probes in a row passed.
    Up,
    /// `fall` probes in a row failed.
    Down,
}

impl ObserverState {
    /// `up`, `down` or `unknown`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// One observer's opinion on one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// On what.
    pub target: Target,
    /// [`fingerprint`] of what was probed: an opinion on an older declaration is ignored.
    pub fingerprint: u64,
    /// The opinion.
    pub state: ObserverState,
    /// The last failure, when `state` is down.
    pub failure: Option<Failure>,
    /// Latency of the probe that decided, or the smoothed one that replaced it since.
    pub latency: Duration,
    /// Wall time at the observer of the first probe of the run that led here (first failure, or first pass).
    pub since: Timestamp,
}

/// A short digest of an endpoint and a check, so that an opinion on an older address or an older check is not taken
/// for one on the present.
pub fn fingerprint(endpoint: &Endpoint, check: &Check) -> u64 {
    let probed = (&endpoint.name, &endpoint.address, endpoint.port, check);
    let Hash([a, b, c, d, e, f, g, h, ..]) = Hash::of_value(&probed);
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// How much of what an observer holds a report speaks of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Extent {
    /// Of the targets that it names.
    Changes,
    /// Of all targets behind `after`, up to the last one that it names, or to the end: what is absent there becomes
    /// unknown. Pages that follow on each other from the first to the last are the whole digest.
    Page {
        /// The last target of the page before; `None` on the first page.
        after: Option<Target>,
        /// Whether nothing follows.
        last: bool,
    },
}

impl Extent {
    /// A digest on a single page.
    pub const WHOLE: Self = Self::Page { after: None, last: true };
}

/// What an observer sends: the targets whose state changed, or a page of its whole digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The observer.
    pub agent: AgentId,
    /// Its process start; a later one voids all older opinions of this observer, an earlier one is refused.
    pub boot: BootId,
    /// Counts the reports of one boot; older ones are ignored.
    pub sequence: u64,
    /// What `observations` are the whole of.
    pub extent: Extent,
    /// The opinions, ascending by target.
    pub observations: Vec<Observation>,
}
