//! A zone, and a service in it whose endpoints report by themselves, for the tests of this crate.

use std::time::Duration;

use holdfast_core::spec::{
    Address, Check, CheckKind, Endpoint, FailoverRules, HeartbeatCheck, NameServer, Policy, Pool,
    Quorum, Service, ServiceDns, Soa, Zone,
};

/// For how long a report of an endpoint holds.
pub(crate) const BEAT_TTL: Duration = Duration::from_secs(6);

/// `example.test`.
pub(crate) fn zone() -> Zone {
    let soa = Soa {
        negative_ttl: Duration::from_secs(5),
        ..Soa::new("ops.example.test".parse().expect("valid"))
    };
    let server = NameServer {
        name: "ns.example.test".parse().expect("valid"),
        addresses: vec!["192.0.2.1".parse().expect("valid")],
    };
    let ttl = Duration::from_secs(300);
    Zone::new("example.test".parse().expect("valid"), soa, vec![server], ttl)
}

/// A pool of one endpoint.
pub(crate) fn pool(name: &str, priority: u16, (endpoint, address): (&str, &str)) -> Pool {
    Pool {
        name: name.parse().expect("valid"),
        region: None,
        priority,
        weight: 10,
        min_up: 1,
        endpoints: vec![Endpoint {
            name: endpoint.parse().expect("valid"),
            address: Address::Ip(address.parse().expect("valid")),
            port: 80,
            weight: 10,
        }],
    }
}

/// `shop`, with the check `beat`.
pub(crate) fn service(ttl: Duration, pools: Vec<Pool>) -> Service {
    Service {
        id: "shop".parse().expect("valid"),
        dns: ServiceDns::new("shop.example.test".parse().expect("valid"), ttl),
        policy: Policy::Failover,
        pools,
        checks: vec![Check {
            name: "beat".parse().expect("valid"),
            kind: CheckKind::Heartbeat(HeartbeatCheck { ttl: BEAT_TTL }),
            interval: Duration::from_secs(1),
            timeout: Duration::from_millis(300),
            rise: 2,
            fall: 2,
            confirm: Duration::from_millis(150),
        }],
        quorum: Quorum::default(),
        failover: FailoverRules {
            hold_down: Duration::from_secs(2),
            cooldown: Duration::from_secs(1),
            max_moves: 50,
            window: Duration::from_secs(30),
            ..FailoverRules::default()
        },
    }
}
