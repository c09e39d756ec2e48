//! What is nearest: from what the agents of each region measure to what the clients of each region are told.
//!
//! Each site answers the agents of the other region late, so that what is near to one region is far from the other.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use holdfast_tests::scenario::bare_scenario_in;
use holdfast_tests::{Scene, poll};

use super::{NAME, SERVICE, declare, told};

const REGIONS: [&str; 3] = ["eu", "us", "us"];
/// How much later a site answers those who are far from it. Less than a quarter of the check's timeout, so that no probe
/// fails for it.
const LATE: Duration = Duration::from_millis(80);
/// A latency that was told stands for 32 passes: a quarter of a minute. Two of them lead from one end to the other.
const CHECK: &str =
    "type: http, path: /, interval: 450ms, timeout: 400ms, rise: 2, fall: 5, confirm: 100ms";
const LIMIT: Duration = Duration::from_secs(120);
/// A client of each region.
const CLIENTS: [&str; 2] = ["192.0.2.7", "198.51.100.7"];
const POLICY: &str = "{ nearest: { regions: [ { region: eu, match: { cidr: [192.0.2.0/24] } }, \
                      { region: us, match: { cidr: [198.51.100.0/24] } } ] } }";

/// Moves the sites: each is near to one region and far from the other.
fn put(scene: &Scene, eu: &str, us: &str) -> Result<()> {
    let far_from = |near: &str| -> Vec<Ipv4Addr> {
        let all = REGIONS.iter().zip(scene.cluster.addresses());
        all.filter(|(region, _)| **region != near).map(|(_, address)| address).collect()
    };
    scene.eu.answer_late(LATE, &far_from(eu))?;
    scene.us.answer_late(LATE, &far_from(us))
}

/// Waits until every agent tells the clients these addresses.
fn await_told(scene: &Scene, expected: [Ipv4Addr; 2]) -> Result<()> {
    let expected: Vec<String> = expected.iter().map(ToString::to_string).collect();
    let networks = CLIENTS.map(|client| format!("{client}/32"));
    (0..REGIONS.len()).try_for_each(|place| {
        poll::until_equal("what is nearest", LIMIT, &expected, || told(scene, place, &networks))
    })
}

/// Waits until the explanation of a client's answer says that this is nearest, by which region's measurements, and with
/// latencies below and above what was put between.
fn await_explained(scene: &Scene, client: &str, (region, nearest): (&str, Ipv4Addr)) -> Result<()> {
    poll::until("the latencies that decided", LIMIT, || {
        let words = ["dns", "answer", NAME, "--client", client, "--explain"];
        let said = scene.cluster.cli(&words)?.ok()?;
        ensure!(said.contains(&format!("as region {region} measures")), "{said}");
        ensure!(said.contains(&nearest.to_string()), "{said}");
        let (_, latencies) =
            said.split_once("1 endpoint of least latency: ").context(said.clone())?;
        let (least, next) = latencies.split_once(", the next ").context(said.clone())?;
        let late = LATE.as_secs_f64() * 1000.0;
        ensure!(most_ms(least)? < late && most_ms(next)? > late, "{said}");
        Ok(())
    })
}

/// The end of a range such as `64 to 90.5 ms`.
fn most_ms(range: &str) -> Result<f64> {
    let (range, _) = range.split_once(" ms").context("no milliseconds")?;
    Ok(range.rsplit(' ').next().unwrap_or_default().parse()?)
}

fn epoch(scene: &Scene) -> Result<u64> {
    let entry = scene.cluster.service_as_seen_by(0, SERVICE)?;
    Ok(entry.status.context("a service without a status")?.epoch)
}

#[test]
fn clients_get_what_their_regions_agents_measure_as_nearest_and_follow_when_that_changes()
-> Result<()> {
    bare_scenario_in(&REGIONS, |scene| {
        let (eu, us) = (scene.eu.address(), scene.us.address());
        put(scene, "eu", "us")?;
        declare(scene, (POLICY, CHECK), true)?;
        await_told(scene, [eu, us])?;
        await_explained(scene, CLIENTS[0], ("eu", eu))?;
        await_explained(scene, CLIENTS[1], ("us", us))?;
        let before = epoch(scene)?;
        put(scene, "us", "eu")?;
        await_told(scene, [us, eu])?;
        await_explained(scene, CLIENTS[0], ("eu", us))?;
        await_explained(scene, CLIENTS[1], ("us", eu))?;
        ensure!(epoch(scene)? == before, "what is served is the same, and has another epoch");
        Ok(())
    })
}
