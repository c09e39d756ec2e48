//! DNS answers: how many a second, at what cost, how soon, and in how much memory, beside other servers.
//!
//! ```text
//! for each number of names: every server has the same zones, pinned to one processor; the generator has the other
//!   rounds ─▶ each kind of question ─▶ every server in turn, shuffled      answers/s, processor time per answer
//!   then   ─▶ 20,000 questions a second to every server in turn            p50, p99
//!   then   ─▶ dnsperf, as a witness                                        answers/s
//! and at the most names: the same pace with and without a load on the rest of the agent            p50, p99, p99.9
//!     updates    services that change                   probes    endpoints that are probed
//!     elections  leaders that follow one another among three agents
//! ```
//!
//! What counts is the ratio to the peer in the same round; medians of at least five rounds are told with the smallest
//! and the largest. A round in which others used more than a tenth of a processor is repeated, and told as disturbed
//! where it stays so. Wrong answers end the benchmark.

mod elections;
mod figures;
mod kind;
mod pairs;
mod probes;
mod server;
mod swap;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use rand::seq::SliceRandom as _;

use self::elections::Elections;
use self::figures::{Figures, Trial, Waits};
use self::kind::Kind;
use self::pairs::Pairs;
use self::probes::Probes;
use self::server::Field;
use self::swap::Swap;
use crate::Place;
use crate::load::{Question, dnsperf, on_cpu, paced};
use crate::peer::DnsPeer;
use crate::process::{Others, proportional_bytes, require};
use crate::report::Report;

/// Where the servers run.
const SERVER_CPU: usize = 0;
/// Where the generators run.
const CLIENT_CPU: usize = 1;
/// Processors that others may use during a round.
const OTHERS: f64 = 0.1;
/// How often a round is tried for the sake of quiet.
const ATTEMPTS: usize = 3;
/// Questions per second at which waits are measured.
const PACE: u32 = 20_000;

/// Arguments of `dns`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Measured beside Holdfast.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "nsd,gdnsd")]
    peer: Vec<DnsPeer>,
    /// Names served; each number is a run of its own.
    #[arg(long, value_delimiter = ',', default_value = "1000,100000")]
    names: Vec<usize>,
    /// What is asked.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "a,aaaa,nxdomain,mixed,edns,tcp"
    )]
    kinds: Vec<Kind>,
    /// How often each server is measured, in an order that is shuffled each time.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// How long each measurement takes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
    /// Threads of Holdfast's DNS server; 0 is the agent's own.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Changes of services per second while waits are measured at the most names; 0 leaves that out.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(0..=1000))]
    updates: u32,
    /// Endpoints probed every 100 ms while waits are measured at the most names; 0 leaves that out.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=2000))]
    probes: u32,
    /// Elections per second among three agents while waits are measured at the most names; 0 leaves that out.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100))]
    elections: u32,
}

impl Args {
    fn span(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    fn check(&self) -> Result<()> {
        require(&["dnsperf", "taskset"])?;
        if self.names.iter().any(|names| *names == 0 || *names > kind::MOST_NAMES) {
            bail!("1 to {} names have addresses of their own", kind::MOST_NAMES);
        }
        let processors = std::thread::available_parallelism()?.get();
        if processors <= CLIENT_CPU {
            bail!("server and generator need a processor each, and there is {processors}");
        }
        Ok(())
    }
}

/// Measures.
pub(crate) async fn run(args: &Args, place: &Place) -> Result<Report> {
    args.check()?;
    let mut figures = Figures::default();
    let (signed, plain): (Vec<Kind>, Vec<Kind>) =
        args.kinds.iter().copied().partition(|kind| *kind == Kind::Signed);
    let most = args.names.iter().max().copied().unwrap_or_default();
    for names in &args.names {
        for (signed, kinds) in [(false, &plain), (true, &signed)] {
            if kinds.is_empty() {
                continue;
            }
            let field = Field::set(args, place, *names, signed).await?;
            let mut run = Run { args, field, names: *names, figures: &mut figures };
            run.rates(kinds).await?;
            if !signed {
                run.waits().await?;
                run.witness().await?;
                run.memory()?;
                if *names == most {
                    run.loads().await?;
                }
            }
        }
    }
    if args.elections > 0 {
        let field = Field::of_agents(args, place, most, elections::AGENTS).await?;
        let mut elections = Elections::among(args, &field, most)?;
        figures.add_load(Pairs::measure(args.rounds, &mut elections).await?);
    }
    Ok(figures.report(args))
}

/// One number of names.
struct Run<'a> {
    args: &'a Args,
    field: Field,
    names: usize,
    figures: &'a mut Figures,
}

