//! Why a service is answered as it is: the stored reasoning of its last decision, put into words.
//!
//! Nothing is decided here. The tree is made of what `apply` left in the view: the steps of the decision, the
//! verdicts with the opinions they were counted from, the orders in force and what holds a move back. Every node
//! names its rule, so that a reader can find it in the documentation, and the blocked ones name the next command.

mod convergence;
mod recovery;
mod steering;

pub use recovery::predicted_recovery;
pub use steering::steering;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::decision::{Basis, Selection, Standing, Step};
use crate::id::{AgentId, ServiceId};
use crate::observation::ObserverState;
use crate::quorum::Evidence;
use crate::time::{Timestamp, spelled};
use crate::ttl::{Ttl, TtlCause};
use crate::view::{CheckStatus, EndpointStatus, ServiceStatus, View};

/// One node of the reasoning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// The rule it comes from, such as `quorum` or `hold_down`.
    pub rule: String,
    /// What the rule came to, such as `down` or `blocked`.
    pub outcome: String,
    /// One sentence for people.
    pub text: String,
    /// The facts it rests on, by name.
    pub facts: Vec<(String, String)>,
    /// What it rests on in turn.
    pub children: Vec<Reason>,
}

impl Reason {
    fn new(rule: &str, outcome: &str, text: String) -> Self {
        Self {
            rule: rule.into(),
            outcome: outcome.into(),
            text,
            facts: Vec::new(),
            children: Vec::new(),
        }
    }

    fn fact(mut self, name: &str, value: impl ToString) -> Self {
        self.facts.push((name.into(), value.to_string()));
        self
    }

    fn with(mut self, children: impl IntoIterator<Item = Self>) -> Self {
        self.children.extend(children);
        self
    }
}

/// Explains a service as of `now`, or `None` if there is no such service.
pub fn explain(view: &View, id: &ServiceId, now: Timestamp) -> Option<Reason> {
    let status = view.services.get(id)?;
    let selection = &status.selection;
    let root = Reason::new("selection", selection.basis.label(), headline(id, status, now))
        .fact("epoch", status.epoch)
        .fact("selected_at", status.selected_at)
        .fact("decided_at", status.decided_at)
        .fact("revision", status.revision)
        .fact("name", &status.spec.dns.name)
        .fact("ttl_ms", status.ttl.served.as_millis())
        .with(ttl(status, now))
        .with(convergence::last_convergence(status))
        .with(orders(view, id, now))
        .with(status.steps.iter().map(|step| step_reason(step, now)))
        .with(status.endpoints.iter().map(|endpoint| endpoint_reason(view, endpoint, now)))
        .with(would_change(status));
    Some(root)
}

fn headline(id: &ServiceId, status: &ServiceStatus, now: Timestamp) -> String {
    let since = ago(now, status.selected_at);
    format!("{id} answers {} (epoch {}, {since})", describe(&status.selection), status.epoch)
}

/// What a selection serves, in words.
pub fn describe(selection: &Selection) -> String {
    if selection.refused {
        return "SERVFAIL: nothing is up and the service is fail_closed".into();
    }
    let endpoints: Vec<&str> = selection.served.iter().map(|one| one.endpoint.as_str()).collect();
    if endpoints.is_empty() {
        return "nothing: it has no endpoints".into();
    }
    let listed = endpoints.join(", ");
    let footing = match selection.basis {
        Basis::Unjudged => ", on trust: no verdict yet",
        Basis::Healthy => "",
        Basis::Ordered => ", by an operator's order",
        Basis::AllDown => ", by its all-down policy",
    };
    match &selection.active {
        Some(pool) => format!("pool {pool} ({listed}){footing}"),
        None => format!("{listed}{footing}"),
    }
}

/// Why answers are told for another time than is declared, where they are.
fn ttl(status: &ServiceStatus, now: Timestamp) -> Option<Reason> {
    let Ttl { served, cause, forgotten_at, next, .. } = &status.ttl;
    let (told, declared) = (spelled(*served), status.spec.dns.ttl);
    let meaning = match cause {
        TtlCause::Declared if *served == declared => return None,
        TtlCause::Declared => "no answer of this group is told for less (ttl_floor)",
        _ => cause.meaning(),
    };
    let ends = next.map_or(String::new(), |at| format!(", for another {}", remaining(now, at)));
    let text =
        format!("answers are told for {told} instead of {}: {meaning}{ends}", spelled(declared));
    let reason = Reason::new("ttl", cause.label(), text).fact("ttl_ms", served.as_millis());
    Some(reason.fact("declared_ms", declared.as_millis()).fact("forgotten_at", forgotten_at))
}

fn orders(view: &View, id: &ServiceId, now: Timestamp) -> Vec<Reason> {
    let mut reasons = Vec::new();
    if let Some(pause) = &view.pause {
        let text = format!(
            "automation is paused by {} for another {}: {}",
            pause.actor,
            remaining(now, pause.expires_at),
            pause.reason
        );
        reasons.push(Reason::new("pause", "in_force", text).fact("expires_at", pause.expires_at));
    }
    for order in view.overrides.values().filter(|order| order.service == *id) {
        let text = format!(
            "{} ordered: {}, for another {}: {}",
            order.actor,
            order.order,
            remaining(now, order.expires_at),
            order.reason
        );
        let reason = Reason::new("override", order.order.label(), text);
        reasons.push(reason.fact("override", order.id).fact("expires_at", order.expires_at));
    }
    reasons
}

