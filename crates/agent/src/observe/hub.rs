//! The leader's side of observing: takes bulletins into the log, makes everybody look where somebody suspects, and
//! notices who has fallen silent.
//!
//! Nothing here decides about health. A bulletin with news is proposed as it is; a suspicion is broadcast; silence of
//! an observer, by the leader's own monotonic clock, is proposed as an opinion of this term, which a later leader's
//! word outranks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use holdfast_consensus::Group;
use holdfast_core::observation::{Extent, Report, Target};
use holdfast_core::{Actor, ActorKind, AgentId, BootId, Command, Rejection};
use holdfast_wire::agent::{Bulletin, BulletinReply, encode_confirm};
use holdfast_wire::peer::{MessageKind, Refusal, RefusalReason};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::peers::Peers;
use crate::probing::Probing;

/// How long a request to confirm may take; it is a hint, and the next failure gives another.
const CONFIRM_TIMEOUT: Duration = Duration::from_millis(500);
/// Targets in one request to confirm.
pub(super) const CONFIRM_TARGETS: usize = 4096;

/// The leader's side of observing; every agent has one, and only the leader's is used.
#[derive(Debug)]
pub(crate) struct Hub {
    agent: AgentId,
    group: Group,
    peers: Peers,
    confirm: Arc<Probing>,
    silent_after: Duration,
    heard: Mutex<Heard>,
    heard_again: Notify,
    asking: Asking,
}

/// When each observer was last heard, in the present term.
#[derive(Debug, Default)]
struct Heard {
    term: u64,
    since: Option<Instant>,
    last: BTreeMap<AgentId, (BootId, Contact)>,
}

/// How long an agent has been in contact with the leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Contact {
    /// It was last heard.
    pub(super) at: Instant,
    /// It has been heard since then without a long break.
    pub(super) since: Instant,
}

/// What members are still to be asked to confirm, while a request to them is under way: a member with an entry is
/// asked by one task, which takes what has gathered meanwhile as its next request.
type Asking = Arc<Mutex<BTreeMap<AgentId, BTreeSet<Target>>>>;

impl Hub {
    /// A hub that hears nobody yet.
    pub(crate) fn new(
        agent: AgentId,
        group: Group,
        peers: Peers,
        confirm: Arc<Probing>,
        silent_after: Duration,
    ) -> Self {
        let (heard, heard_again) = (Mutex::default(), Notify::new());
        let asking = Arc::default();
        Self { agent, group, peers, confirm, silent_after, heard, heard_again, asking }
    }

    /// Takes a bulletin. Errors: this agent is not the leader, or the log takes nothing at present.
    pub(crate) async fn take(&self, bulletin: Bulletin) -> Result<BulletinReply, Refusal> {
        let term = self.leading()?;
        if !bulletin.suspects.is_empty() {
            self.ask_everybody(&bulletin.suspects);
        }
        let (agent, boot) = (bulletin.agent, bulletin.boot);
        let page = |report: &Report| matches!(report.extent, Extent::Page { .. });
        let page = bulletin.report.as_ref().is_some_and(page);
        let mut recorded = 0;
        if let Some(report) = bulletin.report {
            let sequence = report.sequence;
            self.record(agent, report).await?;
            recorded = sequence;
        }
        self.note_heard(term, agent, boot);
        let known =
            self.group.view().borrow().agents.get(&agent).is_some_and(|a| a.heard == Some(boot));
        Ok(BulletinReply { recorded, need_full: !page && !known })
    }

    async fn record(&self, agent: AgentId, report: Report) -> Result<(), Refusal> {
        let name = self.group.view().borrow().agents.get(&agent).map(|a| a.name.to_string());
        let Some(name) = name else {
            return Err(Refusal::new(
                RefusalReason::Busy,
                format!("agent {agent} is not admitted yet"),
            ));
        };
        let actor = Actor { kind: ActorKind::Agent, name };
        let outcome = self.group.propose(None, actor, Command::RecordObservations(report)).await;
        match outcome.map(|outcome| outcome.result) {
            Ok(Ok(_) | Err(Rejection::Superseded(_))) => Ok(()),
            Ok(Err(rejection)) => {
                Err(Refusal::new(RefusalReason::Malformed, rejection.to_string()))
            }
            Err(error) => Err(Refusal::new(RefusalReason::Busy, error.to_string())),
        }
    }

