//! The one place where a view becomes what is served.
//!
//! Invariant: what is served only ever becomes newer. Whether a view is newer is decided by (generation, index) in
//! the same step as the swap, so a publisher that was held up cannot bring back an old view (the incident of 2025 in
//! safety.md). A view that was restored from disk yields to a live one of the same index.
//!
//! What the answers are compiled into is made here too, before the swap, from what differs between the two views.
//!
//! A panic while compiling is a bug, and no reason to go on with an old view: the view is compiled anew from nothing,
//! and if that panics too it is published without a table, so that the handler gives each answer.
//!
//! Views that were replaced are kept while somebody reads them (`retired`), so that the last reference is dropped here
//! and not in a thread that answers queries.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arc_swap::{ArcSwapOption, Guard};
use holdfast_core::view::{Answers, ServiceStatus};
use holdfast_core::{DnsName, ServiceId, SharedMap, View};
use metrics::counter;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::dnssec::{Signatures, Signers, SigningContext, Unsignable};
use crate::metric::{self, Counters, QueryCounters};
use crate::retired::Retired;
use crate::table::Table;
use crate::transfer::History;

/// Where in a group's history a view is. Later ones compare greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Raised when a group is recovered by force.
    pub generation: u64,
    /// The log index.
    pub index: u64,
    /// Whether it came from the group rather than from disk.
    pub live: bool,
}

/// A view that is served.
#[derive(Debug)]
pub struct Published {
    answers: Arc<Answers>,
    position: Position,
    since: Instant,
    counters: Arc<QueryCounters>,
    /// Those of the table's zones, by their numbers.
    numbered: Arc<[Arc<Counters>]>,
    table: Option<Table>,
    history: History,
    signers: Signers,
    /// The signed zones that could not be signed when it was published.
    refused: Vec<Unsignable>,
    services: Services,
}

/// The services behind a view, as far as they are known.
type Services = SharedMap<ServiceId, Arc<ServiceStatus>>;

impl Published {
    /// What is served.
    pub fn answers(&self) -> &Arc<Answers> {
        &self.answers
    }

    /// Where in the group's history it is.
    pub fn position(&self) -> Position {
        self.position
    }

    /// When this process began to serve it.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// The compiled answers; `None` where they could not be made, and the handler gives all.
    pub(crate) fn table(&self) -> Option<&Table> {
        self.table.as_ref()
    }

    /// What was served before, as far as it is remembered.
    pub(crate) fn history(&self) -> &History {
        &self.history
    }

    pub(crate) fn signers(&self) -> &Signers {
        &self.signers
    }

    /// The services of the same state; none where only answers were published.
    pub(crate) fn services(&self) -> &Services {
        &self.services
    }

    pub(crate) fn counters(&self) -> &QueryCounters {
        &self.counters
    }

    /// The counters of a zone of the table, or of everything else.
    pub(crate) fn counters_of(&self, zone: Option<usize>) -> &Counters {
        zone.and_then(|zone| self.numbered.get(zone)).unwrap_or(self.counters.at(None))
    }
}

/// What became of a publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is served.
    Served,
    /// What is served is as new or newer.
    NotNewer,
}

/// Makes the table of a view from the view and table before.
type Compile = fn(Option<(&Answers, &Table)>, &Answers) -> Table;

#[derive(Debug)]
struct Shared {
    current: ArcSwapOption<Published>,
    retired: Retired<Published>,
    compile: Compile,
    changed: watch::Sender<Option<Position>>,
    presigned: watch::Sender<Option<Position>>,
    signing: Option<SigningContext>,
    signatures: Arc<Signatures>,
}

/// Makes a publisher and the source that servers read, for an agent without sealing keys.
pub fn channel() -> (Publisher, AnswersSource) {
    make_channel(None, Table::of)
}

/// Makes a publisher and the source that servers read; signed zones are signed with keys that these open.
pub fn signing_channel(signing: SigningContext) -> (Publisher, AnswersSource) {
    make_channel(Some(signing), Table::of)
}

