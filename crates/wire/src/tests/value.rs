//! Arbitrary values of the core, as far as bytes can tell: possible or not is `apply`'s business.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use holdfast_core::audit::{Content, Head, Record as AuditRecord};
use holdfast_core::copied::Fetched;
use holdfast_core::decision::{Basis, BlockReason, Cause, Selection, Served};
use holdfast_core::event::Event;
use holdfast_core::membership::{Member, MembershipChange};
use holdfast_core::observation::{Extent, Observation, ObserverState, Report, Target};
use holdfast_core::overrides::{Order, Override, Pause, Scope};
use holdfast_core::propagation::{Convergence, Ending, Fault, Figures};
use holdfast_core::quorum::{Evidence, Verdict};
use holdfast_core::sample::{Failure, FailureKind, Phase};
use holdfast_core::sealed::SealingKeyId;
use holdfast_core::signing::{ParentDs, Signing, SigningChange, ZoneKey};
use holdfast_core::spec::*;
use holdfast_core::tsig::{TsigAlgorithm, TsigKey};
use holdfast_core::ttl::{Tier, TtlCause};
use holdfast_core::update::{
    Action, Change, Condition, Prerequisite, UpdateCode, UpdateRefusal, ZoneUpdate,
};
use holdfast_core::{
    Actor, ActorKind, AgentId, AgentName, BootId, CheckName, Command, DnsName, EndpointName, Entry,
    Epoch, Outcome, OverrideId, PoolName, RegionName, Rejection, Reply, RequestId, Sealed,
    ServiceId, Timestamp,
};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

macro_rules! names {
    ($($function:ident: $type:ident;)+) => {
        $(fn $function() -> impl Strategy<Value = $type> {
            label().prop_map(|text| $type::new(&text).expect("a label is a name"))
        })+
    };
}

names! {
    agent_name: AgentName;
    region: RegionName;
    pool_name: PoolName;
    endpoint_name: EndpointName;
    check_name: CheckName;
}

fn label() -> impl Strategy<Value = String> {
    "[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?"
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "\\PC{0,20}"]
}

fn service_id() -> impl Strategy<Value = ServiceId> {
    (label(), label()).prop_map(|(namespace, name)| {
        ServiceId::new(&format!("{namespace}/{name}")).expect("labels make an id")
    })
}

fn dns_name() -> impl Strategy<Value = DnsName> {
    vec("[a-z_]([a-z0-9_-]{0,8}[a-z0-9])?", 1..5)
        .prop_map(|labels| DnsName::new(&labels.join(".")).expect("labels make a name"))
}

pub(crate) fn sealed() -> impl Strategy<Value = Sealed> {
    (any::<[u8; 8]>(), any::<[u8; 12]>(), vec(any::<u8>(), 0..=Sealed::MAX_CIPHERTEXT))
        .prop_map(|(key, nonce, ciphertext)| Sealed { key: SealingKeyId(key), nonce, ciphertext })
}

fn ms() -> impl Strategy<Value = Duration> {
    (0..=u64::MAX).prop_map(Duration::from_millis)
}

/// A TTL of zero stands for that of the tier.
fn some_ms() -> impl Strategy<Value = Duration> {
    (1..=u64::MAX).prop_map(Duration::from_millis)
}

fn stamp() -> impl Strategy<Value = Timestamp> {
    any::<u64>().prop_map(Timestamp)
}

fn address() -> impl Strategy<Value = Address> {
    prop_oneof![any::<IpAddr>().prop_map(Address::Ip), dns_name().prop_map(Address::Name)]
}

prop_compose! {
    fn endpoint()(name in endpoint_name(), address in address(), port: u16, weight: u16) -> Endpoint {
        Endpoint { name, address, port, weight }
    }
}

prop_compose! {
    fn pool()(
        name in pool_name(), region in of(region()), priority: u16, weight: u16, min_up: u16,
        endpoints in vec(endpoint().boxed(), 0..3),
    ) -> Pool {
        Pool { name, region, priority, weight, min_up, endpoints }
    }
}

prop_compose! {
    fn tls_options()(
        server_name in of(text()), ca_pem in of(text()), verify: bool, min_days_left: Option<u16>,
    ) -> TlsOptions {
        TlsOptions { server_name, ca_pem, verify, min_days_left }
    }
}

fn body() -> impl Strategy<Value = BodyExpectation> {
    prop_oneof![
        text().prop_map(BodyExpectation::Contains),
        text().prop_map(BodyExpectation::Matches),
        (text(), text()).prop_map(|(pointer, equals)| BodyExpectation::Pointer { pointer, equals }),
    ]
}

