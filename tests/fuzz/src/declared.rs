//! What the targets' view holds, declared by commands as a group's is: the same names (`names.zone`) in four zones, plain
//! and signed, in each of them services of every policy; and a reverse zone.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use holdfast_core::overrides::{Order, Scope};
use holdfast_core::presentation::{NoOtherTypes, parse_zone_file};
use holdfast_core::seam::Entropy;
use holdfast_core::signing::{SigningChange, ZoneKey};
use holdfast_core::spec::{
    Address, AllDown, Check, CheckKind, ClientRegion, Denial, Dnssec, Endpoint, FailoverRules,
    GeoRule, HeartbeatCheck, KeyAlgorithm, Policy, Pool, Quorum, Record, RecordData, Service,
    ServiceBinding, ServiceDns, Spread, Steered, Transfer, UpdateRule, Zone,
};
use holdfast_core::tsig::{TsigAlgorithm, TsigKey};
use holdfast_core::{
    Actor, CheckName, Command, DnsName, EndpointName, Entry, GroupId, PoolName, RegionName, Sealed,
    ServiceId, State, Timestamp, View,
};
use holdfast_seal::SealingKeys;
use holdfast_sign::{SigningKey, new_secret};

use crate::tsig;

const SECOND: Duration = Duration::from_secs(1);
/// When the first command came, in milliseconds; the clocks of the targets are later.
const BEGUN: u64 = 1_799_000_000_000;
const NAMES: &[u8] = include_bytes!("names.zone");
const REVERSE: &[u8] = b"$TTL 30\n@ SOA ns.example.test. h 1 2 3 4 5\n@ NS ns.example.test.\n\
    1 PTR a.example.test.\n2 PTR b.example.test.\n2 PTR a.signed.test.\n*.4 PTR c.example.test.\n";

/// The zones of `names.zone`, and how they are signed; first the one to which the others' aliases lead.
const ZONES: [(&str, Option<Denial>); 4] = [
    ("hashed.test", Some(Denial::Nsec3)),
    ("signed.test", Some(Denial::Compact)),
    ("near.test", None),
    ("example.test", None),
];
/// Of these, those whose answers are tailored to clients' networks.
const TAILORED: [&str; 2] = ["near.test", "hashed.test"];

/// Chance without chance, so that every run has the same keys.
struct Same;

impl Entropy for Same {
    fn next_u64(&self) -> u64 {
        7
    }
}

pub(crate) fn name(text: &str) -> DnsName {
    DnsName::new(text).expect("a valid name")
}

/// The keys that open the view's secrets.
pub(crate) fn sealing() -> SealingKeys {
    SealingKeys::new([[7; 32]])
}

/// The view of a group that declared it all and waited until the parents may know the keys.
pub(crate) fn view() -> Arc<View> {
    let mut group = Group(State::new(GroupId(3)));
    let key = TsigKey {
        algorithm: TsigAlgorithm::HmacSha256,
        secret: sealed(&tsig::SECRET, &TsigKey::context(&name(tsig::KEY))),
    };
    group.apply(Command::ApplyTsigKey { name: name(tsig::KEY), key, replace: false });
    group.apply_zone(read(REVERSE, &name("2.0.192.in-addr.arpa")));
    for (apex, denial) in ZONES {
        group.apply_zone(zone(&name(apex), denial));
        if denial.is_some() {
            let change = SigningChange::Enable(zone_key(&name(apex)));
            group.apply(Command::ChangeSigning { zone: name(apex), change });
        }
        group.apply_services(&name(apex));
    }
    group.apply(Command::AdvanceTime);
    group.0.view()
}

struct Group(State);

impl Group {
    /// An hour passes with each command.
    fn apply(&mut self, command: Command) {
        let index = self.0.index() + 1;
        let at = Timestamp(BEGUN + index * 3_600_000);
        let entry = Entry { at, actor: Actor::system(), request_id: None, command };
        self.0.apply(index, &entry).outcome.result.expect("what is declared here is possible");
    }

    fn apply_zone(&mut self, zone: Zone) {
        self.apply(Command::ApplyZone { zone, if_revision: None });
    }

    fn apply_services(&mut self, apex: &DnsName) {
        for (label, policy) in policies() {
            let service = service(apex, label, policy);
            self.apply(Command::ApplyService { service, if_revision: None });
        }
        let mut named = service(apex, "m", Policy::Weighted);
        named.pools = vec![pool("eu", 10, vec![at("e1", apex), at("e2", &name("elsewhere.test"))])];
        named.dns.https = None;
        self.apply(Command::ApplyService { service: named, if_revision: None });
        let mut closed = service(apex, "p", Policy::Failover);
        closed.failover.all_down = AllDown::FailClosed;
        let id = closed.id.clone();
        self.apply(Command::ApplyService { service: closed, if_revision: None });
        for pool in ["eu", "us"] {
            self.apply(Command::SetOverride {
                service: id.clone(),
                order: Order::ForceDown(Scope::Pool(pool_name(pool))),
                reason: "it answers SERVFAIL".to_owned(),
                lasting: 30 * 86_400 * SECOND,
            });
        }
    }
}

