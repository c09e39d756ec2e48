//! Check-quorum at the transport: a leader that no quorum has acknowledged for longer than the longest election
//! timeout stops replicating and heart-beating, so that the members it still reaches can elect another one.
//!
//! ```text
//! open ──no quorum for election_max──▶ shut (one probe per peer and election_max) ──quorum acknowledges──▶ open
//! ```
//!
//! openraft has such a rule of its own; this one holds whatever openraft does. Only appends pass here: votes, which
//! end the situation, are never held back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Whether this node's appends may leave.
pub(crate) struct Gate {
    me: u64,
    /// For how long a leader may do without a quorum, and the pause between probes.
    patience: Duration,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Since when this node leads, and who votes (two sets in a joint configuration).
    leading: Option<(Instant, Vec<BTreeSet<u64>>)>,
    /// When the last append that each peer acknowledged was sent.
    acknowledged: BTreeMap<u64, Instant>,
    probed: BTreeMap<u64, Instant>,
}

impl Gate {
    pub(crate) fn new(me: u64, patience: Duration) -> Self {
        Self { me, patience, inner: Mutex::default() }
    }

    /// Takes note of whether this node leads, and of the voters.
    pub(crate) fn lead(&self, voters: Option<&Vec<BTreeSet<u64>>>) {
        let mut inner = self.lock();
        let since = inner.leading.as_ref().map_or_else(Instant::now, |(since, _)| *since);
        inner.leading = voters.map(|voters| (since, voters.clone()));
    }

    /// Takes note that `peer` acknowledged an append that was sent at `sent`.
    pub(crate) fn acknowledge(&self, peer: u64, sent: Instant) {
        let mut inner = self.lock();
        let last = inner.acknowledged.entry(peer).or_insert(sent);
        *last = sent.max(*last);
    }

    /// Whether an append to `peer` may leave.
    pub(crate) fn permits(&self, peer: u64) -> bool {
        if self.has_quorum() {
            return true;
        }
        let now = Instant::now();
        let mut inner = self.lock();
        let due = inner.probed.get(&peer).is_none_or(|last| now - *last >= self.patience);
        if due {
            inner.probed.insert(peer, now);
        }
        due
    }

    /// Whether a quorum acknowledged lately; true for a node that does not lead.
    pub(crate) fn has_quorum(&self) -> bool {
        let inner = self.lock();
        let Some((since, configs)) = &inner.leading else { return true };
        let now = Instant::now();
        let fresh = |voter: &u64| {
            let last = inner.acknowledged.get(voter).map_or(*since, |last| *last.max(since));
            *voter == self.me || now - last <= self.patience
        };
        configs
            .iter()
            .all(|voters| voters.iter().filter(|voter| fresh(voter)).count() * 2 > voters.len())
    }

    /// When the last acknowledged append to `peer` was sent.
    pub(crate) fn last_acknowledged(&self, peer: u64) -> Option<Instant> {
        self.lock().acknowledged.get(&peer).copied()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_millis(300);

    #[tokio::test(start_paused = true)]
    async fn it_shuts_without_a_quorum_lets_probes_through_and_opens_again() {
        let gate = Gate::new(1, PATIENCE);
        gate.lead(Some(&vec![BTreeSet::from([1, 2, 3])]));
        assert!(gate.permits(2), "a new leader has time");
        tokio::time::advance(PATIENCE * 2).await;
        assert!(gate.permits(2), "a probe");
        assert!(!gate.permits(2), "one only");
        assert!(gate.permits(3), "one per peer");
        tokio::time::advance(PATIENCE).await;
        assert!(gate.permits(2), "the next probe");
        gate.acknowledge(2, Instant::now());
        assert!(gate.permits(2) && gate.permits(3), "two of three are a quorum");
        gate.lead(None);
        tokio::time::advance(PATIENCE * 2).await;
        assert!(gate.permits(2), "only leaders are gated");
    }

    #[tokio::test(start_paused = true)]
    async fn a_joint_configuration_needs_both_quorums() {
        let gate = Gate::new(1, PATIENCE);
        gate.lead(Some(&vec![BTreeSet::from([1, 2]), BTreeSet::from([1, 3, 4])]));
        tokio::time::advance(PATIENCE * 2).await;
        gate.acknowledge(2, Instant::now());
        assert!(!gate.has_quorum());
        gate.acknowledge(4, Instant::now());
        assert!(gate.has_quorum());
    }
}
