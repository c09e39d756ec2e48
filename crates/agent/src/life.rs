//! The life of an agent under a DNS server that outlives it: group, audit, peers, API and tasks, from the data directory
//! to a good end, and once more where another agent asked for its place and did not take it.
//!
//! ```text
//!            ┌─────────────────────────────────────────────────────────┐
//!            ▼                                                         │ it did not take over
//! run (or DNS alone, where that fails) ─ asked for its place ▶ stop ▶ hand over ─▶ end
//!            └─ told to stop ▶ stop ▶ end
//! ```
//!
//! Invariant: while this runs or has not been told that its place was taken, nobody else opens the data directory.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use holdfast_api::node::HeartbeatSink;
use holdfast_api::{ApiConfig, Deps};
use holdfast_consensus::{Fatal, Storage};
use holdfast_core::Timestamp;
use holdfast_core::observation::Target;
use holdfast_dns::{DnsServer, Transfers};
use holdfast_probe::NetProber;
use holdfast_seal::{KeyFileError, Sealer, SealingKeys};
use holdfast_wire::peer::{GrpcWire, GrpcWireConfig};
use holdfast_wire::tls::TlsMaterial;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::agent::{Agent, AgentSeams, AuditStorage};
use crate::certificate::certificate;
use crate::config::Config;
use crate::facts::{Facts, Sources};
use crate::handover::{Station, Successor, Waits, released};
use crate::http;
use crate::observe::heartbeats::Heartbeats;
use crate::run::StartError;
use crate::seams::{SystemClock, SystemEntropy};
use crate::telemetry;
use crate::updates::Updates;

/// How long connections of peers and of the API may take to end.
const CLOSING: Duration = Duration::from_secs(1);

/// Everything of an agent but DNS, which outlives it.
pub(crate) struct Inside<'a> {
    pub(crate) config: Config,
    pub(crate) publisher: holdfast_dns::Publisher,
    pub(crate) answers: holdfast_dns::AnswersSource,
    pub(crate) dns: Option<&'a DnsServer>,
    pub(crate) keys: Result<SealingKeys, Arc<KeyFileError>>,
    pub(crate) transfers: Arc<Transfers>,
    pub(crate) started_at: Timestamp,
    pub(crate) clock: Arc<SystemClock>,
}

