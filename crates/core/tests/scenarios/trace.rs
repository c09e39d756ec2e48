//! From what happened to the lines of a trace.

use std::fmt::Write as _;
use std::time::Duration;

use holdfast_core::answer::{Answer, AnswerData, Code};
use holdfast_core::audit::Record;
use holdfast_core::command::{Outcome, Reply};
use holdfast_core::decision::{Basis, Selection};
use holdfast_core::event::Event;
use holdfast_core::explain::Reason;
use holdfast_core::quorum::Evidence;
use holdfast_core::spec::RecordData;
use holdfast_core::view::View;
use holdfast_core::{AgentId, Timestamp};

/// When every script begins.
pub(crate) const START: Timestamp = Timestamp(1_767_225_600_000);

/// `1m30s`, `500ms`; `0s` for nothing.
pub(crate) fn span(duration: Duration) -> String {
    let mut ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (unit, length) in
        [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)]
    {
        if ms >= length {
            write!(text, "{}{unit}", ms / length).expect("a text takes it");
            ms %= length;
        }
    }
    if text.is_empty() { "0s".into() } else { text }
}

/// A moment, counted from the start of the script.
pub(crate) fn moment(at: Timestamp) -> String {
    format!("[{}]", span(at.since(START)))
}

/// `eu[e1 e2]`, `[e1]` without a pool in charge, with the footing where it is not plain health.
pub(crate) fn selection(selection: &Selection) -> String {
    if selection.refused {
        return "SERVFAIL".into();
    }
    let endpoints: Vec<&str> = selection.served.iter().map(|one| one.endpoint.as_str()).collect();
    let pool = selection.active.as_ref().map_or("", |pool| pool.as_str());
    let basis = match selection.basis {
        Basis::Healthy => "",
        Basis::Unjudged => " on trust",
        Basis::Ordered => " by order",
        Basis::AllDown => " all down",
    };
    if endpoints.is_empty() {
        "nothing".into()
    } else {
        format!("{pool}[{}]{basis}", endpoints.join(" "))
    }
}

fn agent_name(view: &View, id: AgentId) -> String {
    view.agents.get(&id).map_or_else(|| format!("agent {id}"), |agent| agent.name.to_string())
}

fn evidence(view: &View, evidence: &[Evidence]) -> String {
    let opinion = |one: &Evidence| {
        let failure =
            one.failure.as_ref().map_or(String::new(), |f| format!(" {}", f.kind.label()));
        format!("{} {}{failure}", agent_name(view, one.agent), one.state.label())
    };
    evidence.iter().map(opinion).collect::<Vec<_>>().join(", ")
}

