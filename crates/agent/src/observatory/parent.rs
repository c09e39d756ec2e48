//! One agent's look at the parent zone: finds its servers through a resolver, and asks each about the delegation.
//!
//! ```text
//! own resolver, else the one given ─▶ NS of the zone above ─▶ addresses ─▶ each: NS, glue, DS
//! ```
//!
//! The agent's own resolver comes first, so that what clients near it are led to is what is asked. A question without an
//! answer is returned as such, with the reason: nothing is concluded from silence, and a resolver that fails is not taken
//! for one that says that there is no such zone, which would lead to a zone further up. The root is never the parent: a
//! zone without another above it is a private one, which the root does not delegate. Bounds: [`MAX_DEPTH`],
//! [`MAX_PARENTS`], and [`FIND_LIMIT`] with the limits of the questions.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use holdfast_core::DnsName;
use holdfast_core::propagation::{Delegation, ParentSighting, Unasked};
use holdfast_probe::lookup;
use holdfast_wire::lookup::Lookup;

use super::{DNS_PORT, Observatory};

/// How far up the parent zone is looked for.
const MAX_DEPTH: usize = 8;
/// Servers of the parent zone that are asked, and addresses.
const MAX_PARENTS: usize = 8;
/// How long it may take to find the servers: with the two questions to each of them, less than a peer may take.
const FIND_LIMIT: Duration = Duration::from_secs(6);
/// Why an agent without a resolver finds nobody.
const NO_RESOLVER: &str =
    "it has no resolver (dns.propagation.resolvers of its configuration), and none is given";

impl Observatory {
    /// What the servers of the parent zone tell this agent; nothing where the lookup does not ask for it.
    pub(super) async fn look_at_parent(&self, lookup: &Lookup) -> Vec<ParentSighting> {
        if !lookup.parent {
            return Vec::new();
        }
        let told = match self.parents_of(lookup).await {
            Ok(parents) => {
                let zone = &lookup.zone;
                join_all(parents.into_iter().map(|parent| self.ask_parent(parent, zone))).await
            }
            Err(why) => vec![Err(Unasked { parent: None, why })],
        };
        let sighting = |told| ParentSighting { asker: self.name.to_string(), told };
        told.into_iter().map(sighting).collect()
    }

    async fn ask_parent(&self, parent: SocketAddr, zone: &DnsName) -> Result<Delegation, Unasked> {
        let unasked = |why| Unasked { parent: Some(parent), why };
        self.may_ask(parent).map_err(unasked)?;
        lookup::delegation(parent, zone).await.map_err(|error| unasked(error.to_string()))
    }

    /// Where the servers of the zone above are. Errors: why it is not known, in words.
    async fn parents_of(&self, lookup: &Lookup) -> Result<Vec<SocketAddr>, String> {
        let resolver = finder(&self.resolvers, lookup).ok_or_else(|| NO_RESOLVER.to_owned())?;
        let says = |why: String| format!("the resolver {resolver} does not lead to it: {why}");
        self.may_ask(resolver).map_err(says)?;
        let found = tokio::time::timeout(FIND_LIMIT, find(resolver, &lookup.zone)).await;
        found.unwrap_or_else(|_late| Err("no answer in time".to_owned())).map_err(says)
    }
}

/// The resolver through which the parent is found: the first of the agent's own, else the first that was given.
fn finder(own: &[SocketAddr], lookup: &Lookup) -> Option<SocketAddr> {
    let given = lookup.targets.iter().find(|target| target.server.is_none());
    own.first().copied().or(given.map(|target| target.address))
}

/// The servers of the closest zone above this one.
async fn find(resolver: SocketAddr, zone: &DnsName) -> Result<Vec<SocketAddr>, String> {
    let mut above = zone.parent();
    for _ in 0..MAX_DEPTH {
        let Some(name) = above.filter(|name| !name.is_root()) else { break };
        let servers = lookup::servers_of(resolver, &name).await.map_err(|e| e.to_string())?;
        if !servers.is_empty() {
            return at(resolver, &name, &servers).await;
        }
        above = name.parent();
    }
    Err(format!("it knows no zone above {zone} but the root"))
}

/// Where the servers of the zone `above` are, as a resolver tells it.
async fn at(
    resolver: SocketAddr,
    above: &DnsName,
    servers: &[DnsName],
) -> Result<Vec<SocketAddr>, String> {
    let servers = servers.iter().take(MAX_PARENTS);
    let asked = join_all(servers.map(|server| lookup::addresses_of(resolver, server))).await;
    let mut found = Vec::new();
    for address in asked.into_iter().flatten().map(|ip| SocketAddr::new(ip, DNS_PORT)) {
        if found.len() < MAX_PARENTS && !found.contains(&address) {
            found.push(address);
        }
    }
    if found.is_empty() {
        return Err(format!("it tells no address of the servers of {above}"));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use holdfast_core::propagation::{Asked, Target};
    use tokio::net::UdpSocket;

    use super::*;

    fn address(last: u8) -> SocketAddr {
        ([203, 0, 113, last], 53).into()
    }

    #[test]
    fn the_parent_is_found_through_the_agents_own_resolver_else_through_the_first_given() {
        let zone: DnsName = "example.test".parse().expect("a name");
        let server = Target { address: address(1), server: Some(zone.clone()) };
        let given = |last| Target { address: address(last), server: None };
        let lookup = |targets| Lookup {
            name: zone.clone(),
            asked: Asked::A,
            zone: zone.clone(),
            targets,
            parent: true,
        };
        let of = |own: &[u8], targets| {
            let own: Vec<SocketAddr> = own.iter().copied().map(address).collect();
            finder(&own, &lookup(targets))
        };
        assert_eq!(of(&[7, 8], vec![given(9)]), Some(address(7)));
        assert_eq!(of(&[], vec![server.clone(), given(10), given(9)]), Some(address(10)));
        assert_eq!(of(&[], vec![server]), None);
    }

    /// The first label that a query asks about.
    fn first_label(query: &[u8]) -> String {
        const HEADER: usize = 12;
        let (length, rest) = query[HEADER..].split_first().expect("a query has a question");
        String::from_utf8_lossy(&rest[..usize::from(*length)]).into_owned()
    }

    /// A resolver that knows no zone: it tells so about names that begin with `empty`, and fails about all others.
    async fn resolver() -> (SocketAddr, tokio::task::JoinHandle<()>) {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = socket.local_addr().expect("it is bound");
        let answers = tokio::spawn(async move {
            let mut buffer = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                let answer = &mut buffer[..length];
                answer[2] |= 0x80;
                answer[3] |= if first_label(answer) == "empty" { 0 } else { 2 };
                socket.send_to(answer, from).await.expect("it is local");
            }
        });
        (address, answers)
    }

    #[tokio::test]
    async fn where_a_resolver_fails_no_zone_further_up_is_taken_for_the_parent() {
        let (resolver, answers) = resolver().await;
        let looked = async |zone: &str| find(resolver, &zone.parse().expect("a name")).await;
        let none = "it knows no zone above a.empty but the root";
        assert_eq!(looked("a.empty").await, Err(none.to_owned()));
        let failed = Err("it answers with response code 2".to_owned());
        assert_eq!(looked("a.fails.empty").await, failed, "and not that there is none");
        assert_eq!(looked("a.empty.fails").await, failed, "after a name that is no zone");
        answers.abort();
    }
}
