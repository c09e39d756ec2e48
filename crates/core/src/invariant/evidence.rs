//! S3: every automatic decision carries valid evidence; here it is counted again.
//!
//! Source: the safety page, "from sample to verdict". Two halves: a verdict of up or down must follow from the
//! opinions kept with it (own arithmetic over the configured observers, not that of `quorum`), and a move that
//! counts as automatic must follow such a verdict: a departure on something that is down, a return on something
//! that is up, and never onto what is down.
//!
//! Where the rule itself changed in the same entry or later in the same history (a declaration, an agent that came
//! or went), the opinions were counted under a rule that the view may no longer show, and are not counted again. A
//! check with heartbeats has no opinions.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;

use super::{Property, Violation, broken};
use crate::audit::Record;
use crate::decision::{Basis, Cause, Selection};
use crate::event::Event;
use crate::id::{CheckName, EndpointName, RegionName, ServiceId};
use crate::observation::ObserverState;
use crate::quorum::{self, Verdict};
use crate::spec::{CheckKind, Quorum, RegionRule};
use crate::view::View;

/// The verdicts that one node's records have established.
#[derive(Debug, Default)]
pub struct Evidence {
    /// None where a declaration may have made an endpoint another one.
    verdicts: BTreeMap<(ServiceId, EndpointName), Option<Verdict>>,
    /// Whether the records began with the first one, so that a verdict not seen was never given.
    complete: Option<bool>,
}

/// Where in a history the rules last changed that verdicts are counted under: the view shows the last ones only.
struct Rules<'a> {
    declared: BTreeMap<&'a ServiceId, u64>,
    observers: u64,
}

impl<'a> Rules<'a> {
    fn changed_in(records: &'a [Record]) -> Self {
        let mut rules = Self { declared: BTreeMap::new(), observers: 0 };
        for record in records {
            match (&record.content.event, &record.content.service) {
                (Event::ServiceApplied { .. } | Event::ServiceDeleted, Some(service)) => {
                    rules.declared.insert(service, record.content.index);
                }
                (Event::AgentAdmitted { .. } | Event::AgentRemoved { .. }, _) => {
                    rules.observers = record.content.index;
                }
                _ => {}
            }
        }
        rules
    }

    /// Whether what was decided for a service at this index was decided under the rules that the view shows.
    fn still_hold(&self, service: &ServiceId, index: u64) -> bool {
        index > self.observers && self.declared.get(service).is_none_or(|&changed| index > changed)
    }
}

impl Evidence {
    /// Takes note of a node's records. Errors: a verdict that its evidence does not bear out, or an automatic move
    /// that no verdict bears out.
    pub fn check(&mut self, view: &View, records: &[Record]) -> Result<(), Violation> {
        if let Some(first) = records.first() {
            self.complete.get_or_insert(first.sequence == 1);
        }
        let rules = Rules::changed_in(records);
        for record in records {
            let Some(service) = &record.content.service else { continue };
            match &record.content.event {
                Event::VerdictChanged { endpoint, check, to, evidence, .. } => {
                    if rules.still_hold(service, record.content.index) {
                        let what =
                            |why| format!("{service}/{endpoint} {} by {check}: {why}", to.label());
                        let counted = recount(view, (service, check), *to, evidence);
                        counted.map_err(|why| broken(Property::S3, what(why)))?;
                    }
                    self.verdicts.insert((service.clone(), endpoint.clone()), Some(*to));
                }
                Event::ServiceApplied { .. } => {
                    let known = self.verdicts.iter_mut().filter(|((of, _), _)| of == service);
                    known.for_each(|(_, verdict)| *verdict = None);
                }
                Event::ServiceDeleted => self.verdicts.retain(|(of, _), _| of != service),
                Event::EndpointDeregistered { endpoint } => {
                    self.verdicts.remove(&(service.clone(), endpoint.clone()));
                }
                Event::SelectionChanged { from, to, cause, .. } => {
                    self.check_move(service, *cause, (from, to))?;
                }
                _ => {}
            }
        }
        rules.declared.into_keys().for_each(|service| self.learn(view, service));
        Ok(())
    }

    /// Takes the verdicts of a service that was declared from the view behind the declaration.
    fn learn(&mut self, view: &View, service: &ServiceId) {
        self.verdicts.retain(|(of, _), _| of != service);
        let status = view.services.get(service).into_iter();
        let known = status.flat_map(|status| &status.endpoints);
        let known = known.map(|one| ((service.clone(), one.endpoint.clone()), Some(one.verdict)));
        self.verdicts.extend(known);
    }

