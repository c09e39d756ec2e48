//! What is possible and what is not, as tables: one field at a time is made impossible, and the message must name it.

use super::*;
use crate::id::{CheckName, EndpointName, PoolName, ServiceId};
use crate::name::DnsName;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};
use core::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn name(text: &str) -> DnsName {
    DnsName::new(text).expect("a name")
}

fn endpoint(label: &str, last: u8) -> Endpoint {
    Endpoint {
        name: EndpointName::new(label).expect("a label"),
        address: Address::Ip(IpAddr::V4(Ipv4Addr::new(10, 0, 0, last))),
        port: 80,
        weight: 1,
    }
}

fn pool(label: &str, endpoints: Vec<Endpoint>) -> Pool {
    let name = PoolName::new(label).expect("a label");
    Pool { name, region: None, priority: 10, weight: 1, min_up: 1, endpoints }
}

fn http() -> HttpCheck {
    HttpCheck {
        tls: None,
        version: HttpVersion::Http11,
        method: "GET".into(),
        path: "/healthz".into(),
        host: None,
        headers: Vec::new(),
        port: None,
        expect_status: Vec::new(),
        expect_body: None,
        max_latency: None,
        follow_redirects: 0,
    }
}

fn check(label: &str, kind: CheckKind) -> Check {
    Check {
        name: CheckName::new(label).expect("a label"),
        kind,
        interval: SECOND,
        timeout: SECOND / 2,
        rise: 2,
        fall: 3,
        confirm: SECOND / 10,
    }
}

pub(crate) fn service() -> Service {
    Service {
        id: ServiceId::new("shop").expect("a label"),
        dns: ServiceDns::new(name("shop.example.test"), 30 * SECOND),
        policy: Policy::Failover,
        pools: vec![pool("eu", vec![endpoint("e1", 1)]), pool("us", vec![endpoint("e2", 2)])],
        checks: vec![check("web", CheckKind::Http(http()))],
        quorum: Quorum::default(),
        failover: FailoverRules {
            hold_down: 300 * SECOND,
            cooldown: 60 * SECOND,
            max_moves: 4,
            window: 600 * SECOND,
            ..FailoverRules::default()
        },
    }
}

/// Changes one thing about a possible service; the error must be about this field.
fn refuses(field: &str, change: impl FnOnce(&mut Service)) {
    let mut changed = service();
    change(&mut changed);
    let error = changed.validate().expect_err(field);
    assert!(error.to_string().starts_with(field), "{field}: {error}");
}

fn refuses_check(field: &str, change: impl FnOnce(&mut Check)) {
    refuses(&alloc::format!("checks[web].{field}"), |service| change(&mut service.checks[0]));
}

fn refuses_http(field: &str, change: impl FnOnce(&mut HttpCheck)) {
    refuses_check(field, |check| {
        let mut changed = http();
        change(&mut changed);
        check.kind = CheckKind::Http(changed);
    });
}

fn refuses_kind(field: &str, kind: CheckKind) {
    refuses_check(field, |check| check.kind = kind);
}

#[test]
fn a_plain_service_is_possible() {
    assert_eq!(service().validate(), Ok(()));
    let mut empty = service();
    empty.pools.iter_mut().for_each(|pool| pool.endpoints.clear());
    assert_eq!(empty.validate(), Ok(()));
}

#[test]
fn names_and_ttls() {
    refuses("dns.ttl", |s| s.dns.ttl = SECOND / 2);
    refuses("dns.ttl", |s| s.dns.ttl = Duration::MAX);
    refuses("dns.txt", |s| s.dns.txt = vec!["x".repeat(256)]);
    refuses("dns.txt", |s| s.dns.txt = vec!["x".into(); 17]);
    refuses("dns.name", |s| s.dns.name = name("*.example.test"));
}

#[test]
fn pools() {
    refuses("pools", |s| s.pools.clear());
    refuses("pools", |s| s.pools = vec![pool("eu", Vec::new()); 33]);
    refuses("pools[eu]", |s| s.pools[1].name = s.pools[0].name.clone());
    refuses("pools[eu].min_up", |s| s.pools[0].min_up = 0);
    refuses("pools[eu].min_up", |s| s.pools[0].min_up = 1025);
}

