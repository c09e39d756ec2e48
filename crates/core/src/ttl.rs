//! Which TTL a service's answers carry: the declared one while things are calm, a short one while the answer may change.
//!
//! ```text
//!              a fact asks for it                        the facts are gone
//!  Declared ───────────────────────▶ short (its cause) ───────────────────▶ short (Settling)
//!     ▲                                      ▲                                   │    │
//!     │                                      └──────── a fact asks again ────────┘    │
//!     └───────────────────────────────── calm for the whole calm period ──────────────┘
//! ```
//!
//! The idea is gdnsd's: an answer is told for no longer than until it can next change. Samples and hints are not in the
//! log, so what counts are the facts that are ([`Facts`]): an observer calls something down that is served, nothing is
//! up, a hold ends, an order ends. What is known beforehand shrinks the TTL by one declared TTL earlier, so that every
//! cache that keeps to TTLs asks again right after the change.
//!
//! A name that flaps is calm for ever longer before its TTL grows back ([`LONGEST_CALM`]). There are at most two changes
//! per calm period, and none of them needs an entry of its own but the one with which it ends.
//!
//! What it deliberately does not know: how an answer is made, and who did not keep to a TTL.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::spec::ServiceDns;
use crate::time::Timestamp;

/// A short TTL is no shorter, unless declaration and group say so: some resolvers keep every answer for this long.
pub const FLOOR: Duration = Duration::from_secs(5);
/// How long nothing may ask for a short TTL before it grows back, at the least.
pub const SHORTEST_CALM: Duration = Duration::from_secs(60);
/// How long nothing may ask for a short TTL before it grows back, at the most. A name that was calm for as long starts
/// from the beginning.
pub const LONGEST_CALM: Duration = Duration::from_secs(3600);
/// Doubling beyond this leaves the longest calm period as it is.
const MOST_RELAPSES: u8 = 6;

/// How much depends on a service: 0 is for what is critical to safety, 4 for best effort.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Tier(u8);

impl Tier {
    /// The tier of this number, if there is one: 0 to 4.
    pub fn new(number: u8) -> Option<Self> {
        (number <= 4).then_some(Self(number))
    }

    /// Its number.
    pub fn number(self) -> u8 {
        self.0
    }

    /// The TTL of its answers where the declaration gives none.
    pub fn ttl(self) -> Duration {
        Duration::from_secs(match self.0 {
            0 => 20,
            1 => 30,
            2 => 60,
            _ => 300,
        })
    }
}

/// The TTL of a service that declares none: its tier's, and 30 s without one.
pub fn default_ttl(tier: Option<Tier>) -> Duration {
    tier.map_or(Duration::from_secs(30), Tier::ttl)
}

/// Why a TTL is what it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TtlCause {
    /// It is the declared one.
    #[default]
    Declared,
    /// An operator ordered it.
    Ordered,
    /// An observer calls something down that is served.
    Doubted,
    /// Nothing is up: the first recovery changes the answer at once.
    AllDown,
    /// What holds a move back ends soon.
    HoldEnds,
    /// An order that changes the answer ends soon.
    OrderEnds,
    /// The facts are gone, and the calm period is not over.
    Settling,
}

impl TtlCause {
    /// Its name in events, metrics and messages.
    pub fn label(self) -> &'static str {
        match self {
            Self::Declared => "declared",
            Self::Ordered => "ordered",
            Self::Doubted => "doubted",
            Self::AllDown => "all_down",
            Self::HoldEnds => "hold_ends",
            Self::OrderEnds => "order_ends",
            Self::Settling => "settling",
        }
    }

    /// What it says, in words.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Declared => "as declared",
            Self::Ordered => "an operator ordered it",
            Self::Doubted => "an observer calls something down that is served",
            Self::AllDown => "nothing is up, the first recovery changes the answer",
            Self::HoldEnds => "what holds a move back ends soon",
            Self::OrderEnds => "an order ends soon",
            Self::Settling => "it was short a while ago and has not been calm for long enough",
        }
    }
}

/// The TTL of a service's answers, and what its next value follows from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ttl {
    /// What answers carry.
    pub served: Duration,
    /// Why.
    pub cause: TtlCause,
    /// When the last answer with a longer TTL has left every cache that keeps to TTLs, by the group's time.
    pub forgotten_at: Timestamp,
    /// Since when nothing has asked for the short TTL, while it is settling.
    pub calm_since: Option<Timestamp>,
    /// When it last grew back; the epoch before it ever did.
    pub grown_at: Timestamp,
    /// How often it had to shrink again soon after it had grown back.
    pub relapses: u8,
    /// When it has to be looked at again although nothing happens.
    pub next: Option<Timestamp>,
}

