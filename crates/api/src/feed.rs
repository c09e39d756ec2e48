//! Changes of services, remembered for a while, so that a watcher who comes back hears what it missed.
//!
//! Made by comparing each view with the one before. A change carries the index of the view that brought it, so what a
//! watcher has heard up to an index on one node it need not hear again on another. Views skip indexes and nodes skip
//! different ones: a change may therefore be told twice, never not at all.
//!
//! The memory is bounded; who comes back after more than that begins anew.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use holdfast_core::shared_map::Difference;
use holdfast_core::view::ServiceStatus;
use holdfast_core::{ServiceId, View};
use tokio::sync::watch;

use crate::metrics::FEED_LENGTH;

/// The most changes that are remembered.
pub(crate) const MAX_CHANGES: usize = 16_384;

/// What happened to a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// It is new.
    Added(Arc<ServiceStatus>),
    /// Its declaration changed.
    Declared(Arc<ServiceStatus>),
    /// What is served, or how it stands, changed.
    Moved(Arc<ServiceStatus>),
    /// It is gone.
    Deleted,
}

/// A change of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) index: u64,
    pub(crate) id: ServiceId,
    pub(crate) what: What,
}

/// What a watcher is told next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Since {
    /// These, and then it is up to date with the index.
    Changes(Vec<Change>, u64),
    /// Too much has happened: this is all there is.
    Everything(Arc<View>),
}

#[derive(Debug)]
struct Memory {
    changes: VecDeque<Change>,
    /// Every change after this index is remembered.
    floor: u64,
    view: Arc<View>,
}

/// The memory, and who waits for it.
#[derive(Debug)]
pub(crate) struct Feed {
    memory: Mutex<Memory>,
    latest: watch::Sender<u64>,
}

impl Feed {
    /// A memory that begins with `view`.
    pub(crate) fn new(view: Arc<View>) -> Self {
        let index = view.answers.index;
        let memory = Memory { changes: VecDeque::new(), floor: index, view };
        Self { memory: Mutex::new(memory), latest: watch::Sender::new(index) }
    }

    /// Takes note of every view until there are no more.
    pub(crate) async fn follow(&self, mut views: watch::Receiver<Arc<View>>) {
        loop {
            let view = Arc::clone(&views.borrow_and_update());
            self.record(view);
            if views.changed().await.is_err() {
                return;
            }
        }
    }

    /// Takes note of a view.
    pub(crate) fn record(&self, view: Arc<View>) {
        let index = view.answers.index;
        let mut memory = self.lock();
        if index <= memory.view.answers.index {
            return;
        }
        let changes = compare(&memory.view, &view);
        memory.view = view;
        memory.changes.extend(changes);
        while memory.changes.len() > MAX_CHANGES {
            if let Some(oldest) = memory.changes.pop_front() {
                memory.floor = oldest.index;
            }
        }
        let length = u32::try_from(memory.changes.len()).unwrap_or(u32::MAX);
        metrics::gauge!(FEED_LENGTH).set(f64::from(length));
        drop(memory);
        self.latest.send_replace(index);
    }

    /// The newest index, to wait for.
    pub(crate) fn latest(&self) -> watch::Receiver<u64> {
        self.latest.subscribe()
    }

    /// What happened after `index`; 0 asks for everything.
    pub(crate) fn since(&self, index: u64) -> Since {
        let memory = self.lock();
        if index == 0 || index < memory.floor {
            return Since::Everything(Arc::clone(&memory.view));
        }
        let start = memory.changes.partition_point(|change| change.index <= index);
        let changes = memory.changes.range(start..).cloned().collect();
        Since::Changes(changes, memory.view.answers.index.max(index))
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is different in `new`.
fn compare(old: &View, new: &View) -> Vec<Change> {
    let index = new.answers.index;
    let change = |(id, before, after): Difference<'_, ServiceId, Arc<ServiceStatus>>| {
        let what = match (before, after) {
            (_, None) => What::Deleted,
            (None, Some(status)) => What::Added(Arc::clone(status)),
            (Some(before), Some(status)) if before.revision != status.revision => {
                What::Declared(Arc::clone(status))
            }
            (Some(_), Some(status)) => What::Moved(Arc::clone(status)),
        };
        Change { index, id: id.clone(), what }
    };
    old.services.differences(&new.services).map(change).collect()
}
