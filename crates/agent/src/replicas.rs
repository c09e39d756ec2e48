//! Replicas hold their audit chains against each other, and fill what one of them lacks.
//!
//! Equal logs give equal chains, so a record with the same sequence must have the same hash everywhere. An agent that
//! a majority of the members contradicts is the one that diverged: its group stops applying, loudly, and its DNS goes
//! on from the last view. Where no majority speaks, everybody sounds the alarm and goes on.
//!
//! How the others stand also says whom to ask for records, and through which log index a quorum holds them: that far
//! the log may be forgotten, whatever becomes of this agent's own store.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use holdfast_audit::{AuditLog, Health};
use holdfast_consensus::{AuditSink as _, Group};
use holdfast_core::AgentId;
use holdfast_core::audit::{Hash, Record};
use holdfast_wire::agent::{Standing, decode_audit_records, encode_audit_range};
use holdfast_wire::peer::MessageKind;
use tokio_util::sync::CancellationToken;

use crate::audit_bridge::AuditBridge;
use crate::peers::Peers;

/// How often replicas compare.
const COMPARE_EVERY: Duration = Duration::from_secs(2);
/// How long a peer may take to answer.
const ASK_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a peer may take to send records.
const FETCH_TIMEOUT: Duration = Duration::from_secs(2);
/// The pause after a back-fill that brought nothing.
const FILL_PAUSE: Duration = Duration::from_millis(500);

/// Where this replica stands: what is durable of its audit chain, and whether it would take changes if it led.
pub(crate) fn standing_of(group: &Group, audit: &AuditLog, bridge: &AuditBridge) -> Standing {
    Standing {
        index: group.status().borrow().applied,
        audit: audit.head(),
        state: Hash::GENESIS,
        stored: audit.durable().borrow().index,
        writable: bridge.refuse_mutations().is_none(),
    }
}

/// Who stores most first, who does not answer last.
fn likeliest_first(
    mut peers: Vec<AgentId>,
    standings: &BTreeMap<AgentId, Standing>,
) -> Vec<AgentId> {
    peers.sort_by_key(|id| Reverse(standings.get(id).map(|standing| standing.stored)));
    peers
}

/// Through which log index a majority of the voters stores all records.
fn on_quorum(mut stored: Vec<u64>) -> u64 {
    stored.sort_unstable_by_key(|index| Reverse(*index));
    stored.get(stored.len() / 2).copied().unwrap_or(0)
}

/// Compares this replica with the others, and fills its audit log.
#[derive(Debug)]
pub(crate) struct Replicas {
    /// The group.
    pub(crate) group: Group,
    /// This replica's chain.
    pub(crate) audit: AuditLog,
    /// What carries records to it.
    pub(crate) bridge: AuditBridge,
    /// The others.
    pub(crate) peers: Peers,
    /// How those of the others stand that answered when they were last asked.
    pub(crate) standings: Mutex<BTreeMap<AgentId, Standing>>,
}

impl Replicas {
    /// Compares until cancelled.
    pub(crate) async fn compare(self: Arc<Self>, cancel: CancellationToken) {
        loop {
            tokio::select! {
                biased;
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(COMPARE_EVERY) => {}
            }
            self.compare_once().await;
        }
    }

    /// Asks the others, all at once, how they stand, and remembers who answered.
    pub(crate) async fn ask(&self) -> BTreeMap<AgentId, Standing> {
        let asks = self.peers.others().into_iter().map(|peer| async move {
            let answer = self.peers.call(peer, MessageKind::AuditHead, Vec::new(), ASK_TIMEOUT);
            Some((peer, Standing::decode(&answer.await.ok()?).ok()?))
        });
        let answers = futures_util::future::join_all(asks).await;
        let standings: BTreeMap<_, _> = answers.into_iter().flatten().collect();
        self.standings().clone_from(&standings);
        standings
    }

    async fn compare_once(&self) {
        let standings = self.ask().await;
        self.bridge.note_quorum(self.stored_on_quorum(&standings));
        let contradicts = |(peer, standing): (&AgentId, &Standing)| {
            (self.contradicts(standing) == Some(true)).then_some(*peer)
        };
        let against: Vec<AgentId> = standings.iter().filter_map(contradicts).collect();
        metrics::gauge!("holdfast_audit_divergent_peers").set(against.len() as f64);
        if against.is_empty() {
            return;
        }
        tracing::error!(
            ?against,
            "audit chains differ between replicas; run `holdfast audit verify` on each"
        );
        if against.len() * 2 > self.peers.count() {
            self.group.halt(&format!("agents {against:?} hold another audit chain than this one"));
        }
    }

