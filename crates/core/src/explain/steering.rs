//! How what is served is shared among clients, put into words: the policy, the candidates among the addresses (and names),
//! and for one client which of them it gets and why. The steps are [`crate::steer`]'s own, made by the choice that answers.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::Reason;
use crate::id::ServiceId;
use crate::spec::{Kind, Policy, Service, Spread};
use crate::steer::{self, Client};
use crate::view::{RecordSet, View};

/// So many candidates or answers are named; the others are counted.
const MOST_NAMED: usize = 16;

/// How the service's answers are chosen, and what a client gets, where one is given; `None` if there is no such service.
pub fn steering(view: &View, id: &ServiceId, client: Option<&Client>) -> Option<Reason> {
    let service = &view.services.get(id)?.spec;
    let here = view.answers.names.get(&service.dns.name);
    let sets = here.filter(|here| !here.refused).map_or(&[][..], |here| &here.sets);
    let of_set = |set| candidates(service, set, client);
    Some(
        Reason::new("steering", service.policy.label(), headline(&service.policy, client))
            .with(sets.iter().filter(|set| steers(set)).filter_map(of_set)),
    )
}

/// Whether clients follow these records to an endpoint by themselves.
fn steers(set: &RecordSet) -> bool {
    let kind = set.records.first().map(|(data, _)| data.kind());
    matches!(kind, Some(Kind::A | Kind::AAAA | Kind::CNAME))
}

fn headline(policy: &Policy, client: Option<&Client>) -> String {
    let then = match policy {
        Policy::Steered(steered) => format!(", then {}", way(steered.then)),
        _ => String::new(),
    };
    let whose = match (client, policy) {
        (Some(Client { length: 0, .. }), _) => ", for nobody in particular".into(),
        (Some(client), _) => format!(", for {}/{}", client.address, client.length),
        (None, Policy::Failover) => ": every client gets the same".into(),
        (None, _) => "; --client ADDRESS tells what one client gets".into(),
    };
    format!("policy {}{then}{whose}", policy.label())
}

fn way(spread: Spread) -> &'static str {
    match spread {
        Spread::All => "all",
        Spread::Weighted => "weighted",
        Spread::Multivalue { .. } => "multivalue",
        Spread::Sticky => "sticky",
    }
}

/// The records of one type that are chosen from, and the choice for a client.
fn candidates(service: &Service, set: &RecordSet, client: Option<&Client>) -> Option<Reason> {
    let kind = set.records.first()?.0.kind().to_string();
    let weighed = matches!(service.policy.spread(), Spread::Weighted | Spread::Sticky);
    let named = set.records.iter().map(|(data, weight)| match weighed {
        true => format!("{data} (weight {weight})"),
        false => data.to_string(),
    });
    let text = format!("{kind} candidates: {}", listed(named));
    let reason = Reason::new("candidates", &kind, text).fact("count", set.records.len());
    Some(reason.with(client.into_iter().flat_map(|client| choice(service, set, client))))
}

/// The steps of the choice, and what it comes to.
fn choice(service: &Service, set: &RecordSet, client: &Client) -> Vec<Reason> {
    let steps = steer::explain(service, set, client).into_iter();
    let mut reasons: Vec<_> =
        steps.map(|step| Reason::new("steering_step", "taken", step)).collect();
    let mut chosen = Vec::new();
    let scope = steer::choose(set, client, |place| chosen.push(set.records[place].0.to_string()));
    let by_chance = matches!(service.policy.spread(), Spread::Weighted | Spread::Multivalue { .. });
    let turn = if by_chance { format!(" at turn {}", client.turn) } else { String::new() };
    let text = format!("this client gets {}{turn}", listed(chosen.into_iter()));
    reasons.push(Reason::new("steering_answer", "chosen", text).fact("scope", scope));
    reasons
}

fn listed(all: impl Iterator<Item = String>) -> String {
    let all: Vec<String> = all.collect();
    let named = all[..all.len().min(MOST_NAMED)].join(", ");
    match all.len().saturating_sub(MOST_NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}
