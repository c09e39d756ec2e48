//! The servers of one run, all with the same zones and all on one processor; idle ones cost next to nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use hickory_proto::rr::Name;
use tokio::time::Instant;

use super::figures::Trial;
use super::kind::{self, Kind};
use super::{Args, CLIENT_CPU, PACE, SERVER_CPU};
use crate::ask::Asker;
use crate::cluster::{Cluster, Shape};
use crate::load::paced::{self, Paced};
use crate::load::{Outcome, Question, closed, on_cpu, tcp};
use crate::peer::Served;
use crate::peer::zones::{Host, ZoneData};
use crate::process::{Process, cpu_us};
use crate::{Place, port, spec};

/// What every figure of ours is under.
pub(super) const OWN: &str = "holdfast";
/// How long a name may take to be answered once it was declared.
const LIMIT: Duration = Duration::from_secs(60);
/// How long a warm-up takes: it shows as well that all answers are right.
const WARM_UP: Duration = Duration::from_millis(300);
/// Names whose addresses are compared before anything is measured.
const COMPARED: usize = 100;

/// A server under test.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) name: &'static str,
    pub(super) address: SocketAddr,
    pub(super) pid: u32,
}

/// All servers under test.
#[derive(Debug)]
pub(super) struct Field {
    /// Ours is the first.
    pub(super) servers: Vec<Server>,
    pub(super) cluster: Cluster,
    peers: Vec<Process>,
}

impl Field {
    /// Starts all servers and waits until each answers as it must.
    pub(super) async fn set(
        args: &Args,
        place: &Place,
        names: usize,
        signed: bool,
    ) -> Result<Self> {
        let zones = kind::zones(names, signed);
        let Self { mut servers, cluster, mut peers } = Self::of(args, place, &zones, 1).await?;
        for peer in args.peer.iter().filter(|peer| !signed || peer.serves_signed()) {
            let listen = port::local()?;
            let served =
                Served { dir: cluster.dir(), listen, zones: &zones, cpu: Some(SERVER_CPU) };
            let process = peer.start(&served).await?;
            servers.push(Server { name: peer.name(), address: listen, pid: process.id() });
            peers.push(process);
        }
        let field = Self { servers, cluster, peers };
        field.compare(&zones).await?;
        Ok(field)
    }

    /// Starts agents alone, all on the same processor; the first of them is the server.
    pub(super) async fn of_agents(
        args: &Args,
        place: &Place,
        names: usize,
        agents: usize,
    ) -> Result<Self> {
        let zones = kind::zones(names, false);
        let field = Self::of(args, place, &zones, agents).await?;
        field.compare(&zones).await?;
        Ok(field)
    }

    async fn of(args: &Args, place: &Place, zones: &[ZoneData], agents: usize) -> Result<Self> {
        let sealing = zones.iter().any(|zone| zone.signed);
        let shape = Shape { agents, dns_threads: args.threads, cpu: Some(SERVER_CPU), sealing };
        let cluster = Cluster::start(place, &shape).await?;
        for zone in zones {
            cluster.api.apply_zone(spec::zone_of(zone)).await?;
            if zone.signed {
                cluster.api.enable_signing(&zone.apex).await?;
            }
        }
        let (address, pid) = (cluster.dns()[0], cluster.pids()[0]);
        Ok(Self { servers: vec![Server { name: OWN, address, pid }], cluster, peers: Vec::new() })
    }

    /// Ours.
    pub(super) fn own(&self) -> &Server {
        &self.servers[0]
    }

    /// Holds the addresses of some names against what was declared, at every server.
    async fn compare(&self, zones: &[ZoneData]) -> Result<()> {
        let hosts: Vec<&Host> = zones.iter().flat_map(|zone| &zone.hosts).collect();
        let step = (hosts.len() / COMPARED).max(1);
        let last = hosts.last().into_iter();
        for server in &self.servers {
            let mut asker = Asker::new(server.address).await?;
            for host in hosts.iter().step_by(step).chain(last.clone()) {
                let name = Name::from_ascii(format!("{}.", host.name))?;
                let answered = asker.await_answer(&name, host.v4, LIMIT).await;
                answered.with_context(|| server.name)?;
            }
        }
        Ok(())
    }

    /// Asks every server for a moment.
    pub(super) async fn warm_up(&self, kind: Kind, questions: &Arc<Vec<Question>>) -> Result<()> {
        for server in 0..self.servers.len() {
            if kind == Kind::Signed {
                self.await_signatures(server, questions).await?;
            } else {
                self.measure(server, kind, questions, WARM_UP).await?;
            }
        }
        Ok(())
    }

    /// Asks until all answers are signed, which a server that signs by itself does in its own time; at a pace that leaves
    /// it some.
    async fn await_signatures(&self, server: usize, questions: &Arc<Vec<Question>>) -> Result<()> {
        let Server { name, address, .. } = self.servers[server];
        let deadline = Instant::now() + LIMIT;
        let all = Duration::from_secs_f64(questions.len() as f64 / f64::from(PACE)) + WARM_UP;
        loop {
            let questions = Arc::clone(questions);
            let ask = move || paced::run(address, &questions, PACE, all, || Ok(()));
            let Paced { waits_us, wrong, lost } = on_cpu(CLIENT_CPU, ask).await.context(name)?;
            if wrong == 0 && lost == 0 && !waits_us.is_empty() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let right = waits_us.len();
                bail!("{name} gives {wrong} unsigned answers beside {right} after {LIMIT:?}");
            }
        }
    }

    /// Puts as many questions to a server as it answers.
    async fn ask(
        &self,
        server: usize,
        kind: Kind,
        questions: &Arc<Vec<Question>>,
        span: Duration,
    ) -> Result<Outcome> {
        let Server { name, address, .. } = self.servers[server];
        let questions = Arc::clone(questions);
        let generate = move || match kind {
            Kind::Tcp => tcp::run(address, &questions, span),
            _ => closed::run(address, &questions, span),
        };
        on_cpu(CLIENT_CPU, generate).await.with_context(|| name)
    }

    /// Asks a server, and tells its rate and its work. Errors: a wrong answer, or none at all.
    pub(super) async fn measure(
        &self,
        server: usize,
        kind: Kind,
        questions: &Arc<Vec<Question>>,
        span: Duration,
    ) -> Result<Trial> {
        let Server { name, pid, .. } = self.servers[server];
        let before = cpu_us(pid);
        let outcome = self.ask(server, kind, questions, span).await?;
        let spent = cpu_us(pid) - before;
        let Outcome { answered, wrong, lost, .. } = outcome;
        if wrong > 0 || answered == 0 {
            bail!(
                "{name} gave {wrong} wrong answers and {answered} right ones to questions of kind {}",
                kind.name()
            );
        }
        Ok(Trial { rate: outcome.rate(), cpu_us: spent / answered as f64, lost })
    }
}
