//! From an intent to an entry, given a state: names for small numbers, fingerprints of what is declared.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use holdfast_core::copied::Fetched;
use holdfast_core::observation::{Extent, Observation, ObserverState, Report, Target, fingerprint};
use holdfast_core::overrides::{Order, Scope};
use holdfast_core::sample::{Failure, FailureKind, Phase};
use holdfast_core::spec::{
    Address, AllDown, Check, CheckKind, Endpoint, Failback, FailoverRules, HeartbeatCheck, Mode,
    NameServer, Policy, Pool, Primaries, Quorum, Record, RecordData, RegionRule, Service,
    ServiceDns, Soa, TcpCheck, Zone,
};
use holdfast_core::{
    Actor, ActorKind, AgentId, AgentName, BootId, Command, DnsName, EndpointName, Entry,
    OverrideId, PoolName, RegionName, RequestId, ServiceId, State, Timestamp,
};

use crate::intent::{Declared, Given, Intent, Ordered, Passing, Said, What};

pub(crate) fn lower(intent: &Intent, state: &State, clock: &mut Timestamp) -> Entry {
    let at = match intent.passing {
        Passing::By(ms) => {
            *clock = *clock + Duration::from_millis(ms);
            *clock
        }
        Passing::ToDeadline => {
            let due = state.next_deadline().map_or(*clock, |due| due.at);
            // A deadline at the end of time is not waited for, or nothing would come after it.
            *clock = due.min(*clock + Duration::from_secs(30 * 86_400)).max(*clock);
            *clock
        }
        Passing::Behind(ms) => clock.before(Duration::from_millis(ms)),
        Passing::Says(ms) => Timestamp(ms),
    };
    let command = command(&intent.what, state, at);
    let kind = match &command {
        Command::RecordObservations(_) => ActorKind::Agent,
        Command::AdvanceTime | Command::BeginTerm { .. } => ActorKind::System,
        _ => ActorKind::Person,
    };
    Entry {
        at,
        request_id: intent.request.map(|number| RequestId(number.into())),
        actor: Actor { kind, name: "somebody".into() },
        command,
    }
}

fn command(what: &What, state: &State, at: Timestamp) -> Command {
    match what {
        What::Zone { zone, records, secondary, revision } => {
            let zone = match secondary {
                true => self::secondary(*zone),
                false => self::zone(*zone, *records),
            };
            Command::ApplyZone { zone, if_revision: *revision }
        }
        What::Copy(given) => copy(given, state),
        What::Source { zone, term, problem } => Command::RecordZoneSource {
            term: *term,
            zone: zone_name(*zone),
            declared: revision_of(state, *zone),
            problem: problem.then(|| "nobody answers".to_owned()),
        },
        What::DropZone(zone) => Command::DeleteZone { name: zone_name(*zone) },
        What::Declare(declared, revision) => {
            Command::ApplyService { service: service(declared), if_revision: *revision }
        }
        What::Drop(service) => {
            Command::DeleteService { id: service_id(*service), if_revision: None }
        }
        What::Register { service, pool, endpoint, address } => Command::RegisterEndpoint {
            service: service_id(*service),
            pool: pool_name(*pool),
            endpoint: self::endpoint(*endpoint, *address),
        },
        What::Deregister { service, endpoint } => Command::DeregisterEndpoint {
            service: service_id(*service),
            endpoint: endpoint_name(*endpoint),
        },
        What::Say(said) => Command::RecordObservations(report(said, state, at)),
        What::Beat { term, beats } => {
            let targets = targets(state);
            let beat = |(which, says): &(u8, bool)| {
                Some((targets.get(usize::from(*which))?.0.clone(), *says))
            };
            Command::RecordHeartbeats {
                term: *term,
                beats: beats.iter().filter_map(beat).collect(),
            }
        }
        What::Silence { term, agent, boot } => Command::SilenceObserver {
            term: *term,
            agent: AgentId(u64::from(*agent)),
            boot: BootId(u64::from(*boot)),
        },
        What::Pause(lasting) => Command::Pause { reason: "a rehearsal".into(), lasting: *lasting },
        What::Resume => Command::Resume { reason: String::new() },
        What::Order(_) | What::Clear(_) => order(what, state),
        What::Admit { .. } | What::Remove(_) | What::Term { .. } => membership(what),
        What::Settings(change) => Command::ChangeSettings(change.clone()),
        What::Tick => Command::AdvanceTime,
        What::Logic(version) => Command::RaiseLogicVersion { version: *version },
    }
}

