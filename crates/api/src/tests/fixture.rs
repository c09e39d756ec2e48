//! A node with a real state machine and audit log behind a real server, and a client of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use holdfast_audit::{AuditLog, Config, MemoryStore};
use holdfast_core::audit::{Hash, Head, Record};
use holdfast_core::membership::{self as joining, MembershipChange};
use holdfast_core::observation::Target;
use holdfast_core::propagation::{Delegation, ParentSighting, Seen, Sighting, Unasked};
use holdfast_core::recovery::GroupTimes;
use holdfast_core::seam::Clock;
use holdfast_core::signing::Ds;
use holdfast_core::spec::{Service, Zone};
use holdfast_core::state::Declared;
use holdfast_core::time::millis;
use holdfast_core::{AgentId, Entry, GroupId, Outcome, Rejection, State, Timestamp, View};
use holdfast_seal::{Sealer, SealingKeys};
use holdfast_wire::command::Proposal;
use holdfast_wire::entry;
use holdfast_wire::lookup::Lookup;
use holdfast_wire::pb::v1 as pb;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio_stream::wrappers::WatchStream;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};

use crate::agreement::{Agreement, AgreementError, Member, NewMember, Role, Standing};
use crate::node::{
    Addresses, HeartbeatSink, Looked, NodeFacts, NodeIdentity, Propagation, ReadinessPart, Task,
};
use crate::{ApiConfig, Deps, ServeError, serve};

/// 2026-01-01.
pub(super) const NOW: Timestamp = Timestamp(1_767_225_600_000);

/// One replica, which agrees with itself.
pub(super) struct Replica {
    state: Mutex<State>,
    view: watch::Sender<Arc<View>>,
    audit: AuditLog,
    at: AtomicU64,
    /// Whether it says that there is a quorum.
    pub(super) quorum: watch::Sender<bool>,
    /// What every proposal and every linearizable read is answered with, where there is something.
    pub(super) broken: Mutex<Option<AgreementError>>,
    pub(super) beats: Mutex<Vec<Target>>,
    /// Records on their way to the store, while they are held up.
    held_up: Mutex<Option<Vec<Batch>>>,
}

/// Records, and the index that they reach.
type Batch = (Vec<Record>, u64);

impl Replica {
    fn new() -> Self {
        let mut state = State::new(GroupId(1));
        let members = BTreeMap::from([(AgentId(1), joining(1))]);
        state.take_membership(0, members, BTreeSet::from([AgentId(1)]), false);
        let view = state.view();
        let store = Arc::new(MemoryStore::new());
        let (audit, _) = AuditLog::synchronous(store, &Config::default()).expect("an empty store");
        Self {
            state: Mutex::new(state),
            view: watch::Sender::new(view),
            audit,
            at: AtomicU64::new(NOW.0),
            quorum: watch::Sender::new(true),
            broken: Mutex::default(),
            beats: Mutex::default(),
            held_up: Mutex::default(),
        }
    }

    /// So much later is the next entry.
    pub(super) fn pass(&self, time: Duration) {
        self.at.fetch_add(millis(time), Ordering::Relaxed);
    }

    /// From here on, records do not arrive at the store.
    pub(super) fn hold_records_up(&self) {
        *self.held_up.lock().expect("not poisoned") = Some(Vec::new());
    }

    /// What was held up arrives.
    pub(super) fn let_records_arrive(&self) {
        let held_up = self.held_up.lock().expect("not poisoned").take();
        held_up.into_iter().flatten().for_each(|(records, index)| self.store(records, index));
    }

    fn store(&self, records: Vec<Record>, index: u64) {
        if let Some(held_up) = self.held_up.lock().expect("not poisoned").as_mut() {
            held_up.push((records, index));
            return;
        }
        self.audit.try_append(records, index).expect("the chain goes on");
    }

    pub(super) fn apply(&self, proposal: Proposal) -> Outcome {
        let Proposal { request_id, actor, command } = proposal;
        let at = Timestamp(self.at.fetch_add(1, Ordering::Relaxed));
        let written = entry::encode(&Entry { at, request_id, actor, command });
        let entry = entry::decode(&written).expect("our own bytes");
        let mut state = self.state.lock().expect("not poisoned");
        let index = state.index() + 1;
        let applied = state.apply(index, &entry);
        self.store(applied.records, index);
        self.view.send_replace(state.view());
        applied.outcome
    }