    fn stored_on_quorum(&self, standings: &BTreeMap<AgentId, Standing>) -> u64 {
        let own = self.audit.durable().borrow().index;
        let status = self.group.status();
        let status = status.borrow();
        let voters = status.members.iter().filter(|member| member.voter);
        let stored = voters.map(|member| {
            if self.peers.is_self(member.id) {
                own
            } else {
                standings.get(&member.id).map_or(0, |standing| standing.stored)
            }
        });
        on_quorum(stored.collect())
    }

    /// Whether a peer's head contradicts this chain; `None` where this chain does not reach as far.
    fn contradicts(&self, standing: &Standing) -> Option<bool> {
        let length = standing.audit.length;
        if length == 0 {
            return None;
        }
        let own = self.audit.read(length..=length, usize::MAX).ok()?.pop()?;
        Some(own.hash != standing.audit.hash)
    }

    /// Fills holes of the audit log from peers, until cancelled.
    pub(crate) async fn fill(self: Arc<Self>, cancel: CancellationToken) {
        let mut health = self.audit.watch_health();
        loop {
            let missing = match &*health.borrow_and_update() {
                Health::Backfilling { missing } => Some(missing.clone()),
                Health::Writable | Health::Halted { .. } => None,
            };
            if let Some(range) = missing {
                let filled = self.fill_once(*range.start(), *range.end()).await;
                if filled {
                    continue;
                }
                tokio::select! {
                    biased;
                    () = cancel.cancelled() => return,
                    () = tokio::time::sleep(FILL_PAUSE) => continue,
                }
            }
            tokio::select! {
                biased;
                () = cancel.cancelled() => return,
                changed = health.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Asks each peer for the low end of what is missing; returns whether one brought something.
    async fn fill_once(&self, from: u64, to: u64) -> bool {
        let to = to.min(from + AuditLog::MAX_TRANSFER as u64 - 1);
        let others = likeliest_first(self.peers.others(), &self.standings());
        for peer in others {
            match self.fetch(peer, from, to).await {
                Ok(records) if records.is_empty() => {}
                Ok(records) => {
                    let count = records.len();
                    match self.audit.backfill(records).await {
                        Ok(filled) => {
                            tracing::info!(%peer, count, missing = ?filled.missing, "audit records filled in");
                            return filled.taken > 0;
                        }
                        Err(error) => {
                            tracing::warn!(%peer, %error, "a peer's audit records do not fit");
                        }
                    }
                }
                Err(why) => tracing::debug!(%peer, why, "a peer gave no audit records"),
            }
            // The last to be asked, until it says again how it stands.
            self.standings().remove(&peer);
        }
        false
    }

    fn standings(&self) -> MutexGuard<'_, BTreeMap<AgentId, Standing>> {
        self.standings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn fetch(&self, peer: AgentId, from: u64, to: u64) -> Result<Vec<Record>, String> {
        let body = encode_audit_range(from, to);
        let answer = self.peers.call(peer, MessageKind::AuditRead, body, FETCH_TIMEOUT).await;
        let encoded = decode_audit_records(&answer.map_err(|error| error.to_string())?);
        let encoded = encoded.map_err(|error| error.to_string())?;
        encoded
            .iter()
            .map(|bytes| {
                Record::from_bytes(bytes).ok_or_else(|| "a record cannot be read".to_owned())
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_core::audit::Head;

    #[test]
    fn a_majority_of_the_voters_stores_so_far() {
        let cases: [(&[u64], u64); 7] = [
            (&[], 0),
            (&[7], 7),
            (&[7, 5], 5),
            (&[0, 7, 5], 5),
            (&[9, 0, 0], 0),
            (&[1, 2, 3, 4], 2),
            (&[5, 1, 4, 2, 3], 3),
        ];
        for (stored, expected) in cases {
            assert_eq!(on_quorum(stored.to_vec()), expected, "{stored:?}");
        }
    }

    #[test]
    fn who_stores_most_is_asked_first_and_who_is_silent_last() {
        let standing = |stored| Standing {
            index: 9,
            audit: Head::EMPTY,
            state: Hash::GENESIS,
            stored,
            writable: true,
        };
        let standings =
            [(2, 0), (3, 8), (4, 5)].map(|(id, stored)| (AgentId(id), standing(stored)));
        let peers = [1, 2, 3, 4].map(AgentId).to_vec();
        let order = likeliest_first(peers, &BTreeMap::from(standings));
        assert_eq!(order, [3, 4, 2, 1].map(AgentId));
    }
}
