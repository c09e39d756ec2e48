//! Fits the automatic state to the declaration and to the orders in force, before any verdict is looked at.
//!
//! People's doings need no gate: what a declaration or an order takes away is gone at once. What they must not do
//! is leave a service worse off than it has to be, so a pool that they empty hands over to one that is up, and only
//! where there is none is a new endpoint trusted before its first verdict.
//!
//! What it does not do: let a verdict change what is served. That is for departures and returns, with their gates.

use alloc::collections::BTreeMap;

use super::desk::{Desk, Lens};
use super::{Admission, Automatic, Course};
use crate::decision::{Basis, Standing};
use crate::id::{EndpointName, PoolName};
use crate::spec::{Policy, Pool};

impl Desk<'_> {
    /// The automatic state, fitted to the declaration and the orders.
    pub(super) fn fitted(&self) -> Automatic {
        let mut automatic = Automatic {
            active: None,
            detour: self.inputs.automatic.detour.clone(),
            admission: self.admissions(),
        };
        if self.inputs.spec.policy == Policy::Failover {
            automatic.active = self.pool_in_charge(&automatic);
        }
        if self.inputs.declared {
            self.make_up(&mut automatic);
        }
        self.redirect(&mut automatic);
        automatic
    }

    /// Whether nothing has been judged yet, so that what is declared is served on trust.
    fn trusting(&self) -> bool {
        let current = self.inputs.current;
        current.basis == Basis::Unjudged || current.served.is_empty() && !current.refused
    }

    /// Endpoints that are gone are forgotten, new ones are admitted only on trust.
    fn admissions(&self) -> BTreeMap<EndpointName, Admission> {
        let first = if self.trusting() { Admission::In } else { Admission::New };
        let known = |name: &EndpointName| self.inputs.automatic.admission.get(name).copied();
        let endpoints = self.inputs.spec.endpoints();
        endpoints.map(|(_, e)| (e.name.clone(), known(&e.name).unwrap_or(first))).collect()
    }

    /// The pool in charge: the present one, unless a pin has led back to a better one that is up. While nothing has
    /// been judged it is the preferred one, in whatever order the pools were filled.
    fn pool_in_charge(&self, automatic: &Automatic) -> Option<PoolName> {
        let populated = |pool: &&Pool| !pool.endpoints.is_empty();
        let present = self.inputs.automatic.active.as_ref().and_then(|name| self.pool(name));
        let first = || self.pools.iter().copied().find(|pool| populated(pool));
        if self.inputs.declared && self.trusting() {
            return first().or(self.pools.first().copied()).map(|pool| pool.name.clone());
        }
        let present = present.filter(populated);
        if let Some((pin, _)) = self.pin
            && present.is_none_or(|present| pin.priority < present.priority)
            && self.standing(pin, automatic, Lens::Ordered) == Standing::Up
        {
            return Some(pin.name.clone());
        }
        let preferred = || self.first_up(automatic).or_else(first).or(self.pools.first().copied());
        present.or_else(preferred).map(|pool| pool.name.clone())
    }

    /// Makes up for what a declaration took away: another pool that is up takes over, else what is new is trusted.
    fn make_up(&self, automatic: &mut Automatic) {
        let active = automatic.active.as_ref().and_then(|name| self.pool(name));
        let short = match active {
            Some(pool) => self.usable_of(pool, automatic, Lens::Judged) < usize::from(pool.min_up),
            None => !automatic.admission.values().any(|admission| *admission == Admission::In),
        };
        if !short {
            return;
        }
        if active.is_some()
            && let Some(up) = self.first_up(automatic)
        {
            automatic.active = Some(up.name.clone());
            return;
        }
        if self.inputs.current.basis == Basis::AllDown {
            return;
        }
        let pools = self.inputs.spec.pools.iter();
        let pools = pools.filter(|pool| active.is_none_or(|active| active.name == pool.name));
        for endpoint in pools.flat_map(|pool| &pool.endpoints) {
            if let Some(admission @ Admission::New) = automatic.admission.get_mut(&endpoint.name) {
                *admission = Admission::In;
            }
        }
    }

    /// Hands over to a pool that is up where an order that ends, or a declaration, leaves nothing in the pool in charge.
    pub(super) fn hand_over(&self, course: &mut Course) {
        let emptied = course.selection.basis == Basis::AllDown;
        if !emptied || self.inputs.current.basis == Basis::AllDown {
            return;
        }
        if course.automatic.active.is_some()
            && let Some(up) = self.first_up(&course.automatic)
        {
            course.automatic.active = Some(up.name.clone());
            course.selection = self.project(&course.automatic);
        }
    }

    /// Leads around a pool in charge that orders leave too few endpoints, to one that is up. When the orders end,
    /// the pool in charge serves again, unless it has died in the meantime: then the detour has become the way.
    pub(super) fn redirect(&self, automatic: &mut Automatic) {
        let Some(active) = automatic.active.as_ref().and_then(|name| self.pool(name)) else {
            automatic.detour = None;
            return;
        };
        let min_up = usize::from(active.min_up);
        let emptied = active.endpoints.iter().any(|endpoint| self.taken_out(endpoint))
            && self.usable_of(active, automatic, Lens::Ordered) < min_up;
        let detour = automatic.detour.take().filter(|name| *name != active.name);
        let detour = detour.and_then(|name| self.pool(&name)).filter(|pool| {
            self.usable_of(pool, automatic, Lens::Ordered) >= usize::from(pool.min_up)
        });
        if emptied {
            let up = || self.first_up(automatic).filter(|up| up.name != active.name);
            automatic.detour = detour.or_else(up).map(|pool| pool.name.clone());
        } else if let Some(detour) = detour
            && self.usable_of(active, automatic, Lens::Judged) < min_up
        {
            automatic.active = Some(detour.name.clone());
        }
    }
}
