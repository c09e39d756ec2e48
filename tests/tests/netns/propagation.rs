//! What the world says: a resolver that keeps answers too long, a parent with the wrong glue, and a TTL that is lowered
//! before a change.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use holdfast_core::propagation::bound_of;
use holdfast_tests::cluster::LIMIT;
use holdfast_tests::lab::Lab;
use holdfast_tests::manifest::{BRISK, Service, WEB, ZONE};
use holdfast_tests::process::Process;
use holdfast_tests::resolver::Resolver;
use holdfast_tests::scenario::{NAME, SHOP, Scene};
use holdfast_tests::{dns, poll, scenario};
use serde_json::Value;

const RESOLVER: &str = "10.77.0.5";
const HOLDER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 6);
/// The servers of the zone above: the first refers to the agents as they are, the second has one of them at [`WRONG`].
const PARENTS: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 77, 0, 7), Ipv4Addr::new(10, 77, 0, 8)];
/// Where the parent's second server says that the second name server is.
const WRONG: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 99);

/// The words that ask what the world says of the service's name.
fn words<'a>(resolvers: &[&'a str]) -> Vec<&'a str> {
    let given = resolvers.iter().flat_map(|resolver| ["--resolver", resolver]);
    ["dns", "propagation", NAME, "-o", "json"].into_iter().chain(given).collect()
}

/// What `dns propagation` says of the service's name.
fn look(scene: &Scene, resolvers: &[&str]) -> Result<Value> {
    scene.cluster.cli(&words(resolvers))?.json()
}

/// The same, where the agent at this place is reached.
fn look_from(scene: &Scene, place: usize, resolvers: &[&str]) -> Result<Value> {
    scene.cluster.cli_at(place, &words(resolvers))?.json()
}

/// Whether a fault is named, and whose it is.
fn names(look: &Value, fault: &str, subject: &str) -> bool {
    let findings = look["findings"].as_array();
    findings.into_iter().flatten().any(|one| one["fault"] == fault && one["subject"] == subject)
}

/// A resolver that keeps what it is told first for ever.
fn start_holder(scene: &mut Scene) -> Result<Process> {
    let host = scene.lab.host("holder", HOLDER)?;
    let mut command = host.command("python3");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/holder.py"));
    command.args([HOLDER.to_string(), scene.cluster.addresses()[0].to_string()]);
    let holder = Process::start("holder", &mut command, &scene.dir().join("holder.log"))?;
    poll::until("the holder", LIMIT, || dns::ask(&scene.cluster.client, HOLDER, NAME))?;
    Ok(holder)
}

#[test]
fn a_resolver_that_keeps_an_answer_too_long_is_named() -> Result<()> {
    scenario(|scene| {
        let dir = scene.dir().to_path_buf();
        let addresses = scene.cluster.addresses();
        let _resolver = Resolver::start(&mut scene.lab, &dir, &addresses)?;
        let _holder = start_holder(scene)?;

        let holder = HOLDER.to_string();
        let resolvers = [RESOLVER, &holder];
        let agents = addresses.len();
        poll::until("all to be well", LIMIT, || {
            let before = look(scene, &resolvers)?;
            let sightings = before["sightings"].as_array().map_or(0, Vec::len);
            ensure!(sightings == agents * (agents + 2), "every agent asks everybody: {before:#}");
            ensure!(before["findings"] == Value::Array(Vec::new()), "{before:#}");
            Ok(())
        })?;

        scene.eu.kill()?;
        scene.await_everywhere(&scene.answer_us())?;
        let holder = format!("{holder}:53");
        poll::until("the holder to be named", LIMIT, || {
            let after = look(scene, &resolvers)?;
            let kept = names(&after, "kept_too_long", &holder);
            kept.then_some(()).ok_or_else(|| anyhow!("{after:#}"))
        })?;
        let after = look(scene, &resolvers)?;
        ensure!(!names(&after, "kept_too_long", &format!("{RESOLVER}:53")), "{after:#}");
        ensure!(!after["findings"].to_string().contains("stale"), "{after:#}");
        Ok(())
    })
}

