//! Heartbeat checks: the endpoint reports by itself, and the leader notices when it stops.
//!
//! Beats are not logged; only the change from reporting to silent and back is. A new leader has heard nobody: it
//! gives every endpoint that was reporting one whole TTL from the beginning of its term.
//!
//! A beat comes through the agent that its endpoint is connected to. Where that agent is itself not heard, beats may
//! have been lost with it, and their absence says nothing about the endpoint:
//!
//! ```text
//! beat ──TTL──▶ silent, if the agent has been in contact for a TTL and is still heard
//!         └───▶ held as it was ──TTL──▶ silent: the endpoint had time to connect elsewhere
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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

use super::hub::{Contact, Hub};
use crate::peers::Peers;

/// How long a forwarded beat may take.
const FORWARD_TIMEOUT: Duration = Duration::from_millis(500);
/// A look that comes so much later than planned says that this node stood still.
const STALL: Duration = Duration::from_millis(250);
/// How often it is looked whether this node stands still while it proposes.
const PROPOSING_LOOK: Duration = Duration::from_millis(250);
/// The shortest pause between two looks.
const SHORTEST: Duration = Duration::from_millis(5);
/// How long the leader waits when nothing can fall silent.
const IDLE: Duration = Duration::from_secs(1);

/// Takes beats in, and notices silence where this agent leads.
#[derive(Debug)]
pub(crate) struct Heartbeats {
    agent: AgentId,
    group: Group,
    peers: Peers,
    hub: Arc<Hub>,
    table: Mutex<Table>,
    changed: Notify,
}

/// When each endpoint last reported, in the present term.
#[derive(Debug, Default)]
struct Table {
    term: u64,
    since: Option<Instant>,
    last: BTreeMap<Target, Beat>,
    /// When the next look was planned.
    planned: Option<Instant>,
    /// The agents that endpoints are held for; `None` is whichever one they were connected to.
    missing: BTreeSet<Option<AgentId>>,
}

/// The last report of an endpoint.
#[derive(Debug, Clone, Copy)]
struct Beat {
    at: Instant,
    through: AgentId,
}

/// What the beats of an endpoint come to.
#[derive(Debug, PartialEq, Eq)]
enum Word {
    /// Its TTL ends then.
    Awaited(Instant),
    /// Its TTL has ended, but the agent through which it reports is not in contact: so it stays until then.
    Held { until: Instant, through: Option<AgentId> },
    /// It is silent.
    Silent,
    /// It is silent, and so is the agent through which it reported last.
    SilentWith(Option<AgentId>),
}

/// A heartbeat check of an endpoint, as the view has it.
struct Watched {
    target: Target,
    ttl: Duration,
    verdict: Verdict,
}

impl Heartbeats {
    /// Nobody has reported yet.
    pub(crate) fn new(agent: AgentId, group: Group, peers: Peers, hub: Arc<Hub>) -> Self {
        Self { agent, group, peers, hub, table: Mutex::default(), changed: Notify::new() }
    }

