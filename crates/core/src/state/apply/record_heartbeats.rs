//! `RecordHeartbeats`: takes note of which endpoints report by themselves, and which have fallen silent.
//!
//! The endpoint is its own observer here, so its word (or its silence, by the leader's clock) is the verdict.

use alloc::sync::Arc;

use crate::command::{Rejection, Reply};
use crate::observation::Target;
use crate::quorum::Verdict;
use crate::state::judge::is_heartbeat;
use crate::state::{State, Touch, Work};

impl State {
    pub(in crate::state) fn record_heartbeats(
        &mut self,
        work: &mut Work<'_>,
        term: u64,
        beats: &[(Target, bool)],
    ) -> Result<Reply, Rejection> {
        self.check_term(term)?;
        for (target, reports) in beats {
            let service = self.data.services.get_mut(&target.service).map(Arc::make_mut);
            let Some(service) = service else { continue };
            if !is_heartbeat(&service.spec, &target.check) {
                continue;
            }
            let check = service
                .endpoints
                .get_mut(&target.endpoint)
                .and_then(|endpoint| endpoint.checks.get_mut(&target.check));
            let verdict = if *reports { Verdict::Up } else { Verdict::Down };
            if let Some(check) = check.filter(|check| check.verdict != verdict) {
                check.verdict = verdict;
                work.touch(&target.service, Touch::Observed);
            }
        }
        Ok(Reply::Done)
    }
}
