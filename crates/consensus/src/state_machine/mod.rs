//! The core's state as openraft wants it: applies committed entries, publishes views, builds and installs snapshots.
//!
//! ```text
//! committed entries ─▶ decode once ─▶ State::apply ─▶ AuditSink ─▶ watch<Arc<View>> (once per batch) ─▶ answers
//! ```
//!
//! The state lives in memory; after a restart it is the last snapshot plus the log. An answer is given only after the
//! view that shows its effect is published, so that whoever wrote can read. An entry that does not decode stops the
//! group here, loudly: its effect is unknown, and guessing would split the replicas. The view stays.

mod snapshot_io;

#[cfg(test)]
mod tests;

use std::io::{Error, ErrorKind, Result};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use holdfast_core::audit::{Hash, Head, Record};
use holdfast_core::membership::MembershipChange;
use holdfast_core::spec::{Service, Zone};
use holdfast_core::state::{Deadline, Declared, Snapshot};
use holdfast_core::{
    AgentId, Command, GroupId, Outcome, Rejection, RequestId, State, Timestamp, View,
};
use openraft::EntryPayload;
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::audit_sink::AuditSink;
use crate::types::{
    Answer, LogId, Membership, RaftEntry, RaftSnapshot, SnapshotMeta, StoredMembership, Types,
};
pub(crate) use snapshot_io::{SnapshotIo, replace_file};

/// The state machine; clones share the state.
#[derive(Clone)]
pub(crate) struct StateMachine(Arc<Shared>);

struct Shared {
    machine: Mutex<Machine>,
    view: watch::Sender<Arc<View>>,
    progress: watch::Sender<Progress>,
    /// Why this group no longer applies.
    halted: watch::Sender<Option<String>>,
    audit: Arc<dyn AuditSink>,
    snapshots: SnapshotIo,
}

/// How far the state machine is, and what falls due next.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) applied: u64,
    pub(crate) deadline: Option<Deadline>,
    /// Whether a change of voters is half done: the old voters still count as well.
    pub(crate) joint: bool,
}

struct Machine {
    state: State,
    applied: Option<LogId>,
    membership: StoredMembership,
    /// Index of the last entry that the log held when this process began.
    inherited: u64,
    /// The group's time at the last entry that came later, and when that was applied.
    witnessed: Option<(Timestamp, Instant)>,
    /// Index of the last entry that left audit records.
    recorded: u64,
    /// The snapshot on disk.
    stored: Option<SnapshotMeta>,
    /// A state whose records were not durable yet when a snapshot was due: the next time they are, however many
    /// newer ones are not.
    waiting: Option<Waiting>,
}

struct Waiting {
    recorded: u64,
    meta: SnapshotMeta,
    snapshot: Snapshot,
}

/// A consistent copy of the state at one moment, on its way to disk.
pub(crate) struct Builder {
    machine: StateMachine,
    meta: SnapshotMeta,
    snapshot: Snapshot,
}

impl StateMachine {
    /// The state before the first entry.
    pub(crate) fn new(group: GroupId, audit: Arc<dyn AuditSink>, snapshots: SnapshotIo) -> Self {
        let mut state = State::new(group);
        let view = watch::Sender::new(state.view());
        let machine = Machine {
            state,
            applied: None,
            membership: StoredMembership::default(),
            inherited: 0,
            witnessed: None,
            recorded: 0,
            stored: None,
            waiting: None,
        };
        Self(Arc::new(Shared {
            machine: Mutex::new(machine),
            view,
            progress: watch::Sender::default(),
            halted: watch::Sender::default(),
            audit,
            snapshots,
        }))
    }

    pub(crate) fn view(&self) -> watch::Receiver<Arc<View>> {
        self.0.view.subscribe()
    }

    pub(crate) fn progress(&self) -> watch::Receiver<Progress> {
        self.0.progress.subscribe()
    }

    pub(crate) fn halted(&self) -> watch::Receiver<Option<String>> {
        self.0.halted.subscribe()
    }

    pub(crate) fn audit(&self) -> &dyn AuditSink {
        &*self.0.audit
    }

    /// The applied index with the hash of the state and the head of the audit chain at it.
    pub(crate) fn fingerprint(&self) -> (u64, Hash, Head) {
        let machine = self.lock();
        let index = machine.applied.map_or(0, |id| id.index);
        (index, machine.state.hash(), machine.state.audit_head())
    }

    /// The applied index with the head of the audit chain at it.
    pub(crate) fn audit_head(&self) -> (u64, Head) {
        let machine = self.lock();
        (machine.applied.map_or(0, |id| id.index), machine.state.audit_head())
    }

    /// What declaring a zone would come to, as far as the log is applied.
    pub(crate) fn check_zone(
        &self,
        zone: &Zone,
        if_revision: Option<u64>,
    ) -> std::result::Result<Declared, Rejection> {
        self.lock().state.check_zone(zone, if_revision)
    }

