//! Three real agents in one process, an endpoint that reports by itself, and an agent that is cut off.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use holdfast_audit::MemoryStore;
use holdfast_consensus::{Fatal, MemoryDisk, Storage, SyncPolicy};
use holdfast_core::observation::Target;
use holdfast_core::quorum::Verdict;
use holdfast_core::seam::Clock;
use holdfast_core::spec::{Endpoint, Service};
use holdfast_core::{Actor, AgentId, Command, Timestamp, View};
use holdfast_probe::NetProber;
use holdfast_wire::peer::{Message, PeerAddress, PeerHandler, Sender, Wire, WireError};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::seams::SystemEntropy;
use crate::testing::{self, BEAT_TTL, pool, zone};
use crate::{Agent, AgentSeams, AuditStorage};

const PATIENCE: Duration = Duration::from_secs(60);

/// Carries messages between agents of this process, except to and from those that are cut off.
#[derive(Default)]
struct Net {
    handlers: Mutex<BTreeMap<AgentId, Arc<dyn PeerHandler>>>,
    cut: Mutex<BTreeSet<AgentId>>,
}

impl Net {
    fn cut(&self, agent: AgentId) {
        self.cut.lock().expect("nobody panics").insert(agent);
    }

    /// Who takes this message; its sender hears nothing until its timeout where nobody does.
    async fn handler(
        &self,
        message: &Message,
        timeout: Duration,
    ) -> Result<Arc<dyn PeerHandler>, WireError> {
        let cut = {
            let cut = self.cut.lock().expect("nobody panics");
            cut.contains(&message.from) || cut.contains(&message.to)
        };
        if cut {
            tokio::time::sleep(timeout).await;
            return Err(WireError::Timeout(timeout));
        }
        let handler = self.handlers.lock().expect("nobody panics").get(&message.to).cloned();
        handler.ok_or_else(|| WireError::NotConnected("it has not started".to_owned()))
    }
}

struct Way(Arc<Net>);

#[async_trait]
impl Wire for Way {
    async fn call(
        &self,
        _to: &PeerAddress,
        message: Message,
        timeout: Duration,
    ) -> Result<Bytes, WireError> {
        let handler = self.0.handler(&message, timeout).await?;
        handler.handle(&Sender::Unproven, message).await.map_err(WireError::Refused)
    }

    async fn snapshot(
        &self,
        _to: &PeerAddress,
        head: Message,
        chunks: BoxStream<'static, Bytes>,
        timeout: Duration,
    ) -> Result<Bytes, WireError> {
        let handler = self.0.handler(&head, timeout).await?;
        let chunks = chunks.map(Ok).boxed();
        handler.handle_snapshot(&Sender::Unproven, head, chunks).await.map_err(WireError::Refused)
    }
}

/// Wall time that follows the paused clock.
struct Wall(Instant);

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        let passed = u64::try_from(self.0.elapsed().as_millis()).expect("tests are short");
        Timestamp(1_790_000_000_000 + passed)
    }
}

fn config(id: u64) -> Config {
    let member = |n: u64| {
        format!(
            "{{ name = \"a{n}\", region = \"r\", peer = \"127.0.0.{n}:1\", api = \"127.0.0.{n}:2\" }},"
        )
    };
    let text = format!(
        "[node]\nname = \"a{id}\"\ndata_dir = \"unused\"\n\
         [listen]\npeer = \"127.0.0.{id}:1\"\napi = \"127.0.0.{id}:2\"\n\
         [tls]\ninsecure_plaintext = true\n\
         [cluster]\nid = \"c\"\nmembers = [{}]\n",
        (1..=3).map(member).collect::<String>()
    );
    Config::parse(&text, Path::new("agent.toml")).expect("it is right")
}

struct Cluster {
    net: Arc<Net>,
    agents: BTreeMap<AgentId, Agent>,
    leader: AgentId,
}

impl Cluster {
    /// Three agents with a leader, and a service whose endpoint `e1` reports by itself.
    async fn start() -> Self {
        Self::start_on(SyncPolicy::Immediate).await
    }

    /// The same, on disks that take this long.
    async fn start_on(sync: SyncPolicy) -> Self {
        let net = Arc::new(Net::default());
        let clock = Arc::new(Wall(Instant::now()));
        let mut agents = BTreeMap::new();
        for id in 1..=3 {
            let mut config = config(id);
            if sync != SyncPolicy::Immediate {
                config.raft.election_min = Duration::from_secs(2);
                config.raft.election_max = Duration::from_secs(4);
            }
            let (publisher, answers) = holdfast_dns::channel();
            let seams = AgentSeams {
                wire: Arc::new(Way(net.clone())),
                clock: clock.clone(),
                entropy: Arc::new(SystemEntropy),
                prober: Arc::new(NetProber::new(config.probe.policy.clone(), clock.clone())),
                storage: Storage::Memory(MemoryDisk::new(sync)),
                audit: AuditStorage::Store(Arc::new(MemoryStore::new())),
                fatal: Fatal::hook(|why| panic!("{why}")),
                publisher,
                answers,
            };
            let agent = Agent::start(&config, seams).await.expect("it starts");
            net.handlers.lock().expect("nobody panics").insert(AgentId(id), agent.handler());
            agents.insert(AgentId(id), agent);
        }
        let mut status = agents[&AgentId(1)].group.status();
        let elected = timeout(PATIENCE, status.wait_for(|status| status.leader.is_some())).await;
        let elected = elected.expect("a leader in time").expect("the group runs").leader;
        let cluster = Self { net, agents, leader: elected.expect("it was waited for") };
        let all_heard =
            |view: &View| view.agents.values().filter(|a| a.heard.is_some()).count() == 3;
        cluster.until(all_heard).await;
        for command in [
            Command::ApplyZone { zone: zone(), if_revision: None },
            Command::ApplyService { service: service(), if_revision: None },
        ] {
            cluster.change(command).await;
        }
        cluster
    }

