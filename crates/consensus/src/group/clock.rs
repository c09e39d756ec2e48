//! The time that a leader stamps on entries: wall time that never stands still and never goes back.
//!
//! `apply` clamps time, so a wall clock that is behind the group's time would freeze it, and with it every hold and
//! expiry. Where the wall clock is behind, time goes on from the last stamp at the pace of the monotonic clock.

use std::sync::{Arc, Mutex, PoisonError};

use holdfast_core::Timestamp;
use holdfast_core::seam::Clock;
use tokio::time::Instant;

pub(crate) struct Stamper {
    clock: Arc<dyn Clock>,
    last: Mutex<Option<(Timestamp, Instant)>>,
}

impl Stamper {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, last: Mutex::new(None) }
    }

    /// The time now, at least the group's time.
    pub(crate) fn stamp(&self, group_time: Timestamp) -> Timestamp {
        let now = Instant::now();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let carried = last.map_or(group_time, |(at, since)| at + (now - since));
        let at = self.clock.now().max(carried).max(group_time);
        *last = Some((at, now));
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    struct Wall(AtomicU64);
    impl Clock for Wall {
        fn now(&self) -> Timestamp {
            Timestamp(self.0.load(Ordering::SeqCst))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn time_goes_on_when_the_wall_clock_is_behind() {
        let wall = Arc::new(Wall(AtomicU64::new(1_000)));
        let stamper = Stamper::new(wall.clone());
        assert_eq!(stamper.stamp(Timestamp(50_000)), Timestamp(50_000));
        tokio::time::advance(Duration::from_millis(70)).await;
        assert_eq!(stamper.stamp(Timestamp(50_000)), Timestamp(50_070));
        wall.0.store(90_000, Ordering::SeqCst);
        assert_eq!(stamper.stamp(Timestamp(50_070)), Timestamp(90_000));
        wall.0.store(1_000, Ordering::SeqCst);
        tokio::time::advance(Duration::from_millis(5)).await;
        assert_eq!(stamper.stamp(Timestamp(90_000)), Timestamp(90_005));
    }
}
