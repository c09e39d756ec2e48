//! Programs that register records: nsupdate and external-dns's messages, at any agent, while leaders come and go.

mod services;

use std::fs;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context as _, Result, anyhow, ensure};
use hickory_proto::op::ResponseCode;
use holdfast_tests::binary::workspace;
use holdfast_tests::cluster::LIMIT;
use holdfast_tests::dns::{self, Answer};
use holdfast_tests::lab::Host;
use holdfast_tests::manifest::ZONE;
use holdfast_tests::process::run;
use holdfast_tests::secondary::{Key, Secondary};
use holdfast_tests::{Scene, manifest, poll, scenario};

const NSD: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 31);
const KEY: &str = "ddns.hf.test";
const FIRST: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
const SECOND: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 2);

/// Makes a key; its file, as nsupdate reads it.
fn make_key(scene: &Scene, name: &str) -> Result<(PathBuf, Key)> {
    let printed = scene.cluster.cli(&["tsig", "add", name, "-o", "table"])?.ok()?;
    let file = scene.dir().join(name);
    fs::write(&file, &printed)?;
    Ok((file, Key::read(&printed)?))
}

/// Lets the holder of a key change the zone by this rule, and copy it.
fn open(scene: &Scene, rule: &str, more: &str) -> Result<()> {
    let zone = manifest::zone(&scene.cluster.addresses());
    scene.cluster.apply(&format!(
        "{zone}  transfer: {{ keys: [{KEY}] {more} }}\n  updates: [ {{ key: {KEY} {rule} }} ]\n"
    ))
}

/// An update as nsupdate sends it; what it says of it where it is not done.
fn nsupdate(
    scene: &Scene,
    (place, tcp): (usize, bool),
    key: Option<&Path>,
    lines: &[&str],
) -> Result<Result<(), String>> {
    let server = scene.cluster.addresses()[place];
    let mut command = scene.cluster.client.command("nsupdate");
    // Two retries, and no more than the story has patience for.
    command.args(["-t", "20", "-u", "8", "-r", "1"]);
    command.args(tcp.then_some("-v")).args(key.map(|_| "-k")).args(key);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().context("nsupdate is missing; .ci/install installs it")?;
    let mut script = format!("server {server}\nzone {ZONE}\n");
    for line in lines {
        script.push_str(line);
        script.push('\n');
    }
    script.push_str("send\n");
    child.stdin.take().context("it has an input")?.write_all(script.as_bytes())?;
    let ended = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    Ok(if ended.status.success() { Ok(()) } else { Err(said) })
}

fn expect_code(outcome: Result<Result<(), String>>, code: &str) -> Result<()> {
    match outcome? {
        Ok(()) => Err(anyhow!("it was done, not told {code}")),
        Err(said) => {
            ensure!(said.contains(code), "{code} is not in {said:?}");
            Ok(())
        }
    }
}

fn missing() -> Answer {
    Answer { code: ResponseCode::NXDomain, addresses: vec![] }
}

#[test]
fn nsupdate_adds_changes_and_deletes_wherever_it_asks() -> Result<()> {
    scenario(|scene| {
        let (file, key) = make_key(scene, KEY)?;
        open(scene, "", &format!(", notify: [ {{ address: {NSD}, key: {KEY} }} ]"))?;
        let dir = scene.dir().to_path_buf();
        let agents = scene.cluster.addresses();
        let nsd = Secondary::nsd(&mut scene.lab, (&dir, NSD), &agents, &key)?;
        let all = scene.cluster.running();
        let leader = scene.cluster.leader()?;
        let follower = (leader + 1) % all.len();
        for (number, way) in [(leader, false), (follower, false), (leader, true), (follower, true)]
            .into_iter()
            .enumerate()
        {
            let host = format!("h{number}.{ZONE}");
            let update = |lines: &[String]| -> Result<()> {
                let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
                nsupdate(scene, way, Some(&file), &lines)?
                    .map_err(|said| anyhow!("{way:?}: {said}"))
            };
            let served = |expected: &Answer| -> Result<()> {
                // The agent that was asked answers so at once, the others and NSD when it has come to them.
                let here = scene.cluster.ask(way.0, &host)?;
                ensure!(here == *expected, "{host} at {way:?}: {here:?} instead of {expected:?}");
                scene.cluster.await_answer(&all, &host, expected)?;
                let ask = || dns::ask(&scene.cluster.client, nsd.host.address, &host);
                poll::until_equal("the answer of NSD", LIMIT, expected, ask)
                    .map_err(|error| error.context(nsd.process.said()))
            };
            update(&[format!("prereq nxdomain {host}"), format!("add {host} 1 A {FIRST}")])?;
            served(&Answer::of(&[FIRST]))?;
            update(&[
                format!("prereq yxrrset {host} A {FIRST}"),
                format!("del {host} A"),
                format!("add {host} 1 A {SECOND}"),
            ])?;
            served(&Answer::of(&[SECOND]))?;
            update(&[format!("prereq yxdomain {host}"), format!("del {host}")])?;
            served(&missing())?;
        }
        Ok(())
    })
}

