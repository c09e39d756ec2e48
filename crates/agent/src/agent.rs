//! The inside of an agent: group, audit, prober, reporter and the leader's duties, with the world passed in.
//!
//! No socket is opened here and no file outside the given storage: the same code runs in production and in the
//! simulation. The order of starting is the order of depending; stopping goes the other way round.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use holdfast_audit::{AuditLog, AuditStore};
use holdfast_consensus::{
    Fatal, Group, GroupConfig, Groups, Member, Role, Seams, Storage, Timings,
};
use holdfast_core::AgentId;
use holdfast_core::seam::{Clock, Entropy};
use holdfast_dns::{AnswersSource, Notices, Notifier, Publisher, Transfers};
use holdfast_probe::{Prober, SchedulerConfig};
use holdfast_wire::peer::{PeerHandler, Wire};
use tokio_util::sync::CancellationToken;

use crate::audit_bridge::AuditBridge;
use crate::config::{Config, InitialMember};
use crate::convergence::Convergences;
use crate::copies::Copies;
use crate::observatory::Observatory;
use crate::observe::heartbeats::Heartbeats;
use crate::observe::hub::Hub;
use crate::observe::reporter::Reporter;
use crate::observe::roster::Roster;
use crate::peers::{Parts, Peers, Switchboard};
use crate::probing::Probing;
use crate::replicas::Replicas;
use crate::run::StartError;
use crate::succession::Succession;
use crate::tasks::Tasks;

/// The pause before a cluster that could not be formed is tried again.
const FORM_PAUSE: Duration = Duration::from_millis(250);

/// Where the audit chain is kept.
#[derive(Debug, Clone)]
pub enum AuditStorage {
    /// In sled, in this directory.
    Directory(PathBuf),
    /// In a store that is given, written without a thread.
    Store(Arc<dyn AuditStore>),
}

/// The world, as an agent meets it.
pub struct AgentSeams {
    /// The way to other agents.
    pub wire: Arc<dyn Wire>,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// What probes.
    pub prober: Arc<dyn Prober>,
    /// Where the group stores.
    pub storage: Storage,
    /// Where the audit chain is kept.
    pub audit: AuditStorage,
    /// What happens when storage fails.
    pub fatal: Fatal,
    /// Where views go to be answered from.
    pub publisher: Publisher,
    /// What is answered from.
    pub answers: AnswersSource,
}

impl std::fmt::Debug for AgentSeams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AgentSeams").field("audit", &self.audit).finish_non_exhaustive()
    }
}

/// What plays together in the background.
struct Cast {
    probing: Arc<Probing>,
    hub: Arc<Hub>,
    heartbeats: Arc<Heartbeats>,
    peers: Peers,
}

/// A running agent, without its sockets.
#[derive(Debug)]
pub struct Agent {
    /// The group that it is in.
    pub group: Group,
    /// The audit log.
    pub audit: AuditLog,
    /// Its background tasks.
    pub tasks: Tasks,
    /// What it answers from.
    pub answers: AnswersSource,
    /// Heartbeat checks.
    pub(crate) heartbeats: Arc<Heartbeats>,
    /// What looks at the answers from outside.
    pub(crate) observatory: Arc<Observatory>,
    /// What carries records to the audit log.
    pub(crate) bridge: AuditBridge,
    switchboard: Arc<Switchboard>,
    peers: Peers,
    notices: Arc<Notices>,
}