prop_compose! {
    fn http_check()(
        (tls, version) in (of(tls_options().boxed()), select(vec![HttpVersion::Http11, HttpVersion::Http2])),
        (method, path, host) in (text(), text(), of(text())),
        headers in vec((text(), text()), 0..3),
        (port, follow_redirects) in any::<(Option<u16>, u8)>(),
        expect_status in vec(any::<(u16, u16)>(), 0..3),
        expect_body in of(body()),
        max_latency in of(ms()),
    ) -> HttpCheck {
        let expect_status =
            expect_status.into_iter().map(|(from, to)| StatusRange { from, to }).collect();
        HttpCheck {
            tls, version, method, path, host, headers, port, expect_status, expect_body, max_latency,
            follow_redirects,
        }
    }
}

fn check_kind() -> impl Strategy<Value = CheckKind> {
    let bytes = || vec(any::<u8>(), 0..8);
    prop_oneof![
        http_check().boxed().prop_map(CheckKind::Http),
        (any::<Option<u16>>(), bytes(), bytes())
            .prop_map(|(port, send, expect)| CheckKind::Tcp(TcpCheck { port, send, expect })),
        (any::<Option<u16>>(), text(), of(tls_options().boxed()))
            .prop_map(|(port, service, tls)| CheckKind::Grpc(GrpcCheck { port, service, tls })),
        (any::<Option<u16>>(), dns_name(), text(), text(), vec(text(), 0..3)).prop_map(
            |(port, name, record_type, expect_rcode, expect_data)| CheckKind::Dns(DnsCheck {
                port,
                name,
                record_type,
                expect_rcode,
                expect_data,
            })
        ),
        (any::<Option<u16>>(), tls_options().boxed())
            .prop_map(|(port, options)| CheckKind::Tls(TlsCheck { port, options })),
        ms().prop_map(|ttl| CheckKind::Heartbeat(HeartbeatCheck { ttl })),
    ]
}

prop_compose! {
    fn check()(
        name in check_name(), kind in check_kind().boxed(), interval in ms(), timeout in ms(),
        (rise, fall) in any::<(u16, u16)>(), confirm in ms(),
    ) -> Check {
        Check { name, kind, interval, timeout, rise, fall, confirm }
    }
}

fn all_down() -> impl Strategy<Value = AllDown> {
    prop_oneof![
        Just(AllDown::FailOpen),
        Just(AllDown::LastKnownGood),
        pool_name().prop_map(AllDown::Fallback),
        Just(AllDown::FailClosed),
    ]
}

prop_compose! {
    fn rules()(
        mode in select(vec![Mode::Enforce, Mode::Observe]),
        failback in select(vec![Failback::Auto, Failback::Manual]),
        hold_down in ms(), cooldown in ms(), max_moves: u16, window in ms(), all_down in all_down().boxed(),
    ) -> FailoverRules {
        FailoverRules { mode, failback, hold_down, cooldown, max_moves, window, all_down }
    }
}

fn quorum() -> impl Strategy<Value = Quorum> {
    let regions = prop_oneof![
        Just(RegionRule::Any),
        Just(RegionRule::Majority),
        Just(RegionRule::All),
        any::<u8>().prop_map(RegionRule::AtLeast),
        any::<u8>().prop_map(RegionRule::Percent),
    ];
    (regions, any::<u8>()).prop_map(|(regions, veto_percent)| Quorum { regions, veto_percent })
}

fn spread() -> impl Strategy<Value = Spread> {
    prop_oneof![
        Just(Spread::All),
        Just(Spread::Weighted),
        Just(Spread::Sticky),
        any::<u8>().prop_map(|max| Spread::Multivalue { max }),
    ]
}

fn matches() -> impl Strategy<Value = Vec<Match>> {
    let code = || "[A-Z]{2}".prop_map(|text| Code::new(&text).expect("two letters"));
    let one = prop_oneof![
        (any::<IpAddr>(), 0u8..=32)
            .prop_map(|(address, length)| Match::Network(Prefix { address, length })),
        code().prop_map(Match::Continent),
        code().prop_map(Match::Country),
        (code(), code()).prop_map(|(country, code)| Match::Subdivision(country, code)),
        any::<u32>().prop_map(Match::Asn),
    ];
    vec(one, 0..3)
}

