//! Three agents with real sockets, real files and real time, through the public API alone.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use holdfast_consensus::{
    AuditSink, Fatal, Group, GroupConfig, Groups, Member, Role, Seams, Storage,
};
use holdfast_core::audit::Head;
use holdfast_core::membership::MembershipChange;
use holdfast_core::seam::{Clock, Entropy};
use holdfast_core::spec::{NameServer, Record, RecordData, Soa, Zone};
use holdfast_core::{
    Actor, ActorKind, AgentId, Command, GroupId, Outcome, RequestId, Timestamp, View,
};
use holdfast_wire::command::Proposal;
use holdfast_wire::peer::{GrpcWire, GrpcWireConfig, serve};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const PATIENCE: Duration = Duration::from_secs(30);

struct Steady(tokio::time::Instant);
impl Clock for Steady {
    fn now(&self) -> Timestamp {
        Timestamp(1_700_000_000_000) + self.0.elapsed()
    }
}

struct Counter(AtomicU64);
impl Entropy for Counter {
    fn next_u64(&self) -> u64 {
        self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::SeqCst)
    }
}

struct NoAudit;
impl AuditSink for NoAudit {
    fn append(&self, _records: Vec<holdfast_core::audit::Record>) {}
    fn durable_index(&self) -> u64 {
        u64::MAX
    }
    fn refuse_mutations(&self) -> Option<String> {
        None
    }
    fn reset(&self, _head: Head) {}
}

struct Agent {
    group: Group,
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
}

struct Cluster {
    members: BTreeMap<u64, Member>,
    agents: BTreeMap<u64, Agent>,
    entropy: Arc<Counter>,
}

impl Cluster {
    /// Starts agent `id` on a free port, or on the one that it had.
    async fn start(&mut self, id: u64, directory: &Path) {
        let bind = self.members.get(&id).map_or("127.0.0.1:0", |member| member.address.as_str());
        let listener = TcpListener::bind(bind).await.expect("a port");
        let address = listener.local_addr().expect("bound").to_string();
        let me = Member {
            id: AgentId(id),
            name: format!("agent-{id}"),
            region: "eu".to_owned(),
            api_address: address.clone(),
            address,
        };
        self.members.insert(id, me.clone());
        let storage = Storage::Directory(directory.join(id.to_string()));
        let config = GroupConfig {
            snapshot_every: 50,
            keep_entries: 0,
            patience: PATIENCE,
            ..GroupConfig::new("test", GroupId(1), me, storage)
        };
        let seams = Seams {
            wire: Arc::new(GrpcWire::new(GrpcWireConfig::default())),
            clock: Arc::new(Steady(tokio::time::Instant::now())),
            entropy: self.entropy.clone(),
            audit: Arc::new(NoAudit),
            fatal: Fatal::hook(|reason| panic!("{reason}")),
        };
        let group = Group::start(config, seams).await.expect("the group starts");
        let groups = Groups::default();
        groups.insert(group.clone());
        let (stop, stopped) = oneshot::channel();
        let server = tokio::spawn(async move {
            let stopped = async { drop(stopped.await) };
            serve(listener, Arc::new(groups), None, stopped).await.expect("serves");
        });
        self.agents.insert(id, Agent { group, stop, server });
    }

    /// Stops agent `id`: its server at once, so that it cannot hand over.
    async fn kill(&mut self, id: u64) {
        let agent = self.agents.remove(&id).expect("it runs");
        agent.server.abort();
        drop(agent.stop);
        agent.group.shutdown().await;
    }

    fn group(&self, id: u64) -> &Group {
        &self.agents[&id].group
    }

    async fn leader(&self) -> u64 {
        let leads = self.agents.iter().map(|(id, agent)| {
            let mut status = agent.group.status();
            Box::pin(async move {
                let leads =
                    status.wait_for(|status| status.role == Role::Leader && status.quorum_ok);
                leads.await.expect("the group runs");
                *id
            })
        });
        let first = futures_util::future::select_all(leads);
        tokio::time::timeout(PATIENCE, first).await.expect("a leader in time").0
    }

