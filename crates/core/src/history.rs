//! How the present answer came about: the audit records of the entry that last changed it, put into words.
//!
//! `explain` tells how a service stands; this tells what happened. Both put into words what `apply` recorded, and
//! neither decides anything.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::audit::Record;
use crate::decision::Cause;
use crate::event::Event;
use crate::explain::{Reason, describe};
use crate::quorum::Evidence;
use crate::view::View;

/// Tells the change of selection among `records`, which all stem from one log entry, with the verdicts that led to
/// it; `None` if there is no such change among them.
pub fn recount(view: &View, records: &[Record]) -> Option<Reason> {
    records.iter().find_map(|record| {
        let Event::SelectionChanged { epoch, from, to, cause, trouble_since, all_down } =
            &record.content.event
        else {
            return None;
        };
        let why = match cause {
            Cause::Declared => "the declaration changed",
            Cause::Ordered => "an operator's order began or ended",
            Cause::Failed => "what was served is down",
            Cause::Recovered => "something better is up again",
            Cause::Judged => "a new endpoint was found up",
        };
        let lasted = trouble_since.map_or(String::new(), |since| {
            format!(
                ", {} ms after the first failed probe",
                record.content.at.since(since).as_millis()
            )
        });
        let moved = if from.served.is_empty() && !from.refused {
            format!("it began to answer {},", describe(to))
        } else {
            format!("it moved from {} to {}", describe(from), describe(to))
        };
        let policy = all_down.as_ref().filter(|_| !to.refused);
        let policy = policy.map_or(String::new(), |policy| format!(" ({policy})"));
        let text = format!("{moved}{policy} because {why}{lasted}");
        let mut reason = fact_node("moved", cause.label(), text, record);
        reason.facts.push(("epoch".into(), epoch.to_string()));
        reason.children = verdicts(view, records);
        Some(reason)
    })
}

fn verdicts(view: &View, records: &[Record]) -> Vec<Reason> {
    let told = records.iter().filter_map(|record| {
        let Event::VerdictChanged { endpoint, check, from, to, evidence } = &record.content.event
        else {
            return None;
        };
        let text =
            format!("{endpoint} went from {} to {} by check {check}", from.label(), to.label());
        let mut reason = fact_node("verdict", to.label(), text, record);
        reason.children = evidence.iter().map(|opinion| voice(view, opinion)).collect();
        Some(reason)
    });
    told.collect()
}

fn voice(view: &View, opinion: &Evidence) -> Reason {
    let name = view
        .agents
        .get(&opinion.agent)
        .map_or_else(|| format!("agent {}", opinion.agent), |agent| agent.name.to_string());
    let failure = opinion.failure.as_ref().map_or(String::new(), |failure| format!(": {failure}"));
    let text = format!("{name} in {} said {}{failure}", opinion.region, opinion.state.label());
    Reason {
        rule: "opinion".into(),
        outcome: opinion.state.label().into(),
        text,
        facts: Vec::from([
            ("report".into(), opinion.sequence.to_string()),
            ("since".into(), opinion.since.to_string()),
        ]),
        children: Vec::new(),
    }
}

fn fact_node(rule: &str, outcome: &str, text: String, record: &Record) -> Reason {
    Reason {
        rule: rule.into(),
        outcome: outcome.into(),
        text,
        facts: Vec::from([
            ("record".into(), record.sequence.to_string()),
            ("at".into(), record.content.at.to_string()),
            ("index".into(), record.content.index.to_string()),
        ]),
        children: Vec::new(),
    }
}
