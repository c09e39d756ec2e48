//! A cluster of real agents: a process each, with generated configurations on free loopback ports.
//!
//! The data lies under the directory that the caller names, because durable writes are only measured on a real disk.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use holdfast_core::Timestamp;
use holdfast_wire::ca::{Authority, Role, Subject};
use holdfast_wire::tls::TlsMaterial;
use tempfile::TempDir;
use tokio::time::Instant;
use tonic::transport::ClientTlsConfig;

use crate::Place;
use crate::api::Api;
use crate::port;
use crate::process::{LOOK_EVERY, Launch, Process};
use crate::wall::Anchor;

/// How long the agents may take to elect a leader, and a restarted one to catch up.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How long the certificates are good for.
const DAYS: u32 = 1;

/// How the agents are run.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    /// How many.
    pub agents: usize,
    /// Threads of the DNS server; 0 is the agent's own.
    pub dns_threads: usize,
    /// The processor that every agent is pinned to.
    pub cpu: Option<usize>,
    /// Whether they hold a sealing key, without which no zone is signed.
    pub sealing: bool,
}

impl Shape {
    /// Three agents as they are by default.
    pub(crate) fn three() -> Self {
        Self { agents: 3, dns_threads: 0, cpu: None, sealing: false }
    }
}

/// The addresses of one agent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Addresses {
    /// For other agents.
    pub peer: SocketAddr,
    /// For clients.
    pub api: SocketAddr,
    /// For DNS.
    pub dns: SocketAddr,
    /// For metrics.
    pub http: SocketAddr,
}

/// One agent.
#[derive(Debug)]
pub(crate) struct Agent {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub addresses: Addresses,
    launch: Launch,
    process: Option<Process>,
}

/// The agents, and the directory that holds all they have.
#[derive(Debug)]
pub(crate) struct Cluster {
    /// In the order of their ids, which begin at 1.
    pub agents: Vec<Agent>,
    /// Clients of them.
    pub api: Api,
    dir: Workplace,
}

/// A directory that is removed at the end, unless it is to be kept.
#[derive(Debug)]
pub(crate) struct Workplace {
    path: PathBuf,
    /// Removes the directory when dropped.
    _removed: Option<TempDir>,
}

