//! `DeleteService`: its overrides go with it.

use alloc::vec::Vec;

use super::check_revision;
use crate::command::{Rejection, Reply};
use crate::event::Event;
use crate::id::{OverrideId, ServiceId};
use crate::state::evaluate::due;
use crate::state::{State, Work};
use crate::ttl::calm_ttl;

impl State {
    pub(in crate::state) fn delete_service(
        &mut self,
        work: &mut Work<'_>,
        id: &ServiceId,
        if_revision: Option<u64>,
    ) -> Result<Reply, Rejection> {
        let state = self.service(id)?;
        check_revision(id, if_revision, state.revision)?;
        let (spec, due) = (state.spec.clone(), due(state));
        let orders: Vec<OverrideId> = self.orders_of(id).map(|order| order.id).collect();
        for order in orders {
            self.end_override(work, order, "the service was deleted", true);
        }
        if let Some(due) = due {
            self.due.remove(&(due, id.clone()));
        }
        self.disown_service_names(&spec);
        self.lead(Some(&spec), None);
        let former = calm_ttl(&spec.dns, self.data.settings.ttl_floor);
        self.keep_former_ttl(&spec.dns.name, former);
        self.touch_zone(&spec.dns.name, work.index);
        self.data.services.remove(id);
        self.published.mark(id);
        work.say(Some(id), Event::ServiceDeleted);
        Ok(Reply::Done)
    }
}
