//! Durable registrations per second: three agents against three etcd members, in turns within one run.
//!
//! A registration is an endpoint that is replaced by one with another port: acknowledged when a quorum has it on
//! disk, applied, audited and published. A put is a value of about the same size. Clients have a connection each and
//! are spread over the three members, the first one at the leader.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use holdfast_wire::pb::v1 as pb;
use holdfast_wire::pb::v1::registry_service_client::RegistryServiceClient;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tonic::transport::Channel;

use crate::Place;
use crate::api::{named, request_id};
use crate::cluster::{Cluster, Shape, Workplace};
use crate::peer::etcd::{self, Etcd};
use crate::process::cpu_us;
use crate::report::{Bound, Report};
use crate::spec::{self, pool};
use crate::stat::{Series, ms};

/// The size of the values that etcd stores: about that of a registration.
const VALUE_BYTES: usize = 64;
/// Clients at the most.
const MOST_CLIENTS: u64 = 512;

/// Arguments of `registrations`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Measured beside Holdfast.
    #[arg(long, value_enum)]
    peer: Option<Peer>,
    /// How many clients write at once, one after the other.
    #[arg(long, value_delimiter = ',', default_value = "1,64", value_parser = clap::value_parser!(u64).range(1..=MOST_CLIENTS))]
    clients: Vec<u64>,
    /// How long each measurement takes.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// How often each is measured.
    #[arg(long, default_value_t = 2)]
    rounds: usize,
    /// Endpoints that each client registers in its service, over and over.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1000))]
    endpoints: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Peer {
    Etcd,
}

/// What writing for a while came to.
#[derive(Debug, Default)]
struct Written {
    rates: Vec<f64>,
    latencies_ms: Vec<f64>,
    cpu_us: Vec<f64>,
    failed: u64,
}

/// Measures.
pub(crate) async fn run(args: &Args, place: &Place) -> Result<Report> {
    let most = args.clients.iter().max().copied().context("no number of clients")?;
    let cluster = Cluster::start(place, &Shape::three()).await?;
    declare(&cluster, most, args.endpoints).await?;
    let dir = Workplace::new(place, "etcd")?;
    let mut peer = match args.peer {
        Some(Peer::Etcd) => Some(Etcd::start(dir.path()).await?),
        None => None,
    };
    let mut report = Report::new("registrations");
    report.number("endpoints_per_service", f64::from(args.endpoints));
    for clients in &args.clients {
        let (mut ours, mut theirs) = (Written::default(), Written::default());
        for round in 1..=args.rounds {
            agents(args, &cluster, *clients, &mut ours).await?;
            if let Some(etcd) = &mut peer {
                members(args, etcd, *clients, &mut theirs).await?;
            }
            let (ours, theirs) = (ours.rates.last(), theirs.rates.last());
            eprintln!(
                "{clients} clients, round {round}: holdfast {ours:.0?}/s, etcd {theirs:.0?}/s"
            );
        }
        tell(&mut report, "holdfast", *clients, &ours);
        if peer.is_some() {
            tell(&mut report, "etcd", *clients, &theirs);
            let ratio = Series::of(ours.rates).median() / Series::of(theirs.rates).median();
            report.number(&format!("ratio_{clients}"), ratio);
            report.goal(
                &format!("registrations over puts, {clients} clients"),
                Bound::AtLeast(1.0),
                ratio,
            );
        }
    }
    Ok(report)
}

fn tell(report: &mut Report, name: &str, clients: u64, written: &Written) {
    report.series(&format!("{name}_{clients}_per_second"), &Series::of(written.rates.clone()));
    report
        .series(&format!("{name}_{clients}_latency_ms"), &Series::of(written.latencies_ms.clone()));
    report.series(&format!("{name}_{clients}_cpu_us"), &Series::of(written.cpu_us.clone()));
    report.number(&format!("{name}_{clients}_failed"), written.failed as f64);
}

async fn declare(cluster: &Cluster, clients: u64, endpoints: u32) -> Result<()> {
    cluster.api.apply_zone(spec::zone()).await?;
    for client in 0..clients {
        let pools = vec![pool("a", 10, (0..endpoints).map(|place| endpoint(place, 1)).collect())];
        cluster
            .api
            .apply_service(spec::service(&service(client), pools, spec::heartbeat()))
            .await?;
    }
    Ok(())
}

fn service(client: u64) -> String {
    format!("reg{client:03}")
}

fn endpoint(place: u32, port: u16) -> pb::Endpoint {
    let ip = IpAddr::V4(Ipv4Addr::from(0x0A00_0000 + place));
    spec::endpoint(&format!("e-{place:03}"), SocketAddr::new(ip, port))
}

