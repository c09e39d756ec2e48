//! Agents as processes, each in its own namespace, and the ways to look at them and to hurt them.
//!
//! Certificates come from `holdfast ca`, so the set-up that people are told to make is the one that is tested. The
//! CLI and gRPC are used from a namespace of their own, as an operator's machine would be.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use holdfast_wire::pb::v1 as pb;
use holdfast_wire::pb::v1::cluster_service_client::ClusterServiceClient;
use holdfast_wire::pb::v1::registry_service_client::RegistryServiceClient;
use rustix::process::Signal;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::binary::holdfast;
use crate::dns::{self, Answer};
use crate::lab::{Host, Lab};
use crate::poll;
use crate::process::{Output, Process, run};

/// The cluster's name.
pub const CLUSTER: &str = "test";
/// Ports of every agent.
pub const PEER: u16 = 7443;
/// Where clients ask.
pub const API: u16 = 7444;
/// Where readiness is told.
pub const HTTP: u16 = 7480;
/// Everything that a cluster has to come to by itself comes within this, on a busy machine as well.
pub const LIMIT: Duration = Duration::from_secs(30);
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 4);

/// One agent.
#[derive(Debug)]
pub struct Node {
    /// Its namespace and address.
    pub host: Host,
    /// Its name.
    pub name: String,
    /// Its directory: configuration, data and log.
    pub dir: PathBuf,
    region: &'static str,
    process: Option<Process>,
    paused: bool,
    /// Whether it is not expected to come back.
    lost: bool,
}

/// Agents, and a client's machine.
#[derive(Debug)]
pub struct Cluster {
    /// The client's machine.
    pub client: Host,
    /// The authority's files, and the client's `op.pem` and `op.key`.
    pub pki: PathBuf,
    nodes: Vec<Node>,
    context: PathBuf,
    binary: PathBuf,
}

