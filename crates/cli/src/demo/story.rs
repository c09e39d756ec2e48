//! The story: each step breaks or orders something and is done only when its effect was seen from outside.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use hickory_proto::rr::Name;
use holdfast_agent::SystemClock;
use holdfast_core::audit::Record;
use holdfast_core::decision::Cause;
use holdfast_core::event::Event;
use holdfast_core::overrides::Order;
use holdfast_core::seam::Clock as _;
use holdfast_core::spec::{
    Address, Check, CheckKind, Endpoint, FailoverRules, HttpCheck, HttpVersion, NameServer, Policy,
    Pool, Quorum, Service, ServiceDns, Soa, Zone,
};
use holdfast_core::{Epoch, ServiceId, Timestamp};
use holdfast_wire::Convert as _;
use holdfast_wire::pb::v1 as pb;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::cluster::Cluster;
use super::report::{Phases, Report};
use super::site::Site;
use super::witness::{self, Api, await_answer};

/// The demo's zone and service.
pub(crate) const ZONE: &str = "demo.test";
/// The name that is failed over.
pub(crate) const NAME: &str = "shop.demo.test";
/// Where the two pools are.
const EU: Ipv4Addr = Ipv4Addr::new(127, 0, 1, 1);
const US: Ipv4Addr = Ipv4Addr::new(127, 0, 2, 1);
/// Each step must have happened by then.
const LIMIT: Duration = Duration::from_secs(20);
/// How long the recovered pool must have been up before the answer returns to it.
const HOLD_DOWN: Duration = Duration::from_secs(2);

/// The demo's parts while it is told.
#[derive(Debug)]
pub(crate) struct Story {
    /// The agents.
    pub(crate) cluster: Cluster,
    eu: Site,
    us: Site,
    api: Api,
    name: Name,
    service: ServiceId,
}

impl Story {
    /// Prepares the stage; nothing is declared yet.
    pub(crate) async fn new(cluster: Cluster, api: Api) -> Result<Self> {
        Ok(Self {
            cluster,
            eu: Site::start(EU)
                .await
                .context("cannot serve on 127.0.1.1; is all of 127.0.0.0/8 loopback?")?,
            us: Site::start(US).await.context("cannot serve on 127.0.2.1")?,
            api,
            name: Name::from_ascii(format!("{NAME}."))?,
            service: ServiceId::new("shop")?,
        })
    }

    /// Tells the whole story. Errors: the first step that was not seen to happen.
    pub(crate) async fn tell(&mut self, report: &mut Report) -> Result<()> {
        report.step("cluster", "three agents elected a leader", self.elect().await?);
        report.step("declare", "zone and service are declared over gRPC", self.declare().await?);
        report.step(
            "judge",
            "the agents agree that both pools are up; DNS answers eu",
            self.judged().await?,
        );
        report.failover("fail", "eu's service is killed; DNS answers us", self.fail_eu().await?);
        report.lines("explain", self.explain().await?);
        report.step(
            "failback",
            "eu is back; after its hold-down, DNS answers eu",
            self.mend_eu().await?,
        );
        let (killed, phases) = self.fail_with_leader().await?;
        let text =
            format!("the leader {killed} and eu's service are killed at once; DNS answers us");
        report.failover("leader", &text, phases);
        report.step(
            "rejoin",
            "the killed agent is back and has caught up",
            self.rejoin(&killed).await?,
        );
        self.eu.mend()?;
        report.step("override", "an operator pins eu; DNS answers eu at once", self.pin().await?);
        report.step(
            "verify",
            "every agent's audit chain is intact, and all are equal",
            self.verify().await?,
        );
        Ok(())
    }

    fn running_dns(&self) -> Vec<SocketAddr> {
        let running = self.cluster.agents().iter().filter(|agent| agent.is_running());
        running.map(|agent| agent.addresses.dns).collect()
    }

    async fn elect(&self) -> Result<Vec<(String, String)>> {
        let began = Instant::now();
        let leader = self.leader().await?;
        Ok(vec![("leader".into(), leader), took(began)])
    }