    /// What declaring a service would come to, as far as the log is applied.
    pub(crate) fn check_service(
        &self,
        service: &Service,
        if_revision: Option<u64>,
    ) -> std::result::Result<Declared, Rejection> {
        self.lock().state.check_service(service, if_revision)
    }

    /// The change of membership that was requested at `index` and is not settled, with the place of the members that
    /// it was judged by.
    pub(crate) fn requested(&self, index: u64) -> Option<(MembershipChange, Option<LogId>)> {
        let machine = self.lock();
        let requested = machine.state.snapshot().membership.requested.as_ref()?;
        let change = (requested.index == index).then(|| requested.change.clone())?;
        Some((change, *machine.membership.log_id()))
    }

    /// The change of membership that is agreed on and not settled.
    pub(crate) fn open_change(&self) -> Option<MembershipChange> {
        let machine = self.lock();
        let requested = machine.state.snapshot().membership.requested.as_ref();
        requested.map(|requested| requested.change.clone())
    }

    /// The place of the members, where a change of voters is half done.
    pub(crate) fn half_done(&self) -> Option<LogId> {
        self.lock().half_done()
    }

    /// Entries up to `index` were in the log when this process began: how long ago they were agreed on is not known.
    pub(crate) fn inherit(&self, index: u64) {
        self.lock().inherited = index;
    }

    /// The group's time at the last entry that was agreed on in the life of this process, and when it was applied.
    pub(crate) fn witnessed(&self) -> Option<(Timestamp, Instant)> {
        self.lock().witnessed
    }

    /// Whether the agent is a member, as far as the log is applied.
    pub(crate) fn has_member(&self, agent: AgentId) -> bool {
        self.lock().state.snapshot().membership.members.contains_key(&agent)
    }

    /// The answer that a replay of the request gets.
    pub(crate) fn answer_to(&self, request: RequestId) -> Option<Outcome> {
        self.lock().state.snapshot().replies.get(&request).cloned()
    }

    /// Stops applying, for a reason that people have to act on; the first one stays.
    pub(crate) fn halt(&self, reason: String) {
        tracing::error!(
            reason,
            "the group stops on this agent; DNS keeps answering from the last view"
        );
        self.0.halted.send_if_modified(|halted| {
            let first = halted.is_none();
            if first {
                *halted = Some(reason);
            }
            first
        });
    }

    fn lock(&self) -> MutexGuard<'_, Machine> {
        self.0.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn apply_entry(&self, entry: &RaftEntry, records: &mut Vec<Record>) -> Result<Answer> {
        if let Some(reason) = self.0.halted.borrow().as_ref() {
            return Err(Error::other(reason.clone()));
        }
        let mut machine = self.lock();
        let id = entry.log_id;
        assert!(Some(id) > machine.applied, "entries are applied once, in order");
        let answer = match &entry.payload {
            EntryPayload::Blank => None,
            EntryPayload::Membership(membership) => {
                machine.take_membership(id, membership);
                None
            }
            EntryPayload::Normal(blob) => {
                let entry = holdfast_wire::entry::decode(&blob.0).map_err(|error| {
                    let reason =
                        format!("the entry at index {} is not understood: {error}", id.index);
                    self.halt(reason.clone());
                    Error::new(ErrorKind::InvalidData, reason)
                })?;
                if let Command::RaiseLogicVersion { version } = entry.command
                    && version > State::LOGIC_VERSION
                {
                    return Err(self.outgrown(version));
                }
                let applied = machine.state.apply(id.index, &entry);
                if id.index > machine.inherited {
                    machine.witnessed = Some((machine.state.snapshot().at, Instant::now()));
                }
                if !applied.records.is_empty() {
                    machine.recorded = id.index;
                    records.extend(applied.records);
                }
                Some(applied.outcome)
            }
        };
        machine.applied = Some(id);
        Ok(Answer(answer))
    }

    /// Halts: the group decides by rules that this program does not know.
    fn outgrown(&self, version: u32) -> Error {
        let reason = format!(
            "the group decides by logic version {version} and this program knows {}; upgrade this agent",
            State::LOGIC_VERSION
        );
        self.halt(reason.clone());
        Error::new(ErrorKind::Unsupported, reason)
    }

    /// Hands over what a batch brought about: first to the audit store, then to everyone.
    fn publish(&self, records: Vec<Record>) {
        if !records.is_empty() {
            self.0.audit.append(records);
        }
        let mut machine = self.lock();
        let view = machine.state.view();
        let progress = Progress {
            applied: machine.applied.map_or(0, |id| id.index),
            deadline: machine.state.next_deadline(),
            joint: machine.half_done().is_some(),
        };
        drop(machine);
        self.0.view.send_if_modified(|published| {
            let changed = !Arc::ptr_eq(published, &view);
            *published = view;
            changed
        });
        self.0.progress.send_replace(progress);
    }

