//! A group's state with a signed zone and services, moved by commands as an agent's is.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use holdfast_core::id::PoolName;
use holdfast_core::overrides::{Order, Scope};
use holdfast_core::signing::{SigningChange, ZoneKey};
use holdfast_core::spec::{
    Address, Check, CheckKind, Denial, Dnssec, Endpoint, FailoverRules, HeartbeatCheck, NameServer,
    Policy, Pool, Quorum, Record, RecordData, Service, ServiceBinding, ServiceDns, Soa, Zone,
};
use holdfast_core::{
    Actor, CheckName, Command, EndpointName, Entry, GroupId, ServiceId, State, Timestamp, View,
};

use crate::fixture::name;

const SECOND: Duration = Duration::from_secs(1);

fn endpoint(label: &str, last: u8) -> Endpoint {
    Endpoint {
        name: EndpointName::new(label).expect("a label"),
        address: Address::Ip(Ipv4Addr::new(192, 0, 2, last).into()),
        port: 443,
        weight: 1,
    }
}

fn pool(label: &str, priority: u16, endpoints: Vec<Endpoint>) -> Pool {
    let name = PoolName::new(label).expect("a label");
    Pool { name, region: None, priority, weight: 1, min_up: 1, endpoints }
}

/// Two pools of two endpoints each, with an HTTPS record.
fn service(label: &str, policy: Policy) -> Service {
    let mut dns = ServiceDns::new(name(&format!("{label}.example.test")), 30 * SECOND);
    let params = "alpn=h2".parse().expect("parameters");
    dns.https = Some(ServiceBinding { params });
    let heartbeat = CheckKind::Heartbeat(HeartbeatCheck { ttl: 10 * SECOND });
    Service {
        id: ServiceId::new(label).expect("a label"),
        dns,
        policy,
        pools: vec![
            pool("eu", 10, vec![endpoint("e1", 1), endpoint("e2", 2)]),
            pool("us", 20, vec![endpoint("e3", 3), endpoint("e4", 4)]),
        ],
        checks: vec![Check {
            name: CheckName::new("alive").expect("a label"),
            kind: heartbeat,
            interval: SECOND,
            timeout: SECOND / 2,
            rise: 1,
            fall: 1,
            confirm: SECOND / 10,
        }],
        quorum: Quorum::default(),
        failover: FailoverRules {
            hold_down: SECOND,
            cooldown: SECOND,
            max_moves: 100,
            window: 600 * SECOND,
            ..FailoverRules::default()
        },
    }
}

fn zone(denial: Denial) -> Zone {
    let soa = Soa { negative_ttl: 60 * SECOND, ..Soa::new(name("hostmaster.example.test")) };
    let servers = vec![NameServer {
        name: name("ns1.example.test"),
        addresses: vec![Ipv4Addr::new(192, 0, 2, 53).into()],
    }];
    let mut zone = Zone::new(name("example.test"), soa, servers, 300 * SECOND);
    zone.dnssec = Some(Dnssec { denial, ..Dnssec::default() });
    let ds = RecordData::Ds { key_tag: 7, algorithm: 13, digest_type: 2, digest: vec![7; 32] };
    let records = [
        ("example.test", RecordData::Alias(name("shop.example.test"))),
        ("www.example.test", RecordData::Cname(name("shop.example.test"))),
        ("a.deep.example.test", RecordData::A(Ipv4Addr::new(192, 0, 2, 9))),
        ("*.wild.example.test", RecordData::A(Ipv4Addr::new(192, 0, 2, 42))),
        ("lab.example.test", RecordData::Ns(name("ns.elsewhere.net"))),
        ("sub.example.test", RecordData::Ns(name("ns.elsewhere.net"))),
        ("sub.example.test", ds),
    ];
    let record = |(owner, data)| Record { name: name(owner), ttl: 300 * SECOND, data };
    zone.records = records.into_iter().map(record).collect();
    zone
}

/// A state, and the time at which the next command comes.
pub(crate) struct Group {
    state: State,
    passed: Duration,
}

impl Group {
    /// The zone `example.test` with the services `shop` (failover), `any` (multivalue) and `one` (weighted).
    pub(crate) fn new(denial: Denial, key: &ZoneKey) -> Self {
        let mut group = Self { state: State::new(GroupId(1)), passed: Duration::ZERO };
        group.apply(Command::ApplyZone { zone: zone(denial), if_revision: None });
        group.change_keys(SigningChange::Enable(key.clone()));
        for (label, policy) in [
            ("shop", Policy::Failover),
            ("any", Policy::Multivalue { max: 2 }),
            ("one", Policy::Weighted),
        ] {
            let service = service(label, policy);
            group.apply(Command::ApplyService { service, if_revision: None });
        }
        group
    }

    fn apply(&mut self, command: Command) {
        let index = self.state.index() + 1;
        let at = Timestamp(1_800_000_000_000 + index * 1000) + self.passed;
        let entry = Entry { at, actor: Actor::system(), request_id: None, command };
        self.state.apply(index, &entry).outcome.result.expect("possible");
    }

    /// So much later, what is due happens.
    pub(crate) fn pass(&mut self, time: Duration) {
        self.passed += time;
        self.apply(Command::AdvanceTime);
    }

    pub(crate) fn change_keys(&mut self, change: SigningChange) {
        self.apply(Command::ChangeSigning { zone: name("example.test"), change });
    }

    /// Takes an endpoint of every service out of its answers, as a verdict would.
    pub(crate) fn take_out(&mut self, endpoint: &str) {
        let down = Scope::Endpoint(EndpointName::new(endpoint).expect("a label"));
        for service in ["shop", "any", "one"] {
            self.apply(Command::SetOverride {
                service: ServiceId::new(service).expect("a label"),
                order: Order::ForceDown(down.clone()),
                reason: "a test".to_owned(),
                lasting: 3600 * SECOND,
            });
        }
    }

    pub(crate) fn view(&mut self) -> Arc<View> {
        self.state.view()
    }
}