#[test]
fn nobody_changes_what_no_rule_gives_them() -> Result<()> {
    scenario(|scene| {
        let (file, _) = make_key(scene, KEY)?;
        let (stranger, _) = make_key(scene, "stranger.hf.test")?;
        let wrong = scene.dir().join("wrong");
        let text = "key \"ddns.hf.test\" { algorithm hmac-sha256; secret \"AAAAAAAAAAAAAAAAAAAAAA==\"; };\n";
        fs::write(&wrong, text)?;
        open(scene, ", names: ['*.lab.hf.test'], types: [A, TXT]", "")?;
        let add = format!("add a.lab.{ZONE} 1 A {FIRST}");
        let leader = scene.cluster.leader()?;
        for way in [(leader, false), ((leader + 1) % 3, true)] {
            let ask = |key: Option<&Path>, line: &str| nsupdate(scene, way, key, &[line]);
            expect_code(ask(None, &add), "REFUSED")?;
            expect_code(ask(Some(&stranger), &add), "REFUSED")?;
            expect_code(ask(Some(&wrong), &add), "BADSIG")?;
            for (line, code) in [
                (format!("add b.{ZONE} 1 A {FIRST}"), "REFUSED"),
                (format!("add a.lab.{ZONE} 1 MX 10 b.{ZONE}"), "REFUSED"),
                (format!("add shop.{ZONE} 1 A {FIRST}"), "REFUSED"),
                (format!("del ns1.{ZONE} A"), "REFUSED"),
            ] {
                expect_code(ask(Some(&file), &line), code)
                    .map_err(|error| error.context(line.clone()))?;
            }
            let unmet = format!("prereq yxdomain none.lab.{ZONE}");
            expect_code(nsupdate(scene, way, Some(&file), &[&unmet, &add]), "NXDOMAIN")?;
            let here = scene.cluster.ask(way.0, &format!("a.lab.{ZONE}"))?;
            ensure!(here == missing(), "{here:?}");
        }
        ask_and_list(scene, &file, &add)
    })
}

/// What was made is shown with its origin, survives a new declaration, and is in the audit log with its key.
fn ask_and_list(scene: &Scene, file: &Path, add: &str) -> Result<()> {
    nsupdate(scene, (0, false), Some(file), &[add])?.map_err(|said| anyhow!(said))?;
    open(scene, ", names: ['*.lab.hf.test']", "")?;
    let host = format!("a.lab.{ZONE}");
    scene.cluster.await_answer(&scene.cluster.running(), &host, &Answer::of(&[FIRST]))?;
    let shown = scene.cluster.cli(&["zone", "get", ZONE, "-o", "table"])?.ok()?;
    let line = shown.lines().find(|line| line.contains(&host)).unwrap_or_default();
    ensure!(line.ends_with("update"), "{shown}");
    let exported = scene.cluster.cli(&["zone", "export", ZONE])?.ok()?;
    ensure!(exported.contains(&format!("{host}. 1 IN A {FIRST}")), "{exported}");
    let declared = scene.cluster.cli(&["zone", "get", ZONE, "--manifest", "yaml"])?.ok()?;
    ensure!(!declared.contains(&host), "{declared}");
    let events =
        scene.cluster.cli(&["audit", "search", "--kind", "zone.updated", "-o", "table"])?.ok()?;
    ensure!(events.contains(KEY) && events.contains(&host), "{events}");
    Ok(())
}

#[test]
fn the_messages_of_external_dns_are_taken() -> Result<()> {
    scenario(|scene| {
        let (file, _) = make_key(scene, KEY)?;
        open(scene, "", "")?;
        let python = workspace().join("target/venv/bin/python");
        ensure!(python.is_file(), "there is no {}; run .ci/install", python.display());
        let leader = scene.cluster.leader()?;
        for place in [leader, (leader + 1) % 3] {
            let mut command = scene.cluster.client.command(&python);
            command.arg(workspace().join("tests/fixtures/external_dns.py"));
            command.arg(scene.cluster.addresses()[place].to_string()).arg(ZONE).arg(&file);
            let said = run(&mut command)?.ok()?;
            ensure!(said.trim() == "held", "{said}");
        }
        Ok(())
    })
}

