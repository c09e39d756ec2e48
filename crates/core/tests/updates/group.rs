//! A group with one zone, z.test, and updates of it told in a line.

use super::*;

const APEX: &str = "z.test";

pub(crate) fn name(text: &str) -> DnsName {
    match text {
        "@" => DnsName::new(APEX),
        text if text.ends_with('.') => DnsName::new(text),
        text => DnsName::new(&format!("{text}.{APEX}")),
    }
    .expect("a valid name")
}

pub(crate) fn data(kind: &str, text: &str) -> RecordData {
    let kind: Kind = kind.parse().expect("a type");
    parse_data(kind, text, Some(&name("@")), &NoOtherTypes).expect("valid data")
}

pub(crate) fn zone(records: &[(&str, &str, &str)], rules: &[(&str, &[&str], &[Kind])]) -> Zone {
    let second = Duration::from_secs(1);
    let soa = Soa { negative_ttl: 5 * second, ..Soa::new(name("hostmaster")) };
    let addresses = vec![IpAddr::V4(Ipv4Addr::new(192, 0, 2, 53))];
    let servers = vec![NameServer { name: name("ns1"), addresses }];
    let mut zone = Zone::new(name("@"), soa, servers, 300 * second);
    zone.records = records
        .iter()
        .map(|(owner, kind, text)| Record {
            name: name(owner),
            ttl: 60 * second,
            data: data(kind, text),
        })
        .collect();
    zone.updates = rules
        .iter()
        .map(|(key, names, types)| UpdateRule {
            key: DnsName::new(key).expect("valid"),
            names: names.iter().map(|text| name(text)).collect(),
            types: types.to_vec(),
            registers: None,
        })
        .collect();
    zone
}

/// The same zone, where k.test registers addresses at names of services as endpoints of pool `main`.
pub(crate) fn registering(mut zone: Zone) -> Zone {
    zone.updates.push(UpdateRule {
        key: DnsName::new("k.test").expect("valid"),
        names: vec![],
        types: vec![],
        registers: Some(Registers { pool: "main".parse().expect("a label"), port: 8443 }),
    });
    zone
}

/// A service at shop.z.test, with an endpoint at one.shop.z.test.
pub(crate) fn service(at: &str) -> Service {
    let endpoint = Endpoint {
        name: "one".parse().expect("a label"),
        address: Address::Ip(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 80))),
        port: 80,
        weight: 1,
    };
    let pool = Pool {
        name: "main".parse().expect("a label"),
        region: None,
        priority: 0,
        weight: 1,
        min_up: 1,
        endpoints: vec![endpoint],
    };
    let tcp = CheckKind::Tcp(TcpCheck { port: None, send: vec![], expect: vec![] });
    let second = Duration::from_secs(1);
    let check = Check {
        name: "tcp".parse().expect("a label"),
        kind: tcp,
        interval: 5 * second,
        timeout: second,
        rise: 2,
        fall: 2,
        confirm: second,
    };
    Service {
        id: "shop".parse().expect("an id"),
        dns: ServiceDns::new(name(at), 30 * second),
        policy: Policy::Failover,
        pools: vec![pool],
        checks: vec![check],
        quorum: Quorum { regions: RegionRule::Majority, veto_percent: 33 },
        failover: FailoverRules {
            mode: Mode::Enforce,
            failback: Failback::Auto,
            hold_down: 300 * second,
            cooldown: 60 * second,
            max_moves: 4,
            window: 600 * second,
            all_down: AllDown::FailOpen,
        },
    }
}

pub(crate) struct Group {
    pub(crate) state: State,
    pub(crate) index: u64,
}

impl Group {
    pub(crate) fn new(zone: Zone) -> Self {
        let mut group = Self { state: State::new(GroupId(1)), index: 0 };
        group.done(Command::ApplyZone { zone, if_revision: None });
        group
    }

    pub(crate) fn apply_as(&mut self, request_id: Option<u128>, command: Command) -> Applied {
        self.index += 1;
        let actor = Actor { kind: ActorKind::Workload, name: "tsig:k.test".into() };
        let at = Timestamp(1000 * self.index);
        let request_id = request_id.map(RequestId);
        self.state.apply(self.index, &Entry { at, request_id, actor, command })
    }

    pub(crate) fn apply(&mut self, command: Command) -> Applied {
        self.apply_as(None, command)
    }