    /// A builder, unless a record that the snapshot would cover is not durable yet: the log still has to keep it.
    fn builder(&self, force: bool) -> Option<Builder> {
        let durable = self.0.audit.durable_index();
        let mut machine = self.lock();
        let present = || Waiting {
            recorded: machine.recorded,
            meta: SnapshotMeta {
                last_log_id: machine.applied,
                last_membership: machine.membership.clone(),
            },
            snapshot: machine.state.snapshot().clone(),
        };
        let chosen = if force || durable >= machine.recorded {
            let present = present();
            machine.waiting = None;
            present
        } else {
            let present = machine.waiting.is_none().then(present);
            let waiting = machine.waiting.take().or(present)?;
            if durable < waiting.recorded {
                machine.waiting = Some(waiting);
                return None;
            }
            waiting
        };
        Some(Builder { machine: self.clone(), meta: chosen.meta, snapshot: chosen.snapshot })
    }
}

impl Machine {
    fn half_done(&self) -> Option<LogId> {
        let joint = self.state.snapshot().membership.joint;
        self.membership.log_id().filter(|_| joint)
    }

    fn take_membership(&mut self, id: LogId, membership: &Membership) {
        self.membership = StoredMembership::new(Some(id), membership.clone());
        let members = membership.nodes().map(|(id, node)| (AgentId(*id), node.clone().into()));
        let members = members.collect();
        let configs = membership.get_joint_config();
        let voters = configs.last().into_iter().flatten().copied().map(AgentId).collect();
        self.state.take_membership(id.index, members, voters, configs.len() > 1);
    }
}

impl RaftSnapshotBuilder<Types> for Builder {
    type SnapshotData = Bytes;

    async fn build_snapshot(&mut self) -> Result<RaftSnapshot> {
        let snapshot = self.snapshot.clone();
        let io = &self.machine.0.snapshots;
        let encode = move || Bytes::from(holdfast_wire::snapshot::encode(&snapshot));
        let body = match io {
            // No threads in a simulation.
            SnapshotIo::Memory(_) => encode(),
            SnapshotIo::Directory(_) => {
                tokio::task::spawn_blocking(encode).await.map_err(Error::other)?
            }
        };
        // A snapshot that the leader sent meanwhile may be newer; the newest one stays.
        let newer = self
            .machine
            .lock()
            .stored
            .as_ref()
            .is_some_and(|stored| stored.last_log_id > self.meta.last_log_id);
        if !newer {
            io.save(self.meta.clone(), body.clone()).await?;
            self.machine.lock().stored = Some(self.meta.clone());
        }
        Ok(RaftSnapshot { meta: self.meta.clone(), snapshot: body })
    }
}

impl RaftStateMachine<Types> for StateMachine {
    type SnapshotData = Bytes;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership)> {
        let machine = self.lock();
        Ok((machine.applied, machine.membership.clone()))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> Result<()>
    where
        Strm: Stream<Item = Result<EntryResponder<Types>>> + Unpin + Send,
    {
        let mut records = Vec::new();
        let mut answers = Vec::new();
        let mut result = Ok(());
        while let Some(item) = entries.next().await {
            let applied = item.and_then(|(entry, responder)| {
                Ok((self.apply_entry(&entry, &mut records)?, responder))
            });
            match applied {
                Ok((answer, responder)) => {
                    answers.extend(responder.map(|responder| (responder, answer)));
                }
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        self.publish(records);
        for (responder, answer) in answers {
            responder.send(answer);
        }
        result
    }

    async fn try_create_snapshot_builder(&mut self, force: bool) -> Option<Builder> {
        self.builder(force)
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        self.builder(true).expect("a forced builder is never refused")
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, body: Bytes) -> Result<()> {
        let snapshot = holdfast_wire::snapshot::decode(&body).map_err(|error| {
            let reason = format!("a snapshot is not understood: {error}");
            self.halt(reason.clone());
            Error::new(ErrorKind::InvalidData, reason)
        })?;
        if snapshot.logic_version > State::LOGIC_VERSION {
            return Err(self.outgrown(snapshot.logic_version));
        }
        let stored = self.lock().stored.as_ref() == Some(meta);
        if !stored {
            self.0.snapshots.save(meta.clone(), body).await?;
        }
        let head = {
            let mut machine = self.lock();
            machine.state = State::restore(snapshot);
            machine.applied = meta.last_log_id;
            machine.membership = meta.last_membership.clone();
            machine.recorded = 0;
            machine.stored = Some(meta.clone());
            machine.waiting = None;
            machine.state.audit_head()
        };
        self.0.audit.reset(head);
        self.publish(Vec::new());
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<RaftSnapshot>> {
        let Some((meta, snapshot)) = self.0.snapshots.load()? else { return Ok(None) };
        self.lock().stored = Some(meta.clone());
        Ok(Some(RaftSnapshot { meta, snapshot }))
    }
}