fn make_channel(signing: Option<SigningContext>, compile: Compile) -> (Publisher, AnswersSource) {
    let shared = Arc::new(Shared {
        current: ArcSwapOption::empty(),
        retired: Retired::default(),
        compile,
        changed: watch::Sender::new(None),
        presigned: watch::Sender::new(None),
        signing,
        signatures: Arc::default(),
    });
    (Publisher { shared: Arc::clone(&shared) }, AnswersSource { shared })
}

/// Publishes views. Clones publish to the same servers.
#[derive(Debug, Clone)]
pub struct Publisher {
    shared: Arc<Shared>,
}

impl Publisher {
    /// Serves a view from the group, if it is newer than the one that is served.
    pub fn publish(&self, answers: Arc<Answers>) -> Outcome {
        self.shared.publish(answers, Services::default(), true)
    }

    /// Serves what a view of the group's state answers, likewise; what its services may come to serve is signed too.
    pub fn publish_view(&self, view: &View) -> Outcome {
        self.shared.publish(Arc::clone(&view.answers), view.services.clone(), true)
    }

    /// Publishes without holding up the tasks of this thread: a view whose zones are others is compiled as a whole.
    fn publish_beside_other_tasks(&self, view: &View) {
        match Handle::current().runtime_flavor() {
            RuntimeFlavor::MultiThread => tokio::task::block_in_place(|| self.publish_view(view)),
            _ => self.publish_view(view),
        };
    }

    /// Publishes each view until `shutdown` or until the sender is gone. Views that come faster than they are
    /// published are skipped.
    pub async fn follow(self, mut views: watch::Receiver<Arc<View>>, shutdown: CancellationToken) {
        loop {
            let view = Arc::clone(&views.borrow_and_update());
            // A state that has applied nothing has nothing to say; what was restored from disk stays.
            if view.answers.index > 0 {
                self.publish_beside_other_tasks(&view);
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                changed = views.changed() => if changed.is_err() { return },
            }
        }
    }
}

/// What servers answer from.
#[derive(Debug, Clone)]
pub struct AnswersSource {
    shared: Arc<Shared>,
}

impl AnswersSource {
    /// The view that is served; `None` before the first.
    pub fn current(&self) -> Option<Arc<Published>> {
        self.shared.current.load_full()
    }

    /// Serves a view that was kept on disk, unless there is a newer one.
    pub fn restore(&self, answers: Arc<Answers>) -> Outcome {
        self.shared.publish(answers, Services::default(), false)
    }

    /// The signed zones whose signed answers are refused at this moment, and why.
    pub fn unsignable(&self) -> Vec<Unsignable> {
        let Some(current) = self.current() else { return Vec::new() };
        self.shared.unsignable(&current.signers, &current.answers)
    }

    /// What signing takes, where there is any.
    pub(crate) fn signing(&self) -> Option<(&SigningContext, &Arc<Signatures>)> {
        Some((self.shared.signing.as_ref()?, &self.shared.signatures))
    }

    /// The last view whose signatures are all made, as far as they are made beforehand.
    pub fn presigned(&self) -> watch::Receiver<Option<Position>> {
        self.shared.presigned.subscribe()
    }

    pub(crate) fn note_presigned(&self, position: Position) {
        // Exact up to 2^53 entries.
        metrics::gauge!(metric::PRESIGNED_INDEX).set(position.index as f64);
        self.shared.presigned.send_if_modified(|known| known.replace(position) != Some(position));
    }

    /// Told after each publication.
    pub fn changes(&self) -> watch::Receiver<Option<Position>> {
        self.shared.changed.subscribe()
    }
}

impl Shared {
    fn publish(&self, answers: Arc<Answers>, services: Services, live: bool) -> Outcome {
        let position = Position { generation: answers.generation, index: answers.index, live };
        let mut next: Option<Arc<Published>> = None;
        // Each turn of this loop is another publisher's success, so it ends with theirs.
        loop {
            let current = self.current.load();
            if current.as_ref().is_some_and(|current| position <= current.position) {
                return Outcome::NotNewer;
            }
            let current_view = current.as_deref();
            let next = next.get_or_insert_with(|| {
                let table = self.table(current_view, &answers);
                let counters = counters(current_view, &answers);
                let (signers, refused) = self.ready(current_view, &answers);
                Arc::new(Published {
                    signers,
                    refused,
                    numbered: numbered(current_view, table.as_ref(), &counters),
                    table,
                    counters,
                    history: attempt("history", || history(current_view, &answers))
                        .unwrap_or_default(),
                    answers: Arc::clone(&answers),
                    services: services.clone(),
                    position,
                    since: Instant::now(),
                })
            });
            let found = self.current.compare_and_swap(&*current, Some(Arc::clone(next)));
            if same(&found, &current) {
                if let Some(replaced) = Guard::into_inner(found) {
                    self.retired.keep(replaced);
                }
                self.announce();
                return Outcome::Served;
            }
        }
    }

