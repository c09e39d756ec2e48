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
use holdfast_core::observation::Target;
use holdfast_core::{Actor, ActorKind, AgentId, BootId, Command, Rejection};
use holdfast_wire::agent::{Bulletin, BulletinReply, encode_confirm};
use holdfast_wire::peer::{MessageKind, Refusal, RefusalReason};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::peers::Peers;
use crate::probing::Probing;

/// How long a request to confirm may take; it is a hint, and the next failure gives another.
const CONFIRM_TIMEOUT: Duration = Duration::from_millis(500);
/// Targets in one request to confirm.
const CONFIRM_TARGETS: usize = 4096;

/// The leader's side of observing; every agent has one, and only the leader's is used.
#[derive(Debug)]
pub(crate) struct Hub {
    agent: AgentId,
    group: Group,
    peers: Peers,
    confirm: Arc<Probing>,
    silent_after: Duration,
    heard: Mutex<Heard>,
}

/// When each observer was last heard, in the present term.
#[derive(Debug, Default)]
struct Heard {
    term: u64,
    since: Option<Instant>,
    last: BTreeMap<AgentId, (BootId, Instant)>,
}

impl Hub {
    /// A hub that hears nobody yet.
    pub(crate) fn new(
        agent: AgentId,
        group: Group,
        peers: Peers,
        confirm: Arc<Probing>,
        silent_after: Duration,
    ) -> Self {
        Self { agent, group, peers, confirm, silent_after, heard: Mutex::default() }
    }

    /// Takes a bulletin. Errors: this agent is not the leader, or the log takes nothing at present.
    pub(crate) async fn take(&self, bulletin: Bulletin) -> Result<BulletinReply, Refusal> {
        let term = self.leading()?;
        if !bulletin.suspects.is_empty() {
            self.ask_everybody(&bulletin.suspects);
        }
        let (agent, boot) = (bulletin.agent, bulletin.boot);
        let full = bulletin.report.as_ref().is_some_and(|report| report.full);
        let mut recorded = 0;
        if let Some(report) = bulletin.report {
            let sequence = report.sequence;
            self.record(agent, report).await?;
            recorded = sequence;
        }
        self.note_heard(term, agent, boot);
        let known =
            self.group.view().borrow().agents.get(&agent).is_some_and(|a| a.heard == Some(boot));
        Ok(BulletinReply { recorded, need_full: !full && !known })
    }

    async fn record(
        &self,
        agent: AgentId,
        report: holdfast_core::observation::Report,
    ) -> Result<(), Refusal> {
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
        heard.last.insert(agent, (boot, Instant::now()));
    }

    /// Asks every observer to look at once. Nobody waits for it.
    fn ask_everybody(&self, suspects: &[Target]) {
        let suspects: BTreeSet<&Target> = suspects.iter().take(CONFIRM_TARGETS).collect();
        let suspects: Vec<Target> = suspects.into_iter().cloned().collect();
        metrics::counter!("holdfast_suspicions_total").increment(suspects.len() as u64);
        self.confirm.confirm(&suspects);
        let body = encode_confirm(&suspects);
        for member in self.peers.others() {
            let (peers, body) = (self.peers.clone(), body.clone());
            tokio::spawn(async move {
                if let Err(error) =
                    peers.call(member, MessageKind::Confirm, body, CONFIRM_TIMEOUT).await
                {
                    tracing::debug!(%member, %error, "an observer could not be asked to confirm");
                }
            });
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
        let since = last.map(|(_, at)| *at).or(heard.since);
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
}