#[test]
fn endpoints() {
    let shop = name("shop.example.test");
    refuses("endpoints[e1]", |s| s.pools[1].endpoints.push(endpoint("e1", 9)));
    refuses("endpoints[e1].port", |s| s.pools[0].endpoints[0].port = 0);
    for ip in ["0.0.0.0", "224.0.0.1", "::", "ff02::1"] {
        let ip: IpAddr = ip.parse().expect("an address");
        refuses("endpoints[e1]", |s| s.pools[0].endpoints[0].address = Address::Ip(ip));
    }
    for loops in [shop.clone(), shop.child("e1").expect("short"), name("*.example.net")] {
        refuses("endpoints[e1]", |s| s.pools[0].endpoints[0].address = Address::Name(loops));
    }
    refuses("endpoints[e1]", |s| {
        s.dns.name =
            name(&["a".repeat(63).as_str(); 3].join(".")).child(&"b".repeat(60)).expect("252");
    });
    refuses("endpoints", |s| {
        let many = (0..=Service::MAX_ENDPOINTS).map(|n| endpoint(&alloc::format!("x{n}"), 1));
        s.pools[0].endpoints = many.collect();
    });
}

#[test]
fn checks() {
    refuses("checks", |s| s.checks.clear());
    refuses("checks", |s| s.checks = vec![s.checks[0].clone(); 17]);
    refuses("checks[web]", |s| s.checks.push(s.checks[0].clone()));
    refuses_check("interval", |c| c.interval = SECOND / 20);
    refuses_check("interval", |c| c.interval = Duration::MAX);
    refuses_check("timeout", |c| c.timeout = c.interval);
    refuses_check("timeout", |c| c.timeout = Duration::ZERO);
    refuses_check("confirm", |c| c.confirm = 2 * c.interval);
    refuses_check("confirm", |c| c.confirm = Duration::ZERO);
    refuses_check("rise", |c| c.rise = 0);
    refuses_check("fall", |c| c.fall = 101);
}

#[test]
fn http_checks() {
    refuses_http("path", |h| h.path = "healthz".into());
    refuses_http("path", |h| h.path = "/a\r\nX: y".into());
    refuses_http("path", |h| h.path = "/".repeat(5000));
    refuses_http("method", |h| h.method = "GET /".into());
    refuses_http("method", |h| h.method.clear());
    refuses_http("host", |h| h.host = Some("a\nb".into()));
    refuses_http("headers", |h| h.headers = vec![("x:".into(), String::new())]);
    refuses_http("headers[x]", |h| h.headers = vec![("x".into(), "a\r\nb".into())]);
    refuses_http("headers", |h| h.headers = vec![("x".into(), "y".into()); 33]);
    refuses_http("port", |h| h.port = Some(0));
    refuses_http("follow_redirects", |h| h.follow_redirects = 11);
    for (from, to) in [(99, 200), (200, 600), (300, 200)] {
        refuses_http("expect_status", |h| h.expect_status = vec![StatusRange { from, to }]);
    }
    refuses_http("expect_body", |h| {
        h.expect_body = Some(BodyExpectation::Contains("x".repeat(70_000)));
    });
    refuses_http("expect_body.pointer", |h| {
        let (pointer, equals) = ("status".into(), "ok".into());
        h.expect_body = Some(BodyExpectation::Pointer { pointer, equals });
    });
    refuses_http("tls.ca_pem", |h| {
        h.tls = Some(TlsOptions { ca_pem: Some("x".repeat(70_000)), ..TlsOptions::default() });
    });
}

#[test]
fn other_checks() {
    let tcp = |port, expect| CheckKind::Tcp(TcpCheck { port, send: Vec::new(), expect });
    refuses_kind("port", tcp(Some(0), Vec::new()));
    refuses_kind("expect", tcp(None, vec![0; 4097]));
    let grpc = |port, service: &str| {
        CheckKind::Grpc(GrpcCheck { port, service: service.into(), tls: None })
    };
    refuses_kind("port", grpc(Some(0), ""));
    refuses_kind("service", grpc(None, "a\nb"));
    let dns = |record_type: &str, expect_rcode: &str| {
        CheckKind::Dns(DnsCheck {
            port: None,
            name: name("example.test"),
            record_type: record_type.into(),
            expect_rcode: expect_rcode.into(),
            expect_data: Vec::new(),
        })
    };
    refuses_kind("record_type", dns("", "NOERROR"));
    refuses_kind("expect_rcode", dns("A", "NO ERROR"));
    refuses_kind(
        "tls.server_name",
        CheckKind::Tls(TlsCheck {
            port: None,
            options: TlsOptions { server_name: Some("a\tb".into()), ..TlsOptions::default() },
        }),
    );
    for ttl in [Duration::ZERO, SECOND / 4, Duration::MAX] {
        refuses_kind("ttl", CheckKind::Heartbeat(HeartbeatCheck { ttl }));
    }
}

