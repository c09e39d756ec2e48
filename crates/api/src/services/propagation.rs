//! `CheckPropagation`: what the world says of a name, from every agent, held against what is decided.
//!
//! What is decided is read after the looking: an answer that changed meanwhile is judged by what it has to be by then.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use holdfast_core::DnsName;
use holdfast_core::answer::zone_of;
use holdfast_core::propagation::{
    Asked, Expected, Finding, MAX_TARGETS, ParentSighting, Target, judge, judge_delegation,
    judge_trust, unasked_of,
};
use holdfast_wire::Convert as _;
use holdfast_wire::lookup::{Lookup, sighting_to_proto};
use holdfast_wire::pb::v1 as pb;

use super::named;
use crate::context::Context;
use crate::refusal::Refusal;

/// Looks, and judges. Errors: the name is none of ours, or the request is not possible.
pub(super) async fn check(
    context: &Context,
    request: &pb::CheckPropagationRequest,
) -> Result<pb::CheckPropagationResponse, Refusal> {
    let name: DnsName = named("name", &request.name)?;
    let asked = asked(&request.r#type)?;
    let view = context.latest();
    let apex = zone_of(&view.answers, &name).map(|zone| zone.zone.name.clone());
    let (zone, _) = apex
        .and_then(|apex| view.zones.get(&apex))
        .ok_or_else(|| Refusal::not_found("zone of the name", &request.name))?;
    let unknown = || Refusal::not_found("name", &request.name);
    Expected::of(&view, &name, asked).ok_or_else(unknown)?;
    let targets = resolvers(&request.resolvers)?;
    let lookup =
        Lookup { name: name.clone(), asked, zone: zone.name.clone(), targets, parent: true };
    let looked = context.deps.propagation.look(lookup, zone).await;
    let (view, now) = (context.latest(), context.deps.clock.now());
    let expected = Expected::of(&view, &name, asked).ok_or_else(unknown)?;
    let mut findings = judge(&expected, &looked.sightings, now);
    findings.extend(judge_delegation(zone, &looked.parent));
    let answers = view.answers.zones.get(&zone.name);
    let trust = answers.map(|answers| judge_trust(&zone.name, &answers.signing, &looked.parent));
    let trust = trust.unwrap_or_default();
    findings.extend(trust.findings);
    let notes = trust.notes.into_iter().chain(unasked_of(&looked.parent));
    let told = looked.sightings.iter().map(|one| {
        let agrees = one.seen.as_ref().is_ok_and(|seen| expected.agrees(seen));
        sighting_to_proto(one, agrees)
    });
    Ok(pb::CheckPropagationResponse {
        sightings: told.collect(),
        findings: findings.into_iter().map(finding).collect(),
        expected: expected.allowed.clone(),
        refused: expected.refused,
        over_at_ms: expected.over_at.0,
        parents: servers_in(&looked.parent),
        index: view.answers.index,
        silent_agents: looked.silent,
        notes: notes.collect(),
        parent_sightings: looked.parent.iter().map(ParentSighting::to_proto).collect(),
    })
}

/// How many servers of the parent told something, whomever.
fn servers_in(sightings: &[ParentSighting]) -> u32 {
    let told = sightings.iter().filter_map(|sighting| sighting.told.as_ref().ok());
    let servers: BTreeSet<SocketAddr> = told.map(|delegation| delegation.parent).collect();
    u32::try_from(servers.len()).unwrap_or(u32::MAX)
}

fn asked(text: &str) -> Result<Asked, Refusal> {
    if text.is_empty() {
        return Ok(Asked::A);
    }
    Asked::parse(text)
        .ok_or_else(|| Refusal::field("type", format!("{text:?} is not A, AAAA or CNAME")))
}

fn resolvers(texts: &[String]) -> Result<Vec<Target>, Refusal> {
    if texts.len() > MAX_TARGETS {
        return Err(Refusal::field("resolvers", format!("at most {MAX_TARGETS}")));
    }
    let target = |text: &String| {
        let bare = text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53));
        let address = text.parse().or(bare);
        let problem = || format!("{text:?} is no IP address, with or without a port");
        Ok(Target {
            address: address.map_err(|_| Refusal::field("resolvers", problem()))?,
            server: None,
        })
    };
    texts.iter().map(target).collect()
}

fn finding(finding: Finding) -> pb::PropagationFinding {
    let Finding { fault, subject, text, agents } = finding;
    pb::PropagationFinding { fault: fault.label().to_owned(), subject, text, agents }
}
