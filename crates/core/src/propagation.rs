//! Whether the world knows what was decided: judges what name servers, resolvers and the parent zone were seen to say.
//!
//! ```text
//! view ─▶ Expected ─┐
//! Sighting (asker × target) ─┴▶ judge ─▶ Finding     zone, ParentSighting ─▶ judge_delegation ─▶ Finding
//!                                                          its keys ─▶ judge_trust ─▶ Finding
//! ```
//!
//! A name server has to say what is decided, at once and with authority. A resolver may say what was decided before, for
//! as long as the TTL that it was told; after that it is named. Nothing here asks anybody, and no decision rests on it:
//! resolvers are not ours, and what they do is reported, not acted on.

mod convergence;
mod parent;
mod trust;

pub use convergence::{
    Convergence, Curve, Ending, Figures, LONGEST, MAX_NAME, MAX_NAMED, MAX_POINTS, SHORTEST,
    bound_of,
};
pub use parent::{Delegation, ParentSighting, Unasked, judge_delegation, name_agents, unasked_of};
pub use trust::{Trust, judge_trust};

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::name::DnsName;
use crate::spec::RecordData;
use crate::time::Timestamp;
use crate::view::View;

/// The response codes after which an answer has been told: anything else says that there is none.
const TOLD: [u16; 2] = [0, 3];
/// SERVFAIL.
const SERVFAIL: u16 = 2;
/// The most targets of one look.
pub const MAX_TARGETS: usize = 64;
/// What clocks and publication may add to a TTL before a resolver is said to keep an answer too long.
const SLACK: Duration = Duration::from_secs(2);

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Asked {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// A canonical name.
    Cname,
}

impl Asked {
    /// The type's name.
    pub fn label(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Cname => "CNAME",
        }
    }

    /// The type of this name, in any case.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::A, Self::Aaaa, Self::Cname]
            .into_iter()
            .find(|k| k.label().eq_ignore_ascii_case(text))
    }
}

/// Who is asked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// Where.
    pub address: SocketAddr,
    /// The name server's name; `None` for a resolver.
    pub server: Option<DnsName>,
}

/// What an answer said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// The response code's number.
    pub code: u16,
    /// Why, where the answer says it (RFC 8914).
    pub extended_error: Option<u16>,
    /// Whether it was said with authority.
    pub authoritative: bool,
    /// The data of the type asked for, in presentation form, and canonical names on the way.
    pub data: Vec<String>,
    /// The smallest TTL of the answer, in seconds.
    pub ttl: Option<u32>,
    /// The zone's serial, of a name server.
    pub serial: Option<u32>,
}

/// What an agent was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// The agent that asked.
    pub asker: String,
    /// Whom it asked.
    pub target: Target,
    /// What it was told, or why nothing.
    pub seen: Result<Seen, String>,
    /// How long it took.
    pub round_trip: Duration,
}

/// What is decided about a name, and for how long something else may still be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Every data that an answer may hold; empty where the name has none of this type.
    pub allowed: Vec<String>,
    /// SERVFAIL is answered.
    pub refused: bool,
    /// The longest TTL that answers carry; one of before counts until `over_at`.
    pub longest: Duration,
    /// When the last answer before this one has left every cache that keeps to TTLs.
    pub over_at: Timestamp,
}

impl Expected {
    /// What the view says of a name; `None` where it is none of ours.
    pub fn of(view: &View, name: &DnsName, asked: Asked) -> Option<Self> {
        let here = view.answers.names.get(name)?;
        let sets = || here.sets.iter().flat_map(|set| set.records.iter().map(move |r| (set, &r.0)));
        let allowed = sets().filter_map(|(_, data)| text_of(data, asked)).collect();
        let told = here.sets.iter().map(|set| set.ttl).max().unwrap_or_default();
        let status = here.service.as_ref().and_then(|id| view.services.get(id));
        let (longest, over_at) = match status {
            Some(status) => (
                told.max(status.spec.dns.ttl),
                (status.selected_at + status.ttl.served).max(status.ttl.forgotten_at),
            ),
            None => (told, Timestamp(0)),
        };
        Some(Self { allowed, refused: here.refused, longest, over_at })
    }

