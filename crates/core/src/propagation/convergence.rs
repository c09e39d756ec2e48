//! How fast the world came to tell a new answer: the convergence curve of one failover.
//!
//! ```text
//! sightings of round 1, 2, … ─▶ Curve ─▶ Convergence (t50, t95, t100; stragglers; faults)
//! ```
//!
//! A point is an agent and the server that it asked. It agrees from the round on after which it never told anything
//! else again; a figure is the time from the change until so many of all points agreed, so what has not agreed by the
//! end has no figure. Name servers and resolvers are counted apart: the first are ours, the others are not.
//!
//! Invariant: whatever is fed in, a curve and what it comes to stay within [`MAX_POINTS`] and [`MAX_NAMED`]. It asks
//! nobody, and no decision rests on it.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Expected, Fault, Finding, Sighting};
use crate::id::Epoch;

/// The most points of one curve: 64 agents that ask 64 servers. Further ones are not counted.
pub const MAX_POINTS: usize = 4096;
/// The most stragglers, and the most faults, that a convergence names.
pub const MAX_NAMED: usize = 16;
/// The longest name of a straggler or of who is at fault, in bytes; longer ones are cut.
pub const MAX_NAME: usize = 256;
/// A curve lasts no shorter: a resolver may be asked a few times even where the TTL is short.
pub const SHORTEST: Duration = Duration::from_secs(10);
/// A curve lasts no longer.
pub const LONGEST: Duration = Duration::from_secs(600);

/// For how long a failover is followed: twice the TTL of the answer before it, within [`SHORTEST`] and [`LONGEST`].
pub fn bound_of(old_ttl: Duration) -> Duration {
    old_ttl.saturating_mul(2).clamp(SHORTEST, LONGEST)
}

/// How a curve ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Ending {
    /// All that were asked tell what is decided.
    Converged,
    /// The answer moved again before they did.
    Superseded,
    /// They did not within the bound.
    NotWithin,
}

impl Ending {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Converged, Self::Superseded, Self::NotWithin];

    /// Its name in events and messages.
    pub fn label(self) -> &'static str {
        match self {
            Self::Converged => "converged",
            Self::Superseded => "superseded",
            Self::NotWithin => "not_within",
        }
    }
}

/// The figures of one kind of servers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// Points: pairs of an agent and a server that it asked.
    pub asked: u32,
    /// How many of them agreed at the end.
    pub agreed: u32,
    /// When half of them agreed, from the change on.
    pub t50: Option<Duration>,
    /// When 95 % of them did.
    pub t95: Option<Duration>,
    /// When all did.
    pub t100: Option<Duration>,
}

/// What came of a failover outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Convergence {
    /// The epoch of the answer that was followed.
    pub epoch: Epoch,
    /// How it ended.
    pub ending: Ending,
    /// For how long it was followed, from the change on.
    pub followed: Duration,
    /// The zone's name servers.
    pub servers: Figures,
    /// Resolvers; none asked where none is configured.
    pub resolvers: Figures,
    /// Who did not tell the answer at the end, ascending, at most [`MAX_NAMED`].
    pub stragglers: Vec<String>,
    /// What was wrong at the end, and who did not keep to a TTL at any time, ascending, at most [`MAX_NAMED`].
    pub faults: Vec<(Fault, String)>,
    /// When name servers were last seen to have different serials, from the change on.
    pub serial_skew: Option<Duration>,
    /// Changes of this service since the one followed before that were not followed: too soon, or too many at once.
    pub unfollowed: u32,
}

impl Convergence {
    /// Whether every list and name is within its bound and no figure contradicts another.
    pub fn is_possible(&self) -> bool {
        let names = self.stragglers.iter().chain(self.faults.iter().map(|(_, name)| name));
        let fits = self.stragglers.len() <= MAX_NAMED && self.faults.len() <= MAX_NAMED;
        let kinds = [&self.servers, &self.resolvers];
        fits && names.into_iter().all(|name| name.len() <= MAX_NAME)
            && kinds.into_iter().all(|figures| figures.is_possible(self.followed))
    }
}

impl Figures {
    fn of<'a>(points: impl Iterator<Item = &'a Point>) -> Self {
        let (mut asked, mut agreed) = (0, Vec::new());
        for point in points {
            asked += 1;
            agreed.extend(point.agrees_since);
        }
        agreed.sort_unstable();
        let when = |percent: usize| {
            let rank = (asked * percent).div_ceil(100);
            rank.checked_sub(1).and_then(|place| agreed.get(place).copied())
        };
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Self {
            asked: count(asked),
            agreed: count(agreed.len()),
            t50: when(50),
            t95: when(95),
            t100: when(100),
        }
    }

    fn is_possible(&self, followed: Duration) -> bool {
        let reached: Vec<Duration> =
            [self.t50, self.t95, self.t100].into_iter().flatten().collect();
        self.agreed <= self.asked
            && reached.is_sorted()
            && reached.iter().all(|at| *at <= followed)
            && self.t100.is_some() == (self.asked > 0 && self.agreed == self.asked)
    }
}