/// The members, the leader first.
fn leader_first(addresses: Vec<SocketAddr>, leader: usize) -> Vec<SocketAddr> {
    let mut addresses = addresses;
    addresses.rotate_left(leader);
    addresses
}

async fn agents(args: &Args, cluster: &Cluster, clients: u64, written: &mut Written) -> Result<()> {
    let addresses = cluster.agents.iter().map(|agent| agent.addresses.api).collect();
    let addresses = leader_first(addresses, cluster.leader().await?);
    let endpoints = args.endpoints;
    let mut writers = JoinSet::new();
    let begin = begin(args);
    let before: f64 = cluster.pids().into_iter().map(cpu_us).sum();
    for (client, address) in (0..clients).zip(addresses.into_iter().cycle()) {
        let mut registry = RegistryServiceClient::new(cluster.api.channel(address)?);
        writers.spawn(write(begin, async move |count| {
            register(&mut registry, client, place_of(count, endpoints)).await
        }));
    }
    gather(writers, args, written).await?;
    let after: f64 = cluster.pids().into_iter().map(cpu_us).sum();
    written.note_cpu(after - before, args);
    Ok(())
}

async fn register(
    registry: &mut RegistryServiceClient<Channel>,
    client: u64,
    place: u32,
) -> Result<()> {
    let port = u16::try_from(2 + rand::random_range(0..60_000)).expect("it is below 65536");
    let request = pb::RegisterEndpointRequest {
        request_id: request_id(),
        service: service(client),
        pool: "a".into(),
        endpoint: Some(endpoint(place, port)),
    };
    registry.register_endpoint(named(&format!("writer-{client}"), request)?).await?;
    Ok(())
}

/// The endpoint that the n-th write is about.
fn place_of(count: u64, endpoints: u32) -> u32 {
    u32::try_from(count % u64::from(endpoints)).expect("it is below a number of 32 bits")
}

async fn members(args: &Args, etcd: &mut Etcd, clients: u64, written: &mut Written) -> Result<()> {
    let leader = etcd.leader().await?;
    let addresses = leader_first(etcd.clients.clone(), leader);
    let endpoints = args.endpoints;
    let mut writers = JoinSet::new();
    let begin = begin(args);
    let spent =
        |etcd: &Etcd| etcd.processes.iter().map(|process| cpu_us(process.id())).sum::<f64>();
    let before = spent(etcd);
    for (client, address) in (0..clients).zip(addresses.into_iter().cycle()) {
        let mut store = etcd::Client::new(address)?;
        writers.spawn(write(begin, async move |count| {
            let key =
                format!("/registrations/{}/e-{:03}", service(client), place_of(count, endpoints));
            let value: Vec<u8> = (0..VALUE_BYTES).map(|_| rand::random()).collect();
            store.put(key, value).await?;
            Ok(())
        }));
    }
    gather(writers, args, written).await?;
    written.note_cpu(spent(etcd) - before, args);
    Ok(())
}

/// When a measurement begins and ends: connections are made before.
fn begin(args: &Args) -> (Instant, Instant) {
    let begin = Instant::now() + Duration::from_millis(500);
    (begin, begin + Duration::from_secs(args.seconds))
}

/// Writes once to connect, then from the beginning to the end; returns the latencies and how many writes failed.
async fn write(
    (begin, end): (Instant, Instant),
    mut one: impl AsyncFnMut(u64) -> Result<()>,
) -> Result<(Vec<f64>, u64)> {
    one(0).await.context("the first write, which is not counted")?;
    tokio::time::sleep_until(begin).await;
    let (mut latencies, mut failed, mut count) = (Vec::new(), 0, 0);
    while Instant::now() < end {
        count += 1;
        let began = Instant::now();
        match one(count).await {
            Ok(()) => latencies.push(ms(began.elapsed())),
            Err(error) => {
                if failed == 0 {
                    eprintln!("a write failed: {error:#}");
                }
                failed += 1;
            }
        }
    }
    Ok((latencies, failed))
}

async fn gather(
    mut writers: JoinSet<Result<(Vec<f64>, u64)>>,
    args: &Args,
    written: &mut Written,
) -> Result<()> {
    let mut count = 0_usize;
    while let Some(writer) = writers.join_next().await {
        let (latencies, failed) = writer??;
        count += latencies.len();
        written.failed += failed;
        written.latencies_ms.extend(latencies);
    }
    written.rates.push(count as f64 / args.seconds as f64);
    Ok(())
}

impl Written {
    /// Notes the servers' processor time per write of the last round.
    fn note_cpu(&mut self, spent_us: f64, args: &Args) {
        let writes = self.rates.last().copied().unwrap_or_default() * args.seconds as f64;
        self.cpu_us.push(spent_us / writes.max(1.0));
    }
}
