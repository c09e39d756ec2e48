//! Decides for the services that an entry touched: opinions to verdicts, verdicts to a selection, and the events
//! that say so. At most one change of selection per service and entry, so that an entry's index names its epoch.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::{AgentState, CheckState, EndpointState, ServiceState, State, Touch, Work};
use crate::decision::{Basis, BlockReason, Cause, Footing, Selection};
use crate::event::Event;
use crate::id::{AgentId, EndpointName, Epoch, OverrideId, PoolName, ServiceId};
use crate::observation::ObserverState;
use crate::overrides::{Order, Override, Scope};
use crate::quorum::{self, Evidence, Tally, Verdict};
use crate::selection::{Blocked, Brakes, Decision, Inputs, decide};
use crate::spec::{CheckKind, Service};
use crate::time::Timestamp;

/// When a service has something due: the end of what holds its move back.
pub(super) fn due(service: &ServiceState) -> Option<Timestamp> {
    service.blocked.as_ref().and_then(|blocked| blocked.until)
}

impl State {
    pub(super) fn evaluate_touched(&mut self, work: &mut Work<'_>) {
        for (id, touch) in core::mem::take(&mut work.touched) {
            self.judge(work, &id);
            self.decide(work, &id, touch);
            self.published.mark(&id);
        }
    }

    /// Brings the verdicts of a service up to date with its opinions.
    fn judge(&mut self, work: &mut Work<'_>, id: &ServiceId) {
        let at = self.data.at;
        let Some(service) = self.data.services.get_mut(id) else { return };
        let spec = service.spec.clone();
        for (name, endpoint) in &mut service.endpoints {
            let before = endpoint.verdict;
            let mut decisive = None;
            for (check, state) in &mut endpoint.checks {
                let was = state.verdict;
                if let Some(verdict) = tally_of(&spec, state, &self.data.agents).result
                    && !is_heartbeat(&spec, check)
                {
                    state.verdict = verdict;
                }
                if state.verdict != was || decisive.is_none() && state.verdict == Verdict::Down {
                    decisive = Some(check.clone());
                }
            }
            let after = verdict_over(endpoint.checks.values().map(|check| check.verdict));
            if after == before {
                continue;
            }
            endpoint.verdict = after;
            endpoint.since = at;
            let Some(check) = decisive.or_else(|| endpoint.checks.keys().next().cloned()) else { continue };
            let evidence = evidence_of(&endpoint.checks[&check], &self.data.agents);
            let endpoint = name.clone();
            let event = Event::VerdictChanged { endpoint, check, from: before, to: after, evidence };
            work.say_of_itself(Some(id), event);
        }
    }

    /// Decides what a service serves.
    fn decide(&mut self, work: &mut Work<'_>, id: &ServiceId, touch: Touch) {
        let at = self.data.at;
        let group_full_until = self.group_full_until();
        let Some(service) = self.data.services.get_mut(id) else { return };
        forget_old_moves(service, at);
        let orders: Vec<&Override> =
            self.data.overrides.values().filter(|order| order.service == *id).collect();
        let footings = footings_of(service, &orders);
        let inputs = Inputs {
            spec: &service.spec,
            automatic: &service.automatic,
            footings: &footings,
            pin: pin_of(&orders),
            current: &service.selection,
            last_good: service.last_good.as_ref(),
            brakes: Brakes {
                at,
                paused_until: self.data.pause.as_ref().map(|pause| pause.expires_at),
                warm_up_until: self.data.warm_up_until,
                moves: &service.moves,
                group_full_until,
            },
        };
        let decision = decide(&inputs);
        self.take(work, id, touch, decision);
    }

    /// Takes a decision: stores it, bumps the epoch where the answer changed, and says what happened.
    fn take(&mut self, work: &mut Work<'_>, id: &ServiceId, touch: Touch, decision: Decision) {
        let at = self.data.at;
        let Some(service) = self.data.services.get_mut(id) else { return };
        let Decision { automatic, selection, cause, blocked, steps } = decision;
        if let Some(due) = due(service) {
            self.due.remove(&(due, id.clone()));
        }
        note_blocked(work, id, service.blocked.as_ref(), blocked.as_ref());
        let cause = cause.unwrap_or(touch.cause());
        let changed = !selection.same_answer(&service.selection);
        let from = core::mem::replace(&mut service.selection, selection);
        service.automatic = automatic;
        service.blocked = blocked;
        service.steps = steps;
        service.decided_at = at;
        if matches!(service.selection.basis, Basis::Healthy | Basis::Ordered) {
            service.last_good = Some(service.selection.clone());
        }
        if let Some(due) = due(service) {
            self.due.insert((due, id.clone()));
        }
        if !changed {
            return;
        }
        service.epoch = Epoch(work.index);
        service.selected_at = at;
        if cause.is_automatic() {
            service.moves.push(at);
            self.data.moves.push_back(at);
        }
        let event = Event::SelectionChanged {
            epoch: service.epoch,
            trouble_since: trouble_since(service, &from, cause),
            from,
            to: service.selection.clone(),
            cause,
        };
        let name = service.spec.dns.name.clone();
        work.say_of_itself(Some(id), event);
        self.touch_zone(&name, work.index);
    }

