//! Queries per second over UDP: the same zone in each server, server and client pinned to one processor each.
//!
//! dnsperf itself saturates near 250,000 queries per second, so processor time per query is told as well: it goes on
//! telling servers apart where the rate cannot.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;
use hickory_proto::rr::Name;
use rand::seq::SliceRandom as _;

use crate::ask::Asker;
use crate::cluster::{Cluster, Shape};
use crate::peer::gdnsd::Gdnsd;
use crate::peer::nsd;
use crate::process::{Process, cpu_us, require};
use crate::report::Report;
use crate::spec::{self, ZONE};
use crate::stat::Series;
use crate::{Place, port};

/// Where the servers run.
const SERVER_CPU: usize = 0;
/// Where the client runs.
const CLIENT_CPU: &str = "1";
/// The names of one zone: what one request may carry. Our names are in zones of this many, the peers' all in one.
const ZONE_NAMES: usize = 10_000;
/// The most names that addresses are made for.
const MOST_NAMES: usize = 1 << 20;

/// Arguments of `dns`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Measured beside Holdfast.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "nsd,gdnsd")]
    peer: Vec<Peer>,
    /// Names in the zone.
    #[arg(long, default_value_t = 1000)]
    names: usize,
    /// How often each server is measured, in an order that is shuffled each time.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How long each measurement takes.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Threads of Holdfast's DNS server; 0 is the agent's own.
    #[arg(long, default_value_t = 1)]
    threads: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Peer {
    Nsd,
    Gdnsd,
}

/// A server under test.
struct Server {
    name: &'static str,
    address: SocketAddr,
    pid: u32,
    results: [Results; 2],
}

#[derive(Default)]
struct Results {
    rate: Vec<f64>,
    cpu: Vec<f64>,
    lost: f64,
}

/// The two workloads: names that exist, and names that do not.
const WORKLOADS: [&str; 2] = ["hits", "nxdomain"];

/// Measures.
pub(crate) async fn run(args: &Args, place: &Place) -> Result<Report> {
    require(&["dnsperf", "taskset"])?;
    if args.names == 0 || args.names > MOST_NAMES {
        bail!("1 to {MOST_NAMES} names have addresses of their own");
    }
    let records: Vec<(String, Ipv4Addr)> =
        (0..args.names).map(|n| (host('h', n), address(n))).collect();
    let shape = Shape { agents: 1, dns_threads: args.threads, cpu: Some(SERVER_CPU) };
    let cluster = Cluster::start(place, &shape).await?;
    for (number, records) in records.chunks(ZONE_NAMES).enumerate() {
        cluster.api.apply_zone(spec::zone_at(&zone(number), records)).await?;
    }
    let (last, expected) = records.last().context("there is a name")?;
    let name = Name::from_ascii(format!("{last}."))?;
    let own = cluster.dns()[0];
    Asker::new(own).await?.await_answer(&name, *expected, Duration::from_secs(20)).await?;

    let (_processes, mut servers) = start_peers(args, &cluster, &records).await?;
    servers.push(Server {
        name: "holdfast",
        address: own,
        pid: cluster.pids()[0],
        results: Default::default(),
    });
    let files =
        [questions(cluster.dir(), 'h', args.names)?, questions(cluster.dir(), 'n', args.names)?];
    for round in 1..=args.rounds {
        servers.shuffle(&mut rand::rng());
        for server in &mut servers {
            for (file, results) in files.iter().zip(&mut server.results) {
                let (rate, cpu, lost) =
                    measure(server.address, server.pid, file, args.seconds).await?;
                eprintln!(
                    "round {round}: {} {rate:.0}/s, {cpu:.2} us each, {lost:.0} lost",
                    server.name
                );
                results.rate.push(rate);
                results.cpu.push(cpu);
                results.lost += lost;
            }
        }
    }
    Ok(report(args, &mut servers))
}

async fn start_peers(
    args: &Args,
    cluster: &Cluster,
    records: &[(String, Ipv4Addr)],
) -> Result<(Vec<Process>, Vec<Server>)> {
    let (mut processes, mut servers) = (Vec::new(), Vec::new());
    let known = &records[0].0;
    for peer in &args.peer {
        let listen = port::local()?;
        let (name, process) = match peer {
            Peer::Nsd => {
                ("nsd", nsd::start(cluster.dir(), listen, records, known, Some(SERVER_CPU)).await?)
            }
            Peer::Gdnsd => {
                let gdnsd = Gdnsd { listen, records, failover: None, cpu: Some(SERVER_CPU) };
                ("gdnsd", gdnsd.start(cluster.dir(), known).await?)
            }
        };
        servers.push(Server {
            name,
            address: listen,
            pid: process.id(),
            results: Default::default(),
        });
        processes.push(process);
    }
    Ok((processes, servers))
}

