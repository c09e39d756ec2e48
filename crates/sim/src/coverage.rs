//! Whether a run exercised what it set out to. A fault that was applied and left no mark proved nothing, and a run
//! with such a fault is a failed run.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How often each kind of fault was applied, and how often it was felt; clones count together.
#[derive(Clone, Default)]
pub(crate) struct Coverage(Arc<Mutex<BTreeMap<&'static str, (u64, u64)>>>);

impl Coverage {
    /// A fault of this kind begins.
    pub(crate) fn applied(&self, kind: &'static str) {
        self.lock().entry(kind).or_default().0 += 1;
    }

    /// Something met a fault of this kind.
    pub(crate) fn felt(&self, kind: &'static str) {
        self.lock().entry(kind).or_default().1 += 1;
    }

    /// The kinds that were applied and never felt.
    pub(crate) fn missed(&self) -> Vec<&'static str> {
        let counts = self.lock();
        let missed = counts.iter().filter(|(_, (applied, felt))| *applied > 0 && *felt == 0);
        missed.map(|(kind, _)| *kind).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, (u64, u64)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (kind, (applied, felt)) in self.lock().iter() {
            write!(f, " {kind} {applied}/{felt}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_applied_must_be_felt() {
        let coverage = Coverage::default();
        coverage.applied("crash");
        coverage.applied("storm");
        coverage.felt("storm");
        assert_eq!(coverage.missed(), ["crash"]);
        coverage.felt("crash");
        assert!(coverage.missed().is_empty());
    }
}