/// What the TTL follows from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The TTL while things are calm: the declared one, or the group's floor.
    pub declared: Duration,
    /// The short one.
    pub short: Duration,
    /// What an operator ordered: the smallest of the orders in force.
    pub ordered: Option<Duration>,
    /// What asks for the short one at once.
    pub suspicion: Option<TtlCause>,
    /// When the answer may change by itself, and why.
    pub change: Option<(Timestamp, TtlCause)>,
}

impl Facts {
    /// What a declaration alone comes to in a group with this floor.
    pub fn of(dns: &ServiceDns, floor: Duration) -> Self {
        Self {
            declared: calm_ttl(dns, floor),
            short: short_ttl(dns, floor),
            ordered: None,
            suspicion: None,
            change: None,
        }
    }

    /// When the TTL has to be short for the change that is known beforehand.
    fn shrink_at(&self) -> Option<Timestamp> {
        self.change.map(|(at, _)| at.before(self.declared))
    }

    fn suspicion_at(&self, at: Timestamp) -> Option<TtlCause> {
        let ahead = self.change.filter(|_| self.shrink_at().is_some_and(|begins| begins <= at));
        self.suspicion.or(ahead.map(|(_, cause)| cause))
    }
}

/// The TTL of a name while things are calm: what is declared, and no less than the group's floor.
pub fn calm_ttl(dns: &ServiceDns, floor: Duration) -> Duration {
    dns.ttl.max(floor)
}

/// The TTL of a name under suspicion, and the least that may be ordered: what is declared, else [`FLOOR`], and no less
/// than the group's floor.
pub fn short_ttl(dns: &ServiceDns, floor: Duration) -> Duration {
    dns.ttl_min.unwrap_or(FLOOR).min(dns.ttl).max(floor)
}

impl Ttl {
    /// The TTL of a service that is new.
    pub fn declared(ttl: Duration) -> Self {
        Self {
            served: ttl,
            cause: TtlCause::Declared,
            forgotten_at: Timestamp(0),
            calm_since: None,
            grown_at: Timestamp(0),
            relapses: 0,
            next: None,
        }
    }

    /// The longest that a cache which keeps to TTLs may still hold an answer that it asked for before `at`.
    pub fn longest_at(&self, at: Timestamp) -> Duration {
        self.served.max(self.forgotten_at.since(at))
    }

    /// How long nothing may ask for the short TTL before it grows back.
    pub fn calm_period(&self, declared: Duration) -> Duration {
        let base = SHORTEST_CALM.max(declared * 2);
        base.saturating_mul(1 << self.relapses.min(MOST_RELAPSES)).min(LONGEST_CALM)
    }

    /// The TTL that follows from the facts at `at`.
    pub fn settled(&self, facts: &Facts, at: Timestamp) -> Self {
        let mut after = self.clone();
        (after.served, after.cause) = after.wanted(facts, at);
        after.served = after.served.min(facts.ordered.unwrap_or(after.served));
        after.next = match after.cause {
            TtlCause::Settling => {
                after.calm_since.map(|since| since + after.calm_period(facts.declared))
            }
            TtlCause::Declared | TtlCause::Ordered => {
                facts.shrink_at().filter(|begins| *begins > at)
            }
            _ => None,
        };
        if after.served < self.served {
            after.forgotten_at = self.forgotten_at.max(at + self.served);
        }
        after
    }

    fn wanted(&mut self, facts: &Facts, at: Timestamp) -> (Duration, TtlCause) {
        if facts.short >= facts.declared {
            return self.grow(facts, at);
        }
        if let Some(cause) = facts.suspicion_at(at) {
            if self.calm_since.take().is_none() && self.cause == TtlCause::Declared {
                let soon = self.grown_at != Timestamp(0) && at < self.grown_at + LONGEST_CALM;
                self.relapses = if soon { (self.relapses + 1).min(MOST_RELAPSES) } else { 0 };
            }
            return (facts.short, cause);
        }
        if matches!(self.cause, TtlCause::Declared | TtlCause::Ordered) {
            return self.grow(facts, at);
        }
        let since = *self.calm_since.get_or_insert(at);
        if at >= since + self.calm_period(facts.declared) {
            return self.grow(facts, at);
        }
        (facts.short, TtlCause::Settling)
    }

    fn grow(&mut self, facts: &Facts, at: Timestamp) -> (Duration, TtlCause) {
        if self.calm_since.take().is_some() {
            self.grown_at = at;
        }
        match facts.ordered.filter(|ordered| *ordered < facts.declared) {
            Some(ordered) => (ordered, TtlCause::Ordered),
            None => (facts.declared, TtlCause::Declared),
        }
    }
}

#[cfg(test)]
mod tests;
