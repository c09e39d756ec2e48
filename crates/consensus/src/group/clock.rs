//! The time that a leader stamps on entries: wall time that never stands still, never goes back and never leaps.
//!
//! `apply` clamps time, so a wall clock that is behind the group's time would freeze it, and with it every hold and
//! expiry. Where the two differ, time goes on from the last stamp at nearly the pace of the monotonic clock, and comes
//! nearer to the wall clock by a tenth of what passes. So a first leader whose clock is an hour ahead leaves the group
//! an hour ahead, and ten hours later it no longer is; a new leader that finds it so says so in its log.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use holdfast_core::Timestamp;
use holdfast_core::seam::Clock;
use tokio::time::Instant;

/// A wall clock that is ahead or behind is approached by this part of the time that passes, so that a step of the
/// clock does not end every order, hold and budget at once, nor freeze them.
const SLEW: u32 = 10;
/// A group that is further ahead of the wall clock is worth a word.
const AHEAD: Duration = Duration::from_secs(1);

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
                let carried = at + elapsed;
                // Within its last millisecond, the wall clock does not tell how far it is.
                let nearest = carried.clamp(wall, wall + Duration::from_millis(1));
                let slow = (carried - elapsed / SLEW).max(group_time);
                nearest.clamp(slow, slow.max(carried + elapsed / SLEW))
            }
            None => {
                if let Some(ahead) = ahead_of(wall, group_time) {
                    tracing::warn!(
                        ?ahead,
                        "the group's time is ahead of this leader's clock: an earlier leader's clock was ahead, \
                        or this one is behind; check the time synchronisation of all members (holdfast doctor)"
                    );
                }
                wall.max(group_time)
            }
        };
        *last = Some((at, now));
        Timestamp(u64::try_from(at.as_millis()).unwrap_or(u64::MAX))
    }
}

/// By how much the group's time is ahead of a wall clock, where that is more than clocks of one cluster may differ.
fn ahead_of(wall: Duration, group_time: Duration) -> Option<Duration> {
    group_time.checked_sub(wall).filter(|ahead| *ahead > AHEAD)
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
        assert_eq!(stamper.stamp(Timestamp(50_000)), Timestamp(50_063));
        assert_eq!(stamper.stamp(Timestamp(90_000)), Timestamp(90_000), "another leader was ahead");
        wall.0.store(89_800, Ordering::SeqCst);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(stamper.stamp(Timestamp(90_000)), Timestamp(90_900));
        tokio::time::advance(Duration::from_secs(1)).await;
        wall.0.store(91_850, Ordering::SeqCst);
        assert_eq!(stamper.stamp(Timestamp(90_000)), Timestamp(91_851), "it has caught up");
    }

    #[test]
    fn a_group_ahead_of_the_wall_clock_is_noticed() {
        let second = Duration::from_secs(1);
        assert_eq!(ahead_of(50 * second, 49 * second), None);
        assert_eq!(ahead_of(50 * second, 51 * second), None);
        assert_eq!(ahead_of(50 * second, 90 * second), Some(40 * second));
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