    /// Declares a zone with so many records.
    async fn declare(&self, at: u64, number: u64, records: u32) -> Outcome {
        let apex = format!("z{number}.test");
        let name = |text: &str| text.parse().expect("a name");
        let record = |number: u32| Record {
            name: name(&format!("r{number}.{apex}")),
            ttl: Duration::from_secs(60),
            data: RecordData::Txt(vec!["x".repeat(200).into()]),
        };
        let zone = Zone {
            records: (0..records).map(record).collect(),
            ..Zone::new(
                name(&apex),
                Soa::new(name(&format!("admin.{apex}"))),
                vec![NameServer {
                    name: name(&format!("ns1.{apex}")),
                    addresses: vec![[127, 0, 0, 1].into()],
                }],
                Duration::from_secs(60),
            )
        };
        let actor = Actor { kind: ActorKind::Person, name: "ann".to_owned() };
        let command = Command::ApplyZone { zone, if_revision: None };
        let outcome = self.group(at).propose(Some(RequestId(number.into())), actor, command).await;
        outcome.unwrap_or_else(|error| panic!("agent {at}, zone {number}: {error}"))
    }

    async fn wait_view(&self, id: u64, holds: impl Fn(&View) -> bool) {
        let mut view = self.group(id).view();
        let wait = view.wait_for(|view| holds(view));
        tokio::time::timeout(PATIENCE, wait).await.expect("in time").expect("the group runs");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_over_grpc_and_redb_survives_its_leader_and_takes_a_learner() {
    let directory = tempfile::tempdir().expect("a directory");
    let entropy = Arc::new(Counter(AtomicU64::new(1)));
    let mut cluster = Cluster { members: BTreeMap::new(), agents: BTreeMap::new(), entropy };
    for id in 1..=3 {
        cluster.start(id, directory.path()).await;
    }
    let members: Vec<Member> = cluster.members.values().cloned().collect();
    cluster.group(2).initialize(&members).await.expect("the group forms");

    let zones = (1..=60).map(|number| cluster.declare(number % 3 + 1, number, 0));
    let outcomes = futures_util::future::join_all(zones).await;
    assert!(outcomes.iter().all(|outcome| outcome.result.is_ok()), "{outcomes:?}");
    // So large that neither an entry nor a snapshot fits into one chunk.
    let declared = cluster.declare(1, 100, 8_000).await;
    assert!(declared.result.is_ok(), "{declared:?}");

    let first = cluster.leader().await;
    cluster.kill(first).await;
    let others: Vec<u64> = cluster.agents.keys().copied().collect();
    assert_eq!(
        cluster.declare(others[0], 7, 0).await,
        outcomes[6],
        "a replay gets the first answer"
    );
    cluster.declare(others[1], 61, 0).await;

    cluster.start(first, directory.path()).await;
    cluster.wait_view(first, |view| view.zones.len() == 62).await;
    cluster.start(4, directory.path()).await;
    let learner = cluster.members[&4].clone();
    let directory = cluster.group(others[0]).directory_of(&learner, PATIENCE).await;
    let member = learner.joining(directory.expect("it answers"));
    let add = MembershipChange::Add { id: AgentId(4), member };
    let asked = Proposal {
        request_id: Some(RequestId(1001)),
        actor: Actor { kind: ActorKind::Person, name: "ann".to_owned() },
        command: Command::RequestMembership(add),
    };
    let added = cluster.group(others[0]).propose_within(asked, PATIENCE).await.expect("agreed on");
    assert!(added.result.is_ok(), "{added:?}");
    cluster.wait_view(4, |view| view.zones.len() == 62).await;

    let index = cluster.group(4).read_index().await.expect("a learner reads");
    let hashes: Vec<_> = cluster.agents.values().map(|agent| agent.group.state_hash()).collect();
    assert!(hashes.iter().any(|(applied, _, _)| *applied >= index));
    for (applied, hash, head) in &hashes {
        let same = hashes.iter().filter(|(other, _, _)| other == applied);
        assert!(same.into_iter().all(|(_, other, chain)| (other, chain) == (hash, head)));
    }
    for agent in cluster.agents.into_values() {
        agent.group.shutdown().await;
        drop(agent.stop);
        agent.server.await.expect("the server ends");
    }
}
