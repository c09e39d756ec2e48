//! Who uses the API: a workload in another language, and a client that asks again and again.

use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use holdfast_core::event::Event;
use holdfast_tests::cluster::{Cluster, LIMIT};
use holdfast_tests::epilogue::records_of;
use holdfast_tests::python::Python;
use holdfast_tests::scenario::{SHOP, bare_scenario};
use holdfast_tests::{poll, scenario};
use holdfast_wire::pb::v1 as pb;
use holdfast_wire::pb::v1::registry_service_client::RegistryServiceClient;
use rustix::process::Signal;
use tonic::transport::Channel;

/// A service whose endpoints come by themselves and say themselves that they work.
const BEATING: &str = "apiVersion: holdfast/v1
kind: Service
metadata: { name: beating }
spec:
  dns: { name: beating.hf.test, ttl: 1s }
  pools: [ { name: eu } ]
  checks: [ { name: beat, type: heartbeat, ttl: 1500ms } ]
";

#[test]
fn a_python_workload_registers_and_beats() -> Result<()> {
    bare_scenario(|scene| {
        let python = Python::generate(scene.dir())?;
        let cluster = &scene.cluster;
        cluster.apply(BEATING)?;
        let words = [
            "register",
            "beating",
            "eu",
            "e1",
            "10.77.0.21",
            "80",
            "0c7a1a52-0d3b-4d5e-9a55-5f8f5b1d7f01",
        ];
        let first = python.run(cluster, &words)?.ok()?;
        let again = python.run(cluster, &words)?.ok()?;
        ensure!(first == again, "a repetition is answered otherwise: {first} and {again}");

        let log = scene.dir().join("client.log");
        let target = ("beating", "e1");
        let mut beating = python.start(cluster, &["beat", "beating", "e1", "beat"], &log)?;
        cluster.await_verdict(1, target, pb::Verdict::Up)?;
        ensure!(beating.said().contains("accepted=True"), "{}", beating.said());
        beating.kill9()?;
        cluster.await_verdict(1, target, pb::Verdict::Down)?;
        let _beating = python.start(cluster, &["beat", "beating", "e1", "beat"], &log)?;
        cluster.await_verdict(1, target, pb::Verdict::Up)?;

        let registered = records_of(cluster, 0, "beating")?;
        let actor = registered.iter().find_map(|record| match record.content.event {
            Event::EndpointRegistered { .. } => Some(record.content.actor.name.clone()),
            _ => None,
        });
        ensure!(actor.as_deref() == Some("shop"), "registered by {actor:?}");
        Ok(())
    })
}

const REPLAYS: usize = 1000;
/// After so many, the leader is killed.
const KILL_AFTER: usize = 300;
/// How often one repetition may find nobody who can answer.
const TRIES: usize = 400;
const PAUSE: Duration = Duration::from_millis(25);

/// The answers to one request that is sent again and again, to one agent after the other.
fn replay(cluster: &Cluster, leader: usize) -> Result<Vec<pb::RegisterEndpointResponse>> {
    let endpoints: Vec<_> =
        (0..3).map(|place| cluster.endpoint(place, "op")).collect::<Result<_>>()?;
    let request = pb::RegisterEndpointRequest {
        request_id: "7b0f7c39-5c5e-4c39-9b3d-0f3a0a5d9c11".into(),
        service: SHOP.into(),
        pool: "us".into(),
        endpoint: Some(pb::Endpoint {
            name: "late".into(),
            port: 80,
            weight: 1,
            address: Some(pb::endpoint::Address::Ip("10.77.0.22".into())),
        }),
    };
    cluster.client.run(async || {
        let channels: Vec<Channel> =
            endpoints.iter().map(tonic::transport::Endpoint::connect_lazy).collect();
        let mut answers = Vec::new();
        for number in 0..REPLAYS {
            if number == KILL_AFTER {
                cluster.nodes()[leader].signal(Signal::KILL)?;
            }
            answers.push(ask_until_answered(&channels, number, &request).await?);
        }
        Ok(answers)
    })
}

async fn ask_until_answered(
    channels: &[Channel],
    number: usize,
    request: &pb::RegisterEndpointRequest,
) -> Result<pb::RegisterEndpointResponse> {
    let mut last = String::new();
    for attempt in 0..TRIES {
        let channel = channels[(number + attempt) % channels.len()].clone();
        match RegistryServiceClient::new(channel).register_endpoint(request.clone()).await {
            Ok(answer) => return Ok(answer.into_inner()),
            Err(status) => {
                let passing = [
                    tonic::Code::Unavailable,
                    tonic::Code::DeadlineExceeded,
                    tonic::Code::Cancelled,
                ];
                // A connection that breaks under a request is told as an unknown error.
                ensure!(
                    passing.contains(&status.code()) || status.code() == tonic::Code::Unknown,
                    "{status}"
                );
                last = status.to_string();
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(anyhow!("repetition {number} was not answered: {last}"))
}

#[test]
fn a_thousand_replays_across_a_leader_change_are_one_change() -> Result<()> {
    scenario(|scene| {
        let leader = scene.cluster.leader()?;
        let answers = replay(&scene.cluster, leader)?;
        scene.cluster.kill9(leader)?;
        ensure!(answers.len() == REPLAYS, "{} answers", answers.len());
        let first = &answers[0];
        ensure!(first.changed, "it changed nothing: {first:?}");
        if let Some(other) = answers.iter().find(|answer| *answer != first) {
            return Err(anyhow!("{first:?} was answered first, then {other:?}"));
        }
        let place = scene.cluster.leader()?;
        ensure!(place != leader, "the dead lead");
        let entry = scene.cluster.service_as_seen_by(place, SHOP)?;
        ensure!(
            entry.revision == first.revision,
            "revision {} is not {}",
            entry.revision,
            first.revision
        );
        poll::until_equal("the records of the registration", LIMIT, &1, || {
            let records = records_of(&scene.cluster, place, SHOP)?;
            let registered = |event: &Event| matches!(event, Event::EndpointRegistered { .. });
            Ok(records.iter().filter(|record| registered(&record.content.event)).count())
        })
    })
}
