//! Sends what this node observes to the leader of the group.
//!
//! Level-triggered: after anything that went wrong (no leader, no answer, a leader that does not know this boot) the
//! whole digest is sent, so nothing has to be remembered about what was lost. Reports of one boot are numbered by a
//! counter that only grows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use holdfast_consensus::Group;
use holdfast_core::observation::{Observation, Report, Target};
use holdfast_core::{AgentId, BootId, ServiceId};
use holdfast_probe::Digest;
use holdfast_wire::agent::{Bulletin, BulletinReply};
use holdfast_wire::peer::MessageKind;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::hub::Hub;
use crate::peers::Peers;

/// How long the leader may take to record a report.
const REPORT_TIMEOUT: Duration = Duration::from_secs(2);
/// The pause after a report that did not arrive.
const RETRY_PAUSE: Duration = Duration::from_millis(50);
/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// The whole digest is sent this often, whatever happened.
const FULL_EVERY: Duration = Duration::from_secs(300);

/// Sends this node's observations to the leader.
#[derive(Debug)]
pub(crate) struct Reporter {
    /// This agent.
    pub(crate) agent: AgentId,
    /// This process.
    pub(crate) boot: BootId,
    /// What it observes.
    pub(crate) digest: Arc<Digest>,
    /// The group whose leader is told.
    pub(crate) group: Group,
    /// The way to other agents.
    pub(crate) peers: Peers,
    /// The leader's side, where this agent is the leader.
    pub(crate) hub: Arc<Hub>,
    /// How often it says that it is there when there is nothing new.
    pub(crate) every: Duration,
    /// The number of the last report of this process; outlives a restart of the task.
    pub(crate) sequence: Arc<AtomicU64>,
}

/// What has been sent so far.
struct Progress {
    need_full: bool,
    last_full: Instant,
    /// Hints that did not arrive yet; a map, as the digest is.
    suspects: BTreeSet<Target>,
    /// The newest declaration that this observer's opinions have been sent for.
    declared: u64,
    pause: Duration,
}

impl Reporter {
    /// Reports until cancelled.
    pub(crate) async fn run(self: Arc<Self>, cancel: CancellationToken) {
        let mut status = self.group.status();
        let mut progress = Progress {
            need_full: true,
            last_full: Instant::now(),
            suspects: BTreeSet::new(),
            declared: 0,
            pause: RETRY_PAUSE,
        };
        loop {
            let leader = status.borrow_and_update().leader;
            let wait = match leader {
                Some(leader) => tokio::select! {
                    biased;
                    wait = self.report(leader, &mut progress) => wait,
                    // Whoever was asked no longer leads: what was under way is sent again, to the next one.
                    _ = status.wait_for(|status| status.leader != Some(leader)) => {
                        progress.need_full = true;
                        progress.pause = RETRY_PAUSE;
                        Duration::ZERO
                    }
                },
                None => LONGEST_PAUSE,
            };
            let news = leader.is_some() && !progress.need_full;
            tokio::select! {
                biased;
                () = cancel.cancelled() => return,
                changed = status.wait_for(|status| status.leader != leader) => {
                    if changed.is_err() {
                        return;
                    }
                    progress.pause = RETRY_PAUSE;
                }
                () = self.digest.notified(), if news => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Sends one bulletin; returns how long to wait for something new.
    async fn report(&self, leader: AgentId, progress: &mut Progress) -> Duration {
        let full = progress.need_full || progress.last_full.elapsed() >= FULL_EVERY;
        let changes = self.digest.take_changes();
        progress.suspects.extend(self.digest.take_suspects());
        let redeclared = self.redeclared(progress);
        let observations =
            if full { self.digest.full() } else { self.with_redeclared(changes, &redeclared) };
        let report = (full || !observations.is_empty()).then(|| {
            let sequence = self.sequence.fetch_add(1, Ordering::Relaxed) + 1;
            let (agent, boot) = (self.agent, self.boot);
            Report { agent, boot, sequence, full, observations }
        });
        let suspects = progress.suspects.iter().cloned().collect();
        let bulletin = Bulletin { agent: self.agent, boot: self.boot, report, suspects };
        let sent_full = full;
        match self.send(leader, bulletin).await {
            Ok(reply) => {
                progress.suspects.clear();
                progress.need_full = reply.need_full;
                if sent_full {
                    progress.last_full = Instant::now();
                }
                progress.pause = RETRY_PAUSE;
                if reply.need_full { Duration::ZERO } else { self.every }
            }
            Err(why) => {
                tracing::debug!(%leader, why, "a report did not arrive; the whole digest goes next");
                metrics::counter!("holdfast_reports_failed_total").increment(1);
                progress.need_full = true;
                let pause = progress.pause;
                progress.pause = (pause * 2).min(LONGEST_PAUSE);
                pause
            }
        }
    }

    /// The services declared since the last look. A declaration can void opinions that this observer still holds (a
    /// service deleted and declared again between two views), so they are sent again.
    fn redeclared(&self, progress: &mut Progress) -> BTreeSet<ServiceId> {
        let view = self.group.view().borrow().clone();
        let since = std::mem::replace(&mut progress.declared, view.answers.index);
        let newer = view.services.iter().filter(|(_, status)| status.revision > since);
        newer.map(|(id, _)| id.clone()).collect()
    }

    fn with_redeclared(
        &self,
        changes: Vec<Observation>,
        services: &BTreeSet<ServiceId>,
    ) -> Vec<Observation> {
        if services.is_empty() {
            return changes;
        }
        let mut all: BTreeMap<Target, Observation> = BTreeMap::new();
        let again = self.digest.full().into_iter().filter(|o| services.contains(&o.target.service));
        for observation in changes.into_iter().chain(again) {
            all.insert(observation.target.clone(), observation);
        }
        all.into_values().collect()
    }

    async fn send(&self, leader: AgentId, bulletin: Bulletin) -> Result<BulletinReply, String> {
        if leader == self.agent {
            return self.hub.take(bulletin).await.map_err(|refusal| refusal.to_string());
        }
        let body = self
            .peers
            .call(leader, MessageKind::Report, bulletin.encode(), REPORT_TIMEOUT)
            .await
            .map_err(|error| error.to_string())?;
        BulletinReply::decode(&body).map_err(|error| error.to_string())
    }
}
