//! What holds a move back, and until when. A gate that ends by itself names a moment later than the present, so
//! that a deadline which has passed is never named again.

use alloc::vec::Vec;

use super::Held;
use super::desk::Desk;
use crate::decision::BlockReason;
use crate::spec::Mode;
use crate::time::Timestamp;

impl Desk<'_> {
    /// What people decided: observe mode and pause.
    pub(super) fn people_gate(&self) -> Option<Held> {
        if self.inputs.spec.failover.mode == Mode::Observe {
            return Some((BlockReason::ObserveMode, None));
        }
        self.inputs.brakes.paused_until.map(|until| (BlockReason::Paused, Some(until)))
    }

    /// What holds a departure back; `reserve` further moves must fit into the service's budget as well.
    pub(super) fn departure_gate(&self, reserve: usize) -> Option<Held> {
        let brakes = &self.inputs.brakes;
        if let Some(held) = self.people_gate() {
            return Some(held);
        }
        if brakes.at < brakes.warm_up_until {
            return Some((BlockReason::WarmUp, Some(brakes.warm_up_until)));
        }
        if let Some(until) = self.budget_full_until(reserve) {
            return Some((BlockReason::ServiceBudget, Some(until)));
        }
        brakes.group_full_until.map(|until| (BlockReason::GroupBudget, Some(until)))
    }

    /// What holds a return of something that has been up since `up_since` back.
    pub(super) fn return_gate(&self, up_since: Option<Timestamp>) -> Option<Held> {
        let rules = &self.inputs.spec.failover;
        let at = self.inputs.brakes.at;
        if let Some(held) = self.people_gate() {
            return Some(held);
        }
        let settled = up_since.unwrap_or(at) + rules.hold_down;
        if at < settled {
            return Some((BlockReason::HoldDown, Some(settled)));
        }
        if let Some(&last) = self.inputs.brakes.moves.last()
            && at < last + rules.cooldown
        {
            return Some((BlockReason::Cooldown, Some(last + rules.cooldown)));
        }
        self.departure_gate(1)
    }

    /// When the service's budget has room for one move and `reserve` more, if it has none at present. A budget of
    /// one move has room for a return when its window is empty.
    fn budget_full_until(&self, reserve: usize) -> Option<Timestamp> {
        let rules = &self.inputs.spec.failover;
        let at = self.inputs.brakes.at;
        let in_window = |moved: &&Timestamp| **moved + rules.window > at;
        let recent: Vec<&Timestamp> = self.inputs.brakes.moves.iter().filter(in_window).collect();
        let over = (recent.len() + reserve).checked_sub(usize::from(rules.max_moves))?;
        let last = recent.len().checked_sub(1)?;
        Some(*recent[over.min(last)] + rules.window)
    }
}
