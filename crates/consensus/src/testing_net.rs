//! A cluster in one process: an in-memory wire that can be cut, simulated disks, a clock that follows tokio's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use holdfast_core::membership::MembershipChange;
use holdfast_core::seam::{Clock, Entropy};
use holdfast_core::{AgentId, Command, GroupId, Outcome, RequestId, Timestamp, View};
use holdfast_wire::command::Proposal;
use holdfast_wire::peer::{Message, PeerAddress, PeerHandler as _, Sender, Wire, WireError};
use tokio::time::Instant;

use crate::testing::{Records, mutation, person};
use crate::{
    Fatal, Group, GroupConfig, GroupStatus, Groups, Member, MemoryDisk, ProposeError, Role, Seams,
    StartError, Storage, SyncPolicy,
};

const LATENCY: Duration = Duration::from_millis(1);
/// Virtual (or real) time after which a test that waits in vain fails.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Default)]
struct NetState {
    nodes: BTreeMap<AgentId, Groups>,
    /// Directed pairs between which nothing passes.
    cut: BTreeSet<(AgentId, AgentId)>,
    /// Whether the sender hears nothing of that, rather than an error at once.
    silent: bool,
    snapshots: usize,
}

/// The wire between all agents.
#[derive(Clone, Default)]
pub(crate) struct Net(Arc<Mutex<NetState>>);

/// One agent's end of it; dead when its process is.
struct End {
    net: Net,
    alive: Arc<AtomicBool>,
}

impl Net {
    fn lock(&self) -> MutexGuard<'_, NetState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cuts `agents` off from all others, both ways.
    pub(crate) fn isolate(&self, agents: &[u64]) {
        let mut state = self.lock();
        let inside: BTreeSet<AgentId> = agents.iter().map(|id| AgentId(*id)).collect();
        let all: BTreeSet<AgentId> =
            state.nodes.keys().copied().chain(inside.iter().copied()).collect();
        for a in &inside {
            for b in all.difference(&inside) {
                state.cut.insert((*a, *b));
                state.cut.insert((*b, *a));
            }
        }
    }

    /// As `isolate`, and whoever sends waits in vain.
    pub(crate) fn isolate_silently(&self, agents: &[u64]) {
        self.isolate(agents);
        self.lock().silent = true;
    }

    /// Nothing arrives at `agent` any more; what it sends still does.
    pub(crate) fn deafen(&self, agent: u64) {
        let mut state = self.lock();
        let others: Vec<AgentId> = state.nodes.keys().copied().filter(|id| id.0 != agent).collect();
        state.cut.extend(others.into_iter().map(|other| (other, AgentId(agent))));
    }

    pub(crate) fn heal(&self) {
        let mut state = self.lock();
        state.cut.clear();
        state.silent = false;
    }

    pub(crate) fn snapshots(&self) -> usize {
        self.lock().snapshots
    }

    async fn route(&self, from: AgentId, to: AgentId) -> Result<Groups, WireError> {
        self.pass(from, to).await?;
        let node = self.lock().nodes.get(&to).cloned();
        node.ok_or_else(|| WireError::Unreachable("nobody is there".to_owned()))
    }

    async fn pass(&self, from: AgentId, to: AgentId) -> Result<(), WireError> {
        let (cut, silent) = {
            let state = self.lock();
            (state.cut.contains(&(from, to)), state.silent)
        };
        match (cut, silent) {
            (false, _) => Ok(()),
            (true, false) => Err(WireError::Unreachable("the line is cut".to_owned())),
            (true, true) => std::future::pending().await,
        }
    }

    async fn back(&self, from: AgentId, to: AgentId) -> Result<(), WireError> {
        tokio::time::sleep(LATENCY).await;
        self.pass(to, from).await
    }
}

impl End {
    fn check(&self) -> Result<(), WireError> {
        let dead = || WireError::Unreachable("the process is gone".to_owned());
        if self.alive.load(Ordering::SeqCst) { Ok(()) } else { Err(dead()) }
    }
}

