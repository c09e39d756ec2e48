//! Departures: leaving what is down.
//!
//! All that is down goes out in one step with the change of pool that follows from it, so that clients never see a
//! half-way answer. A verdict that is no longer fresh takes nothing out.

use super::desk::Desk;
use super::{Admission, Automatic, Course};
use crate::decision::{Basis, Cause, Served};
use crate::quorum::Verdict;

impl Desk<'_> {
    /// Leaves what is down.
    pub(super) fn depart(&self, course: &mut Course) {
        let mut next = course.automatic.clone();
        for (name, admission) in &mut next.admission {
            let footing = self.footing(name);
            if footing.known() == Verdict::Down && footing.forced != Some(Verdict::Up) {
                *admission = Admission::Out;
            }
        }
        self.leave_dead_pool(&mut next);
        self.attempt(course, next, self.departure_cause(course), || self.departure_gate(0));
    }

    /// Something that is served has failed; or nothing has, and what a departure was waiting for is up.
    fn departure_cause(&self, course: &Course) -> Cause {
        let down = |one: &Served| self.footing(&one.endpoint).judged == Verdict::Down;
        let failed = self.inputs.current.served.iter().any(down);
        if failed && course.selection.basis != Basis::AllDown {
            Cause::Failed
        } else {
            Cause::Recovered
        }
    }

    /// Puts a pool that is up in the place of one in charge, or of a detour, that is dead in the observers' eyes
    /// and by order.
    pub(super) fn leave_dead_pool(&self, next: &mut Automatic) {
        let of = |name: &Option<_>| name.as_ref().and_then(|name| self.pool(name));
        if let Some(active) = of(&next.active)
            && self.is_dead(active, next)
            && let Some(better) = self.refuge(next)
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