    /// The present term, if this agent leads it.
    fn leading(&self) -> Result<u64, Refusal> {
        let status = self.group.status();
        let status = status.borrow();
        if status.leader == Some(self.agent) {
            return Ok(status.term);
        }
        let reason = RefusalReason::NotLeader { leader: status.leader };
        Err(Refusal::new(reason, "this agent does not lead the group"))
    }

    /// Takes note of an observer whose news, if it had any, is in the log. Strangers are not remembered.
    fn note_heard(&self, term: u64, agent: AgentId, boot: BootId) {
        if !self.group.view().borrow().agents.contains_key(&agent) {
            return;
        }
        let mut heard = self.lock();
        heard.enter(term);
        heard.note(agent, boot, Instant::now(), self.silent_after / 2);
        drop(heard);
        self.heard_again.notify_one();
    }

    /// Told, one waiter at a time, when an observer was heard.
    pub(super) async fn heard_again(&self) {
        self.heard_again.notified().await;
    }

    /// The contact with an agent in this term; of an agent that is not known, with whoever is least in contact.
    pub(super) fn contact(&self, term: u64, agent: Option<AgentId>) -> Contact {
        let view = self.group.view().borrow().clone();
        let mut heard = self.lock();
        heard.enter(term);
        let now = Instant::now();
        let of = |agent: AgentId| heard.contact(agent, agent == self.agent, now);
        let all = || view.agents.keys().map(|agent| of(*agent));
        let least =
            |a: Contact, b: Contact| Contact { at: a.at.min(b.at), since: a.since.max(b.since) };
        agent.map(of).or_else(|| all().reduce(least)).unwrap_or(Contact { at: now, since: now })
    }

    /// Asks every observer to look at once. Nobody waits for it.
    fn ask_everybody(&self, suspects: &[Target]) {
        let suspects: BTreeSet<&Target> = suspects.iter().take(CONFIRM_TARGETS).collect();
        let suspects: Vec<Target> = suspects.into_iter().cloned().collect();
        metrics::counter!("holdfast_suspicions_total").increment(suspects.len() as u64);
        self.confirm.confirm(&suspects);
        for member in self.peers.others() {
            if gather(&self.asking, member, &suspects) {
                tokio::spawn(ask(self.asking.clone(), self.peers.clone(), member));
            }
        }
    }

