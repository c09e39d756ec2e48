//! The time that a leader stamps on entries: wall time that never stands still, never goes back and never leaps.
//!
//! `apply` clamps time, so a wall clock that is behind the group's time would freeze it, and with it every hold and
//! expiry. Where the two differ, time goes on from the last stamp at nearly the pace of the monotonic clock, and comes
//! nearer to the wall clock by a tenth of what passes ([`SLEW`]), so that a step of the clock does not end every order,
//! hold and budget at once, nor freeze them. A new leader goes on in the same way from the last entry that it
//! saw agreed on. So clocks that were an hour ahead leave the group an hour ahead, and ten hours later it no longer is;
//! a new leader that finds wall clock and group's time apart, or its own clock and the others', says so in its log.
//!
//! A leader that saw nothing agreed on since its process began takes the wall clock's time, unless the group's is later:
//! the group was off, and nobody knows how long but by the wall clock.
//!
//! The wall clock is what the members' clocks agree on ([`Clocks`]).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use holdfast_core::Timestamp;
use holdfast_core::time::SLEW;
use tokio::time::Instant;

use crate::clocks::Clocks;

/// A group whose time is further from the wall clock is worth a word.
const APART: Duration = Duration::from_secs(1);

pub(crate) struct Stamper {
    clocks: Arc<Clocks>,
    last: Mutex<Option<Stamp>>,
}

#[derive(Clone, Copy)]
struct Stamp {
    term: u64,
    /// Finer than milliseconds: many stamps within one must not make time stand still.
    at: Duration,
    since: Instant,
}

impl Stamper {
    pub(crate) fn new(clocks: Arc<Clocks>) -> Self {
        Self { clocks, last: Mutex::new(None) }
    }

    /// The time now in this term, at least the group's time; `witnessed` is what the group's time was when this process
    /// last saw an entry agreed on.
    pub(crate) fn stamp(
        &self,
        term: u64,
        group_time: Timestamp,
        witnessed: Option<(Timestamp, Instant)>,
    ) -> Timestamp {
        let now = Instant::now();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let wall = exact(self.clocks.agreed(group_time));
        let own = last.filter(|last| last.term == term);
        // What this agent stamped in an earlier term may be far from what the group took for the time since.
        let seen = witnessed.map(|(at, since)| Stamp { term, at: exact(at), since });
        let at = match own.or(seen).or(*last) {
            Some(from) => carried_on(from, now, wall).max(exact(group_time)),
            None => wall.max(exact(group_time)),
        };
        if own.is_none() {
            tell(apart(wall, at), "the group's time and its members' clocks");
            tell(
                apart(exact(self.clocks.own()), wall),
                "this leader's clock and those of the others",
            );
        }
        *last = Some(Stamp { term, at, since: now });
        Timestamp(u64::try_from(at.as_millis()).unwrap_or(u64::MAX))
    }
}

fn tell(apart: Option<Duration>, what: &str) {
    if let Some(apart) = apart {
        tracing::warn!(
            ?apart,
            "{what} are apart: check the time synchronisation of all members (holdfast doctor)"
        );
    }
}

fn exact(time: Timestamp) -> Duration {
    Duration::from_millis(time.0)
}

/// The time `now`, as near to the wall clock as the pace of time allows.
fn carried_on(from: Stamp, now: Instant, wall: Duration) -> Duration {
    let elapsed = now - from.since;
    let carried = from.at + elapsed;
    // Within its last millisecond, the wall clock does not tell how far it is.
    let nearest = carried.clamp(wall, wall + Duration::from_millis(1));
    nearest.clamp(carried - elapsed / SLEW, carried + elapsed / SLEW)
}

