//! What probes cost those who ask: endpoints are probed as often as a check allows while questions are asked.
//!
//! Each probe is a TCP connection, and passes: the endpoints stay up, so no answer changes and no view is published.
//! In quiet the same services wait for heartbeats that nobody sends, with the same names and endpoints. The probes that are
//! told are the connections that arrived.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use holdfast_wire::pb::v1 as pb;
use tokio::time::{Instant, sleep};

use super::figures::Waits;
use super::kind::Kind;
use super::pairs::Load;
use super::server::Field;
use super::{Args, pace_beside};
use crate::load::Question;
use crate::load::listeners::Listeners;
use crate::process::LOOK_EVERY;
use crate::spec::{self, Probing};

/// The shortest interval that a check may have.
const INTERVAL: Duration = Duration::from_millis(100);
/// Endpoints of a service.
const EACH: u32 = 10;
/// What the ids of the services begin with.
const PREFIX: &str = "p";
/// How long the endpoints may take to be up.
const LIMIT: Duration = Duration::from_secs(30);

/// Endpoints that are probed.
#[derive(Debug)]
pub(super) struct Probes<'a> {
    args: &'a Args,
    field: &'a Field,
    questions: Arc<Vec<Question>>,
    listeners: Arc<Listeners>,
}

impl<'a> Probes<'a> {
    /// Opens what is to be probed.
    pub(super) async fn set(args: &'a Args, field: &'a Field, names: usize) -> Result<Self> {
        field.cluster.api.apply_zone(spec::zone()).await?;
        let questions = Arc::new(Kind::A.questions(names)?);
        Ok(Self { args, field, questions, listeners: Arc::new(Listeners::open()?) })
    }

    /// Ends the probes, and waits until none comes any more.
    pub(super) async fn stop(&self) -> Result<()> {
        self.declare(&spec::heartbeat()).await?;
        let deadline = Instant::now() + LIMIT;
        self.listeners.drain()?;
        loop {
            // Each endpoint's next probe would fall into this time.
            sleep(2 * INTERVAL).await;
            if self.listeners.drain()? == 0 {
                return Ok(());
            }
            if Instant::now() >= deadline {
                bail!("endpoints are still probed {LIMIT:?} after their checks were taken away");
            }
        }
    }

    async fn declare(&self, check: &pb::Check) -> Result<()> {
        for service in services(self.args.probes, self.listeners.addresses(), check) {
            self.field.cluster.api.apply_service(service).await?;
        }
        Ok(())
    }

    /// Waits until every endpoint is up.
    async fn await_up(&self) -> Result<()> {
        let deadline = Instant::now() + LIMIT;
        loop {
            let lines = self.field.cluster.api.services().await?;
            let up: u32 =
                lines.iter().filter(|line| line.id.starts_with(PREFIX)).map(|line| line.up).sum();
            if up == self.args.probes {
                return Ok(());
            }
            if Instant::now() >= deadline {
                bail!("{up} of {} endpoints are up after {LIMIT:?}", self.args.probes);
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Waits of those who ask, while connections are taken between questions.
    async fn pace(&self) -> Result<Waits> {
        let listeners = Arc::clone(&self.listeners);
        let span = self.args.span();
        pace_beside(self.field.own(), &self.questions, span, move || listeners.look()).await
    }
}

impl Load for Probes<'_> {
    const NAME: &'static str = "probes";

    async fn quiet(&mut self) -> Result<Waits> {
        self.stop().await?;
        self.pace().await
    }

    async fn loaded(&mut self) -> Result<(Waits, f64)> {
        let probing = Probing {
            interval: INTERVAL,
            timeout: INTERVAL - Duration::from_millis(10),
            confirm: INTERVAL,
            fall: 3,
        };
        self.declare(&spec::tcp(probing)).await?;
        self.await_up().await?;
        self.listeners.drain()?;
        let (began, before) = (Instant::now(), self.listeners.taken());
        let waits = self.pace().await?;
        let arrived = (self.listeners.taken() - before) as f64;
        let per_second = arrived / began.elapsed().as_secs_f64();
        self.await_up().await?;
        Ok((waits, per_second))
    }
}

/// Services that have so many endpoints together, at these addresses in turn.
fn services(endpoints: u32, at: &[SocketAddr], check: &pb::Check) -> Vec<pb::Service> {
    let endpoint =
        |number: u32| spec::endpoint(&format!("a-{number}"), at[number as usize % at.len()]);
    let service = |first: u32| {
        let last = (first + EACH).min(endpoints);
        let pools = vec![spec::pool("a", 10, (first..last).map(endpoint).collect())];
        spec::service(&format!("{PREFIX}{first:05}"), pools, check.clone())
    };
    (0..endpoints).step_by(EACH as usize).map(service).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_endpoint_is_in_one_service_and_addresses_take_turns() {
        let at: Vec<SocketAddr> =
            (1..=4).map(|host| SocketAddr::from(([127, 3, 0, host], 80))).collect();
        let services = services(23, &at, &spec::heartbeat());
        let endpoints = |service: &pb::Service| service.pools[0].endpoints.clone();
        let counts: Vec<usize> = services.iter().map(|one| endpoints(one).len()).collect();
        assert_eq!(counts, [10, 10, 3]);
        let all: Vec<pb::Endpoint> = services.iter().flat_map(endpoints).collect();
        let names: BTreeSet<&str> = all.iter().map(|one| one.name.as_str()).collect();
        let ids: BTreeSet<&str> = services.iter().map(|one| one.id.as_str()).collect();
        assert_eq!((names.len(), ids.len()), (23, 3));
        let last = all
            .iter()
            .filter(|one| *one == &pb::Endpoint { name: one.name.clone(), ..all[3].clone() });
        assert_eq!(last.count(), 5, "of 23 endpoints five are at the last of four addresses");
    }
}
