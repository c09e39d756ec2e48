//! `Pause`: verdicts go on, nothing moves by itself. A new pause replaces the one in force.

use core::time::Duration;

use super::check_order;
use crate::command::{Rejection, Reply};
use crate::decision::BlockReason;
use crate::event::Event;
use crate::overrides;
use crate::state::{State, Work};

impl State {
    pub(in crate::state) fn pause(
        &mut self,
        work: &mut Work<'_>,
        reason: &str,
        lasting: Duration,
    ) -> Result<Reply, Rejection> {
        check_order(reason, lasting)?;
        let pause = overrides::Pause {
            actor: work.entry.actor.name.clone(),
            reason: reason.into(),
            set_at: self.data.at,
            expires_at: self.data.at + lasting,
        };
        work.say(None, Event::AutomationPaused(pause.clone()));
        self.data.pause = Some(pause);
        self.touch_held(work, BlockReason::Paused);
        Ok(Reply::Done)
    }
}
