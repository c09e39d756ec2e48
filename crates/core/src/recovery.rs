//! How long a client may be without a service after an endpoint died: the arithmetic of detection, agreement,
//! publication and caches, from the declaration alone.
//!
//! ```text
//! detection                                   + commit                      + publish + TTL
//! worst, checked at its interval:  fall·I + t   two election timeouts         given     the longest still told
//! worst, confirmed every c:        I + t + (fall−1)·c + t
//! median: half an interval less                 one round trip                given     half of it
//! ```
//!
//! It holds for clients whose resolvers keep to TTLs, for a failure that every observer sees, and where no brake
//! holds the move back. An observer that sees the failure first makes all others look at once, so detection is mostly
//! faster than its bound. A service with several checks is as slow as the slowest: a failure may show in that one only.
//!
//! What it deliberately does not do: measure. What a failover really took stands in its events.

use core::time::Duration;

use crate::id::CheckName;
use crate::spec::{Check, CheckKind, Service};

/// What the group adds to every failover.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupTimes {
    /// The longest election timeout.
    pub election: Duration,
    /// From the leader to a quorum and back.
    pub round_trip: Duration,
    /// From the decision to the answer, on every agent.
    pub publish: Duration,
}

/// One part of a recovery, at its worst and in the median.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Term {
    /// The worst.
    pub worst: Duration,
    /// The median.
    pub median: Duration,
}

/// The parts of a recovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Until a quorum of observers calls the endpoint down.
    Detection,
    /// Until the group agrees on it.
    Commit,
    /// Until every agent answers by it.
    Publish,
    /// Until caches have forgotten the answer before.
    Ttl,
}

impl Part {
    /// Every part, in the order of time.
    pub const ALL: [Self; 4] = [Self::Detection, Self::Commit, Self::Publish, Self::Ttl];

    /// Its name.
    pub fn label(self) -> &'static str {
        match self {
            Self::Detection => "detection",
            Self::Commit => "commit",
            Self::Publish => "publish",
            Self::Ttl => "ttl",
        }
    }

    /// What makes it shorter.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Detection => "a shorter interval, timeout or confirm, or a smaller fall",
            Self::Commit => "shorter election timeouts (raft.election_timeout_max)",
            Self::Publish => "agents nearer to each other",
            Self::Ttl => "a shorter dns.ttl",
        }
    }
}

/// A predicted recovery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// The check that takes longest; `None` for a service without one.
    pub check: Option<CheckName>,
    /// Each part, as [`Part::ALL`].
    pub terms: [Term; 4],
}

impl Recovery {
    /// The sum of all parts.
    pub fn total(&self) -> Term {
        let sum = |of: fn(&Term) -> Duration| self.terms.iter().map(of).sum();
        Term { worst: sum(|term| term.worst), median: sum(|term| term.median) }
    }

    /// The part that takes longest at its worst; of equals the earliest.
    pub fn dominant(&self) -> Part {
        let mut longest = 0;
        for place in 1..self.terms.len() {
            if self.terms[place].worst > self.terms[longest].worst {
                longest = place;
            }
        }
        Part::ALL[longest]
    }
}

/// Predicts how long clients are without a service whose answers may be kept for `told`.
pub fn predict(service: &Service, told: Duration, group: GroupTimes) -> Recovery {
    let slowest = service.checks.iter().map(|check| (detection(check), &check.name));
    let slowest = slowest.max_by_key(|(term, _)| term.worst);
    let none = Term { worst: Duration::ZERO, median: Duration::ZERO };
    let (detection, check) =
        slowest.map_or((none, None), |(term, name)| (term, Some(name.clone())));
    let commit = Term { worst: group.election * 2, median: group.round_trip };
    let publish = Term { worst: group.publish, median: group.publish };
    let ttl = Term { worst: told, median: told / 2 };
    Recovery { check, terms: [detection, commit, publish, ttl] }
}

/// How long it takes until an observer calls an endpoint down that has died.
fn detection(check: &Check) -> Term {
    if let CheckKind::Heartbeat(heartbeat) = &check.kind {
        return Term { worst: heartbeat.ttl, median: heartbeat.ttl };
    }
    let Check { interval, timeout, fall, confirm, .. } = check;
    let worst = if confirm < interval {
        let again = fall.saturating_sub(1);
        interval
            .saturating_add(*timeout)
            .saturating_add(confirm.saturating_mul(again.into()))
            .saturating_add(if again == 0 { Duration::ZERO } else { *timeout })
    } else {
        interval.saturating_mul((*fall).into()).saturating_add(*timeout)
    };
    Term { worst, median: worst.saturating_sub(*interval / 2) }
}

#[cfg(test)]
mod tests;
