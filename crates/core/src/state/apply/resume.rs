//! `Resume`, and the expiry of a pause: every service whose move it held back is decided anew.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::not_found;
use crate::command::{Rejection, Reply};
use crate::decision::BlockReason;
use crate::event::Event;
use crate::id::ServiceId;
use crate::state::{State, Touch, Work};

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
        let held: Vec<ServiceId> = self
            .data
            .services
            .iter()
            .filter(|(_, s)| s.blocked.as_ref().is_some_and(|b| b.reason == BlockReason::Paused))
            .map(|(id, _)| id.clone())
            .collect();
        for id in held {
            work.touch(&id, Touch::Observed);
        }
    }
}
