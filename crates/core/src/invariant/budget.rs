//! S9: automatic moves per window stay within the budget, of each service and of the group.
//!
//! Source: the safety page, "brakes". Counted again from the records of changes alone. When a declaration or the
//! settings change, the count begins anew: which rule an earlier move was made under is no longer to be seen.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use core::time::Duration;

use super::{Property, Violation, broken};
use crate::audit::Record;
use crate::event::Event;
use crate::id::ServiceId;
use crate::time::Timestamp;
use crate::view::View;

/// The automatic moves that one node's records show.
#[derive(Debug, Default)]
pub struct Budget {
    services: BTreeMap<ServiceId, VecDeque<Timestamp>>,
    group: VecDeque<Timestamp>,
}

impl Budget {
    /// Takes note of a node's records. Errors: a move beyond a budget.
    pub fn check(&mut self, view: &View, records: &[Record]) -> Result<(), Violation> {
        let rules = Rules::changed_in(records);
        for record in records {
            let (at, sequence) = (record.content.at, record.sequence);
            match (&record.content.event, &record.content.service) {
                (Event::ServiceApplied { .. } | Event::ServiceDeleted, Some(service)) => {
                    self.services.remove(service);
                }
                (Event::SettingsChanged { .. }, _) => self.group.clear(),
                (Event::SelectionChanged { cause, .. }, Some(service)) if cause.is_automatic() => {
                    if rules.declared.get(service).is_none_or(|&changed| sequence > changed) {
                        self.count_service(view, service, at)?;
                    }
                    if sequence > rules.settings {
                        self.count_group(view, at)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn count_service(
        &mut self,
        view: &View,
        id: &ServiceId,
        at: Timestamp,
    ) -> Result<(), Violation> {
        let Some(status) = view.services.get(id) else { return Ok(()) };
        let rules = &status.spec.failover;
        let count = count(self.services.entry(id.clone()).or_default(), at, rules.window);
        if count <= usize::from(rules.max_moves) {
            return Ok(());
        }
        Err(broken(Property::S9, format!("{id} moved {count} times in {:?}", rules.window)))
    }

    fn count_group(&mut self, view: &View, at: Timestamp) -> Result<(), Violation> {
        let settings = &view.settings;
        let count = count(&mut self.group, at, settings.window);
        if settings.max_moves.is_none_or(|max| count <= max as usize) {
            return Ok(());
        }
        Err(broken(Property::S9, format!("the group moved {count} times in {:?}", settings.window)))
    }
}

/// The last records of a history that changed a budget: the view shows the last ones only.
struct Rules<'a> {
    declared: BTreeMap<&'a ServiceId, u64>,
    settings: u64,
}

impl<'a> Rules<'a> {
    fn changed_in(records: &'a [Record]) -> Self {
        let mut rules = Self { declared: BTreeMap::new(), settings: 0 };
        for record in records {
            match (&record.content.event, &record.content.service) {
                (Event::ServiceApplied { .. } | Event::ServiceDeleted, Some(service)) => {
                    rules.declared.insert(service, record.sequence);
                }
                (Event::SettingsChanged { .. }, _) => rules.settings = record.sequence,
                _ => {}
            }
        }
        rules
    }
}

/// Adds a move; returns how many there are in the window that ends with it.
fn count(moves: &mut VecDeque<Timestamp>, at: Timestamp, window: Duration) -> usize {
    moves.push_back(at);
    while moves.front().is_some_and(|&moved| moved + window <= at) {
        moves.pop_front();
    }
    moves.len()
}