    /// When the group's budget has room again, if it has none.
    fn group_full_until(&mut self) -> Option<Timestamp> {
        let at = self.data.at;
        let window = self.data.settings.window;
        while self.data.moves.front().is_some_and(|&moved| moved + window <= at) {
            self.data.moves.pop_front();
        }
        let max = self.data.settings.max_moves? as usize;
        let over = self.data.moves.len().checked_sub(max)?;
        let oldest = self.data.moves.get(over).or(self.data.moves.back())?;
        Some(*oldest + window)
    }
}

pub(super) fn is_heartbeat(spec: &Service, check: &crate::id::CheckName) -> bool {
    spec.checks.iter().any(|c| c.name == *check && matches!(c.kind, CheckKind::Heartbeat(_)))
}

/// How the opinions on one check add up, over the configured observers.
pub(super) fn tally_of(
    spec: &Service,
    check: &CheckState,
    agents: &BTreeMap<AgentId, AgentState>,
) -> Tally {
    let observers = agents.values().filter(|state| state.agent.observer);
    let opinions = observers.map(|state| {
        let opinion = check.opinions.get(&state.agent.id);
        (&state.agent.region, opinion.map_or(ObserverState::Unknown, |opinion| opinion.state))
    });
    quorum::tally(&spec.quorum, opinions)
}

/// An endpoint is down when any check is, up when all are.
fn verdict_over(checks: impl Iterator<Item = Verdict>) -> Verdict {
    let mut all_up = true;
    let mut any = false;
    for verdict in checks {
        any = true;
        match verdict {
            Verdict::Down => return Verdict::Down,
            Verdict::Unknown => all_up = false,
            Verdict::Up => {}
        }
    }
    if any && all_up { Verdict::Up } else { Verdict::Unknown }
}

/// The opinions of the configured observers that have one.
pub(super) fn evidence_of(
    check: &CheckState,
    agents: &BTreeMap<AgentId, AgentState>,
) -> Vec<Evidence> {
    let evidence = |(agent, opinion): (&AgentId, &super::OpinionState)| {
        let state = agents.get(agent)?;
        Some(Evidence {
            agent: *agent,
            region: state.agent.region.clone(),
            boot: opinion.boot,
            sequence: opinion.sequence,
            state: opinion.state,
            failure: opinion.failure.clone(),
            since: opinion.since,
            recorded_at: opinion.recorded_at,
        })
    };
    check.opinions.iter().filter_map(evidence).collect()
}

fn forget_old_moves(service: &mut ServiceState, at: Timestamp) {
    let rules = &service.spec.failover;
    let kept = rules.window.max(rules.cooldown);
    service.moves.retain(|&moved| moved + kept > at);
}

/// What each endpoint counts as.
fn footings_of(service: &ServiceState, orders: &[&Override]) -> BTreeMap<EndpointName, Footing> {
    let footing = |(name, state): (&EndpointName, &EndpointState)| {
        let pool = service.spec.endpoint(name).map(|(pool, _)| &pool.name);
        let mut footing = Footing {
            judged: state.verdict,
            up_since: (state.verdict == Verdict::Up).then_some(state.since),
            ..Footing::default()
        };
        for order in orders {
            match &order.order {
                Order::ForceUp(scope) if covers(scope, name, pool) => {
                    footing.forced = Some(Verdict::Up);
                }
                Order::ForceDown(scope) if covers(scope, name, pool) => {
                    footing.forced = Some(Verdict::Down);
                }
                Order::Drain(scope) if covers(scope, name, pool) => footing.drained = true,
                _ => {}
            }
        }
        (name.clone(), footing)
    };
    service.endpoints.iter().map(footing).collect()
}

fn covers(scope: &Scope, endpoint: &EndpointName, pool: Option<&PoolName>) -> bool {
    match scope {
        Scope::Endpoint(name) => name == endpoint,
        Scope::Pool(name) => Some(name) == pool,
    }
}

/// The pin in force: the last one set.
fn pin_of<'a>(orders: &[&'a Override]) -> Option<(&'a PoolName, OverrideId)> {
    orders.iter().rev().find_map(|order| match &order.order {
        Order::Pin(pool) => Some((pool, order.id)),
        _ => None,
    })
}

fn note_blocked(work: &mut Work<'_>, id: &ServiceId, before: Option<&Blocked>, now: Option<&Blocked>) {
    let Some(now) = now else { return };
    let same = before.is_some_and(|b| b.reason == now.reason && b.wanted.same_answer(&now.wanted));
    if same {
        return;
    }
    let wanted = now.wanted.clone();
    work.say_of_itself(
        Some(id),
        match now.reason {
            BlockReason::ObserveMode => Event::MoveWithheld { wanted },
            reason => Event::MoveBlocked { reason, wanted },
        },
    );
}

/// When the trouble that led to a departure began: the first failed probe on what is no longer served.
fn trouble_since(service: &ServiceState, from: &Selection, cause: Cause) -> Option<Timestamp> {
    if cause != Cause::Failed {
        return None;
    }
    let down = |opinion: &&super::OpinionState| opinion.state == ObserverState::Down;
    from.served
        .iter()
        .filter_map(|one| service.endpoints.get(&one.endpoint))
        .filter(|endpoint| endpoint.verdict == Verdict::Down)
        .flat_map(|endpoint| endpoint.checks.values())
        .flat_map(|check| check.opinions.values().filter(down).map(|opinion| opinion.since))
        .min()
}
