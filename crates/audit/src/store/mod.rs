//! Where records lie: a sorted map from sequence to encoded record, and one mark.
//!
//! A store keeps bytes and knows nothing of the chain. [`SledStore`] is the real one, [`MemoryStore`] the one of
//! simulations, which can crash and fail on demand.

mod memory;
mod sled;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{ControlFlow, RangeInclusive};

pub use self::memory::MemoryStore;
pub(crate) use self::sled::Refusal;
pub use self::sled::SledStore;
use crate::StoreError;

/// In which direction records are visited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// Oldest first.
    #[default]
    Ascending,
    /// Newest first.
    Descending,
}

/// Sees a sequence and its encoded record, and says whether to go on.
pub type Visit<'a> = &'a mut dyn FnMut(u64, &[u8]) -> ControlFlow<()>;

/// A sorted map from sequence to encoded record, and one mark.
pub trait AuditStore: fmt::Debug + Send + Sync + 'static {
    /// The encoded record of this sequence.
    fn get(&self, sequence: u64) -> Result<Option<Vec<u8>>, StoreError>;

    /// Visits what there is in `range` until `visit` breaks.
    fn scan(
        &self,
        range: RangeInclusive<u64>,
        order: Order,
        visit: Visit<'_>,
    ) -> Result<(), StoreError>;

    /// The highest sequence.
    fn last(&self) -> Result<Option<u64>, StoreError>;

    /// The mark as last written.
    fn mark(&self) -> Result<Option<Vec<u8>>, StoreError>;

    /// Writes records, and after them the mark: a mark that survives a crash says that they did.
    fn write(&self, records: &BTreeMap<u64, Vec<u8>>, mark: &[u8]) -> Result<(), StoreError>;

    /// Removes what there is in `range`: only records that never became part of the chain.
    fn remove(&self, range: RangeInclusive<u64>) -> Result<(), StoreError>;

    /// Returns once everything written survives a loss of power.
    fn sync(&self) -> Result<(), StoreError>;

    /// Forgets what a write that failed for want of room left behind: opens anew what is on disk. A store that keeps
    /// nothing of the kind has nothing to do. Errors: it cannot be opened; it may be tried again.
    fn reopen(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
