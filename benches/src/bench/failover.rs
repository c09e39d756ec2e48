//! From a killed HTTP server to the new answer over UDP. With a peer, one fault is seen by both at once.

use std::time::Duration;

use anyhow::{Result, bail};
use clap::ValueEnum;
use tokio::time::Instant;

use super::stage::{A, B, SERVICE, Stage, Trials, anywhere_within, watch};
use crate::Place;
use crate::peer::Served;
use crate::peer::gdnsd::{self, Failover};
use crate::peer::zones::ZoneData;
use crate::port;
use crate::process::Process;
use crate::report::{Bound, Report};
use crate::spec::{Probing, ZONE};
use crate::stat::{Series, ms};
use crate::wall::Anchor;

/// Failures in a row before an endpoint is down, for both.
const FALL: u32 = 3;
/// The intervals for which goals are set.
const SECOND: Duration = Duration::from_secs(1);

/// Arguments of `failover`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Measured beside Holdfast, with the same interval and the same number of failures.
    #[arg(long, value_enum)]
    peer: Option<Peer>,
    /// How often the server is killed.
    #[arg(long, default_value_t = 10)]
    trials: u32,
    /// From one probe to the next.
    #[arg(long, default_value = "2s", value_parser = super::duration)]
    interval: Duration,
    /// Holdfast's gap between probes while an observer makes up its mind.
    #[arg(long, default_value = "100ms", value_parser = super::duration)]
    confirm: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Peer {
    Gdnsd,
}

/// Measures.
pub(crate) async fn run(args: &Args, place: &Place) -> Result<Report> {
    let timeout = (args.interval / 2).min(SECOND);
    let probing = Probing { interval: args.interval, timeout, confirm: args.confirm, fall: FALL };
    let mut stage = Stage::set(place, probing).await?;
    let gdnsd = match args.peer {
        Some(Peer::Gdnsd) => Some(start_gdnsd(args, &stage).await?),
        None => None,
    };
    let mut trials = Trials::default();
    let mut peers = Vec::new();
    for trial in 1..=args.trials {
        let peer = gdnsd.as_ref().map(|(address, _)| *address);
        stage.settled().await?;
        watch(peer.into_iter().collect(), &stage.name, A).await?;
        anywhere_within(args.interval).await;
        let before = stage.cluster.api.audit_length().await?;
        let (name, agents) = (stage.name.clone(), stage.cluster.dns());
        let peer_look = {
            let name = name.clone();
            tokio::spawn(async move { watch(peer.into_iter().collect(), &name, B).await })
        };
        let look = tokio::spawn(async move { watch(agents, &name, B).await });
        let fault = (Anchor::take(), Instant::now());
        stage.break_a()?;
        let seen = look.await??;
        stage.note(&mut trials, fault, &seen, before).await?;
        peers.extend(peer_look.await??.into_iter().map(|at| ms(at - fault.1)));
        eprintln!(
            "trial {trial}: {:.0} ms, peer {:?}",
            trials.every.last().copied().unwrap_or_default(),
            peers.last()
        );
        stage.mend_a().await?;
    }
    Ok(report(args, &trials, peers))
}

async fn start_gdnsd(args: &Args, stage: &Stage) -> Result<(std::net::SocketAddr, Process)> {
    let interval = args.interval.as_secs();
    if Duration::from_secs(interval) != args.interval || interval == 0 {
        bail!("gdnsd's interval is in whole seconds, and {:?} is not", args.interval);
    }
    let listen = port::local()?;
    let failover =
        Failover { label: SERVICE, a: A, b: B, port: stage.port, interval, threshold: FALL };
    let zones = [ZoneData::bare(ZONE)];
    let served = Served { dir: stage.cluster.dir(), listen, zones: &zones, cpu: None };
    let process = gdnsd::start(&served, &failover).await?;
    Ok((listen, process))
}

fn report(args: &Args, trials: &Trials, peers: Vec<f64>) -> Report {
    let mut report = Report::new("failover");
    report.number("interval_ms", ms(args.interval));
    report.number("confirm_ms", ms(args.confirm));
    let series = trials.series();
    for (name, series) in &series {
        report.series(name, series);
    }
    let (every, spread) = (&series[1].1, &series[3].1);
    if !peers.is_empty() {
        let peer = Series::of(peers);
        let ratio = every.median() / peer.median();
        report.series("gdnsd_answer_ms", &peer);
        report.number("ratio", ratio);
        report.goal("median of every agent's answer over gdnsd's", Bound::AtMost(0.25), ratio);
    }
    if args.interval == SECOND {
        report.goal("p50, ms", Bound::AtMost(1000.0), every.median());
        report.goal("p99, ms", Bound::AtMost(1600.0), every.percentile(99.0));
    }
    report.goal(
        "decision to every agent's answer, p99, ms",
        Bound::AtMost(25.0),
        spread.percentile(99.0),
    );
    report
}
