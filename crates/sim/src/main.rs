//! The simulation from the command line. Exit codes: 0 everything held, 1 something did not, 2 wrong usage.

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use holdfast_sim::children::{self, Batch};
use holdfast_sim::{Options, Sabotage};
use tracing_subscriber::EnvFilter;

/// Runs the real agent three times in a world that one seed decides.
#[derive(Parser)]
#[command(name = "holdfast-sim", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs seeds, each in a process of its own, and prints a line for each.
    Run(Seeds),
    /// Runs each seed twice and compares the traces byte by byte.
    Meta(Seeds),
    /// Runs one seed and prints its trace. `RUST_LOG` shows the agents' logs as well.
    Replay(Seed),
    /// Runs one seed in this process and prints its line.
    #[command(hide = true)]
    One(Seed),
}

#[derive(Args)]
struct Seeds {
    /// How many seeds.
    #[arg(long, default_value_t = 20)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// For how many virtual seconds there are faults.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Processes at a time; as many as there are processors by default.
    #[arg(long)]
    jobs: Option<usize>,
}

#[derive(Args)]
struct Seed {
    /// The seed.
    #[arg(long)]
    seed: u64,
    /// For how many virtual seconds there are faults; part of what the seed decides.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Puts a defect in on purpose, to see that it is found.
    #[arg(long, hide = true)]
    sabotage: Option<Sabotage>,
}

fn main() -> anyhow::Result<ExitCode> {
    let passed = match Cli::parse().command {
        Command::Run(seeds) => runtime()?.block_on(children::run(seeds.batch()))?,
        Command::Meta(seeds) => runtime()?.block_on(children::meta(seeds.batch()))?,
        Command::Replay(seed) => {
            show_logs();
            one(&seed, true)
        }
        Command::One(seed) => one(&seed, false),
    };
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Seeds {
    fn batch(&self) -> Batch {
        let processors = || std::thread::available_parallelism().map_or(1, usize::from);
        let jobs = self.jobs.unwrap_or_else(processors).max(1);
        Batch { first: self.first, seeds: self.seeds, seconds: self.seconds, jobs }
    }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

fn one(seed: &Seed, show: bool) -> bool {
    let Seed { seed, seconds, sabotage } = *seed;
    let options = Options { seed, seconds, show, sabotage };
    let report = holdfast_sim::run(options);
    println!("{report}");
    report.failure.is_none()
}

/// Shows the agents' logs where `RUST_LOG` asks for them.
fn show_logs() {
    let Ok(filter) = EnvFilter::try_from_default_env() else { return };
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Without a time: the trace has the virtual one, and the real one would differ from run to run.
    logs.without_time().init();
}
