//! What the servers of the parent zone say of a zone, as each agent was told it.
//!
//! ```text
//! agent a ─▶ server 1 ─┐
//! agent b ─▶ server 1 ─┼▶ alike ─▶ one finding: what, at which servers, from which agents
//! agent b ─▶ server 2 ─┘
//! ```
//!
//! Anycast, views and firewalls let one server tell agents different things, so each asks for itself. Invariants: what
//! several agents saw alike at several servers is told once, and what only some saw names them; that an agent could not
//! ask is said and is no fault, for nothing is known of the parent by that. Judged here are name servers and glue; the
//! DS records are those of [`judge_trust`](super::judge_trust). Nothing here asks anybody.

use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use super::{Fault, Finding};
use crate::name::DnsName;
use crate::signing::Ds;
use crate::spec::{NameServer, Zone};

/// The most agents that a text names; further ones are counted.
const MAX_AGENTS_NAMED: usize = 8;

/// What a server of the parent zone says of a zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delegation {
    /// Who said it.
    pub parent: SocketAddr,
    /// The zone's name servers.
    pub servers: Vec<DnsName>,
    /// Their addresses.
    pub glue: Vec<(DnsName, IpAddr)>,
    /// Its DS records; `None` where it did not tell, for certain, which there are.
    pub ds: Option<Vec<Ds>>,
}

/// A question to the parent zone that was not answered, or could not be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unasked {
    /// The server; `None` where none was found.
    pub parent: Option<SocketAddr>,
    /// Why, in words.
    pub why: String,
}

/// What an agent was told by a server of the parent zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParentSighting {
    /// The agent that asked.
    pub asker: String,
    /// What it was told, or why nothing.
    pub told: Result<Delegation, Unasked>,
}

/// Judges the name servers and addresses that the parent tells of a zone.
pub fn judge_delegation(zone: &Zone, sightings: &[ParentSighting]) -> Vec<Finding> {
    let seen = told(sightings).flat_map(|(asker, delegation)| {
        let faults = faults_in(zone, delegation).into_iter();
        faults.map(move |fault| (fault, Some(delegation.parent), asker))
    });
    let all = askers_of(sightings).len();
    alike(seen).into_iter().map(|(fault, witnesses)| fault.finding(&witnesses, all)).collect()
}

/// Which agents could not ask the parent zone, or some server of it, and why.
pub fn unasked_of(sightings: &[ParentSighting]) -> Vec<String> {
    let seen = sightings.iter().filter_map(|sighting| {
        let unasked = sighting.told.as_ref().err()?;
        Some((unasked.why.as_str(), unasked.parent, sighting.asker.as_str()))
    });
    let all = askers_of(sightings).len();
    let text = |(why, witnesses): (&str, Witnesses<'_>)| {
        let servers = witnesses.servers();
        let at = if servers.is_empty() { String::new() } else { format!(" ({servers})") };
        let askers = name_agents(&witnesses.askers, all);
        format!("the parent{at} could not be asked from {askers}: {why}")
    };
    alike(seen).into_iter().map(text).collect()
}

/// These agents of a look by `all` agents, in words: `all 3 agents`, or `eu-1, eu-2 of 3 agents`.
pub fn name_agents(agents: &BTreeSet<&str>, all: usize) -> String {
    let count = agents.len();
    if count == all && all > 1 {
        return format!("all {all} agents");
    }
    let named: Vec<&str> = agents.iter().copied().take(MAX_AGENTS_NAMED).collect();
    let named = named.join(", ");
    match count.checked_sub(MAX_AGENTS_NAMED) {
        Some(more @ 1..) => format!("{named} and {more} more of {all} agents"),
        _ if all > 1 => format!("{named} of {all} agents"),
        _ => named,
    }
}

/// Every agent that looked, whatever came of it.
pub(super) fn askers_of(sightings: &[ParentSighting]) -> BTreeSet<&str> {
    sightings.iter().map(|sighting| sighting.asker.as_str()).collect()
}