#[async_trait]
impl Wire for End {
    async fn call(
        &self,
        _to: &PeerAddress,
        message: Message,
        _timeout: Duration,
    ) -> Result<Bytes, WireError> {
        tokio::time::sleep(LATENCY).await;
        self.check()?;
        let (from, to) = (message.from, message.to);
        let node = self.net.route(from, to).await?;
        // As a server would: the answer is worked out even when nobody waits for it.
        let work = tokio::spawn(async move { node.handle(&certified(from), message).await });
        let answer = work.await.map_err(|error| WireError::Broken(error.to_string()))?;
        self.net.back(from, to).await?;
        answer.map_err(WireError::Refused)
    }

    async fn snapshot(
        &self,
        _to: &PeerAddress,
        head: Message,
        chunks: BoxStream<'static, Bytes>,
        _timeout: Duration,
    ) -> Result<Bytes, WireError> {
        tokio::time::sleep(LATENCY).await;
        self.check()?;
        let (from, to) = (head.from, head.to);
        let node = self.net.route(from, to).await?;
        self.net.lock().snapshots += 1;
        let chunks = chunks.map(Ok).boxed();
        let answer = node.handle_snapshot(&certified(from), head, chunks).await;
        self.net.back(from, to).await?;
        answer.map_err(WireError::Refused)
    }
}

struct TestClock {
    begun: Instant,
    ahead_ms: AtomicU64,
}
impl TestClock {
    fn new(begun: Instant) -> Self {
        Self { begun, ahead_ms: AtomicU64::new(0) }
    }
}
impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        let ahead = Duration::from_millis(self.ahead_ms.load(Ordering::SeqCst));
        Timestamp(1_700_000_000_000) + self.begun.elapsed() + ahead
    }
}

struct Dice;
impl Entropy for Dice {
    fn next_u64(&self) -> u64 {
        crate::rt::draw()
    }
}

/// One agent of the cluster.
pub(crate) struct Node {
    pub(crate) group: Group,
    pub(crate) audit: Arc<Records>,
    alive: Arc<AtomicBool>,
}

/// Agents 1..=n, each with its disk.
pub(crate) struct Cluster {
    pub(crate) net: Net,
    pub(crate) storages: BTreeMap<u64, Storage>,
    pub(crate) nodes: BTreeMap<u64, Node>,
    begun: Instant,
    clocks: BTreeMap<u64, Arc<TestClock>>,
    snapshot_every: u64,
}

pub(crate) fn member(id: u64) -> Member {
    Member {
        id: AgentId(id),
        name: format!("agent-{id}"),
        region: "eu".to_owned(),
        address: format!("10.0.0.{id}:7000"),
        api_address: format!("10.0.0.{id}:7001"),
    }
}

/// What the agent's certificate says.
pub(crate) fn certified(agent: AgentId) -> Sender {
    Sender::Certified(member(agent.0).name)
}

impl Cluster {
    /// Agents on simulated disks, not started.
    pub(crate) fn new(count: u64, policy: SyncPolicy) -> Self {
        let storage = |id| (id, Storage::Memory(MemoryDisk::new(policy)));
        Self {
            net: Net::default(),
            storages: (1..=count).map(storage).collect(),
            nodes: BTreeMap::new(),
            begun: Instant::now(),
            clocks: BTreeMap::new(),
            snapshot_every: 10_000,
        }
    }

    pub(crate) fn with_snapshots_every(mut self, entries: u64) -> Self {
        self.snapshot_every = entries;
        self
    }

    /// Three agents that form a group.
    pub(crate) async fn formed(count: u64) -> Self {
        let mut cluster = Self::new(count, SyncPolicy::Immediate);
        cluster.form().await;
        cluster
    }