fn membership(what: &What) -> Command {
    match what {
        What::Admit { agent, region, observer } => Command::AdmitAgent {
            id: AgentId(u64::from(*agent)),
            name: AgentName::new(&format!("agent-{agent}")).expect("a label"),
            region: RegionName::new(&format!("region-{region}")).expect("a label"),
            observer: *observer,
        },
        What::Term { term, leader } => {
            Command::BeginTerm { term: *term, leader: AgentId(u64::from(*leader)) }
        }
        What::Remove(agent) => Command::RemoveAgent { id: AgentId(u64::from(*agent)) },
        other => unreachable!("{other:?} is no change of membership"),
    }
}

fn order(what: &What, state: &State) -> Command {
    let Ordered { service, order, pool, endpoint, lasting } = match what {
        What::Order(ordered) => *ordered,
        What::Clear(which) => {
            let orders = &state.snapshot().overrides;
            let id = orders.keys().nth(usize::from(*which)).copied();
            return Command::ClearOverride {
                id: id.unwrap_or(OverrideId(u64::from(*which))),
                reason: String::new(),
            };
        }
        other => unreachable!("{other:?} is no order"),
    };
    let scope = match pool {
        Some(pool) => Scope::Pool(pool_name(pool)),
        None => Scope::Endpoint(endpoint_name(endpoint)),
    };
    let order = match order {
        0 => Order::Pin(pool_name(pool.unwrap_or_default())),
        1 => Order::ForceUp(scope),
        2 => Order::ForceDown(scope),
        3 => Order::LowerTtl(Duration::from_secs(7)),
        _ => Order::Drain(scope),
    };
    Command::SetOverride { service: service_id(service), order, reason: "because".into(), lasting }
}

/// Every target that is declared, with its fingerprint.
fn targets(state: &State) -> Vec<(Target, u64)> {
    let mut targets = Vec::new();
    for (id, service) in &state.snapshot().services {
        for (_, endpoint) in service.spec.endpoints() {
            for check in &service.spec.checks {
                let (service, check_name) = (id.clone(), check.name.clone());
                let target = Target { service, endpoint: endpoint.name.clone(), check: check_name };
                targets.push((target, fingerprint(endpoint, check)));
            }
        }
    }
    targets
}

fn report(said: &Said, state: &State, at: Timestamp) -> Report {
    let agent = AgentId(u64::from(said.agent));
    let last = state.snapshot().agents.get(&agent).map_or(0, |known| known.sequence);
    let says = |((target, current), opinion): ((Target, u64), &u8)| {
        let state = match opinion {
            0 => return None,
            1 => ObserverState::Unknown,
            2 => ObserverState::Up,
            _ => ObserverState::Down,
        };
        let failure = (state == ObserverState::Down)
            .then(|| Failure::new(Phase::Connect, FailureKind::Refused, ""));
        Some(Observation {
            target,
            fingerprint: if *opinion == 4 { !current } else { current },
            state,
            failure,
            latency: Duration::from_millis(3),
            since: Timestamp(at.0.wrapping_sub(said.since)),
        })
    };
    Report {
        agent,
        boot: BootId(u64::from(said.boot)),
        sequence: last.saturating_add(u64::from(said.step)),
        extent: extent(said.extent, state, agent),
        observations: targets(state).into_iter().zip(&said.opinions).filter_map(says).collect(),
    }
}

/// 0 is what changed, then the whole, a first page, and pages behind the one that came last.
fn extent(number: u8, state: &State, agent: AgentId) -> Extent {
    let paged = || state.snapshot().agents.get(&agent).and_then(|known| known.paged.clone());
    match number {
        0 => Extent::Changes,
        1 => Extent::WHOLE,
        2 => Extent::Page { after: None, last: false },
        3 => Extent::Page { after: paged(), last: false },
        _ => Extent::Page { after: paged(), last: true },
    }
}