fn policy() -> impl Strategy<Value = Policy> {
    let rule =
        (matches(), vec(pool_name(), 0..3)).prop_map(|(matches, pools)| GeoRule { matches, pools });
    let region = (region(), matches(), any::<Option<(i16, i16)>>())
        .prop_map(|(region, matches, at)| ClientRegion { region, matches, at });
    let steered = (vec(rule, 0..3), of(vec(region, 0..3)), spread())
        .prop_map(|(geo, nearest, then)| Policy::Steered(Steered { geo, nearest, then }));
    prop_oneof![
        Just(Policy::Failover),
        Just(Policy::Weighted),
        Just(Policy::Sticky),
        any::<u8>().prop_map(|max| Policy::Multivalue { max }),
        steered,
    ]
}

prop_compose! {
    pub(super) fn service()(
        id in service_id(),
        (name, ttl, txt, https) in (dns_name(), some_ms(), vec(text(), 0..3), of(params().boxed())),
        (ttl_min, tier) in (of(ms()), of((0_u8..5).prop_map(|n| Tier::new(n).expect("0 to 4")))),
        policy in policy(),
        pools in vec(pool().boxed(), 0..3), checks in vec(check().boxed(), 0..3),
        quorum in quorum().boxed(), failover in rules().boxed(),
    ) -> Service {
        Service { id, dns: ServiceDns { txt, ttl_min, tier, https: https.map(|params| ServiceBinding { params }), ..ServiceDns::new(name, ttl) }, policy, pools, checks, quorum, failover }
    }
}

fn record_data() -> impl Strategy<Value = RecordData> {
    prop_oneof![
        any::<std::net::Ipv4Addr>().prop_map(RecordData::A),
        any::<std::net::Ipv6Addr>().prop_map(RecordData::Aaaa),
        dns_name().prop_map(RecordData::Cname),
        (any::<u16>(), any::<u16>(), any::<u16>(), dns_name()).prop_map(
            |(priority, weight, port, target)| RecordData::Srv { priority, weight, port, target }
        ),
        vec(bytes(), 0..3).prop_map(RecordData::Txt),
        host().prop_map(RecordData::Ns),
        (any::<u16>(), host())
            .prop_map(|(preference, exchange)| RecordData::Mx { preference, exchange }),
        (any::<u8>(), text(), bytes()).prop_map(|(flags, tag, value)| RecordData::Caa {
            flags,
            tag,
            value
        }),
        host().prop_map(RecordData::Ptr),
        binding().prop_map(RecordData::Svcb),
        binding().prop_map(RecordData::Https),
        dns_name().prop_map(RecordData::Alias),
        dns_name().prop_map(RecordData::Dname),
        (any::<(u16, u8, u8)>(), bytes()).prop_map(
            |((key_tag, algorithm, digest_type), digest)| RecordData::Ds {
                key_tag,
                algorithm,
                digest_type,
                digest
            }
        ),
        (any::<u16>(), bytes())
            .prop_map(|(kind, data)| RecordData::Other { kind: Kind(kind), data }),
    ]
}

fn socket_addr() -> impl Strategy<Value = SocketAddr> {
    any::<(IpAddr, u16)>().prop_map(SocketAddr::from)
}

fn prefix() -> impl Strategy<Value = Prefix> {
    any::<(IpAddr, u8)>().prop_map(|(address, length)| {
        let longest = if address.is_ipv4() { 32 } else { 128 };
        Prefix { address, length: length.min(longest) }
    })
}

fn tsig_key() -> impl Strategy<Value = TsigKey> {
    (select(TsigAlgorithm::ALL.to_vec()), sealed())
        .prop_map(|(algorithm, secret)| TsigKey { algorithm, secret })
}

prop_compose! {
    fn transfer()(
        allow in vec(prefix(), 0..3),
        keys in vec(dns_name(), 0..3),
        notify in vec((socket_addr(), of(dns_name())), 0..3),
    ) -> Transfer {
        let notify = notify.into_iter().map(|(address, key)| NotifyTarget { address, key });
        Transfer { allow, keys, notify: notify.collect() }
    }
}

fn kind() -> impl Strategy<Value = Kind> {
    any::<u16>().prop_map(Kind)
}

prop_compose! {
    fn update_rule()(
        key in dns_name(), names in vec(dns_name(), 0..3), types in vec(kind(), 0..3),
    ) -> UpdateRule {
        UpdateRule { key, names, types }
    }
}

prop_compose! {
    fn prerequisite()(
        name in dns_name(),
        condition in prop_oneof![
            any::<bool>().prop_map(|exists| Condition::Name { exists }),
            (kind(), any::<bool>()).prop_map(|(kind, exists)| Condition::Set { kind, exists }),
            record_data().prop_map(Condition::Holds),
        ],
    ) -> Prerequisite {
        Prerequisite { name, condition }
    }
}

