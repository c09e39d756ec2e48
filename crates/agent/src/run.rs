//! A whole agent on real sockets and disks: DNS first and last, and everything else ([`Inside`]) between. Takes the place
//! of a running agent where told to.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use holdfast_api::node::{Addresses, NodeFacts, NodeIdentity, ReadinessPart, Task};
use holdfast_core::Timestamp;
use holdfast_core::recovery::GroupTimes;
use holdfast_core::seam::{Clock, Entropy};
use holdfast_core::steer::Place;
use holdfast_dns::{
    ChaosConfig, CookieSecret, DnsConfig, DnsError, DnsServer, EncryptedConfig, Geo, GeoError,
    Inherited, LastKnownGood, SigningContext, Transfers,
};
use holdfast_seal::{KeyFileError, SealingKeys};
use tokio_util::sync::CancellationToken;

use crate::certificate::{CertificateError, certificate};
use crate::config::{Config, DnsTls};
use crate::facts::Facts;
use crate::handover::{self, Given, HandoverError, Predecessor, Start, Waits};
use crate::http;
use crate::life::Inside;
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
    Secrets(#[source] Arc<KeyFileError>),
    /// Another agent runs with the data directory.
    #[error(
        "an agent runs with node.data_dir {}: stop it first, or take its place without a lost answer by `--replace`",
        data_dir.display()
    )]
    Runs {
        /// The directory.
        data_dir: PathBuf,
    },
    /// The running agent is not replaced.
    #[error("replacing the running agent: {0}")]
    Handover(#[source] HandoverError),
    /// The group cannot be started.
    #[error("raft: {0}")]
    Group(#[source] holdfast_consensus::StartError),
    /// A listener ended by itself.
    #[error("{0}")]
    Ended(String),
}

/// Runs an agent until `shutdown`, or until another one has taken its place; `start` says what becomes of one that runs
/// with this data directory. Errors: why it does not start, or what ended by itself.
pub async fn run(
    config: Config,
    start: Start,
    shutdown: CancellationToken,
) -> Result<(), StartError> {
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
    let before = predecessor(&config, start, account.as_ref(), started_at).await?;
    let (predecessor, inherited) = before.map_or((None, Inherited::default()), |(other, given)| {
        (Some(other), Inherited::new(given.0, given.1))
    });
    let parts = (clock.clone(), transfers.clone(), inherited);
    let dns = start_dns(&config, &answers, parts, dns_stop.clone()).await?;
    let inside = Inside {
        config,
        publisher,
        answers,
        dns: dns.as_ref(),
        keys: keys.map_err(Arc::new),
        transfers,
        started_at,
        clock,
    };
    let ended = match take_over(account, predecessor).await {
        Ok(()) => inside.live(shutdown).await,
        Err(error) => Err(error),
    };
    dns_stop.cancel();
    if let Some(dns) = dns {
        dns.stopped().await;
    }
    ended
}

/// Asks the agent that runs with this data directory, if one does, for its sockets. Errors: it goes on.
async fn predecessor(
    config: &Config,
    start: Start,
    account: Option<&Account>,
    now: Timestamp,
) -> Result<Option<(Predecessor, Given)>, StartError> {
    let Some(stream) = handover::running(&config.node.data_dir) else { return Ok(None) };
    if start == Start::Alone {
        return Err(StartError::Runs { data_dir: config.node.data_dir.clone() });
    }
    // What can be known to be wrong is known before the running agent stops anything.
    certificate(config, now).map_err(StartError::Tls)?;
    SealingKeys::read(&config.secrets.keys)
        .map_err(|error| StartError::Secrets(Arc::new(error)))?;
    let mut trusted = vec![0, nix::unistd::geteuid().as_raw()];
    trusted.extend(account.map(Account::uid));
    let asked = Predecessor::ask(stream, trusted, Waits::default()).await;
    asked.map(Some).map_err(StartError::Handover)
}

/// Lets go of root, and takes the place of the agent that gave its sockets.
async fn take_over(
    account: Option<Account>,
    predecessor: Option<Predecessor>,
) -> Result<(), StartError> {
    if let Some(account) = account {
        account.assume().map_err(StartError::Privileges)?;
    }
    match predecessor {
        Some(predecessor) => predecessor.take_over().await.map_err(StartError::Handover),
        None => Ok(()),
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

async fn start_dns(
    config: &Config,
    answers: &holdfast_dns::AnswersSource,
    (clock, transfers, inherited): (Arc<SystemClock>, Arc<Transfers>, Inherited),
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
    let started = DnsServer::succeed(dns, inherited, answers.clone(), clock, stop).await;
    started.map(Some).map_err(StartError::Dns)
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
