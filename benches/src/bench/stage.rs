//! What the failover benchmarks have in common: three agents, two HTTP servers, one name that moves from one to the
//! other, and the look at it from outside.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use hickory_proto::rr::Name;
use holdfast_wire::pb::v1 as pb;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::Place;
use crate::ask::Asker;
use crate::cluster::{Cluster, Shape};
use crate::process::Process;
use crate::spec::{self, Probing};
use crate::stat::{Series, ms};
use crate::wall::Anchor;
use crate::{port, site};

/// The service's name and label.
pub(crate) const SERVICE: &str = "web";
/// Where the preferred server is, and the other one.
pub(crate) const A: Ipv4Addr = Ipv4Addr::new(127, 0, 1, 1);
pub(crate) const B: Ipv4Addr = Ipv4Addr::new(127, 0, 2, 1);
/// Each answer must have moved by then.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// Everything that plays a part.
#[derive(Debug)]
pub(crate) struct Stage {
    /// The agents.
    pub cluster: Cluster,
    /// The name that moves.
    pub name: Name,
    /// The port of both servers.
    pub port: u16,
    a: Option<Process>,
    _b: Process,
}

/// What one fault led to, in milliseconds.
#[derive(Debug, Default)]
pub(crate) struct Trials {
    /// From the fault to the new answer of the first agent.
    pub first: Vec<f64>,
    /// From the fault to the new answer of the last agent.
    pub every: Vec<f64>,
    /// From the fault to the decision.
    pub decided: Vec<f64>,
    /// From the decision to each agent's new answer.
    pub spread: Vec<f64>,
}

impl Stage {
    /// Starts agents and servers, declares zone and service and waits until `a` is answered everywhere.
    pub(crate) async fn set(place: &Place, probing: Probing) -> Result<Self> {
        let port = port::common(&[A, B])?;
        let cluster = Cluster::start(place, &Shape::three()).await?;
        let a = site::start("site-a", &[(A, port).into()], cluster.dir()).await?;
        let b = site::start("site-b", &[(B, port).into()], cluster.dir()).await?;
        cluster.api.apply_zone(spec::zone()).await?;
        let pools = spec::two_pools((A, port).into(), (B, port).into());
        cluster.api.apply_service(spec::service(SERVICE, pools, spec::http(probing))).await?;
        let name = Name::from_ascii(format!("{}.", spec::name_of(SERVICE)))?;
        let stage = Self { cluster, name, port, a: Some(a), _b: b };
        stage.settled().await?;
        Ok(stage)
    }

    /// Waits until both servers are up in everybody's eyes and `a` is answered everywhere.
    pub(crate) async fn settled(&self) -> Result<()> {
        self.cluster.api.await_up(2, LIMIT).await?;
        watch(self.cluster.dns(), &self.name, A).await?;
        Ok(())
    }

    /// Kills the preferred server.
    pub(crate) fn break_a(&mut self) -> Result<()> {
        self.a.take().context("it is broken already")?.kill();
        Ok(())
    }

    /// Starts the preferred server again.
    pub(crate) async fn mend_a(&mut self) -> Result<()> {
        self.a = Some(site::start("site-a", &[(A, self.port).into()], self.cluster.dir()).await?);
        Ok(())
    }

    /// Notes when the answers moved after a fault, and when the move was decided.
    pub(crate) async fn note(
        &self,
        trials: &mut Trials,
        fault: (Anchor, Instant),
        seen: &[Instant],
        before: u64,
    ) -> Result<()> {
        let (anchor, fault) = fault;
        let (Some(first), Some(last)) = (seen.iter().min(), seen.iter().max()) else {
            bail!("no agent runs")
        };
        trials.first.push(ms(*first - fault));
        trials.every.push(ms(*last - fault));
        let failed = |record: &pb::AuditRecord| {
            let event = record.event.as_ref().and_then(|event| event.event.as_ref());
            matches!(event, Some(pb::event::Event::SelectionChanged(change)) if change.cause == pb::Cause::Failed as i32)
        };
        let record = self.cluster.api.await_record("selection.changed", before, failed).await?;
        let decided_ms = record.at_ms as f64;
        trials.decided.push(decided_ms - anchor.wall_ms(fault));
        trials.spread.extend(seen.iter().map(|at| anchor.wall_ms(*at) - decided_ms));
        Ok(())
    }
}

impl Trials {
    /// The four series, with their names.
    pub(crate) fn series(&self) -> [(&'static str, Series); 4] {
        let series = |values: &Vec<f64>| Series::of(values.clone());
        [
            ("holdfast_first_answer_ms", series(&self.first)),
            ("holdfast_every_answer_ms", series(&self.every)),
            ("holdfast_decided_ms", series(&self.decided)),
            ("decision_to_answer_ms", series(&self.spread)),
        ]
    }
}

/// Asks each server every millisecond until it answers `expected`; returns when each did.
pub(crate) async fn watch(
    servers: Vec<SocketAddr>,
    name: &Name,
    expected: Ipv4Addr,
) -> Result<Vec<Instant>> {
    let mut looks = JoinSet::new();
    for server in servers {
        let name = name.clone();
        looks.spawn(
            async move { Asker::new(server).await?.await_answer(&name, expected, LIMIT).await },
        );
    }
    let mut seen = Vec::new();
    while let Some(look) = looks.join_next().await {
        seen.push(look??);
    }
    Ok(seen)
}

/// A fault somewhere within an interval: probes must not have learnt when it comes.
pub(crate) async fn anywhere_within(interval: Duration) {
    tokio::time::sleep(interval.mul_f64(rand::random::<f64>())).await;
}