impl Cluster {
    /// Makes certificates and configurations, starts the agents, waits until all are ready, and lets services have TTLs of
    /// a second, which the stories wait for. There is an agent for each region that is named.
    pub fn start(lab: &mut Lab, dir: &Path, regions: &[&'static str]) -> Result<Self> {
        let mut cluster = Self::prepare(lab, dir, regions)?;
        for place in 0..cluster.nodes.len() {
            cluster.start_node(place)?;
        }
        cluster.await_ready()?;
        cluster.cli(&["settings", "set", "--ttl-floor", "1s"])?.ok()?;
        Ok(cluster)
    }

    /// The same, and starts nothing.
    pub fn prepare(lab: &mut Lab, dir: &Path, regions: &[&'static str]) -> Result<Self> {
        let client = lab.host("client", CLIENT)?;
        let mut nodes = Vec::new();
        for (number, region) in (1u8..).zip(regions) {
            let name = format!("a{number}");
            let host = lab.host(&name, Ipv4Addr::new(10, 77, 0, 10 + number))?;
            let dir = dir.join(&name);
            std::fs::create_dir_all(&dir)?;
            let (process, paused, lost) = (None, false, false);
            nodes.push(Node { host, name, dir, region, process, paused, lost });
        }
        let context = dir.join("context.toml");
        let cluster = Self { client, pki: dir.join("pki"), nodes, context, binary: holdfast()? };
        cluster.certify()?;
        for node in &cluster.nodes {
            std::fs::write(node.config(), cluster.config_text(node))?;
        }
        std::fs::write(&cluster.context, cluster.context_text())?;
        Ok(cluster)
    }

    fn certify(&self) -> Result<()> {
        let ca = |words: &[&str]| {
            let mut command = Command::new(&self.binary);
            command.arg("ca").args(words).arg("--dir").arg(&self.pki);
            run(&mut command)?.ok()
        };
        ca(&["init", "--cluster", CLUSTER])?;
        ca(&["issue", "user", "op"])?;
        ca(&["issue", "workload", "shop"])?;
        let mut command = Command::new(&self.binary);
        command.args(["secret", "new-key"]).arg(self.pki.join("seal.key"));
        run(&mut command)?.ok()?;
        for node in &self.nodes {
            ca(&["issue", "agent", &node.name, "--address", &node.address().to_string()])?;
        }
        Ok(())
    }

    /// The configuration of an agent.
    pub fn config_text(&self, node: &Node) -> String {
        let member = |node: &Node| {
            let (name, region, ip) = (&node.name, node.region, node.address());
            format!(
                "  {{ name = \"{name}\", region = \"{region}\", peer = \"{ip}:{PEER}\", api = \"{ip}:{API}\" }},\n"
            )
        };
        let members: String = self.nodes.iter().map(member).collect();
        let (name, ip, pki) = (&node.name, node.address(), self.pki.display());
        format!(
            "[node]\nname = \"{name}\"\ndata_dir = \"data\"\n\n\
             [listen]\npeer = \"{ip}:{PEER}\"\napi = \"{ip}:{API}\"\ndns = [\"{ip}:53\"]\nhttp = \"{ip}:{HTTP}\"\n\n\
             [cluster]\nid = \"{CLUSTER}\"\nmembers = [\n{members}]\n\n\
             [raft]\nheartbeat = \"100ms\"\nelection_timeout_min = \"600ms\"\nelection_timeout_max = \"1200ms\"\n\n\
             [dns]\nrate_limit_exempt = [\"127.0.0.0/8\", \"{CLIENT}/32\"]\n\n[tls]\ncert = \"{pki}/{name}.pem\"\nkey = \"{pki}/{name}.key\"\nca = \"{pki}/ca.pem\"\n\n\
             [secrets]\nkeys = [\"file:{pki}/seal.key\"]\n"
        )
    }

    fn context_text(&self) -> String {
        let endpoints: Vec<String> =
            self.nodes.iter().map(|node| format!("\"{}\"", node.api())).collect();
        format!(
            "endpoints = [{}]\n[tls]\nca = \"pki/ca.pem\"\ncert = \"pki/op.pem\"\nkey = \"pki/op.key\"\n",
            endpoints.join(", ")
        )
    }

    /// The agents.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The places of the agents that run.
    pub fn running(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|&place| self.nodes[place].process.is_some()).collect()
    }

    /// The addresses of the agents.
    pub fn addresses(&self) -> Vec<Ipv4Addr> {
        self.nodes.iter().map(Node::address).collect()
    }

    /// Starts an agent on what it has.
    pub fn start_node(&mut self, place: usize) -> Result<()> {
        let binary = self.binary.clone();
        let node = &mut self.nodes[place];
        let mut command = node.host.command(binary);
        command.arg("agent").arg("--config").arg(node.config()).env("RUST_BACKTRACE", "1");
        node.process = Some(Process::start(&node.name, &mut command, &node.log())?);
        node.lost = false;
        Ok(())
    }

    /// Starts an agent that is to take the place of the one that runs, and waits until one of the two has ended; says
    /// whether it is the one that ran. Errors: neither ended, or the one that ran did with a failure.
    pub fn replace_node(&mut self, place: usize) -> Result<bool> {
        let binary = self.binary.clone();
        let node = &mut self.nodes[place];
        let mut command = node.host.command(binary);
        command.arg("agent").arg("--config").arg(node.config()).arg("--replace");
        let mut new = Process::start(&node.name, &mut command, &node.log())?;
        let old = node.process.as_mut().ok_or_else(|| anyhow!("it does not run"))?;
        let gone = poll::until("the end of one of two agents", LIMIT, || {
            match (old.runs()?, new.runs()?) {
                (true, true) => bail!("both run"),
                (old_runs, new_runs) => Ok((!old_runs, !new_runs)),
            }
        })?;
        match gone {
            (true, false) if old.ended(LIMIT)?.success() => {
                node.process = Some(new);
                Ok(true)
            }
            (false, true) => Ok(false),
            gone => bail!("(old, new) ended: {gone:?}, or the old one with a failure"),
        }
    }

    /// Ends an agent as `kill -9` does.
    pub fn kill9(&mut self, place: usize) -> Result<()> {
        let node = &mut self.nodes[place];
        node.paused = false;
        match node.process.take() {
            Some(mut process) => process.kill9(),
            None => Ok(()),
        }
    }

    /// Asks an agent to stop, and waits until it has.
    pub fn terminate(&mut self, place: usize) -> Result<ExitStatus> {
        let mut process =
            self.nodes[place].process.take().ok_or_else(|| anyhow!("it does not run"))?;
        process.signal(Signal::TERM)?;
        process.ended(LIMIT)
    }

    /// Freezes an agent.
    pub fn pause(&mut self, place: usize) -> Result<()> {
        self.nodes[place].signal(Signal::STOP)?;
        self.nodes[place].paused = true;
        Ok(())
    }

    /// Lets a frozen agent go on.
    pub fn resume(&mut self, place: usize) -> Result<()> {
        self.nodes[place].paused = false;
        self.nodes[place].signal(Signal::CONT)
    }

    /// Removes everything that an agent, which must not run, has stored.
    pub fn wipe(&mut self, place: usize) -> Result<()> {
        if self.nodes[place].process.is_some() {
            bail!("{} runs", self.nodes[place].name);
        }
        Ok(std::fs::remove_dir_all(self.nodes[place].data())?)
    }

    /// Gives an agent up: it is not part of what is expected at the end.
    pub fn lose(&mut self, place: usize) -> Result<()> {
        self.nodes[place].lost = true;
        self.kill9(place)
    }

    /// Waits for the end of an agent that ends by itself.
    pub fn await_end(&mut self, place: usize) -> Result<ExitStatus> {
        let process =
            self.nodes[place].process.as_mut().ok_or_else(|| anyhow!("it does not run"))?;
        let status = process.ended(LIMIT)?;
        self.nodes[place].process = None;
        Ok(status)
    }

    /// Starts and thaws every agent that is not lost, and waits until all are ready.
    pub fn revive(&mut self) -> Result<()> {
        for place in 0..self.nodes.len() {
            let node = &self.nodes[place];
            if node.process.is_none() && !node.lost {
                self.start_node(place)?;
            } else if node.paused {
                self.resume(place)?;
            }
        }
        self.await_ready()
    }

    /// Waits until every agent that runs is ready in all its parts.
    pub fn await_ready(&self) -> Result<()> {
        self.running().into_iter().try_for_each(|place| self.await_ready_of(place))
    }

    /// Waits until an agent is ready in all its parts.
    pub fn await_ready_of(&self, place: usize) -> Result<()> {
        let server = (self.nodes[place].address(), HTTP).into();
        poll::until(&format!("readiness of {}", self.nodes[place].name), LIMIT, || {
            let (code, body) = self.client.http(server, "/readyz")?;
            if code == 200 { Ok(()) } else { bail!("{code}: {body}") }
        })
    }

    /// The place of the leader that a quorum follows, once there is one, as the running agents see it.
    pub fn leader(&self) -> Result<usize> {
        self.leader_among(&self.running())
    }

    /// The place of the leader, once one of these agents leads and has its quorum.
    pub fn leader_among(&self, places: &[usize]) -> Result<usize> {
        poll::until("a leader", LIMIT, || {
            for &place in places {
                let seen = self.cluster_as_seen_by(place);
                if seen.is_ok_and(|seen| seen.quorum && seen.leader == place as u64 + 1) {
                    return Ok(place);
                }
            }
            bail!("none of {places:?} leads with a quorum")
        })
    }

    /// The sum of an agent's counters of this name with all these labels, such as `why="reply"`; 0 for none.
    pub fn counter(&self, place: usize, name: &str, labels: &[&str]) -> Result<f64> {
        let server = (self.nodes[place].address(), HTTP).into();
        let (_, text) = self.client.http(server, "/metrics")?;
        let of_it = |line: &&str| {
            let rest = line.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with(['{', ' ']))
                && labels.iter().all(|label| line.contains(label))
        };
        let values = text.lines().filter(of_it).filter_map(|line| line.rsplit(' ').next());
        values.map(|value| Ok(value.parse::<f64>()?)).sum()
    }

