//! Where the log stands: what is stored with every write and read first at open.
//!
//! ```text
//! base ─── records ─── low │ hole │ to ─── records ─── head
//! ```
//!
//! There is at most one hole: a second snapshot that jumps ahead makes it longer, so that it always ends in a hash
//! that is known. It is filled from the low end.

use std::ops::RangeInclusive;

use holdfast_core::audit::Head;
use serde::{Deserialize, Serialize};

use crate::store::Refusal;

/// What survives a loss of power.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Durable {
    /// The last record.
    pub sequence: u64,
    /// The log index up to which every record is stored that the log can derive, so that the log may be purged up to
    /// there.
    pub index: u64,
}

/// Where the log stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Position {
    /// The head before the first retained record.
    pub(crate) base: Head,
    /// The head that the chain reaches, over the hole.
    pub(crate) head: Head,
    /// What is missing below `head`.
    pub(crate) hole: Option<Hole>,
    /// The log index up to which records are included.
    pub(crate) index: u64,
}

/// Records that are known to exist and are not stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hole {
    /// The head below the hole when it came to be; trusted.
    pub(crate) start: Head,
    /// The head that filling has reached.
    pub(crate) low: Head,
    /// The head of the hole's last record; trusted.
    pub(crate) to: Head,
    /// Where the log can still derive what is missing: the index from which on it has to keep its entries. Absent
    /// behind a snapshot, whose log is gone.
    pub(crate) owed: Option<u64>,
}

/// The mark's first byte; another one is of a version that this one cannot read.
const MARK_VERSION: u8 = 1;

impl Position {
    pub(crate) const EMPTY: Self =
        Self { base: Head::EMPTY, head: Head::EMPTY, hole: None, index: 0 };

    pub(crate) fn durable(&self) -> Durable {
        let owed = self.hole.as_ref().and_then(|hole| hole.owed);
        Durable { sequence: self.head.length, index: owed.unwrap_or(self.index) }
    }

    pub(crate) fn missing(&self) -> Option<RangeInclusive<u64>> {
        self.hole.as_ref().map(Hole::missing)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        postcard::to_allocvec(&(MARK_VERSION, self)).expect("plain data always encodes")
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Refusal> {
        match bytes.first() {
            Some(&MARK_VERSION) => postcard::from_bytes::<(u8, Self)>(bytes)
                .map(|(_, position)| position)
                .map_err(|e| Refusal::Damaged(format!("the mark cannot be decoded: {e}"))),
            Some(other) => Err(Refusal::Unusable(format!(
                "its mark has version {other} and this agent knows {MARK_VERSION}: a newer agent wrote it"
            ))),
            None => Err(Refusal::Damaged("the mark is empty".into())),
        }
    }
}

impl Hole {
    pub(crate) fn missing(&self) -> RangeInclusive<u64> {
        self.low.length + 1..=self.to.length
    }
}
