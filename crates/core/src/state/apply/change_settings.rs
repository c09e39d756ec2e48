//! `ChangeSettings`: the group's settings.

use core::time::Duration;

use crate::command::{Rejection, Reply};
use crate::event::Event;
use crate::spec::{Settings, SpecError};
use crate::state::{State, Work};

/// The longest warm-up; a longer one would be a pause without a name and a reason.
const LONGEST_WARM_UP: Duration = Duration::from_secs(600);

impl State {
    pub(in crate::state) fn change_settings(
        &mut self,
        work: &mut Work<'_>,
        settings: &Settings,
    ) -> Result<Reply, Rejection> {
        let invalid = |field: &str, problem: &str| {
            Err(Rejection::InvalidSpec(SpecError { field: field.into(), problem: problem.into() }))
        };
        if settings.warm_up > LONGEST_WARM_UP {
            return invalid("warm_up", "must be at most 10m");
        }
        if settings.window < Duration::from_secs(1) {
            return invalid("window", "must be at least 1s");
        }
        if self.data.settings == *settings {
            return Ok(Reply::Done);
        }
        self.data.settings = settings.clone();
        work.say(None, Event::SettingsChanged);
        Ok(Reply::Done)
    }
}