    /// The signed zones of a view; says loudly which of them this agent cannot sign.
    fn ready(&self, current: Option<&Published>, answers: &Answers) -> (Signers, Vec<Unsignable>) {
        let before = current.map(|current| (&*current.answers, &current.signers));
        let signers = Signers::of(self.signing.as_ref(), before, answers);
        let refused = self.unsignable(&signers, answers);
        metrics::gauge!(metric::UNSIGNABLE).set(refused.len() as f64);
        let known = |zone: &DnsName| {
            current.is_some_and(|current| current.refused.iter().any(|known| known.zone == *zone))
        };
        for Unsignable { zone, why } in refused.iter().filter(|refused| !known(&refused.zone)) {
            let next = why.next_step();
            tracing::error!(%zone, %why, next, "the zone is signed and cannot be signed here; its signed answers are refused");
        }
        (signers, refused)
    }

    fn unsignable(&self, signers: &Signers, answers: &Answers) -> Vec<Unsignable> {
        let now = self.signing.as_ref().map_or(answers.at, |signing| signing.clock.now());
        signers.unable(now, answers.at)
    }

    fn table(&self, current: Option<&Published>, answers: &Answers) -> Option<Table> {
        let before = current.and_then(|current| Some((&*current.answers, current.table()?)));
        let table = attempt("table", || (self.compile)(before, answers));
        let anew = || attempt("whole table", || (self.compile)(None, answers));
        // From nothing there is no second way to make the same.
        if before.is_some() { table.or_else(anew) } else { table }
    }

    fn announce(&self) {
        let newest = self.current.load().as_ref().map(|current| current.position);
        self.changed.send_if_modified(|known| {
            let newer = newest > *known;
            if newer {
                *known = newest;
                let index = newest.map_or(0, |position| position.index);
                // Exact up to 2^53 entries.
                metrics::gauge!(metric::VIEW_INDEX).set(index as f64);
            }
            newer
        });
    }
}

/// Makes a part of what is published; `None` where that panics, which is counted and said.
pub(crate) fn attempt<T>(part: &'static str, make: impl FnOnce() -> T) -> Option<T> {
    let made = catch_unwind(AssertUnwindSafe(make)).ok();
    if made.is_none() {
        counter!(metric::PANICS).increment(1);
        tracing::error!(
            part,
            "a view is published without what could not be made of it; answers are right but may take longer: report \
             this with the log before it"
        );
    }
    made
}

fn history(current: Option<&Published>, answers: &Answers) -> History {
    match current {
        Some(current) => current.history.after(&current.answers, answers),
        None => History::of(answers),
    }
}

fn counters(current: Option<&Published>, answers: &Answers) -> Arc<QueryCounters> {
    match current {
        Some(current) if current.counters.fit(answers) => Arc::clone(&current.counters),
        _ => Arc::new(QueryCounters::of(answers)),
    }
}

fn numbered(
    current: Option<&Published>,
    table: Option<&Table>,
    counters: &Arc<QueryCounters>,
) -> Arc<[Arc<Counters>]> {
    let Some(table) = table else { return Arc::default() };
    let fit = |current: &&Published| {
        let same_zones = current.table().is_some_and(|before| before.numbers_zones_as(table));
        same_zones && Arc::ptr_eq(&current.counters, counters)
    };
    match current.filter(fit) {
        Some(current) => Arc::clone(&current.numbered),
        None => table.zones().map(|zone| Arc::clone(counters.at(Some(zone.name())))).collect(),
    }
}

fn same(a: &Option<Arc<Published>>, b: &Option<Arc<Published>>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        (None, None) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
