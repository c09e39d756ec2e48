//! Addresses that nsupdate registers at the name of a service: probed, agreed on, and served while they are up.

use holdfast_tests::scenario::{NAME, SHOP, bare_scenario};
use holdfast_tests::site::Site;
use holdfast_wire::pb::v1::Verdict;

use super::*;

const ANOTHER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 33);
/// Nobody is there.
const DEAD: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 34);

#[test]
fn what_nsupdate_registers_is_probed_and_served_while_it_is_up() -> Result<()> {
    bare_scenario(|scene| {
        scene.declare_shop()?;
        let (file, _) = make_key(scene, KEY)?;
        open(scene, ", names: [shop.hf.test], registers: { pool: eu, port: 80 }", "")?;
        let dir = scene.dir().to_path_buf();
        let mut another = Site::start(&mut scene.lab, ("another", ANOTHER), &dir, None)?;
        let scene = &*scene;
        let leader = scene.cluster.leader()?;
        let update = |place: usize, lines: &[String]| -> Result<()> {
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            nsupdate(scene, (place, false), Some(&file), &lines)?.map_err(|said| anyhow!(said))
        };
        let verdict = |ip: Ipv4Addr, verdict| {
            let name = format!("ip-{}", ip.to_string().replace('.', "-"));
            scene.cluster.await_verdict(0, (SHOP, &name), verdict)
        };

        let lines = [ANOTHER, DEAD].map(|ip| format!("add {NAME} 60 A {ip}"));
        update((leader + 1) % 3, &lines)?;
        verdict(DEAD, Verdict::Down)?;
        verdict(ANOTHER, Verdict::Up)?;
        let eu = scene.eu.address();
        scene.await_everywhere(&Answer::of(&[eu, ANOTHER]))?;

        another.kill()?;
        scene.await_everywhere(&Answer::of(&[eu]))?;
        another.revive()?;
        scene.await_everywhere(&Answer::of(&[eu, ANOTHER]))?;

        let replace = [format!("del {NAME} A"), format!("add {NAME} 60 A {ANOTHER}")];
        update(leader, &replace)?;
        scene.await_everywhere(&Answer::of(&[ANOTHER]))?;
        let events = ["audit", "search", "--kind", "endpoint.deregistered", "-o", "table"];
        let events = scene.cluster.cli(&events)?.ok()?;
        ensure!(events.contains(KEY) && events.contains("ip-10-77-0-34"), "{events}");

        for line in [format!("add {NAME} 1 TXT x"), format!("add b.{ZONE} 1 A {FIRST}")] {
            expect_code(nsupdate(scene, (leader, false), Some(&file), &[&line]), "REFUSED")?;
        }
        Ok(another)
    })
}