/// An NSD that serves the zone above from one of [`PARENTS`], and refers to the agents at these addresses.
fn start_parent(
    lab: &mut Lab,
    scene_dir: &Path,
    number: usize,
    agents: &[Ipv4Addr],
) -> Result<Process> {
    let mut zone =
        "$ORIGIN test.\n$TTL 60\n@ SOA ns1.test. hostmaster.test. 1 3600 600 86400 60\n".to_owned();
    for (place, address) in (1..).zip(PARENTS) {
        writeln!(zone, "@ NS ns{place}.test.\nns{place} A {address}")?;
    }
    for (place, address) in (1..).zip(agents) {
        writeln!(zone, "{ZONE}. NS ns{place}.{ZONE}.\nns{place}.{ZONE}. A {address}")?;
    }
    let (name, address) = (format!("parent{number}"), PARENTS[number]);
    let dir = scene_dir.join(&name);
    std::fs::create_dir_all(&dir)?;
    std::fs::write(dir.join("test.zone"), zone)?;
    let place = dir.display();
    std::fs::write(
        dir.join("nsd.conf"),
        format!(
            "server:\n  ip-address: {address}\n  username: \"\"\n  pidfile: \"\"\n  database: \"\"\n  \
             zonesdir: \"{place}\"\n  zonelistfile: \"{place}/zone.list\"\n  xfrdfile: \"\"\n  \
             server-count: 1\nremote-control:\n  control-enable: no\nzone:\n  name: test\n  zonefile: test.zone\n"
        ),
    )?;
    let host = lab.host(&name, address)?;
    let mut command = host.command("nsd");
    command.arg("-d").arg("-c").arg(dir.join("nsd.conf"));
    let process = Process::start("nsd", &mut command, &dir.join("nsd.log"))?;
    poll::until("nsd", LIMIT, || dns::ask(&host, address, "ns1.test"))?;
    Ok(process)
}

/// The agents that one of [`PARENTS`] told something, in their order.
fn told_by(look: &Value, parent: Ipv4Addr) -> Vec<&str> {
    let at = format!("{parent}:53");
    let sightings = look["parent_sightings"].as_array().into_iter().flatten();
    let told = sightings.filter(|one| one["delegation"]["parent"] == at);
    let mut agents: Vec<&str> = told.filter_map(|one| one["asker"].as_str()).collect();
    agents.sort_unstable();
    agents
}

/// Errors: the look finds anything but the wrong glue at the parent's second server, once, as these agents saw it.
fn finds_wrong_glue(look: &Value, agents: &[&str], seen_from: &str) -> Result<()> {
    let second = PARENTS[1];
    ensure!(names(look, "glue_mismatch", &format!("ns2.{ZONE}")), "{look:#}");
    ensure!(look["findings"].as_array().map_or(0, Vec::len) == 1, "told once: {look:#}");
    let finding = &look["findings"][0];
    ensure!(finding["agents"] == serde_json::json!(agents), "{look:#}");
    let text = format!("the parent ({second}:53; seen from {seen_from}) has {{{WRONG}}}");
    ensure!(finding["text"].to_string().contains(&text), "{look:#}");
    ensure!(told_by(look, PARENTS[0]) == ["a1", "a2", "a3"], "{look:#}");
    ensure!(told_by(look, second) == agents, "{look:#}");
    ensure!(look["parents"] == 2, "{look:#}");
    Ok(())
}

