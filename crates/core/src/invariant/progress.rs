//! S2: a node's applied index, epochs and generation never decrease.
//!
//! Source: the safety page, "fencing": a consumer applies only what is strictly newer, so what is older must never
//! come later. A service that is deleted and declared anew goes on above its last epoch.

use alloc::collections::BTreeMap;
use alloc::format;

use super::{Property, Violation, broken};
use crate::id::{Epoch, ServiceId};
use crate::time::Timestamp;
use crate::view::View;

/// How far one node has come.
#[derive(Debug, Default)]
pub struct Progress {
    generation: u64,
    index: u64,
    at: Timestamp,
    epochs: BTreeMap<ServiceId, Epoch>,
}

impl Progress {
    /// Takes note of the node's view. Errors: something in it is older than before.
    pub fn check(&mut self, view: &View) -> Result<(), Violation> {
        let answers = &view.answers;
        if (answers.generation, answers.index) < (self.generation, self.index) {
            return Err(broken(
                Property::S2,
                format!(
                    "generation {} index {} follows generation {} index {}",
                    answers.generation, answers.index, self.generation, self.index
                ),
            ));
        }
        if answers.at < self.at {
            let what = format!("the group's time goes back from {} to {}", self.at, answers.at);
            return Err(broken(Property::S2, what));
        }
        (self.generation, self.index, self.at) = (answers.generation, answers.index, answers.at);
        view.services.iter().try_for_each(|(id, status)| self.check_epoch(id, status.epoch))
    }

    fn check_epoch(&mut self, service: &ServiceId, epoch: Epoch) -> Result<(), Violation> {
        let known = self.epochs.entry(service.clone()).or_insert(epoch);
        if epoch < *known {
            let what = format!("{service} goes back from epoch {known} to {epoch}");
            return Err(broken(Property::S2, what));
        }
        if epoch.0 > self.index {
            let what = format!("{service} is at epoch {epoch}, the node at index {}", self.index);
            return Err(broken(Property::S2, what));
        }
        *known = epoch;
        Ok(())
    }
}
