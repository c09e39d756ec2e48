//! Sends what this node observes to the leader of the group.
//!
//! Level-triggered: after anything that went wrong (no leader, no answer, a leader that does not know this boot) the
//! whole digest is sent, so nothing has to be remembered about what was lost. Reports of one boot are numbered by a
//! counter that only grows. What is too much for one message goes in several, one after the other; a digest that was
//! cut off begins again from its first page.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use holdfast_consensus::Group;
use holdfast_core::observation::{Extent, Observation, Report, Target};
use holdfast_core::{AgentId, BootId, ServiceId};
use holdfast_probe::Digest;
use holdfast_wire::agent::{Bulletin, BulletinReply};
use holdfast_wire::peer::MessageKind;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::hub::{CONFIRM_TARGETS, Hub};
use crate::peers::Peers;

/// How long the leader may take to record a report.
const REPORT_TIMEOUT: Duration = Duration::from_secs(2);
/// The pause after a report that did not arrive.
const RETRY_PAUSE: Duration = Duration::from_millis(50);
/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// The whole digest is sent this often, whatever happened.
const FULL_EVERY: Duration = Duration::from_secs(300);

/// Observations in one report. One with the longest names and a failure takes less than a KiB, and a message 16 MiB.
const PAGE: usize = 4096;

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

    /// Sends what there is to say; returns how long to wait for something new.
    async fn report(&self, leader: AgentId, progress: &mut Progress) -> Duration {
        let full = progress.need_full || progress.last_full.elapsed() >= FULL_EVERY;
        let changes = self.digest.take_changes();
        progress.suspects.extend(self.digest.take_suspects());
        let redeclared = self.redeclared(progress);
        let observations =
            if full { self.digest.full() } else { self.with_redeclared(changes, &redeclared) };
        // What is asked for at a time is bounded: beyond it, hints are dropped.
        let suspects = std::mem::take(&mut progress.suspects);
        let suspects: Vec<Target> = suspects.into_iter().take(CONFIRM_TARGETS).collect();
        match self.send_all(leader, &suspects, paged(full, observations)).await {
            Ok(reply) => {
                progress.need_full = reply.need_full;
                if full {
                    progress.last_full = Instant::now();
                }
                progress.pause = RETRY_PAUSE;
                if reply.need_full { Duration::ZERO } else { self.every }
            }
            Err(why) => {
                tracing::debug!(%leader, why, "a report did not arrive; the whole digest goes next");
                metrics::counter!("holdfast_reports_failed_total").increment(1);
                progress.need_full = true;
                progress.suspects.extend(suspects);
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

    /// Sends hints and reports in order; returns the last answer. Errors: where it stopped.
    async fn send_all(
        &self,
        leader: AgentId,
        suspects: &[Target],
        pages: Vec<(Extent, Vec<Observation>)>,
    ) -> Result<BulletinReply, String> {
        let (agent, boot) = (self.agent, self.boot);
        let mut suspects = suspects.to_vec();
        let mut last = None;
        for (extent, observations) in pages {
            let sequence = self.sequence.fetch_add(1, Ordering::Relaxed) + 1;
            let report = Some(Report { agent, boot, sequence, extent, observations });
            let suspects = std::mem::take(&mut suspects);
            last = Some(self.send(leader, Bulletin { agent, boot, report, suspects }).await?);
        }
        match last {
            Some(reply) => Ok(reply),
            None => self.send(leader, Bulletin { agent, boot, report: None, suspects }).await,
        }
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

/// Cuts observations, ascending by target, into reports of a bounded size.
fn paged(full: bool, mut observations: Vec<Observation>) -> Vec<(Extent, Vec<Observation>)> {
    let mut pages = Vec::new();
    let mut after = None;
    while full || !observations.is_empty() {
        let rest = observations.split_off(observations.len().min(PAGE));
        let last = rest.is_empty();
        let through = observations.last().map(|observation| observation.target.clone());
        let page = Extent::Page { after: std::mem::replace(&mut after, through), last };
        pages.push((if full { page } else { Extent::Changes }, observations));
        if last {
            break;
        }
        observations = rest;
    }
    pages
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_core::Timestamp;
    use holdfast_core::observation::ObserverState;
    use holdfast_core::sample::{Failure, FailureKind, Phase};

    fn observations(count: usize) -> Vec<Observation> {
        let label = |prefix: &str, number: usize| format!("{prefix:x<54}-{number:08}");
        let observation = |number: usize| Observation {
            target: Target {
                service: label("service", number / 10).parse().expect("valid"),
                endpoint: label("endpoint", number).parse().expect("valid"),
                check: label("check", 0).parse().expect("valid"),
            },
            fingerprint: u64::MAX,
            state: ObserverState::Down,
            failure: Some(Failure::new(Phase::Connect, FailureKind::Refused, "x".repeat(4096))),
            latency: Duration::from_secs(1),
            since: Timestamp(u64::MAX),
        };
        (0..count).map(observation).collect()
    }

    #[test]
    fn a_hundred_thousand_targets_go_in_messages_that_fit() {
        const COUNT: usize = 100_000;
        let all = observations(COUNT);
        let pages = paged(true, all.clone());
        let mut through = None;
        for (place, (extent, observations)) in pages.iter().enumerate() {
            let last = place + 1 == pages.len();
            assert_eq!(*extent, Extent::Page { after: through, last });
            through = observations.last().map(|observation| observation.target.clone());
            let (agent, boot) = (AgentId(1), BootId(1));
            let (extent, observations) = (extent.clone(), observations.clone());
            let report = Some(Report { agent, boot, sequence: 1, extent, observations });
            let bulletin = Bulletin { agent, boot, report, suspects: Vec::new() };
            assert!(bulletin.encode().len() < 16 * 1024 * 1024);
        }
        let sent: Vec<Observation> = pages.into_iter().flat_map(|(_, page)| page).collect();
        assert_eq!(sent, all);
    }

    #[test]
    fn what_changed_is_cut_as_well_and_nothing_is_a_digest_too() {
        let pages = paged(false, observations(PAGE + 1));
        let shape: Vec<(Extent, usize)> =
            pages.into_iter().map(|(extent, page)| (extent, page.len())).collect();
        assert_eq!(shape, [(Extent::Changes, PAGE), (Extent::Changes, 1)]);
        assert_eq!(paged(false, Vec::new()), []);
        assert_eq!(paged(true, Vec::new()), [(Extent::WHOLE, Vec::new())]);
        assert_eq!(paged(true, observations(PAGE)).len(), 1);
    }
}