fn host(letter: char, number: usize) -> String {
    format!("{letter}{number:06}.{}", zone(number / ZONE_NAMES))
}

fn zone(number: usize) -> String {
    format!("s{number:02}.{ZONE}")
}

fn address(number: usize) -> Ipv4Addr {
    let [_, a, b, c] = u32::try_from(number).unwrap_or_default().to_be_bytes();
    Ipv4Addr::new(10, a, b, c)
}

/// A file of questions in random order.
fn questions(dir: &Path, letter: char, names: usize) -> Result<PathBuf> {
    let mut places: Vec<usize> = (0..names).collect();
    places.shuffle(&mut rand::rng());
    let mut text = String::new();
    for place in places {
        writeln!(text, "{} A", host(letter, place))?;
    }
    let path = dir.join(format!("questions-{letter}"));
    std::fs::write(&path, text)?;
    Ok(path)
}

/// Queries per second, processor time per query in microseconds, and questions that were lost.
async fn measure(
    server: SocketAddr,
    pid: u32,
    file: &Path,
    seconds: u64,
) -> Result<(f64, f64, f64)> {
    let before = cpu_us(pid);
    let (ip, port, seconds) =
        (server.ip().to_string(), server.port().to_string(), seconds.to_string());
    let output = tokio::process::Command::new("taskset")
        .args([
            "-c", CLIENT_CPU, "dnsperf", "-s", &ip, "-p", &port, "-l", &seconds, "-c", "8", "-T",
            "1", "-q", "200",
        ])
        .arg("-d")
        .arg(file)
        .kill_on_drop(true)
        .output()
        .await?;
    let spent = cpu_us(pid) - before;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        bail!("dnsperf ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    let completed = field(&text, "Queries completed:")?;
    Ok((
        field(&text, "Queries per second:")?,
        spent / completed.max(1.0),
        field(&text, "Queries lost:")?,
    ))
}

/// The number after a label in what dnsperf prints.
fn field(text: &str, label: &str) -> Result<f64> {
    let line = text.lines().find_map(|line| line.trim().strip_prefix(label));
    let number = line.and_then(|rest| rest.split_whitespace().next());
    Ok(number.with_context(|| format!("dnsperf printed no {label:?}"))?.parse()?)
}

fn report(args: &Args, servers: &mut [Server]) -> Report {
    servers.sort_by_key(|server| server.name);
    let mut report = Report::new("dns");
    report.number("names", args.names as f64);
    report.number("threads", args.threads as f64);
    for (place, workload) in WORKLOADS.iter().enumerate() {
        let mut rates = Vec::new();
        for server in servers.iter() {
            let results = &server.results[place];
            let (rate, cpu) = (Series::of(results.rate.clone()), Series::of(results.cpu.clone()));
            report.series(&format!("{}_{workload}_per_second", server.name), &rate);
            report.series(&format!("{}_{workload}_cpu_us", server.name), &cpu);
            report.number(&format!("{}_{workload}_lost", server.name), results.lost);
            rates.push((server.name, rate.median(), cpu.median()));
        }
        let own = rates
            .iter()
            .find(|(name, ..)| *name == "holdfast")
            .copied()
            .unwrap_or(("holdfast", 0.0, 0.0));
        for (name, rate, cpu) in rates.into_iter().filter(|(name, ..)| *name != "holdfast") {
            report.number(&format!("ratio_{name}_{workload}"), own.1 / rate);
            report.number(&format!("cpu_ratio_{name}_{workload}"), own.2 / cpu);
        }
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_dnsperf_prints() {
        let text = "Statistics:\n\n  Queries sent:         1000\n  Queries lost:         3 (0.30%)\n  Queries per second:   5123.25\n";
        assert_eq!(field(text, "Queries lost:").expect("it is there"), 3.0);
        assert_eq!(field(text, "Queries per second:").expect("it is there"), 5123.25);
        assert!(field(text, "Queries interrupted:").is_err());
    }

    #[test]
    fn names_have_addresses_of_their_own() {
        assert_eq!(address(258), Ipv4Addr::new(10, 0, 1, 2));
        assert_eq!(host('h', 7), "h000007.s00.bench.test");
    }
}