prop_compose! {
    fn change()(
        name in dns_name(),
        action in prop_oneof![
            (ms(), record_data()).prop_map(|(ttl, data)| Action::Add { ttl, data }),
            Just(Action::RemoveName),
            kind().prop_map(Action::RemoveSet),
            record_data().prop_map(Action::Remove),
        ],
    ) -> Change {
        Change { name, action }
    }
}

prop_compose! {
    fn zone_update()(
        (zone, key) in (dns_name(), dns_name()),
        prerequisites in vec(prerequisite().boxed(), 0..3), changes in vec(change().boxed(), 0..3),
    ) -> ZoneUpdate {
        ZoneUpdate { zone, key, prerequisites, changes }
    }
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..20)
}

/// A name that a record leads to: the root too.
fn host() -> impl Strategy<Value = DnsName> {
    prop_oneof![4 => dns_name(), 1 => Just(DnsName::root())]
}

fn params() -> impl Strategy<Value = SvcParams> {
    vec((any::<u16>().prop_map(SvcKey), bytes()), 0..4).prop_map(SvcParams)
}

prop_compose! {
    fn binding()(priority: u16, target in host(), params in params()) -> Binding {
        Binding { priority, target, params }
    }
}

prop_compose! {
    fn dnssec()(
        algorithm in select(vec![KeyAlgorithm::EcdsaP256, KeyAlgorithm::Ed25519]),
        denial in select(vec![Denial::Compact, Denial::Nsec3]), validity in ms(),
    ) -> Dnssec {
        Dnssec { algorithm, denial, validity }
    }
}

prop_compose! {
    fn primaries()(addresses in vec(socket_addr(), 0..3), key in of(dns_name())) -> Primaries {
        Primaries { addresses, key }
    }
}

fn records() -> impl Strategy<Value = Vec<Record>> {
    let record = (dns_name(), ms(), record_data().boxed());
    vec(record.prop_map(|(name, ttl, data)| Record { name, ttl, data }), 0..4)
}

prop_compose! {
    fn soa()(mailbox in dns_name(), refresh in ms(), retry in ms(), expire in ms(), negative_ttl in ms()) -> Soa {
        Soa { mailbox, refresh, retry, expire, negative_ttl }
    }
}

prop_compose! {
    fn fetched()(
        (since, serial, from) in (any::<u64>(), any::<u32>(), socket_addr()),
        mname in dns_name(), soa in soa(), ttl in ms(), removed in records(), added in records(),
    ) -> Fetched {
        Fetched { since, serial, from, mname, soa, ttl, removed, added }
    }
}

prop_compose! {
    pub(super) fn zone()(
        name in dns_name(),
        (mailbox, refresh, retry, expire, negative_ttl) in (dns_name(), ms(), ms(), ms(), ms()),
        servers in vec((dns_name(), vec(any::<IpAddr>(), 0..3)), 0..3),
        (ttl, client_subnet) in (ms(), any::<bool>()),
        records in vec((dns_name(), ms(), record_data().boxed()), 0..4),
        (transfer, dnssec, primaries) in (transfer(), of(dnssec()), of(primaries())),
        updates in vec(update_rule(), 0..3),
    ) -> Zone {
        let server = |(name, addresses)| NameServer { name, addresses };
        let record = |(name, ttl, data)| Record { name, ttl, data };
        Zone { records: records.into_iter().map(record).collect(), client_subnet, transfer, updates, dnssec, primaries, ..Zone::new(name, Soa { mailbox, refresh, retry, expire, negative_ttl }, servers.into_iter().map(server).collect(), ttl) }
    }
}

prop_compose! {
    fn actor()(
        kind in select(vec![ActorKind::Person, ActorKind::Workload, ActorKind::Agent, ActorKind::System]),
        name in text(),
    ) -> Actor {
        Actor { kind, name }
    }
}

prop_compose! {
    fn target()(service in service_id(), endpoint in endpoint_name(), check in check_name()) -> Target {
        Target { service, endpoint, check }
    }
}

fn failure() -> impl Strategy<Value = Failure> {
    let phases = vec![
        Phase::Resolve,
        Phase::Connect,
        Phase::Tls,
        Phase::Send,
        Phase::FirstByte,
        Phase::Body,
        Phase::Assert,
        Phase::Heartbeat,
    ];
    let kinds = vec![
        FailureKind::Refused,
        FailureKind::Reset,
        FailureKind::Timeout,
        FailureKind::Unreachable,
        FailureKind::NoAddress,
        FailureKind::Certificate,
        FailureKind::Protocol,
        FailureKind::Status,
        FailureKind::Content,
        FailureKind::Slow,
        FailureKind::Silent,
    ];
    (select(phases), select(kinds), text()).prop_map(|(phase, kind, detail)| Failure {
        phase,
        kind,
        detail,
    })
}