    /// Whether an answer is one that may be given at present.
    pub fn agrees(&self, seen: &Seen) -> bool {
        if self.refused || self.allowed.is_empty() {
            return seen.code == if self.refused { SERVFAIL } else { 0 } && seen.data.is_empty();
        }
        let known = |data: &String| self.allowed.contains(data);
        seen.code == 0 && seen.data.first().is_some_and(known)
    }
}

/// Data in presentation form, where it answers a question: an alias answers every one.
fn text_of(data: &RecordData, asked: Asked) -> Option<String> {
    match (data, asked) {
        (RecordData::A(ip), Asked::A) => Some(ip.to_string()),
        (RecordData::Aaaa(ip), Asked::Aaaa) => Some(ip.to_string()),
        (RecordData::Cname(name), _) => Some(name.to_string()),
        _ => None,
    }
}

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Fault {
    /// A name server or resolver does not answer.
    Silent,
    /// A name server answers without authority, or refuses.
    Lame,
    /// A name server tells something else than what is decided.
    Stale,
    /// Name servers have different serials.
    SerialSkew,
    /// A resolver tells a longer TTL than was ever given.
    LongTtl,
    /// A resolver tells an old answer although its TTL is over.
    KeptTooLong,
    /// A resolver does not tell an answer, as a validating one does of a zone that it finds bogus.
    RefusedByResolver,
    /// The parent does not name a name server of the zone.
    NotAtParent,
    /// The parent names a name server that is none of the zone's.
    NotInZone,
    /// The parent gives no address for a name server inside the zone.
    GlueMissing,
    /// The parent gives other addresses than the zone.
    GlueMismatch,
    /// The parent has DS records of the zone, and none names a key that signs it.
    DsNamesNoKey,
    /// A DS record has the tag of a key of the zone, and another digest or algorithm.
    DsMistaken,
}

impl Fault {
    /// Every one.
    pub const ALL: [Self; 13] = [
        Self::Silent,
        Self::Lame,
        Self::Stale,
        Self::SerialSkew,
        Self::LongTtl,
        Self::KeptTooLong,
        Self::RefusedByResolver,
        Self::NotAtParent,
        Self::NotInZone,
        Self::GlueMissing,
        Self::GlueMismatch,
        Self::DsNamesNoKey,
        Self::DsMistaken,
    ];

    /// Its name in reports.
    pub fn label(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Lame => "lame",
            Self::Stale => "stale",
            Self::SerialSkew => "serial_skew",
            Self::LongTtl => "long_ttl",
            Self::KeptTooLong => "kept_too_long",
            Self::RefusedByResolver => "refused_by_resolver",
            Self::NotAtParent => "not_at_parent",
            Self::NotInZone => "not_in_zone",
            Self::GlueMissing => "glue_missing",
            Self::GlueMismatch => "glue_mismatch",
            Self::DsNamesNoKey => "ds_names_no_key",
            Self::DsMistaken => "ds_mistaken",
        }
    }
}

/// Something that is wrong, with whom, and in words.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// What is wrong.
    pub fault: Fault,
    /// Whose fault it is: an address, or a name server's name.
    pub subject: String,
    /// What was seen, and what would be right.
    pub text: String,
    /// The names of the agents that saw it, in their order.
    pub agents: Vec<String>,
}

/// Judges what was seen at `now`.
pub fn judge(expected: &Expected, sightings: &[Sighting], now: Timestamp) -> Vec<Finding> {
    let mut findings: BTreeSet<Finding> = BTreeSet::new();
    for sighting in sightings {
        findings.extend(match &sighting.seen {
            Err(problem) => {
                Some(finding(Fault::Silent, sighting, format!("does not answer: {problem}")))
            }
            Ok(seen) if sighting.target.server.is_some() => judge_server(expected, sighting, seen),
            Ok(seen) => judge_resolver(expected, sighting, seen, now),
        });
    }
    findings.extend(serial_skew(sightings));
    findings.into_iter().collect()
}

