//! The time that a leader stamps on entries: wall time that never stands still, never goes back and never leaps.
//!
//! `apply` clamps time, so a wall clock that is behind the group's time would freeze it, and with it every hold and
//! expiry. Where the wall clock is behind, time goes on from the last stamp at the pace of the monotonic clock.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use holdfast_core::Timestamp;
use holdfast_core::seam::Clock;
use tokio::time::Instant;

/// A wall clock that is ahead is followed by this part of the time that passes, so that a step of the clock does not
/// end every order, hold and budget at once.
const SLEW: u32 = 10;

pub(crate) struct Stamper {
    clock: Arc<dyn Clock>,
    /// The last stamp, finer than its milliseconds: many stamps within one must not make time stand still.
    last: Mutex<Option<(Duration, Instant)>>,
}

impl Stamper {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, last: Mutex::new(None) }
    }

    /// The time now, at least the group's time.
    pub(crate) fn stamp(&self, group_time: Timestamp) -> Timestamp {
        let now = Instant::now();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let wall = Duration::from_millis(self.clock.now().0);
        let group_time = Duration::from_millis(group_time.0);
        let at = match *last {
            Some((at, since)) => {
                let elapsed = now - since;
                let carried = (at + elapsed).max(group_time);
                wall.clamp(carried, carried + elapsed / SLEW)
            }
            None => wall.max(group_time),
        };
        *last = Some((at, now));
        Timestamp(u64::try_from(at.as_millis()).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

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
        assert_eq!(stamper.stamp(Timestamp(90_000)), Timestamp(90_000), "another leader was ahead");
    }

    #[tokio::test(start_paused = true)]
    async fn a_wall_clock_that_leaps_is_followed_slowly() {
        let wall = Arc::new(Wall(AtomicU64::new(1_000)));
        let stamper = Stamper::new(wall.clone());
        assert_eq!(stamper.stamp(Timestamp(0)), Timestamp(1_000));
        wall.0.store(1_000 + 3_600_000, Ordering::SeqCst);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(stamper.stamp(Timestamp(1_000)), Timestamp(12_000));
        wall.0.store(13_500, Ordering::SeqCst);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(stamper.stamp(Timestamp(12_000)), Timestamp(13_100));
    }

    #[tokio::test(start_paused = true)]
    async fn many_stamps_within_a_millisecond_do_not_hold_time_up() {
        let wall = Arc::new(Wall(AtomicU64::new(1_000)));
        let stamper = Stamper::new(wall.clone());
        stamper.stamp(Timestamp(0));
        for step in 1..=10_000 {
            wall.0.store(1_000 + step / 10, Ordering::SeqCst);
            tokio::time::advance(Duration::from_micros(100)).await;
            stamper.stamp(Timestamp(0));
        }
        assert_eq!(stamper.stamp(Timestamp(0)), Timestamp(2_000));
    }
}