fn observer_state() -> impl Strategy<Value = ObserverState> {
    select(vec![ObserverState::Unknown, ObserverState::Up, ObserverState::Down])
}

prop_compose! {
    fn observation()(
        target in target(), fingerprint: u64, state in observer_state(), failure in of(failure().boxed()),
        latency in any::<u64>().prop_map(Duration::from_nanos), since in stamp(),
    ) -> Observation {
        Observation { target, fingerprint, state, failure, latency, since }
    }
}

fn extent() -> impl Strategy<Value = Extent> {
    prop_oneof![
        Just(Extent::Changes),
        (of(target().boxed()), any::<bool>())
            .prop_map(|(after, last)| Extent::Page { after, last }),
    ]
}

prop_compose! {
    pub(super) fn report()(
        (agent, boot, sequence) in any::<(u64, u64, u64)>(),
        extent in extent(),
        observations in vec(observation().boxed(), 0..4),
    ) -> Report {
        Report { agent: AgentId(agent), boot: BootId(boot), sequence, extent, observations }
    }
}

fn scope() -> impl Strategy<Value = Scope> {
    prop_oneof![endpoint_name().prop_map(Scope::Endpoint), pool_name().prop_map(Scope::Pool)]
}

fn order() -> impl Strategy<Value = Order> {
    prop_oneof![
        pool_name().prop_map(Order::Pin),
        scope().prop_map(Order::ForceUp),
        scope().prop_map(Order::ForceDown),
        scope().prop_map(Order::Drain),
        ms().prop_map(Order::LowerTtl),
    ]
}

prop_compose! {
    pub(super) fn signing()(
        keys in vec(zone_key(), 0..3), ready_at in stamp(), ready: bool,
        parent in of((any::<Vec<u16>>(), ms(), stamp(), of(stamp()))),
    ) -> Signing {
        let parent =
            parent.map(|(tags, ttl, since, seen_at)| ParentDs { tags, ttl, since, seen_at });
        Signing { keys, ready_at, ready, parent }
    }
}

prop_compose! {
    fn zone_key()(
        algorithm in select(vec![KeyAlgorithm::EcdsaP256, KeyAlgorithm::Ed25519]),
        public: [u8; 32], private in sealed(), created in stamp(),
    ) -> ZoneKey {
        let mut public = public.to_vec();
        public.resize(algorithm.public_length(), 1);
        ZoneKey { algorithm, public, private, created }
    }
}

fn signing_change() -> impl Strategy<Value = SigningChange> {
    prop_oneof![
        zone_key().prop_map(SigningChange::Enable),
        zone_key().prop_map(SigningChange::StartRollover),
        (any::<Vec<u16>>(), ms()).prop_map(|(tags, ttl)| SigningChange::NoteParent { tags, ttl }),
        of(text()).prop_map(|forced| SigningChange::FinishRollover { forced }),
        of(text()).prop_map(|forced| SigningChange::AbandonRollover { forced }),
        of(text()).prop_map(|forced| SigningChange::Disable { forced }),
    ]
}

fn client_command() -> impl Strategy<Value = Command> {
    prop_oneof![
        (zone().boxed(), any::<Option<u64>>())
            .prop_map(|(zone, if_revision)| Command::ApplyZone { zone, if_revision }),
        dns_name().prop_map(|name| Command::DeleteZone { name }),
        (dns_name(), tsig_key()).prop_map(|(name, key)| Command::ApplyTsigKey { name, key }),
        dns_name().prop_map(|name| Command::RemoveTsigKey { name }),
        zone_update().boxed().prop_map(Command::UpdateZone),
        (dns_name(), signing_change().boxed())
            .prop_map(|(zone, change)| Command::ChangeSigning { zone, change }),
        (service().boxed(), any::<Option<u64>>())
            .prop_map(|(service, if_revision)| Command::ApplyService { service, if_revision }),
        (service_id(), any::<Option<u64>>())
            .prop_map(|(id, if_revision)| Command::DeleteService { id, if_revision }),
        (service_id(), pool_name(), endpoint().boxed()).prop_map(|(service, pool, endpoint)| {
            Command::RegisterEndpoint { service, pool, endpoint }
        }),
        (service_id(), endpoint_name())
            .prop_map(|(service, endpoint)| Command::DeregisterEndpoint { service, endpoint }),
        (service_id(), order().boxed(), text(), ms()).prop_map(
            |(service, order, reason, lasting)| {
                Command::SetOverride { service, order, reason, lasting }
            }
        ),
        (any::<u64>(), text())
            .prop_map(|(id, reason)| Command::ClearOverride { id: OverrideId(id), reason }),
        (text(), ms()).prop_map(|(reason, lasting)| Command::Pause { reason, lasting }),
        text().prop_map(|reason| Command::Resume { reason }),
    ]
}

