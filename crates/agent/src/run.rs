//! A whole agent on real sockets and disks: opens what the configuration names, starts [`Agent`] in the middle of it,
//! and ends everything in good order when told to.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use holdfast_api::node::{Addresses, HeartbeatSink, NodeFacts, NodeIdentity, ReadinessPart, Task};
use holdfast_api::{ApiConfig, Deps};
use holdfast_consensus::{Fatal, Storage};
use holdfast_core::Timestamp;
use holdfast_core::observation::Target;
use holdfast_core::recovery::GroupTimes;
use holdfast_core::seam::{Clock, Entropy};
use holdfast_core::steer::Place;
use holdfast_dns::{
    ChaosConfig, CookieSecret, DnsConfig, DnsError, DnsServer, EncryptedConfig, Geo, GeoError,
    LastKnownGood, SigningContext, Transfers,
};
use holdfast_probe::NetProber;
use holdfast_seal::{KeyFileError, Sealer, SealingKeys};
use holdfast_wire::peer::{GrpcWire, GrpcWireConfig};
use holdfast_wire::tls::TlsMaterial;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::agent::{Agent, AgentSeams, AuditStorage};
use crate::certificate::{CertificateError, certificate};
use crate::config::{Config, DnsTls};
use crate::facts::{Facts, Sources};
use crate::http;
use crate::observe::heartbeats::Heartbeats;
use crate::privileges::{Account, PrivilegeError};
use crate::seams::{SystemClock, SystemEntropy};
use crate::telemetry;

/// A last-known-good view that answers as the one before is written at most this often.
const LKG_EVERY: Duration = Duration::from_millis(500);
/// A new certificate of encrypted DNS is seen after this time at most.
const CERTIFICATE_EVERY: Duration = Duration::from_secs(10);

