//! `ClearOverride`, and the expiry of overrides: the computed state is there again at once.

use alloc::string::{String, ToString};

use super::not_found;
use crate::command::{Rejection, Reply};
use crate::event::Event;
use crate::id::OverrideId;
use crate::state::{State, Touch, Work};
use crate::time::Timestamp;

impl State {
    pub(in crate::state) fn clear_override(
        &mut self,
        work: &mut Work<'_>,
        id: OverrideId,
        reason: &str,
    ) -> Result<Reply, Rejection> {
        if !self.data.overrides.contains_key(&id) {
            return Err(not_found("override", id));
        }
        self.end_override(work, id, reason, true);
        Ok(Reply::Done)
    }

    /// Ends an override, in the sender's name or in the group's own.
    pub(super) fn end_override(
        &mut self,
        work: &mut Work<'_>,
        id: OverrideId,
        reason: &str,
        by_sender: bool,
    ) {
        let Some(order) = self.remove_order(id) else { return };
        let service = order.service.clone();
        let by = if by_sender { work.entry.actor.name.clone() } else { String::from("holdfast") };
        let event = Event::OverrideEnded { order, by, reason: reason.to_string() };
        if by_sender {
            work.say(Some(&service), event);
        } else {
            work.say_of_itself(Some(&service), event);
        }
        work.touch(&service, Touch::Ordered);
    }

    /// Ends the overrides and the pause whose time is up.
    pub(in crate::state) fn expire_orders(&mut self, work: &mut Work<'_>, at: Timestamp) {
        while let Some((expires_at, id)) = self.orders.first()
            && expires_at <= at
        {
            self.end_override(work, id, "expired", false);
        }
        if self.data.pause.as_ref().is_some_and(|pause| pause.expires_at <= at) {
            self.end_pause(work, "expired", false);
        }
    }
}
