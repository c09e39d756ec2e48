//! `RaiseLogicVersion`: the version gate. Rules that decide differently come into force at one place in the log,
//! once every member knows them, so that equal logs give equal state on every version of the program.

use crate::command::{Rejection, Reply};
use crate::event::Event;
use crate::state::{State, Work};

impl State {
    /// The newest version of the rules that this program knows.
    pub const LOGIC_VERSION: u32 = 1;

    pub(in crate::state) fn raise_logic_version(
        &mut self,
        work: &mut Work<'_>,
        version: u32,
    ) -> Result<Reply, Rejection> {
        if version <= self.data.logic_version {
            return Err(Rejection::Superseded(alloc::format!(
                "logic version {} is in force",
                self.data.logic_version
            )));
        }
        self.data.logic_version = version;
        work.say(None, Event::LogicVersionRaised { version });
        Ok(Reply::Done)
    }
}