prop_compose! {
    fn member()(
        name in text(), region in text(), peer_address in text(), api_address in text(), directory: u128,
    ) -> Member {
        Member { name, region, peer_address, api_address, directory }
    }
}

prop_compose! {
    fn settings()(
        warm_up in ms(), max_moves: Option<u32>, window in ms(), ttl_floor in ms(),
    ) -> Settings {
        Settings { warm_up, max_moves, window, ttl_floor }
    }
}

prop_compose! {
    fn settings_change()(
        warm_up in of(ms()), max_moves: Option<Option<u32>>, window in of(ms()),
        ttl_floor in of(ms()),
    ) -> SettingsChange {
        SettingsChange { warm_up, max_moves, window, ttl_floor }
    }
}

fn membership_change() -> impl Strategy<Value = MembershipChange> {
    let id = || (0_u64..6).prop_map(AgentId);
    prop_oneof![
        (id(), member()).prop_map(|(id, member)| MembershipChange::Add { id, member }),
        id().prop_map(MembershipChange::Promote),
        id().prop_map(MembershipChange::Remove),
        id().prop_map(MembershipChange::TransferLeadership),
    ]
}

/// What Raft says of members: those from 1 to this many, of which the first vote, in a change that is half done or not.
pub(super) fn members() -> impl Strategy<Value = (Vec<Member>, usize, bool)> {
    (vec(member(), 1..6), 0_usize..6, any::<bool>())
}

fn group_command() -> impl Strategy<Value = Command> {
    prop_oneof![
        report().boxed().prop_map(Command::RecordObservations),
        (any::<u64>(), vec((target(), any::<bool>()), 0..3))
            .prop_map(|(term, beats)| Command::RecordHeartbeats { term, beats }),
        (any::<u64>(), service_id(), convergence().boxed()).prop_map(
            |(term, service, convergence)| Command::RecordConvergence {
                term,
                service,
                convergence
            }
        ),
        (any::<u64>(), dns_name(), any::<u64>(), fetched().boxed()).prop_map(
            |(term, zone, declared, fetched)| Command::RecordZoneCopy {
                term,
                zone,
                declared,
                fetched
            }
        ),
        (any::<u64>(), dns_name(), of(text()))
            .prop_map(|(term, zone, problem)| Command::RecordZoneSource { term, zone, problem }),
        any::<(u64, u64, u64)>().prop_map(|(term, agent, boot)| Command::SilenceObserver {
            term,
            agent: AgentId(agent),
            boot: BootId(boot)
        }),
        (any::<u64>(), agent_name(), region(), any::<bool>()).prop_map(
            |(id, name, region, observer)| Command::AdmitAgent {
                id: AgentId(id),
                name,
                region,
                observer
            }
        ),
        membership_change().prop_map(Command::RequestMembership),
        any::<u64>().prop_map(|id| Command::RemoveAgent { id: AgentId(id) }),
        any::<(u64, u64)>()
            .prop_map(|(term, leader)| Command::BeginTerm { term, leader: AgentId(leader) }),
        settings_change().prop_map(Command::ChangeSettings),
        Just(Command::AdvanceTime),
        any::<u32>().prop_map(|version| Command::RaiseLogicVersion { version }),
    ]
}

prop_compose! {
    pub(super) fn entry()(
        at in stamp(), request_id: Option<u128>, actor in actor().boxed(),
        command in prop_oneof![client_command().boxed(), group_command().boxed()],
    ) -> Entry {
        Entry { at, request_id: request_id.map(RequestId), actor, command }
    }
}