    pub(crate) async fn form(&mut self) {
        let ids: Vec<u64> = self.storages.keys().copied().collect();
        for id in &ids {
            self.start(*id).await;
        }
        let members: Vec<Member> = ids.iter().map(|id| member(*id)).collect();
        self.group(1).initialize(&members).await.expect("the group forms");
    }

    pub(crate) fn config(&self, id: u64) -> GroupConfig {
        let storage = self.storages[&id].clone();
        GroupConfig {
            snapshot_every: self.snapshot_every,
            keep_entries: 0,
            ..GroupConfig::new("test", GroupId(1), member(id), storage)
        }
    }

    /// The clock of an agent's machine.
    fn clock(&mut self, id: u64) -> Arc<TestClock> {
        let clock = || Arc::new(TestClock::new(self.begun));
        self.clocks.entry(id).or_insert_with(clock).clone()
    }

    fn seams(&mut self, id: u64, audit: Arc<Records>, alive: Arc<AtomicBool>) -> Seams {
        Seams {
            wire: Arc::new(End { net: self.net.clone(), alive }),
            clock: self.clock(id),
            entropy: Arc::new(Dice),
            audit,
            fatal: Fatal::hook(|reason| panic!("{reason}")),
        }
    }

    pub(crate) async fn try_start(&mut self, config: GroupConfig) -> Result<(), StartError> {
        let id = config.me.id;
        let audit = Arc::new(Records::default());
        let alive = Arc::new(AtomicBool::new(true));
        let seams = self.seams(config.me.id.0, audit.clone(), alive.clone());
        let group = Group::start(config, seams).await?;
        let groups = Groups::default();
        groups.insert(group.clone());
        self.net.lock().nodes.insert(id, groups);
        self.nodes.insert(id.0, Node { group, audit, alive });
        Ok(())
    }

    pub(crate) async fn start(&mut self, id: u64) {
        self.try_start(self.config(id)).await.expect("the group starts");
    }

    /// The process is gone, at once.
    pub(crate) fn kill(&mut self, id: u64) {
        self.net.lock().nodes.remove(&AgentId(id));
        if let Some(Storage::Memory(disk)) = self.storages.get(&id) {
            disk.crash();
        }
        if let Some(node) = self.nodes.remove(&id) {
            node.alive.store(false, Ordering::SeqCst);
        }
    }

    /// The wall clocks of `ids` are this far ahead of the time that passes; returns what they show.
    pub(crate) fn put_clocks_ahead(&mut self, ids: &[u64], ahead: Duration) -> Timestamp {
        let ahead_ms = holdfast_core::time::millis(ahead);
        let shown = ids.iter().map(|id| {
            let clock = self.clock(*id);
            clock.ahead_ms.store(ahead_ms, Ordering::SeqCst);
            clock.now()
        });
        shown.max().expect("a clock")
    }