fn service_id(number: u8) -> ServiceId {
    ServiceId::new(&format!("service-{number}")).expect("a label")
}

fn pool_name(number: u8) -> PoolName {
    PoolName::new(&format!("pool-{number}")).expect("a label")
}

fn endpoint_name(number: u8) -> EndpointName {
    EndpointName::new(&format!("e{number}")).expect("a label")
}

fn zone_name(number: u8) -> DnsName {
    let names = ["example.test", "example.org", "sub.example.test"];
    DnsName::new(names[usize::from(number) % names.len()]).expect("a name")
}

fn endpoint(number: u8, address: u8) -> Endpoint {
    let address = match address {
        0 => Address::Ip(IpAddr::V4(Ipv4Addr::new(10, 0, 0, number))),
        1 => Address::Ip(IpAddr::V4(Ipv4Addr::new(10, 0, 1, number))),
        2 => Address::Ip(IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, number.into()))),
        _ => Address::Name(DnsName::new(&format!("name-{number}.example.org")).expect("a name")),
    };
    Endpoint { name: endpoint_name(number), address, port: 80, weight: 1 }
}

fn zone(number: u8, records: u8) -> Zone {
    let name = zone_name(number);
    let label = |label: &str| name.child(label).expect("a short label");
    let record = |number: u8| Record {
        // Some stand where services want to be.
        name: label(&format!("name-{number}")),
        ttl: Duration::from_secs(60),
        data: RecordData::A(Ipv4Addr::new(192, 0, 2, number)),
    };
    // Where a service wants to be.
    let alias = RecordData::Alias(label("name-0"));
    let alias = Record { name: label("alias"), ttl: Duration::from_secs(60), data: alias };
    Zone {
        records: (0..records).map(record).chain([alias]).collect(),
        ..Zone::new(
            name.clone(),
            Soa { negative_ttl: Duration::from_secs(60), ..Soa::new(label("hostmaster")) },
            vec![NameServer {
                name: label("ns1"),
                addresses: vec![IpAddr::V4(Ipv4Addr::new(192, 0, 2, 53))],
            }],
            Duration::from_secs(3600),
        )
    }
}

fn secondary(number: u8) -> Zone {
    let bare = zone(number, 0);
    let primaries = Some(Primaries { addresses: vec![primary()], key: None });
    Zone { name_servers: Vec::new(), records: Vec::new(), primaries, ..bare }
}

fn primary() -> SocketAddr {
    SocketAddr::from(([198, 51, 100, 1], 53))
}

fn revision_of(state: &State, zone: u8) -> u64 {
    state.snapshot().zones.get(&zone_name(zone)).map_or(0, |zone| zone.revision)
}

/// A whole zone, or a difference to the copy there is.
fn copy(given: &Given, state: &State) -> Command {
    let Given { zone, term, step, since, removed, added } = given;
    let apex = zone_name(*zone);
    let declared = revision_of(state, *zone);
    let known = state.snapshot().zones.get(&apex).and_then(|zone| zone.copied.clone());
    let serial = known.as_ref().and_then(|known| known.serial).unwrap_or_default();
    let known = known.filter(|_| *since);
    let present: Vec<Record> = known.iter().flat_map(|known| known.zone.records.clone()).collect();
    let gone = removed
        .iter()
        .filter_map(|place| present.get(usize::from(*place).checked_rem(present.len())?).cloned());
    let mut come: Vec<Record> =
        added.iter().map(|(kind, name)| come(&apex, *kind, *name)).collect();
    if known.is_none() {
        come.push(Record {
            name: apex.clone(),
            ttl: Duration::from_secs(60),
            data: RecordData::Ns(apex.child("ns1").expect("a short label")),
        });
    }
    let Zone { soa, ttl, .. } = self::zone(*zone, 0);
    let fetched = Fetched {
        since: known.map_or(0, |known| known.index),
        serial: serial.wrapping_add(*step),
        from: primary(),
        mname: DnsName::new("hidden.example.net").expect("a name"),
        soa,
        ttl,
        removed: gone.collect(),
        added: come,
    };
    Command::RecordZoneCopy { term: *term, zone: apex, declared, fetched }
}