    fn verdict(&self, service: &ServiceId, endpoint: &EndpointName) -> Option<Verdict> {
        match self.verdicts.get(&(service.clone(), endpoint.clone())) {
            Some(known) => *known,
            None => (self.complete == Some(true)).then_some(Verdict::Unknown),
        }
    }

    fn check_move(
        &self,
        service: &ServiceId,
        cause: Cause,
        (from, to): (&Selection, &Selection),
    ) -> Result<(), Violation> {
        let any = |of: &Selection, wanted| {
            of.served.iter().any(|s| self.verdict(service, &s.endpoint).is_none_or(|v| v == wanted))
        };
        let fail = |what| {
            Err(broken(Property::S3, format!("{service} moved as {} {what}", cause.label())))
        };
        match cause {
            Cause::Failed if !any(from, Verdict::Down) => {
                return fail(format!("although nothing it served is down: {:?}", from.served));
            }
            // What an operator forces up is up by order: the order is the evidence.
            Cause::Recovered if to.basis != Basis::Ordered && !any(to, Verdict::Up) => {
                return fail(format!("although nothing it serves is up: {:?}", to.served));
            }
            Cause::Failed | Cause::Recovered => {}
            Cause::Declared | Cause::Ordered | Cause::Judged => return Ok(()),
        }
        if matches!(to.basis, Basis::AllDown | Basis::Ordered) {
            return Ok(());
        }
        let stayed =
            |name: &EndpointName| from.served.iter().any(|served| served.endpoint == *name);
        let onto_dead = to.served.iter().find(|served| {
            !stayed(&served.endpoint)
                && self.verdict(service, &served.endpoint) == Some(Verdict::Down)
        });
        match onto_dead {
            Some(dead) => fail(format!("onto {}, which is down", dead.endpoint)),
            None => Ok(()),
        }
    }
}

/// One region's observers and what they say.
#[derive(Default)]
struct Region {
    observers: usize,
    up: usize,
    down: usize,
}

/// Counts evidence again. Errors: why it does not bear the verdict out.
fn recount(
    view: &View,
    (service, check): (&ServiceId, &CheckName),
    verdict: Verdict,
    evidence: &[quorum::Evidence],
) -> Result<(), &'static str> {
    let Some(status) = view.services.get(service) else { return Ok(()) };
    let Some(declared) = status.spec.checks.iter().find(|c| c.name == *check) else {
        return Err("the check is not declared");
    };
    if verdict == Verdict::Unknown || matches!(declared.kind, CheckKind::Heartbeat(_)) {
        return Ok(());
    }
    let mut regions: BTreeMap<&RegionName, Region> = BTreeMap::new();
    for agent in view.agents.values().filter(|agent| agent.observer) {
        regions.entry(&agent.region).or_default().observers += 1;
    }
    let mut seen = BTreeSet::new();
    for opinion in evidence {
        let configured = view.agents.get(&opinion.agent).filter(|agent| agent.observer);
        if configured.is_none_or(|agent| agent.region != opinion.region) {
            return Err("an opinion is not of a configured observer");
        }
        if !seen.insert(opinion.agent) {
            return Err("an observer is counted twice");
        }
        let region = regions.entry(&opinion.region).or_default();
        match opinion.state {
            ObserverState::Up => region.up += 1,
            ObserverState::Down => region.down += 1,
            ObserverState::Unknown => {}
        }
    }
    bears_out(status.spec.quorum, &regions, verdict)
}

fn bears_out(
    rule: Quorum,
    regions: &BTreeMap<&RegionName, Region>,
    verdict: Verdict,
) -> Result<(), &'static str> {
    let of = |region: &Region| if verdict == Verdict::Up { region.up } else { region.down };
    let votes = regions.values().filter(|region| of(region) * 2 > region.observers).count();
    let all = regions.len();
    let enough = match rule.regions {
        RegionRule::Any => votes >= 1,
        RegionRule::Majority => votes * 2 > all,
        RegionRule::All => votes == all,
        RegionRule::AtLeast(k) => votes >= usize::from(k).min(all),
        RegionRule::Percent(p) => votes * 100 >= all * usize::from(p),
    };
    if votes == 0 || !enough {
        return Err("too few regions say so");
    }
    let (up, down) = regions.values().fold((0, 0), |(up, down), r| (up + r.up, down + r.down));
    let share = up * 100 / (up + down).max(1);
    if verdict == Verdict::Down && share > usize::from(rule.veto_percent) {
        return Err("the healthy-share veto stands against it");
    }
    Ok(())
}
