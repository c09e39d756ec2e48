//! Three agents in one process: their wire, clock, disks and endpoints are in memory, and time is paused.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, StreamExt as _};
use holdfast_agent::world::{
    MemoryStore, Message, PeerAddress, PeerHandler, Sender, Wire, WireError, channel,
};
use holdfast_agent::{Agent, AgentSeams, AuditStorage, Config, SystemEntropy};
use holdfast_consensus::{Fatal, MemoryDisk, ProposeError, Role, Storage, SyncPolicy};
use holdfast_core::sample::{Failure, FailureKind, Finding, Phase, Sample};
use holdfast_core::seam::Clock;
use holdfast_core::spec::Address;
use holdfast_core::{Actor, ActorKind, AgentId, Command, Outcome, Timestamp};
use holdfast_probe::{ProbeSpec, Prober};
use holdfast_wire::command::Proposal;
use tokio::time::Instant;

/// Everything that is awaited happens within this.
const LIMIT: Duration = Duration::from_secs(60);
/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(10);
/// How long one message takes.
const DELAY: Duration = Duration::from_millis(1);
const BEGINNING: Timestamp = Timestamp(1_767_225_600_000);

/// Who answers where. The agents hold the wire and the wire knows the agents, so one side is weak.
#[derive(Clone, Default)]
pub(crate) struct Net(Arc<Mutex<BTreeMap<AgentId, Weak<dyn PeerHandler>>>>);

impl Net {
    fn handler(&self, to: &PeerAddress) -> Result<Arc<dyn PeerHandler>, WireError> {
        let handlers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let handler = handlers.get(&to.id).and_then(Weak::upgrade);
        handler.ok_or_else(|| WireError::NotConnected("nobody is there".to_owned()))
    }
}

#[async_trait]
impl Wire for Net {
    async fn call(
        &self,
        to: &PeerAddress,
        message: Message,
        timeout: Duration,
    ) -> Result<Bytes, WireError> {
        let handler = self.handler(to)?;
        tokio::time::sleep(DELAY).await;
        let answer =
            tokio::time::timeout(timeout, handler.handle(&Sender::Unproven, message)).await;
        answer.map_err(|_| WireError::Timeout(timeout))?.map_err(WireError::Refused)
    }

    async fn snapshot(
        &self,
        to: &PeerAddress,
        head: Message,
        chunks: BoxStream<'static, Bytes>,
        timeout: Duration,
    ) -> Result<Bytes, WireError> {
        let handler = self.handler(to)?;
        let sent = handler.handle_snapshot(&Sender::Unproven, head, chunks.map(Ok).boxed());
        let answer = tokio::time::timeout(timeout, sent).await;
        answer.map_err(|_| WireError::Timeout(timeout))?.map_err(WireError::Refused)
    }
}

struct PausedClock(Instant);

impl Clock for PausedClock {
    fn now(&self) -> Timestamp {
        BEGINNING + self.0.elapsed()
    }
}

/// The endpoints that refuse; clones share them.
#[derive(Clone, Default)]
pub(crate) struct Endpoints(Arc<Mutex<BTreeSet<IpAddr>>>);

impl Endpoints {
    pub(crate) fn refuse(&self, address: IpAddr) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(address);
    }
}

impl Prober for Endpoints {
    fn probe(&self, spec: ProbeSpec) -> BoxFuture<'_, Sample> {
        Box::pin(async move {
            let latency = DELAY;
            tokio::time::sleep(latency).await;
            let refuses = match &spec.endpoint.address {
                Address::Ip(ip) => {
                    self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(ip)
                }
                _ => false,
            };
            let failure = || Failure::new(Phase::Connect, FailureKind::Refused, "it is down");
            let finding = if refuses { Finding::Fail(failure()) } else { Finding::Pass };
            Sample { finding, latency }
        })
    }
}

pub(crate) struct Member {
    pub(crate) id: AgentId,
    pub(crate) agent: Agent,
    pub(crate) audit_disk: MemoryStore,
}

impl Member {
    pub(crate) fn leads(&self) -> bool {
        self.agent.group.status().borrow().role == Role::Leader
    }

    /// Tries once to change something.
    pub(crate) async fn propose(&self, command: Command) -> Result<Outcome, ProposeError> {
        let actor = Actor { kind: ActorKind::Person, name: "ann".to_owned() };
        let proposal = Proposal { request_id: None, actor, command };
        self.agent.group.propose_within(proposal, Duration::from_millis(500)).await
    }
}

/// Three members.
pub(crate) struct Cluster {
    pub(crate) members: Vec<Member>,
    pub(crate) endpoints: Endpoints,
}