    /// Raft's log says that agents 1 to `count` are the members, and the first `voters` of them vote.
    pub(super) fn take_members(&self, count: u64, voters: u64) {
        self.take(count, voters, false);
    }

    /// As `take_members`, in the first of two entries: the voters before count as well.
    pub(super) fn take_half(&self, count: u64, voters: u64) {
        self.take(count, voters, true);
    }

    fn take(&self, count: u64, voters: u64, joint: bool) {
        let mut state = self.state.lock().expect("not poisoned");
        let members = (1..=count).map(|id| (AgentId(id), joining(id))).collect();
        let index = state.index() + 1;
        state.take_membership(index, members, (1..=voters).map(AgentId).collect(), joint);
    }

    /// The change of membership that is agreed on and not carried out.
    pub(super) fn requested(&self) -> Option<MembershipChange> {
        requested_in(&self.state.lock().expect("not poisoned"))
    }

    fn check(&self) -> Result<(), AgreementError> {
        self.broken.lock().expect("not poisoned").clone().map_or(Ok(()), Err)
    }
}

fn requested_in(state: &State) -> Option<MembershipChange> {
    state.snapshot().membership.requested.as_ref().map(|requested| requested.change.clone())
}

#[async_trait]
impl Agreement for Replica {
    async fn propose(&self, proposal: Proposal, _: Duration) -> Result<Outcome, AgreementError> {
        self.check()?;
        Ok(self.apply(proposal))
    }

    async fn read_index(&self, _: Duration) -> Result<u64, AgreementError> {
        self.check()?;
        Ok(self.state.lock().expect("not poisoned").index())
    }

    fn view(&self) -> watch::Receiver<Arc<View>> {
        self.view.subscribe()
    }

    fn standing(&self) -> Standing {
        let state = self.state.lock().expect("not poisoned");
        Standing {
            group: GroupId(1),
            generation: 0,
            role: Role::Leader,
            leader: Some(AgentId(1)),
            term: 1,
            quorum: *self.quorum.borrow(),
            members: vec![Member {
                id: AgentId(1),
                name: "eu-1".to_owned(),
                region: "eu".to_owned(),
                peer_address: "127.0.0.1:7443".to_owned(),
                api_address: "127.0.0.1:7444".to_owned(),
                voter: true,
                matched_index: None,
                last_heard: None,
            }],
            requested: requested_in(&state),
            joint: state.snapshot().membership.joint,
            last_log_index: state.index(),
            committed_index: state.index(),
            applied_index: state.index(),
            snapshot_index: 0,
            audit_head: state.audit_head(),
        }
    }

    fn changes(&self) -> BoxStream<'static, ()> {
        WatchStream::from_changes(self.quorum.subscribe()).map(drop).boxed()
    }

    fn check_zone(&self, zone: &Zone, if_revision: Option<u64>) -> Result<Declared, Rejection> {
        self.state.lock().expect("not poisoned").check_zone(zone, if_revision)
    }

    fn check_service(
        &self,
        service: &Service,
        if_revision: Option<u64>,
    ) -> Result<Declared, Rejection> {
        self.state.lock().expect("not poisoned").check_service(service, if_revision)
    }

    fn state_hash(&self) -> (u64, Hash) {
        let state = self.state.lock().expect("not poisoned");
        (state.index(), state.hash())
    }

    async fn directory_of(&self, joining: &NewMember, _: Duration) -> Result<u128, AgreementError> {
        self.check()?;
        Ok(joining.id.0.into())
    }
}

#[async_trait]
impl HeartbeatSink for Replica {
    async fn beat(&self, targets: Vec<Target>) -> Result<(), String> {
        self.beats.lock().expect("not poisoned").extend(targets);
        Ok(())
    }
}