/// Why an agent does not start, or ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory cannot be used.
    #[error("node.data_dir: {path}: {source}; the agent needs to read and write there")]
    DataDir {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The account cannot be assumed.
    #[error("{0}")]
    Privileges(#[source] PrivilegeError),
    /// An address cannot be listened on.
    #[error("{key}: cannot listen on {address}: {source}; is another process using it? (ss -ltnp)")]
    Listen {
        /// The key.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The certificates cannot be used.
    #[error("tls: {0}")]
    Tls(#[source] CertificateError),
    /// DNS cannot be served.
    #[error("dns: {0}")]
    Dns(#[source] DnsError),
    /// A database of places cannot be used.
    #[error("dns.geo: {0}")]
    Geo(#[source] GeoError),
    /// The audit store cannot be opened.
    #[error("audit: {0}")]
    Audit(#[source] holdfast_audit::OpenError),
    /// A sealing key cannot be read.
    #[error("secrets.keys: {0}")]
    Secrets(#[source] KeyFileError),
    /// The group cannot be started.
    #[error("raft: {0}")]
    Group(#[source] holdfast_consensus::StartError),
    /// A listener ended by itself.
    #[error("{0}")]
    Ended(String),
}

/// Runs an agent until `shutdown`. Errors: why it does not start, or what ended by itself.
pub async fn run(config: Config, shutdown: CancellationToken) -> Result<(), StartError> {
    let clock = Arc::new(SystemClock);
    let started_at = clock.now();
    // DNS is first to start and last to stop: it answers from disk while everything else is still on its way.
    // A key that cannot be read stops the agent, not DNS: signed zones are refused then, others answered.
    let keys = SealingKeys::read(&config.secrets.keys);
    let opening = keys.as_ref().ok().cloned().unwrap_or_default();
    let signing = SigningContext { keys: opening.clone(), clock: clock.clone() };
    let (publisher, answers) = holdfast_dns::signing_channel(signing);
    let dns_stop = CancellationToken::new();
    let _dns_guard = dns_stop.clone().drop_guard();
    tokio::spawn(telemetry::keep_metrics(dns_stop.clone()));
    let account = account_of(&config)?;
    let transfers = Arc::new(Transfers::new(opening, clock.clone()));
    let parts = (clock.clone(), transfers.clone());
    let dns = start_dns(&config, &answers, parts, dns_stop.clone()).await?;
    if let Some(account) = account {
        account.assume().map_err(StartError::Privileges)?;
    }
    let inside = Inside {
        config,
        publisher,
        answers: answers.clone(),
        dns: dns.as_ref(),
        keys,
        transfers,
        started_at,
        clock,
    };
    let ended = match inside.run(shutdown.clone()).await {
        Err(error) if !shutdown.is_cancelled() && answers.current().is_some() && dns.is_some() => {
            tracing::error!(
                %error,
                "the agent does not run; DNS goes on from the last view until this process is told to stop"
            );
            shutdown.cancelled().await;
            Err(error)
        }
        ended => ended,
    };
    dns_stop.cancel();
    if let Some(dns) = dns {
        dns.stopped().await;
    }
    ended
}

/// Everything of an agent but DNS, which outlives it.
struct Inside<'a> {
    config: Config,
    publisher: holdfast_dns::Publisher,
    answers: holdfast_dns::AnswersSource,
    dns: Option<&'a DnsServer>,
    keys: Result<SealingKeys, KeyFileError>,
    transfers: Arc<Transfers>,
    started_at: Timestamp,
    clock: Arc<SystemClock>,
}

impl Inside<'_> {
    async fn run(self, shutdown: CancellationToken) -> Result<(), StartError> {
        let Self { config, publisher, answers, dns, keys, transfers, started_at, clock } = self;
        prepare_data_dir(&config)?;
        let tls = certificate(&config, started_at).map_err(StartError::Tls)?;
        let sealer = Sealer::new(keys.map_err(StartError::Secrets)?, Arc::new(SystemEntropy));
        let peer_listener = listen("listen.peer", config.listen.peer).await?;
        let api_listener = listen("listen.api", config.listen.api).await?;
        let http_listener = match config.listen.http {
            Some(address) => Some(listen("listen.http", address).await?),
            None => None,
        };
        let geo = dns.map(|dns| dns.geo().clone()).unwrap_or_default();
        let dns_addresses = dns.map(|dns| dns.local_addrs().to_vec()).unwrap_or_default();
        let wire = Arc::new(GrpcWire::new(GrpcWireConfig {
            tls: tls.as_ref().map(|tls| tls.client(None)),
        }));
        let seams = AgentSeams {
            wire,
            clock: clock.clone(),
            entropy: Arc::new(SystemEntropy),
            prober: Arc::new(NetProber::new(config.probe.policy.clone(), clock.clone())),
            storage: Storage::Directory(config.node.data_dir.join("raft")),
            audit: AuditStorage::Directory(config.node.data_dir.join("audit")),
            fatal: Fatal::abort(),
            publisher,
            answers: answers.clone(),
        };
        let (serving, peers_stop) = (CancellationToken::new(), CancellationToken::new());
        let agent = Agent::start(&config, seams).await?;
        agent.begin_notifying(&transfers, &dns_addresses);
        agent.begin_converging(clock.clone());
        let facts = Facts::new(Sources {
            config: config.clone(),
            tasks: agent.tasks.clone(),
            group: agent.group.clone(),
            audit: agent.audit.clone(),
            answers,
            dns: dns_addresses,
            dns_parts: dns.map(|dns| dns.parts().clone()),
            geo,
            started_at,
            certificate_expires: tls.as_ref().map(TlsMaterial::expires),
        });
        let _stops = [serving.clone().drop_guard(), peers_stop.clone().drop_guard()];
        let peers = serve_peers(peer_listener, &agent, tls.as_ref(), peers_stop.clone());
        let api = serve_api(
            api_listener,
            &agent,
            &facts,
            ApiParts { tls: tls.as_ref(), clock, sealer },
            serving.clone(),
        );
        if let Some(listener) = http_listener {
            let metrics = telemetry::metrics();
            tokio::spawn(http::serve(listener, facts.clone(), metrics, serving.clone()));
        }
        tracing::info!(agent = %config.node.name, cluster = config.cluster.id, "the agent runs");

        let ended = tokio::select! {
            biased;
            () = shutdown.cancelled() => Ok(()),
            ended = peers => ended,
            ended = api => ended,
        };
        tracing::info!("the agent stops: the API first, DNS last");
        serving.cancel();
        agent.stop().await;
        peers_stop.cancel();
        ended
    }
}

/// Whom the agent is to run as; its data directory is made while it can be given away.
fn account_of(config: &Config) -> Result<Option<Account>, StartError> {
    let Some(user) = &config.node.user else { return Ok(None) };
    let account = Account::find(user, config.node.group.as_deref());
    let account = account.map_err(StartError::Privileges)?;
    account.make_dir(&config.node.data_dir).map_err(StartError::Privileges)?;
    Ok(Some(account))
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

async fn start_dns(
    config: &Config,
    answers: &holdfast_dns::AnswersSource,
    (clock, transfers): (Arc<SystemClock>, Arc<Transfers>),
    stop: CancellationToken,
) -> Result<Option<DnsServer>, StartError> {
    if config.listen.dns.is_empty() {
        return Ok(None);
    }
    let guard = &config.dns.guard;
    let mut cookie_secrets = guard.cookie_secrets.clone();
    if cookie_secrets.is_empty() {
        let bits = [SystemEntropy.next_u64(), SystemEntropy.next_u64()].map(u64::to_ne_bytes);
        cookie_secrets.push(CookieSecret::new(std::array::from_fn(|at| bits[at / 8][at % 8])));
    }
    let dns = DnsConfig {
        listen: config.listen.dns.clone(),
        threads: config.dns.threads,
        chaos: ChaosConfig {
            version: config.dns.version.clone(),
            hostname: config.dns.hostname.clone(),
        },
        last_known_good: Some(LastKnownGood {
            path: config.node.data_dir.join("answers.lkg"),
            cluster: config.cluster.id.clone(),
            group: config.cluster.group,
            min_interval: LKG_EVERY,
        }),
        query_log: config.dns.query_log.clone(),
        encrypted: config.dns.tls.as_ref().map(encrypted_config),
        streams: Some(transfers),
        geo: places(config).await?,
        nsid: guard.nsid.clone(),
        cookie_secrets,
        rate_limit: guard.rate_limit.clone(),
        max_reply_without_cookie: guard.max_reply_without_cookie,
        ..DnsConfig::default()
    };
    DnsServer::start(dns, answers.clone(), clock, stop).await.map(Some).map_err(StartError::Dns)
}

fn encrypted_config(tls: &DnsTls) -> EncryptedConfig {
    EncryptedConfig {
        cert: tls.cert.clone(),
        key: tls.key.clone(),
        tls: tls.listen.clone(),
        https: tls.https.clone(),
        quic: tls.quic.clone(),
        look_every: CERTIFICATE_EVERY,
    }
}

/// Loads the databases of places. Errors: one of them cannot be used, and a start is when somebody looks.
async fn places(config: &Config) -> Result<Geo, StartError> {
    let geo = config.dns.geo.clone();
    let loaded = tokio::task::spawn_blocking(move || Geo::load(&geo)).await;
    loaded.expect("loading does not panic and is not aborted").map_err(StartError::Geo)
}

/// Serves other agents until told to stop; its own task, so that a slow client of the API costs it nothing.
async fn serve_peers(
    listener: TcpListener,
    agent: &Agent,
    tls: Option<&TlsMaterial>,
    stop: CancellationToken,
) -> Result<(), StartError> {
    let server_tls = tls.map(TlsMaterial::server);
    let served = tokio::spawn(holdfast_wire::peer::serve(
        listener,
        agent.handler(),
        server_tls,
        stop.cancelled_owned(),
    ));
    match served.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(StartError::Ended(error.to_string())),
        Err(error) => Err(StartError::Ended(error.to_string())),
    }
}

/// What the API takes beside the agent itself.
struct ApiParts<'a> {
    tls: Option<&'a TlsMaterial>,
    clock: Arc<SystemClock>,
    sealer: Sealer,
}

async fn serve_api(
    listener: TcpListener,
    agent: &Agent,
    facts: &Facts,
    parts: ApiParts<'_>,
    stop: CancellationToken,
) -> Result<(), StartError> {
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
    let served = tokio::spawn(holdfast_api::serve(listener, config, deps, stop.cancelled_owned()));
    match served.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(StartError::Ended(error.to_string())),
        Err(error) => Err(StartError::Ended(error.to_string())),
    }
}

struct Beats(Arc<Heartbeats>);

#[async_trait]
impl HeartbeatSink for Beats {
    async fn beat(&self, targets: Vec<Target>) -> Result<(), String> {
        self.0.beat(targets).await
    }
}

impl NodeFacts for Facts {
    fn place(&self, address: IpAddr) -> Option<Place> {
        self.geo().place(address)
    }

    fn identity(&self) -> NodeIdentity {
        let config = self.config();
        let dns: Vec<String> = self.dns().iter().map(SocketAddr::to_string).collect();
        NodeIdentity {
            cluster: config.cluster.id.clone(),
            id: config.node.id,
            name: config.node.name.to_string(),
            region: config.node.region.to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            addresses: Addresses {
                peer: config.listen.peer.to_string(),
                api: config.listen.api.to_string(),
                dns: dns.join(", "),
                http: config.listen.http.map(|http| http.to_string()).unwrap_or_default(),
            },
            started_at: self.started_at(),
        }
    }

    fn tasks(&self) -> Vec<Task> {
        let task = |status: crate::tasks::TaskStatus| Task {
            name: status.name.to_owned(),
            state: if status.running { "running" } else { "restarting" }.to_owned(),
            restarts: status.restarts,
            last_error: status.last_error,
        };
        Facts::tasks(self).statuses().into_iter().map(task).collect()
    }

    fn readiness(&self) -> Vec<ReadinessPart> {
        let part = |part: http::Part| ReadinessPart {
            name: part.part.to_owned(),
            ready: part.ready,
            detail: part.detail,
        };
        Facts::readiness(self).into_iter().map(part).collect()
    }

    fn certificate_expires(&self) -> Option<Timestamp> {
        Facts::certificate_expires(self)
    }

    /// A round trip is shorter than a heartbeat interval, or there would be no leader; and whoever missed a commit
    /// learns of it with the next heartbeat.
    fn group_times(&self) -> GroupTimes {
        let raft = &self.config().raft;
        GroupTimes {
            election: raft.election_max,
            round_trip: raft.heartbeat,
            publish: raft.heartbeat,
        }
    }
}
