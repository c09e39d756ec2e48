//! What is proposed, and what comes of it: reports, orders, members, entries, outcomes.

use super::*;

pub(in crate::tests) fn kind() -> impl Strategy<Value = Kind> {
    any::<u16>().prop_map(Kind)
}

prop_compose! {
    pub(in crate::tests) fn prerequisite()(
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
    pub(in crate::tests) fn change()(
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
    pub(in crate::tests) fn zone_update()(
        (zone, key) in (dns_name(), dns_name()),
        prerequisites in vec(prerequisite().boxed(), 0..3), changes in vec(change().boxed(), 0..3),
    ) -> ZoneUpdate {
        ZoneUpdate { zone, key, prerequisites, changes }
    }
}

prop_compose! {
    pub(in crate::tests) fn actor()(
        kind in select(vec![ActorKind::Person, ActorKind::Workload, ActorKind::Agent, ActorKind::System]),
        name in text(),
    ) -> Actor {
        Actor { kind, name }
    }
}

prop_compose! {
    pub(in crate::tests) fn target()(service in service_id(), endpoint in endpoint_name(), check in check_name()) -> Target {
        Target { service, endpoint, check }
    }
}

pub(in crate::tests) fn failure() -> impl Strategy<Value = Failure> {
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

pub(in crate::tests) fn observer_state() -> impl Strategy<Value = ObserverState> {
    select(vec![ObserverState::Unknown, ObserverState::Up, ObserverState::Down])
}

prop_compose! {
    pub(in crate::tests) fn observation()(
        target in target(), fingerprint: u64, state in observer_state(), failure in of(failure().boxed()),
        latency in any::<u64>().prop_map(Duration::from_nanos), since in stamp(),
    ) -> Observation {
        Observation { target, fingerprint, state, failure, latency, since }
    }
}

pub(in crate::tests) fn extent() -> impl Strategy<Value = Extent> {
    prop_oneof![
        Just(Extent::Changes),
        (of(target().boxed()), any::<bool>())
            .prop_map(|(after, last)| Extent::Page { after, last }),
    ]
}

prop_compose! {
    pub(in crate::tests) fn report()(
        (agent, boot, sequence) in any::<(u64, u64, u64)>(),
        extent in extent(),
        observations in vec(observation().boxed(), 0..4),
    ) -> Report {
        Report { agent: AgentId(agent), boot: BootId(boot), sequence, extent, observations }
    }
}

pub(in crate::tests) fn scope() -> impl Strategy<Value = Scope> {
    prop_oneof![endpoint_name().prop_map(Scope::Endpoint), pool_name().prop_map(Scope::Pool)]
}

pub(in crate::tests) fn order() -> impl Strategy<Value = Order> {
    prop_oneof![
        pool_name().prop_map(Order::Pin),
        scope().prop_map(Order::ForceUp),
        scope().prop_map(Order::ForceDown),
        scope().prop_map(Order::Drain),
        ms().prop_map(Order::LowerTtl),
    ]
}

pub(in crate::tests) fn client_command() -> impl Strategy<Value = Command> {
    prop_oneof![
        (zone().boxed(), any::<Option<u64>>())
            .prop_map(|(zone, if_revision)| Command::ApplyZone { zone, if_revision }),
        dns_name().prop_map(|name| Command::DeleteZone { name }),
        (dns_name(), tsig_key(), any::<bool>())
            .prop_map(|(name, key, replace)| Command::ApplyTsigKey { name, key, replace }),
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
    pub(in crate::tests) fn member()(
        name in text(), region in text(), peer_address in text(), api_address in text(), directory: u128,
    ) -> Member {
        Member { name, region, peer_address, api_address, directory }
    }
}

prop_compose! {
    pub(in crate::tests) fn settings()(
        warm_up in ms(), max_moves: Option<u32>, window in ms(), ttl_floor in ms(),
    ) -> Settings {
        Settings { warm_up, max_moves, window, ttl_floor }
    }
}

prop_compose! {
    pub(in crate::tests) fn settings_change()(
        warm_up in of(ms()), max_moves: Option<Option<u32>>, window in of(ms()),
        ttl_floor in of(ms()),
    ) -> SettingsChange {
        SettingsChange { warm_up, max_moves, window, ttl_floor }
    }
}

pub(in crate::tests) fn membership_change() -> impl Strategy<Value = MembershipChange> {
    let id = || (0_u64..6).prop_map(AgentId);
    prop_oneof![
        (id(), member()).prop_map(|(id, member)| MembershipChange::Add { id, member }),
        id().prop_map(MembershipChange::Promote),
        id().prop_map(MembershipChange::Remove),
        id().prop_map(MembershipChange::TransferLeadership),
    ]
}

/// What Raft says of members: those from 1 to this many, of which the first vote, in a change that is half done or not.
pub(in crate::tests) fn members() -> impl Strategy<Value = (Vec<Member>, usize, bool)> {
    (vec(member(), 1..6), 0_usize..6, any::<bool>())
}

pub(in crate::tests) fn group_command() -> impl Strategy<Value = Command> {
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
        (any::<u64>(), dns_name(), any::<u64>(), of(text())).prop_map(
            |(term, zone, declared, problem)| Command::RecordZoneSource {
                term,
                zone,
                declared,
                problem
            }
        ),
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
    pub(in crate::tests) fn entry()(
        at in stamp(), request_id: Option<u128>, actor in actor().boxed(),
        command in prop_oneof![client_command().boxed(), group_command().boxed()],
    ) -> Entry {
        Entry { at, request_id: request_id.map(RequestId), actor, command }
    }
}

pub(in crate::tests) fn outcome() -> impl Strategy<Value = Outcome> {
    let refused = prop_oneof![
        (text(), text())
            .prop_map(|(field, problem)| Rejection::InvalidSpec(SpecError { field, problem })),
        (text(), text()).prop_map(|(kind, name)| Rejection::NotFound { kind, name }),
        (text(), any::<u64>(), any::<u64>()).prop_map(|(name, expected, stored)| {
            Rejection::StaleRevision { name, expected, stored }
        }),
        (text(), text(), text()).prop_map(|(name, owner, next_step)| Rejection::NameInUse {
            name,
            owner,
            next_step
        }),
        (text(), text()).prop_map(|(problem, next_step)| Rejection::Signing { problem, next_step }),
        (text(), text()).prop_map(|(name, zones)| Rejection::OutsideZones { name, zones }),
        (text(), text(), text()).prop_map(|(name, user, next_step)| Rejection::InUse {
            name,
            user,
            next_step
        }),
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
