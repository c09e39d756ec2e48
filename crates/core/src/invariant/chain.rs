//! S14: the audit chain verifies from genesis, or from where it is picked up, to the head that the state names.
//!
//! Source: the safety page. Each record must follow the one before (no gap, no reordering), carry its hash, and
//! carry a hash that fits what it says.

use alloc::format;

use super::{Property, Violation, broken};
use crate::audit::{Head, Record};
use crate::view::View;

/// Follows records from a head on; returns the head they lead to. Errors: the first record that does not follow.
pub fn check_chain(head: Head, records: &[Record]) -> Result<Head, Violation> {
    records.iter().try_fold(head, |head, record| {
        let fail = |what| Err(broken(Property::S14, format!("record {}: {what}", record.sequence)));
        if record.sequence != head.length + 1 {
            return fail(format!("follows record {}", head.length));
        }
        if record.previous != head.hash {
            return fail(format!("names {} as the one before, not {}", record.previous, head.hash));
        }
        if !record.is_intact() {
            return fail("its hash does not fit what it says".into());
        }
        Ok(record.head())
    })
}

/// Says whether a chain ends where the view says.
pub(super) fn check_ends_at(head: Option<Head>, view: &View) -> Result<(), Violation> {
    match (head, view.audit) {
        (Some(head), Some(audit)) if head != audit => Err(broken(
            Property::S14,
            format!("the records end at {}, the state says {}", head.length, audit.length),
        )),
        _ => Ok(()),
    }
}
