//! Clients of several networks: behind a resolver that tells their networks, in a database of places that is replaced,
//! under a policy that keeps a network where it is, and under one that sends it to what is nearest.

mod nearest;

use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Result, ensure};
use holdfast_tests::cluster::LIMIT;
use holdfast_tests::lab::Host;
use holdfast_tests::process::{must, run};
use holdfast_tests::recursor::{Kind, Recursor, Root};
use holdfast_tests::scenario::bare_scenario;
use holdfast_tests::{Scene, manifest, places, poll};
use serde_json::Value;

const SERVICE: &str = "near";
const NAME: &str = "near.hf.test";
/// Two clients of the network that a rule sends to `us`, two in the largest other network of which one answer is true
/// (196.0.0.0/6), and one elsewhere.
const OFFICE: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 2, 7), Ipv4Addr::new(192, 0, 2, 8)];
const HOME: [Ipv4Addr; 2] = [Ipv4Addr::new(198, 51, 100, 7), Ipv4Addr::new(199, 0, 0, 7)];
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);

/// Declares the zone with its answers tailored, and a service of a pool per site, or one, that is steered and checked so.
fn declare(scene: &Scene, (policy, check): (&str, &str), one_pool: bool) -> Result<()> {
    let zone = manifest::zone(&scene.cluster.addresses());
    scene.cluster.apply(&zone.replace("spec:\n", "spec:\n  client_subnet: true\n"))?;
    let endpoint = |name: &str, at| format!("{{ name: {name}, address: \"{at}:80\" }}");
    let [eu, us] = [endpoint("eu", scene.eu.address()), endpoint("us", scene.us.address())];
    let pools = if one_pool {
        format!("[ {{ name: all, endpoints: [ {eu}, {us} ] }} ]")
    } else {
        format!("[ {{ name: eu, endpoints: [ {eu} ] }}, {{ name: us, endpoints: [ {us} ] }} ]")
    };
    scene.cluster.apply(&format!(
        "apiVersion: holdfast/v1\nkind: Service\nmetadata: {{ name: {SERVICE} }}\nspec:\n  \
         dns: {{ name: {NAME}, ttl: 60s }}\n  policy: {policy}\n  pools: {pools}\n  \
         checks: [ {{ name: check, {check} }} ]\n  failover: {{ {} }}\n",
        manifest::BRISK,
    ))?;
    let up = holdfast_wire::pb::v1::Verdict::Up;
    ["eu", "us"].iter().try_for_each(|one| scene.cluster.await_verdict(0, (SERVICE, one), up))
}

/// Runs every agent anew with these lines of configuration in `[dns]`; `DIR` in them is each one's own directory.
fn reconfigure(scene: &mut Scene, lines: &str) -> Result<()> {
    for place in scene.cluster.running() {
        let node = &scene.cluster.nodes()[place];
        let lines = lines.replace("DIR", &node.dir.display().to_string());
        let text = scene.cluster.config_text(node);
        std::fs::write(node.config(), text.replacen("[dns]\n", &format!("[dns]\n{lines}\n"), 1))?;
        scene.cluster.terminate(place)?;
        scene.cluster.start_node(place)?;
        scene.cluster.await_ready()?;
    }
    Ok(())
}

/// Gives a host more addresses, and another one the way to them.
fn add_addresses(host: &Host, addresses: &[Ipv4Addr], seen_by: &Host) -> Result<()> {
    for address in addresses.iter().map(ToString::to_string) {
        must("ip", ["-n", &host.namespace, "addr", "add", &address, "dev", "eth0"])?;
        must("ip", ["-n", &seen_by.namespace, "route", "add", &address, "dev", "eth0"])?;
    }
    Ok(())
}

/// How often the resolver has asked any agent for the service's addresses, by their query logs.
fn asked_by(scene: &Scene, resolver: Ipv4Addr) -> Result<usize> {
    let mut count = 0;
    for node in scene.cluster.nodes() {
        let log = std::fs::read_to_string(node.dir.join("queries.jsonl")).unwrap_or_default();
        for line in log.lines() {
            let line: Value = serde_json::from_str(line)?;
            let of_it = line["client"] == resolver.to_string()
                && line["type"] == "A"
                && line["name"].as_str().is_some_and(|name| name.trim_end_matches('.') == NAME);
            count += usize::from(of_it);
        }
    }
    Ok(count)
}

