//! Heartbeat checks: the endpoint reports by itself, and the leader notices when it stops.
//!
//! Beats are not logged; only the change from reporting to silent and back is. A new leader has heard nobody: it
//! gives every endpoint that was reporting one whole TTL from the beginning of its term.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use holdfast_consensus::Group;
use holdfast_core::observation::Target;
use holdfast_core::quorum::Verdict;
use holdfast_core::spec::CheckKind;
use holdfast_core::{Actor, AgentId, Command, View};
use holdfast_wire::agent::encode_beats;
use holdfast_wire::peer::{MessageKind, Refusal, RefusalReason};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::peers::Peers;

/// How long a forwarded beat may take.
const FORWARD_TIMEOUT: Duration = Duration::from_millis(500);
/// A look that comes so much later than planned says that this node stood still.
const STALL: Duration = Duration::from_millis(250);
/// How long the leader waits when nothing can fall silent.
const IDLE: Duration = Duration::from_secs(1);

/// Takes beats in, and notices silence where this agent leads.
#[derive(Debug)]
pub(crate) struct Heartbeats {
    agent: AgentId,
    group: Group,
    peers: Peers,
    table: Mutex<Table>,
    changed: Notify,
}

/// When each endpoint last reported, in the present term.
#[derive(Debug, Default)]
struct Table {
    term: u64,
    since: Option<Instant>,
    last: BTreeMap<Target, Instant>,
    /// When the next look was planned.
    planned: Option<Instant>,
}

/// A heartbeat check of an endpoint, as the view has it.
struct Watched {
    target: Target,
    ttl: Duration,
    verdict: Verdict,
}

impl Heartbeats {
    /// Nobody has reported yet.
    pub(crate) fn new(agent: AgentId, group: Group, peers: Peers) -> Self {
        Self { agent, group, peers, table: Mutex::default(), changed: Notify::new() }
    }

    /// An endpoint reported here: to the leader with it. Errors: there is no leader, it cannot be reached, or the
    /// target has no heartbeat check.
    pub(crate) async fn beat(&self, targets: Vec<Target>) -> Result<(), String> {
        let leader = self.group.status().borrow().leader;
        match leader {
            Some(leader) if leader == self.agent => {
                self.take(targets).map_err(|refusal| refusal.to_string())
            }
            Some(leader) => {
                let body = encode_beats(&targets);
                let sent =
                    self.peers.call(leader, MessageKind::Heartbeat, body, FORWARD_TIMEOUT).await;
                sent.map(|_| ()).map_err(|error| error.to_string())
            }
            None => Err("the group has no leader at present; beat again".into()),
        }
    }

    /// Takes beats that were forwarded to the leader.
    pub(crate) fn take(&self, targets: Vec<Target>) -> Result<(), Refusal> {
        let term = self.leading().ok_or_else(|| {
            let leader = self.group.status().borrow().leader;
            Refusal::new(RefusalReason::NotLeader { leader }, "this agent does not lead the group")
        })?;
        let view = self.group.view().borrow().clone();
        let now = Instant::now();
        let mut table = self.lock();
        table.enter(term);
        let mut news = false;
        for target in targets {
            if ttl_of(&view, &target).is_none() {
                let why = format!("{target} is no heartbeat check of a registered endpoint");
                return Err(Refusal::new(RefusalReason::Malformed, why));
            }
            news |= !is_up(&view, &target);
            table.last.insert(target, now);
        }
        drop(table);
        if news {
            self.changed.notify_one();
        }
        Ok(())
    }

    /// Records who reports and who has stopped, until cancelled.
    pub(crate) async fn run(self: Arc<Self>, cancel: CancellationToken) {
        let mut view = self.group.view();
        loop {
            let wait = self.settle().await;
            tokio::select! {
                biased;
                () = cancel.cancelled() => return,
                () = self.changed.notified() => {}
                changed = view.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Proposes what changed; returns how long until the next endpoint can have fallen silent.
    async fn settle(&self) -> Duration {
        let Some(term) = self.leading() else { return IDLE };
        let view = self.group.view().borrow().clone();
        let watched = watched(&view);
        if watched.is_empty() {
            return IDLE;
        }
        let mut beats = Vec::new();
        let mut wait = IDLE;
        {
            let mut table = self.lock();
            table.enter(term);
            let targets: BTreeSet<&Target> = watched.iter().map(|one| &one.target).collect();
            table.last.retain(|target, _| targets.contains(target));
            let now = Instant::now();
            table.forgive(now);
            for one in &watched {
                let last = table.last.get(&one.target).copied();
                let due = last.or(table.since).unwrap_or(now) + one.ttl;
                let reports = last.is_some() && due > now;
                match one.verdict {
                    Verdict::Up if due <= now => beats.push((one.target.clone(), false)),
                    Verdict::Down | Verdict::Unknown if reports => {
                        beats.push((one.target.clone(), true))
                    }
                    Verdict::Up => wait = wait.min(due - now),
                    Verdict::Down | Verdict::Unknown => {}
                }
            }
            table.planned = Some(now + wait);
        }
        if !beats.is_empty() {
            let command = Command::RecordHeartbeats { term, beats };
            if let Err(error) = self.group.propose(None, Actor::system(), command).await {
                tracing::debug!(%error, "heartbeats could not be recorded; they are tried again");
            }
        }
        wait.max(Duration::from_millis(5))
    }

    fn leading(&self) -> Option<u64> {
        let status = self.group.status();
        let status = status.borrow();
        (status.leader == Some(self.agent) && status.quorum_ok).then_some(status.term)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn enter(&mut self, term: u64) {
        if self.term != term || self.since.is_none() {
            *self = Self { term, since: Some(Instant::now()), ..Self::default() };
        }
    }

    /// After a stall of this node nobody is called silent: the beats of that time may still be unread.
    fn forgive(&mut self, now: Instant) {
        let stalled =
            self.planned.is_some_and(|planned| now.saturating_duration_since(planned) > STALL);
        if stalled {
            self.since = Some(now);
            self.last.values_mut().for_each(|at| *at = now);
        }
    }
}

fn ttl_of(view: &View, target: &Target) -> Option<Duration> {
    let spec = &view.services.get(&target.service)?.spec;
    spec.endpoint(&target.endpoint)?;
    let check = spec.checks.iter().find(|check| check.name == target.check)?;
    match &check.kind {
        CheckKind::Heartbeat(heartbeat) => Some(heartbeat.ttl),
        _ => None,
    }
}

fn is_up(view: &View, target: &Target) -> bool {
    let endpoints = view.services.get(&target.service).map(|status| &status.endpoints);
    let endpoint = endpoints.and_then(|all| all.iter().find(|e| e.endpoint == target.endpoint));
    let check = endpoint.and_then(|e| e.checks.iter().find(|check| check.check == target.check));
    check.is_some_and(|check| check.verdict == Verdict::Up)
}

fn watched(view: &View) -> Vec<Watched> {
    let mut watched = Vec::new();
    for (id, status) in view.services.iter() {
        let ttls = status.spec.checks.iter().filter_map(|check| match &check.kind {
            CheckKind::Heartbeat(heartbeat) => Some((&check.name, heartbeat.ttl)),
            _ => None,
        });
        for (name, ttl) in ttls {
            for endpoint in &status.endpoints {
                let verdict = endpoint.checks.iter().find(|c| c.check == *name).map(|c| c.verdict);
                let (service, endpoint) = (id.clone(), endpoint.endpoint.clone());
                let target = Target { service, endpoint, check: name.clone() };
                watched.push(Watched { target, ttl, verdict: verdict.unwrap_or_default() });
            }
        }
    }
    watched
}
