//! Decides for the services that an entry touched: verdicts to a selection, and the events that say so. At most one
//! change of selection per service and entry, so that an entry's index names its epoch.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::{EndpointState, OpinionState, ServiceState, State, Touch, Work};
use crate::decision::{Basis, BlockReason, Cause, Footing, Selection};
use crate::event::Event;
use crate::id::{EndpointName, Epoch, OverrideId, PoolName, ServiceId};
use crate::observation::ObserverState;
use crate::overrides::{Order, Override, Scope};
use crate::quorum::Verdict;
use crate::selection::{Blocked, Brakes, Decision, Inputs, decide};
use crate::spec::{AllDown, Service, Settings};
use crate::time::Timestamp;

/// The policy that chose what is answered, where nothing is up; a service without endpoints has nothing to choose from.
fn all_down(service: &ServiceState) -> Option<AllDown> {
    let Selection { basis, served, refused, .. } = &service.selection;
    let chose = *basis == Basis::AllDown && (*refused || !served.is_empty());
    chose.then(|| service.spec.failover.all_down.clone())
}

/// When a service has something due: the end of what holds its move back, or a change of its TTL.
pub(super) fn due(service: &ServiceState) -> Option<Timestamp> {
    let held = service.blocked.as_ref().and_then(|blocked| blocked.until);
    held.into_iter().chain(service.ttl.next).min()
}

impl State {
    pub(super) fn evaluate_touched(&mut self, work: &mut Work<'_>) {
        for (id, touch) in core::mem::take(&mut work.touched) {
            let stale = self.judge(work, &id);
            self.decide(work, &id, touch, &stale);
            self.settle_ttl(work, &id);
            self.published.mark(&id);
        }
    }