pub(super) fn outcome() -> impl Strategy<Value = Outcome> {
    let refused = prop_oneof![
        (text(), text())
            .prop_map(|(field, problem)| Rejection::InvalidSpec(SpecError { field, problem })),
        (text(), text()).prop_map(|(kind, name)| Rejection::NotFound { kind, name }),
        (text(), any::<u64>(), any::<u64>()).prop_map(|(name, expected, stored)| {
            Rejection::StaleRevision { name, expected, stored }
        }),
        (text(), text()).prop_map(|(name, owner)| Rejection::NameInUse { name, owner }),
        (text(), text()).prop_map(|(problem, next_step)| Rejection::Signing { problem, next_step }),
        (text(), text()).prop_map(|(name, zones)| Rejection::OutsideZones { name, zones }),
        (text(), text()).prop_map(|(name, user)| Rejection::InUse { name, user }),
        (select(UpdateCode::ALL.to_vec()), text())
            .prop_map(|(code, problem)| Rejection::Update(UpdateRefusal { code, problem })),
        text().prop_map(Rejection::InvalidOrder),
        text().prop_map(Rejection::Superseded),
        (text(), any::<u64>()).prop_map(|(what, limit)| Rejection::LimitReached { what, limit }),
        (text(), text())
            .prop_map(|(problem, next_step)| Rejection::Membership { problem, next_step }),
    ];
    let result = prop_oneof![
        Just(Ok(Reply::Done)),
        any::<(u64, bool)>()
            .prop_map(|(revision, changed)| Ok(Reply::Stored { revision, changed })),
        any::<(u64, u64)>().prop_map(|(id, at)| Ok(Reply::Ordered {
            id: OverrideId(id),
            expires_at: Timestamp(at)
        })),
        refused.prop_map(Err),
    ];
    (any::<u64>(), result).prop_map(|(index, result)| Outcome { index, result })
}

fn verdict() -> impl Strategy<Value = Verdict> {
    select(vec![Verdict::Unknown, Verdict::Up, Verdict::Down])
}

prop_compose! {
    fn evidence()(
        (agent, boot, sequence) in any::<(u64, u64, u64)>(), region in region(), state in observer_state(),
        failure in of(failure().boxed()), since in stamp(), recorded_at in stamp(),
    ) -> Evidence {
        let (agent, boot) = (AgentId(agent), BootId(boot));
        Evidence { agent, region, boot, sequence, state, failure, since, recorded_at }
    }
}

prop_compose! {
    fn selection()(
        active in of(pool_name()), refused: bool,
        served in vec((pool_name(), endpoint_name(), address(), any::<(u16, u32)>()), 0..3),
        basis in select(vec![Basis::Unjudged, Basis::Healthy, Basis::Ordered, Basis::AllDown]),
    ) -> Selection {
        let one = |(pool, endpoint, address, (port, weight))| {
            Served { pool, endpoint, address, port, weight }
        };
        Selection { active, served: served.into_iter().map(one).collect(), refused, basis }
    }
}

prop_compose! {
    fn override_in_force()(
        id: u64, service in service_id(), order in order().boxed(), actor in text(), reason in text(),
        set_at in stamp(), expires_at in stamp(),
    ) -> Override {
        Override { id: OverrideId(id), service, order, actor, reason, set_at, expires_at }
    }
}

fn event() -> impl Strategy<Value = Event> {
    let causes =
        vec![Cause::Declared, Cause::Ordered, Cause::Failed, Cause::Recovered, Cause::Judged];
    prop_oneof![
        (endpoint_name(), check_name(), verdict(), verdict(), vec(evidence().boxed(), 0..3))
            .prop_map(|(endpoint, check, from, to, evidence)| Event::VerdictChanged {
                endpoint,
                check,
                from,
                to,
                evidence
            }),
        (any::<u64>(), selection().boxed(), selection().boxed(), select(causes), of(stamp()))
            .prop_map(|(epoch, from, to, cause, trouble_since)| Event::SelectionChanged {
                epoch: Epoch(epoch),
                from,
                to,
                cause,
                trouble_since
            }),
        (select(BlockReason::ALL.to_vec()), selection().boxed())
            .prop_map(|(reason, wanted)| Event::MoveBlocked { reason, wanted }),
        selection().boxed().prop_map(|wanted| Event::MoveWithheld { wanted }),
        override_in_force().boxed().prop_map(Event::OverrideSet),
        (override_in_force().boxed(), text(), text())
            .prop_map(|(order, by, reason)| Event::OverrideEnded { order, by, reason }),
        (text(), text(), stamp(), stamp()).prop_map(|(actor, reason, set_at, expires_at)| {
            Event::AutomationPaused(Pause { actor, reason, set_at, expires_at })
        }),
        (dns_name(), text()).prop_map(|(zone, digest)| Event::ZoneApplied { zone, digest }),
        dns_name().prop_map(|zone| Event::ZoneDeleted { zone }),
        (dns_name(), text()).prop_map(|(key, algorithm)| Event::TsigKeyApplied { key, algorithm }),
        dns_name().prop_map(|key| Event::TsigKeyRemoved { key }),
        (dns_name(), dns_name(), vec(text(), 0..3), any::<u32>()).prop_map(
            |(zone, key, changes, unnamed)| Event::ZoneUpdated { zone, key, changes, unnamed }
        ),
        (dns_name(), text(), any::<Vec<u16>>(), text()).prop_map(|(zone, change, tags, reason)| {
            Event::ZoneSigningChanged { zone, change, tags, reason }
        }),
        text().prop_map(|digest| Event::ServiceApplied { digest }),
        (endpoint_name(), text())
            .prop_map(|(endpoint, address)| Event::EndpointRegistered { endpoint, address }),
        endpoint_name().prop_map(|endpoint| Event::EndpointDeregistered { endpoint }),
        (text(), text()).prop_map(|(by, reason)| Event::AutomationResumed { by, reason }),
        small_event().boxed(),
    ]
}