    pub(crate) fn done(&mut self, command: Command) -> Applied {
        let applied = self.apply(command);
        assert!(applied.outcome.result.is_ok(), "{:?}", applied.outcome.result);
        applied
    }

    pub(crate) fn declare(&mut self, zone: Zone) -> Result<Reply, Rejection> {
        self.apply(Command::ApplyZone { zone, if_revision: None }).outcome.result
    }

    pub(crate) fn update(&mut self, told: &str) -> Result<bool, UpdateCode> {
        let applied = self.apply(Command::UpdateZone(update("k.test", told)));
        changed(applied.outcome.result)
    }

    pub(crate) fn serial(&mut self) -> u32 {
        self.state.view().answers.zones.get(&name("@")).expect("the zone").serial
    }

    /// Signs a zone; until when caches may hold what its key has not signed.
    pub(crate) fn key_awaits(&mut self, apex: &str) -> Timestamp {
        let private = Sealed { key: SealingKeyId([0; 8]), nonce: [0; 12], ciphertext: vec![] };
        let key = ZoneKey {
            algorithm: KeyAlgorithm::Ed25519,
            public: vec![1; 32],
            private,
            created: Timestamp(0),
        };
        let change = SigningChange::Enable(key);
        self.done(Command::ChangeSigning { zone: name(apex), change });
        self.state.snapshot().zones[&name(apex)].signing.cached_until
    }

    /// What updates made: `name type data`, sorted.
    pub(crate) fn dynamic(&self) -> Vec<String> {
        let zone = &self.state.snapshot().zones[&name("@")];
        let line =
            |r: &Record| format!("{} {} {} {}", r.name, r.ttl.as_secs(), r.data.kind(), r.data);
        zone.dynamic.values().flatten().map(line).collect()
    }

    /// What is answered with at a name, of a type.
    pub(crate) fn served(&mut self, owner: &str, kind: Kind) -> Vec<String> {
        let view = self.state.view();
        let here = view.answers.names.get(&name(owner));
        let sets = here.into_iter().flat_map(|here| &here.sets);
        let records = sets.flat_map(|set| &set.records).map(|(data, _)| data);
        records.filter(|data| data.kind() == kind).map(ToString::to_string).collect()
    }
}

pub(crate) fn changed(result: Result<Reply, Rejection>) -> Result<bool, UpdateCode> {
    match result {
        Ok(Reply::Stored { changed, .. }) => Ok(changed),
        Err(Rejection::Update(refusal)) => Err(refusal.code),
        other => panic!("no outcome of an update: {other:?}"),
    }
}

/// An update in lines: `yx NAME`, `nx NAME`, `yx NAME TYPE`, `nx NAME TYPE`, `is NAME TYPE DATA`, `+ NAME TTL TYPE
/// DATA`, `- NAME`, `- NAME TYPE`, `- NAME TYPE DATA`; separated by semicolons.
pub(crate) fn update(key: &str, told: &str) -> ZoneUpdate {
    let mut update = ZoneUpdate {
        zone: name("@"),
        key: DnsName::new(key).expect("valid"),
        prerequisites: vec![],
        changes: vec![],
    };
    for line in told.split(';') {
        let words: Vec<&str> = line.split_whitespace().collect();
        let owner = name(words[1]);
        let kind = |at: usize| words[at].parse::<Kind>().expect("a type");
        let rest = |at: usize| data(words[at], &words[at + 1..].join(" "));
        let exists = words[0] == "yx";
        let condition = match (words[0], words.len()) {
            ("yx" | "nx", 2) => Some(Condition::Name { exists }),
            ("yx" | "nx", _) => Some(Condition::Set { kind: kind(2), exists }),
            ("is", _) => Some(Condition::Holds(rest(2))),
            _ => None,
        };
        if let Some(condition) = condition {
            update.prerequisites.push(Prerequisite { name: owner, condition });
            continue;
        }
        let action = match (words[0], words.len()) {
            ("+", _) => {
                let ttl = Duration::from_secs(words[2].parse().expect("a TTL"));
                Action::Add { ttl, data: rest(3) }
            }
            ("-", 2) => Action::RemoveName,
            ("-", 3) => Action::RemoveSet(kind(2)),
            _ => Action::Remove(rest(2)),
        };
        update.changes.push(Change { name: owner, action });
    }
    update
}

pub(crate) fn open() -> Zone {
    zone(&[("www", "A", "192.0.2.1"), ("www", "TXT", "x")], &[("k.test", &[], &[])])
}