/// The line that a record makes; `None` for what the outcome says already.
pub(crate) fn record(view: &View, record: &Record) -> Option<String> {
    let service = record.content.service.as_ref().map_or(String::new(), ToString::to_string);
    Some(match &record.content.event {
        Event::VerdictChanged { endpoint, check, from, to, evidence: opinions } => {
            let counted = evidence(view, opinions);
            let from = from.label();
            let head = format!("verdict {service}/{endpoint} {from} -> {} by {check}", to.label());
            if counted.is_empty() { head } else { format!("{head} ({counted})") }
        }
        Event::SelectionChanged { epoch, from, to, cause, all_down, .. } => {
            let (from, to) = (selection(from), selection(to));
            let by = all_down.as_ref().map_or(String::new(), |policy| format!(" by {policy}"));
            format!("answer {service} {from} -> {to} cause={}{by} epoch={epoch}", cause.label())
        }
        Event::MoveBlocked { reason, wanted } => {
            format!("blocked {service} by {}, wants {}", reason.label(), selection(wanted))
        }
        Event::MoveWithheld { wanted } => {
            format!("withheld {service}, wants {}", selection(wanted))
        }
        Event::OverrideSet(order) => format!(
            "order {} on {service}: {} by {} until {}",
            order.id,
            order.order,
            order.actor,
            moment(order.expires_at)
        ),
        Event::OverrideEnded { order, by, reason } => {
            format!("order {} on {service} ended by {by}: {reason}", order.id)
        }
        Event::AutomationPaused(pause) => {
            format!("paused by {} until {}", pause.actor, moment(pause.expires_at))
        }
        Event::AutomationResumed { by, reason } => format!("resumed by {by}: {reason}"),
        Event::ObserverSilenced { agent } => format!("silent {}", agent_name(view, *agent)),
        Event::ObserverHeard { agent } => format!("heard {}", agent_name(view, *agent)),
        Event::AgentRemoved { agent } => format!("removed agent {agent}"),
        Event::TermBegan { term, leader } => {
            format!("term {term} of {}", agent_name(view, *leader))
        }
        Event::MembershipRequested(change) => format!("requested: {change}"),
        Event::LogicVersionRaised { version } => format!("logic version {version}"),
        Event::ZoneSigningChanged { zone, change, tags, .. } => {
            format!("keys of {zone}: {change} {tags:?}")
        }
        Event::FailoverConverged(c) => format!(
            "{service} {} outside: {} of {} name servers, epoch={}",
            c.ending.label(),
            c.servers.agreed,
            c.servers.asked,
            c.epoch
        ),
        Event::ZoneApplied { .. }
        | Event::ZoneDeleted { .. }
        | Event::ZoneUpdated { .. }
        | Event::TsigKeyApplied { .. }
        | Event::TsigKeyRemoved { .. }
        | Event::ServiceApplied { .. }
        | Event::ServiceDeleted
        | Event::EndpointRegistered { .. }
        | Event::EndpointDeregistered { .. }
        | Event::AgentAdmitted { .. }
        | Event::SettingsChanged { .. }
        | Event::TtlChanged { .. }
        | Event::ZoneCopied { .. }
        | Event::ZoneStale { .. }
        | Event::ZoneFresh { .. }
        | Event::CommandRefused { .. } => return None,
    })
}

/// The line that an outcome makes; `None` for "done".
pub(crate) fn outcome(outcome: &Outcome) -> Option<String> {
    match &outcome.result {
        Ok(Reply::Done | Reply::Ordered { .. }) => None,
        Ok(Reply::Stored { revision, changed: true }) => {
            Some(format!("stored revision={revision}"))
        }
        Ok(Reply::Stored { revision, changed: false }) => {
            Some(format!("unchanged revision={revision}"))
        }
        Err(rejection) => Some(format!("refused {}: {rejection}", rejection.reason())),
    }
}

/// The lines of a DNS answer.
pub(crate) fn answer(answer: &Answer) -> Vec<String> {
    let code = match answer.code {
        Code::NoError => "NOERROR",
        Code::NameError => "NXDOMAIN",
        Code::Refused => "REFUSED",
        Code::ServerFailure => "SERVFAIL",
        Code::NameTooLong => "YXDOMAIN",
    };
    let mut lines = vec![code.to_owned()];
    for record in answer.answers.iter().chain(&answer.authority) {
        let data = match &record.data {
            AnswerData::Record(RecordData::A(ip)) => format!("A {ip}"),
            AnswerData::Record(RecordData::Aaaa(ip)) => format!("AAAA {ip}"),
            AnswerData::Record(RecordData::Cname(name)) => format!("CNAME {name}"),
            AnswerData::Record(RecordData::Srv { weight, port, target, .. }) => {
                format!("SRV {weight} {port} {target}")
            }
            AnswerData::Record(RecordData::Ns(name)) => format!("NS {name}"),
            AnswerData::Record(data) => format!("{} {data}", data.kind()),
            AnswerData::Soa { serial, minimum, .. } => format!("SOA {serial} {}", span(*minimum)),
        };
        lines.push(format!("  {} {} {data}", record.name, span(record.ttl)));
    }
    lines
}

/// The lines of a reason and what it rests on.
pub(crate) fn reason(reason: &Reason, depth: usize, lines: &mut Vec<String>) {
    let indent = "  ".repeat(depth);
    lines.push(format!("{indent}{} {}: {}", reason.rule, reason.outcome, reason.text));
    for child in &reason.children {
        self::reason(child, depth + 1, lines);
    }
}
