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
        self.begin_anew(records);
        for record in records {
            let (at, Some(service)) = (record.content.at, &record.content.service) else {
                continue;
            };
            if !matches!(record.content.event, Event::SelectionChanged { cause, .. } if cause.is_automatic())
            {
                continue;
            }
            if let Some(status) = view.services.get(service) {
                let rules = &status.spec.failover;
                let moves = self.services.entry(service.clone()).or_default();
                let count = count(moves, at, rules.window);
                if count > usize::from(rules.max_moves) {
                    let what = format!("{service} moved {count} times in {:?}", rules.window);
                    return Err(broken(Property::S9, what));
                }
            }
            let settings = &view.settings;
            let count = count(&mut self.group, at, settings.window);
            if settings.max_moves.is_some_and(|max| count > max as usize) {
                let what = format!("the group moved {count} times in {:?}", settings.window);
                return Err(broken(Property::S9, what));
            }
        }
        self.begin_anew(records);
        Ok(())
    }

    /// Forgets the moves of whatever has new rules.
    fn begin_anew(&mut self, records: &[Record]) {
        for record in records {
            match (&record.content.event, &record.content.service) {
                (Event::ServiceApplied { .. } | Event::ServiceDeleted, Some(service)) => {
                    self.services.remove(service);
                }
                (Event::SettingsChanged, _) => self.group.clear(),
                _ => {}
            }
        }
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
