//! One line per fact, for people: when, about what, what kind, and what came of what.

mod convergence;

use holdfast_wire::pb::v1 as pb;
use pb::event::Event;

use crate::words;

/// The line of a record: `14:01:52.114Z shop selection.changed eu[e1] → us[e2] cause failed (epoch 88)`.
pub(crate) fn line(record: &pb::AuditRecord, wide: bool) -> String {
    let subject = if record.service.is_empty() { "cluster" } else { record.service.as_str() };
    let detail = detail_of(record);
    let mut line = match wide {
        true => format!(
            "#{} {} {subject} {}",
            record.sequence,
            words::moment(record.at_ms),
            record.kind
        ),
        false => format!("{} {subject} {}", words::time_of_day(record.at_ms), record.kind),
    };
    for part in [detail, by(record)] {
        if !part.is_empty() {
            line = format!("{line} {part}");
        }
    }
    if wide {
        let short = record.hash.get(..12).unwrap_or(&record.hash);
        line = format!(
            "{line} [index {} request {} hash {short}]",
            record.index,
            dash(&record.request_id)
        );
    }
    line
}

/// What came of what, without the rest of the line.
pub(crate) fn detail_of(record: &pb::AuditRecord) -> String {
    let event = record.event.as_ref().and_then(|event| event.event.as_ref());
    event.map_or_else(String::new, detail)
}

fn dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

/// Who did it, where it was not the cluster itself and the fact does not say so already.
fn by(record: &pb::AuditRecord) -> String {
    let told = record.event.as_ref().and_then(|event| event.event.as_ref());
    let says_itself = matches!(
        told,
        Some(
            Event::OverrideSet(_)
                | Event::OverrideEnded(_)
                | Event::AutomationPaused(_)
                | Event::AutomationResumed(_)
        )
    );
    match &record.actor {
        Some(actor)
            if !says_itself
                && matches!(actor.kind(), pb::ActorKind::Person | pb::ActorKind::Workload) =>
        {
            format!("by {}", actor.name)
        }
        _ => String::new(),
    }
}

fn detail(event: &Event) -> String {
    match event {
        Event::EndpointRegistered(e) => format!("{} at {}", e.endpoint, e.address),
        Event::EndpointDeregistered(e) => e.endpoint.clone(),
        Event::VerdictChanged(e) => verdict_changed(e),
        Event::SelectionChanged(e) => selection_changed(e),
        Event::MoveBlocked(e) => {
            format!("{} holds back {}", words::block(e.reason), words::selection(e.wanted.as_ref()))
        }
        Event::MoveWithheld(e) => format!("would answer {}", words::selection(e.wanted.as_ref())),
        Event::OverrideSet(order) => format!(
            "{} by {} until {}: {} (override {})",
            words::order(order.order.as_ref()),
            order.actor,
            words::time_of_day(order.expires_at_ms),
            order.reason,
            order.id
        ),
        Event::OverrideEnded(e) => {
            let order = e.r#override.as_ref();
            let number = order.map_or(0, |order| order.id);
            let what = words::order(order.and_then(|order| order.order.as_ref()));
            with_reason(format!("{what} ended by {} (override {number})", e.by), &e.reason)
        }
        Event::AutomationPaused(pause) => {
            let until = words::time_of_day(pause.expires_at_ms);
            format!("by {} until {until}: {}", pause.actor, pause.reason)
        }
        Event::AutomationResumed(e) => with_reason(format!("by {}", e.by), &e.reason),
        Event::TtlChanged(e) => ttl_changed(e),
        Event::FailoverConverged(e) => convergence::told(e),
        _ => cluster_detail(event),
    }
}

/// The settings that differ.
fn settings(event: &pb::SettingsChanged) -> String {
    let (before, after) = (event.before.unwrap_or_default(), event.after.unwrap_or_default());
    let moves = |most: Option<u32>| most.map_or("none".to_owned(), |most| most.to_string());
    let of = |settings: pb::Settings| {
        [
            ("ttl_floor", words::seconds(settings.ttl_floor_ms)),
            ("warm_up", words::seconds(settings.warm_up_ms)),
            ("max_moves", moves(settings.max_moves)),
            ("window", words::seconds(settings.window_ms)),
        ]
    };
    let changed = of(before).into_iter().zip(of(after)).filter(|(before, after)| before != after);
    let told = changed.map(|((name, before), (_, after))| format!("{name} {before} to {after}"));
    told.collect::<Vec<_>>().join(", ")
}