    /// How an agent sees the cluster and itself, with the hash of its state.
    pub fn cluster_as_seen_by(&self, place: usize) -> Result<pb::GetClusterResponse> {
        self.call(place, async |channel| {
            let request = pb::GetClusterRequest { with_state_hash: true };
            Ok(ClusterServiceClient::new(channel).get_cluster(request).await?.into_inner())
        })
    }

    /// A service as an agent has it, whether or not there is a quorum.
    pub fn service_as_seen_by(&self, place: usize, service: &str) -> Result<pb::ServiceEntry> {
        let request = pb::GetServiceRequest {
            service: service.to_owned(),
            consistency: pb::Consistency::Stale.into(),
        };
        let answer = self.call(place, async |channel| {
            Ok(RegistryServiceClient::new(channel).get_service(request).await?.into_inner())
        })?;
        answer.service.ok_or_else(|| anyhow!("an answer without a service"))
    }

    /// Calls an agent over gRPC as the operator `op`, on a connection of its own.
    pub fn call<T: Send>(
        &self,
        place: usize,
        call: impl AsyncFnOnce(Channel) -> Result<T> + Send,
    ) -> Result<T> {
        let endpoint = self.endpoint(place, "op")?;
        self.client.run(async || call(endpoint.connect().await?).await)
    }

