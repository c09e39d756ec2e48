//! Why a client gets what it gets, in sentences, from the very choice that answers it.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::latencies::in_words;
use super::rules::{Found, Ground};
use super::steering::Nearness;
use super::{Client, choose};
use crate::spec::{Policy, Service, Spread};
use crate::view::{Pick, RecordSet};

/// Says how a client's records of a set are chosen, step by step.
pub fn explain(service: &Service, set: &RecordSet, client: &Client) -> Vec<String> {
    let mut steps = Vec::new();
    if let (Pick::Steered(steering), Policy::Steered(spec)) = (&set.pick, &service.policy) {
        let route = steering.route(client);
        if !spec.geo.is_empty() {
            let rule = route.geo.rule.and_then(|rule| spec.geo.get(rule));
            let rule = rule.or(spec.geo.iter().find(|rule| rule.matches.is_empty()));
            steps.push(match rule.and_then(|rule| rule.pools.first()) {
                Some(first) => format!("geo: {}: pool {first} first", ground(&route.geo)),
                None => format!("geo: {}: all pools by priority", ground(&route.geo)),
            });
            if let Some(pool) = route.pool {
                steps.push(format!("pool {pool}: the first of these that has something served"));
            }
        }
        if let Some(regions) = &spec.nearest {
            let region = route.region.rule.and_then(|rule| regions.get(rule));
            let ground = ground(&route.region);
            steps.push(match region {
                Some(region) => format!("nearest: {ground}: as region {} measures", region.region),
                None => format!("nearest: {ground}: by the median of all regions"),
            });
            let near = route.group.nearness.as_ref().map(nearness).unwrap_or_default();
            steps.push(format!("{} of least latency{near}", endpoints(route.group.records.len())));
        }
    }
    let mut taken = 0;
    let scope = choose(set, client, |_| taken += 1);
    steps.push(format!(
        "{}: {} of the set's {}",
        way(service.policy.spread()),
        taken,
        set.records.len()
    ));
    steps.push(match scope {
        0 => "scope 0: for everybody".into(),
        scope => format!("scope {scope}: for the client's /{scope}"),
    });
    steps
}

/// The latencies that decided.
fn nearness(Nearness { least, next }: &Nearness) -> String {
    let least = in_words(*least);
    match next {
        Some(next) => format!(": {least}, the next {}", in_words(*next)),
        None => format!(": {least}"),
    }
}

fn endpoints(count: usize) -> String {
    if count == 1 { "1 endpoint".into() } else { format!("{count} endpoints") }
}

fn way(spread: Spread) -> &'static str {
    match spread {
        Spread::All => "all",
        Spread::Weighted => "weighted: by the turn",
        Spread::Multivalue { .. } => "multivalue: rotated by the turn",
        Spread::Sticky => "sticky: by a hash of the client's network",
    }
}

fn ground(found: &Found) -> String {
    match found.ground {
        Ground::Network => format!("rule {} by the client's network", number(found)),
        Ground::Place(one) => format!("rule {} by {one}", number(found)),
        Ground::Closest => format!("region {} by the client's coordinates", number(found)),
        Ground::Nothing => "no rule matches".into(),
    }
}

/// As people count.
fn number(found: &Found) -> usize {
    found.rule.map_or(0, |rule| rule + 1)
}