/// Mostly addresses, at names where services want to be; now and then what hides them, or what no zone can have.
fn come(apex: &DnsName, kind: u8, number: u8) -> Record {
    let own = apex.child(&format!("name-{number}")).expect("a short label");
    let elsewhere = || DnsName::new("elsewhere.example.net").expect("a name");
    let (name, data) = match kind {
        0 => (own, RecordData::A(Ipv4Addr::new(192, 0, 2, number))),
        1 => (own, RecordData::Ns(elsewhere())),
        2 => (own, RecordData::Dname(elsewhere())),
        3 => (own, RecordData::Cname(elsewhere())),
        4 => (apex.clone(), RecordData::A(Ipv4Addr::new(192, 0, 2, number))),
        _ => (elsewhere(), RecordData::A(Ipv4Addr::new(192, 0, 2, number))),
    };
    Record { name, ttl: Duration::from_secs(60), data }
}

fn service(declared: &Declared) -> Service {
    let zone = zone_name(declared.name / 3);
    let name = zone.child(&format!("name-{}", declared.name)).expect("a short label");
    Service {
        id: service_id(declared.service),
        dns: ServiceDns::new(name, declared.ttl),
        policy: match declared.policy {
            0 | 1 => Policy::Failover,
            2 => Policy::Weighted,
            _ => Policy::Multivalue { max: 2 },
        },
        pools: pools(&declared.pools),
        checks: (0..declared.checks).map(check).collect(),
        quorum: Quorum { regions: region_rule(declared.regions), veto_percent: declared.veto },
        failover: rules(declared),
    }
}

fn pools(declared: &[(u16, u16, Vec<u8>)]) -> Vec<Pool> {
    let mut taken = Vec::new();
    let mut pool = |(number, (priority, min_up, endpoints)): (u8, &(u16, u16, Vec<u8>))| {
        let fresh: Vec<u8> = endpoints.iter().copied().filter(|e| !taken.contains(e)).collect();
        let mut kept: Vec<u8> = Vec::new();
        for number in fresh {
            if !kept.contains(&number) {
                kept.push(number);
            }
        }
        taken.extend(&kept);
        Pool {
            name: pool_name(number),
            region: None,
            priority: *priority,
            weight: 1,
            min_up: *min_up,
            endpoints: kept.into_iter().map(|e| endpoint(e, u8::from(e == 5) * 2)).collect(),
        }
    };
    (0..).zip(declared).map(&mut pool).collect()
}

/// The second one has heartbeats.
fn check(number: u8) -> Check {
    let kind = if number == 1 {
        CheckKind::Heartbeat(HeartbeatCheck { ttl: Duration::from_secs(5) })
    } else {
        CheckKind::Tcp(TcpCheck { port: None, send: Vec::new(), expect: Vec::new() })
    };
    Check {
        name: holdfast_core::CheckName::new(&format!("check-{number}")).expect("a label"),
        kind,
        interval: Duration::from_secs(1),
        timeout: Duration::from_millis(500),
        rise: 2,
        fall: 3,
        confirm: Duration::from_millis(100),
    }
}

fn region_rule(number: u8) -> RegionRule {
    match number {
        0 => RegionRule::Any,
        1 => RegionRule::All,
        2 => RegionRule::AtLeast(2),
        3 => RegionRule::Percent(60),
        4 => RegionRule::Percent(0),
        _ => RegionRule::Majority,
    }
}

fn rules(declared: &Declared) -> FailoverRules {
    FailoverRules {
        mode: if declared.observe { Mode::Observe } else { Mode::Enforce },
        failback: if declared.manual { Failback::Manual } else { Failback::Auto },
        hold_down: declared.hold_down,
        cooldown: declared.cooldown,
        max_moves: declared.max_moves,
        window: declared.window,
        all_down: match declared.all_down {
            0 => AllDown::LastKnownGood,
            1 => AllDown::Fallback(pool_name(0)),
            2 => AllDown::FailClosed,
            _ => AllDown::FailOpen,
        },
    }
}
