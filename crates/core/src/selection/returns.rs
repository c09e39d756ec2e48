//! Returns: taking back what is up again, endpoints first and then the better pool.
//!
//! A return is never urgent while something else is up: it waits for the hold-down and the cooldown, and leaves
//! room in the budget for the departure that may follow. It is urgent when nothing else is up (a rescue), and half
//! urgent when most of the pool is out: then it skips the waiting and still leaves that room.
//!
//! While an order decides which pool serves, no pool is returned to behind its back: what clients cannot see needs
//! no gate, and a return without a gate would come to light, unsettled, the moment the order ends.

use alloc::vec::Vec;

use super::desk::{Desk, Lens};
use super::{Admission, Course};
use crate::decision::{Basis, BlockReason, Cause};
use crate::quorum::Verdict;
use crate::spec::{Endpoint, Failback, Policy, Pool};
use crate::time::Timestamp;

impl Desk<'_> {
    /// Takes back what is up again.
    pub(super) fn take_back(&self, course: &mut Course) {
        let rescue = course.selection.basis == Basis::AllDown;
        for (pool, endpoint) in self.inputs.spec.endpoints() {
            if self.footing(&endpoint.name).known() == Verdict::Up {
                self.readmit(course, (pool, endpoint), rescue);
            }
        }
        self.fail_back(course, rescue);
    }

    fn readmit(&self, course: &mut Course, (pool, endpoint): (&Pool, &Endpoint), rescue: bool) {
        let standing = course.automatic.admission.get(&endpoint.name).copied();
        if standing == Some(Admission::In) {
            return;
        }
        let mut next = course.automatic.clone();
        next.admission.insert(endpoint.name.clone(), Admission::In);
        if rescue {
            self.leave_dead_pool(&mut next);
        }
        let since = self.footing(&endpoint.name).up_since;
        if standing == Some(Admission::New) {
            self.attempt(course, next, Cause::Judged, || self.people_gate());
        } else if rescue {
            self.attempt(course, next, Cause::Recovered, || self.departure_gate(0));
        } else if self.is_short(pool, course) {
            self.attempt(course, next, Cause::Recovered, || self.departure_gate(1));
        } else {
            self.attempt(course, next, Cause::Recovered, || self.return_gate(since));
        }
    }

    /// Whether most of what an endpoint serves together with is out: of its pool, or of all where all pools serve.
    fn is_short(&self, pool: &Pool, course: &Course) -> bool {
        let alone = self.inputs.spec.policy == Policy::Failover;
        let beside = self.pools.iter().filter(|other| !alone || other.name == pool.name);
        let (left, out) = beside.fold((0, 0), |(left, out), pool| {
            let counts = self.counts(pool, &course.automatic, Lens::Judged);
            (left + counts.up + counts.held, out + counts.out)
        });
        left < out
    }

    fn fail_back(&self, course: &mut Course, rescue: bool) {
        let present = course.automatic.active.as_ref().and_then(|name| self.pool(name));
        let led = self.pin.is_some() || course.automatic.detour.is_some();
        let Some(present) = present.filter(|_| !led) else { return };
        let better = self.first_up(&course.automatic);
        let Some(better) = better.filter(|pool| pool.priority < present.priority) else { return };
        let mut next = course.automatic.clone();
        next.active = Some(better.name.clone());
        let since = self.pool_up_since(better, course);
        let manual = self.inputs.spec.failover.failback == Failback::Manual;
        self.attempt(course, next, Cause::Recovered, || {
            if rescue {
                self.departure_gate(0)
            } else if manual {
                self.people_gate().or(Some((BlockReason::ManualFailback, None)))
            } else {
                self.return_gate(since)
            }
        });
    }

    /// Since when a pool has had as many endpoints up as it needs.
    fn pool_up_since(&self, pool: &Pool, course: &Course) -> Option<Timestamp> {
        let usable = |e: &&Endpoint| self.usable(e, &course.automatic, Lens::Ordered);
        let footings = pool.endpoints.iter().filter(usable).map(|e| self.footing(&e.name));
        let mut since: Vec<Timestamp> = footings.filter_map(|footing| footing.up_since).collect();
        since.sort_unstable();
        since.get(usize::from(pool.min_up).saturating_sub(1)).copied()
    }
}