    /// The leader's name, once there is one.
    async fn leader(&self) -> Result<String> {
        let deadline = Instant::now() + LIMIT;
        loop {
            let call = |channel| async {
                Ok(witness::cluster(channel)
                    .get_cluster(pb::GetClusterRequest::default())
                    .await?
                    .into_inner())
            };
            let answer = self.api.call("asking for the leader", LIMIT, call).await?;
            let leader = answer
                .members
                .iter()
                .find(|member| member.id == answer.leader && answer.leader > 0);
            if let Some(leader) = leader.filter(|_| answer.quorum) {
                return Ok(leader.name.clone());
            }
            if Instant::now() >= deadline {
                bail!("no leader within {LIMIT:?}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn declare(&self) -> Result<Vec<(String, String)>> {
        let began = Instant::now();
        let zone = pb::ApplyZoneRequest {
            request_id: uuid::Uuid::new_v4().to_string(),
            zone: Some(zone(&self.cluster)?.to_proto()),
            ..pb::ApplyZoneRequest::default()
        };
        let apply_zone = |channel| {
            let request = zone.clone();
            async { Ok(witness::registry(channel).apply_zone(request).await?.into_inner()) }
        };
        self.api.call("declaring the zone", LIMIT, apply_zone).await?;
        let service = service(&self.service, self.eu.address(), self.us.address())?;
        let service = pb::ApplyServiceRequest {
            request_id: uuid::Uuid::new_v4().to_string(),
            service: Some(service.to_proto()),
            ..pb::ApplyServiceRequest::default()
        };
        let apply_service = |channel| {
            let request = service.clone();
            async { Ok(witness::registry(channel).apply_service(request).await?.into_inner()) }
        };
        let stored = self.api.call("declaring the service", LIMIT, apply_service).await?;
        Ok(vec![("revision".into(), stored.revision.to_string()), took(began)])
    }

    async fn judged(&self) -> Result<Vec<(String, String)>> {
        let began = Instant::now();
        self.await_everywhere(EU).await?;
        self.await_verdicts(2).await?;
        Ok(vec![took(began)])
    }

    /// Waits until this many endpoints are up in everybody's eyes.
    async fn await_verdicts(&self, up: usize) -> Result<()> {
        let deadline = Instant::now() + LIMIT;
        loop {
            let request =
                pb::GetServiceRequest { service: self.service.to_string(), consistency: 0 };
            let call = |channel| {
                let request = request.clone();
                async { Ok(witness::registry(channel).get_service(request).await?.into_inner()) }
            };
            let answer = self.api.call("reading the service", LIMIT, call).await?;
            let status = answer.service.and_then(|entry| entry.status).unwrap_or_default();
            let good = pb::Verdict::Up as i32;
            if status.endpoints.iter().filter(|endpoint| endpoint.verdict == good).count() == up {
                return Ok(());
            }
            if Instant::now() >= deadline {
                bail!("not {up} endpoints up within {LIMIT:?}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn fail_eu(&mut self) -> Result<Phases> {
        let before = self.records(0).await?.last().map_or(0, |record| record.sequence);
        let fault = SystemClock.now();
        let began = Instant::now();
        self.eu.stop().await;
        self.phases(before, fault, began).await
    }

    async fn fail_with_leader(&mut self) -> Result<(String, Phases)> {
        let before = self.records(0).await?.last().map_or(0, |record| record.sequence);
        let leader = self.leader().await?;
        let fault = SystemClock.now();
        let began = Instant::now();
        self.eu.stop().await;
        self.cluster.kill(&leader)?;
        let phases = self.phases(before, fault, began).await?;
        Ok((leader, phases))
    }

    /// Waits for the answer to become us everywhere, and reads from the audit log how it came to that.
    async fn phases(&self, before: u64, fault: Timestamp, began: Instant) -> Result<Phases> {
        let answered = self.await_everywhere(US).await?;
        let (decided, trouble, epoch) = self.await_failover_record(before).await?;
        let suspected = trouble.unwrap_or(decided);
        Ok(Phases {
            suspicion_ms: ms(suspected.since(fault)),
            verdict_ms: ms(decided.since(fault)),
            first_answer_ms: ms(answered.0 - began),
            last_answer_ms: ms(answered.1 - began),
            epoch: epoch.0,
        })
    }

    /// Waits until the audit store of whoever is asked holds the failover: DNS does not wait for it.
    async fn await_failover_record(
        &self,
        before: u64,
    ) -> Result<(Timestamp, Option<Timestamp>, Epoch)> {
        let deadline = Instant::now() + LIMIT;
        loop {
            let records = self.records(before).await?;
            let decided = records.iter().rev().find_map(|record| match &record.content.event {
                Event::SelectionChanged { cause: Cause::Failed, trouble_since, epoch, .. } => {
                    Some((record.content.at, *trouble_since, *epoch))
                }
                _ => None,
            });
            if let Some(decided) = decided {
                return Ok(decided);
            }
            if Instant::now() >= deadline {
                bail!("the audit log holds no failover within {LIMIT:?}");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until every running agent answers `expected`; returns when the first and the last did.
    async fn await_everywhere(&self, expected: Ipv4Addr) -> Result<(Instant, Instant)> {
        let mut looks = JoinSet::new();
        for server in self.running_dns() {
            let name = self.name.clone();
            looks.spawn(
                async move { await_answer(server, &name, IpAddr::V4(expected), LIMIT).await },
            );
        }
        let mut seen = Vec::new();
        while let Some(look) = looks.join_next().await {
            seen.push(look??);
        }
        let first = seen.iter().min().ok_or_else(|| anyhow!("no agent runs"))?;
        let last = seen.iter().max().ok_or_else(|| anyhow!("no agent runs"))?;
        Ok((*first, *last))
    }

    async fn explain(&self) -> Result<Vec<String>> {
        let call = |channel| async {
            let request =
                pb::ExplainServiceRequest { service: "shop".into(), ..Default::default() };
            Ok(witness::explanations(channel).explain_service(request).await?.into_inner())
        };
        let answer = self.api.call("asking why", LIMIT, call).await?;
        let root = answer.reason.ok_or_else(|| anyhow!("the explanation is empty"))?;
        let mut lines = vec![root.text.clone()];
        lines.extend(root.children.iter().map(|child| format!("  {}", child.text)));
        Ok(lines)
    }

    async fn mend_eu(&mut self) -> Result<Vec<(String, String)>> {
        let began = Instant::now();
        self.eu.mend()?;
        self.await_everywhere(EU).await?;
        Ok(vec![("hold_down_ms".into(), HOLD_DOWN.as_millis().to_string()), took(began)])
    }

    async fn rejoin(&mut self, killed: &str) -> Result<Vec<(String, String)>> {
        let began = Instant::now();
        let wanted = self.records(0).await?.last().map_or(0, |record| record.sequence);
        self.cluster.restart(killed)?;
        let agent = self.cluster.agents().iter().find(|agent| agent.name == killed);
        let addresses = agent.ok_or_else(|| anyhow!("no agent {killed}"))?.addresses;
        await_answer(addresses.dns, &self.name, IpAddr::V4(US), LIMIT).await?;
        let deadline = Instant::now() + LIMIT;
        while self.stored_at(addresses.api).await.unwrap_or(0) < wanted {
            if Instant::now() >= deadline {
                bail!("{killed} did not catch up within {LIMIT:?}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(vec![("agent".into(), killed.into()), took(began)])
    }

    /// How many audit records one agent holds.
    async fn stored_at(&self, api: SocketAddr) -> Result<u64> {
        let mut client = witness::cluster(self.api.to(api)?);
        let answer = client.get_cluster(pb::GetClusterRequest::default()).await?.into_inner();
        Ok(answer.audit_stored.map_or(0, |head| head.length))
    }

    async fn pin(&self) -> Result<Vec<(String, String)>> {
        self.await_verdicts(2).await?;
        let began = Instant::now();
        let request = pb::SetOverrideRequest {
            request_id: uuid::Uuid::new_v4().to_string(),
            service: self.service.to_string(),
            order: Some(Order::Pin("eu".parse()?).to_proto()),
            reason: "the demo's operator wants eu".into(),
            lasting_ms: 60_000,
        };
        let call = |channel| {
            let request = request.clone();
            async { Ok(witness::overrides(channel).set_override(request).await?.into_inner()) }
        };
        let ordered = self.api.call("pinning eu", LIMIT, call).await?;
        self.await_everywhere(EU).await?;
        let facts = vec![("override".into(), ordered.id.to_string()), took(began)];
        let clear = pb::ClearOverrideRequest {
            request_id: uuid::Uuid::new_v4().to_string(),
            id: ordered.id,
            reason: "the demo goes on".into(),
        };
        let call = |channel| {
            let request = clear.clone();
            async { Ok(witness::overrides(channel).clear_override(request).await?.into_inner()) }
        };
        self.api.call("clearing the pin", LIMIT, call).await?;
        Ok(facts)
    }

    async fn verify(&self) -> Result<Vec<(String, String)>> {
        let began = Instant::now();
        let deadline = Instant::now() + LIMIT;
        loop {
            let mut heads = Vec::new();
            for agent in self.cluster.agents() {
                let mut client = witness::audit(self.api.to(agent.addresses.api)?);
                let answer = client.verify_log(pb::VerifyLogRequest::default()).await?.into_inner();
                heads.push((
                    agent.name,
                    answer.intact,
                    answer.head.unwrap_or_default(),
                    answer.finding,
                ));
            }
            let (_, _, first, _) = &heads[0];
            if heads.iter().all(|(_, intact, head, _)| *intact && head == first) {
                let facts = vec![
                    ("records".into(), first.length.to_string()),
                    ("head".into(), first.hash.chars().take(16).collect()),
                    took(began),
                ];
                return Ok(facts);
            }
            if Instant::now() >= deadline {
                bail!("the audit chains are not intact and equal: {heads:?}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The audit records after this sequence, from whoever runs.
    async fn records(&self, after: u64) -> Result<Vec<Record>> {
        let mut records = Vec::new();
        let mut token = String::new();
        loop {
            let request = pb::ListRecordsRequest {
                filter: Some(pb::AuditFilter {
                    first_sequence: Some(after + 1),
                    ..Default::default()
                }),
                page_size: 1000,
                page_token: token.clone(),
                ..Default::default()
            };
            let call = |channel| {
                let request = request.clone();
                async { Ok(witness::audit(channel).list_records(request).await?.into_inner()) }
            };
            let page = self.api.call("reading the audit log", LIMIT, call).await?;
            for record in page.records {
                records.push(Record::from_proto(record)?);
            }
            if page.next_page_token.is_empty() {
                return Ok(records);
            }
            token = page.next_page_token;
        }
    }
}

fn ms(duration: Duration) -> u64 {
    holdfast_core::time::millis(duration)
}

fn took(began: Instant) -> (String, String) {
    ("took_ms".into(), ms(began.elapsed()).to_string())
}

fn zone(cluster: &Cluster) -> Result<Zone> {
    let seconds = Duration::from_secs;
    let name_servers = cluster.agents().iter().map(|agent| -> Result<NameServer> {
        let name = format!("{}.ns.{ZONE}", agent.name).parse()?;
        Ok(NameServer { name, addresses: vec![agent.addresses.dns.ip()] })
    });
    Ok(Zone::new(
        ZONE.parse()?,
        Soa { negative_ttl: seconds(5), ..Soa::new(format!("hostmaster.{ZONE}").parse()?) },
        name_servers.collect::<Result<_>>()?,
        seconds(300),
    ))
}

fn service(id: &ServiceId, eu: SocketAddr, us: SocketAddr) -> Result<Service> {
    let pool = |name: &str, priority, site: SocketAddr| -> Result<Pool> {
        let endpoint = Endpoint {
            name: format!("{name}-1").parse()?,
            address: Address::Ip(site.ip()),
            port: site.port(),
            weight: 1,
        };
        let (name, endpoints) = (name.parse()?, vec![endpoint]);
        Ok(Pool { name, region: None, priority, weight: 1, min_up: 1, endpoints })
    };
    let http = HttpCheck {
        tls: None,
        version: HttpVersion::Http11,
        method: "GET".into(),
        path: "/healthz".into(),
        host: None,
        headers: Vec::new(),
        port: None,
        expect_status: Vec::new(),
        expect_body: None,
        max_latency: None,
        follow_redirects: 0,
    };
    Ok(Service {
        id: id.clone(),
        dns: ServiceDns::new(NAME.parse()?, Duration::from_secs(5)),
        policy: Policy::Failover,
        pools: vec![pool("eu", 10, eu)?, pool("us", 20, us)?],
        checks: vec![Check {
            name: "http".parse()?,
            kind: CheckKind::Http(http),
            interval: Duration::from_secs(1),
            timeout: Duration::from_millis(500),
            rise: 2,
            fall: 3,
            confirm: Duration::from_millis(100),
        }],
        quorum: Quorum::default(),
        failover: FailoverRules {
            hold_down: HOLD_DOWN,
            cooldown: Duration::from_secs(1),
            max_moves: 100,
            window: Duration::from_secs(3600),
            ..FailoverRules::default()
        },
    })
}