fn ttl_cause() -> impl Strategy<Value = TtlCause> {
    select(vec![
        TtlCause::Declared,
        TtlCause::Ordered,
        TtlCause::Doubted,
        TtlCause::AllDown,
        TtlCause::HoldEnds,
        TtlCause::OrderEnds,
        TtlCause::Settling,
    ])
}

prop_compose! {
    fn figures()((asked, agreed) in any::<(u32, u32)>(), t50 in of(ms()), t95 in of(ms()), t100 in of(ms())) -> Figures {
        Figures { asked, agreed, t50, t95, t100 }
    }
}

prop_compose! {
    fn convergence()(
        (epoch, unfollowed) in any::<(u64, u32)>(), ending in select(Ending::ALL.to_vec()),
        followed in ms(), servers in figures(), resolvers in figures(), stragglers in vec(text(), 0..3),
        faults in vec((select(Fault::ALL.to_vec()), text()), 0..3), serial_skew in of(ms()),
    ) -> Convergence {
        let epoch = Epoch(epoch);
        Convergence { epoch, ending, followed, servers, resolvers, stragglers, faults, serial_skew, unfollowed }
    }
}

fn small_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(Event::ServiceDeleted),
        (settings(), settings()).prop_map(|(from, to)| Event::SettingsChanged { from, to }),
        (any::<u64>(), text()).prop_map(|(agent, description)| Event::AgentAdmitted {
            agent: AgentId(agent),
            description
        }),
        any::<u64>().prop_map(|agent| Event::AgentRemoved { agent: AgentId(agent) }),
        any::<u64>().prop_map(|agent| Event::ObserverSilenced { agent: AgentId(agent) }),
        any::<u64>().prop_map(|agent| Event::ObserverHeard { agent: AgentId(agent) }),
        any::<(u64, u64)>()
            .prop_map(|(term, leader)| Event::TermBegan { term, leader: AgentId(leader) }),
        any::<u32>().prop_map(|version| Event::LogicVersionRaised { version }),
        (dns_name(), text(), any::<(u32, u32, u32)>(), text()).prop_map(
            |(zone, from, (serial, added, removed), digest)| Event::ZoneCopied {
                zone,
                from,
                serial,
                added,
                removed,
                digest
            }
        ),
        (dns_name(), text()).prop_map(|(zone, problem)| Event::ZoneStale { zone, problem }),
        dns_name().prop_map(|zone| Event::ZoneFresh { zone }),
        membership_change().prop_map(Event::MembershipRequested),
        convergence().boxed().prop_map(Event::FailoverConverged),
        (ms(), ms(), ttl_cause(), stamp()).prop_map(|(from, to, cause, forgotten_at)| {
            Event::TtlChanged { from, to, cause, forgotten_at }
        }),
        (text(), text(), text()).prop_map(|(command, reason, message)| Event::CommandRefused {
            command,
            reason,
            message
        }),
    ]
}

/// A chain of records.
pub(super) fn chain() -> impl Strategy<Value = Vec<AuditRecord>> {
    let content =
        (stamp(), actor().boxed(), any::<(u64, Option<u128>)>(), of(service_id()), event().boxed());
    let content = content.prop_map(|(at, actor, (index, request_id), service, event)| Content {
        index,
        at,
        actor,
        request_id: request_id.map(RequestId),
        service,
        event,
    });
    vec(content, 0..5).prop_map(|contents| {
        let mut head = Head::EMPTY;
        let link = |content| {
            let record = AuditRecord::after(&head, content);
            head = record.head();
            record
        };
        contents.into_iter().map(link).collect()
    })
}
