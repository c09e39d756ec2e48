//! Watching services: everything there is, or what happened since, and then each change.
//!
//! Each batch ends with a BOOKMARK, which alone moves the place to resume from: a watcher that is cut off in the middle
//! of a batch hears all of it again.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use holdfast_core::{ServiceId, View};
use holdfast_wire::pb::v1 as pb;
use holdfast_wire::pb::v1::WatchKind;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tonic::Status;

use super::heartbeat::Counted;
use super::{entry, in_namespace};
use crate::context::{Context, closing};
use crate::feed::{Change, Since, What};

/// Services put into messages at once; the rest of a listing waits until these are sent.
const BATCH: usize = 64;

/// A watcher at work.
struct Watcher {
    context: Context,
    request: pb::WatchServicesRequest,
    latest: watch::Receiver<u64>,
    /// Everything up to here was told.
    told: u64,
    pending: VecDeque<Pending>,
    ready: VecDeque<pb::WatchServicesResponse>,
    ended: bool,
    _room: OwnedSemaphorePermit,
    _counted: Counted,
}

/// What is yet to be put into messages.
enum Pending {
    Reset,
    Change(Change),
    Bookmark(u64),
}

/// Tells what happens to services.
pub(super) fn watch(
    context: &Context,
    request: pb::WatchServicesRequest,
) -> Result<BoxStream<'static, Result<pb::WatchServicesResponse, Status>>, Status> {
    let watcher = Watcher {
        _room: context.stream()?,
        _counted: Counted::new("watch"),
        latest: context.feed.latest(),
        told: request.resume_index,
        context: context.clone(),
        request,
        pending: VecDeque::new(),
        ready: VecDeque::new(),
        ended: false,
    };
    Ok(futures_util::stream::unfold(watcher, next).boxed())
}

async fn next(
    mut watcher: Watcher,
) -> Option<(Result<pb::WatchServicesResponse, Status>, Watcher)> {
    loop {
        if let Some(response) = watcher.ready.pop_front() {
            return Some((Ok(response), watcher));
        }
        if !watcher.pending.is_empty() {
            watcher.prepare();
            continue;
        }
        if watcher.ended {
            return None;
        }
        if watcher.collect() {
            continue;
        }
        let closed = watcher.context.closing.clone();
        let goes_on = tokio::select! {
            biased;
            () = closed.cancelled() => false,
            changed = watcher.latest.changed() => changed.is_ok(),
        };
        if !goes_on {
            watcher.ended = true;
            return Some((Err(closing()), watcher));
        }
    }
}

impl Watcher {
    /// Collects what is new; says whether there is anything.
    fn collect(&mut self) -> bool {
        self.latest.mark_unchanged();
        match self.context.feed.since(self.told) {
            Since::Changes(_, index) if index == self.told => false,
            Since::Changes(changes, index) => {
                self.pending.extend(changes.into_iter().map(Pending::Change));
                self.finish(index)
            }
            Since::Everything(view) => {
                if self.told != 0 {
                    self.pending.push_back(Pending::Reset);
                }
                self.pending.extend(everything(&view).map(Pending::Change));
                // An empty state has index 0, which would ask for everything again.
                self.finish(view.answers.index.max(1))
            }
        }
    }

    fn finish(&mut self, index: u64) -> bool {
        self.pending.push_back(Pending::Bookmark(index));
        true
    }

    /// Puts the next few into messages.
    fn prepare(&mut self) {
        for _ in 0..BATCH {
            match self.pending.pop_front() {
                None => return,
                Some(Pending::Reset) => self.say(WatchKind::Reset, String::new(), None),
                Some(Pending::Bookmark(index)) => {
                    self.told = index;
                    self.say(WatchKind::Bookmark, String::new(), None);
                }
                Some(Pending::Change(change)) => self.tell(change),
            }
        }
    }

    fn tell(&mut self, change: Change) {
        if !in_namespace(&change.id, &self.request.namespace) {
            return;
        }
        let id = change.id.to_string();
        match change.what {
            What::Added(status) => self.say(WatchKind::Added, id, Some(entry(&status))),
            What::Declared(status) => self.say(WatchKind::Modified, id, Some(entry(&status))),
            What::Moved(_) if self.request.declarations_only => {}
            What::Moved(status) => self.say(WatchKind::Modified, id, Some(entry(&status))),
            What::Deleted => self.say(WatchKind::Deleted, id, None),
        }
    }

    fn say(&mut self, kind: WatchKind, service_id: String, service: Option<pb::ServiceEntry>) {
        let (kind, resume_index) = (kind as i32, self.told);
        let response = pb::WatchServicesResponse { kind, resume_index, service_id, service };
        self.ready.push_back(response);
    }
}

fn everything(view: &Arc<View>) -> impl Iterator<Item = Change> {
    let index = view.answers.index;
    let added = move |(id, status): (&ServiceId, &Arc<_>)| Change {
        index,
        id: id.clone(),
        what: What::Added(Arc::clone(status)),
    };
    view.services.iter().map(added)
}