impl Cluster {
    /// Three members that lead and follow; a snapshot is due after so many entries.
    pub(crate) async fn start(snapshot_every: u64) -> Self {
        let (net, endpoints) = (Net::default(), Endpoints::default());
        let clock = Arc::new(PausedClock(Instant::now()));
        let mut members = Vec::new();
        for number in 1..=3 {
            let audit_disk = MemoryStore::new();
            let (publisher, answers) = channel();
            let seams = AgentSeams {
                wire: Arc::new(net.clone()),
                clock: clock.clone(),
                entropy: Arc::new(SystemEntropy),
                prober: Arc::new(endpoints.clone()),
                storage: Storage::Memory(MemoryDisk::new(SyncPolicy::Immediate)),
                audit: AuditStorage::Store(Arc::new(audit_disk.clone())),
                fatal: Fatal::hook(|why| panic!("storage failed: {why}")),
                publisher,
                answers,
            };
            let config = config(number, snapshot_every);
            let agent = Agent::start(&config, seams).await.expect("starts");
            let id = AgentId(number);
            let handler = Arc::downgrade(&agent.handler());
            net.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id, handler);
            members.push(Member { id, agent, audit_disk });
        }
        let cluster = Self { members, endpoints };
        let observe = |c: &Self| {
            c.members.iter().all(|member| {
                let view = member.agent.group.view().borrow().clone();
                view.agents.len() == 3 && view.agents.values().all(|agent| agent.heard.is_some())
            })
        };
        cluster.until("all observe", observe).await;
        cluster
    }

    /// Waits for a condition; panics when it does not come true.
    pub(crate) async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let until = Instant::now() + LIMIT;
        while !is_so(self) {
            let stands: Vec<String> = self.members.iter().map(Member::stands).collect();
            assert!(Instant::now() < until, "not within {LIMIT:?}: {what}\n{}", stands.join("\n"));
            tokio::time::sleep(LOOK).await;
        }
    }

    pub(crate) fn leader(&self) -> Option<&Member> {
        self.members.iter().find(|member| member.leads())
    }

    /// Changes something on whichever member takes it, and says how long that took.
    pub(crate) async fn change(&self, command: &Command) -> Duration {
        let begun = Instant::now();
        let mut refusals = BTreeSet::new();
        while begun.elapsed() < LIMIT {
            for member in &self.members {
                match member.propose(command.clone()).await {
                    Ok(_) => return begun.elapsed(),
                    Err(error) => drop(refusals.insert(error.to_string())),
                }
            }
            tokio::time::sleep(LOOK).await;
        }
        panic!("nobody took it: {refusals:?}");
    }

    /// Waits until every chain is whole, equal to the others, and reaches as far as the replicated one.
    pub(crate) async fn until_chains_agree(&self) {
        self.until("equal chains", |cluster| {
            let heads: Vec<_> = cluster.members.iter().map(Member::whole_head).collect();
            heads.iter().all(|head| head.is_some() && *head == heads[0])
        })
        .await;
    }
}

impl Member {
    /// The head of the chain, where it verifies from the first record to the replicated head.
    fn whole_head(&self) -> Option<holdfast_core::audit::Head> {
        let (_, head) = self.agent.group.audit_head();
        let verified = self.agent.audit.verify(1..=u64::MAX, Some(head)).expect("reads");
        let whole = verified.is_ok() && verified.first == 1 && verified.checked == head.length;
        (whole && self.agent.audit.head() == head).then_some(head)
    }

    fn stands(&self) -> String {
        let status = self.agent.group.status().borrow().clone();
        let (audit, (_, head)) = (&self.agent.audit, self.agent.group.audit_head());
        format!(
            "agent {}: {:?} leader {:?} term {} applied {} snapshot {} audit {} of {} {:?}",
            self.id,
            status.role,
            status.leader,
            status.term,
            status.applied,
            status.snapshot_index,
            audit.head().length,
            head.length,
            audit.health()
        )
    }
}

fn config(number: u64, snapshot_every: u64) -> Config {
    let members = (1..=3).map(|n| {
        format!(
            "[[cluster.members]]\nname = \"agent-{n}\"\nregion = \"eu\"\n\
             peer = \"127.0.0.{n}:7443\"\napi = \"127.0.0.{n}:7444\"\n"
        )
    });
    let text = format!(
        "[node]\nname = \"agent-{number}\"\ndata_dir = \"data\"\n\
         [listen]\npeer = \"127.0.0.{number}:7443\"\napi = \"127.0.0.{number}:7444\"\n\
         [tls]\ninsecure_plaintext = true\n[cluster]\nid = \"test\"\n{}",
        members.collect::<String>()
    );
    let mut config = Config::parse(&text, Path::new("test/agent.toml")).expect("a configuration");
    // Fewer than a file may ask for.
    config.raft.snapshot_every = snapshot_every;
    config
}
