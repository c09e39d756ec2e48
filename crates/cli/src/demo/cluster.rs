//! Three real agents in one process: each has its own runtime, sockets, certificates, log and audit store, so that
//! killing one is dropping everything it has at once, without a goodbye.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use holdfast_agent::{Config, Start, SystemClock};
use holdfast_core::Timestamp;
use holdfast_core::seam::Clock as _;
use holdfast_wire::ca::{Authority, Role, Subject};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::command::secret::write_new_key;

/// The agents' names; their regions are one.
const NAMES: [&str; 3] = ["a1", "a2", "a3"];
/// How long the demo's certificates are good for.
const DAYS: u32 = 60;
/// The ports that the demo prefers for DNS, API and HTTP, one above the other for each agent.
const PREFERRED: [u16; 3] = [5300, 7400, 7480];
/// How long an agent may take to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// The addresses of one agent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Addresses {
    /// For other agents.
    pub(crate) peer: SocketAddr,
    /// For clients.
    pub(crate) api: SocketAddr,
    /// For DNS.
    pub(crate) dns: SocketAddr,
    /// For metrics and readiness.
    pub(crate) http: SocketAddr,
}

/// Three agents and what they are made of.
#[derive(Debug)]
pub(crate) struct Cluster {
    dir: PathBuf,
    agents: Vec<Agent>,
}

/// One agent and its thread.
#[derive(Debug)]
pub(crate) struct Agent {
    /// Its name.
    pub(crate) name: &'static str,
    /// Where it is.
    pub(crate) addresses: Addresses,
    config: PathBuf,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    stop: CancellationToken,
    kill: Option<oneshot::Sender<()>>,
    thread: std::thread::JoinHandle<Result<()>>,
}

impl Cluster {
    /// Writes certificates and configurations under `dir` and starts the agents.
    pub(crate) fn start(dir: &Path) -> Result<Self> {
        let now = SystemClock.now();
        let authority = Authority::create("demo", now, DAYS)?;
        std::fs::write(dir.join("ca.pem"), authority.cert_pem())?;
        let mut agents = Vec::new();
        for (place, name) in NAMES.into_iter().enumerate() {
            let addresses = addresses(place).context("no free port on loopback")?;
            let config = dir.join(format!("{name}.toml"));
            agents.push(Agent { name, addresses, config, running: None });
        }
        for agent in &agents {
            issue(dir, &authority, Role::Agent, agent.name, now)?;
            std::fs::write(&agent.config, config_text(agent, &agents))?;
        }
        issue(dir, &authority, Role::User, "you", now)?;
        write_new_key(&dir.join("seal.key")).map_err(|failure| anyhow!("{failure}"))?;
        std::fs::write(dir.join("context.toml"), context_text(&agents))?;
        let mut cluster = Self { dir: dir.into(), agents };
        for place in 0..cluster.agents.len() {
            cluster.agents[place].start()?;
        }
        Ok(cluster)
    }

    /// The agents.
    pub(crate) fn agents(&self) -> &[Agent] {
        &self.agents
    }

    /// Where everything lies; `context.toml` in it is for the CLI.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Kills the agent of this name as `kill -9` would.
    pub(crate) fn kill(&mut self, name: &str) -> Result<()> {
        self.named(name)?.kill();
        Ok(())
    }

    /// Starts it again on the data that it left.
    pub(crate) fn restart(&mut self, name: &str) -> Result<()> {
        self.named(name)?.start()
    }

    /// Ends every agent in good order.
    pub(crate) fn stop(&mut self) {
        for agent in &mut self.agents {
            agent.stop();
        }
    }

    fn named(&mut self, name: &str) -> Result<&mut Agent> {
        self.agents
            .iter_mut()
            .find(|agent| agent.name == name)
            .ok_or_else(|| anyhow!("no agent {name}"))
    }
}

impl Agent {
    /// Whether it runs.
    pub(crate) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    fn start(&mut self) -> Result<()> {
        let config = Config::read(&self.config)?;
        let stop = CancellationToken::new();
        let (kill, killed) = oneshot::channel();
        let token = stop.clone();
        let thread = std::thread::Builder::new().name(self.name.into()).spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
            let result = runtime.block_on(async {
                tokio::select! {
                    biased;
                    _ = killed => Ok(()),
                    result = holdfast_agent::run(config, Start::Alone, token) => result.map_err(anyhow::Error::from),
                }
            });
            runtime.shutdown_background();
            result
        })?;
        self.running = Some(Running { stop, kill: Some(kill), thread });
        Ok(())
    }

    fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            if let Some(kill) = running.kill.take() {
                // Nobody listens when the agent has ended by itself.
                let _ = kill.send(());
            }
            drop(running.thread.join());
        }
    }

    fn stop(&mut self) {
        let Some(mut running) = self.running.take() else { return };
        running.stop.cancel();
        let began = tokio::time::Instant::now();
        while !running.thread.is_finished() && began.elapsed() < STOP_TIMEOUT {
            std::thread::park_timeout(Duration::from_millis(10));
        }
        if !running.thread.is_finished()
            && let Some(kill) = running.kill.take()
        {
            let _ = kill.send(());
        }
        drop(running.thread.join());
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The preferred ports of the agent in this place, or free ones.
fn addresses(place: usize) -> Option<Addresses> {
    let offset = u16::try_from(place).ok()?;
    let preferred = PREFERRED.map(|port| port + offset);
    Some(Addresses {
        peer: free(0)?,
        dns: free(preferred[0]).or_else(|| free(0))?,
        api: free(preferred[1]).or_else(|| free(0))?,
        http: free(preferred[2]).or_else(|| free(0))?,
    })
}

/// A port that is free over TCP and UDP.
fn free(port: u16) -> Option<SocketAddr> {
    let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()?;
    let address = tcp.local_addr().ok()?;
    UdpSocket::bind(address).ok()?;
    Some(address)
}

fn issue(dir: &Path, authority: &Authority, role: Role, name: &str, now: Timestamp) -> Result<()> {
    let subject = Subject {
        role,
        name: name.into(),
        dns_names: vec!["localhost".into()],
        addresses: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
    };
    let issued = authority.issue(&subject, now, DAYS)?;
    std::fs::write(dir.join(format!("{name}.pem")), issued.cert_pem)?;
    std::fs::write(dir.join(format!("{name}.key")), issued.key_pem)?;
    Ok(())
}

fn config_text(agent: &Agent, all: &[Agent]) -> String {
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
    let name = agent.name;
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
id = "demo"
members = [
{members}]

[tls]
cert = "{name}.pem"
key = "{name}.key"
ca = "ca.pem"

[secrets]
keys = ["file:seal.key"]

[probe]
allow_loopback = true
"#
    )
}

fn context_text(all: &[Agent]) -> String {
    let endpoints: Vec<String> =
        all.iter().map(|agent| format!("\"{}\"", agent.addresses.api)).collect();
    format!(
        "endpoints = [{}]\n\n[tls]\nca = \"ca.pem\"\ncert = \"you.pem\"\nkey = \"you.key\"\n",
        endpoints.join(", ")
    )
}
