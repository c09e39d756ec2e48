//! What the writer publishes and every handle reads: position, durability, health.
//!
//! Published only after the sync that makes it true. The first reason for a halt stays, but one that is for good takes
//! the place of one that may be mended.

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use holdfast_core::GroupId;
use tokio::sync::watch;

use crate::Halted;
use crate::metrics::Metrics;
use crate::position::{Durable, Position};

/// Whether the log does its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// Every record is there, and new ones are taken.
    Writable,
    /// New records are taken, older ones must come from a peer.
    Backfilling {
        /// Which.
        missing: RangeInclusive<u64>,
    },
    /// Nothing is taken any more: a write failed, or this replica's records contradict its chain.
    Halted {
        /// What happened.
        reason: String,
        /// Whether [`AuditLog::mend`](crate::AuditLog::mend) may help: there was no room. The others are for good.
        mendable: bool,
    },
}

/// What the writer publishes and every handle reads.
#[derive(Debug)]
pub(crate) struct Shared {
    position: Mutex<Position>,
    durable: watch::Sender<Durable>,
    health: watch::Sender<Health>,
    queued: AtomicUsize,
    pub(crate) metrics: Metrics,
}

impl Shared {
    pub(crate) fn new(position: &Position, group: GroupId) -> Self {
        let shared = Self {
            position: Mutex::new(position.clone()),
            durable: watch::Sender::new(position.durable()),
            health: watch::Sender::new(health_of(position)),
            queued: AtomicUsize::new(0),
            metrics: Metrics::new(group),
        };
        shared.publish(position);
        shared
    }

    pub(crate) fn position(&self) -> Position {
        lock(&self.position).clone()
    }

    pub(crate) fn publish(&self, position: &Position) {
        *lock(&self.position) = position.clone();
        let durable = position.durable();
        #[expect(
            clippy::cast_precision_loss,
            reason = "a gauge is a float; exact up to 2^53 records"
        )]
        self.metrics.durable.set(durable.sequence as f64);
        self.durable.send_if_modified(|old| std::mem::replace(old, durable) != durable);
        self.health.send_if_modified(|old| {
            let new = health_of(position);
            let changed = !matches!(old, Health::Halted { .. }) && *old != new;
            if changed {
                *old = new;
            }
            changed
        });
    }

    pub(crate) fn durable(&self) -> watch::Receiver<Durable> {
        self.durable.subscribe()
    }

    pub(crate) fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    /// Stops the log.
    pub(crate) fn halt(&self, halted: &Halted) {
        let Halted { reason, mendable } = halted.clone();
        let news = self.health.send_if_modified(|old| {
            let news = match old {
                Health::Halted { mendable: before, .. } => *before && !mendable,
                Health::Writable | Health::Backfilling { .. } => true,
            };
            if news {
                *old = Health::Halted { reason, mendable };
            }
            news
        });
        if news {
            tracing::error!(reason = halted.reason, mendable, "the audit log is halted");
        }
    }

    /// Goes on from `position` after a halt that was mended.
    pub(crate) fn resume(&self, position: &Position) {
        self.health.send_if_modified(|old| {
            let mended = matches!(old, Health::Halted { mendable: true, .. });
            if mended {
                *old = health_of(position);
            }
            mended
        });
        self.publish(position);
    }

    pub(crate) fn halted(&self) -> Option<Halted> {
        match &*self.health.borrow() {
            Health::Halted { reason, mendable } => {
                Some(Halted { reason: reason.clone(), mendable: *mendable })
            }
            Health::Writable | Health::Backfilling { .. } => None,
        }
    }

    pub(crate) fn enqueued(&self, records: usize) {
        let before = self.queued.fetch_add(records, Ordering::Relaxed);
        self.show_queue(before + records);
    }

    pub(crate) fn dequeued(&self, records: usize) {
        let before = self.queued.fetch_sub(records, Ordering::Relaxed);
        self.show_queue(before.saturating_sub(records));
    }

    fn show_queue(&self, records: usize) {
        self.metrics.queue.set(u32::try_from(records).map_or(f64::from(u32::MAX), f64::from));
    }
}

fn health_of(position: &Position) -> Health {
    position.missing().map_or(Health::Writable, |missing| Health::Backfilling { missing })
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is guarded is replaced in one step, so a panic elsewhere leaves it whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
