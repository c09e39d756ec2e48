//! From a configuration to a running group: storage, identity, Raft, tasks, in this order.
//!
//! Nothing is served before the identity is certain. A group whose log or snapshot this version does not understand
//! starts *halted*: its view is what could be applied, and it says why.

use std::fs;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use holdfast_core::BootId;
use openraft_rt::AsyncRuntime as _;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::clock::Stamper;
use super::propose::{IN_FLIGHT_LIMIT, Proposer};
use super::status::{GroupStatus, Reporter};
use super::ticker::Ticker;
use super::{Group, Heard, Inner, Raft};
use crate::clocks::Clocks;
use crate::codec::decode;
use crate::codec::rpc::IdentifyReply;
use crate::config::{GroupConfig, Seams, Storage};
use crate::error::StartError;
use crate::identity::Identity;
use crate::log_store::{Fatal, LogIo, LogStore, RedbIo};
use crate::network::{Gate, IDENTIFY, Link, Network};
use crate::rt::Rt;
use crate::state_machine::{SnapshotIo, StateMachine};

impl Group {
    /// Starts the group on this agent. Errors: see [`StartError`]; each names the next step.
    pub async fn start(config: GroupConfig, seams: Seams) -> Result<Self, StartError> {
        let raft_config = config.raft().map_err(|error| StartError::Config(error.to_string()))?;
        let log = open_log(&config, &seams.fatal)?;
        let fresh = log.is_new();
        let identity = identify(&config, &seams, fresh)?;
        let link = Arc::new(Link {
            cluster: config.cluster.clone(),
            generation: config.generation,
            group: config.group,
            me: config.me.id,
            directory: identity.directory,
            patience: config.timings.election_max,
            wire: seams.wire.clone(),
            gate: Gate::new(config.me.id.0, config.timings.election_max),
            clocks: Arc::new(Clocks::new(seams.clock.clone())),
        });
        if fresh && let Err(error) = ask_peers(&config, &link).await {
            log.close().await;
            return Err(error);
        }
        let snapshots = match &config.storage {
            Storage::Directory(directory) => SnapshotIo::Directory(directory.clone()),
            Storage::Memory(disk) => SnapshotIo::Memory(disk.clone()),
        };
        let machine = StateMachine::new(config.group, seams.audit.clone(), snapshots);
        machine.inherit(log.last_index());
        let (network, sm) = (Network(link.clone()), machine.clone());
        let id = config.me.id.0;
        let raft = Raft::new(id, Arc::new(raft_config), network, log.clone(), sm).await;
        let halted = machine.halted().borrow().clone();
        let raft = match (raft, halted) {
            (Ok(raft), None) => Ok(raft),
            (_, Some(reason)) => Err(reason),
            (Err(fatal), None) => {
                log.close().await;
                return Err(StartError::Raft(fatal.to_string()));
            }
        };
        let parts = Parts { config, link, machine, log, fresh, boot: identity.boot };
        Ok(parts.assemble(raft))
    }
}

struct Parts {
    config: GroupConfig,
    link: Arc<Link>,
    machine: StateMachine,
    log: LogStore,
    fresh: bool,
    boot: BootId,
}

impl Parts {
    fn assemble(self, raft: Result<Raft, String>) -> Group {
        let Self { config, link, machine, log, fresh, boot } = self;
        let heard = Arc::new(Heard::new(2 * config.timings.election_max));
        let stop = CancellationToken::new();
        let places = Arc::new(Semaphore::new(IN_FLIGHT_LIMIT));
        let label = config.group.to_string();
        let initial = raft.as_ref().err().map_or_else(
            || GroupStatus { generation: config.generation, ..GroupStatus::default() },
            |reason| GroupStatus::halted(&config, reason.clone()),
        );
        let (status_sender, status) = watch::channel(initial);
        let proposer = raft.map(|raft| {
            Arc::new(Proposer {
                raft,
                machine: machine.clone(),
                stamper: Stamper::new(link.clocks.clone()),
                places: places.clone(),
                changing: tokio::sync::Mutex::default(),
                commit_duration: crate::metrics::commit_duration(&label),
            })
        });
        if let Ok(proposer) = &proposer {
            let reporter = Reporter {
                config: config.clone(),
                raft: proposer.raft.clone(),
                link: link.clone(),
                machine: machine.clone(),
                heard: heard.clone(),
                status: status_sender,
                stop: stop.clone(),
            };
            drop(Rt::spawn(reporter.run()));
            let ticker =
                Ticker { me: config.me.id, proposer: proposer.clone(), stop: stop.clone() };
            drop(Rt::spawn(ticker.run()));
        }
        let hold_until = (!fresh).then(|| Instant::now() + config.timings.hold());
        Group(Arc::new(Inner {
            config,
            link,
            machine,
            log,
            proposer,
            status,
            heard,
            hold_until,
            label,
            boot,
            stop,
        }))
    }
}