fn finding(fault: Fault, sighting: &Sighting, what: String) -> Finding {
    let Target { address, server } = &sighting.target;
    let text = match server {
        Some(server) => format!("{server} ({address}) {what}, seen from {}", sighting.asker),
        None => format!("{address} {what}, seen from {}", sighting.asker),
    };
    let agents = Vec::from([sighting.asker.clone()]);
    Finding { fault, subject: address.to_string(), text, agents }
}

fn judge_server(expected: &Expected, sighting: &Sighting, seen: &Seen) -> Option<Finding> {
    const REFUSED: u16 = 5;
    if seen.code == REFUSED || (!seen.authoritative && !expected.refused) {
        let what = format!("is lame: response code {}, no authority", seen.code);
        return Some(finding(Fault::Lame, sighting, what));
    }
    let told = || format!("tells {} and not what is decided", told(seen));
    (!expected.agrees(seen)).then(|| finding(Fault::Stale, sighting, told()))
}

fn judge_resolver(
    expected: &Expected,
    sighting: &Sighting,
    seen: &Seen,
    now: Timestamp,
) -> Option<Finding> {
    let longest = expected.longest.max(expected.over_at.since(now)).as_secs();
    let longest = u32::try_from(longest).unwrap_or(u32::MAX);
    if let Some(ttl) = seen.ttl.filter(|ttl| *ttl > longest && !expected.allowed.is_empty()) {
        let what = format!("tells a TTL of {ttl} s, and none was given above {longest} s");
        return Some(finding(Fault::LongTtl, sighting, what));
    }
    if expected.agrees(seen) || now < expected.over_at + SLACK {
        return None;
    }
    if !TOLD.contains(&seen.code) {
        return Some(finding(Fault::RefusedByResolver, sighting, refusal_of(seen)));
    }
    let late = now.since(expected.over_at).as_secs();
    let what = format!("still tells {}, {late} s after the TTL was over", told(seen));
    Some(finding(Fault::KeptTooLong, sighting, what))
}

fn refusal_of(seen: &Seen) -> String {
    let code = seen.code;
    let why = seen.extended_error.map(|number| format!(", extended error {number}"));
    let why = why.unwrap_or_default();
    match code {
        SERVFAIL => format!(
            "answers SERVFAIL{why}: often a validating resolver that finds the zone bogus; compare the parent's DS records \
             with `holdfast zone dnssec status`"
        ),
        _ => format!(
            "answers with response code {code}{why}: it does not resolve the name for this agent"
        ),
    }
}

fn told(seen: &Seen) -> String {
    if seen.data.is_empty() {
        format!("nothing (response code {})", seen.code)
    } else {
        seen.data.join(", ")
    }
}

fn serial_skew(sightings: &[Sighting]) -> Option<Finding> {
    let mut serials: BTreeMap<u32, Vec<&Sighting>> = BTreeMap::new();
    for sighting in sightings {
        if let Ok(Seen { serial: Some(serial), .. }) = sighting.seen {
            serials.entry(serial).or_default().push(sighting);
        }
    }
    let (lowest, behind) = serials.first_key_value()?;
    let (highest, _) = serials.last_key_value()?;
    if lowest == highest {
        return None;
    }
    let agents: BTreeSet<&String> = behind.iter().map(|sighting| &sighting.asker).collect();
    let agents = agents.into_iter().cloned().collect();
    let behind: BTreeSet<String> =
        behind.iter().map(|sighting| sighting.target.address.to_string()).collect();
    let behind = behind.into_iter().collect::<Vec<_>>().join(", ");
    let text = format!("{behind} has serial {lowest}, others {highest}: ask again, it should pass");
    Some(Finding { fault: Fault::SerialSkew, subject: behind, text, agents })
}

#[cfg(test)]
mod tests;