/// The highest serial that each agent was seen with since it began to run.
struct Serials {
    seen: Vec<Mutex<Option<u32>>>,
    stop: AtomicBool,
}

/// RFC 1982, 3.2: whether `new` is not before `old`.
fn is_not_before(new: u32, old: u32) -> bool {
    new.wrapping_sub(old) < 1 << 31
}

impl Serials {
    fn new(agents: usize) -> Self {
        let seen = (0..agents).map(|_| Mutex::new(None)).collect();
        Self { seen, stop: AtomicBool::new(false) }
    }

    /// Looks at an agent until told to stop. Errors: its serial went back.
    fn watch(&self, client: &Host, (place, server): (usize, Ipv4Addr)) -> Result<()> {
        while !self.stop.load(Ordering::Relaxed) {
            let mut seen = self.seen[place].lock().map_err(|_| anyhow!("poisoned"))?;
            // One that does not run does not answer.
            if let Ok(serial) = dns::serial(client, server, ZONE) {
                let before = seen.replace(serial);
                let goes_on = before.is_none_or(|before| is_not_before(serial, before));
                ensure!(goes_on, "agent {place}: {serial} after {before:?}");
            }
            drop(seen);
            thread::yield_now();
        }
        Ok(())
    }

    /// Forgets an agent that was killed: its last view on disk may be older than what it said last.
    fn forget(&self, place: usize) -> Result<()> {
        *self.seen[place].lock().map_err(|_| anyhow!("poisoned"))? = None;
        Ok(())
    }
}

/// Updates through whoever runs, until `count` were done; what is not done is asked again.
fn keep_updating(scene: &Scene, file: &Path, count: usize) -> Result<()> {
    for number in 0..count {
        let text = format!("update add counter.{ZONE} 1 TXT {number}");
        let lines = [format!("update delete counter.{ZONE} TXT"), text];
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        poll::until("an update", LIMIT, || {
            let running = scene.cluster.running();
            let place = running[number % running.len()];
            nsupdate(scene, (place, number % 2 == 0), Some(file), &lines)?
                .map_err(|said| anyhow!(said))
        })?;
    }
    Ok(())
}

#[test]
fn serials_never_go_back_while_leaders_die_and_agents_restart() -> Result<()> {
    const BURST: usize = 12;
    scenario(|scene| {
        let (file, _) = make_key(scene, KEY)?;
        open(scene, "", "")?;
        let (client, agents) = (scene.cluster.client.clone(), scene.cluster.addresses());
        let serials = Serials::new(agents.len());
        let first = dns::serial(&client, agents[0], ZONE)?;
        thread::scope(|scope| {
            let watch = |(place, server): (usize, &Ipv4Addr)| {
                let (serials, client, server) = (&serials, &client, *server);
                scope.spawn(move || serials.watch(client, (place, server)))
            };
            let watchers: Vec<_> = agents.iter().enumerate().map(watch).collect();
            let told = (|| {
                keep_updating(scene, &file, BURST)?;
                let leader = scene.cluster.leader()?;
                scene.cluster.kill9(leader)?;
                serials.forget(leader)?;
                keep_updating(scene, &file, BURST)?;
                scene.cluster.start_node(leader)?;
                keep_updating(scene, &file, BURST)?;
                scene.cluster.await_ready()?;
                // Told to stop, an agent keeps its last view, and what it says does not go back over that.
                let next = scene.cluster.leader()?;
                scene.cluster.terminate(next)?;
                keep_updating(scene, &file, BURST)?;
                scene.cluster.start_node(next)?;
                scene.cluster.await_ready()?;
                keep_updating(scene, &file, BURST)
            })();
            serials.stop.store(true, Ordering::Relaxed);
            for watcher in watchers {
                watcher.join().map_err(|_| anyhow!("a watcher panicked"))??;
            }
            told
        })?;
        // Every update is a change, and every change a serial of its own.
        let expected = first.wrapping_add(5 * BURST as u32);
        for server in agents {
            poll::until("the last serial", LIMIT, || {
                let serial = dns::serial(&client, server, ZONE)?;
                ensure!(is_not_before(serial, expected), "{serial} at {server}");
                Ok(())
            })?;
        }
        Ok(())
    })
}
