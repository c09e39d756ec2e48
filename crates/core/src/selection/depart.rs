//! Departures: leaving what is down.
//!
//! All that is down goes out in one step with the change of pool that follows from it, so that clients never see a
//! half-way answer. A verdict that is no longer fresh takes nothing out of the answer by itself: what was down when last
//! heard of leaves with the first that is known to be, if something better is left to serve. What nobody was told goes out however that step fares, and so
//! does a pool: later nothing fresh may be known of it, and it would come into the answer behind the gates' back.

use alloc::collections::BTreeSet;

use super::desk::Desk;
use super::{Admission, Automatic, Course};
use crate::decision::{Basis, Cause, Footing, Served};
use crate::id::EndpointName;
use crate::quorum::Verdict;

impl Desk<'_> {
    /// Leaves what is down, and what was when last heard of where something that is not is left to serve.
    pub(super) fn depart(&self, course: &mut Course) {
        let mut next = self.without(course, |_, footing| is_out(footing, footing.known()));
        self.leave_dead_pool(&mut next);
        if next.admission != course.automatic.admission {
            let mut all = self.without(course, |_, footing| is_out(footing, footing.judged));
            self.leave_dead_pool(&mut all);
            self.redirect(&mut all);
            let served = self.project(&all).served;
            let dead = |one: &Served| {
                let footing = self.footing(&one.endpoint);
                is_out(footing, footing.judged)
            };
            if !served.is_empty() && !served.iter().any(dead) {
                next = all;
            }
        }
        self.attempt(course, next, self.departure_cause(course), || self.departure_gate(0));
    }

    /// The automatic state without these endpoints.
    fn without(&self, course: &Course, out: impl Fn(&EndpointName, Footing) -> bool) -> Automatic {
        let mut next = course.automatic.clone();
        for (name, admission) in &mut next.admission {
            if out(name, self.footing(name)) {
                *admission = Admission::Out;
            }
        }
        next
    }

    /// Leaves what nobody was told and was down when last heard of, and a pool that is not told either.
    pub(super) fn leave_unseen(&self, course: &mut Course) {
        let served = course.selection.served.iter().map(|one| &one.endpoint);
        let served: BTreeSet<&EndpointName> = served.collect();
        let next = self.without(course, |name, footing| {
            footing.judged == Verdict::Down && !served.contains(name)
        });
        self.take_unseen(course, next);
        let mut next = course.automatic.clone();
        self.leave_dead_pool(&mut next);
        self.take_unseen(course, next);
    }

    /// Something that is served has failed; or nothing has, and what a departure was waiting for is up. What people
    /// put into the answer and what left it at once, seen by nobody, is none of the verdicts' doing.
    fn departure_cause(&self, course: &Course) -> Option<Cause> {
        let current = self.inputs.current;
        let down = |one: &Served| self.footing(&one.endpoint).judged == Verdict::Down;
        if current.served.iter().any(down) && course.selection.basis != Basis::AllDown {
            Some(Cause::Failed)
        } else {
            (!course.by_people).then_some(Cause::Recovered)
        }
    }

    /// Puts a pool that is up in the place of one in charge, or of a detour, that is dead in the observers' eyes
    /// and by order. A detour that lives is the way from then on.
    pub(super) fn leave_dead_pool(&self, next: &mut Automatic) {
        let of = |name: &Option<_>| name.as_ref().and_then(|name| self.pool(name));
        if let Some(active) = of(&next.active)
            && self.is_dead(active, next)
            && let Some(better) = of(&next.detour)
                .filter(|detour| self.was_up(detour, next))
                .or_else(|| self.refuge(next))
        {
            next.active = Some(better.name.clone());
        }
        if let Some(detour) = of(&next.detour)
            && self.is_dead(detour, next)
        {
            next.detour = self.refuge(next).map(|pool| pool.name.clone());
        }
    }
}

/// Whether a verdict takes an endpoint out; not one that an order holds up.
fn is_out(footing: Footing, verdict: Verdict) -> bool {
    verdict == Verdict::Down && footing.forced != Some(Verdict::Up)
}
