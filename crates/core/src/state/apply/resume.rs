//! `Resume`, and the expiry of a pause: every service whose move it held back is decided anew.

use alloc::string::{String, ToString};

use super::not_found;
use crate::command::{Rejection, Reply};
use crate::decision::BlockReason;
use crate::event::Event;
use crate::state::{ServiceState, State, Touch, Work};

impl State {
    pub(in crate::state) fn resume(
        &mut self,
        work: &mut Work<'_>,
        reason: &str,
    ) -> Result<Reply, Rejection> {
        if self.data.pause.is_none() {
            return Err(not_found("pause", "in force"));
        }
        self.end_pause(work, reason, true);
        Ok(Reply::Done)
    }

    /// Ends the pause, in the sender's name or in the group's own.
    pub(super) fn end_pause(&mut self, work: &mut Work<'_>, reason: &str, by_sender: bool) {
        self.data.pause = None;
        let by = if by_sender { work.entry.actor.name.clone() } else { String::from("holdfast") };
        let event = Event::AutomationResumed { by, reason: reason.to_string() };
        if by_sender {
            work.say(None, event);
        } else {
            work.say_of_itself(None, event);
        }
        self.touch_held(work, BlockReason::Paused);
    }

    /// Decides anew for every service whose move this holds back.
    pub(super) fn touch_held(&self, work: &mut Work<'_>, by: BlockReason) {
        let held = |state: &ServiceState| state.blocked.as_ref().is_some_and(|b| b.reason == by);
        for (id, _) in self.data.services.iter().filter(|(_, state)| held(state)) {
            work.touch(id, Touch::Observed);
        }
    }
}
