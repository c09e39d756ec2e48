//! Wall time: for certificates, for moments that people name relative to now, and for offsets that `doctor` measures.

use holdfast_core::Timestamp;

/// The time now.
pub(crate) fn now() -> Timestamp {
    Timestamp(u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0))
}