fn read(text: &[u8], apex: &DnsName) -> Zone {
    let file = parse_zone_file(text, apex, &NoOtherTypes).expect("the file can be read");
    let (mut zone, _) = file.into_zone(apex).expect("the file is a zone");
    zone.transfer = Transfer {
        allow: ["0.0.0.0/0", "::/0"].map(|all| all.parse().expect("a prefix")).to_vec(),
        keys: vec![name(tsig::KEY)],
        notify: vec![],
    };
    zone.updates =
        vec![UpdateRule { key: name(tsig::KEY), names: vec![], types: vec![], registers: None }];
    zone
}

fn zone(apex: &DnsName, denial: Option<Denial>) -> Zone {
    let mut zone = read(NAMES, apex);
    zone.client_subnet = TAILORED.contains(&apex.as_str());
    let addresses = |owner: &'static str, count| {
        (1..=count).map(move |last| (owner, RecordData::A(Ipv4Addr::new(192, 0, 2, last))))
    };
    let texts = (0..40).map(|number| {
        let text = format!("{number:0100}").into_bytes();
        ("g", RecordData::Txt(vec![text]))
    });
    let many = texts.chain(addresses("n", 60)).chain(addresses("ns.far", 99));
    let record =
        |(owner, data)| Record { name: name(&format!("{owner}.{apex}")), ttl: 30 * SECOND, data };
    zone.records.extend(many.map(record));
    if let Some(denial) = denial {
        // A signed zone is copied by nobody.
        zone.transfer = Transfer::default();
        zone.dnssec = Some(Dnssec { denial, ..Dnssec::default() });
    }
    zone
}

fn sealed(secret: &[u8], context: &str) -> Sealed {
    sealing().seal(secret, context, &Same).expect("a short secret, and there is a key")
}

fn zone_key(apex: &DnsName) -> ZoneKey {
    let algorithm = KeyAlgorithm::EcdsaP256;
    let secret = new_secret(algorithm, &Same);
    let public = SigningKey::of(algorithm, &secret).expect("a key").public().to_vec();
    let private = sealed(&secret, &ZoneKey::sealing_context(apex));
    ZoneKey { algorithm, public, private, created: Timestamp(0) }
}

fn policies() -> [(&'static str, Policy); 5] {
    let network = |text: &str| format!("cidr:{text}").parse().expect("a network");
    let place = |text: &str| text.parse().expect("a place");
    let us = || vec![pool_name("us")];
    let geo = vec![
        GeoRule { matches: vec![network("192.0.2.0/25"), network("2001:db8::/40")], pools: us() },
        GeoRule { matches: vec![place("country:DE"), place("asn:64500")], pools: us() },
    ];
    let region = |label: &str, matches, at| ClientRegion {
        region: RegionName::new(label).expect("a label"),
        matches,
        at: Some(at),
    };
    let nearest = vec![
        region("eu", vec![place("continent:EU"), network("198.51.100.0/24")], (5000, 800)),
        region("us", vec![network("203.0.113.128/25")], (4000, -7500)),
    ];
    let by_place = Steered { geo: geo.clone(), nearest: None, then: Spread::Weighted };
    let by_both = Steered { geo, nearest: Some(nearest), then: Spread::Multivalue { max: 2 } };
    [
        ("b", Policy::Weighted),
        ("c", Policy::Multivalue { max: 2 }),
        ("i", Policy::Sticky),
        ("j", Policy::Steered(by_place)),
        ("k", Policy::Steered(by_both)),
    ]
}

fn pool_name(label: &str) -> PoolName {
    PoolName::new(label).expect("a label")
}

fn pool(label: &str, priority: u16, endpoints: Vec<Endpoint>) -> Pool {
    Pool { name: pool_name(label), region: None, priority, weight: 1, min_up: 1, endpoints }
}

fn endpoint(label: &str, address: Address) -> Endpoint {
    let name = EndpointName::new(label).expect("a label");
    Endpoint { name, address, port: 443, weight: 1 }
}

/// An endpoint that is a name: `a` below another.
fn at(label: &str, above: &DnsName) -> Endpoint {
    endpoint(label, Address::Name(above.child("a").expect("short")))
}

/// Two pools with addresses of both families, and an HTTPS record.
pub(crate) fn service(apex: &DnsName, label: &str, policy: Policy) -> Service {
    let mut dns = ServiceDns::new(apex.child(label).expect("short"), 30 * SECOND);
    let params = "alpn=h2".parse().expect("parameters");
    dns.https = Some(ServiceBinding { params });
    let ip = |label: &str, text: &str| {
        endpoint(label, Address::Ip(text.parse::<IpAddr>().expect("an address")))
    };
    let eu = vec![ip("e1", "192.0.2.11"), ip("e2", "192.0.2.12"), ip("e3", "2001:db8::11")];
    let us = vec![ip("e4", "192.0.2.21"), ip("e5", "2001:db8::21"), ip("e6", "192.0.2.22")];
    Service {
        id: ServiceId::new(&format!("{label}-{}", apex.as_str().replace('.', "-"))).expect("short"),
        dns,
        policy,
        pools: vec![pool("eu", 10, eu), pool("us", 20, us)],
        checks: vec![Check {
            name: CheckName::new("alive").expect("a label"),
            kind: CheckKind::Heartbeat(HeartbeatCheck { ttl: 10 * SECOND }),
            interval: SECOND,
            timeout: SECOND / 2,
            rise: 1,
            fall: 1,
            confirm: SECOND / 10,
        }],
        quorum: Quorum::default(),
        failover: FailoverRules::default(),
    }
}