#[test]
fn wrong_glue_at_the_parent_is_named() -> Result<()> {
    scenario(|scene| {
        let dir = scene.dir().to_path_buf();
        let agents = scene.cluster.addresses();
        let wrong = [agents[0], WRONG, agents[2]];
        let _first = start_parent(&mut scene.lab, &dir, 0, &agents)?;
        let _second = start_parent(&mut scene.lab, &dir, 1, &wrong)?;
        let stubs: [(&str, &[Ipv4Addr]); 2] = [("test", &PARENTS), (ZONE, &agents)];
        let _resolver = Resolver::start_with(&mut scene.lab, &dir, &stubs)?;

        let blind = look(scene, &[])?;
        ensure!(blind["parents"] == 0 && blind["findings"] == serde_json::json!([]), "{blind:#}");
        let unasked = "could not be asked from all 3 agents: it has no resolver";
        ensure!(blind["notes"].to_string().contains(unasked), "{blind:#}");

        poll::until("the wrong glue and nothing else to be named", LIMIT, || {
            finds_wrong_glue(&look(scene, &[RESOLVER])?, &["a1", "a2", "a3"], "all 3 agents")
        })?;

        scene.lab.part(&[agents[0]], &[PARENTS[1]])?;
        let reached = "the agent that is reached cannot ask the server with the wrong glue";
        poll::until(reached, LIMIT, || {
            let look = look_from(scene, 0, &[RESOLVER])?;
            finds_wrong_glue(&look, &["a2", "a3"], "a2, a3 of 3 agents")?;
            let note = format!("({}:53) could not be asked from a1 of 3 agents", PARENTS[1]);
            ensure!(look["notes"].to_string().contains(&note), "{look:#}");
            Ok(())
        })
    })
}

#[test]
fn a_lowered_ttl_is_told_and_waited_for() -> Result<()> {
    scenario(|scene| {
        let endpoints = [("eu", scene.eu.address(), 80), ("us", scene.us.address(), 80)];
        let shop = Service { name: SHOP, endpoints: &endpoints, check: WEB, failover: BRISK };
        let manifest = shop.to_yaml().replace("ttl: 1s", "ttl: 8s, ttl_min: 2s");
        scene.cluster.apply(&manifest)?;
        let settings = scene.cluster.cli(&["settings", "show", "-o", "json"])?.json()?;
        ensure!(settings["ttl_floor_ms"] == 1000, "{settings:#}");
        let above = declared(scene, &manifest)?;
        ensure!(!above.contains("ttl_floor"), "2s are above the floor of this group: {above}");
        scene.cluster.cli(&["settings", "set", "--ttl-floor", "3s"])?.ok()?;
        let below = declared(scene, &manifest)?;
        ensure!(
            below.contains("dns.ttl_min is 2s, and nothing is told for less than 3s"),
            "{below}"
        );
        scene.cluster.cli(&["settings", "set", "--ttl-floor", "1s"])?.ok()?;
        let cluster = &scene.cluster;
        let told = || -> Result<u64> {
            let look = look(scene, &[])?;
            look["sightings"][0]["ttl_seconds"].as_u64().ok_or_else(|| anyhow!("{look:#}"))
        };
        poll::until_equal("the declared TTL", LIMIT, &8, told)?;
        let refused = cluster
            .cli(&["dns", "ttl", "lower", NAME, "--to", "1s", "--for", "1m", "--reason", "r"])?;
        ensure!(refused.ok().is_err_and(|error| format!("{error:#}").contains("dns.ttl_min")));

        let words = ["dns", "ttl", "lower", NAME, "--for", "1m", "--reason", "move", "-o", "json"];
        let lowered = cluster.cli(&words)?;
        ensure!(lowered.stderr.contains("the old TTL is over"), "{}", lowered.stderr);
        let lowered = lowered.json()?;
        let moment = |field: &str| lowered[field].as_u64().unwrap_or_default();
        let waited = moment("safe_at_ms").saturating_sub(moment("published_at_ms"));
        ensure!(lowered["ttl_ms"] == 2000 && waited == 8000, "{lowered:#}");
        poll::until_equal("the lowered TTL", LIMIT, &2, told)?;

        let orders = cluster.cli(&["dns", "ttl", "list", "-o", "json"])?.json()?;
        ensure!(orders["orders"][0]["service"] == SHOP, "{orders:#}");
        cluster.cli(&["dns", "ttl", "restore", SHOP])?.ok()?;
        poll::until_equal("the declared TTL again", LIMIT, &8, told)
    })
}

/// What `holdfast apply` says of a manifest, without applying it.
fn declared(scene: &Scene, manifest: &str) -> Result<String> {
    let file = scene.dir().join("declared.yaml");
    std::fs::write(&file, manifest)?;
    let words = ["apply", "-f", &file.to_string_lossy(), "--dry-run", "server"];
    scene.cluster.cli(&words)?.ok()
}

