//! The zones and services that the benchmarks declare.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use holdfast_wire::pb::v1 as pb;

use crate::peer::zones::{Host, ZoneData};

/// The zone of every benchmark.
pub(crate) const ZONE: &str = "bench.test";

/// The zone of every benchmark, without records.
pub(crate) fn zone() -> pb::Zone {
    zone_of(&ZoneData::bare(ZONE))
}

/// A zone with static records, as its peers have it.
pub(crate) fn zone_of(zone: &ZoneData) -> pb::Zone {
    use pb::record_data::Data;
    let record = |name: &str, data: Data| pb::Record {
        name: name.into(),
        ttl_ms: 300_000,
        data: Some(pb::RecordData { data: Some(data) }),
    };
    let records = |host: &Host| {
        [
            record(&host.name, Data::A(host.v4.to_string())),
            record(&host.name, Data::Aaaa(host.v6.to_string())),
        ]
    };
    let apex = &zone.apex;
    pb::Zone {
        name: apex.clone(),
        soa: Some(pb::Soa {
            mailbox: format!("hostmaster.{apex}"),
            refresh_ms: 3_600_000,
            retry_ms: 600_000,
            expire_ms: 86_400_000,
            negative_ttl_ms: 5_000,
        }),
        name_servers: vec![pb::NameServer {
            name: format!("ns1.{apex}"),
            addresses: vec!["127.0.0.1".into()],
        }],
        ttl_ms: 300_000,
        records: zone.hosts.iter().flat_map(records).collect(),
        dnssec: zone.signed.then(dnssec),
        ..pb::Zone::default()
    }
}

/// As its peers' zones are signed.
fn dnssec() -> pb::Dnssec {
    pb::Dnssec {
        algorithm: pb::KeyAlgorithm::EcdsaP256 as i32,
        denial: pb::Denial::Compact as i32,
        validity_ms: 14 * 86_400_000,
        zone_propagation_delay_ms: 300_000,
        parent_propagation_delay_ms: 3_600_000,
    }
}

/// How an endpoint is probed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Probing {
    /// From one probe to the next.
    pub interval: Duration,
    /// How long a probe may take.
    pub timeout: Duration,
    /// Between probes while an observer makes up its mind.
    pub confirm: Duration,
    /// Failures in a row before an observer calls an endpoint down.
    pub fall: u32,
}

/// An HTTP check.
pub(crate) fn http(probing: Probing) -> pb::Check {
    let kind = pb::check::Kind::Http(pb::HttpCheck {
        method: "GET".into(),
        path: "/healthz".into(),
        version: pb::HttpVersion::Http11 as i32,
        ..pb::HttpCheck::default()
    });
    check("http", probing, kind)
}

/// A TCP check.
pub(crate) fn tcp(probing: Probing) -> pb::Check {
    check("tcp", probing, pb::check::Kind::Tcp(pb::TcpCheck::default()))
}

/// A heartbeat check that does not fall silent during a benchmark.
pub(crate) fn heartbeat() -> pb::Check {
    let probing = Probing {
        interval: Duration::from_secs(10),
        timeout: Duration::from_secs(1),
        confirm: Duration::from_secs(1),
        fall: 3,
    };
    check("beat", probing, pb::check::Kind::Heartbeat(pb::HeartbeatCheck { ttl_ms: 86_400_000 }))
}

fn check(name: &str, probing: Probing, kind: pb::check::Kind) -> pb::Check {
    pb::Check {
        name: name.into(),
        interval_ms: millis(probing.interval),
        timeout_ms: millis(probing.timeout),
        rise: 2,
        fall: probing.fall,
        confirm_ms: millis(probing.confirm),
        kind: Some(kind),
    }
}

fn millis(duration: Duration) -> u64 {
    holdfast_core::time::millis(duration)
}

/// A pool of this name.
pub(crate) fn pool(name: &str, priority: u32, endpoints: Vec<pb::Endpoint>) -> pb::Pool {
    pb::Pool { name: name.into(), region: None, priority, weight: 1, min_up: 1, endpoints }
}

/// An endpoint of this name.
pub(crate) fn endpoint(name: &str, at: SocketAddr) -> pb::Endpoint {
    let address = Some(pb::endpoint::Address::Ip(at.ip().to_string()));
    pb::Endpoint { name: name.into(), address, port: u32::from(at.port()), weight: 1 }
}

/// A service that fails over between these pools and comes back soon.
pub(crate) fn service(id: &str, pools: Vec<pb::Pool>, check: pb::Check) -> pb::Service {
    pb::Service {
        id: id.into(),
        dns: Some(pb::ServiceDns { name: name_of(id), ttl_ms: 5_000, ..pb::ServiceDns::default() }),
        policy: Some(pb::Policy {
            policy: Some(pb::policy::Policy::Failover(pb::FailoverPolicy {})),
        }),
        pools,
        checks: vec![check],
        quorum: Some(pb::Quorum {
            regions: Some(pb::quorum::Regions::Majority(pb::MajorityOfRegions {})),
            veto_percent: 33,
        }),
        failover: Some(pb::FailoverRules {
            mode: pb::Mode::Enforce as i32,
            failback: pb::Failback::Auto as i32,
            hold_down_ms: 500,
            cooldown_ms: 0,
            max_moves: 1_000,
            window_ms: 60_000,
            all_down: Some(pb::AllDown {
                policy: Some(pb::all_down::Policy::FailOpen(pb::FailOpen {})),
            }),
        }),
    }
}

/// The DNS name of a service.
pub(crate) fn name_of(id: &str) -> String {
    format!("{id}.{ZONE}")
}

/// Two pools of one endpoint each, `a` preferred.
pub(crate) fn two_pools(a: SocketAddr, b: SocketAddr) -> Vec<pb::Pool> {
    vec![pool("a", 10, vec![endpoint("a-1", a)]), pool("b", 20, vec![endpoint("b-1", b)])]
}

/// The IPv4 address of a socket address that is one.
pub(crate) fn v4(address: SocketAddr) -> Ipv4Addr {
    match address.ip() {
        IpAddr::V4(ip) => ip,
        IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
    }
}
