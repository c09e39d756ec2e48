//! `RecordConvergence`: how fast the world came to tell a changed answer, as the leader followed it. Kept for
//! explanation and in the audit chain; nothing is decided by it.
//!
//! An answer is recorded once: its epoch has to be later than the last one recorded, and the present one unless the
//! answer moved on meanwhile and the record says so.

use alloc::format;
use alloc::sync::Arc;

use super::not_found;
use crate::command::{Rejection, Reply};
use crate::event::Event;
use crate::id::ServiceId;
use crate::propagation::{Convergence, Ending};
use crate::state::{ServiceState, State, Work};

impl State {
    pub(in crate::state) fn record_convergence(
        &mut self,
        work: &mut Work<'_>,
        term: u64,
        (id, convergence): (&ServiceId, &Convergence),
    ) -> Result<Reply, Rejection> {
        self.check_term(term)?;
        check(self.service(id)?, convergence)?;
        let Some(service) = self.data.services.get_mut(id).map(Arc::make_mut) else {
            return Err(not_found("service", id));
        };
        service.convergence = Some(convergence.clone());
        self.published.mark(id);
        work.say(Some(id), Event::FailoverConverged(convergence.clone()));
        Ok(Reply::Done)
    }
}

fn check(service: &ServiceState, convergence: &Convergence) -> Result<(), Rejection> {
    let superseded = |why| Err(Rejection::Superseded(why));
    let (epoch, present) = (convergence.epoch, service.epoch);
    if !convergence.is_possible() {
        return superseded(
            "the figures of a convergence contradict each other, or are too many".into(),
        );
    }
    if epoch > present || epoch.0 == 0 {
        return superseded(format!("there is no epoch {epoch}, the present one is {present}"));
    }
    if convergence.ending != Ending::Superseded && epoch != present {
        return superseded(format!("epoch {epoch} is over, the present one is {present}"));
    }
    match &service.convergence {
        Some(last) if epoch <= last.epoch => {
            superseded(format!("what came of epoch {} is recorded", last.epoch))
        }
        _ => Ok(()),
    }
}
