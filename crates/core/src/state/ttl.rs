//! What a service's TTL follows from, gathered from the state, and what a change of it brings about: a new answer, a
//! serial that grows, an event. The rule itself is [`crate::ttl`].

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::time::Duration;

use super::evaluate::due;
use super::{AgentState, ServiceState, State, Work};
use crate::decision::{Basis, BlockReason, Served};
use crate::event::Event;
use crate::id::{AgentId, ServiceId};
use crate::observation::ObserverState;
use crate::overrides::{Order, Override};
use crate::spec::Mode;
use crate::time::Timestamp;
use crate::ttl::{Facts, TtlCause};

impl State {
    /// Brings the TTL of a service up to date with what is known about it.
    pub(super) fn settle_ttl(&mut self, work: &mut Work<'_>, id: &ServiceId) {
        let at = self.data.at;
        let Some(service) = self.data.services.get(id) else { return };
        let facts = facts_of(
            (service, self.data.settings.ttl_floor),
            &self.data.agents,
            self.orders_of(id),
        );
        let after = service.ttl.settled(&facts, at);
        if after == service.ttl {
            return;
        }
        let Some(service) = self.data.services.get_mut(id).map(Arc::make_mut) else { return };
        let due_before = due(service);
        let before = core::mem::replace(&mut service.ttl, after);
        let after = &service.ttl;
        let changed = (before.served != after.served).then(|| {
            let (from, to) = (before.served, after.served);
            let forgotten_at = after.forgotten_at;
            (Event::TtlChanged { from, to, cause: after.cause, forgotten_at }, &service.spec.dns)
        });
        let changed = changed.map(|(event, dns)| (event, dns.name.clone()));
        let due_after = due(service);
        if let Some((event, name)) = changed {
            work.say_of_itself(Some(id), event);
            self.touch_zone(&name, work.index);
        }
        self.reschedule(id, due_before, due_after);
    }
}

fn facts_of<'a>(
    (service, floor): (&ServiceState, Duration),
    agents: &BTreeMap<AgentId, AgentState>,
    orders: impl Iterator<Item = &'a Override>,
) -> Facts {
    let mut facts = Facts::of(&service.spec.dns, floor);
    let mut order_ends: Option<Timestamp> = None;
    for order in orders {
        match order.order {
            Order::LowerTtl(to) => {
                let to = to.max(floor);
                facts.ordered = Some(facts.ordered.map_or(to, |least| least.min(to)));
            }
            Order::Pin(_) | Order::ForceUp(_) | Order::ForceDown(_) | Order::Drain(_) => {
                order_ends = Some(order_ends.map_or(order.expires_at, |t| t.min(order.expires_at)));
            }
        }
    }
    let hold_ends = hold_end(service).map(|at| (at, TtlCause::HoldEnds));
    let order_ends = order_ends.map(|at| (at, TtlCause::OrderEnds));
    facts.change = hold_ends.into_iter().chain(order_ends).min();
    facts.suspicion = suspicion(service, agents);
    facts
}

/// When the move that is held back may happen by itself.
fn hold_end(service: &ServiceState) -> Option<Timestamp> {
    let blocked = service.blocked.as_ref();
    blocked.filter(|blocked| blocked.reason != BlockReason::ObserveMode)?.until
}

/// What may change the answer at any moment. In observe mode nothing does.
fn suspicion(service: &ServiceState, agents: &BTreeMap<AgentId, AgentState>) -> Option<TtlCause> {
    if service.spec.failover.mode == Mode::Observe {
        return None;
    }
    if service.selection.basis == Basis::AllDown {
        return Some(TtlCause::AllDown);
    }
    let doubted = |one: &Served| is_doubted(service, agents, one);
    service.selection.served.iter().any(doubted).then_some(TtlCause::Doubted)
}

/// Whether an observer that counts calls it down, under any check.
fn is_doubted(
    service: &ServiceState,
    agents: &BTreeMap<AgentId, AgentState>,
    served: &Served,
) -> bool {
    let observes = |id: &AgentId| agents.get(id).is_some_and(|state| state.agent.observer);
    let endpoint = service.endpoints.get(&served.endpoint);
    endpoint.into_iter().flat_map(|endpoint| endpoint.checks.values()).any(|check| {
        let mut opinions = check.opinions.iter();
        opinions.any(|(agent, opinion)| opinion.state == ObserverState::Down && observes(agent))
    })
}
