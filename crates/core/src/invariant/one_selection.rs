//! S1: per (service, epoch) there is one target, over all nodes and all time.
//!
//! Source: the safety page, "decision split". Two selections under one epoch would be two truths that a consumer
//! cannot tell apart. Seen both in the views and in the records of changes.

use alloc::collections::BTreeMap;
use alloc::format;

use super::{Property, Violation, broken};
use crate::audit::{Hash, Record};
use crate::decision::Selection;
use crate::event::Event;
use crate::id::{Epoch, ServiceId};
use crate::view::View;

/// The selections seen so far, by service and epoch.
#[derive(Debug, Default)]
pub struct OneSelection {
    seen: BTreeMap<(ServiceId, Epoch), Hash>,
}

impl OneSelection {
    /// Takes note of a node's view and records. Errors: a second selection under one epoch.
    pub fn check(&mut self, view: &View, records: &[Record]) -> Result<(), Violation> {
        for record in records {
            if let (Some(service), Event::SelectionChanged { epoch, to, .. }) =
                (&record.content.service, &record.content.event)
            {
                self.check_selection(service, *epoch, to)?;
            }
        }
        view.services
            .iter()
            .try_for_each(|(id, status)| self.check_selection(id, status.epoch, &status.selection))
    }

    fn check_selection(
        &mut self,
        service: &ServiceId,
        epoch: Epoch,
        selection: &Selection,
    ) -> Result<(), Violation> {
        let digest = Hash::of_value(&(&selection.active, &selection.served, selection.refused));
        let known = *self.seen.entry((service.clone(), epoch)).or_insert(digest);
        if known == digest {
            return Ok(());
        }
        Err(broken(
            Property::S1,
            format!("{service} has a second selection under epoch {epoch}: {selection:?}"),
        ))
    }
}
