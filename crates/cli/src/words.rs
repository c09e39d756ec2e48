//! The words for numbers: states, durations and times, the same in every command.

use std::time::Duration;

use holdfast_core::Timestamp;
use holdfast_core::spec::AllDown;
use holdfast_core::time::spelled;
use holdfast_wire::Convert as _;
use holdfast_wire::pb::v1 as pb;

pub(crate) use crate::manifest::duration::parse as parse_duration;

/// Parses a moment: a time in RFC 3339, or a duration before `now`. Errors: what is allowed.
pub(crate) fn parse_moment(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    if let Ok(ago) = parse_duration(text) {
        return Ok(now.before(ago));
    }
    let moment: jiff::Timestamp = text.parse().map_err(|_| {
        format!("{text:?} is not a moment; write 30m for half an hour ago, or 2026-01-31T14:00:00Z")
    })?;
    u64::try_from(moment.as_millisecond())
        .map(Timestamp)
        .map_err(|_| format!("{text:?} is before 1970"))
}

/// A duration in few characters: `850ms`, `3.2s`, `4m05s`, `2h03m`, `5d04h`.
pub(crate) fn duration(ms: u64) -> String {
    spelled(Duration::from_millis(ms))
}

/// A TTL or interval in whole seconds where it is one: `30s`, `1.5s`.
pub(crate) fn seconds(ms: u64) -> String {
    if ms.is_multiple_of(1000) { format!("{}s", ms / 1000) } else { duration(ms) }
}

/// How long ago something was; `-` where it never was.
pub(crate) fn since(now: u64, then: u64) -> String {
    if then == 0 { "-".to_owned() } else { duration(now.saturating_sub(then)) }
}

/// The time of day: `14:01:52.114Z`.
pub(crate) fn time_of_day(at_ms: u64) -> String {
    let text = Timestamp(at_ms).to_string();
    text.split_once('T').map_or(text.clone(), |(_, time)| time.to_owned())
}

/// Date and time: `2026-11-21T14:01:52.114Z`.
pub(crate) fn moment(at_ms: u64) -> String {
    Timestamp(at_ms).to_string()
}

macro_rules! words {
    ($($(#[$doc:meta])* $function:ident: $enumeration:ident, $prefix:literal;)+) => {
        $(
            $(#[$doc])*
            pub(crate) fn $function(number: i32) -> String {
                match pb::$enumeration::try_from(number) {
                    Ok(known) => known.as_str_name().strip_prefix($prefix).unwrap_or_default().to_ascii_lowercase(),
                    Err(_) => format!("kind {number}"),
                }
            }
        )+
    };
}

words! {
    /// A verdict.
    verdict: Verdict, "VERDICT_";
    /// A footing.
    basis: Basis, "BASIS_";
    /// A cause.
    cause: Cause, "CAUSE_";
    /// How a failover came to be told outside.
    convergence_ending: ConvergenceEnding, "CONVERGENCE_ENDING_";
    /// What forbids a move.
    block: BlockReason, "BLOCK_REASON_";
    /// A role in Raft.
    role: Role, "ROLE_";
    /// How a chain was tampered with.
    tampering: TamperingKind, "TAMPERING_KIND_";
    /// Whether decisions move the answer.
    mode: Mode, "MODE_";
    /// Whether the answer goes back by itself.
    failback: Failback, "FAILBACK_";
    /// Why a TTL is what it is.
    ttl_cause: TtlCause, "TTL_CAUSE_";
    /// The part of a probe in which it failed.
    phase: Phase, "PHASE_";
    /// Why a probe failed.
    failure_kind: FailureKind, "FAILURE_KIND_";
}

/// A selection in few characters: `eu[e1,e2]`, `[e1]`, `SERVFAIL`, `nothing`.
pub(crate) fn selection(selection: Option<&pb::Selection>) -> String {
    let Some(selection) = selection else { return "nothing".to_owned() };
    if selection.refused {
        return "SERVFAIL".to_owned();
    }
    let names: Vec<&str> = selection.served.iter().map(|one| one.endpoint.as_str()).collect();
    match (&selection.active, names.is_empty()) {
        (Some(pool), _) => format!("{pool}[{}]", names.join(",")),
        (None, false) => format!("[{}]", names.join(",")),
        (None, true) => "nothing".to_owned(),
    }
}

/// The policy for when nothing is up: `fail_open`, `fallback us`.
pub(crate) fn all_down(policy: &pb::AllDown) -> String {
    let known = AllDown::from_proto(policy.clone());
    known.map_or("one that this version does not know".to_owned(), |policy| policy.to_string())
}

/// An order: `pin eu`, `force_down endpoint/e1`.
pub(crate) fn order(order: Option<&pb::Order>) -> String {
    use pb::order::Order;
    match order.and_then(|order| order.order.as_ref()) {
        Some(Order::Pin(pool)) => format!("pin {pool}"),
        Some(Order::ForceUp(of)) => format!("force_up {}", scope(of)),
        Some(Order::ForceDown(of)) => format!("force_down {}", scope(of)),
        Some(Order::Drain(of)) => format!("drain {}", scope(of)),
        Some(Order::LowerTtlMs(to)) => format!("lower_ttl {}", seconds(*to)),
        None => "an order that this version does not know".to_owned(),
    }
}

fn scope(scope: &pb::Scope) -> String {
    match &scope.scope {
        Some(pb::scope::Scope::Endpoint(name)) => format!("endpoint/{name}"),
        Some(pb::scope::Scope::Pool(name)) => format!("pool/{name}"),
        None => "something".to_owned(),
    }
}

/// `1 service`, `2 services`.
pub(crate) fn count(number: usize, one: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_absolute_or_before_now() {
        let now = Timestamp(10_000_000);
        assert_eq!(parse_moment("30m", now), Ok(Timestamp(8_200_000)));
        assert_eq!(parse_moment("1970-01-01T00:00:01Z", now), Ok(Timestamp(1000)));
        assert!(parse_moment("yesterday", now).is_err());
    }

    #[test]
    fn numbers_become_words() {
        assert_eq!(verdict(pb::Verdict::Up as i32), "up");
        assert_eq!(block(pb::BlockReason::HoldDown as i32), "hold_down");
        assert_eq!(role(99), "kind 99");
        assert_eq!(time_of_day(1_795_227_886_123), "02:24:46.123Z");
        assert_eq!(seconds(30_000), "30s");
        assert_eq!(seconds(1500), "1.5s");
        assert_eq!(since(10_000, 0), "-");
    }

    #[test]
    fn selections_and_orders_are_short() {
        let served = |name: &str| pb::Served { endpoint: name.into(), ..pb::Served::default() };
        let mut chosen = pb::Selection { active: Some("eu".into()), ..pb::Selection::default() };
        chosen.served = vec![served("e1"), served("e2")];
        assert_eq!(selection(Some(&chosen)), "eu[e1,e2]");
        chosen.active = None;
        assert_eq!(selection(Some(&chosen)), "[e1,e2]");
        chosen.refused = true;
        assert_eq!(selection(Some(&chosen)), "SERVFAIL");
        assert_eq!(selection(None), "nothing");
        let pin = pb::Order { order: Some(pb::order::Order::Pin("us".into())) };
        assert_eq!(order(Some(&pin)), "pin us");
    }
}