/// Every target tells what a resolver would that still has 192.0.2.9 for a minute.
#[async_trait]
impl Propagation for Replica {
    async fn look(&self, lookup: Lookup, zone: &Zone) -> Looked {
        let seen = || Seen { data: vec!["192.0.2.9".to_owned()], ttl: Some(60), ..Seen::default() };
        let sighting = |target| Sighting {
            asker: "eu-1".to_owned(),
            target,
            seen: Ok(seen()),
            round_trip: Duration::from_millis(1),
        };
        assert!(lookup.parent, "whoever asks wants to know what the parent says");
        let delegation = Delegation {
            parent: ([192, 0, 2, 1], 53).into(),
            servers: vec![zone.name.clone()],
            glue: vec![],
            ds: Ds::from_data(&[0, 7, 13, 2, 1]).map(|ds| vec![ds]),
        };
        let told = |asker: &str, told| ParentSighting { asker: asker.to_owned(), told };
        Looked {
            sightings: lookup.targets.into_iter().map(sighting).collect(),
            silent: vec!["eu-2".to_owned()],
            parent: vec![
                told("eu-1", Ok(delegation.clone())),
                told("us-1", Ok(delegation)),
                told("us-2", Err(Unasked { parent: None, why: "no resolver".to_owned() })),
            ],
        }
    }
}

impl NodeFacts for Replica {
    fn identity(&self) -> NodeIdentity {
        NodeIdentity {
            cluster: "demo".to_owned(),
            id: AgentId(1),
            name: "eu-1".to_owned(),
            region: "eu".to_owned(),
            version: "0.1.0".to_owned(),
            addresses: Addresses::default(),
            started_at: NOW,
        }
    }

    fn tasks(&self) -> Vec<Task> {
        vec![Task {
            name: "ticker".to_owned(),
            state: "running".to_owned(),
            restarts: 0,
            last_error: None,
        }]
    }

    fn readiness(&self) -> Vec<ReadinessPart> {
        let part = |name: &str, ready| ReadinessPart {
            name: name.to_owned(),
            ready,
            detail: String::new(),
        };
        vec![part("dns", true), part("quorum", false)]
    }

    fn certificate_expires(&self) -> Option<Timestamp> {
        None
    }

    fn group_times(&self) -> GroupTimes {
        let second = Duration::from_secs(1);
        GroupTimes { election: second, round_trip: second, publish: second }
    }
}

struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        NOW
    }
}

/// A node that serves, until it is dropped or stopped.
pub(super) struct Node {
    pub(super) replica: Arc<Replica>,
    pub(super) port: u16,
    stop: Option<oneshot::Sender<()>>,
    served: tokio::task::JoinHandle<Result<(), ServeError>>,
}

impl Node {
    pub(super) async fn start() -> Self {
        Self::start_with(ApiConfig::default()).await
    }

    pub(super) async fn start_with(config: ApiConfig) -> Self {
        Self::serving(Arc::new(Replica::new()), config).await
    }

    /// Another server of a replica that has lived already.
    pub(super) async fn over(replica: Arc<Replica>) -> Self {
        Self::serving(replica, ApiConfig::default()).await
    }

    async fn serving(replica: Arc<Replica>, config: ApiConfig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async move { drop(stopped.await) };
        let served = tokio::spawn(serve(listener, config, deps(&replica), shutdown));
        Self { replica, port, stop: Some(stop), served }
    }

    /// Stops it, and waits until it has.
    pub(super) async fn stop(mut self) {
        drop(self.stop.take());
        self.served.await.expect("no panic").expect("a clean end");
    }

    pub(super) async fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{}", self.port));
        endpoint.expect("a good address").connect().await.expect("the node serves")
    }

    pub(super) async fn tls_channel(
        &self,
        tls: ClientTlsConfig,
    ) -> Result<Channel, tonic::transport::Error> {
        let endpoint = Endpoint::from_shared(format!("https://127.0.0.1:{}", self.port))?;
        endpoint.tls_config(tls)?.connect().await
    }
}

pub(super) fn deps(replica: &Arc<Replica>) -> Deps {
    Deps {
        agreement: Arc::<Replica>::clone(replica),
        audit: replica.audit.clone(),
        facts: Arc::<Replica>::clone(replica),
        heartbeats: Arc::<Replica>::clone(replica),
        propagation: Arc::<Replica>::clone(replica),
        clock: Arc::new(Still),
        sealer: Sealer::new(SealingKeys::new([[7; 32]]), Arc::new(Dice)),
    }
}

/// Randomness of the operating system.
struct Dice;

impl holdfast_core::seam::Entropy for Dice {
    fn next_u64(&self) -> u64 {
        uuid::Uuid::new_v4().as_u64_pair().1
    }
}

