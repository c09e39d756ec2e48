//! What time it is by the members' wall clocks together.
//!
//! A leader stamps time for its whole group, and one clock alone must not decide what that is: a group all of which were
//! off takes the wall clock's time, and one that is a month ahead would end every order and leave every other member's
//! signatures behind. So each answer to a Raft message tells what the answering member's clock shows, and a leader goes
//! by the middle of all that it heard lately and its own. It heard a quorum's by the time that it leads.
//!
//! Of an even number it goes by the earlier of the middle two, because a leap ahead cannot be taken back; but where that is
//! before the group's time, as a clock is that began at 1970, by the one that is nearer to it. Where its own is as near to the middle as one can
//! tell over a network, it goes by its own.
//!
//! Not known here: a majority of clocks that is wrong, and that of a member which has not answered quickly for a minute.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use holdfast_core::seam::Clock;
use holdfast_core::{AgentId, Timestamp};
use tokio::time::Instant;

/// A clock that is no further than this from the middle is as right as any.
const TOLERANCE: Duration = Duration::from_secs(1);
/// What was heard earlier than this counts no more.
const FRESH: Duration = Duration::from_mins(1);

/// The wall clocks of a group's members, as one of them knows them.
pub(crate) struct Clocks {
    own: Arc<dyn Clock>,
    heard: Mutex<BTreeMap<AgentId, Reading>>,
}

/// What a clock showed, and when that was.
#[derive(Clone, Copy)]
struct Reading {
    shown: Timestamp,
    at: Instant,
}

impl Clocks {
    pub(crate) fn new(own: Arc<dyn Clock>) -> Self {
        Self { own, heard: Mutex::default() }
    }

    /// What this member's clock shows.
    pub(crate) fn own(&self) -> Timestamp {
        self.own.now()
    }

    /// A member's clock showed this between `sent`, when it was asked, and now.
    pub(crate) fn hear(&self, member: AgentId, shown: Timestamp, sent: Instant) {
        let now = Instant::now();
        // An answer that took longer does not tell a clock to within the tolerance.
        if now - sent > 2 * TOLERANCE {
            return;
        }
        let reading = Reading { shown, at: sent + (now - sent) / 2 };
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.retain(|_, reading| now - reading.at <= FRESH);
        heard.insert(member, reading);
    }

    /// The time now by the members' clocks, of a group whose time is this.
    pub(crate) fn agreed(&self, group_time: Timestamp) -> Timestamp {
        let (own, now) = (self.own(), Instant::now());
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = heard.values().filter(|reading| now - reading.at <= FRESH);
        let others = fresh.map(|reading| reading.shown + (now - reading.at));
        let mut all: Vec<Timestamp> = others.chain([own]).collect();
        all.sort_unstable();
        let (earlier, later) = (all[(all.len() - 1) / 2], all[all.len() / 2]);
        let nearer = later.since(group_time) < group_time.since(earlier);
        let middle = if earlier < group_time && nearer { later } else { earlier };
        let apart = middle.since(own).max(own.since(middle));
        if apart <= TOLERANCE { own } else { middle }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp(1_800_000_000_000);
    const HOUR: Duration = Duration::from_hours(1);

    struct Shows(Timestamp);
    impl Clock for Shows {
        fn now(&self) -> Timestamp {
            self.0
        }
    }

    /// What is agreed on by members whose clocks show these, the first of which is asked.
    fn agreed(shown: &[Timestamp], group_time: Timestamp) -> Timestamp {
        let clocks = Clocks::new(Arc::new(Shows(shown[0])));
        for (member, shown) in (2..).zip(&shown[1..]) {
            clocks.hear(AgentId(member), *shown, Instant::now());
        }
        clocks.agreed(group_time)
    }

    #[tokio::test(start_paused = true)]
    async fn no_clock_decides_alone() {
        let (ahead, behind, early) = (NOON + 700 * HOUR, NOON.before(HOUR), NOON.before(8 * HOUR));
        for (shown, expected, what) in [
            (vec![NOON], NOON, "there is no other"),
            (vec![ahead, NOON, NOON], NOON, "the leader's is ahead"),
            (vec![behind, NOON, NOON], NOON, "the leader's is behind"),
            (vec![NOON, ahead, behind], NOON, "the others differ"),
            (vec![ahead, NOON], NOON, "one of two is ahead, the leader's"),
            (vec![NOON, ahead], NOON, "one of two is ahead"),
            (vec![NOON, ahead, ahead, NOON], NOON, "two of four are ahead"),
            (vec![Timestamp(0), NOON], NOON, "the leader's began at 1970"),
            (vec![NOON, Timestamp(0)], NOON, "the other's began at 1970"),
            (vec![Timestamp(9), Timestamp(5)], Timestamp(9), "both began at 1970"),
        ] {
            assert_eq!(agreed(&shown, early), expected, "{what}");
        }
        let led = NOON + Duration::from_millis(500);
        assert_eq!(agreed(&[NOON, ahead], led), NOON, "the group's time is a little ahead");
        assert_eq!(agreed(&[ahead, NOON], led), NOON, "and the leader's a lot");
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_near_the_middle_is_gone_by() {
        let near = NOON + TOLERANCE;
        assert_eq!(agreed(&[near, NOON, NOON], Timestamp(0)), near);
        let far = near + Duration::from_millis(1);
        assert_eq!(agreed(&[far, NOON, NOON], Timestamp(0)), NOON);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_heard_goes_on_and_then_counts_no_more() {
        let clocks = Clocks::new(Arc::new(Shows(NOON + HOUR)));
        let sent = Instant::now();
        tokio::time::advance(Duration::from_millis(200)).await;
        for member in [2, 3] {
            clocks.hear(AgentId(member), NOON, sent);
        }
        assert_eq!(clocks.agreed(Timestamp(0)), NOON + Duration::from_millis(100));
        tokio::time::advance(FRESH - Duration::from_millis(100)).await;
        assert_eq!(clocks.agreed(Timestamp(0)), NOON + FRESH);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(clocks.agreed(Timestamp(0)), NOON + HOUR);

        let sent = Instant::now();
        tokio::time::advance(2 * TOLERANCE + Duration::from_millis(1)).await;
        for member in [2, 3] {
            clocks.hear(AgentId(member), NOON, sent);
        }
        assert_eq!(clocks.agreed(Timestamp(0)), NOON + HOUR, "it may have been anywhen between");
    }
}
