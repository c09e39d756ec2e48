//! The leader is killed and an endpoint fails at the same moment: an election and a failover at once.

use std::time::Duration;

use anyhow::Result;
use tokio::time::Instant;

use super::stage::{B, Stage, Trials, anywhere_within, watch};
use crate::Place;
use crate::report::{Bound, Report};
use crate::spec::Probing;
use crate::stat::ms;
use crate::wall::Anchor;

/// Arguments of `leader-failover`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How often both are killed.
    #[arg(long, default_value_t = 5)]
    trials: u32,
    /// From one probe to the next.
    #[arg(long, default_value = "1s", value_parser = super::duration)]
    interval: Duration,
    /// The gap between probes while an observer makes up its mind.
    #[arg(long, default_value = "100ms", value_parser = super::duration)]
    confirm: Duration,
}

/// Measures.
pub(crate) async fn run(args: &Args, place: &Place) -> Result<Report> {
    let probing = Probing {
        interval: args.interval,
        timeout: args.interval / 2,
        confirm: args.confirm,
        fall: 3,
    };
    let mut stage = Stage::set(place, probing).await?;
    let mut trials = Trials::default();
    for trial in 1..=args.trials {
        stage.settled().await?;
        anywhere_within(args.interval).await;
        let before = stage.cluster.api.audit_length().await?;
        let leader = stage.cluster.leader().await?;
        let dead = stage.cluster.agents[leader].addresses.dns;
        let survivors = stage.cluster.dns().into_iter().filter(|server| *server != dead).collect();
        let name = stage.name.clone();
        let look = tokio::spawn(async move { watch(survivors, &name, B).await });
        let fault = (Anchor::take(), Instant::now());
        stage.break_a()?;
        stage.cluster.kill(leader);
        let seen = look.await??;
        stage.note(&mut trials, fault, &seen, before).await?;
        eprintln!("trial {trial}: {:.0} ms", trials.every.last().copied().unwrap_or_default());
        stage.mend_a().await?;
        stage.cluster.restart(leader).await?;
    }
    let mut report = Report::new("leader-failover");
    report.number("interval_ms", ms(args.interval));
    let series = trials.series();
    for (name, series) in &series {
        report.series(name, series);
    }
    report.goal("the slowest new answer, ms", Bound::AtMost(2500.0), series[1].1.max());
    Ok(report)
}