impl Inside<'_> {
    /// Lives until `shutdown` or until another agent has its place. Errors: what ended it.
    pub(crate) async fn live(&self, shutdown: CancellationToken) -> Result<(), StartError> {
        let mut station = None;
        loop {
            station = station.or_else(|| self.open_station());
            let stop = shutdown.child_token();
            let running = self.run_or_answer(stop.clone());
            tokio::pin!(running);
            let successor = tokio::select! {
                ended = &mut running => return ended,
                successor = self.next_successor(station.as_ref()) => successor,
            };
            tracing::info!("another agent takes this one's place: everything but DNS stops");
            stop.cancel();
            if let Err(error) = running.await {
                tracing::warn!(%error, "what stops has failed before");
            }
            match self.hand_over(successor, &mut station).await {
                Ok(()) => return Ok(()),
                Err(error) => {
                    tracing::error!(error, "this agent was not replaced and goes on");
                }
            }
            if shutdown.is_cancelled() {
                return Ok(());
            }
            if shutdown.run_until_cancelled(self.await_release()).await.is_none() {
                return Ok(());
            }
        }
    }

    fn open_station(&self) -> Option<Station> {
        let data_dir = &self.config.node.data_dir;
        let opened = std::fs::create_dir_all(data_dir)
            .and_then(|()| Station::open(data_dir, Waits::default()));
        let unable = |error: &io::Error| {
            tracing::warn!(%error, "the data directory takes no socket: this agent cannot be replaced while it runs");
        };
        opened.inspect_err(unable).ok()
    }

    async fn next_successor(&self, station: Option<&Station>) -> Successor {
        let sockets =
            || self.dns.map(DnsServer::sockets).transpose().map(Option::unwrap_or_default);
        match station {
            Some(station) => station.next(sockets).await,
            None => std::future::pending().await,
        }
    }

    /// Gives the data directory to an agent that holds the sockets. Errors: why it stays with this one.
    async fn hand_over(
        &self,
        successor: Successor,
        station: &mut Option<Station>,
    ) -> Result<(), String> {
        let limit = Waits::default().release;
        let freed = timeout(limit, async {
            released(&self.config.node.data_dir).await.map_err(|error| error.to_string())?;
            match self.dns {
                Some(dns) => Ok(dns.on_disk().await),
                None => Ok(None),
            }
        });
        let at = match freed.await {
            Ok(Ok(at)) => at,
            Ok(Err(why)) => {
                successor.refuse(format!("its data directory: {why}")).await;
                return Err(why);
            }
            Err(_) => {
                let why = "its stores are still in use, or its last view is not on disk; its log says more";
                successor.refuse(why.to_owned()).await;
                return Err(why.to_owned());
            }
        };
        successor.succeed(at).await.map_err(|error| error.to_string())?;
        *station = None;
        successor.give_place().await.map_err(|error| error.to_string())
    }

    /// Waits until this process itself can open its stores again.
    async fn await_release(&self) {
        if let Err(error) = released(&self.config.node.data_dir).await {
            tracing::warn!(%error, "the stores are opened again and may be in use");
        }
    }

    /// Runs, or, where that ends by itself, leaves DNS to answer from the last view until told to stop.
    async fn run_or_answer(&self, shutdown: CancellationToken) -> Result<(), StartError> {
        match self.run(shutdown.clone()).await {
            Err(error)
                if !shutdown.is_cancelled()
                    && self.answers.current().is_some()
                    && self.dns.is_some() =>
            {
                tracing::error!(
                    %error,
                    "the agent does not run; DNS goes on from the last view until this process is told to stop"
                );
                shutdown.cancelled().await;
                Err(error)
            }
            ended => ended,
        }
    }

    async fn run(&self, shutdown: CancellationToken) -> Result<(), StartError> {
        let config = &self.config;
        prepare_data_dir(config)?;
        let tls = certificate(config, self.started_at).map_err(StartError::Tls)?;
        let keys = self.keys.clone().map_err(StartError::Secrets)?;
        let sealer = Sealer::new(keys, Arc::new(SystemEntropy));
        let peer_listener = listen("listen.peer", config.listen.peer).await?;
        let api_listener = listen("listen.api", config.listen.api).await?;
        let http_listener = match config.listen.http {
            Some(address) => Some(listen("listen.http", address).await?),
            None => None,
        };
        let dns_addresses = self.dns.map(|dns| dns.local_addrs().to_vec()).unwrap_or_default();
        let agent = Agent::start(config, self.seams(tls.as_ref())).await?;
        let updates = Updates::new(agent.group.clone(), self.answers.clone());
        self.transfers.lead_updates(Some(Box::new(updates)));
        agent.begin_notifying(&self.transfers, &dns_addresses);
        agent.begin_copying(&self.transfers, &dns_addresses, Arc::new(SystemEntropy));
        agent.begin_converging(self.clock.clone());
        let facts = Facts::new(Sources {
            config: config.clone(),
            tasks: agent.tasks.clone(),
            group: agent.group.clone(),
            audit: agent.audit.clone(),
            answers: self.answers.clone(),
            dns: dns_addresses,
            dns_parts: self.dns.map(|dns| dns.parts().clone()),
            geo: self.dns.map(|dns| dns.geo().clone()).unwrap_or_default(),
            started_at: self.started_at,
            certificate_expires: tls.as_ref().map(TlsMaterial::expires),
        });
        let (serving, peers_stop) = (CancellationToken::new(), CancellationToken::new());
        let mut servers = JoinSet::new();
        let tls = tls.as_ref();
        servers.spawn(serve_peers(peer_listener, &agent, tls, peers_stop.clone()));
        let parts = ApiParts { tls, clock: self.clock.clone(), sealer };
        servers.spawn(serve_api(api_listener, &agent, &facts, parts, serving.clone()));
        if let Some(listener) = http_listener {
            servers.spawn(serve_http(listener, facts, serving.clone()));
        }
        tracing::info!(agent = %config.node.name, cluster = config.cluster.id, "the agent runs");

        let ended = tokio::select! {
            biased;
            () = shutdown.cancelled() => Ok(()),
            Some(ended) = servers.join_next() => ended.unwrap_or_else(|error| Err(StartError::Ended(error.to_string()))),
        };
        tracing::info!("the agent stops: the API first, DNS last");
        serving.cancel();
        self.transfers.lead_updates(None);
        agent.stop().await;
        peers_stop.cancel();
        let _ = timeout(CLOSING, async { while servers.join_next().await.is_some() {} }).await;
        servers.shutdown().await;
        ended
    }

    fn seams(&self, tls: Option<&TlsMaterial>) -> AgentSeams {
        let (config, clock) = (&self.config, self.clock.clone());
        let wire = GrpcWireConfig { tls: tls.map(|tls| tls.client(None)) };
        let data_dir = &config.node.data_dir;
        AgentSeams {
            wire: Arc::new(GrpcWire::new(wire)),
            clock: clock.clone(),
            entropy: Arc::new(SystemEntropy),
            prober: Arc::new(NetProber::new(config.probe.policy.clone(), clock)),
            storage: Storage::Directory(data_dir.join("raft")),
            audit: AuditStorage::Directory(data_dir.join("audit")),
            fatal: Fatal::abort(),
            publisher: self.publisher.clone(),
            answers: self.answers.clone(),
        }
    }
}

