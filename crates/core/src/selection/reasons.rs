//! The reasoning of a decision, step by step, as `explain` prints it. Read off the decision, never recomputed.

use alloc::vec::Vec;

use super::Course;
use super::desk::{Counts, Desk, Lens};
use crate::decision::{Basis, Step};

impl Desk<'_> {
    pub(super) fn reasoning(&self, course: &Course) -> Vec<Step> {
        let mut steps = Vec::new();
        if let Some((pool, order)) = self.pin {
            steps.push(Step::Pinned { pool: pool.name.clone(), order });
        }
        for pool in &self.pools {
            let Counts { up, held, out, .. } = self.counts(pool, &course.automatic, Lens::Ordered);
            let standing = self.standing(pool, &course.automatic, Lens::Ordered);
            let (name, priority, min_up) = (pool.name.clone(), pool.priority, pool.min_up);
            steps.push(Step::Pool { pool: name, priority, up, held, out, min_up, standing });
        }
        let wanted = course.blocked.as_ref().map_or(&course.selection, |blocked| &blocked.wanted);
        if wanted.basis == Basis::AllDown {
            steps.push(Step::AllDown { policy: self.inputs.spec.failover.all_down.clone() });
        }
        steps.push(Step::Wanted {
            active: wanted.active.clone(),
            endpoints: u16::try_from(wanted.served.len()).unwrap_or(u16::MAX),
        });
        if let Some(blocked) = &course.blocked {
            steps.push(Step::Blocked { reason: blocked.reason, until: blocked.until });
        }
        steps.push(match course.cause {
            Some(cause) => Step::Moved { cause },
            None => Step::Kept,
        });
        steps
    }
}