/// What was told, and to whom.
pub(super) fn told(sightings: &[ParentSighting]) -> impl Iterator<Item = (&str, &Delegation)> {
    sightings.iter().filter_map(|one| Some((one.asker.as_str(), one.told.as_ref().ok()?)))
}

/// Something wrong at the parent, as any one of its servers shows it to any one agent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ParentFault {
    /// What is wrong.
    pub(super) fault: Fault,
    /// Whose fault it is.
    pub(super) subject: String,
    /// What the parent does, from the verb on.
    pub(super) what: String,
}

impl ParentFault {
    /// The finding that these agents, of so many, made at these servers.
    pub(super) fn finding(self, witnesses: &Witnesses<'_>, all: usize) -> Finding {
        let text = format!("{} {}", witnesses.parent(all), self.what);
        let agents = witnesses.askers.iter().map(|&asker| asker.to_owned()).collect();
        Finding { fault: self.fault, subject: self.subject, text, agents }
    }
}

/// Where something was seen, and by whom: each of the agents saw it at each of the servers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Witnesses<'a> {
    parents: BTreeSet<SocketAddr>,
    askers: BTreeSet<&'a str>,
}

impl Witnesses<'_> {
    fn servers(&self) -> String {
        self.parents.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }

    /// The parent, with the servers that said something and the agents, of so many, that heard it.
    pub(super) fn parent(&self, all: usize) -> String {
        format!("the parent ({}; seen from {})", self.servers(), name_agents(&self.askers, all))
    }
}

/// What was seen, by what is alike: each with the agents that saw it and the servers at which just these saw it.
pub(super) fn alike<'a, W: Ord>(
    seen: impl IntoIterator<Item = (W, Option<SocketAddr>, &'a str)>,
) -> Vec<(W, Witnesses<'a>)> {
    let mut askers: BTreeMap<(W, Option<SocketAddr>), BTreeSet<&str>> = BTreeMap::new();
    for (what, parent, asker) in seen {
        askers.entry((what, parent)).or_default().insert(asker);
    }
    let mut parents: BTreeMap<(W, BTreeSet<&str>), BTreeSet<SocketAddr>> = BTreeMap::new();
    for ((what, parent), askers) in askers {
        parents.entry((what, askers)).or_default().extend(parent);
    }
    let witnessed = |((what, askers), parents)| (what, Witnesses { parents, askers });
    parents.into_iter().map(witnessed).collect()
}

/// What is wrong with one delegation.
fn faults_in(zone: &Zone, delegation: &Delegation) -> Vec<ParentFault> {
    let declared = |name: &DnsName| zone.name_servers.iter().any(|server| server.name == *name);
    let strange = delegation.servers.iter().filter(|name| !declared(name)).map(|name| {
        let what = format!("names {name}, which the zone does not");
        ParentFault { fault: Fault::NotInZone, subject: name.to_string(), what }
    });
    let ours = zone.name_servers.iter();
    ours.filter_map(|server| fault_of(server, zone, delegation)).chain(strange).collect()
}

/// What is wrong with a delegation to one of the zone's name servers.
fn fault_of(server: &NameServer, zone: &Zone, delegation: &Delegation) -> Option<ParentFault> {
    let name = &server.name;
    let ours: BTreeSet<IpAddr> = server.addresses.iter().copied().collect();
    let theirs = addresses_of(delegation, name);
    let (fault, what) = if !delegation.servers.contains(name) {
        (Fault::NotAtParent, format!("does not name {name}"))
    } else if !name.is_within(&zone.name) || ours == theirs {
        return None;
    } else if theirs.is_empty() {
        (Fault::GlueMissing, format!("has no address of {name}"))
    } else {
        (Fault::GlueMismatch, format!("has {theirs:?} for {name}, the zone has {ours:?}"))
    };
    Some(ParentFault { fault, subject: name.to_string(), what })
}

fn addresses_of(delegation: &Delegation, server: &DnsName) -> BTreeSet<IpAddr> {
    let glue = delegation.glue.iter().filter(|(name, _)| name == server);
    glue.map(|(_, address)| *address).collect()
}

#[cfg(test)]
mod tests;
