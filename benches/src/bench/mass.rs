//! Thousands of services with two pools each; the region that holds every preferred pool dies in one moment.
//!
//! The endpoints share a few real listeners on loopback addresses, so that descriptors stay bounded.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result};
use hickory_proto::rr::Name;
use holdfast_wire::pb::v1 as pb;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::ask::Asker;
use crate::cluster::{Cluster, Shape};
use crate::process::resident_mib;
use crate::report::{Bound, Report};
use crate::spec::{self, Probing, pool, v4};
use crate::stat::{Series, ms};
use crate::wall::Anchor;
use crate::{Place, port, site};

/// Listeners of each region.
const LISTENERS: u8 = 32;
/// Declarations under way at once.
const DECLARERS: usize = 16;
/// Everything must have been declared, judged and moved by then.
const LIMIT: Duration = Duration::from_secs(300);

/// Arguments of `mass`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many services.
    #[arg(long, default_value_t = 2000)]
    services: usize,
    /// From one probe of an endpoint to the next.
    #[arg(long, default_value = "2s", value_parser = super::duration)]
    interval: Duration,
    /// The gap between probes while an observer makes up its mind.
    #[arg(long, default_value = "100ms", value_parser = super::duration)]
    confirm: Duration,
}

/// Measures.
pub(crate) async fn run(args: &Args, place: &Place) -> Result<Report> {
    let (a, b) = regions()?;
    let cluster = Cluster::start(place, &Shape::three()).await?;
    let region_a = site::start("region-a", &a, cluster.dir()).await?;
    let _region_b = site::start("region-b", &b, cluster.dir()).await?;
    let began = Instant::now();
    declare(args, &cluster, (&a, &b)).await?;
    eprintln!("declared after {:.1} s", began.elapsed().as_secs_f64());
    let names = names(args.services)?;
    cluster.api.await_up(2, LIMIT).await?;
    let declared = began.elapsed();
    eprintln!("all up after {:.1} s", declared.as_secs_f64());
    moved(&cluster, &names, &a).await?;
    let calm: Vec<f64> = memory(&cluster)?.into_iter().map(|(now, _)| now).collect();

    let before = cluster.api.audit_length().await?;
    let (anchor, fault) = (Anchor::take(), Instant::now());
    region_a.kill();
    let seen = moved(&cluster, &names, &b).await?;
    let last = seen.iter().flatten().max().copied().context("no agent runs")?;
    let down = |record: &pb::AuditRecord| {
        let event = record.event.as_ref().and_then(|event| event.event.as_ref());
        matches!(event, Some(pb::event::Event::VerdictChanged(change)) if change.after == pb::Verdict::Down as i32)
    };
    let verdict = cluster.api.await_record("verdict.changed", before, down).await?;
    let first_verdict = verdict.at_ms as f64 - anchor.wall_ms(fault);
    let all_moved = ms(last - fault);

    let mut report = Report::new("mass");
    report.number("services", args.services as f64);
    report.number("interval_ms", ms(args.interval));
    report.number("declared_and_judged_ms", ms(declared));
    report.number("fault_to_first_verdict_ms", first_verdict);
    for (agent, seen) in cluster.agents.iter().zip(&seen) {
        let moved = Series::of(seen.iter().map(|at| ms(*at - fault)).collect());
        report.series(&format!("fault_to_answer_ms_{}", agent.name), &moved);
    }
    report.number("fault_to_all_moved_ms", all_moved);
    report.number("verdict_to_all_moved_ms", all_moved - first_verdict);
    report.series("rss_before_mib", &Series::of(calm));
    for (agent, (now, peak)) in cluster.agents.iter().zip(memory(&cluster)?) {
        report.number(&format!("rss_mib_{}", agent.name), now);
        report.number(&format!("rss_peak_mib_{}", agent.name), peak);
    }
    report.goal(
        "first verdict to every answer moved, ms",
        Bound::AtMost(2000.0),
        all_moved - first_verdict,
    );
    Ok(report)
}

/// The listeners of the two regions, all on one port.
fn regions() -> Result<(Vec<SocketAddr>, Vec<SocketAddr>)> {
    let hosts = |region: u8| {
        (1..=LISTENERS).map(|host| Ipv4Addr::new(127, region, 0, host)).collect::<Vec<_>>()
    };
    let (a, b) = (hosts(1), hosts(2));
    let port = port::common(&[a.clone(), b.clone()].concat())?;
    let at = |hosts: Vec<Ipv4Addr>| {
        hosts.into_iter().map(|host| SocketAddr::from((host, port))).collect()
    };
    Ok((at(a), at(b)))
}

fn id(number: usize) -> String {
    format!("s{number:05}")
}

fn names(services: usize) -> Result<Vec<Name>> {
    (0..services)
        .map(|number| Ok(Name::from_ascii(format!("{}.", spec::name_of(&id(number))))?))
        .collect()
}

async fn declare(
    args: &Args,
    cluster: &Cluster,
    (a, b): (&[SocketAddr], &[SocketAddr]),
) -> Result<()> {
    cluster.api.apply_zone(spec::zone()).await?;
    let timeout = (args.interval / 2).min(Duration::from_secs(1));
    let probing = Probing { interval: args.interval, timeout, confirm: args.confirm, fall: 3 };
    let services = |first: usize| (first..args.services).step_by(DECLARERS);
    let mut declarers = JoinSet::new();
    for first in 0..DECLARERS {
        let api = cluster.api.clone();
        let declared: Vec<pb::Service> = services(first)
            .map(|number| {
                let at = |region: &[SocketAddr]| region[number % region.len()];
                let pools = vec![
                    pool("a", 10, vec![spec::endpoint("a-1", at(a))]),
                    pool("b", 20, vec![spec::endpoint("b-1", at(b))]),
                ];
                spec::service(&id(number), pools, spec::tcp(probing))
            })
            .collect();
        declarers.spawn(async move {
            for service in declared {
                api.apply_service(service).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(declarer) = declarers.join_next().await {
        declarer??;
    }
    Ok(())
}

/// Waits until every agent answers every name from this region; returns when each answer was first seen.
async fn moved(
    cluster: &Cluster,
    names: &[Name],
    region: &[SocketAddr],
) -> Result<Vec<Vec<Instant>>> {
    let mut looks = Vec::new();
    for server in cluster.dns() {
        let (names, region) = (names.to_vec(), region.to_vec());
        looks.push(tokio::spawn(async move {
            let expected = |number: usize| v4(region[number % region.len()]);
            Asker::new(server).await?.await_all(&names, expected, LIMIT).await
        }));
    }
    let mut seen = Vec::new();
    for look in looks {
        seen.push(look.await??);
    }
    Ok(seen)
}

fn memory(cluster: &Cluster) -> Result<Vec<(f64, f64)>> {
    cluster.pids().into_iter().map(resident_mib).collect()
}