fn prepare_data_dir(config: &Config) -> Result<(), StartError> {
    let path = config.node.data_dir.clone();
    let probe = path.join(".writable");
    let prepared = std::fs::create_dir_all(&path)
        .and_then(|()| std::fs::write(&probe, b""))
        .and_then(|()| std::fs::remove_file(&probe));
    prepared.map_err(|source| StartError::DataDir { path, source })
}

async fn listen(key: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|source| StartError::Listen { key, address, source })
}

/// Serves other agents until told to stop; its own task, so that a slow client of the API costs it nothing.
fn serve_peers(
    listener: TcpListener,
    agent: &Agent,
    tls: Option<&TlsMaterial>,
    stop: CancellationToken,
) -> impl Future<Output = Result<(), StartError>> + Send + use<> {
    let server_tls = tls.map(TlsMaterial::server);
    let handler = agent.handler();
    async move {
        let served =
            holdfast_wire::peer::serve(listener, handler, server_tls, stop.cancelled_owned());
        served.await.map_err(|error| StartError::Ended(error.to_string()))
    }
}

/// What the API takes beside the agent itself.
struct ApiParts<'a> {
    tls: Option<&'a TlsMaterial>,
    clock: Arc<SystemClock>,
    sealer: Sealer,
}

fn serve_api(
    listener: TcpListener,
    agent: &Agent,
    facts: &Facts,
    parts: ApiParts<'_>,
    stop: CancellationToken,
) -> impl Future<Output = Result<(), StartError>> + Send + use<> {
    let deps = Deps {
        agreement: Arc::new(agent.group.clone()),
        audit: agent.audit.clone(),
        facts: Arc::new(facts.clone()),
        heartbeats: Arc::new(Beats(agent.heartbeats.clone())),
        propagation: agent.observatory.clone(),
        clock: parts.clock,
        sealer: parts.sealer,
    };
    let config = ApiConfig { tls: parts.tls.map(TlsMaterial::server), ..ApiConfig::default() };
    async move {
        let served = holdfast_api::serve(listener, config, deps, stop.cancelled_owned());
        served.await.map_err(|error| StartError::Ended(error.to_string()))
    }
}

/// Serves readiness and metrics; an agent whose listener for them fails goes on.
async fn serve_http(
    listener: TcpListener,
    facts: Facts,
    stop: CancellationToken,
) -> Result<(), StartError> {
    http::serve(listener, facts, telemetry::metrics(), stop.clone()).await;
    stop.cancelled().await;
    Ok(())
}

struct Beats(Arc<Heartbeats>);

#[async_trait]
impl HeartbeatSink for Beats {
    async fn beat(&self, targets: Vec<Target>) -> Result<(), String> {
        self.0.beat(targets).await
    }
}
