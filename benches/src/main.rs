//! Side-by-side benchmarks: Holdfast and real peers, on the same machine, in the same run.
//!
//! ```text
//! holdfast-bench failover --peer gdnsd      fault ─▶ new answer, one fault seen by both
//! holdfast-bench leader-failover            the same with the leader killed at that moment
//! holdfast-bench mass                       thousands of services whose region dies
//! holdfast-bench dns --peer nsd,gdnsd       answers per second, their cost and their time, one core each
//! holdfast-bench registrations --peer etcd  durable writes, three nodes each
//! ```
//!
//! What counts is the ratio within one run: machines are noisy. Everything listens on loopback, every server is a
//! child process that is killed by its id at the end, on failure and on a signal as well, and every run has an end.
//!
//! What it deliberately does not do: judge. A goal that is missed is printed as missed and the exit code stays 0.

mod api;
mod ask;
mod bench;
mod cluster;
mod load;
mod peer;
mod port;
mod process;
mod report;
mod site;
mod spec;
mod stat;
mod wall;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::{Parser, Subcommand, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

/// The longest that any benchmark may run.
const LONGEST_RUN: Duration = Duration::from_secs(3600);

/// Benchmarks of Holdfast against real peers.
#[derive(Debug, Parser)]
#[command(name = "holdfast-bench")]
struct Cli {
    #[command(subcommand)]
    bench: Bench,
    /// How the result is printed: `json` adds one line of JSON at the end.
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Text)]
    output: Format,
    #[command(flatten)]
    place: Place,
}

/// Where and with what.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Place {
    /// The holdfast binary.
    #[arg(long, global = true, env = "HOLDFAST_BIN", default_value = "target/release/holdfast")]
    pub binary: PathBuf,
    /// Data directories are made under this one; it should lie on a real disk.
    #[arg(long, global = true, default_value = "target")]
    pub dir: PathBuf,
    /// Keep the data directories and logs.
    #[arg(long, global = true)]
    pub keep: bool,
    /// The agents speak mutual TLS instead of clear text.
    #[arg(long, global = true)]
    pub tls: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// From a killed HTTP server to the new answer.
    Failover(bench::failover::Args),
    /// From an HTTP server and the leader killed at once to the new answer.
    LeaderFailover(bench::leader::Args),
    /// Many services whose first pools die together.
    Mass(bench::mass::Args),
    /// DNS answers per second, their cost, and how long they take.
    Dns(bench::dns::Args),
    /// Durable registrations per second.
    Registrations(bench::registrations::Args),
    /// Serves HTTP until killed: what is killed in the benchmarks.
    #[command(hide = true)]
    Site(site::Args),
}

#[tokio::main]
async fn main() -> Result<()> {
    let cli = Cli::parse();
    let mut term = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // Dropping the future drops the children's owners, which kills them.
    let ran = tokio::select! {
        ran = tokio::time::timeout(LONGEST_RUN, run(&cli)) => ran.context("the benchmark did not end in time")?,
        _ = term.recv() => bail!("stopped by a signal"),
        _ = interrupt.recv() => bail!("stopped by a signal"),
    };
    let Some(report) = ran? else { return Ok(()) };
    print!("{}", report.text());
    if cli.output == Format::Json {
        println!("{}", report.json());
    }
    Ok(())
}

async fn run(cli: &Cli) -> Result<Option<report::Report>> {
    let place = &cli.place;
    match &cli.bench {
        Bench::Failover(args) => bench::failover::run(args, place).await.map(Some),
        Bench::LeaderFailover(args) => bench::leader::run(args, place).await.map(Some),
        Bench::Mass(args) => bench::mass::run(args, place).await.map(Some),
        Bench::Dns(args) => bench::dns::run(args, place).await.map(Some),
        Bench::Registrations(args) => bench::registrations::run(args, place).await.map(Some),
        Bench::Site(args) => site::serve(args).await.map(|()| None),
    }
}