    /// Decides what a service serves.
    fn decide(
        &mut self,
        work: &mut Work<'_>,
        id: &ServiceId,
        touch: Touch,
        stale: &BTreeSet<EndpointName>,
    ) {
        let at = self.data.at;
        let group_full_until = self.group_full_until();
        let orders: Vec<Override> = self.orders_of(id).cloned().collect();
        let Some(service) = self.data.services.get_mut(id).map(Arc::make_mut) else {
            return;
        };
        forget_old_moves(service, at);
        let footings = footings_of(service, &orders, stale);
        let inputs = Inputs {
            spec: &service.spec,
            declared: touch == Touch::Declared,
            automatic: &service.automatic,
            footings: &footings,
            pin: pin_of(&service.spec, &orders),
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
        let Some(service) = self.data.services.get_mut(id).map(Arc::make_mut) else {
            return;
        };
        let Decision { automatic, selection, cause, blocked, steps } = decision;
        note_blocked(work, id, service.blocked.as_ref(), blocked.as_ref());
        let cause = cause.unwrap_or(match touch {
            Touch::Declared => Cause::Declared,
            // Without a cause of its own the answer follows only an order, even one that had to wait for a verdict.
            Touch::Ordered | Touch::Observed => Cause::Ordered,
        });
        let changed = !selection.same_answer(&service.selection);
        let due_before = due(service);
        let from = core::mem::replace(&mut service.selection, selection);
        service.automatic = automatic;
        service.blocked = blocked;
        service.steps = steps;
        service.decided_at = at;
        if is_good(service) {
            service.last_good = Some(service.selection.clone());
        }
        let due_after = due(service);
        if changed {
            service.epoch = Epoch(work.index);
            service.selected_at = at;
            let event = Event::SelectionChanged {
                epoch: service.epoch,
                trouble_since: trouble_since(service, &from, cause),
                all_down: all_down(service),
                from,
                to: service.selection.clone(),
                cause,
            };
            let name = service.spec.dns.name.clone();
            if cause.is_automatic() {
                service.moves.push(at);
                self.count_move(at);
            }
            work.say_of_itself(Some(id), event);
            self.touch_zone(&name, work.index);
        }
        self.reschedule(id, due_before, due_after);
    }

    pub(super) fn reschedule(
        &mut self,
        id: &ServiceId,
        before: Option<Timestamp>,
        after: Option<Timestamp>,
    ) {
        if let Some(before) = before {
            self.due.remove(&(before, id.clone()));
        }
        if let Some(after) = after {
            self.due.insert((after, id.clone()));
        }
    }

    /// Counts an automatic move against the group's budget, which never looks back further than its own size.
    fn count_move(&mut self, at: Timestamp) {
        self.data.moves.push_back(at);
        if self.data.moves.len() > Settings::MOST_MOVES {
            self.data.moves.pop_front();
        }
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

/// Whether what is served is worth remembering for `last_known_good`: something of it is up.
fn is_good(service: &ServiceState) -> bool {
    let up = |name| {
        service.endpoints.get(name).is_some_and(|e: &EndpointState| e.verdict == Verdict::Up)
    };
    service.selection.basis != Basis::AllDown
        && service.selection.served.iter().any(|one| up(&one.endpoint))
}

/// Keeps the moves that the budget counts, and the last one, which the cooldown counts from.
fn forget_old_moves(service: &mut ServiceState, at: Timestamp) {
    let rules = &service.spec.failover;
    let last = service.moves.last().copied();
    service.moves.retain(|&moved| {
        moved + rules.window > at || Some(moved) == last && moved + rules.cooldown > at
    });
}

/// What each endpoint counts as.
fn footings_of(
    service: &ServiceState,
    orders: &[Override],
    stale: &BTreeSet<EndpointName>,
) -> BTreeMap<EndpointName, Footing> {
    let footing = |(name, state): (&EndpointName, &EndpointState)| {
        let pool = service.spec.endpoint(name).map(|(pool, _)| &pool.name);
        let stale = stale.contains(name);
        let up = state.verdict == Verdict::Up && !stale;
        let mut footing = Footing {
            judged: state.verdict,
            up_since: up.then_some(state.since),
            stale,
            ..Footing::default()
        };
        for order in orders {
            match &order.order {
                Order::ForceUp(scope) if covers(scope, name, pool) => {
                    footing.forced = Some(Verdict::Up);
                    let since = footing.up_since.unwrap_or(order.set_at);
                    footing.up_since = Some(since.min(order.set_at));
                }
                Order::ForceDown(scope) if covers(scope, name, pool) => {
                    footing.forced = Some(Verdict::Down);
                }
                Order::Drain(scope) if covers(scope, name, pool) => footing.drained = true,
                Order::Pin(_)
                | Order::ForceUp(_)
                | Order::ForceDown(_)
                | Order::Drain(_)
                | Order::LowerTtl(_) => {}
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

/// The pin in force: the last one set on a pool that has an endpoint.
fn pin_of<'a>(spec: &Service, orders: &'a [Override]) -> Option<(&'a PoolName, OverrideId)> {
    let populated =
        |name: &PoolName| spec.pools.iter().any(|p| p.name == *name && !p.endpoints.is_empty());
    orders.iter().rev().find_map(|order| match &order.order {
        Order::Pin(pool) => populated(pool).then_some((pool, order.id)),
        Order::ForceUp(_) | Order::ForceDown(_) | Order::Drain(_) | Order::LowerTtl(_) => None,
    })
}

fn note_blocked(
    work: &mut Work<'_>,
    id: &ServiceId,
    before: Option<&Blocked>,
    now: Option<&Blocked>,
) {
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
    let down = |opinion: &&OpinionState| opinion.state == ObserverState::Down;
    from.served
        .iter()
        .filter_map(|one| service.endpoints.get(&one.endpoint))
        .filter(|endpoint| endpoint.verdict == Verdict::Down)
        .flat_map(|endpoint| endpoint.checks.values())
        .flat_map(|check| check.opinions.values().filter(down).map(|opinion| opinion.since))
        .min()
}