fn place(config: &GroupConfig) -> String {
    match &config.storage {
        Storage::Directory(directory) => directory.display().to_string(),
        Storage::Memory(_) => "memory".to_owned(),
    }
}

fn storage_error(config: &GroupConfig, what: &'static str, source: io::Error) -> StartError {
    StartError::Storage { what, place: place(config), source }
}

fn open_log(config: &GroupConfig, fatal: &Fatal) -> Result<LogStore, StartError> {
    let what = "the raft log";
    let io: Arc<dyn LogIo> = match &config.storage {
        Storage::Memory(disk) => Arc::new(disk.open()),
        Storage::Directory(directory) => {
            fs::create_dir_all(directory)
                .map_err(|error| storage_error(config, "the data directory", error))?;
            let path = directory.join("log.redb");
            let lost = !path.exists()
                && Identity::load(&config.storage)
                    .map_err(|error| storage_error(config, "the identity", error))?
                    .is_some();
            if lost {
                return Err(StartError::LogLost { place: place(config), agent: config.me.id });
            }
            let opened = RedbIo::open(&path, &config.group.to_string(), fatal.clone());
            Arc::new(opened.map_err(|error| storage_error(config, what, io::Error::other(error)))?)
        }
    };
    LogStore::open(io).map_err(|error| storage_error(config, what, error))
}

/// The identity of the storage, made when it is new, with a boot that has just begun.
fn identify(config: &GroupConfig, seams: &Seams, fresh: bool) -> Result<Identity, StartError> {
    let failed = |error| storage_error(config, "the identity", error);
    let me = config.me.id;
    let lost = StartError::LogLost { place: place(config), agent: me };
    let mut identity = match Identity::load(&config.storage).map_err(failed)? {
        Some(found) if found.agent != me || found.cluster != config.cluster => {
            return Err(StartError::WrongDirectory {
                place: place(config),
                agent: found.agent,
                cluster: found.cluster,
                wanted: me,
                wanted_cluster: config.cluster.clone(),
            });
        }
        Some(found) => found,
        // A log with content whose owner is not known.
        None if !fresh => return Err(lost),
        None => {
            let draw = || u128::from(seams.entropy.next_u64());
            // 0 means "not bound".
            let directory = (draw() << 64 | draw()).max(1);
            Identity { cluster: config.cluster.clone(), agent: me, directory, boot: BootId(0) }
        }
    };
    identity.begin_boot(seams.clock.now());
    identity.store(&config.storage).map_err(failed)?;
    Ok(identity)
}

/// Asks the peers whether they know this agent under another directory. Who does not answer cannot tell; the
/// members refuse a wiped one all the same.
async fn ask_peers(config: &GroupConfig, link: &Link) -> Result<(), StartError> {
    let others = config.peers.iter().filter(|peer| peer.id != config.me.id);
    let timeout = config.timings.election_max;
    let asks = others
        .map(|peer| async move { link.ask(&peer.peer(), IDENTIFY, Bytes::new(), timeout).await });
    for answer in futures_util::future::join_all(asks).await {
        let reply = answer.ok().and_then(|bytes| decode::<IdentifyReply>("identity", &bytes).ok());
        let known = reply.and_then(|reply| reply.yours()).filter(|known| *known != 0);
        if known.is_some_and(|known| known != link.directory) {
            return Err(StartError::Wiped { place: place(config), agent: config.me.id });
        }
    }
    Ok(())
}