    /// Proposes that observers that are no longer heard are silent, until cancelled.
    pub(crate) async fn watch_silence(self: Arc<Self>, cancel: CancellationToken) {
        let mut status = self.group.status();
        loop {
            let wait = self.next_silence().await;
            tokio::select! {
                biased;
                () = cancel.cancelled() => return,
                changed = status.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Silences whoever is due; returns how long until the next one can be.
    async fn next_silence(&self) -> Duration {
        let Ok(term) = self.leading() else { return self.silent_after };
        let agents: Vec<(AgentId, BootId)> = {
            let view = self.group.view();
            let view = view.borrow();
            view.agents.values().filter_map(|agent| Some((agent.id, agent.heard?))).collect()
        };
        let mut wait = self.silent_after;
        for (agent, boot) in agents {
            let quiet = self.quiet_for(term, agent, boot);
            if quiet < self.silent_after {
                wait = wait.min(self.silent_after - quiet);
                continue;
            }
            tracing::warn!(%agent, ?quiet, "an observer is no longer heard: its opinions become unknown");
            let command = Command::SilenceObserver { term, agent, boot };
            if let Err(error) = self.group.propose(None, Actor::system(), command).await {
                tracing::debug!(%agent, %error, "the silence of an observer could not be recorded");
            }
        }
        wait.max(Duration::from_millis(10))
    }

    /// For how long an observer has not been heard under the boot whose opinions count; a new leader begins to count
    /// when its term does.
    fn quiet_for(&self, term: u64, agent: AgentId, boot: BootId) -> Duration {
        let mut heard = self.lock();
        heard.enter(term);
        let last = heard.last.get(&agent).filter(|(known, _)| *known == boot);
        let since = last.map(|(_, contact)| contact.at).or(heard.since);
        since.map_or(Duration::ZERO, |at| at.elapsed())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Heard {
    fn enter(&mut self, term: u64) {
        if self.term != term || self.since.is_none() {
            *self = Self { term, since: Some(Instant::now()), last: BTreeMap::new() };
        }
    }

    /// An agent was heard under a boot; what an earlier boot still sends is not this agent. A silence of `pause` or
    /// more is a break.
    fn note(&mut self, agent: AgentId, boot: BootId, now: Instant, pause: Duration) {
        let begun = self.since.unwrap_or(now);
        let fresh = (boot, Contact { at: begun, since: begun });
        let (known, contact) = self.last.entry(agent).or_insert(fresh);
        if *known > boot {
            return;
        }
        *known = boot;
        if now - contact.at >= pause {
            contact.since = now;
        }
        contact.at = now;
    }

    /// The contact with an agent; the leader hears itself.
    fn contact(&self, agent: AgentId, own: bool, now: Instant) -> Contact {
        let begun = self.since.unwrap_or(now);
        match self.last.get(&agent) {
            _ if own => Contact { at: now, since: begun },
            Some((_, contact)) => *contact,
            None => Contact { at: begun, since: begun },
        }
    }
}

/// Adds to what a member is to be asked; returns whether nobody asks it yet. Beyond a bound, hints are dropped.
fn gather(asking: &Asking, member: AgentId, suspects: &[Target]) -> bool {
    let mut asking = asking.lock().unwrap_or_else(PoisonError::into_inner);
    let idle = !asking.contains_key(&member);
    let waiting = asking.entry(member).or_default();
    let room = CONFIRM_TARGETS.saturating_sub(waiting.len());
    waiting.extend(suspects.iter().take(room).cloned());
    idle
}

/// Takes what has gathered for a member; `None`, and nobody asks it any more, where nothing has.
fn gathered(asking: &Asking, member: AgentId) -> Option<Vec<Target>> {
    let mut asking = asking.lock().unwrap_or_else(PoisonError::into_inner);
    let waiting = asking.get_mut(&member).map(std::mem::take).filter(|waiting| !waiting.is_empty());
    if waiting.is_none() {
        asking.remove(&member);
    }
    waiting.map(|waiting| waiting.into_iter().collect())
}

/// Asks a member to look at what has gathered, until nothing gathers any more.
async fn ask(asking: Asking, peers: Peers, member: AgentId) {
    while let Some(suspects) = gathered(&asking, member) {
        let body = encode_confirm(&suspects);
        let asked = peers.call(member, MessageKind::Confirm, body, CONFIRM_TIMEOUT).await;
        if let Err(error) = asked {
            tracing::debug!(%member, %error, "an observer could not be asked to confirm");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_millis(1500);

    fn target(endpoint: &str) -> Target {
        Target {
            service: "shop".parse().expect("valid"),
            endpoint: endpoint.parse().expect("valid"),
            check: "tcp".parse().expect("valid"),
        }
    }

    #[test]
    fn a_member_is_asked_by_one_task_which_takes_what_gathered_meanwhile() {
        let (asking, member) = (Asking::default(), AgentId(2));
        assert!(gather(&asking, member, &[target("e1")]), "nobody asks it yet");
        assert!(gather(&asking, AgentId(3), &[target("e1")]), "another member waits for nobody");
        assert_eq!(gathered(&asking, member), Some(vec![target("e1")]));
        for _ in 0..1000 {
            assert!(!gather(&asking, member, &[target("e3"), target("e2")]));
        }
        assert_eq!(gathered(&asking, member), Some(vec![target("e2"), target("e3")]));
        assert_eq!(gathered(&asking, member), None);
        assert!(gather(&asking, member, &[target("e1")]), "whoever asked it has ended");
        let many: Vec<Target> =
            (0..=CONFIRM_TARGETS).map(|number| target(&format!("f{number}"))).collect();
        gather(&asking, member, &many);
        assert_eq!(gathered(&asking, member).map(|all| all.len()), Some(CONFIRM_TARGETS));
    }

    #[tokio::test(start_paused = true)]
    async fn contact_is_broken_by_a_pause_and_not_begun_by_an_earlier_boot() {
        let (agent, second) = (AgentId(2), Duration::from_secs(1));
        let mut heard = Heard::default();
        heard.enter(1);
        let begun = Instant::now();
        for after in 1..=5 {
            heard.note(agent, BootId(7), begun + after * second, PAUSE);
        }
        let steady = Contact { at: begun + 5 * second, since: begun };
        assert_eq!(heard.contact(agent, false, begun), steady);
        heard.note(agent, BootId(6), begun + 6 * second, PAUSE);
        assert_eq!(heard.contact(agent, false, begun), steady);
        heard.note(agent, BootId(7), begun + 7 * second, PAUSE);
        let broken = Contact { at: begun + 7 * second, since: begun + 7 * second };
        assert_eq!(heard.contact(agent, false, begun), broken);
    }
}