impl Agent {
    /// Starts everything. Errors: the group or the audit store cannot be opened; nothing runs then.
    pub async fn start(config: &Config, seams: AgentSeams) -> Result<Self, StartError> {
        let tasks = Tasks::new(CancellationToken::new());
        let audit = open_audit(config, &seams.audit)?;
        let bridge = AuditBridge::new(audit.clone());
        let carrier = bridge.clone();
        let carrying = tasks.cancel_token();
        tasks.supervise("audit-bridge", move || carrier.clone().run(carrying.clone()));

        let group = Group::start(
            group_config(config, seams.storage.clone()),
            Seams {
                wire: seams.wire.clone(),
                clock: seams.clock.clone(),
                entropy: seams.entropy.clone(),
                audit: Arc::new(bridge.clone()),
                fatal: seams.fatal.clone(),
            },
        )
        .await
        .map_err(StartError::Group)?;

        let id = config.node.id;
        let peers = Peers::new(config.cluster.id.clone(), id, group.clone(), seams.wire.clone());
        let probing = Arc::new(Probing::new(
            config.node.name.clone(),
            SchedulerConfig {
                max_concurrency: config.probe.max_concurrency,
                per_host: config.probe.per_host,
                ..SchedulerConfig::default()
            },
            seams.prober.clone(),
            seams.clock.clone(),
            group.clone(),
        ));
        let silent_after = config.probe.silent_after;
        let hub =
            Arc::new(Hub::new(id, group.clone(), peers.clone(), probing.clone(), silent_after));
        let heartbeats = Arc::new(Heartbeats::new(id, group.clone(), peers.clone(), hub.clone()));
        let notices = Arc::<Notices>::default();
        let observatory = Arc::new(Observatory::new(config, group.clone(), peers.clone()));
        let groups = Groups::default();
        groups.insert(group.clone());
        let switchboard = Arc::new(Switchboard::new(config.cluster.id.clone(), id, groups));
        switchboard.connect(Parts {
            hub: hub.clone(),
            confirm: probing.clone(),
            heartbeats: heartbeats.clone(),
            audit: audit.clone(),
            bridge: bridge.clone(),
            group: group.clone(),
            observatory: observatory.clone(),
            notices: notices.clone(),
        });
        let agent = Self {
            group,
            audit,
            tasks,
            answers: seams.answers,
            heartbeats: heartbeats.clone(),
            observatory,
            bridge,
            switchboard,
            peers: peers.clone(),
            notices,
        };
        let cast = Cast { probing, hub, heartbeats, peers };
        agent.begin_observing(config, &cast);
        agent.begin_duties(cast, id);
        agent.begin_publishing(seams.publisher);
        agent.begin_forming(config);
        Ok(agent)
    }

    /// What takes messages of other agents.
    pub fn handler(&self) -> Arc<dyn PeerHandler> {
        self.switchboard.clone()
    }

    /// Ends everything in good order: tasks end, leadership is handed over, the audit log settles.
    pub async fn stop(self) {
        self.tasks.cancel_token().cancel();
        self.tasks.ended().await;
        self.group.shutdown().await;
        let settled = match self.bridge.drain().await {
            Ok(()) => self.audit.settle().await.map(drop),
            Err(halted) => Err(halted),
        };
        if let Err(halted) = settled {
            tracing::error!(
                reason = halted.reason,
                "the audit log could not settle; peers hold its records"
            );
        }
    }

    /// Forms the cluster, if this agent is its first member and is new. Every first member has to run before it
    /// succeeds, so it goes on in the background.
    fn begin_forming(&self, config: &Config) {
        let first =
            config.cluster.members.first().is_some_and(|member| member.id == config.node.id);
        if !first {
            return;
        }
        let members: Arc<Vec<Member>> =
            Arc::new(config.cluster.members.iter().map(member_of).collect());
        let (group, token) = (self.group.clone(), self.tasks.cancel_token());
        self.tasks.supervise("form", move || form(group.clone(), members.clone(), token.clone()));
    }

    fn begin_observing(&self, config: &Config, cast: &Cast) {
        let reporter = Arc::new(Reporter {
            agent: config.node.id,
            boot: self.group.boot(),
            digest: cast.probing.digest(),
            group: self.group.clone(),
            peers: cast.peers.clone(),
            hub: cast.hub.clone(),
            every: config.probe.report_every,
            sequence: Arc::default(),
        });
        let (probing, token) = (cast.probing.clone(), self.tasks.cancel_token());
        self.tasks.supervise("probe", move || probing.clone().run(token.clone()));
        let token = self.tasks.cancel_token();
        self.tasks.supervise("report", move || reporter.clone().run(token.clone()));
    }

    fn begin_duties(&self, cast: Cast, id: AgentId) {
        let Cast { hub, heartbeats, peers, .. } = cast;
        let token = self.tasks.cancel_token();
        self.tasks.supervise("silence", move || hub.clone().watch_silence(token.clone()));
        let token = self.tasks.cancel_token();
        self.tasks.supervise("heartbeats", move || heartbeats.clone().run(token.clone()));
        let roster = Arc::new(Roster { agent: id, group: self.group.clone() });
        let token = self.tasks.cancel_token();
        self.tasks.supervise("roster", move || roster.clone().run(token.clone()));
        let (group, audit) = (self.group.clone(), self.audit.clone());
        let bridge = self.bridge.clone();
        let replicas =
            Arc::new(Replicas { group, audit, bridge, peers, standings: Mutex::default() });
        let succession = Arc::new(Succession { replicas: replicas.clone() });
        let token = self.tasks.cancel_token();
        self.tasks.supervise("succession", move || succession.clone().run(token.clone()));
        let (comparing, token) = (replicas.clone(), self.tasks.cancel_token());
        self.tasks.supervise("compare", move || comparing.clone().compare(token.clone()));
        let token = self.tasks.cancel_token();
        self.tasks.supervise("fill", move || replicas.clone().fill(token.clone()));
    }

