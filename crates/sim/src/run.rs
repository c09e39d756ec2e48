//! One run, from a seed to a verdict: calm, faults, calm, and the reckoning.
//!
//! ```text
//! form ─▶ declare ─▶ a failover, timed ─▶ rounds of faults, clients at work ─▶ mend ─▶ agree ─▶ a failover, timed ─▶ reckon
//! ```
//!
//! Everything runs on one thread under tokio's paused clock, and every choice is drawn from the seed: the network's,
//! the world's, tokio's scheduler's, Raft's election timeouts. It takes `--cfg
//! tokio_unstable` (.cargo/config.toml), without which tokio's scheduler has no seed. One run per process: some libraries keep a counter for
//! the whole process that decides small things.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use holdfast_core::Command;
use holdfast_core::audit::Hash;
use tokio::runtime::{Builder, RngSeed};

use crate::catalogue;
use crate::clients;
use crate::history::{Count, History};
use crate::liveness;
use crate::machine::Machine;
use crate::nemesis::{self, Machines};
use crate::oracle::Tally;
use crate::plan::Plan;
use crate::sabotage::Sabotage;
use crate::stage::Stage;
use crate::trace::{Trace, note};

/// Beyond the faults, a run lasts at most so long; more means that something waits for ever.
const LONGEST_CALM: Duration = Duration::from_secs(300);

/// What is to be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// The seed that everything is derived from.
    pub seed: u64,
    /// For how many virtual seconds there are faults.
    pub seconds: u64,
    /// Whether every line of the trace is printed.
    pub show: bool,
    /// A defect put in on purpose, to see that it is found.
    pub sabotage: Option<Sabotage>,
}

/// What became of a run. Says nothing of the process that ran it, so that equal runs give equal reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// What did not hold, where anything did not.
    pub failure: Option<String>,
    /// The hash over the trace.
    pub trace: Hash,
    /// The lines of the trace.
    pub events: u64,
    tally: Tally,
    count: Count,
    timed: [Duration; 2],
    agreed: Duration,
    coverage: String,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.failure.is_none() { "passed" } else { "FAILED" };
        let trace = &self.trace.to_string()[..16];
        write!(f, "seed {} {verdict} trace {trace} events {}", self.seed, self.events)?;
        let Tally { elections, failovers, views, answers } = self.tally;
        write!(f, " elections {elections} failovers {failovers} views {views} answers {answers}")?;
        let Count { acknowledged, open, replays, reads } = self.count;
        write!(f, " acknowledged {acknowledged} open {open} replays {replays} reads {reads}")?;
        let [before, after] = self.timed.map(|took| took.as_millis());
        write!(f, " failover {before}/{after}ms agreement {}ms", self.agreed.as_millis())?;
        write!(f, " faults{}", self.coverage)?;
        match &self.failure {
            Some(why) => write!(f, "\n  {why}"),
            None => Ok(()),
        }
    }
}

/// What was measured on the way.
#[derive(Default)]
struct Measured {
    timed: [Duration; 2],
    agreed: Duration,
}

/// Runs one seed. One per process.
pub fn run(options: Options) -> Report {
    let panics = Panics::hear();
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&options.seed.to_le_bytes());
    let mut builder = Builder::new_current_thread();
    builder.enable_time().start_paused(true).rng_seed(RngSeed::from_bytes(&seed));
    let runtime = builder.build().expect("a runtime without I/O needs nothing of the system");
    let report = runtime.block_on(holdfast_consensus::with_seed(options.seed, simulate(options)));
    drop(runtime);
    let failure = report.failure.clone().or_else(|| panics.first());
    Report { failure, ..report }
}

async fn simulate(options: Options) -> Report {
    let trace = Trace::new(options.show);
    let plan = Plan { sabotage: options.sabotage, ..Plan::new(options.seed, options.seconds) };
    note!(trace, "{plan}");
    let stage = Arc::new(Stage::new(plan, trace.clone()));
    let history = History::default();
    let mut measured = Measured::default();
    let limit = Duration::from_secs(options.seconds) + LONGEST_CALM;
    let ended = tokio::select! {
        biased;
        why = stage.oracle.broken() => Err(why),
        ended = tokio::time::timeout(limit, script(&stage, &history, &mut measured)) => {
            ended.unwrap_or_else(|_| Err(format!("the run does not end; {}", stage.standing())))
        }
    };
    if let Err(why) = &ended {
        note!(trace, "FAILED {why}");
    }
    let (hash, events) = trace.digest();
    Report {
        seed: options.seed,
        failure: ended.err(),
        trace: hash,
        events,
        tally: stage.oracle.tally(),
        count: history.count(),
        timed: measured.timed,
        agreed: measured.agreed,
        coverage: stage.coverage.to_string(),
    }
}

async fn script(
    stage: &Arc<Stage>,
    history: &History,
    measured: &mut Measured,
) -> Result<(), String> {
    let mut machines = Machines::new();
    for id in Stage::agents() {
        let mut machine = Machine::new(id, &stage.plan)?;
        machine.start(stage).await?;
        machines.insert(id, machine);
    }
    liveness::formation(stage).await?;
    declare_everything(stage).await?;
    liveness::recovery(stage).await?;
    measured.timed[0] = liveness::failover(stage).await?;

    let clients = clients::begin(stage, history);
    nemesis::play(stage, &mut machines).await?;
    drop(clients);
    nemesis::mend(stage, &mut machines).await?;
    measured.agreed = liveness::agreement(stage).await?;
    liveness::recovery(stage).await?;
    measured.timed[1] = liveness::failover(stage).await?;
    liveness::agreement(stage).await?;
    reckon(stage, history)
}

async fn declare_everything(stage: &Stage) -> Result<(), String> {
    let zone = Command::ApplyZone { zone: catalogue::zone(), if_revision: None };
    clients::declare(stage, 1, zone).await?;
    for (number, service) in (2..).zip(stage.services.iter()) {
        let command = Command::ApplyService { service: service.clone(), if_revision: None };
        clients::declare(stage, number, command).await?;
    }
    Ok(())
}

/// Holds what clients were told against what is there, and asks whether the run proved anything.
fn reckon(stage: &Stage, history: &History) -> Result<(), String> {
    let (_, live) = stage.running().into_iter().next().ok_or("nobody runs")?;
    history.check(&stage.oracle.chain(), &live.view())?;
    let missed = stage.coverage.missed();
    if !missed.is_empty() {
        return Err(format!("the run did not exercise {}", missed.join(", ")));
    }
    let (tally, count) = (stage.oracle.tally(), history.count());
    if tally.failovers == 0 || tally.elections == 0 || count.acknowledged == 0 || count.reads == 0 {
        return Err(format!("the run proved nothing: {tally:?} {count:?}"));
    }
    Ok(())
}

/// Panics of any task. Tasks are begun again after one, so it would otherwise pass unnoticed.
#[derive(Clone, Default)]
struct Panics(Arc<Mutex<Option<String>>>);

impl Panics {
    fn hear() -> Self {
        let panics = Self::default();
        let heard = panics.clone();
        std::panic::set_hook(Box::new(move |panic| {
            let mut first = heard.0.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert_with(|| format!("a task panicked: {panic}"));
        }));
        panics
    }

    fn first(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
