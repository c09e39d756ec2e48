//! Looks from outside at what is decided here: every agent asks name servers, resolvers and the parent zone.
//!
//! ```text
//! API of one agent ─▶ Observatory ─┬─▶ its own sockets ─▶ name servers, resolvers, the parent's servers
//!                                  └═ Lookup ═▶ every other agent, which does the same
//! ```
//!
//! It is asked by people, and after failovers by the leader, who leaves the parent alone; by nothing that decides or
//! answers. What is under way is bounded ([`AT_ONCE`], [`MAX_TARGETS`], [`LOOKS_AT_ONCE`], and for the parent in
//! [`parent`]); a question to a peer has one deadline, and a peer that is late is named as silent. Addresses that the
//! probe policy denies are not asked, unless the configuration names them.

mod parent;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use futures_util::{StreamExt as _, stream};
use holdfast_api::node::{Looked, Propagation};
use holdfast_consensus::Group;
use holdfast_core::propagation::{MAX_TARGETS, Seen, Sighting, Target};
use holdfast_core::spec::{NameServer, Zone};
use holdfast_core::{AgentId, AgentName};
use holdfast_probe::AddressPolicy;
use holdfast_probe::lookup::{self, LookupError};
use holdfast_wire::lookup::{Found, Lookup};
use holdfast_wire::peer::MessageKind;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::config::Config;
use crate::convergence::Outside;
use crate::peers::Peers;

/// Servers that one look asks at once: two rounds of them, all silent to both their questions, keep within [`PEER_LIMIT`].
const AT_ONCE: usize = MAX_TARGETS / 2;
/// How long a peer may take: its questions, some of them one after the other.
const PEER_LIMIT: Duration = Duration::from_secs(15);
/// How long a peer may take where an answer is looked at again and again: one question that is not answered.
const SAMPLE_LIMIT: Duration = Duration::from_secs(5);
/// Looks under way at once on this agent; further ones wait.
const LOOKS_AT_ONCE: usize = 4;
/// Where name servers answer.
const DNS_PORT: u16 = 53;

/// Looks from outside at what is decided here.
#[derive(Debug)]
pub(crate) struct Observatory {
    /// This agent.
    name: AgentName,
    /// The group.
    group: Group,
    /// The other agents.
    peers: Peers,
    /// The resolvers that are configured.
    resolvers: Vec<SocketAddr>,
    /// Which other addresses may be asked.
    policy: AddressPolicy,
    /// Room for looks.
    room: Semaphore,
}

impl Observatory {
    /// An observatory of an agent.
    pub(crate) fn new(config: &Config, group: Group, peers: Peers) -> Self {
        Self {
            name: config.node.name.clone(),
            group,
            peers,
            resolvers: config.dns.resolvers.clone(),
            policy: config.probe.policy.clone(),
            room: Semaphore::new(LOOKS_AT_ONCE),
        }
    }

    /// What this agent is told by the targets and its own resolvers, and by the parent zone where that is asked for.
    pub(crate) async fn look_here(&self, lookup: &Lookup) -> Found {
        let Ok(_room) = self.room.acquire().await else { return Found::default() };
        let (sightings, parent) =
            tokio::join!(self.look_at_targets(lookup), self.look_at_parent(lookup));
        Found { sightings, parent }
    }

    async fn look_at_targets(&self, lookup: &Lookup) -> Vec<Sighting> {
        let own = self.resolvers.iter().map(|ip| Target { address: *ip, server: None });
        let targets: BTreeSet<Target> =
            lookup.targets.iter().cloned().chain(own).take(MAX_TARGETS).collect();
        let looks = targets.into_iter().map(|target| self.look_at(lookup, target));
        stream::iter(looks).buffered(AT_ONCE).collect().await
    }

