//! Zones that come from primaries which people run: BIND, NSD and Knot, and agents that follow them.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use holdfast_tests::cluster::LIMIT;
use holdfast_tests::dns::Answer;
use holdfast_tests::primary::{Content, Kind, Primary};
use holdfast_tests::secondary::Key;
use holdfast_tests::{Scene, poll, scenario};

const KEY: &str = "copy.hf.test";
/// Nobody looks again within a test: what is followed was told by a NOTIFY.
const LONG: [u32; 3] = [3600, 600, 86_400];
/// A copy is overdue after three seconds.
const SHORT: [u32; 3] = [1, 1, 3];

fn www(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 0, 2, last)
}

/// The content of a serial: the address says which.
fn content(serial: u8, times: [u32; 3]) -> Content {
    Content { serial: serial.into(), times, www: www(serial) }
}

fn key(scene: &Scene) -> Result<Key> {
    Key::read(&scene.cluster.cli(&["tsig", "add", KEY, "-o", "table"])?.ok()?)
}

/// A primary with its first content, declared and copied.
fn followed(scene: &mut Scene, kind: Kind, key: &Key) -> Result<Primary> {
    let (dir, agents) = (scene.dir().to_path_buf(), scene.cluster.addresses());
    let first = (kind, content(1, LONG));
    let primary = Primary::start(&mut scene.lab, &dir, first, (&agents, key))?;
    scene.cluster.apply(&primary.manifest(key))?;
    await_copied(scene, &primary, 1)?;
    Ok(primary)
}

/// Waits until every running agent answers as the primary does at this serial.
fn await_copied(scene: &Scene, primary: &Primary, serial: u8) -> Result<()> {
    let (places, expected) = (scene.cluster.running(), Answer::of(&[www(serial)]));
    let told = scene.cluster.await_answer(&places, &primary.www(), &expected);
    told.with_context(|| format!("{:?} said\n{}", primary.kind, primary.process.said()))
}

/// Waits until the zone's line of `zone list` has these words.
fn await_listed(scene: &Scene, primary: &Primary, words: &str) -> Result<()> {
    poll::until(&format!("{} with {words:?}", primary.zone()), LIMIT, || {
        let list = scene.cluster.cli(&["zone", "list", "-o", "table"])?.ok()?;
        let line = list.lines().find(|line| line.starts_with(primary.zone()));
        ensure!(line.is_some_and(|line| line.contains(words)), "{list}");
        Ok(())
    })
}

#[test]
fn agents_follow_bind_nsd_and_knot_by_notify_and_increments() -> Result<()> {
    scenario(|scene| {
        let key = key(scene)?;
        let mut primaries = Vec::new();
        for kind in [Kind::Bind, Kind::Nsd, Kind::Knot] {
            primaries.push(followed(scene, kind, &key)?);
        }
        for primary in &primaries {
            primary.change(content(2, LONG))?;
            await_copied(scene, primary, 2)?;
            await_listed(scene, primary, &format!("serial 2 from {}:53", primary.host.address))?;
        }
        for primary in primaries.iter().filter(|primary| primary.kind != Kind::Nsd) {
            // NSD logs no transfers at this verbosity.
            ensure!(primary.process.said().contains("IXFR"), "{:?} gave none", primary.kind);
        }

        let leader = scene.cluster.leader()?;
        scene.cluster.kill9(leader)?;
        for primary in &primaries {
            primary.change(content(3, LONG))?;
            await_copied(scene, primary, 3)?;
        }
        Ok(())
    })
}

#[test]
fn a_zone_is_answered_on_while_its_primary_is_dead() -> Result<()> {
    scenario(|scene| {
        let key = key(scene)?;
        let mut primary = followed(scene, Kind::Bind, &key)?;
        primary.change(content(2, SHORT))?;
        await_copied(scene, &primary, 2)?;

        primary.process.kill9()?;
        await_listed(scene, &primary, "; stale: ")?;
        let answer = Answer::of(&[www(2)]);
        for place in scene.cluster.running() {
            let ask = || scene.cluster.ask(place, &primary.www());
            poll::throughout("a stale zone", Duration::from_millis(300), &answer, ask)?;
        }

        primary.restart(content(3, SHORT))?;
        await_copied(scene, &primary, 3)?;
        await_listed(scene, &primary, "serial 3 from")
    })
}