    /// Lets a leader hear nobody, and stops it once there is more in its log than now.
    pub(crate) fn stop_with_more_in_its_log(&self, leader: u64) -> impl Future<Output = ()> + '_ {
        let last = self.status(leader).last_log_index;
        self.net.deafen(leader);
        async move {
            self.wait_status(leader, |status| status.last_log_index > last).await;
            self.group(leader).shutdown().await;
        }
    }

    /// The agent stops in order.
    pub(crate) async fn stop(&mut self, id: u64) {
        let node = self.nodes.remove(&id).expect("it runs");
        node.group.shutdown().await;
        self.net.lock().nodes.remove(&AgentId(id));
    }

    pub(crate) fn group(&self, id: u64) -> &Group {
        &self.nodes[&id].group
    }

    pub(crate) fn status(&self, id: u64) -> GroupStatus {
        self.group(id).status().borrow().clone()
    }

    /// Waits for a leader among `ids` that has a quorum and began its term.
    pub(crate) async fn leader_among(&self, ids: &[u64]) -> u64 {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let leads = |id: &&u64| {
                let status = self.status(**id);
                let began = self.view(**id).term;
                status.role == Role::Leader
                    && status.quorum_ok
                    && began == Some((status.term, AgentId(**id)))
            };
            if let Some(leader) = ids.iter().find(leads) {
                return *leader;
            }
            assert!(Instant::now() < deadline, "no leader among {ids:?}");
            self.something_changes(ids).await;
        }
    }

    pub(crate) async fn leader(&self) -> u64 {
        let ids: Vec<u64> = self.nodes.keys().copied().collect();
        self.leader_among(&ids).await
    }

    async fn something_changes(&self, ids: &[u64]) {
        let waits = ids.iter().map(|id| {
            let (mut status, mut view) = (self.group(*id).status(), self.group(*id).view());
            status.mark_unchanged();
            view.mark_unchanged();
            Box::pin(async move {
                let pause = tokio::time::sleep(Duration::from_millis(5));
                tokio::select! {
                    biased;
                    _ = status.changed() => {}
                    _ = view.changed() => {}
                    () = pause => {}
                }
            })
        });
        futures_util::future::select_all(waits).await;
    }

    pub(crate) fn view(&self, id: u64) -> Arc<View> {
        self.group(id).view().borrow().clone()
    }

    /// Proposes zone `number` from agent `at`.
    pub(crate) async fn declare(&self, at: u64, number: u64) -> Outcome {
        let request = Some(RequestId(u128::from(number)));
        let declared = self.group(at).propose(request, person(), declaration(number)).await;
        declared.unwrap_or_else(|error| panic!("agent {at}, zone {number}: {error}"))
    }

    /// Has the membership changed by agent `at`, as a person, under a request of this number.
    pub(crate) async fn try_change(
        &self,
        at: u64,
        number: u128,
        change: MembershipChange,
    ) -> Result<Outcome, ProposeError> {
        self.group(at).propose_within(asked(number, change), PATIENCE).await
    }

    /// As [`Cluster::try_change`], which must not fail.
    pub(crate) async fn change(&self, at: u64, number: u128, change: MembershipChange) -> Outcome {
        let text = change.to_string();
        let outcome = self.try_change(at, number, change).await;
        let outcome = outcome.unwrap_or_else(|error| panic!("at agent {at}, {text}: {error}"));
        assert!(outcome.result.is_ok(), "at agent {at}, {text}: {outcome:?}");
        outcome
    }

    /// Waits until `holds` of the view of agent `id`.
    pub(crate) async fn wait_view(&self, id: u64, holds: impl Fn(&View) -> bool) {
        let mut view = self.group(id).view();
        let wait = view.wait_for(|view| holds(view));
        tokio::time::timeout(PATIENCE, wait).await.expect("in time").expect("the group runs");
    }

    pub(crate) async fn wait_status(&self, id: u64, holds: impl Fn(&GroupStatus) -> bool) {
        let mut status = self.group(id).status();
        let wait = status.wait_for(|status| holds(status));
        tokio::time::timeout(PATIENCE, wait).await.expect("in time").expect("the group runs");
    }

    /// Waits until all running agents are at one index; there they must agree on state and audit.
    pub(crate) async fn agree(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let states: Vec<_> = self.nodes.values().map(|node| node.group.state_hash()).collect();
            let same_index = states.windows(2).all(|pair| pair[0].0 == pair[1].0);
            if same_index {
                assert!(
                    states.windows(2).all(|pair| pair[0] == pair[1]),
                    "replicas differ: {states:?}"
                );
                return;
            }
            assert!(Instant::now() < deadline, "replicas do not converge: {states:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

pub(crate) fn declaration(number: u64) -> Command {
    mutation(number).command
}

/// A person's request to change the membership.
pub(crate) fn asked(number: u128, change: MembershipChange) -> Proposal {
    let command = Command::RequestMembership(change);
    Proposal { request_id: Some(RequestId(number)), actor: person(), command }
}
