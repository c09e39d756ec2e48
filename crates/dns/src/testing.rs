//! A clock that stands still, numbers that count, and names, for the tests of this crate.

use std::sync::atomic::{AtomicU64, Ordering};

use holdfast_core::seam::{Clock, Entropy};
use holdfast_core::{DnsName, Timestamp};

/// What the clock shows, in seconds since 1970.
pub(crate) const NOW: u64 = 1_700_000_000;

#[derive(Debug)]
pub(crate) struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp(NOW * 1000)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counting(AtomicU64);

impl Entropy for Counting {
    fn next_u64(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

pub(crate) fn name(text: &str) -> DnsName {
    DnsName::new(text).expect("valid")
}