/// Agent `id`, as Raft's log has it.
pub(super) fn joining(id: u64) -> joining::Member {
    joining::Member {
        name: format!("eu-{id}"),
        region: "eu".to_owned(),
        peer_address: format!("127.0.0.{id}:7443"),
        api_address: format!("127.0.0.{id}:7444"),
        directory: id.into(),
    }
}

/// A request id of its own.
pub(super) fn id() -> String {
    uuid::Uuid::new_v4().to_string()
}

pub(super) fn zone() -> pb::Zone {
    pb::Zone {
        name: "example.test".to_owned(),
        soa: Some(pb::Soa {
            mailbox: "hostmaster.example.test".to_owned(),
            refresh_ms: 3_600_000,
            retry_ms: 600_000,
            expire_ms: 86_400_000,
            negative_ttl_ms: 5_000,
        }),
        name_servers: vec![pb::NameServer {
            name: "ns1.example.test".to_owned(),
            addresses: vec!["127.0.0.1".to_owned()],
        }],
        ttl_ms: 30_000,
        records: Vec::new(),
        ..pb::Zone::default()
    }
}

fn endpoint(name: &str, ip: &str) -> pb::Endpoint {
    let address = Some(pb::endpoint::Address::Ip(ip.to_owned()));
    pb::Endpoint { name: name.to_owned(), address, port: 8080, weight: 1 }
}

fn pool(name: &str, priority: u32, endpoint: pb::Endpoint) -> pb::Pool {
    pb::Pool {
        name: name.to_owned(),
        region: None,
        priority,
        weight: 1,
        min_up: 1,
        endpoints: vec![endpoint],
    }
}

fn check(name: &str, kind: pb::check::Kind) -> pb::Check {
    pb::Check {
        name: name.to_owned(),
        interval_ms: 1000,
        timeout_ms: 500,
        rise: 2,
        fall: 3,
        confirm_ms: 100,
        kind: Some(kind),
    }
}

/// A service of two pools, with a check of each sort.
pub(super) fn service(name: &str) -> pb::Service {
    let tcp = pb::check::Kind::Tcp(pb::TcpCheck::default());
    let beat = pb::check::Kind::Heartbeat(pb::HeartbeatCheck { ttl_ms: 5000 });
    pb::Service {
        id: name.to_owned(),
        dns: Some(pb::ServiceDns {
            name: format!("{name}.example.test"),
            ttl_ms: 5000,
            txt: Vec::new(),
            ..pb::ServiceDns::default()
        }),
        policy: Some(pb::Policy {
            policy: Some(pb::policy::Policy::Failover(pb::FailoverPolicy {})),
        }),
        pools: vec![
            pool("blue", 1, endpoint("blue-1", "192.0.2.1")),
            pool("green", 2, endpoint("green-1", "192.0.2.2")),
        ],
        checks: vec![check("tcp", tcp), check("beat", beat)],
        quorum: Some(pb::Quorum {
            regions: Some(pb::quorum::Regions::Majority(pb::MajorityOfRegions {})),
            veto_percent: 33,
        }),
        failover: Some(pb::FailoverRules {
            mode: pb::Mode::Enforce as i32,
            failback: pb::Failback::Auto as i32,
            hold_down_ms: 1000,
            cooldown_ms: 1000,
            max_moves: 5,
            window_ms: 60_000,
            all_down: Some(pb::AllDown {
                policy: Some(pb::all_down::Policy::FailOpen(pb::FailOpen {})),
            }),
        }),
    }
}

pub(super) fn apply(service: pb::Service) -> pb::ApplyServiceRequest {
    pb::ApplyServiceRequest {
        request_id: id(),
        service: Some(service),
        if_revision: None,
        validate_only: false,
    }
}

pub(super) fn apply_zone() -> pb::ApplyZoneRequest {
    pb::ApplyZoneRequest {
        request_id: id(),
        zone: Some(zone()),
        if_revision: None,
        validate_only: false,
    }
}

/// A registry client of a node that has a zone.
pub(super) async fn registry(
    node: &Node,
) -> pb::registry_service_client::RegistryServiceClient<Channel> {
    let channel = node.channel().await;
    let mut client = pb::registry_service_client::RegistryServiceClient::new(channel);
    client.apply_zone(apply_zone()).await.expect("the zone is possible");
    client
}

/// The chain of the node, as the state has it.
pub(super) fn head(node: &Node) -> Head {
    node.replica.standing().audit_head
}