/// An agent and a server that it asks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    address: SocketAddr,
    asker: String,
}

/// What was heard there.
#[derive(Debug, Clone, Default)]
struct Point {
    /// A name server, not a resolver.
    is_server: bool,
    agrees_since: Option<Duration>,
}

/// A curve in the making.
#[derive(Debug, Clone, Default)]
pub struct Curve {
    points: BTreeMap<Place, Point>,
    /// Agents that did not answer in the last round.
    silent: BTreeSet<String>,
    /// What was wrong in the last round.
    faults: BTreeSet<(Fault, String)>,
    /// Who did not keep to a TTL, in any round.
    violations: BTreeSet<(Fault, String)>,
    serial_skew: Option<Duration>,
}

impl Curve {
    /// Takes what one round saw, `after` the change, with what [`super::judge`] found in it and the agents that did not
    /// answer. What was heard of before and is not in this round no longer agrees.
    pub fn take(
        &mut self,
        expected: &Expected,
        (sightings, findings, silent): (&[Sighting], &[Finding], &[String]),
        after: Duration,
    ) {
        let mut heard = BTreeSet::new();
        for sighting in sightings {
            let place =
                Place { address: sighting.target.address, asker: cut(&sighting.asker).to_string() };
            if self.points.len() >= MAX_POINTS && !self.points.contains_key(&place) {
                continue;
            }
            let agrees = sighting.seen.as_ref().is_ok_and(|seen| expected.agrees(seen));
            let point = self.points.entry(place.clone()).or_default();
            point.is_server = sighting.target.server.is_some();
            point.agrees_since = agrees.then(|| point.agrees_since.unwrap_or(after));
            heard.insert(place);
        }
        for (place, point) in &mut self.points {
            if !heard.contains(place) {
                point.agrees_since = None;
            }
        }
        self.silent = silent.iter().take(MAX_NAMED).map(|name| cut(name).to_string()).collect();
        self.note(findings, after);
    }

    fn note(&mut self, findings: &[Finding], after: Duration) {
        let named = |finding: &Finding| (finding.fault, cut(&finding.subject).to_string());
        if findings.iter().any(|finding| finding.fault == Fault::SerialSkew) {
            self.serial_skew = Some(after);
        }
        self.faults = findings.iter().map(named).collect();
        let broken = |fault: &Fault| matches!(fault, Fault::LongTtl | Fault::KeptTooLong);
        let broken = self.faults.iter().filter(|(fault, _)| broken(fault)).cloned();
        self.violations.extend(broken);
        while self.violations.len() > MAX_NAMED {
            self.violations.pop_last();
        }
    }

    /// Whether somebody was asked and all tell what is decided.
    pub fn agrees(&self) -> bool {
        self.silent.is_empty()
            && !self.points.is_empty()
            && self.points.values().all(|point| point.agrees_since.is_some())
    }

    /// What it comes to.
    pub fn end(&self, epoch: Epoch, ending: Ending, followed: Duration) -> Convergence {
        let of = |is_server| {
            Figures::of(self.points.values().filter(move |point| point.is_server == is_server))
        };
        let late = self.points.iter().filter(|(_, point)| point.agrees_since.is_none());
        let late: BTreeSet<String> = late.map(|(place, _)| place.address.to_string()).collect();
        let silent = self.silent.iter().map(|name| cut(&format!("agent {name}")).to_string());
        let mut named: BTreeSet<(Fault, String)> = self.violations.clone();
        for fault in &self.faults {
            if named.len() < MAX_NAMED {
                named.insert(fault.clone());
            }
        }
        Convergence {
            epoch,
            ending,
            followed,
            servers: of(true),
            resolvers: of(false),
            stragglers: late.into_iter().chain(silent).take(MAX_NAMED).collect(),
            faults: named.into_iter().collect(),
            serial_skew: self.serial_skew,
            unfollowed: 0,
        }
    }
}

/// The beginning of a name, as far as it may be told.
fn cut(name: &str) -> &str {
    &name[..name.floor_char_boundary(MAX_NAME)]
}

#[cfg(test)]
mod tests;
