//! Replicas hold their audit chains against each other, and fill what one of them lacks.
//!
//! Equal logs give equal chains, so a record with the same sequence must have the same hash everywhere. An agent that
//! a majority of the members contradicts is the one that diverged: its group stops applying, loudly, and its DNS goes
//! on from the last view. Where no majority speaks, everybody sounds the alarm and goes on.

use std::sync::Arc;
use std::time::Duration;

use holdfast_audit::{AuditLog, Health};
use holdfast_consensus::Group;
use holdfast_core::AgentId;
use holdfast_core::audit::{Hash, Record};
use holdfast_wire::agent::{Standing, decode_audit_records, encode_audit_range};
use holdfast_wire::peer::MessageKind;
use tokio_util::sync::CancellationToken;

use crate::peers::Peers;

/// How often replicas compare.
const COMPARE_EVERY: Duration = Duration::from_secs(2);
/// How long a peer may take to answer.
const ASK_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a peer may take to send records.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause after a back-fill that brought nothing.
const FILL_PAUSE: Duration = Duration::from_millis(500);

/// Where this replica stands: what is durable of its audit chain.
pub(crate) fn standing_of(group: &Group, audit: &AuditLog) -> Standing {
    let index = group.status().borrow().applied;
    Standing { index, audit: audit.head(), state: Hash::GENESIS }
}

/// Compares this replica with the others, and fills its audit log.
#[derive(Debug)]
pub(crate) struct Replicas {
    /// The group.
    pub(crate) group: Group,
    /// This replica's chain.
    pub(crate) audit: AuditLog,
    /// The others.
    pub(crate) peers: Peers,
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

    async fn compare_once(&self) {
        let mut against = Vec::new();
        for peer in self.peers.others() {
            let answer =
                self.peers.call(peer, MessageKind::AuditHead, Vec::new(), ASK_TIMEOUT).await;
            let Ok(standing) = answer
                .map_err(|e| e.to_string())
                .and_then(|body| Standing::decode(&body).map_err(|error| error.to_string()))
            else {
                continue;
            };
            if self.contradicts(&standing) == Some(true) {
                against.push(peer);
            }
        }
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
        for peer in self.peers.others() {
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
                            tracing::warn!(%peer, %error, "a peer's audit records do not fit")
                        }
                    }
                }
                Err(why) => tracing::debug!(%peer, why, "a peer gave no audit records"),
            }
        }
        false
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
