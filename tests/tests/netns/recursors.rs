//! Recursors of three houses, which find the agents from the root down: what they tell their clients after a failover,
//! and while a name server is dead.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use holdfast_tests::lab::Lab;
use holdfast_tests::manifest::{BRISK, Service, WEB};
use holdfast_tests::recursor::{Kind, Recursor, Root};
use holdfast_tests::scenario::{NAME, SHOP, bare_scenario};
use holdfast_tests::{Scene, poll};
use holdfast_wire::pb::v1 as pb;

/// The TTL that the service tells: from it on all of them follow (Knot Resolver keeps everything for 5 s at least).
const TTL: Duration = Duration::from_secs(5);
/// What asking again may take beside it where a name server is dead and the machine is busy.
const SLACK: Duration = Duration::from_secs(10);

fn start_all(scene: &mut Scene) -> Result<(Root, Vec<Recursor>)> {
    let (dir, agents) = (scene.dir().to_path_buf(), scene.cluster.addresses());
    let root = Root::start(&mut scene.lab, &dir, &agents)?;
    let start = |lab: &mut Lab, dir: &Path, kind| Recursor::start(lab, dir, kind, &agents);
    let kinds = [Kind::Unbound, Kind::Bind, Kind::Knot];
    let all: Result<_> = kinds.into_iter().map(|kind| start(&mut scene.lab, &dir, kind)).collect();
    Ok((root, all?))
}

/// Declares the service of every scene with a TTL that resolvers keep to.
fn declare(scene: &Scene) -> Result<()> {
    let endpoints = [("eu", scene.eu.address(), 80), ("us", scene.us.address(), 80)];
    let shop = Service { name: SHOP, endpoints: &endpoints, check: WEB, failover: BRISK }.to_yaml();
    scene.cluster.apply(&shop.replace("ttl: 1s", &format!("ttl: {}s", TTL.as_secs())))?;
    for endpoint in ["eu", "us"] {
        scene.cluster.await_verdict(0, (SHOP, endpoint), pb::Verdict::Up)?;
    }
    scene.await_everywhere(&scene.answer_eu())
}

/// Asks all of them until each tells this address; then they keep to it. Errors: also one that did not answer once.
fn await_all(scene: &Scene, recursors: &[Recursor], address: Ipv4Addr) -> Result<()> {
    let expected = [address.to_string()];
    let mut silent = Vec::new();
    poll::until("all recursors to follow", TTL + SLACK, || {
        for one in recursors {
            let told = answers(scene, one);
            if let Err(error) = &told {
                silent.push(format!("{:?}: {error:#}", one.kind));
            }
            ensure!(told? == expected, "{:?} tells another answer", one.kind);
        }
        Ok(())
    })?;
    ensure!(silent.is_empty(), "without an answer meanwhile: {silent:#?}");
    Ok(())
}

fn answers(scene: &Scene, recursor: &Recursor) -> Result<Vec<String>> {
    recursor.ask(&scene.cluster.client, &["-t", "A", NAME])
}

#[test]
fn unbound_bind_and_knot_follow_a_failover_and_survive_a_dead_server() -> Result<()> {
    bare_scenario(|scene| {
        declare(scene)?;
        let (root, recursors) = start_all(scene)?;
        let (eu, us) = (scene.eu.address(), scene.us.address());
        await_all(scene, &recursors, eu)?;
        scene.eu.kill()?;
        scene.await_everywhere(&scene.answer_us())?;
        await_all(scene, &recursors, us)?;

        let leader = scene.cluster.leader()?;
        scene.cluster.kill9(leader)?;
        // Names that no cache has, so that each of them meets the dead server.
        for number in 0..12 {
            for one in &recursors {
                let name = format!("no-{number}.{NAME}");
                let denied = one.denies(&scene.cluster.client, &name);
                denied.with_context(|| format!("{:?} with one server of three", one.kind))?;
            }
        }
        scene.eu.revive()?;
        scene.await_everywhere(&scene.answer_eu())?;
        await_all(scene, &recursors, eu)?;
        Ok((root, recursors))
    })
}
