//! The views that were served before, as far as they are remembered: what an incremental transfer starts from.
//!
//! A view is remembered for the zones whose serial it was the last to have. Views share what they have in common, so
//! one costs what has changed since. Bounded in three ways: views per zone, views in all, and names that changed
//! between them; the oldest go first, and a secondary that is older gets the whole zone.

use std::collections::VecDeque;
use std::sync::Arc;

use holdfast_core::DnsName;
use holdfast_core::view::Answers;

use super::aliases::Aliases;

/// The most views of one zone.
const MAX_OF_ZONE: usize = 64;
/// The most views in all.
const MAX_VIEWS: usize = 512;
/// The most names that changed between all of them.
const MAX_CHANGES: usize = 200_000;

/// Views that were served, oldest first.
#[derive(Debug, Clone, Default)]
pub(crate) struct History {
    past: VecDeque<Arc<Past>>,
    changes: usize,
    /// Those of the view that is served; `None` where nothing is known, and so no view before it either.
    aliases: Option<Aliases>,
}

/// A view that is served no more, and the zones that changed with the next one.
#[derive(Debug)]
struct Past {
    answers: Arc<Answers>,
    /// Apex and serial.
    zones: Vec<(DnsName, u32)>,
    /// How many names the next view had otherwise.
    changes: usize,
}

impl History {
    /// The history of the first view: none.
    pub(crate) fn of(first: &Answers) -> Self {
        Self { aliases: Some(Aliases::of(first)), ..Self::default() }
    }

    /// The history once `newer` is served in place of `older`.
    pub(crate) fn after(&self, older: &Arc<Answers>, newer: &Answers) -> Self {
        let mut next = self.clone();
        next.aliases = Some(match &self.aliases {
            Some(aliases) => aliases.after(older, newer),
            None => Aliases::of(newer),
        });
        let zones: Vec<(DnsName, u32)> = older
            .zones
            .differences(&newer.zones)
            .filter_map(|(apex, was, _)| was.map(|zone| (apex.clone(), zone.serial)))
            .collect();
        if zones.is_empty() {
            return next;
        }
        let changes = older.names.differences(&newer.names).take(MAX_CHANGES + 1).count();
        next.changes += changes;
        next.past.push_back(Arc::new(Past { answers: Arc::clone(older), zones, changes }));
        next.forget();
        next
    }

    /// The names with an ALIAS of the view that is served.
    pub(crate) fn aliases(&self) -> Option<&Aliases> {
        self.aliases.as_ref()
    }

    /// The view in which a zone had this serial.
    pub(crate) fn find(&self, apex: &DnsName, serial: u32) -> Option<&Arc<Answers>> {
        let of_zone = self.past.iter().rev().filter_map(|past| {
            let (_, serial) = past.zones.iter().find(|(zone, _)| zone == apex)?;
            Some((*serial, &past.answers))
        });
        let mut of_zone = of_zone.take(MAX_OF_ZONE);
        of_zone.find(|(known, _)| *known == serial).map(|(_, answers)| answers)
    }

    fn forget(&mut self) {
        while self.past.len() > MAX_VIEWS || self.changes > MAX_CHANGES {
            let Some(oldest) = self.past.pop_front() else { return };
            self.changes -= oldest.changes;
        }
    }
}