    /// An endpoint reported here: to the leader with it. Errors: there is no leader, it cannot be reached, or the
    /// target has no heartbeat check.
    pub(crate) async fn beat(&self, targets: Vec<Target>) -> Result<(), String> {
        let leader = self.group.status().borrow().leader;
        match leader {
            Some(leader) if leader == self.agent => {
                self.take(self.agent, targets).map_err(|refusal| refusal.to_string())
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

    /// Takes beats that an agent forwarded to the leader.
    pub(crate) fn take(&self, through: AgentId, targets: Vec<Target>) -> Result<(), Refusal> {
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
            table.last.insert(target, Beat { at: now, through });
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
            let (next, holds) = self.settle().await;
            tokio::select! {
                biased;
                () = cancel.cancelled() => return,
                () = self.changed.notified() => {}
                () = self.hub.heard_again(), if holds => {}
                changed = view.changed() => if changed.is_err() { return },
                () = tokio::time::sleep_until(next) => {}
            }
        }
    }

    /// Proposes what changed; returns when the next endpoint can have fallen silent, and whether some are held for an
    /// agent that is not heard.
    async fn settle(&self) -> (Instant, bool) {
        let idle = Instant::now() + IDLE;
        let Some(term) = self.leading() else { return (idle, false) };
        let view = self.group.view().borrow().clone();
        let watched = watched(&view);
        if watched.is_empty() {
            return (idle, false);
        }
        let mut beats = Vec::new();
        let mut next = idle;
        let mut missing = BTreeSet::new();
        let holds = {
            let mut table = self.lock();
            table.enter(term);
            let targets: BTreeSet<&Target> = watched.iter().map(|one| &one.target).collect();
            table.last.retain(|target, _| targets.contains(target));
            let now = Instant::now();
            table.forgive(now);
            for one in &watched {
                let contact = |agent| self.hub.contact(term, agent);
                let word = table.word(&one.target, one.ttl, contact, now);
                match (one.verdict, word) {
                    (Verdict::Up, Word::Awaited(due)) => next = next.min(due),
                    (Verdict::Up, Word::Held { until, through }) => {
                        next = next.min(until);
                        missing.insert(through);
                    }
                    (Verdict::Up, Word::Silent) => beats.push((one.target.clone(), false)),
                    (Verdict::Up, Word::SilentWith(through)) => {
                        let through = named(through);
                        tracing::warn!(endpoint = %one.target, through, "an endpoint is silent, and so is the agent it reported \
                            through: it has not connected to another one; look at that agent first");
                        beats.push((one.target.clone(), false));
                    }
                    (_, Word::Awaited(_)) if table.last.contains_key(&one.target) => {
                        beats.push((one.target.clone(), true))
                    }
                    (Verdict::Down | Verdict::Unknown, _) => {}
                }
            }
            table.miss(missing)
        };
        if !beats.is_empty() {
            let command = Command::RecordHeartbeats { term, beats };
            let proposal = self.group.propose(None, Actor::system(), command);
            if let Err(error) = forgiving(&self.table, proposal).await {
                tracing::debug!(%error, "heartbeats could not be recorded; they are tried again");
            }
        }
        let next = next.max(Instant::now() + SHORTEST);
        self.lock().planned = Some(next);
        (next, holds)
    }

    fn leading(&self) -> Option<u64> {
        let status = self.group.status();
        let status = status.borrow();
        (status.leader == Some(self.agent) && status.quorum_ok).then_some(status.term)
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        lock(&self.table)
    }
}

fn lock(table: &Mutex<Table>) -> MutexGuard<'_, Table> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Awaits a proposal. However long it takes, that is no stall of this node; one that comes meanwhile is forgiven.
async fn forgiving<T>(table: &Mutex<Table>, proposal: impl Future<Output = T>) -> T {
    let mut proposal = std::pin::pin!(proposal);
    loop {
        let planned = Instant::now() + PROPOSING_LOOK;
        lock(table).planned = Some(planned);
        let done = tokio::time::timeout_at(planned, &mut proposal).await;
        lock(table).forgive(Instant::now());
        if let Ok(done) = done {
            return done;
        }
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
            self.last.values_mut().for_each(|beat| beat.at = now);
        }
    }

    /// What the beats of an endpoint come to, given the contact with agents.
    fn word(
        &self,
        target: &Target,
        ttl: Duration,
        contact: impl FnOnce(Option<AgentId>) -> Contact,
        now: Instant,
    ) -> Word {
        let last = self.last.get(target);
        let at = last.map(|beat| beat.at).or(self.since).unwrap_or(now);
        if now < at + ttl {
            return Word::Awaited(at + ttl);
        }
        let through = last.map(|beat| beat.through);
        let contact = contact(through);
        let until = at + 2 * ttl;
        if contact.at >= at.max(contact.since) + ttl {
            Word::Silent
        } else if now < until {
            Word::Held { until, through }
        } else {
            Word::SilentWith(through)
        }
    }

    /// Takes note of the agents that endpoints are held for; returns whether there are any.
    fn miss(&mut self, missing: BTreeSet<Option<AgentId>>) -> bool {
        for through in missing.difference(&self.missing) {
            let through = named(*through);
            tracing::warn!(
                through,
                "an agent is not heard: endpoints that report through it stay as they are while they connect elsewhere"
            );
        }
        self.missing = missing;
        !self.missing.is_empty()
    }
}

/// An agent for people.
fn named(agent: Option<AgentId>) -> String {
    agent.map_or_else(
        || "whichever agent it was before this term".to_owned(),
        |a| format!("agent {a}"),
    )
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

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(6);
    const AGENT: AgentId = AgentId(3);

    fn target() -> Target {
        Target {
            service: "shop".parse().expect("valid"),
            endpoint: "e1".parse().expect("valid"),
            check: "beat".parse().expect("valid"),
        }
    }

    /// What the beats come to after so many seconds: the last one came at 10 through [`AGENT`], unless `beat` is none;
    /// the contact with the agent is from `since` to `heard`.
    fn word(beat: Option<u32>, (since, heard): (u32, u32), after: u32) -> (Word, Instant) {
        let begun = Instant::now();
        let second = |number: u32| begun + Duration::from_secs(1) * number;
        let last = beat.map(|at| (target(), Beat { at: second(at), through: AGENT }));
        let last = last.into_iter().collect();
        let table = Table { since: Some(begun), last, ..Table::default() };
        let contact = |agent| {
            assert_eq!(
                agent,
                beat.map(|_| AGENT),
                "the agent that the last beat came through is asked for"
            );
            Contact { since: second(since), at: second(heard) }
        };
        (table.word(&target(), TTL, contact, second(after)), begun)
    }

    #[tokio::test(start_paused = true)]
    async fn an_endpoint_is_silent_only_where_its_agent_is_heard() {
        let until = |begun: Instant, after| begun + Duration::from_secs(after);
        let (awaited, begun) = word(Some(10), (0, 10), 15);
        assert_eq!(awaited, Word::Awaited(until(begun, 16)));
        assert_eq!(word(Some(10), (0, 16), 16).0, Word::Silent);
        assert_eq!(word(Some(10), (0, 17), 17).0, Word::Silent);

        let (held, begun) = word(Some(10), (0, 15), 17);
        assert_eq!(held, Word::Held { until: until(begun, 22), through: Some(AGENT) }, "not heard");
        let (held, begun) = word(Some(10), (14, 18), 18);
        assert_eq!(held, Word::Held { until: until(begun, 22), through: Some(AGENT) }, "just back");
        assert_eq!(word(Some(10), (14, 20), 20).0, Word::Silent, "back for a TTL, without a beat");
        assert_eq!(word(Some(10), (0, 12), 22).0, Word::SilentWith(Some(AGENT)), "bounded");
    }

    /// How much younger the last beat is for what this node did while it proposed.
    async fn forgiven_by(proposal: impl Future<Output = ()>) -> Duration {
        let at = Instant::now();
        let last = BTreeMap::from([(target(), Beat { at, through: AGENT })]);
        let table = Mutex::new(Table { since: Some(at), last, ..Table::default() });
        forgiving(&table, proposal).await;
        lock(&table).last[&target()].at - at
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_proposal_is_no_stall_and_a_stall_while_it_lasts_is_one() {
        assert_eq!(forgiven_by(tokio::time::sleep(TTL)).await, Duration::ZERO);
        let frozen = async {
            tokio::time::sleep(STALL).await;
            tokio::time::advance(TTL).await;
            tokio::time::sleep(TTL).await;
        };
        assert_eq!(forgiven_by(frozen).await, STALL + TTL);
        assert_eq!(forgiven_by(tokio::time::advance(TTL)).await, TTL, "and committed at once then");
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_leader_waits_for_every_agent() {
        let (awaited, begun) = word(None, (0, 0), 5);
        assert_eq!(awaited, Word::Awaited(begun + TTL));
        assert_eq!(word(None, (0, 6), 6).0, Word::Silent);
        let (held, begun) = word(None, (0, 5), 6);
        assert_eq!(held, Word::Held { until: begun + 2 * TTL, through: None });
        assert_eq!(word(None, (0, 5), 12).0, Word::SilentWith(None));
    }
}