impl Workplace {
    /// A new directory under the place's.
    pub(crate) fn new(place: &Place, name: &str) -> Result<Self> {
        std::fs::create_dir_all(&place.dir)?;
        let dir =
            tempfile::Builder::new().prefix(&format!("bench-{name}-")).tempdir_in(&place.dir)?;
        let path = dir.path().canonicalize()?;
        if place.keep {
            drop(dir.keep());
            eprintln!("kept: {}", path.display());
            return Ok(Self { path, _removed: None });
        }
        Ok(Self { path, _removed: Some(dir) })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Cluster {
    /// Starts the agents and waits for a leader and for every member to be in contact with a quorum.
    pub(crate) async fn start(place: &Place, shape: &Shape) -> Result<Self> {
        let binary = place.binary.canonicalize().with_context(|| {
            let shown = place.binary.display();
            format!("no binary at {shown}; build it with `cargo build --release -p holdfast`, or set HOLDFAST_BIN")
        })?;
        let dir = Workplace::new(place, "cluster")?;
        let mut agents = Vec::new();
        for number in 1..=shape.agents {
            let name = format!("a{number}");
            let addresses = Addresses {
                peer: port::local()?,
                api: port::local()?,
                dns: port::local()?,
                http: port::local()?,
            };
            let config = dir.path().join(format!("{name}.toml"));
            let log = dir.path().join(format!("{name}.log"));
            let launch = Launch::new(&name, &binary, &log)
                .args(&["agent", "--config"])
                .arg(&config)
                .pinned(shape.cpu);
            agents.push(Agent { name, addresses, launch, process: None });
        }
        let secrets = match shape.sealing {
            true => new_sealing_key(&binary, dir.path())?,
            false => String::new(),
        };
        for agent in &agents {
            let text = config_text(agent, &agents, shape, place.tls) + &secrets;
            std::fs::write(dir.path().join(format!("{}.toml", agent.name)), text)?;
        }
        let tls = if place.tls { Some(issue_all(dir.path(), &agents)?) } else { None };
        let apis: Vec<SocketAddr> = agents.iter().map(|agent| agent.addresses.api).collect();
        let mut cluster = Self { agents, api: Api::new(&apis, tls.as_ref())?, dir };
        for agent in &mut cluster.agents {
            agent.process = Some(agent.launch.start()?);
        }
        cluster.await_quorum().await?;
        Ok(cluster)
    }

    /// Where logs and data are.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The DNS addresses of the agents that run.
    pub(crate) fn dns(&self) -> Vec<SocketAddr> {
        self.agents
            .iter()
            .filter(|agent| agent.process.is_some())
            .map(|agent| agent.addresses.dns)
            .collect()
    }

    /// The process ids of the agents that run.
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.agents.iter().filter_map(|agent| agent.process.as_ref()).map(Process::id).collect()
    }

    /// The leader's place among the agents, once there is one.
    pub(crate) async fn leader(&self) -> Result<usize> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            let (leader, quorum) = self.api.leader().await?;
            if leader > 0 && quorum {
                return usize::try_from(leader - 1).context("an id that fits");
            }
            if Instant::now() >= deadline {
                bail!("no leader within {START_LIMIT:?}");
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Kills an agent as `kill -9` does.
    pub(crate) fn kill(&mut self, place: usize) {
        if let Some(process) = self.agents[place].process.take() {
            process.kill();
        }
    }

    /// Starts it again on the data that it left, and waits until it takes part.
    pub(crate) async fn restart(&mut self, place: usize) -> Result<()> {
        let agent = &mut self.agents[place];
        agent.process = Some(agent.launch.start()?);
        self.await_quorum().await
    }

    async fn await_quorum(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            for agent in &mut self.agents {
                if let Some(process) = &mut agent.process {
                    process.check_alive()?;
                }
            }
            if self.everybody_agrees().await {
                return Ok(());
            }
            if Instant::now() >= deadline {
                bail!(
                    "the agents did not agree on a leader within {START_LIMIT:?}; see {}",
                    self.dir().display()
                );
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn everybody_agrees(&self) -> bool {
        let mut leaders = Vec::new();
        for agent in self.agents.iter().filter(|agent| agent.process.is_some()) {
            match self.api.standing(agent.addresses.api).await {
                Ok(standing) if standing.quorum && standing.leader > 0 => leaders.push(standing),
                Ok(_) | Err(_) => return false,
            }
        }
        // An agent counts once it is admitted as an observer and has caught up.
        let observing = |members: &[holdfast_wire::pb::v1::Member]| {
            members.iter().all(|member| member.observing)
        };
        let newest =
            leaders.iter().map(|standing| standing.committed_index).max().unwrap_or_default();
        let together = leaders.iter().all(|standing| standing.leader == leaders[0].leader);
        together
            && leaders.iter().all(|one| one.applied_index + 10 >= newest && observing(&one.members))
    }
}

fn config_text(agent: &Agent, all: &[Agent], shape: &Shape, tls: bool) -> String {
    let members: String = all
        .iter()
        .map(|one| {
            let Addresses { peer, api, .. } = one.addresses;
            format!(
                "  {{ name = \"{}\", region = \"here\", peer = \"{peer}\", api = \"{api}\" }},\n",
                one.name
            )
        })
        .collect();
    let Addresses { peer, api, dns, http } = agent.addresses;
    let name = &agent.name;
    let security = if tls {
        format!("cert = \"{name}.pem\"\nkey = \"{name}.key\"\nca = \"ca.pem\"")
    } else {
        "insecure_plaintext = true".to_owned()
    };
    let threads = shape.dns_threads;
    format!(
        r#"[node]
name = "{name}"
data_dir = "data-{name}"

[listen]
peer = "{peer}"
api = "{api}"
dns = ["{dns}"]
http = "{http}"

[cluster]
id = "bench"
members = [
{members}]

[tls]
{security}

[probe]
allow_loopback = true

[dns]
threads = {threads}

[telemetry]
log = "json"
filter = "warn"
"#
    )
}

/// Makes a sealing key; returns what names it in a configuration.
fn new_sealing_key(binary: &Path, dir: &Path) -> Result<String> {
    let file = dir.join("sealing.key");
    let made = Command::new(binary).args(["secret", "new-key"]).arg(&file).output()?;
    if !made.status.success() {
        bail!("no sealing key: {}", String::from_utf8_lossy(&made.stderr));
    }
    Ok(format!("\n[secrets]\nkeys = [\"file:{}\"]\n", file.display()))
}

/// Issues a certificate for every agent and one for the client; returns what the client connects with.
fn issue_all(dir: &Path, agents: &[Agent]) -> Result<ClientTlsConfig> {
    let now = Timestamp(Anchor::take().wall_ms(Instant::now()) as u64);
    let authority = Authority::create("bench", now, DAYS)?;
    std::fs::write(dir.join("ca.pem"), authority.cert_pem())?;
    let issue = |role: Role, name: &str| {
        let subject = Subject {
            role,
            name: name.into(),
            dns_names: vec!["localhost".into()],
            addresses: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
        };
        authority.issue(&subject, now, DAYS).map_err(|error| anyhow!("{error}"))
    };
    for agent in agents {
        let issued = issue(Role::Agent, &agent.name)?;
        std::fs::write(dir.join(format!("{}.pem", agent.name)), issued.cert_pem)?;
        std::fs::write(dir.join(format!("{}.key", agent.name)), issued.key_pem)?;
    }
    let user = issue(Role::User, "bench")?;
    let material = TlsMaterial::from_pem(&user.cert_pem, &user.key_pem, authority.cert_pem(), now)?;
    Ok(material.client(None))
}