    async fn change(&self, command: Command) {
        let group = &self.agents[&self.leader].group;
        let outcome = group.propose(None, Actor::system(), command).await.expect("committed");
        outcome.result.expect("it is possible");
    }

    /// A follower, and the other one.
    fn followers(&self) -> (AgentId, AgentId) {
        let mut followers = self.agents.keys().copied().filter(|id| *id != self.leader);
        let two = followers.next().zip(followers.next());
        two.expect("three agents less one")
    }

    /// The endpoint reports through this agent until cancelled, as long as that takes its word.
    fn beat_through(&self, agent: AgentId) -> CancellationToken {
        let heartbeats = self.agents[&agent].heartbeats.clone();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        tokio::spawn(stopped.run_until_cancelled_owned(async move {
            loop {
                // A beat that is refused is missing, which is what these tests are about.
                let _ = heartbeats.beat(vec![target()]).await;
                tokio::time::sleep(BEAT_TTL / 3).await;
            }
        }));
        stop
    }

    /// Waits for something in the leader's view; returns how long that took.
    async fn until(&self, holds: impl Fn(&View) -> bool) -> Duration {
        let begun = Instant::now();
        let mut view = self.agents[&self.leader].group.view();
        let held = timeout(PATIENCE, view.wait_for(|view| holds(view))).await;
        held.expect("in time").expect("the group runs");
        begun.elapsed()
    }

    async fn until_down_within(&self, time: Duration) -> Option<Duration> {
        timeout(time, self.until(|view| verdict(view) == Some(Verdict::Down))).await.ok()
    }
}

fn target() -> Target {
    Target {
        service: "shop".parse().expect("valid"),
        endpoint: "e1".parse().expect("valid"),
        check: "beat".parse().expect("valid"),
    }
}

fn verdict(view: &View) -> Option<Verdict> {
    let service = view.services.get(&target().service)?;
    let endpoint = service.endpoints.iter().find(|e| e.endpoint == target().endpoint)?;
    Some(endpoint.verdict)
}

fn service() -> Service {
    testing::service(Duration::from_secs(5), vec![pool("eu", 1, ("e1", "192.0.2.10"))])
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_outlives_the_agent_it_reports_through() {
    let cluster = Cluster::start().await;
    let (first, second) = cluster.followers();
    let beating = cluster.beat_through(first);
    cluster.until(|view| verdict(view) == Some(Verdict::Up)).await;

    cluster.net.cut(first);
    assert_eq!(
        cluster.until_down_within(BEAT_TTL * 3 / 2).await,
        None,
        "longer than a BEAT_TTL: it stays up"
    );
    beating.cancel();
    let beating = cluster.beat_through(second);
    assert_eq!(
        cluster.until_down_within(5 * BEAT_TTL).await,
        None,
        "it reports through another agent"
    );

    beating.cancel();
    let took = cluster.until_down_within(2 * BEAT_TTL).await.expect("silent, and its agent is not");
    assert!(took > BEAT_TTL / 2 && took < BEAT_TTL * 3 / 2, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_connects_nowhere_else_is_silent_in_the_end() {
    let cluster = Cluster::start().await;
    let (first, _) = cluster.followers();
    let beating = cluster.beat_through(first);
    cluster.until(|view| verdict(view) == Some(Verdict::Up)).await;
    cluster.net.cut(first);
    let took = cluster.until_down_within(3 * BEAT_TTL).await.expect("bounded");
    assert!(took > BEAT_TTL * 3 / 2 && took <= 2 * BEAT_TTL + Duration::from_secs(1), "{took:?}");
    beating.cancel();
}

/// Endpoints fall silent one after another, and each silence takes longer to commit than the next one takes to come.
#[tokio::test(start_paused = true)]
async fn a_slow_disk_gives_no_silent_endpoint_more_time() {
    const APART: Duration = Duration::from_millis(20);
    const COMMIT: Duration = Duration::from_millis(300);
    let cluster = Cluster::start_on(SyncPolicy::After(COMMIT)).await;
    let names = ["e1", "e2", "e3", "e4", "e5"];
    let mut service = service();
    let like = service.pools[0].endpoints[0].clone();
    let endpoint = |name: &str| Endpoint { name: name.parse().expect("valid"), ..like.clone() };
    service.pools[0].endpoints = names.iter().map(|name| endpoint(name)).collect();
    cluster.change(Command::ApplyService { service, if_revision: None }).await;
    let heartbeats = &cluster.agents[&cluster.leader].heartbeats;
    let all = |wanted: Verdict| {
        move |view: &View| {
            let endpoints = &view.services.get(&target().service).expect("applied").endpoints;
            endpoints.len() == names.len() && endpoints.iter().all(|e| e.verdict == wanted)
        }
    };
    let targets = names.map(|name| Target { endpoint: name.parse().expect("valid"), ..target() });
    heartbeats.beat(targets.to_vec()).await.expect("it leads");
    cluster.until(all(Verdict::Up)).await;
    for target in targets {
        heartbeats.beat(vec![target]).await.expect("it leads");
        tokio::time::sleep(APART).await;
    }
    let took = cluster.until(all(Verdict::Down)).await;
    assert!(took < BEAT_TTL + 5 * COMMIT, "{took:?}");
}