impl Run<'_> {
    async fn rates(&mut self, kinds: &[Kind]) -> Result<()> {
        let questions: Vec<(Kind, Arc<Vec<Question>>)> = kinds
            .iter()
            .map(|kind| Ok((*kind, Arc::new(kind.questions(self.names)?))))
            .collect::<Result<_>>()?;
        for (kind, questions) in &questions {
            self.field.warm_up(*kind, questions).await?;
        }
        for round in 1..=self.args.rounds {
            for (kind, questions) in &questions {
                self.round(round, *kind, questions).await?;
            }
        }
        Ok(())
    }

    /// Measures every server once, and again where others disturbed it.
    async fn round(
        &mut self,
        round: u32,
        kind: Kind,
        questions: &Arc<Vec<Question>>,
    ) -> Result<()> {
        let measure = async || {
            let mut trials = BTreeMap::new();
            for server in self.shuffled() {
                let trial = self.field.measure(server, kind, questions, self.args.span()).await?;
                trials.insert(self.field.servers[server].name, trial);
            }
            Ok(trials)
        };
        let (trials, others) = undisturbed(measure).await?;
        self.figures.rounds += 1;
        self.figures.disturbed += u32::from(others > OTHERS);
        for (server, trial) in trials {
            let Trial { rate, cpu_us, lost } = trial;
            eprintln!(
                "{} names, {}, round {round}: {server} {rate:.0}/s, {cpu_us:.2} us each, {lost} lost, others {others:.2}",
                self.names,
                kind.name(),
            );
            self.figures.trials.entry((self.names, kind.name(), server)).or_default().push(trial);
        }
        Ok(())
    }

    /// The places of all servers in random order.
    fn shuffled(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.field.servers.len()).collect();
        order.shuffle(&mut rand::rng());
        order
    }

    async fn waits(&mut self) -> Result<()> {
        let questions = Arc::new(Kind::A.questions(self.names)?);
        for _ in 0..self.args.rounds {
            for place in self.shuffled() {
                let server = &self.field.servers[place];
                let waits = pace(server, &questions, self.args.span()).await?;
                self.figures.waits.entry((self.names, server.name)).or_default().push(waits);
            }
        }
        Ok(())
    }

    async fn witness(&mut self) -> Result<()> {
        let file = kind::file(self.field.cluster.dir(), self.names)?;
        for server in &self.field.servers {
            let said = dnsperf::run(server.address, CLIENT_CPU, &file, self.args.span()).await?;
            self.figures.witness.insert((self.names, server.name), said);
        }
        Ok(())
    }

    /// Waits under loads on one agent.
    async fn loads(&mut self) -> Result<()> {
        let Self { args, field, names, figures } = self;
        if args.probes > 0 {
            let mut probes = Probes::set(args, field, *names).await?;
            figures.add_load(Pairs::measure(args.rounds, &mut probes).await?);
            probes.stop().await?;
        }
        if args.updates > 0 {
            let mut swap = Swap::set(args, field, *names).await?;
            figures.add_load(Pairs::measure(args.rounds, &mut swap).await?);
        }
        Ok(())
    }

    fn memory(&mut self) -> Result<()> {
        for server in &self.field.servers {
            let bytes = proportional_bytes(server.pid)?;
            self.figures.memory.insert((self.names, server.name), bytes);
        }
        Ok(())
    }
}

/// Measures until others leave the processors alone, [`ATTEMPTS`] times at the most; returns what came of the last
/// time, and the processors that others used then.
async fn undisturbed<T>(mut measure: impl AsyncFnMut() -> Result<T>) -> Result<(T, f64)> {
    let mut attempts = 1;
    loop {
        let watch = Others::watch();
        let measured = measure().await?;
        let others = watch.processors();
        if others <= OTHERS || attempts == ATTEMPTS {
            return Ok((measured, others));
        }
        attempts += 1;
    }
}

/// Asks a server at the pace.
async fn pace(
    server: &server::Server,
    questions: &Arc<Vec<Question>>,
    span: Duration,
) -> Result<Waits> {
    pace_beside(server, questions, span, || Ok(())).await
}

/// The same, while the generator has something else to do between questions.
async fn pace_beside(
    server: &server::Server,
    questions: &Arc<Vec<Question>>,
    span: Duration,
    between: impl FnMut() -> Result<()> + Send + 'static,
) -> Result<Waits> {
    let (address, questions) = (server.address, Arc::clone(questions));
    let ask = move || paced::run(address, &questions, PACE, span, between);
    let paced = on_cpu(CLIENT_CPU, ask).await?;
    if paced.wrong > 0 {
        bail!("{} gave {} wrong answers", server.name, paced.wrong);
    }
    Ok(Waits::of(paced))
}