    async fn look_at(&self, lookup: &Lookup, target: Target) -> Sighting {
        let begun = Instant::now();
        let seen = match self.may_ask(target.address) {
            Ok(()) => ask(lookup, &target).await.map_err(|error| error.to_string()),
            Err(denial) => Err(denial),
        };
        let asker = self.name.to_string();
        Sighting { asker, target, seen, round_trip: begun.elapsed() }
    }

    fn may_ask(&self, address: SocketAddr) -> Result<(), String> {
        if self.resolvers.contains(&address) {
            return Ok(());
        }
        let denied = |denial| format!("this agent may not ask it: {denial} (probe.allow)");
        self.policy.check(address.ip()).map_err(denied)
    }

    /// What another agent is told; its name where it does not answer.
    async fn look_from(
        &self,
        peer: AgentId,
        body: Vec<u8>,
        limit: Duration,
    ) -> Result<Found, String> {
        let answer = self.peers.call(peer, MessageKind::Lookup, body, limit).await;
        let found = answer.ok().and_then(|bytes| Found::decode(&bytes).ok());
        found.ok_or_else(|| {
            let status = self.group.status();
            let status = status.borrow();
            let member = status.members.iter().find(|member| member.id == peer);
            member.map_or_else(|| format!("agent {peer}"), |member| member.name.clone())
        })
    }

    /// What every agent is told, and the names of those that do not answer.
    async fn look_everywhere(&self, lookup: &Lookup, limit: Duration) -> Looked {
        let body = lookup.encode();
        let peers = self.peers.others();
        let elsewhere = peers.into_iter().map(|peer| self.look_from(peer, body.clone(), limit));
        let (here, elsewhere) = tokio::join!(self.look_here(lookup), join_all(elsewhere));
        let Found { sightings, parent } = here;
        let mut looked = Looked { sightings, parent, silent: Vec::new() };
        for answer in elsewhere {
            match answer {
                Ok(found) => {
                    looked.sightings.extend(found.sightings);
                    looked.parent.extend(found.parent);
                }
                Err(name) => looked.silent.push(name),
            }
        }
        looked
    }

    /// The lookup, with the zone's name servers among its targets.
    async fn with_servers(&self, mut lookup: Lookup, zone: &Zone) -> Lookup {
        lookup.targets.extend(self.servers_of(zone).await);
        lookup.targets.truncate(MAX_TARGETS);
        lookup
    }

    /// Every address of the zone's name servers.
    async fn servers_of(&self, zone: &Zone) -> Vec<Target> {
        let servers = zone.name_servers.iter().take(MAX_TARGETS).cloned();
        join_all(servers.map(|server| self.addresses_of(server))).await.concat()
    }

    async fn addresses_of(&self, NameServer { name, mut addresses }: NameServer) -> Vec<Target> {
        if let (true, Some(resolver)) = (addresses.is_empty(), self.resolvers.first()) {
            addresses = lookup::addresses_of(*resolver, &name).await;
        }
        let at = |ip| Target { address: SocketAddr::new(ip, DNS_PORT), server: Some(name.clone()) };
        addresses.into_iter().map(at).collect()
    }
}

async fn ask(wanted: &Lookup, target: &Target) -> Result<Seen, LookupError> {
    let resolve = target.server.is_none();
    let question = (&wanted.name, wanted.asked);
    let mut seen = lookup::look_up(target.address, question, resolve).await?;
    if !resolve {
        seen.serial = lookup::serial_of(target.address, &wanted.zone).await?;
    }
    Ok(seen)
}

#[async_trait]
impl Propagation for Observatory {
    async fn look(&self, lookup: Lookup, zone: &Zone) -> Looked {
        let lookup = self.with_servers(lookup, zone).await;
        self.look_everywhere(&lookup, PEER_LIMIT).await
    }
}

#[async_trait]
impl Outside for Observatory {
    async fn sample(&self, lookup: Lookup, zone: &Zone) -> Looked {
        let lookup = self.with_servers(lookup, zone).await;
        self.look_everywhere(&lookup, SAMPLE_LIMIT).await
    }
}
