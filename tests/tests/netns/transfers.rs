//! Who lives beside the cluster: secondaries that copy the zone, and follow what is decided.

use std::net::Ipv4Addr;

use anyhow::{Result, ensure};
use holdfast_tests::cluster::LIMIT;
use holdfast_tests::dns::{self, Answer};
use holdfast_tests::scenario::NAME;
use holdfast_tests::secondary::{Key, Secondary};
use holdfast_tests::{Scene, manifest, poll, scenario};

const NSD: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 31);
const KNOT: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 32);
const BIND: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 33);
const KEY: &str = "xfr.hf.test";

/// Makes a key, and gives the zone to its holder.
fn share(scene: &Scene, more: &str) -> Result<Key> {
    let printed = scene.cluster.cli(&["tsig", "add", KEY, "-o", "table"])?.ok()?;
    let key = Key::read(&printed)?;
    let zone = manifest::zone(&scene.cluster.addresses());
    scene.cluster.apply(&format!("{zone}  transfer: {{ keys: [{KEY}], {more} }}\n"))?;
    Ok(key)
}

fn await_at(scene: &Scene, servers: &[&Secondary], expected: &Answer) -> Result<()> {
    servers.iter().try_for_each(|server| {
        let ask = || dns::ask(&scene.cluster.client, server.host.address, NAME);
        let what = format!("the answer of {}", server.host.namespace);
        poll::until_equal(&what, LIMIT, expected, ask)
            .map_err(|error| error.context(server.process.said()))
    })
}

#[test]
fn secondaries_follow_failovers_by_notify_and_increments() -> Result<()> {
    scenario(|scene| {
        let told = [NSD, KNOT, BIND].map(|at| format!("{{ address: {at}, key: {KEY} }}"));
        let notify = format!("notify: [ {} ]", told.join(", "));
        let key = share(scene, &notify)?;
        let dir = scene.dir().to_path_buf();
        let agents = scene.cluster.addresses();
        let nsd = Secondary::nsd(&mut scene.lab, (&dir, NSD), &agents, &key)?;
        let knot = Secondary::knot(&mut scene.lab, (&dir, KNOT), &agents, &key)?;
        let bind = Secondary::bind(&mut scene.lab, (&dir, BIND), &agents, &key)?;
        let all = [&nsd, &knot, &bind];
        await_at(scene, &all, &scene.answer_eu())?;

        scene.eu.kill()?;
        await_at(scene, &all, &scene.answer_us())?;

        let leader = scene.cluster.leader()?;
        scene.cluster.kill9(leader)?;
        scene.eu.revive()?;
        await_at(scene, &all, &scene.answer_eu())?;

        let given = |kind: &str| -> Result<bool> {
            let mut found = false;
            for place in scene.cluster.running() {
                let url = format!("http://{}:7480/metrics", agents[place]);
                let metrics = holdfast_tests::process::run(
                    scene.cluster.client.command("curl").args(["-s", &url]),
                )?
                .ok()?;
                let label = format!("kind=\"{kind}\",result=\"given\"");
                found |= metrics.contains(&label);
            }
            Ok(found)
        };
        ensure!(given("ixfr")?, "nobody was given an increment");
        Ok(())
    })
}

#[test]
fn a_zone_is_copied_by_the_holder_of_the_key_and_nobody_else() -> Result<()> {
    scenario(|scene| {
        let key = share(scene, "allow: [10.77.0.0/24]")?;
        let agent = scene.cluster.addresses()[0].to_string();
        let copy = |words: &[&str]| -> Result<String> {
            let mut command = scene.cluster.client.command("dig");
            command.arg(format!("@{agent}")).args(words).args(["AXFR", "hf.test", "+tries=1"]);
            holdfast_tests::process::run(&mut command)?.ok()
        };
        let file = scene.dir().join("key");
        std::fs::write(
            &file,
            format!(
                "key \"{}\" {{ algorithm hmac-sha256; secret \"{}\"; }};\n",
                key.name, key.secret
            ),
        )?;
        let whole = copy(&["-k", &file.to_string_lossy()])?;
        for part in ["shop.hf.test.", "ns1.hf.test.", "SOA", "eu.shop.hf.test.", "SRV", "TSIG"] {
            ensure!(whole.contains(part), "{part} is missing in\n{whole}");
        }
        ensure!(!whole.contains("WARNING") && !whole.contains("Transfer failed"), "{whole}");
        ensure!(copy(&[])?.contains("Transfer failed"), "given without a key");
        Ok(())
    })
}
