//! Who lives beside the cluster: secondaries that copy the zone, and follow what is decided.

use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Result, ensure};
use holdfast_tests::cluster::LIMIT;
use holdfast_tests::dns::{self, Answer};
use holdfast_tests::lab::Lab;
use holdfast_tests::manifest::ZONE;
use holdfast_tests::scenario::NAME;
use holdfast_tests::secondary::{Key, Secondary};
use holdfast_tests::{Scene, manifest, poll, process, scenario};
use rustix::process::Signal;

const NSD: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 31);
const KNOT: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 32);
const BIND: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 33);

type Start = fn(&mut Lab, (&Path, Ipv4Addr), &[Ipv4Addr], &Key) -> Result<Secondary>;

/// Who copies the zone, each under a key of its own. The last one is never paused: it is more than one process.
const SECONDARIES: [(Ipv4Addr, &str, Start); 3] = [
    (KNOT, "hmac-sha384", Secondary::knot),
    (BIND, "hmac-sha512", Secondary::bind),
    (NSD, "hmac-sha256", Secondary::nsd),
];

fn make_key(scene: &Scene, name: &str, algorithm: &str) -> Result<Key> {
    let words = ["tsig", "add", name, "--algorithm", algorithm, "-o", "table"];
    let key = Key::read(&scene.cluster.cli(&words)?.ok()?)?;
    ensure!(key.algorithm == algorithm, "{key:?}");
    Ok(key)
}

/// Gives the zone to the secondaries, and names nobody else as its servers.
fn hide_behind_secondaries(scene: &Scene) -> Result<Vec<Key>> {
    let mut keys = Vec::new();
    for (at, algorithm, _) in SECONDARIES {
        keys.push(make_key(scene, &format!("h{}.hf.test", at.octets()[3]), algorithm)?);
    }
    let names: Vec<_> = keys.iter().map(|key| key.name.as_str()).collect();
    let told = SECONDARIES.iter().zip(&names);
    let told: Vec<_> =
        told.map(|((at, ..), key)| format!("{{ address: {at}, key: {key} }}")).collect();
    let zone = manifest::zone(&SECONDARIES.map(|(at, ..)| at));
    let transfer = format!("keys: [{}], notify: [ {} ]", names.join(", "), told.join(", "));
    scene.cluster.apply(&format!("{zone}  transfer: {{ {transfer} }}\n"))?;
    Ok(keys)
}

fn await_at(scene: &Scene, servers: &[&Secondary], expected: &Answer) -> Result<()> {
    servers.iter().try_for_each(|server| {
        let ask = || dns::ask(&scene.cluster.client, server.host.address, NAME);
        let what = format!("the answer of {}", server.host.namespace);
        poll::until_equal(&what, LIMIT, expected, ask)
            .map_err(|error| error.context(server.process.said()))
    })
}

/// How many times increments were given, by all agents.
fn increments(scene: &Scene) -> Result<f64> {
    let labels = ["kind=\"ixfr\"", "result=\"increment\""];
    let given = |place| scene.cluster.counter(place, "holdfast_dns_transfers_total", &labels);
    scene.cluster.running().into_iter().map(given).sum()
}

/// Kills the first site, or revives it; returns the answer from then on.
fn change(scene: &mut Scene, to_eu: bool) -> Result<Answer> {
    if to_eu {
        scene.eu.revive()?;
        Ok(scene.answer_eu())
    } else {
        scene.eu.kill()?;
        Ok(scene.answer_us())
    }
}

#[test]
fn secondaries_of_a_hidden_primary_follow_failovers_by_notify_and_increments() -> Result<()> {
    scenario(|scene| {
        let keys = hide_behind_secondaries(scene)?;
        let (dir, agents) = (scene.dir().to_path_buf(), scene.cluster.addresses());
        let mut all: Vec<Secondary> = Vec::new();
        let (mut at_eu, mut answer) = (true, scene.answer_eu());
        for ((at, _, start), key) in SECONDARIES.iter().zip(&keys) {
            // Those before it are paused, so whatever is given is given to this one.
            let secondary = start(&mut scene.lab, (&dir, *at), &agents, key)?;
            await_at(scene, &[&secondary], &answer)?;
            let before = increments(scene)?;
            at_eu = !at_eu;
            answer = change(scene, at_eu)?;
            await_at(scene, &[&secondary], &answer)?;
            ensure!(increments(scene)? > before, "{at} was given no increment");
            if *at != NSD {
                secondary.process.signal(Signal::STOP)?;
            }
            all.push(secondary);
        }
        all.iter().try_for_each(|secondary| secondary.process.signal(Signal::CONT))?;
        let all: Vec<_> = all.iter().collect();
        await_at(scene, &all, &answer)?;

        let leader = scene.cluster.leader()?;
        scene.cluster.kill9(leader)?;
        answer = change(scene, !at_eu)?;
        await_at(scene, &all, &answer)?;
        all.iter().try_for_each(|secondary| ensure_hidden(scene, secondary))
    })
}

/// Whether a secondary names the secondaries as the zone's servers, and no agent.
fn ensure_hidden(scene: &Scene, secondary: &Secondary) -> Result<()> {
    let server = format!("@{}", secondary.host.address);
    let ask = |kind: &str, name: &str| -> Result<Vec<String>> {
        let mut dig = scene.cluster.client.command("dig");
        let said = process::run(dig.args([&server, "+short", kind, name]))?.ok()?;
        Ok(said.lines().map(str::to_owned).collect())
    };
    let mut addresses = Vec::new();
    for name in ask("NS", ZONE)? {
        addresses.extend(ask("A", &name)?);
    }
    addresses.sort();
    let expected = [NSD, KNOT, BIND].map(|at| at.to_string());
    ensure!(addresses == expected, "{addresses:?} at {}", secondary.host.namespace);
    Ok(())
}

#[test]
fn a_zone_is_copied_by_the_holder_of_the_key_and_nobody_else() -> Result<()> {
    scenario(|scene| {
        let key = make_key(scene, "xfr.hf.test", "hmac-sha256")?;
        let zone = manifest::zone(&scene.cluster.addresses());
        let transfer = format!("keys: [{}], allow: [10.77.0.0/24]", key.name);
        scene.cluster.apply(&format!("{zone}  transfer: {{ {transfer} }}\n"))?;
        let agent = scene.cluster.addresses()[0].to_string();
        let copy = |words: &[&str]| -> Result<String> {
            let mut command = scene.cluster.client.command("dig");
            command.arg(format!("@{agent}")).args(words).args(["AXFR", "hf.test", "+tries=1"]);
            process::run(&mut command)?.ok()
        };
        let file = scene.dir().join("key");
        std::fs::write(
            &file,
            format!(
                "key \"{}\" {{ algorithm {}; secret \"{}\"; }};\n",
                key.name, key.algorithm, key.secret
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
