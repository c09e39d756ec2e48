//! The latest opinion on every target: a map, never a queue. However often an opinion changes between two looks,
//! the reporter finds one entry, so a storm costs no more than the number of targets.
//!
//! One reporter takes from it: `take_changes` for what is new, `full` after a new connection to a leader.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use holdfast_core::observation::{Observation, ObserverState, Target};
use holdfast_core::steer::band;
use tokio::sync::Notify;

/// The latest opinion on every target.
#[derive(Debug, Default)]
pub struct Digest {
    latest: Mutex<Latest>,
    news: Notify,
}

#[derive(Debug, Default)]
struct Latest {
    opinions: BTreeMap<Target, Observation>,
    changed: BTreeSet<Target>,
    suspects: BTreeSet<Target>,
}

impl Digest {
    /// An empty digest.
    pub fn new() -> Self {
        Self::default()
    }

    /// The opinions that changed since the last call, ascending by target.
    pub fn take_changes(&self) -> Vec<Observation> {
        let mut latest = self.lock();
        let changed = std::mem::take(&mut latest.changed);
        changed.iter().filter_map(|target| latest.opinions.get(target)).cloned().collect()
    }

    /// All opinions, ascending by target.
    pub fn full(&self) -> Vec<Observation> {
        self.lock().opinions.values().cloned().collect()
    }

    /// The targets that began to fail since the last call, ascending: hints for the leader, never logged.
    pub fn take_suspects(&self) -> Vec<Target> {
        std::mem::take(&mut self.lock().suspects).into_iter().collect()
    }

    /// Waits until there are changes or suspects since the last wait. For one waiter.
    pub async fn notified(&self) {
        self.news.notified().await;
    }

    /// How many opinions there are.
    pub fn len(&self) -> usize {
        self.lock().opinions.len()
    }

    /// Whether there is no opinion yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Keeps an opinion. It is a change if the state differs, or what was probed, or the band of latency.
    pub(crate) fn put(&self, observation: Observation) {
        let mut latest = self.lock();
        let is_news = match latest.opinions.get(&observation.target) {
            Some(old) => {
                old.state != observation.state
                    || old.fingerprint != observation.fingerprint
                    || band(old.latency) != band(observation.latency)
            }
            None => observation.state != ObserverState::Unknown,
        };
        if is_news {
            latest.changed.insert(observation.target.clone());
        }
        latest.opinions.insert(observation.target.clone(), observation);
        drop(latest);
        if is_news {
            self.news.notify_one();
        }
    }

    /// Hints that a target began to fail.
    pub(crate) fn suspect(&self, target: Target) {
        if self.lock().suspects.insert(target) {
            self.news.notify_one();
        }
    }

    /// Forgets a target.
    pub(crate) fn remove(&self, target: &Target) {
        let mut latest = self.lock();
        latest.opinions.remove(target);
        latest.changed.remove(target);
        latest.suspects.remove(target);
    }

    fn lock(&self) -> MutexGuard<'_, Latest> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