#[test]
fn clients_of_two_networks_behind_one_resolver_get_two_answers_and_share_a_cache_within_a_scope()
-> Result<()> {
    bare_scenario(|scene| {
        let log =
            "query_log = { file = \"DIR/queries.jsonl\", one_in = 1, whole_addresses = true }";
        reconfigure(scene, log)?;
        let rules = "{ geo: { rules: [ { match: { cidr: [192.0.2.0/25] }, pools: [us] }, { pools: [eu] } ] } }";
        declare(scene, (rules, manifest::WEB), false)?;
        let (dir, agents) = (scene.dir().to_path_buf(), scene.cluster.addresses());
        let root = Root::start(&mut scene.lab, &dir, &agents)?;
        let kind = Kind::UnboundWithSubnets;
        let resolver = Recursor::start(&mut scene.lab, &dir, kind, &agents)?;
        let client = scene.cluster.client.clone();
        let clients = [&OFFICE[..], &HOME, &[ELSEWHERE]].concat();
        add_addresses(&client, &clients, &resolver.host)?;
        let (eu, us) = (scene.eu.address(), scene.us.address());
        // Who asks, what is told, and how often the agents were asked by then.
        let told = [
            (OFFICE[0], us, 1),
            (OFFICE[1], us, 1),
            (HOME[0], eu, 2),
            (OFFICE[0], us, 2),
            (HOME[1], eu, 2),
            (ELSEWHERE, eu, 3),
        ];
        for (from, expected, asked) in told {
            let source = from.to_string();
            let answer = resolver.ask(&client, &["-b", &source, "-t", "A", NAME])?;
            ensure!(answer == [expected.to_string()], "{from} is told {answer:?}");
            poll::until_equal("the questions of the resolver", LIMIT, &asked, || {
                asked_by(scene, resolver.host.address)
            })?;
        }
        Ok((root, resolver))
    })
}

/// What clients of these networks are told by an agent.
fn told(scene: &Scene, place: usize, networks: &[String]) -> Result<Vec<String>> {
    let mut command = scene.cluster.client.command("kdig");
    command.arg(format!("@{}", scene.cluster.nodes()[place].address())).arg("+short");
    for network in networks {
        command.args(["-t", "A", NAME, &format!("+subnet={network}")]);
    }
    let said = run(&mut command)?.ok()?;
    let told: Vec<String> =
        said.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    ensure!(told.len() == networks.len(), "{} answers to {} questions", told.len(), networks.len());
    Ok(told)
}

/// Puts a file in the place of another, as people replace databases.
fn replace(file: &Path, bytes: &[u8]) -> Result<()> {
    let new = file.with_extension("new");
    std::fs::write(&new, bytes)?;
    Ok(std::fs::rename(&new, file)?)
}

#[test]
fn a_database_of_places_that_is_replaced_steers_anew_and_a_broken_one_does_not() -> Result<()> {
    bare_scenario(|scene| {
        let file = scene.dir().join("places.mmdb");
        let network = [192, 0, 2, 0];
        replace(&file, &places::database(&[(network, 24, "FR")]))?;
        reconfigure(scene, &format!("geo = {{ database = \"{}\" }}", file.display()))?;
        let rules =
            "{ geo: { rules: [ { match: { country: [DE] }, pools: [us] }, { pools: [eu] } ] } }";
        declare(scene, (rules, manifest::WEB), false)?;
        let (eu, us) = (scene.eu.address().to_string(), scene.us.address().to_string());
        let networks = ["192.0.2.0/24".to_owned(), "198.51.100.0/24".to_owned()];
        let await_all = |expected: [&String; 2]| {
            let expected = expected.map(String::clone).to_vec();
            (0..3).try_for_each(|place| {
                poll::until_equal("the steered answers", LIMIT, &expected, || {
                    told(scene, place, &networks)
                })
            })
        };
        await_all([&eu, &eu])?;
        replace(&file, &places::database(&[(network, 24, "DE")]))?;
        await_all([&us, &eu])?;
        replace(&file, b"no database")?;
        poll::until("the broken database to be counted", LIMIT, || {
            let broken = scene.cluster.counter(0, "holdfast_dns_geo_databases_broken", &[])?;
            ensure!(broken > 0.5, "{broken}");
            Ok(())
        })?;
        await_all([&us, &eu])
    })
}

/// Networks that ask the sticky service.
const NETWORKS: u8 = 60;

#[test]
fn a_sticky_network_stays_where_it_is_and_only_those_of_a_dead_endpoint_move() -> Result<()> {
    bare_scenario(|scene| {
        declare(scene, ("sticky", manifest::WEB), true)?;
        let networks: Vec<String> = (0..NETWORKS).map(|net| format!("100.64.{net}.0/24")).collect();
        let (eu, us) = (scene.eu.address().to_string(), scene.us.address().to_string());
        let await_all = |scene: &Scene, expected: &Vec<String>| {
            (0..3).try_for_each(|place| {
                poll::until_equal("where networks are sent", LIMIT, expected, || {
                    told(scene, place, &networks)
                })
            })
        };
        let first = poll::until("both endpoints in the answers", LIMIT, || {
            let told = told(scene, 0, &networks)?;
            ensure!(told.contains(&eu) && told.contains(&us), "{told:?}");
            Ok(told)
        })?;
        await_all(scene, &first)?;
        scene.eu.kill()?;
        await_all(scene, &vec![us; networks.len()])?;
        scene.eu.revive()?;
        await_all(scene, &first)
    })
}
