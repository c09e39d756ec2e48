//! The names whose records lie elsewhere: what a secondary is given of them may differ though nothing at them does.
//!
//! Kept from view to view by what differs between the two, so that an increment looks at the ALIASes of its zone and
//! not at all of its names. Invariant: made anew from a view it is the same.

use std::ops::Bound;

use holdfast_core::view::Answers;
use holdfast_core::{DnsName, SharedMap};

use super::zone::has_alias;

/// The names with an ALIAS, of all zones of a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Aliases(SharedMap<DnsName, ()>);

impl Aliases {
    /// Those of a view.
    pub(super) fn of(answers: &Answers) -> Self {
        let with_alias = answers.names.iter().filter(|(_, here)| has_alias(here));
        Self(with_alias.map(|(name, _)| (name.clone(), ())).collect())
    }

    /// Those of `newer`, where these are of `older`.
    pub(super) fn after(&self, older: &Answers, newer: &Answers) -> Self {
        let mut next = self.0.clone();
        for (name, _, is) in older.names.differences(&newer.names) {
            match is.is_some_and(|here| has_alias(here)) {
                true => drop(next.insert(name.clone(), ())),
                false => drop(next.remove(name)),
            }
        }
        Self(next)
    }

    /// Those at and below a name.
    pub(super) fn within(&self, apex: &DnsName) -> impl Iterator<Item = &DnsName> {
        let from = self.0.iter_from(Bound::Included(apex)).map(|(name, ())| name);
        from.take_while(|name| name.is_within(apex))
    }
}
