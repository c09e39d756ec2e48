//! What publications cost those who ask: services change while questions are asked.
//!
//! The changes are real ones: each replaces the address of a service's endpoint through the API, is durable before it
//! is acknowledged, and publishes a view with another answer. After each spell a service must answer its last address.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use hickory_proto::rr::Name;
use holdfast_wire::pb::v1 as pb;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::figures::Waits;
use super::kind::Kind;
use super::pairs::Load;
use super::server::Field;
use super::{Args, pace};
use crate::api::Api;
use crate::ask::Asker;
use crate::load::Question;
use crate::spec;

/// Services that change.
const SERVICES: u32 = 100;
/// Changes under way at the most.
const UNDER_WAY: usize = 64;
/// How long a change may take to be answered.
const LIMIT: Duration = Duration::from_secs(20);

/// Services that change.
#[derive(Debug)]
pub(super) struct Swap<'a> {
    args: &'a Args,
    field: &'a Field,
    questions: Arc<Vec<Question>>,
}

impl<'a> Swap<'a> {
    /// Declares the services.
    pub(super) async fn set(args: &'a Args, field: &'a Field, names: usize) -> Result<Self> {
        let api = &field.cluster.api;
        api.apply_zone(spec::zone()).await?;
        for number in 0..SERVICES {
            api.apply_service(service(number, 0)).await?;
        }
        Ok(Self { args, field, questions: Arc::new(Kind::A.questions(names)?) })
    }
}

impl Load for Swap<'_> {
    const NAME: &'static str = "updates";
    const GOAL: Option<f64> = Some(2.0);

    async fn quiet(&mut self) -> Result<Waits> {
        pace(self.field.own(), &self.questions, self.args.span()).await
    }

    async fn loaded(&mut self) -> Result<(Waits, f64)> {
        let (api, span) = (self.field.cluster.api.clone(), self.args.span());
        let changes = tokio::spawn(change(api, self.args.updates, span));
        let waits = pace(self.field.own(), &self.questions, span).await?;
        let (done, took) = changes.await??;
        if done == 0 {
            bail!("no service was changed in {span:?}");
        }
        let last = (done - 1) / SERVICES;
        let name = Name::from_ascii(format!("{}.", spec::name_of(&id(0))))?;
        let mut asker = Asker::new(self.field.own().address).await?;
        asker.await_answer(&name, address(0, last + 1), LIMIT).await?;
        Ok((waits, f64::from(done) / took.as_secs_f64()))
    }
}

/// Changes one service after the other at this rate; returns how many changes were acknowledged, and within what time.
async fn change(api: Api, rate: u32, span: Duration) -> Result<(u32, Duration)> {
    let mut ticks = interval(Duration::from_secs(1) / rate);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (began, mut number, mut under_way) = (Instant::now(), 0, JoinSet::new());
    while began.elapsed() < span {
        ticks.tick().await;
        if under_way.len() >= UNDER_WAY {
            under_way.join_next().await.context("one is under way")???;
        }
        let (api, service) = (api.clone(), service(number % SERVICES, number / SERVICES + 1));
        under_way.spawn(async move { api.apply_service(service).await });
        number += 1;
    }
    while let Some(changed) = under_way.join_next().await {
        changed??;
    }
    Ok((number, began.elapsed()))
}

fn id(number: u32) -> String {
    format!("c{number:03}")
}

/// The address of a service after so many changes.
fn address(number: u32, change: u32) -> Ipv4Addr {
    Ipv4Addr::from(0x0a80_0000 | (change % 0xff) << 8 | number)
}

/// A service of one endpoint that nobody probes: its address is answered whatever its verdict.
fn service(number: u32, change: u32) -> pb::Service {
    let at = SocketAddr::new(IpAddr::V4(address(number, change)), 80);
    let pools = vec![spec::pool("a", 10, vec![spec::endpoint("a-1", at)])];
    spec::service(&id(number), pools, spec::heartbeat())
}
