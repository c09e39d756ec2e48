//! `SetOverride`: orders something about a service, for a while, in somebody's name and for a reason.

use alloc::format;
use core::time::Duration;

use super::{check_order, not_found};
use crate::command::{Rejection, Reply};
use crate::event::Event;
use crate::id::{OverrideId, ServiceId};
use crate::overrides::{Order, Override, Scope};
use crate::spec::Service;
use crate::state::{State, Touch, Work};
use crate::ttl::{calm_ttl, short_ttl};

/// The most overrides in force in a group.
const MAX_OVERRIDES: usize = 10_000;

impl State {
    pub(in crate::state) fn set_override(
        &mut self,
        work: &mut Work<'_>,
        service: &ServiceId,
        order: &Order,
        (reason, lasting): (&str, Duration),
    ) -> Result<Reply, Rejection> {
        let spec = &self.service(service)?.spec;
        check_scope(spec, order)?;
        check_ttl(spec, self.data.settings.ttl_floor, order)?;
        check_order(reason, lasting)?;
        if self.data.overrides.len() >= MAX_OVERRIDES {
            return Err(Rejection::LimitReached {
                what: "overrides".into(),
                limit: MAX_OVERRIDES as u64,
            });
        }
        let id = OverrideId(work.index);
        let expires_at = self.data.at + lasting;
        let order = Override {
            id,
            service: service.clone(),
            order: order.clone(),
            actor: work.entry.actor.name.clone(),
            reason: reason.into(),
            set_at: self.data.at,
            expires_at,
        };
        work.say(Some(service), Event::OverrideSet(order.clone()));
        self.add_order(order);
        work.touch(service, Touch::Ordered);
        Ok(Reply::Ordered { id, expires_at })
    }
}

/// A TTL is lowered within what declaration and group allow.
fn check_ttl(spec: &Service, floor: Duration, order: &Order) -> Result<(), Rejection> {
    let Order::LowerTtl(to) = order else { return Ok(()) };
    let (least, declared) = (short_ttl(&spec.dns, floor), calm_ttl(&spec.dns, floor));
    if (least..declared).contains(to) {
        return Ok(());
    }
    Err(Rejection::InvalidOrder(if least < declared {
        format!(
            "a TTL of {to:?} is not possible for service {}: at least {least:?} (dns.ttl_min, and ttl_floor of the group's settings), less than {declared:?} (dns.ttl)",
            spec.id
        )
    } else {
        format!(
            "the TTL of service {} is {declared:?}, which is the least that it may have (dns.ttl_min, and ttl_floor of the group's settings)",
            spec.id
        )
    }))
}

fn check_scope(spec: &Service, order: &Order) -> Result<(), Rejection> {
    let has_pool = |name: &crate::id::PoolName| spec.pools.iter().any(|pool| pool.name == *name);
    match order {
        Order::Pin(pool)
        | Order::ForceUp(Scope::Pool(pool))
        | Order::ForceDown(Scope::Pool(pool))
        | Order::Drain(Scope::Pool(pool)) => {
            if has_pool(pool) {
                Ok(())
            } else {
                Err(not_found("pool", format!("{pool} of service {}", spec.id)))
            }
        }
        Order::LowerTtl(_) => Ok(()),
        Order::ForceUp(Scope::Endpoint(name))
        | Order::ForceDown(Scope::Endpoint(name))
        | Order::Drain(Scope::Endpoint(name)) => match spec.endpoint(name) {
            Some(_) => Ok(()),
            None => Err(not_found("endpoint", format!("{name} of service {}", spec.id))),
        },
    }
}