    /// Where and as whom an agent is called over gRPC.
    pub fn endpoint(&self, place: usize, user: &str) -> Result<Endpoint> {
        let read =
            |name: &str| std::fs::read_to_string(self.pki.join(name)).context(name.to_owned());
        let identity =
            Identity::from_pem(read(&format!("{user}.pem"))?, read(&format!("{user}.key"))?);
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(read("ca.pem")?))
            .identity(identity);
        Ok(Endpoint::from_shared(format!("https://{}", self.nodes[place].api()))?
            .tls_config(tls)?
            .connect_timeout(CALL_TIMEOUT)
            .timeout(CALL_TIMEOUT))
    }

    /// Runs the CLI on the client's machine, with every agent to ask.
    pub fn cli(&self, words: &[&str]) -> Result<Output> {
        let mut command = self.client.command(&self.binary);
        command.args(words).arg("--context").arg(&self.context);
        run(&mut command)
    }

    /// Runs the CLI on the client's machine, with one agent to ask.
    pub fn cli_at(&self, place: usize, words: &[&str]) -> Result<Output> {
        let api = self.nodes[place].api().to_string();
        let words: Vec<&str> = words.iter().copied().chain(["--endpoint", &api]).collect();
        self.cli(&words)
    }

    /// Applies manifests.
    pub fn apply(&self, text: &str) -> Result<()> {
        let file = tempfile::Builder::new().suffix(".yaml").tempfile()?;
        std::fs::write(file.path(), text)?;
        let path = file.path().to_string_lossy();
        self.cli(&["apply", "-f", &path, "--yes"])?
            .ok()
            .with_context(|| format!("apply of\n{text}"))?;
        Ok(())
    }

    /// What an agent's DNS answers.
    pub fn ask(&self, place: usize, name: &str) -> Result<Answer> {
        dns::ask(&self.client, self.nodes[place].address(), name)
    }

    /// Waits until these agents' DNS answers so.
    pub fn await_answer(&self, places: &[usize], name: &str, expected: &Answer) -> Result<()> {
        for &place in places {
            let what = format!("the answer of {} to {name}", self.nodes[place].name);
            poll::until_equal(&what, LIMIT, expected, || self.ask(place, name))?;
        }
        Ok(())
    }

    /// Waits until an endpoint of a service is judged so, as this agent sees it.
    pub fn await_verdict(
        &self,
        place: usize,
        (service, endpoint): (&str, &str),
        verdict: pb::Verdict,
    ) -> Result<()> {
        poll::until(&format!("{endpoint} of {service} {}", verdict.as_str_name()), LIMIT, || {
            let status = self.service_as_seen_by(place, service)?.status.unwrap_or_default();
            let found = status.endpoints.iter().find(|one| one.endpoint == endpoint);
            match found.map(pb::EndpointStatus::verdict) {
                Some(seen) if seen == verdict => Ok(()),
                seen => bail!("it is {seen:?}"),
            }
        })
    }
}

impl Node {
    /// Its address.
    pub fn address(&self) -> Ipv4Addr {
        self.host.address
    }

    /// Where it serves its API.
    pub fn api(&self) -> SocketAddr {
        (self.address(), API).into()
    }

    /// Its configuration file.
    pub fn config(&self) -> PathBuf {
        self.dir.join("agent.toml")
    }

    /// Its data directory.
    pub fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// Its log.
    pub fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// The number of its process. Errors: it does not run.
    pub fn pid(&self) -> Result<u32> {
        let process = self.process.as_ref();
        process.map(Process::id).ok_or_else(|| anyhow!("{} does not run", self.name))
    }

    /// The memory that it has resident, in MiB. Errors: it does not run.
    pub fn resident_mib(&self) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()?))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|rest| rest.split_whitespace().next()).context("no VmRSS")?;
        Ok(kib.parse::<f64>()? / 1024.0)
    }

    /// Sends its process a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.process.as_ref().ok_or_else(|| anyhow!("{} does not run", self.name))?.signal(signal)
    }
}