/// The record of how the answer of this epoch came to be told outside.
fn convergence(scene: &Scene, epoch: u64) -> Result<Value> {
    let words = ["events", "--service", SHOP, "--kind", "failover.converged", "-o", "json"];
    let events = scene.cluster.cli(&words)?.json()?;
    let records = events["records"].as_array().into_iter().flatten();
    let mut told = records.map(|record| &record["event"]["failover_converged"]);
    let found = told.find(|one| one["epoch"] == epoch).cloned();
    found.ok_or_else(|| anyhow!("none of epoch {epoch}: {events:#}"))
}

/// The epoch of what the service answers.
fn epoch(scene: &Scene) -> Result<u64> {
    let entry = scene.cluster.service_as_seen_by(0, SHOP)?;
    entry.status.map(|status| status.epoch).ok_or_else(|| anyhow!("no status"))
}

/// Runs every agent anew, with these resolvers to look at.
fn look_at(scene: &mut Scene, resolvers: &[&str]) -> Result<()> {
    for place in scene.cluster.running() {
        let node = &scene.cluster.nodes()[place];
        let text = scene.cluster.config_text(node);
        let text = format!("{text}\n[dns.propagation]\nresolvers = {resolvers:?}\n");
        std::fs::write(node.config(), text)?;
        scene.cluster.terminate(place)?;
        scene.cluster.start_node(place)?;
        scene.cluster.await_ready()?;
    }
    poll::until("all to be well", LIMIT, || {
        let before = look(scene, &[])?;
        ensure!(before["findings"] == Value::Array(Vec::new()), "{before:#}");
        Ok(())
    })
}

#[test]
fn a_failover_is_followed_until_resolvers_tell_it_and_a_holder_is_named() -> Result<()> {
    scenario(|scene| {
        let dir = scene.dir().to_path_buf();
        let addresses = scene.cluster.addresses();
        let agents = addresses.len();
        let _resolver = Resolver::start(&mut scene.lab, &dir, &addresses)?;
        look_at(scene, &[RESOLVER])?;
        scene.eu.kill()?;
        scene.await_everywhere(&scene.answer_us())?;
        let moved = epoch(scene)?;
        let told = poll::until("the convergence", LIMIT, || convergence(scene, moved))?;
        ensure!(told["ending"] == "converged", "{told:#}");
        for (kind, asked) in [("servers", agents * agents), ("resolvers", agents)] {
            let figures = &told[kind];
            ensure!(figures["asked"] == asked && figures["agreed"] == asked, "{told:#}");
            let bound = bound_of(Duration::from_secs(1)).as_millis();
            let all = figures["t100_ms"].as_u64();
            ensure!(all.is_some_and(|all| u128::from(all) <= bound), "within the bound: {told:#}");
        }
        let explained = scene.cluster.cli(&["explain", SHOP])?.ok()?;
        ensure!(explained.contains("this answer was followed outside"), "{explained}");
        let leader = scene.cluster.leader()?;
        for kind in ["kind=\"ns\"", "kind=\"resolver\""] {
            let name = "holdfast_failover_converged_seconds_count";
            let counted = scene.cluster.counter(leader, name, &[kind])?;
            ensure!((counted - 1.0).abs() < 0.5, "{kind}: {counted}");
        }

        let _holder = start_holder(scene)?;
        look_at(scene, &[RESOLVER, &HOLDER.to_string()])?;
        scene.eu.revive()?;
        scene.await_everywhere(&scene.answer_eu())?;
        let moved = epoch(scene)?;
        let told = poll::until("what came of the return", LIMIT, || convergence(scene, moved))?;
        let holder = format!("{HOLDER}:53");
        ensure!(told["ending"] == "not_within", "{told:#}");
        ensure!(told["stragglers"] == serde_json::json!([holder]), "{told:#}");
        let fault = serde_json::json!([{ "fault": "kept_too_long", "subject": holder }]);
        ensure!(told["faults"] == fault, "{told:#}");
        ensure!(told["servers"]["agreed"] == agents * agents, "{told:#}");
        ensure!(told["resolvers"]["agreed"] == agents, "{told:#}");
        Ok(())
    })
}
