//! A leader whose audit store is in trouble refuses every change, so it hands leadership to a voter whose store is not.
//!
//! ```text
//! well ──store halted, or behind for long──▶ ailing ──store writable──▶ well
//!        ailing, leads:    asks the voters how they stand, hands over to one that is well, with a growing pause;
//!                          where the leader before led for short, not before the warm-up of this term is over
//!        ailing, follows:  does not stand for election, unless nobody leads for long
//! ```
//!
//! Leadership matters more than audit: where no voter is well, the leader stays, and decides failovers as ever. An
//! ailing member may hold entries that the others need, so it stands all the same where nobody else is elected. And
//! where stores ail in turn, every other leader at least is past its warm-up, during which nothing moves by itself.

use std::sync::Arc;
use std::time::Duration;

use holdfast_consensus::{AuditSink as _, GroupStatus, Role};
use holdfast_core::AgentId;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::replicas::Replicas;

/// How often a store that may be ailing is looked at; a halt and a change of the group are noticed at once.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long a store may be behind before leadership is handed over for it.
const BEHIND_PATIENCE: Duration = Duration::from_secs(3);
/// How long nobody leads before an ailing member stands for election.
const FORBEARANCE: Duration = Duration::from_secs(1);
/// The pause after the first handing over; it doubles.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause, and how long a member is well before the pause is the first one again.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How long a leader has to decide, beyond its warm-up.
const DECIDING: Duration = Duration::from_secs(2);
/// The group's time passes slower than this clock by less than this part.
const SLOWER: u32 = 4;

/// Hands leadership over when this member's audit store ails.
#[derive(Debug)]
pub(crate) struct Succession {
    /// How the members stand.
    pub(crate) replicas: Arc<Replicas>,
}

/// What is remembered from look to look.
#[derive(Debug)]
struct Memory {
    behind_since: Option<Instant>,
    leaderless_since: Option<Instant>,
    last_ailed: Option<Instant>,
    next_try: Instant,
    pause: Duration,
    reign: Option<Reign>,
}

/// How long the present leader has led.
#[derive(Debug, Clone, Copy)]
struct Reign {
    term: u64,
    since: Instant,
    /// The leader before it led too short to decide anything.
    hasty: bool,
}

impl Reign {
    /// What is known after the leader of `term` was seen, for whom `enough` is long enough.
    fn after(earlier: Option<Self>, term: u64, enough: Duration, now: Instant) -> Self {
        match earlier {
            Some(same) if same.term == term => same,
            Some(other) => Self { term, since: now, hasty: now - other.since < enough },
            None => Self { term, since: now, hasty: false },
        }
    }

    /// Whether the present leader may hand over.
    fn may_end(&self, enough: Duration, now: Instant) -> bool {
        !self.hasty || now - self.since >= enough
    }
}

/// How long a leader has to lead so that failovers can be decided.
fn enough(warm_up: Duration) -> Duration {
    warm_up + warm_up / SLOWER + DECIDING
}

impl Succession {
    /// Looks after leadership until cancelled.
    pub(crate) async fn run(self: Arc<Self>, cancel: CancellationToken) {
        let mut status = self.replicas.group.status();
        let mut health = self.replicas.audit.watch_health();
        let mut memory = Memory {
            behind_since: None,
            leaderless_since: None,
            last_ailed: None,
            next_try: Instant::now(),
            pause: FIRST_PAUSE,
            reign: None,
        };
        loop {
            let seen = status.borrow_and_update().clone();
            health.mark_unchanged();
            tokio::select! {
                biased;
                () = cancel.cancelled() => return,
                () = self.look(&seen, &mut memory) => {}
            }
            tokio::select! {
                biased;
                () = cancel.cancelled() => return,
                changed = status.changed() => if changed.is_err() { return cancel.cancelled().await },
                changed = health.changed() => if changed.is_err() { return cancel.cancelled().await },
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    async fn look(&self, status: &GroupStatus, memory: &mut Memory) {
        let now = Instant::now();
        let enough = enough(self.replicas.group.view().borrow().settings.warm_up);
        if status.leader.is_some() {
            memory.reign = Some(Reign::after(memory.reign, status.term, enough, now));
        }
        let Some(why) = self.ailment(now, memory) else {
            self.replicas.group.stand_for_election(true);
            if memory.last_ailed.is_some_and(|last| now - last > LONGEST_PAUSE) {
                memory.pause = FIRST_PAUSE;
            }
            return;
        };
        memory.last_ailed = Some(now);
        if status.role == Role::Leader {
            memory.leaderless_since = None;
            self.replicas.group.stand_for_election(false);
            let may_end = memory.reign.is_none_or(|reign| reign.may_end(enough, now));
            if may_end && now >= memory.next_try {
                self.hand_over(status, &why).await;
                memory.next_try = Instant::now() + memory.pause;
                memory.pause = (memory.pause * 2).min(LONGEST_PAUSE);
            }
            return;
        }
        // A follower has its quorum as long as it hears the leader.
        let leaderless = (!status.quorum_ok).then(|| memory.leaderless_since.unwrap_or(now));
        memory.leaderless_since = leaderless;
        let forsaken = leaderless.is_some_and(|since| now - since >= FORBEARANCE);
        self.replicas.group.stand_for_election(forsaken);
    }

    /// Why leadership would be better elsewhere.
    fn ailment(&self, now: Instant, memory: &mut Memory) -> Option<String> {
        let why = self.replicas.bridge.refuse_mutations();
        memory.behind_since = why.is_some().then(|| memory.behind_since.unwrap_or(now));
        let long = memory.behind_since.is_some_and(|since| now - since >= BEHIND_PATIENCE);
        why.filter(|_| long || self.replicas.audit.halted().is_some())
    }

    async fn hand_over(&self, status: &GroupStatus, why: &str) {
        let Some(heir) = self.heir(status).await else {
            tracing::error!(
                why,
                "this leader refuses changes, and no other voter could take them; failovers go on. Make room on the \
                 disk of the audit store, or bring another voter back"
            );
            return;
        };
        let gone = self.replicas.group.yield_to(heir).await;
        tracing::warn!(why, %heir, gone, "leadership is handed to a voter whose audit store is well");
    }

    /// The voter that is well and has applied most.
    async fn heir(&self, status: &GroupStatus) -> Option<AgentId> {
        let voters = status.members.iter().filter(|member| member.voter).map(|member| member.id);
        let voters: Vec<AgentId> = voters.collect();
        let standings = self.replicas.ask().await;
        let well = standings.iter().filter(|(id, s)| s.writable && voters.contains(id));
        well.max_by_key(|(_, standing)| standing.index).map(|(id, _)| *id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn of_two_leaders_in_a_row_one_leads_for_long_enough() {
        let enough = enough(Duration::from_secs(600));
        let begun = Instant::now();
        let second = |number: u64| begun + Duration::from_secs(number);
        let first = Reign::after(None, 1, enough, begun);
        assert!(first.may_end(enough, begun), "nothing is known of an earlier one");
        let next = Reign::after(Some(first), 2, enough, second(30));
        assert!(!next.may_end(enough, second(30) + enough / 2));
        let next = Reign::after(Some(next), 2, enough, second(60));
        assert!(next.may_end(enough, second(30) + enough));
        let last = Reign::after(Some(next), 5, enough, second(30) + enough);
        assert!(last.may_end(enough, second(30) + enough));
    }
}
