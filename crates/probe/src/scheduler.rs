//! Runs the schedule: one task with a timer, and one spawned task per probe under way.
//!
//! ```text
//!  view ─▶ Board ─ due ─▶ gate (per host, then global) ─▶ Prober ─▶ Sampler ─▶ Digest
//!            ▲                 waits at most half an interval,          │
//!            └──── next due ◀──── else the sample is Abstain(Late) ◀────┘
//! ```
//!
//! A target has at most one probe under way, so the number of tasks is bounded by the number of targets, and the
//! number of open connections by `max_concurrency`. Time is tokio's; nothing here reads a clock of its own, so a
//! paused runtime drives it deterministically.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use holdfast_core::observation::{ObserverState, Target};
use holdfast_core::sample::{Abstention, Finding, Sample};
use holdfast_core::seam::Clock;
use holdfast_core::spec::Address;
use holdfast_core::{AgentName, Timestamp, View};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::board::{Board, Change, Services, SlotId};
use crate::digest::Digest;
use crate::metrics;
use crate::prober::{ProbeSpec, Prober};
use crate::self_test::{Event, NoSentinels, SelfTest, Sentinels};
use crate::slot::Slot;

/// The bounds of a scheduler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SchedulerConfig {
    /// The most probes under way at once; 512 by default.
    pub max_concurrency: usize,
    /// The most probes under way to one address; 32 by default.
    pub per_host: usize,
    /// The most targets; 100,000 by default. Those beyond are not probed, and a warning says so.
    pub max_targets: usize,
}

impl Default for SchedulerConfig {
    fn default() -> Self {
        Self { max_concurrency: 512, per_host: 32, max_targets: 100_000 }
    }
}

/// How often a suspect observer looks for its sentinels.
const SENTINEL_PERIOD: Duration = Duration::from_millis(250);

/// Asks a scheduler for immediate bursts.
#[derive(Debug, Clone)]
pub struct ConfirmHandle(Arc<Wanted>);

#[derive(Debug)]
struct Wanted {
    targets: Mutex<BTreeSet<Target>>,
    limit: usize,
    news: Notify,
}

impl ConfirmHandle {
    /// Asks for a burst on each of `targets`: probes at the confirm gap until a run decides, at most the larger of
    /// `rise` and `fall`. Unknown targets are ignored, and so is asking again while a burst is under way.
    pub fn confirm(&self, targets: &[Target]) {
        let mut wanted = self.0.targets.lock().unwrap_or_else(PoisonError::into_inner);
        for target in targets {
            if wanted.len() >= self.0.limit {
                break;
            }
            wanted.insert(target.clone());
        }
        drop(wanted);
        self.0.news.notify_one();
    }