    /// Tells other servers of changes of zones, from the addresses that DNS answers at. Whoever leads does, and whoever
    /// knows of no leader.
    pub fn begin_notifying(&self, transfers: &Arc<Transfers>, from: &[SocketAddr]) {
        let (transfers, answers) = (transfers.clone(), self.answers.clone());
        let (from, status) = (from.to_vec(), self.group.status());
        let token = self.tasks.cancel_token();
        self.tasks.supervise("notify", move || {
            let status = status.clone();
            let duty = move || {
                let status = status.borrow();
                status.role == Role::Leader || status.leader.is_none()
            };
            let (transfers, answers) = (transfers.clone(), answers.clone());
            let (from, token) = (from.clone(), token.clone());
            async move {
                Notifier::new(transfers, answers, &from, Box::new(duty)).await.run(token).await;
            }
        });
    }

    /// Copies zones from their primaries while this agent leads, and tells the leader of their notices where it does not.
    /// Asks from the addresses that DNS answers at.
    pub fn begin_copying(
        &self,
        transfers: &Arc<Transfers>,
        from: &[SocketAddr],
        entropy: Arc<dyn Entropy>,
    ) {
        let copies = Copies {
            group: self.group.clone(),
            peers: self.peers.clone(),
            transfers: transfers.clone(),
            from: from.into(),
            entropy,
            notices: self.notices.clone(),
        };
        let token = self.tasks.cancel_token();
        self.tasks.supervise("copy", move || copies.clone().run(token.clone()));
    }

    /// Follows changed answers outside while this agent leads.
    pub fn begin_converging(&self, clock: Arc<dyn Clock>) {
        let (group, outside) = (self.group.clone(), self.observatory.clone());
        let convergences = Convergences { group, outside, clock };
        let token = self.tasks.cancel_token();
        self.tasks.supervise("converge", move || convergences.clone().run(token.clone()));
    }

    fn begin_publishing(&self, publisher: Publisher) {
        let (group, token) = (self.group.clone(), self.tasks.cancel_token());
        self.tasks
            .supervise("publish", move || publisher.clone().follow(group.view(), token.clone()));
    }
}

/// Forms the group as soon as every first member answers, then has nothing more to do.
async fn form(group: Group, members: Arc<Vec<Member>>, cancel: CancellationToken) {
    loop {
        let formed = tokio::select! {
            biased;
            () = cancel.cancelled() => return,
            formed = group.initialize(&members) => formed,
        };
        match formed {
            Ok(()) => break,
            Err(error) => tracing::info!(%error, "the cluster is not formed yet"),
        }
        tokio::select! {
            biased;
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(FORM_PAUSE) => {}
        }
    }
    cancel.cancelled().await;
}

fn open_audit(config: &Config, storage: &AuditStorage) -> Result<AuditLog, StartError> {
    let audit_config =
        holdfast_audit::Config { group: config.cluster.group, ..holdfast_audit::Config::default() };
    let (log, opened) = match storage {
        AuditStorage::Directory(dir) => AuditLog::open(dir, &audit_config),
        AuditStorage::Store(store) => AuditLog::synchronous(store.clone(), &audit_config),
    }
    .map_err(StartError::Audit)?;
    if let Some(repair) = opened.repaired {
        tracing::error!(reason = repair.reason, moved_to = ?repair.moved_to, "the audit store is rebuilt from peers");
    }
    Ok(log)
}

fn member_of(member: &InitialMember) -> Member {
    Member {
        id: member.id,
        name: member.name.to_string(),
        region: member.region.to_string(),
        address: member.peer.to_string(),
        api_address: member.api.to_string(),
    }
}

fn group_config(config: &Config, storage: Storage) -> GroupConfig {
    let me = config.cluster.members.iter().find(|member| member.id == config.node.id);
    let api = me.map_or(config.listen.api, |member| member.api);
    let peer = me.map_or(config.listen.peer, |member| member.peer);
    let me = Member {
        id: config.node.id,
        name: config.node.name.to_string(),
        region: config.node.region.to_string(),
        address: peer.to_string(),
        api_address: api.to_string(),
    };
    let mut group = GroupConfig::new(&config.cluster.id, config.cluster.group, me, storage);
    group.timings = Timings {
        heartbeat: config.raft.heartbeat,
        election_min: config.raft.election_min,
        election_max: config.raft.election_max,
    };
    group.snapshot_every = config.raft.snapshot_every;
    // Members that lag by less than a fifth of the way to the next snapshot catch up from the log.
    group.keep_entries = config.raft.snapshot_every / 5;
    group.peers = config
        .cluster
        .members
        .iter()
        .filter(|member| member.id != config.node.id)
        .map(member_of)
        .collect();
    group
}
