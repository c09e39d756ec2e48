//! One machine: a disk, and the real agent that runs on it until the machine stops.
//!
//! A crash is abrupt. The incarnation is cut off the network for good, the disk loses what was not synced and takes
//! nothing more from it, and only then is it told to end, because tasks in this process have to be.

use std::path::Path;
use std::sync::Arc;

use holdfast_agent::world::channel;
use holdfast_agent::{Agent, AgentSeams, AuditStorage, Config};
use holdfast_consensus::{Fatal, Storage};
use holdfast_core::AgentId;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::dice::Dice;
use crate::disk::Disk;
use crate::plan::{AGENTS, Plan};
use crate::sabotage::Sabotage;
use crate::stage::{Live, Stage};
use crate::trace::note;
use crate::watchers::{Watched, watch};

/// One machine.
pub(crate) struct Machine {
    id: AgentId,
    config: Config,
    disk: Arc<Disk>,
    incarnation: u32,
    running: Option<Running>,
    /// The faults that this machine is down for.
    struck: Vec<&'static str>,
}

struct Running {
    agent: Agent,
    /// Ends with this.
    _watchers: JoinSet<()>,
}

impl Machine {
    /// A machine with an empty disk. Errors: the configuration is not possible.
    pub(crate) fn new(id: AgentId, plan: &Plan) -> Result<Self, String> {
        let disk = Arc::new(Disk::new(id, plan));
        Ok(Self {
            id,
            config: config(id, plan)?,
            disk,
            incarnation: 0,
            running: None,
            struck: Vec::new(),
        })
    }

    pub(crate) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Starts an agent from what the disk holds. Errors: it does not start.
    pub(crate) async fn start(&mut self, stage: &Stage) -> Result<(), String> {
        self.incarnation += 1;
        let (id, incarnation, seed) = (self.id, self.incarnation, stage.plan.seed);
        note!(stage.trace, "start {id} incarnation {incarnation}");
        let (publisher, answers) = channel();
        let forgets = stage.plan.is_sabotaged(id, Sabotage::ForgottenAnswers);
        if let Some(kept) = self.disk.kept().filter(|_| !forgets) {
            answers.restore(kept);
        }
        let oracle = stage.oracle.clone();
        let seams = AgentSeams {
            wire: Arc::new(stage.net.boot(id, incarnation)),
            clock: stage.clocks.of(id),
            entropy: Arc::new(Dice::new(seed, &format!("agent {id} {incarnation}"))),
            prober: Arc::new(stage.world.prober(id, &stage.plan)),
            storage: Storage::Memory(self.disk.log()),
            audit: AuditStorage::Store(self.disk.audit()),
            fatal: Fatal::hook(move |why| {
                oracle.fail(format!("agent {id}: storage failed: {why}"))
            }),
            publisher,
            answers: answers.clone(),
        };
        let started = Agent::start(&self.config, seams).await;
        let agent = started.map_err(|error| format!("agent {id} does not start: {error}"))?;
        stage.net.attach(id, agent.handler());
        let live = Live {
            group: agent.group.clone(),
            audit: agent.audit.clone(),
            answers,
            gone: CancellationToken::new(),
        };
        let watchers = watch(&Watched {
            agent: id,
            group: live.group.clone(),
            audit: live.audit.clone(),
            answers: live.answers.clone(),
            disk: self.disk.clone(),
            services: stage.services.clone(),
            oracle: stage.oracle.clone(),
            trace: stage.trace.clone(),
            dice: Arc::new(Dice::new(seed, &format!("resolver {id} {incarnation}"))),
        });
        stage.enter(id, live);
        self.struck.drain(..).for_each(|kind| stage.coverage.felt(kind));
        self.running = Some(Running { agent, _watchers: watchers });
        Ok(())
    }

    /// The machine stops, at once, if it has not already: for a fault of this kind.
    pub(crate) fn crash(&mut self, stage: &Stage, kind: &'static str) {
        self.struck.push(kind);
        let Some(running) = self.running.take() else { return };
        note!(stage.trace, "crash {} incarnation {}", self.id, self.incarnation);
        stage.net.stop(self.id);
        self.disk.crash();
        if stage.plan.is_sabotaged(self.id, Sabotage::WipedDisk) {
            self.disk = Arc::new(Disk::new(self.id, &stage.plan));
        }
        stage.leave(self.id);
        tokio::spawn(running.agent.stop());
    }
}

/// The name of an agent, in its configuration and as its certificate would say it.
pub(crate) fn name_of(id: AgentId) -> String {
    format!("agent-{id}")
}

fn config(id: AgentId, plan: &Plan) -> Result<Config, String> {
    let members = (1..=AGENTS).map(|n| {
        let region = if plan.regions { n } else { 1 };
        format!(
            "[[cluster.members]]\nname = \"{}\"\nregion = \"region-{region}\"\n\
             peer = \"127.0.0.{n}:7443\"\napi = \"127.0.0.{n}:7444\"\n",
            name_of(AgentId(n))
        )
    });
    let text = format!(
        "[node]\nname = \"{}\"\ndata_dir = \"data\"\n\
         [listen]\npeer = \"127.0.0.{id}:7443\"\napi = \"127.0.0.{id}:7444\"\n\
         [raft]\nheartbeat = \"{}ms\"\n[tls]\ninsecure_plaintext = true\n[cluster]\nid = \"sim\"\n{}",
        name_of(id),
        plan.heartbeat_ms,
        members.collect::<String>()
    );
    let parsed = Config::parse(&text, Path::new("sim/agent.toml"));
    let mut config = parsed.map_err(|error| error.to_string())?;
    // Fewer than a file may ask for, so that a short run meets snapshots.
    config.raft.snapshot_every = plan.snapshot_every;
    Ok(config)
}