    fn take(&self) -> BTreeSet<Target> {
        std::mem::take(&mut *self.0.targets.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A probe that has ended.
#[derive(Debug)]
pub(crate) struct Done {
    id: SlotId,
    pub(crate) sample: Sample,
    /// When it began, by the wall clock.
    pub(crate) wall: Timestamp,
}

/// Probes what a view declares.
pub struct Scheduler {
    agent: AgentName,
    config: SchedulerConfig,
    prober: Arc<dyn Prober>,
    clock: Arc<dyn Clock>,
    digest: Arc<Digest>,
    sentinels: Arc<dyn Sentinels>,
    confirms: ConfirmHandle,
    board: Board,
    self_test: SelfTest,
    /// Whether downs in doubt are shown as unknown.
    masking: bool,
    /// When to look for the sentinels again, while suspect.
    next_look: Option<Instant>,
    running: JoinSet<Done>,
    global: Arc<Semaphore>,
    hosts: BTreeMap<Address, Arc<Semaphore>>,
}

impl fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scheduler")
            .field("agent", &self.agent)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Scheduler {
    /// A scheduler of the agent `agent`, without targets as yet.
    pub fn new(
        config: SchedulerConfig,
        agent: AgentName,
        prober: Arc<dyn Prober>,
        clock: Arc<dyn Clock>,
        digest: Arc<Digest>,
    ) -> Self {
        let wanted =
            Wanted { targets: Mutex::default(), limit: config.max_targets, news: Notify::new() };
        Self {
            board: Board::new(agent.clone(), config.max_targets),
            agent,
            prober,
            clock,
            digest,
            sentinels: Arc::new(NoSentinels),
            confirms: ConfirmHandle(Arc::new(wanted)),
            self_test: SelfTest::default(),
            masking: false,
            next_look: None,
            running: JoinSet::new(),
            global: Arc::new(Semaphore::new(config.max_concurrency.max(1))),
            hosts: BTreeMap::new(),
            config,
        }
    }

    /// Doubts sudden mass failures while `sentinels` are out of reach. Without sentinels nothing is doubted.
    #[must_use]
    pub fn with_sentinels(mut self, sentinels: Arc<dyn Sentinels>) -> Self {
        self.sentinels = sentinels;
        self
    }

    /// The handle by which bursts are asked for.
    pub fn confirm_handle(&self) -> ConfirmHandle {
        self.confirms.clone()
    }

    /// Asks for a burst, as [`ConfirmHandle::confirm`].
    pub fn confirm(&self, targets: &[Target]) {
        self.confirms.confirm(targets);
    }

    /// Probes what the view declares until `cancel`. Goes on with the last view when its sender is gone.
    pub async fn run(mut self, mut view: watch::Receiver<Arc<View>>, cancel: CancellationToken) {
        let mut watched = true;
        let confirms = self.confirms.clone();
        let first = view.borrow_and_update().clone();
        self.reconcile(&first);
        loop {
            let due = self.board.next_due();
            let look = self.next_look;
            tokio::select! {
                biased;
                () = cancel.cancelled() => break,
                Some(done) = self.running.join_next() => self.finish(done),
                changed = view.changed(), if watched => {
                    watched = changed.is_ok();
                    let latest = view.borrow_and_update().clone();
                    self.reconcile(&latest);
                }
                () = confirms.0.news.notified() => self.burst(),
                () = at(due) => self.start_due(),
                () = at(look) => self.look_for_sentinels(),
            }
        }
        self.running.shutdown().await;
    }

    fn reconcile(&mut self, view: &View) {
        let nothing = Services::new();
        let me = view.agents.values().find(|agent| agent.name == self.agent);
        let services = if me.is_some_and(|me| !me.observer) { &nothing } else { &view.services };
        let changes = self.board.reconcile(services);
        if changes.is_empty() {
            return;
        }
        for change in changes {
            match change {
                Change::Added(id) => {
                    if let Some(slot) = self.board.slot(id) {
                        self.self_test.add(slot.place());
                    }
                }
                Change::Retuned(id) => self.publish(id),
                Change::Removed(id, slot) => {
                    self.digest.remove(&slot.target);
                    self.self_test.remove(&slot.place(), id);
                }
            }
        }
        // A gate that only the map holds has no probe under way.
        self.hosts.retain(|_, gate| Arc::strong_count(gate) > 1);
        let (probed, refused) = self.board.counts();
        metrics::targets(probed, refused);
        self.look_for_sentinels();
    }

    fn start_due(&mut self) {
        let now = Instant::now();
        while let Some((id, slot)) = self.board.take_due(now) {
            let (host, _) = slot.place();
            let limit = self.config.per_host.max(1);
            let gate = self.hosts.entry(host).or_insert_with(|| Arc::new(Semaphore::new(limit)));
            let attempt = Attempt {
                id,
                kind: slot.kind(),
                spec: slot.spec(),
                due: slot.due,
                patience: slot.patience(),
                host: gate.clone(),
                global: self.global.clone(),
            };
            self.running.spawn(attempt.run(self.prober.clone(), self.clock.clone()));
        }
    }

    fn finish(&mut self, done: Result<Done, tokio::task::JoinError>) {
        // Panics are caught inside; a task is cancelled only when the scheduler ends.
        let Ok(done) = done else { return };
        let Some(slot) = self.board.slot_mut(done.id) else { return };
        let now = Instant::now();
        let recorded = slot.record(&done, now);
        let (place, target) = (slot.place(), slot.target.clone());
        self.board.put_back(done.id);
        if let Some(state) = recorded.changed {
            tracing::debug!(%target, state = state.label(), "opinion changed");
            if state == ObserverState::Down {
                let event = Event { now, longest_interval: self.board.longest_interval() };
                self.self_test.went_down(&target.service, &place, done.id, event);
            } else {
                self.self_test.went_up(&place, done.id);
            }
            self.look_for_sentinels();
        }
        self.publish(done.id);
        if recorded.suspect && !self.masking {
            self.digest.suspect(target);
        }
    }

    fn burst(&mut self) {
        for target in self.confirms.take() {
            let Some(id) = self.board.id_of(&target) else { continue };
            if self.board.slot(id).is_some_and(Slot::is_bursting) {
                continue;
            }
            let now = Instant::now();
            self.board.requeue(id, |slot| {
                slot.confirm();
                slot.due = slot.due.min(now);
            });
        }
    }

    /// Decides whether downs in doubt are shown, and shows or hides them.
    fn look_for_sentinels(&mut self) {
        let suspect = self.self_test.suspect_since().is_some();
        self.next_look = suspect.then(|| Instant::now() + SENTINEL_PERIOD);
        let masking = suspect && !self.sentinels.reachable();
        if masking == self.masking {
            return;
        }
        self.masking = masking;
        metrics::self_suspect(masking);
        if masking {
            tracing::warn!(
                "most endpoints failed at once and no sentinel is reachable: this node is likely cut off, so it \
                 reports its new failures as unknown; check its network"
            );
        } else {
            tracing::info!("this node trusts its own observations again");
        }
        self.board.slots().filter(|slot| slot.down_at.is_some()).for_each(|slot| self.show(slot));
    }

    fn publish(&self, id: SlotId) {
        if let Some(slot) = self.board.slot(id) {
            self.show(slot);
        }
    }

    fn show(&self, slot: &Slot) {
        let mut observation = slot.observation();
        let doubted = match (slot.down_at, self.self_test.suspect_since()) {
            (Some(down), Some(since)) => self.masking && down >= since,
            (None, _) | (_, None) => false,
        };
        if doubted {
            observation.state = ObserverState::Unknown;
            observation.failure = None;
        }
        self.digest.put(observation);
    }
}

/// Waits for a moment, or for ever.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// A probe that is due.
struct Attempt {
    id: SlotId,
    kind: &'static str,
    spec: ProbeSpec,
    due: Instant,
    patience: Duration,
    host: Arc<Semaphore>,
    global: Arc<Semaphore>,
}

impl Attempt {
    async fn run(self, prober: Arc<dyn Prober>, clock: Arc<dyn Clock>) -> Done {
        let latest = self.due + self.patience;
        let gates = timeout_at(latest, async {
            (self.host.acquire_owned().await, self.global.acquire_owned().await)
        })
        .await;
        let now = Instant::now();
        metrics::started(now - self.due);
        let wall = clock.now();
        let sample = if gates.is_err() || now > latest {
            abstained(Abstention::Late)
        } else {
            let probe = AssertUnwindSafe(prober.probe(self.spec));
            probe.catch_unwind().await.unwrap_or_else(|_| {
                tracing::error!(
                    kind = self.kind,
                    "a probe panicked; this is a defect of holdfast, please report it"
                );
                abstained(Abstention::Resources)
            })
        };
        metrics::finished(self.kind, &sample);
        Done { id: self.id, sample, wall }
    }
}

fn abstained(why: Abstention) -> Sample {
    Sample { finding: Finding::Abstain(why), latency: Duration::ZERO }
}
