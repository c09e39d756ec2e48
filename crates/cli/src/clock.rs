//! Wall time: for certificates, for moments that people name relative to now, and for offsets that `doctor` measures.

use holdfast_agent::SystemClock;
use holdfast_core::Timestamp;
use holdfast_core::seam::Clock as _;

/// The time now.
pub(crate) fn now() -> Timestamp {
    SystemClock.now()
}