/// How far the group's time and a wall clock are apart, where that is more than clocks of one cluster may differ.
fn apart(wall: Duration, group_time: Duration) -> Option<Duration> {
    Some(wall.abs_diff(group_time)).filter(|apart| *apart > APART)
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_core::time::for_certain;
    use std::sync::atomic::{AtomicU64, Ordering};

    use holdfast_core::seam::Clock;

    struct Wall(AtomicU64);
    impl Clock for Wall {
        fn now(&self) -> Timestamp {
            Timestamp(self.0.load(Ordering::SeqCst))
        }
    }

    fn stamper(wall: Arc<Wall>) -> Stamper {
        Stamper::new(Arc::new(Clocks::new(wall)))
    }

    #[tokio::test(start_paused = true)]
    async fn time_goes_on_when_the_wall_clock_is_behind() {
        let wall = Arc::new(Wall(AtomicU64::new(1_000)));
        let stamper = stamper(wall.clone());
        assert_eq!(stamper.stamp(1, Timestamp(50_000), None), Timestamp(50_000));
        tokio::time::advance(Duration::from_millis(70)).await;
        assert_eq!(stamper.stamp(1, Timestamp(50_000), None), Timestamp(50_063));
        assert_eq!(
            stamper.stamp(1, Timestamp(90_000), None),
            Timestamp(90_000),
            "another leader was ahead"
        );
        wall.0.store(89_800, Ordering::SeqCst);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(stamper.stamp(1, Timestamp(90_000), None), Timestamp(90_900));
        tokio::time::advance(Duration::from_secs(1)).await;
        wall.0.store(91_850, Ordering::SeqCst);
        assert_eq!(
            stamper.stamp(1, Timestamp(90_000), None),
            Timestamp(91_851),
            "it has caught up"
        );
    }

    #[test]
    fn a_group_far_from_the_wall_clock_is_noticed() {
        let second = Duration::from_secs(1);
        assert_eq!(apart(50 * second, 49 * second), None);
        assert_eq!(apart(50 * second, 51 * second), None);
        assert_eq!(apart(50 * second, 90 * second), Some(40 * second));
        assert_eq!(apart(50 * second, 10 * second), Some(40 * second));
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_leader_carries_on_from_what_it_saw_agreed_on() {
        let wall = Arc::new(Wall(AtomicU64::new(3_600_000)));
        let stamper = stamper(wall.clone());
        let seen = |at| Some((Timestamp(at), Instant::now()));
        let witnessed = seen(50_000);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(stamper.stamp(1, Timestamp(50_000), witnessed), Timestamp(61_000));

        // What it stamped and nobody agreed on binds no later term.
        tokio::time::advance(Duration::from_secs(1000)).await;
        assert_eq!(stamper.stamp(1, Timestamp(50_000), witnessed), Timestamp(1_161_000));
        let witnessed = seen(1_000_000);
        wall.0.store(0, Ordering::SeqCst);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(stamper.stamp(3, Timestamp(1_000_000), witnessed), Timestamp(1_009_000));
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(stamper.stamp(3, Timestamp(1_009_000), seen(1_009_000)), Timestamp(1_018_000));
    }

    #[tokio::test(start_paused = true)]
    async fn a_wall_clock_that_leaps_is_followed_slowly() {
        let wall = Arc::new(Wall(AtomicU64::new(1_000)));
        let stamper = stamper(wall.clone());
        assert_eq!(stamper.stamp(1, Timestamp(0), None), Timestamp(1_000));
        wall.0.store(1_000 + 3_600_000, Ordering::SeqCst);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(stamper.stamp(1, Timestamp(1_000), None), Timestamp(12_000));
        wall.0.store(13_500, Ordering::SeqCst);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(stamper.stamp(1, Timestamp(12_000), None), Timestamp(13_100));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_waited_for_certain_lasts_its_real_time_at_the_fastest_pace() {
        let wall = Arc::new(Wall(AtomicU64::new(0)));
        let stamper = stamper(wall.clone());
        stamper.stamp(1, Timestamp(0), None);
        wall.0.store(3_600_000, Ordering::SeqCst);
        let wait = Duration::from_secs(300);
        let end = Timestamp(0) + for_certain(wait);
        tokio::time::advance(wait - Duration::from_millis(1)).await;
        assert!(stamper.stamp(1, Timestamp(0), None) < end);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(stamper.stamp(1, Timestamp(0), None), end, "and no longer than that");
    }

    #[tokio::test(start_paused = true)]
    async fn many_stamps_within_a_millisecond_do_not_hold_time_up() {
        let wall = Arc::new(Wall(AtomicU64::new(1_000)));
        let stamper = stamper(wall.clone());
        stamper.stamp(1, Timestamp(0), None);
        for step in 1..=10_000 {
            wall.0.store(1_000 + step / 10, Ordering::SeqCst);
            tokio::time::advance(Duration::from_micros(100)).await;
            stamper.stamp(1, Timestamp(0), None);
        }
        assert_eq!(stamper.stamp(1, Timestamp(0), None), Timestamp(2_000));
    }
}
