//! What is declared in every run: one zone, four services with endpoints that fail, and services without endpoints
//! that clients write to.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use holdfast_core::spec::{
    Address, AllDown, Check, CheckKind, Endpoint, Failback, FailoverRules, NameServer, Policy,
    Pool, Quorum, Service, ServiceDns, Soa, TcpCheck, Zone,
};
use holdfast_core::{CheckName, DnsName, EndpointName, PoolName, ServiceId};

/// Services that clients write to.
pub(crate) const LEDGERS: u64 = 4;
/// The place of `shop` among the services: the one whose failover is timed.
pub(crate) const SHOP: usize = 0;
/// The place of `pay`: the one that clients give orders about.
pub(crate) const PAY: usize = 1;

fn name(text: &str) -> DnsName {
    DnsName::new(text).expect("a domain name")
}

/// The zone.
pub(crate) fn zone() -> Zone {
    let second = Duration::from_secs;
    Zone::new(
        name("sim.test"),
        Soa { negative_ttl: second(5), ..Soa::new(name("ops.sim.test")) },
        vec![NameServer {
            name: name("ns.sim.test"),
            addresses: vec![IpAddr::V4(Ipv4Addr::new(10, 9, 0, 1))],
        }],
        second(300),
    )
}

/// The services with endpoints.
pub(crate) fn services() -> Vec<Service> {
    let rules = |max_moves, all_down| FailoverRules {
        hold_down: Duration::from_secs(2),
        cooldown: Duration::from_secs(1),
        max_moves,
        window: Duration::from_secs(30),
        all_down,
        ..FailoverRules::default()
    };
    let shop = service(0, "shop", &[2, 2, 1], (Policy::Failover, rules(200, AllDown::FailOpen)));
    let pay = service(1, "pay", &[2, 1], (Policy::Weighted, rules(50, AllDown::LastKnownGood)));
    let policy = Policy::Multivalue { max: 2 };
    let media = service(2, "media", &[2, 2], (policy, rules(50, AllDown::FailClosed)));
    let last = AllDown::Fallback(pool_name(1));
    let manual = FailoverRules { failback: Failback::Manual, ..rules(2, last) };
    let bank = service(3, "bank", &[1, 2], (Policy::Failover, manual));
    vec![shop, pay, media, bank]
}

/// A service without endpoints that holds what a client wrote.
pub(crate) fn ledger(number: u64, text: &str) -> Service {
    let rules = services().remove(SHOP).failover;
    let mut service = service(9, &format!("ledger-{number}"), &[0], (Policy::Failover, rules));
    service.dns.txt = vec![text.to_owned()];
    service
}

/// The addresses of the endpoints in one pool of a service.
pub(crate) fn addresses(service: &Service, pool: usize) -> Vec<Address> {
    let pool = &service.pools[pool % service.pools.len()];
    pool.endpoints.iter().map(|endpoint| endpoint.address.clone()).collect()
}

/// The addresses of all endpoints of a service.
pub(crate) fn all_addresses(service: &Service) -> Vec<Address> {
    service.endpoints().map(|(_, endpoint)| endpoint.address.clone()).collect()
}

fn pool_name(number: usize) -> PoolName {
    PoolName::new(&format!("pool-{number}")).expect("a pool's name")
}

fn service(number: u8, label: &str, pools: &[u8], how: (Policy, FailoverRules)) -> Service {
    let pools = (0u8..).zip(pools).map(|(place, size)| Pool {
        name: pool_name(place.into()),
        region: None,
        priority: u16::from(place),
        weight: 10,
        min_up: 1,
        endpoints: (1..=*size).map(|n| endpoint(number, place, n)).collect(),
    });
    let check = Check {
        name: CheckName::new("tcp").expect("a check's name"),
        kind: CheckKind::Tcp(TcpCheck { port: None, send: Vec::new(), expect: Vec::new() }),
        interval: Duration::from_secs(1),
        timeout: Duration::from_millis(300),
        rise: 2,
        fall: 2,
        confirm: Duration::from_millis(150),
    };
    Service {
        id: ServiceId::new(label).expect("a service's id"),
        dns: ServiceDns::new(name(&format!("{label}.sim.test")), Duration::from_secs(5)),
        policy: how.0,
        pools: pools.collect(),
        checks: vec![check],
        quorum: Quorum::default(),
        failover: how.1,
    }
}

fn endpoint(service: u8, pool: u8, number: u8) -> Endpoint {
    Endpoint {
        name: EndpointName::new(&format!("e{pool}{number}")).expect("an endpoint's name"),
        address: Address::Ip(IpAddr::V4(Ipv4Addr::new(10, service, pool, number))),
        port: 80,
        weight: 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_declared_is_possible() {
        zone().validate().expect("the zone");
        for service in services().into_iter().chain([ledger(1, "text")]) {
            service.validate().expect("the service");
        }
    }
}