#[test]
fn rules() {
    refuses("quorum.veto_percent", |s| s.quorum.veto_percent = 101);
    for regions in [RegionRule::AtLeast(0), RegionRule::Percent(0), RegionRule::Percent(101)] {
        refuses("quorum.regions", |s| s.quorum.regions = regions);
    }
    refuses("failover.max_moves", |s| s.failover.max_moves = 0);
    refuses("failover.max_moves", |s| s.failover.max_moves = 1001);
    refuses("failover.window", |s| s.failover.window = SECOND / 2);
    refuses("failover.window", |s| s.failover.window = Duration::MAX);
    refuses("failover.hold_down", |s| s.failover.hold_down = Duration::MAX);
    refuses("failover.cooldown", |s| s.failover.cooldown = Duration::MAX);
    refuses("failover.all_down", |s| {
        s.failover.all_down = AllDown::Fallback(PoolName::new("ap").expect("a label"));
    });
    for max in [0, 33] {
        refuses("policy.max", |s| s.policy = Policy::Multivalue { max });
    }
}

pub(crate) fn zone() -> Zone {
    Zone {
        records: vec![record("www.example.test", RecordData::A(Ipv4Addr::new(192, 0, 2, 1)))],
        ..Zone::new(
            name("example.test"),
            Soa { negative_ttl: 60 * SECOND, ..Soa::new(name("hostmaster.example.test")) },
            vec![NameServer {
                name: name("ns1.example.test"),
                addresses: vec![IpAddr::V4(Ipv4Addr::new(192, 0, 2, 53))],
            }],
            3600 * SECOND,
        )
    }
}

fn record(owner: &str, data: RecordData) -> Record {
    Record { name: name(owner), ttl: 60 * SECOND, data }
}

#[test]
fn zones() {
    assert_eq!(zone().validate(), Ok(()));
    let refuses = |field: &str, change: &dyn Fn(&mut Zone)| {
        let mut changed = zone();
        change(&mut changed);
        let error = changed.validate().expect_err(field);
        assert!(error.to_string().starts_with(field), "{field}: {error}");
    };
    refuses("name_servers", &|z| z.name_servers.clear());
    refuses("name_servers[ns1", &|z| z.name_servers[0].addresses.clear());
    refuses("name:", &|z| z.name = name("*.example.test"));
    refuses("ttl", &|z| z.ttl = Duration::MAX);
    refuses("soa.negative_ttl", &|z| z.soa.negative_ttl = Duration::MAX);
    refuses("soa.retry", &|z| z.soa.retry = Duration::ZERO);
    for (zone, parent, field) in [
        (0, 3600, "dnssec.zone_propagation_delay: 0ns is outside 1s to 604800s"),
        (604_801, 3600, "dnssec.zone_propagation_delay: 604801s is outside"),
        (300, 0, "dnssec.parent_propagation_delay: 0ns"),
        (300, 604_801, "dnssec.parent_propagation_delay: 604801s"),
    ] {
        let (zone, parent) = (Duration::from_secs(zone), Duration::from_secs(parent));
        let delays = PropagationDelays { zone, parent };
        refuses(field, &|z| z.dnssec = Some(Dnssec { delays, ..Dnssec::default() }));
    }
    refuses("transfer: a signed zone", &|z| {
        z.dnssec = Some(Dnssec::default());
        z.transfer.keys.push(name("key.example.test"));
    });
    let cname = || RecordData::Cname(name("example.net"));
    for (owner, data) in [
        ("www.example.org", cname()),
        ("example.test", cname()),
        ("www.example.test", cname()),
        ("ns1.example.test", cname()),
        ("t.example.test", RecordData::Txt(Vec::new())),
        ("t.example.test", RecordData::Txt(vec![vec![b'x'; 256]])),
        ("example.test", RecordData::Ns(name("ns.example.net"))),
        ("*.example.test", RecordData::Ns(name("ns.example.net"))),
        ("sub.example.test", RecordData::Ns(name("ns.sub.example.test"))),
        ("www.example.test", RecordData::Ns(name("ns.example.net"))),
        ("www.example.test", RecordData::Alias(name("shop.example.test"))),
        ("mx.example.test", RecordData::Other { kind: Kind::MX, data: vec![0] }),
        ("any.example.test", RecordData::Other { kind: Kind::ANY, data: vec![0] }),
        ("sig.example.test", RecordData::Other { kind: Kind(46), data: vec![0] }),
        ("big.example.test", RecordData::Other { kind: Kind(52), data: vec![0; 9000] }),
    ] {
        let bad = record(owner, data);
        let field = alloc::format!("records[{owner}]");
        refuses(&field, &|z| z.records.push(bad.clone()));
    }
    refuses("records[www.example.test].ttl", &|z| z.records[0].ttl = Duration::MAX);
}