fn zone_updated(event: &pb::ZoneUpdated) -> String {
    let more = match event.unnamed {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    format!("{} by key {}: {}{more}", event.zone, event.key, event.changes.join(", "))
}

fn cluster_detail(event: &Event) -> String {
    match event {
        Event::ZoneApplied(e) => format!("{} ({})", e.zone, short(&e.digest)),
        Event::ZoneDeleted(e) => e.zone.clone(),
        Event::ZoneCopied(e) => format!(
            "{} serial {} from {}: {} records came, {} went ({})",
            e.zone,
            e.serial,
            e.from,
            e.added,
            e.removed,
            short(&e.digest)
        ),
        Event::ZoneStale(e) => format!("{}: the last copy is served on: {}", e.zone, e.problem),
        Event::ZoneFresh(e) => e.zone.clone(),
        Event::ZoneUpdated(e) => zone_updated(e),
        Event::TsigKeyApplied(e) => format!("{} ({})", e.key, e.algorithm),
        Event::TsigKeyRemoved(e) => e.key.clone(),
        Event::ZoneSigningChanged(e) => {
            let text = format!("{}: {}, keys {:?}", e.zone, e.change, e.tags);
            with_reason(text, &e.reason)
        }
        Event::ServiceApplied(e) => format!("({})", short(&e.digest)),
        Event::AgentAdmitted(e) => format!("agent {}: {}", e.agent, e.description),
        Event::AgentRemoved(e) => format!("agent {}", e.agent),
        Event::ObserverSilenced(e) => format!("agent {}: its opinions are void", e.agent),
        Event::ObserverHeard(e) => format!("agent {}", e.agent),
        Event::TermBegan(e) => format!("{}: agent {} leads", e.term, e.leader),
        Event::LogicVersionRaised(e) => format!("to {}", e.version),
        Event::MembershipRequested(e) => membership(e),
        Event::CommandRefused(e) => format!("{}: {} ({})", e.command, e.message, e.reason),
        Event::SettingsChanged(e) => settings(e),
        Event::ServiceDeleted(_) => String::new(),
        Event::EndpointRegistered(_)
        | Event::EndpointDeregistered(_)
        | Event::VerdictChanged(_)
        | Event::SelectionChanged(_)
        | Event::MoveBlocked(_)
        | Event::MoveWithheld(_)
        | Event::OverrideSet(_)
        | Event::OverrideEnded(_)
        | Event::AutomationPaused(_)
        | Event::AutomationResumed(_)
        | Event::TtlChanged(_)
        | Event::FailoverConverged(_) => unreachable!("detail handles these"),
    }
}

/// A change of who is in the group, in words.
pub(crate) fn membership(change: &pb::MembershipChange) -> String {
    use pb::membership_change::Change;
    match &change.change {
        Some(Change::Add(new)) => {
            format!("add {} in {} (agent {}) at {}", new.name, new.region, new.id, new.peer_address)
        }
        Some(Change::Promote(id)) => format!("promote agent {id}"),
        Some(Change::Remove(id)) => format!("remove agent {id}"),
        Some(Change::TransferLeadership(id)) => format!("hand leadership to agent {id}"),
        None => "of a kind that this version does not know".to_owned(),
    }
}

fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

fn with_reason(text: String, reason: &str) -> String {
    if reason.is_empty() { text } else { format!("{text}: {reason}") }
}

fn verdict_changed(e: &pb::VerdictChanged) -> String {
    let says = |state| e.evidence.iter().filter(move |one| one.state() == state);
    let agree = match e.after() {
        pb::Verdict::Up => says(pb::ObserverState::Up).count(),
        pb::Verdict::Down => says(pb::ObserverState::Down).count(),
        pb::Verdict::Unknown | pb::Verdict::Unspecified => 0,
    };
    let mut text = format!(
        "{} {} → {} by check {}",
        e.endpoint,
        words::verdict(e.before),
        words::verdict(e.after),
        e.check
    );
    if agree > 0 {
        text = format!("{text}, {agree} of {} observers agree", e.evidence.len());
    }
    match says(pb::ObserverState::Down).find_map(|one| one.failure.as_ref()) {
        Some(failure) if e.after() == pb::Verdict::Down => {
            format!("{text} ({})", self::failure(failure))
        }
        Some(_) | None => text,
    }
}

/// Why a probe failed: `connect refused: no listener`.
pub(crate) fn failure(failure: &pb::Failure) -> String {
    let (phase, kind) = (words::phase(failure.phase), words::failure_kind(failure.kind));
    with_reason(format!("{phase} {kind}"), &failure.detail)
}

fn ttl_changed(e: &pb::TtlChanged) -> String {
    let told = format!(
        "{} → {} cause {}",
        words::seconds(e.before_ms),
        words::seconds(e.after_ms),
        words::ttl_cause(e.cause)
    );
    if e.after_ms >= e.before_ms {
        return told;
    }
    format!("{told}, longer answers are forgotten at {}", words::time_of_day(e.forgotten_at_ms))
}

fn selection_changed(e: &pb::SelectionChanged) -> String {
    format!(
        "{} → {} cause {}{} (epoch {})",
        words::selection(e.before.as_ref()),
        words::selection(e.after.as_ref()),
        words::cause(e.cause),
        all_down(e),
        e.epoch
    )
}

/// What chose an answer where it was not the verdicts.
fn all_down(e: &pb::SelectionChanged) -> String {
    e.all_down.as_ref().map_or(String::new(), |policy| {
        let policy = words::all_down(policy);
        format!(": nothing is up, so the all-down policy chose: {policy}")
    })
}

#[cfg(test)]
mod tests {
    use holdfast_core::PoolName;
    use holdfast_core::spec::AllDown;
    use holdfast_wire::Convert as _;

    use super::*;

    const AT: u64 = 1_795_227_886_123;

    fn record(service: &str, kind: &str, event: Event) -> pb::AuditRecord {
        pb::AuditRecord {
            sequence: 12,
            at_ms: AT,
            service: service.into(),
            kind: kind.into(),
            event: Some(pb::Event { event: Some(event) }),
            hash: "ab".repeat(32),
            index: 90,
            ..pb::AuditRecord::default()
        }
    }

    fn served(pool: &str, endpoint: &str) -> Option<pb::Selection> {
        let one =
            pb::Served { pool: pool.into(), endpoint: endpoint.into(), ..pb::Served::default() };
        Some(pb::Selection {
            active: Some(pool.into()),
            served: vec![one],
            ..pb::Selection::default()
        })
    }

    #[test]
    fn a_move_onto_what_is_down_names_the_policy_that_chose() {
        let after = served("us", "e2")
            .map(|after| pb::Selection { basis: pb::Basis::AllDown as i32, ..after });
        let moved = pb::SelectionChanged {
            epoch: 89,
            before: served("eu", "e1"),
            after,
            cause: pb::Cause::Failed as i32,
            ..pb::SelectionChanged::default()
        };
        for (policy, named) in [
            (AllDown::FailOpen, "fail_open"),
            (AllDown::Fallback(PoolName::new("us").expect("valid")), "fallback us"),
        ] {
            let moved = pb::SelectionChanged { all_down: Some(policy.to_proto()), ..moved.clone() };
            let expected = format!(
                "eu[e1] → us[e2] cause failed: nothing is up, so the all-down policy chose: {named} (epoch 89)"
            );
            assert_eq!(selection_changed(&moved), expected);
        }
    }

    #[test]
    fn a_move_says_from_where_to_where_and_why() {
        let moved = pb::SelectionChanged {
            epoch: 88,
            before: served("eu", "e1"),
            after: served("us", "e2"),
            cause: pb::Cause::Failed as i32,
            ..pb::SelectionChanged::default()
        };
        let record = record("shop", "selection.changed", Event::SelectionChanged(moved));
        let expected =
            "02:24:46.123Z shop selection.changed eu[e1] → us[e2] cause failed (epoch 88)";
        assert_eq!(line(&record, false), expected);
        let wide = line(&record, true);
        assert!(
            wide.starts_with("#12 2026-11-21T02:24:46.123Z shop selection.changed eu[e1]"),
            "{wide}"
        );
        assert!(wide.ends_with("[index 90 request - hash abababababab]"), "{wide}");
    }

    #[test]
    fn a_verdict_counts_its_voices_and_names_the_failure() {
        let failure = pb::Failure {
            phase: pb::Phase::Connect as i32,
            kind: pb::FailureKind::Refused as i32,
            detail: String::new(),
        };
        let down = pb::Evidence {
            state: pb::ObserverState::Down as i32,
            failure: Some(failure),
            ..pb::Evidence::default()
        };
        let up = pb::Evidence { state: pb::ObserverState::Up as i32, ..pb::Evidence::default() };
        let changed = pb::VerdictChanged {
            endpoint: "e1".into(),
            check: "http".into(),
            before: pb::Verdict::Up as i32,
            after: pb::Verdict::Down as i32,
            evidence: vec![down.clone(), down, up],
        };
        let expected = "02:24:46.123Z shop verdict.changed e1 up → down by check http, \
                        2 of 3 observers agree (connect refused)";
        assert_eq!(
            line(&record("shop", "verdict.changed", Event::VerdictChanged(changed)), false),
            expected
        );
    }

    #[test]
    fn what_people_do_carries_their_name_once() {
        let mut applied = record(
            "",
            "zone.applied",
            Event::ZoneApplied(pb::ZoneApplied {
                zone: "example.test".into(),
                digest: "0123456789abcdef".into(),
            }),
        );
        applied.actor = Some(pb::Actor { kind: pb::ActorKind::Person as i32, name: "ada".into() });
        assert_eq!(
            line(&applied, false),
            "02:24:46.123Z cluster zone.applied example.test (0123456789ab) by ada"
        );
        let mut paused = record(
            "",
            "automation.paused",
            Event::AutomationPaused(pb::Pause {
                actor: "ada".into(),
                reason: "storm".into(),
                set_at_ms: AT,
                expires_at_ms: AT + 60_000,
            }),
        );
        paused.actor = applied.actor;
        assert_eq!(
            line(&paused, false),
            "02:24:46.123Z cluster automation.paused by ada until 02:25:46.123Z: storm"
        );
    }
}
