//! `ChangeSettings`: the group's settings, one or more of them.

use alloc::vec::Vec;

use crate::command::{Rejection, Reply};
use crate::decision::BlockReason;
use crate::event::Event;
use crate::spec::SettingsChange;
use crate::state::{State, Touch, Work};
use crate::ttl::calm_ttl;

impl State {
    pub(in crate::state) fn change_settings(
        &mut self,
        work: &mut Work<'_>,
        change: &SettingsChange,
    ) -> Result<Reply, Rejection> {
        let to = change.applied_to(&self.data.settings);
        to.validate().map_err(Rejection::InvalidSpec)?;
        if self.data.settings == to {
            return Ok(Reply::Done);
        }
        let from = core::mem::replace(&mut self.data.settings, to.clone());
        if from.ttl_floor != to.ttl_floor {
            for service in self.data.services.values().cloned().collect::<Vec<_>>() {
                let dns = &service.spec.dns;
                self.keep_former_ttl(&dns.name, calm_ttl(dns, from.ttl_floor));
                work.touch(&service.spec.id, Touch::Observed);
            }
        }
        work.say(None, Event::SettingsChanged { from, to });
        self.touch_held(work, BlockReason::GroupBudget);
        Ok(Reply::Done)
    }
}