fn step_reason(step: &Step, now: Timestamp) -> Reason {
    match step {
        Step::Pinned { pool, order } => Reason::new(
            "pin",
            "applied",
            format!("override {order} pins the answer to pool {pool}"),
        ),
        Step::Pool { pool, priority, up, held, out, min_up, standing } => {
            let text = format!(
                "pool {pool} is {}: {up} up, {held} held, {out} out, {min_up} needed",
                standing.label()
            );
            let meaning = match standing {
                Standing::Up => "may be moved onto",
                Standing::Unsure => "may be kept, not moved onto",
                Standing::Down => "is left when another is up",
            };
            Reason::new("pool", standing.label(), text)
                .fact("priority", priority)
                .fact("meaning", meaning)
        }
        Step::Wanted { active, endpoints } => {
            let what = active.as_ref().map_or(String::new(), |pool| format!(" of pool {pool}"));
            Reason::new(
                "wanted",
                "decided",
                format!("the verdicts ask for {endpoints} endpoint(s){what}"),
            )
        }
        Step::AllDown { policy } => {
            let text = format!("nothing is up: the policy is {policy}");
            Reason::new("all_down", policy.label(), text)
        }
        Step::Blocked { reason, until } => {
            let until_text =
                until.map_or(String::new(), |at| format!(" for another {}", remaining(now, at)));
            let text = format!("the move is held back by {}{until_text}", reason.label());
            let reason =
                Reason::new(reason.label(), "blocked", text).fact("next_step", reason.next_step());
            until.map_or(reason.clone(), |at| reason.fact("until", at))
        }
        Step::Kept => {
            Reason::new("move", "kept", "the latest evaluation leaves the answer as it is".into())
        }
        Step::Moved { cause } => {
            let text = format!("the latest evaluation changed the answer: {}", cause.label());
            Reason::new("move", "moved", text).fact("cause", cause.label())
        }
    }
}

fn endpoint_reason(view: &View, endpoint: &EndpointStatus, now: Timestamp) -> Reason {
    let mut notes = String::new();
    if endpoint.stale {
        notes.push_str(", held: too few observers are fresh");
    }
    if endpoint.partial {
        notes.push_str(", partial: observers disagree");
    }
    let text = format!(
        "endpoint {} is {} ({}){notes}",
        endpoint.endpoint,
        endpoint.verdict.label(),
        ago(now, endpoint.since)
    );
    Reason::new("verdict", endpoint.verdict.label(), text)
        .fact("since", endpoint.since)
        .with(endpoint.checks.iter().map(|check| check_reason(view, check, now)))
}

fn check_reason(view: &View, check: &CheckStatus, now: Timestamp) -> Reason {
    let tally = &check.tally;
    let votes = |state| tally.regions.iter().filter(|region| region.vote() == state).count();
    let doubted = tally.veto && tally.regions.iter().any(|region| region.down > 0);
    let veto = if doubted { "; the healthy share vetoes a verdict of down" } else { "" };
    let text = format!(
        "check {} is {}: regions {} down, {} up, {} of {} needed{veto}",
        check.check,
        check.verdict.label(),
        votes(ObserverState::Down),
        votes(ObserverState::Up),
        tally.needed,
        tally.regions.len(),
    );
    let regions = tally.regions.iter().map(|region| {
        let text = format!(
            "region {} votes {}: {} down, {} up of {} observers",
            region.region,
            region.vote().label(),
            region.down,
            region.up,
            region.observers
        );
        let voices = check.opinions.iter().filter(|opinion| opinion.region == region.region);
        Reason::new("region", region.vote().label(), text)
            .with(voices.map(|opinion| opinion_reason(view, opinion, now)))
    });
    Reason::new("quorum", check.verdict.label(), text).with(regions)
}

fn opinion_reason(view: &View, opinion: &Evidence, now: Timestamp) -> Reason {
    let name = agent_name(view, opinion.agent);
    let failure = opinion.failure.as_ref().map_or(String::new(), |failure| format!(" ({failure})"));
    let text =
        format!("{name} says {}{failure}, {}", opinion.state.label(), ago(now, opinion.since));
    Reason::new("opinion", opinion.state.label(), text)
        .fact("agent", opinion.agent)
        .fact("boot", opinion.boot)
        .fact("report", opinion.sequence)
        .fact("recorded_at", opinion.recorded_at)
}

fn agent_name(view: &View, id: AgentId) -> String {
    view.agents.get(&id).map_or_else(|| format!("agent {id}"), |agent| agent.name.to_string())
}

/// What would change the answer, for somebody who wants it changed.
fn would_change(status: &ServiceStatus) -> Option<Reason> {
    let text = match &status.blocked {
        Some(blocked) => format!(
            "it would answer {} but for {}",
            describe(&blocked.wanted),
            blocked.reason.label()
        ),
        None if status.selection.basis == Basis::AllDown => {
            "the first endpoint that is up again is served at once".into()
        }
        None => return None,
    };
    Some(Reason::new("would_change", "hint", text))
}

fn ago(now: Timestamp, then: Timestamp) -> String {
    if then.0 == 0 {
        return "since the beginning".into();
    }
    format!("for {}", spelled(now.since(then)))
}

fn remaining(now: Timestamp, then: Timestamp) -> String {
    spelled(then.since(now))
}
