//! What is recorded: verdicts, selections, events, chains.

use super::*;

pub(in crate::tests) fn verdict() -> impl Strategy<Value = Verdict> {
    select(vec![Verdict::Unknown, Verdict::Up, Verdict::Down])
}

prop_compose! {
    pub(in crate::tests) fn evidence()(
        (agent, boot, sequence) in any::<(u64, u64, u64)>(), region in region(), state in observer_state(),
        failure in of(failure().boxed()), since in stamp(), recorded_at in stamp(),
    ) -> Evidence {
        let (agent, boot) = (AgentId(agent), BootId(boot));
        Evidence { agent, region, boot, sequence, state, failure, since, recorded_at }
    }
}

prop_compose! {
    pub(in crate::tests) fn selection()(
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
    pub(in crate::tests) fn override_in_force()(
        id: u64, service in service_id(), order in order().boxed(), actor in text(), reason in text(),
        set_at in stamp(), expires_at in stamp(),
    ) -> Override {
        Override { id: OverrideId(id), service, order, actor, reason, set_at, expires_at }
    }
}

pub(in crate::tests) fn event() -> impl Strategy<Value = Event> {
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
        (
            (any::<u64>(), selection().boxed(), selection().boxed(), select(causes)),
            of(stamp()),
            of(all_down().boxed()),
        )
            .prop_map(|((epoch, from, to, cause), trouble_since, all_down)| {
                Event::SelectionChanged {
                    epoch: Epoch(epoch),
                    from,
                    to,
                    cause,
                    trouble_since,
                    all_down,
                }
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

pub(in crate::tests) fn ttl_cause() -> impl Strategy<Value = TtlCause> {
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
    pub(in crate::tests) fn figures()((asked, agreed) in any::<(u32, u32)>(), t50 in of(ms()), t95 in of(ms()), t100 in of(ms())) -> Figures {
        Figures { asked, agreed, t50, t95, t100 }
    }
}

prop_compose! {
    pub(in crate::tests) fn convergence()(
        (epoch, unfollowed) in any::<(u64, u32)>(), ending in select(Ending::ALL.to_vec()),
        followed in ms(), servers in figures(), resolvers in figures(), stragglers in vec(text(), 0..3),
        faults in vec((select(Fault::ALL.to_vec()), text()), 0..3), serial_skew in of(ms()),
    ) -> Convergence {
        let epoch = Epoch(epoch);
        Convergence { epoch, ending, followed, servers, resolvers, stragglers, faults, serial_skew, unfollowed }
    }
}

pub(in crate::tests) fn small_event() -> impl Strategy<Value = Event> {
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
pub(in crate::tests) fn chain() -> impl Strategy<Value = Vec<AuditRecord>> {
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
