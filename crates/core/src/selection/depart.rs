//! Departures: leaving what is down.
//!
//! All that is down goes out in one step with the change of pool that follows from it, so that clients never see a
//! half-way answer. A verdict that is no longer fresh takes nothing out. Where that step has to wait, what nobody
//! was told goes out by itself: later it may be known no more, and would come into the answer with the step.

use super::desk::Desk;
use super::{Admission, Automatic, Course};
use crate::decision::{Basis, Cause, Served};
use crate::id::EndpointName;
use crate::quorum::Verdict;

impl Desk<'_> {
    /// Leaves what is down.
    pub(super) fn depart(&self, course: &mut Course) {
        let unseen = self.without_dead(course, |name| {
            course.selection.served.iter().all(|served| served.endpoint != *name)
        });
        self.attempt(course, unseen, None, || self.departure_gate(0));
        let mut next = self.without_dead(course, |_| true);
        self.leave_dead_pool(&mut next);
        self.attempt(course, next, self.departure_cause(course), || self.departure_gate(0));
    }

    /// The automatic state with what is down left out, of those asked for.
    fn without_dead(&self, course: &Course, asked: impl Fn(&EndpointName) -> bool) -> Automatic {
        let mut next = course.automatic.clone();
        for (name, admission) in &mut next.admission {
            let footing = self.footing(name);
            let dead = footing.known() == Verdict::Down && footing.forced != Some(Verdict::Up);
            if dead && asked(name) {
                *admission = Admission::Out;
            }
        }
        next
    }

    /// Something that is served has failed; or nothing has, and what a departure was waiting for is up. What people
    /// put into the answer and what left it at once, seen by nobody, is none of the verdicts' doing.
    fn departure_cause(&self, course: &Course) -> Option<Cause> {
        let current = self.inputs.current;
        let down = |one: &Served| self.footing(&one.endpoint).judged == Verdict::Down;
        if current.served.iter().any(down) && course.selection.basis != Basis::AllDown {
            Some(Cause::Failed)
        } else {
            course.selection.same_answer(current).then_some(Cause::Recovered)
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
