//! `ChangeSettings`: the group's settings.

use core::time::Duration;

use crate::command::{Rejection, Reply};
use crate::decision::BlockReason;
use crate::event::Event;
use crate::spec::{Settings, SpecError};
use crate::state::{State, Work};

impl State {
    pub(in crate::state) fn change_settings(
        &mut self,
        work: &mut Work<'_>,
        settings: &Settings,
    ) -> Result<Reply, Rejection> {
        let invalid = |field: &str, problem: &str| {
            Err(Rejection::InvalidSpec(SpecError { field: field.into(), problem: problem.into() }))
        };
        if settings.warm_up > Settings::LONGEST_WARM_UP {
            return invalid("warm_up", "must be at most 10m");
        }
        if settings.window < Duration::from_secs(1) {
            return invalid("window", "must be at least 1s");
        }
        if settings.window > Settings::LONGEST_WINDOW {
            return invalid("window", "must be at most 1d");
        }
        if settings.max_moves.is_some_and(|max| max == 0 || max as usize > Settings::MOST_MOVES) {
            return invalid("max_moves", "must be 1 to 10000; to stop all automatic moves, pause");
        }
        if self.data.settings == *settings {
            return Ok(Reply::Done);
        }
        self.data.settings = settings.clone();
        work.say(None, Event::SettingsChanged);
        self.touch_held(work, BlockReason::GroupBudget);
        Ok(Reply::Done)
    }
}
