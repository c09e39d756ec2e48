//! What the open internet does to a DNS server, and that those who mean well do not notice.
//!
//! An agent's processor time is held down where a flood must exceed what it can do: a machine of two cores cannot make
//! ten times what an agent answers with a whole one.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use anyhow::{Result, ensure};
use hickory_proto::rr::RecordType;
use holdfast_tests::abuse::flood::{Flood, Shot, anyone, random_label};
use holdfast_tests::abuse::good::{Plan, Tally, ask_much, ask_over_tcp};
use holdfast_tests::abuse::quota::Quota;
use holdfast_tests::abuse::slow::Slow;
use holdfast_tests::abuse::{Attacker, received, wire};
use holdfast_tests::cluster::LIMIT;
use holdfast_tests::manifest::ZONE;
use holdfast_tests::scenario::NAME;
use holdfast_tests::{Scene, poll, scenario};
use rand::Rng as _;
use rand::rngs::StdRng;

const QUERIES: &str = "holdfast_dns_queries_total";
const DROPPED: &str = "holdfast_dns_dropped_total";
const PANICS: &str = "holdfast_dns_panics_total";
const PROBES: &str = "holdfast_probe_results_total";
/// Memory that an agent may gain while it is abused.
const GAIN_MIB: f64 = 48.0;
/// Processor time of the flooded agent, in percent of one.
const SHARE: u32 = 10;
/// Datagrams per second that are sent where the machine can; an agent with that share takes in a tenth of them at most.
const TENFOLD: u32 = 300_000;
/// How many times as many must have been sent as were taken in.
const TIMES: f64 = 10.0;

/// Good clients that ask a thousand questions in ten seconds, if all goes well.
fn plan<'a>(right: &'a [Ipv4Addr], cookies: bool) -> Plan<'a> {
    let gap = Duration::from_millis(400);
    Plan { name: NAME, right, clients: 40, questions: 25, gap, cookies }
}

/// Good clients on machines of their own, without cookies and with them.
fn good_clients(scene: &mut Scene, server: Ipv4Addr) -> Result<[Tally; 2]> {
    let plain = scene.lab.host("good", Ipv4Addr::new(10, 77, 0, 71))?;
    let baked = scene.lab.host("baked", Ipv4Addr::new(10, 77, 0, 72))?;
    let right = [scene.eu.address(), scene.us.address()];
    std::thread::scope(|scope| {
        let other = scope.spawn(|| ask_much(&baked, server, plan(&right, true)));
        let plain = ask_much(&plain, server, plan(&right, false))?;
        match other.join() {
            Ok(baked) => Ok([plain, baked?]),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Questions for names that do not exist, and some for one that does, from anywhere.
fn barrage() -> Result<impl FnMut(&mut StdRng) -> Result<Shot> + Send + 'static> {
    /// Where the first label of a question begins.
    const LABEL: usize = 13;
    let known = wire::query(1, NAME, RecordType::A)?;
    let unknown = wire::query(1, &format!("{:x<12}.{ZONE}", ""), RecordType::A)?;
    Ok(move |chance: &mut StdRng| {
        let mut payload = if chance.random_bool(0.2) { known.clone() } else { unknown.clone() };
        if payload.len() == unknown.len() {
            payload[LABEL..LABEL + 12].fill_with(|| chance.random_range(b'a'..=b'z'));
        }
        chance.fill(&mut payload[..2]);
        Ok(Shot { from: anyone(chance), payload })
    })
}

#[test]
fn a_flood_of_ten_times_what_an_agent_can_do_costs_good_clients_nothing() -> Result<()> {
    scenario(|scene| {
        let attacker = Attacker::new(&mut scene.lab, &scene.cluster)?;
        let flooded = scene.cluster.leader()?;
        let node = &scene.cluster.nodes()[flooded];
        let (address, before_mib) = (node.address(), node.resident_mib()?);
        let _quota = Quota::on(node.pid()?, SHARE)?;
        let (queries, probes) = (taken_in(scene, flooded)?, probed(scene, flooded)?);

        let flood = Flood::start(&attacker.host, address, TENFOLD, barrage()?)?;
        poll::until("the flood at the agent", LIMIT, || {
            ensure!(taken_in(scene, flooded)? > queries + 1000.0, "it has not begun");
            Ok(())
        })?;
        scene.eu.kill()?;
        let tallies = good_clients(scene, address)?;
        let (client, moved) = (scene.cluster.client.clone(), [scene.us.address()]);
        poll::until("the move at the flooded agent", LIMIT, || {
            let tally = ask_over_tcp(&client, address, (NAME, &moved, 1))?;
            ensure!(tally.by_tcp == 1, "it answers otherwise");
            Ok(())
        })?;
        let sent = flood.finish()?;

        for tally in tallies {
            tally.ensure_999_of_1000()?;
        }
        let taken = taken_in(scene, flooded)? - queries;
        ensure!(sent.packets as f64 >= TIMES * taken, "no such flood: {sent:?}, {taken} taken");
        let other = (flooded + 1) % scene.cluster.nodes().len();
        let leader = scene.cluster.cluster_as_seen_by(other)?.leader;
        ensure!(leader == flooded as u64 + 1, "the flooded agent does not lead any more");
        ensure!(probed(scene, flooded)? > probes, "the flooded agent does not probe any more");
        check_memory(scene, flooded, before_mib)?;
        scene.eu.revive()
    })
}

/// Datagrams that an agent has looked at: not those that were lost before.
fn taken_in(scene: &Scene, place: usize) -> Result<f64> {
    let of = |name| awaited(scene, place, name, &["transport=\"udp\""]);
    let lost = awaited(scene, place, DROPPED, &["why=\"queue\"", "transport=\"udp\""])?;
    Ok(of(QUERIES)? + of(DROPPED)? - lost)
}

/// Probes that an agent has done.
fn probed(scene: &Scene, place: usize) -> Result<f64> {
    awaited(scene, place, PROBES, &[])
}

/// What an agent counts, though it may have hardly any processor time to say so.
fn awaited(scene: &Scene, place: usize, name: &str, labels: &[&str]) -> Result<f64> {
    poll::until("the agent's metrics", LIMIT, || scene.cluster.counter(place, name, labels))
}

fn check_memory(scene: &Scene, place: usize, before_mib: f64) -> Result<()> {
    let now = scene.cluster.nodes()[place].resident_mib()?;
    ensure!(now - before_mib <= GAIN_MIB, "memory went from {before_mib} to {now} MiB");
    Ok(())
}

#[test]
fn slow_connections_hold_nobody_up() -> Result<()> {
    /// More than an agent takes at a time.
    const CONNECTIONS: u32 = 1_500;
    scenario(|scene| {
        let attacker = Attacker::new(&mut scene.lab, &scene.cluster)?;
        attacker.own_foreign()?;
        let node = &scene.cluster.nodes()[0];
        let (address, before_mib) = (node.address(), node.resident_mib()?);
        let slow = Slow::start(&attacker.host, address, (CONNECTIONS, NAME))?;
        poll::until("more slow connections than the agent takes", LIMIT, || {
            ensure!(slow.opened() >= u64::from(CONNECTIONS), "{} came about", slow.opened());
            Ok(())
        })?;
        let tallies = good_clients(scene, address)?;
        for tally in tallies {
            tally.ensure_999_of_1000()?;
        }
        let client = scene.cluster.client.clone();
        let right = [scene.eu.address()];
        let over_tcp = ask_over_tcp(&client, address, (NAME, &right, 1000))?;
        over_tcp.ensure_999_of_1000()?;
        check_memory(scene, 0, before_mib)
    })
}

#[test]
fn malformed_and_looping_packets_end_in_silence() -> Result<()> {
    const PACE: u32 = 4_000;
    const PACKETS: f64 = 20_000.0;
    scenario(|scene| {
        let attacker = Attacker::new(&mut scene.lab, &scene.cluster)?;
        let nodes = scene.cluster.nodes();
        let (first, second) = (nodes[0].address(), nodes[1].address());
        let before_mib = [nodes[0].resident_mib()?, nodes[1].resident_mib()?];
        let (taken, replies) = (taken_in(scene, 0)?, dropped(scene, 1, "reply")?);
        let heard = received(&nodes[1].host)?;

        // The source is the other agent's port 53: what the first one answers, the second must not answer.
        let looping = Flood::start(&attacker.host, first, PACE, move |chance| {
            let from = SocketAddrV4::new(second, 53);
            let mut payload = wire::query(chance.random(), NAME, RecordType::A)?;
            maul(chance, &mut payload);
            Ok(Shot { from, payload })
        })?;
        // Replies, as the agent itself gives them, and wrong ones.
        let fed_back = Flood::start(&attacker.host, first, PACE, |chance| {
            let mut payload = wire::query(chance.random(), NAME, RecordType::A)?;
            maul(chance, &mut payload);
            payload[2] |= 0x80;
            Ok(Shot { from: anyone(chance), payload })
        })?;
        poll::until("the packets at the agent", LIMIT, || {
            let all = taken_in(scene, 0)? - taken;
            ensure!(all >= PACKETS, "{all} of {PACKETS} came");
            Ok(())
        })?;
        let tallies = good_clients(scene, first)?;
        let (looping, fed_back) = (looping.finish()?, fed_back.finish()?);
        for tally in tallies {
            tally.ensure_999_of_1000()?;
        }
        let silenced = dropped(scene, 0, "reply")?;
        ensure!(silenced >= 0.9 * fed_back.packets as f64, "{silenced} of {fed_back:?} silenced");
        let echoed = dropped(scene, 1, "reply")? - replies;
        ensure!(echoed > 0.0, "no reply reached the other agent, so no loop was tried");
        let told = received(&scene.cluster.nodes()[1].host)?.since(heard);
        ensure!(echoed <= looping.packets as f64, "a loop: {echoed} of {looping:?}, {told:?}");
        let back = taken_in(scene, 0)? - taken;
        let most = (looping.packets + fed_back.packets) as f64 + 20_000.0;
        ensure!(back <= most, "a loop: {back} messages of {most}");
        for place in scene.cluster.running() {
            ensure!(scene.cluster.counter(place, PANICS, &[])? == 0.0, "agent {place} panicked");
        }
        check_memory(scene, 0, before_mib[0])?;
        check_memory(scene, 1, before_mib[1])
    })
}

#[test]
fn a_victim_whose_address_is_forged_gets_less_than_was_sent_in_its_name() -> Result<()> {
    const PACE: u32 = 3_000;
    const PACKETS: u64 = 15_000;
    scenario(|scene| {
        let attacker = Attacker::new(&mut scene.lab, &scene.cluster)?;
        let node = &scene.cluster.nodes()[0];
        let (address, before_mib) = (node.address(), node.resident_mib()?);
        let before = attacker.received()?;
        let flood = Flood::start(&attacker.host, address, PACE, |chance| {
            let victim = SocketAddrV4::new(Ipv4Addr::new(100, 64, 7, chance.random()), 53_000);
            let name = format!("{}.{ZONE}", random_label(chance));
            let (name, kind) = match chance.random_range(0..3) {
                0 => (ZONE, RecordType::ANY),
                1 => (NAME, RecordType::A),
                _ => (&name[..], RecordType::TXT),
            };
            Ok(Shot { from: victim, payload: wire::query(chance.random(), name, kind)? })
        })?;
        let taken = taken_in(scene, 0)?;
        poll::until("the flood at the agent", LIMIT, || {
            let all = taken_in(scene, 0)? - taken;
            ensure!(all >= PACKETS as f64, "{all} of {PACKETS} came");
            Ok(())
        })?;
        let sent = flood.finish()?;
        let received = attacker.received()?.since(before);
        ensure!(received.packets > 0, "the victim got nothing, so nothing was measured");
        let amplification = received.payload as f64 / sent.payload as f64;
        ensure!(amplification <= 1.5, "{sent:?} became {received:?}: {amplification}");
        check_memory(scene, 0, before_mib)
    })
}

/// Messages to which an agent kept silent, for this reason.
fn dropped(scene: &Scene, place: usize, why: &str) -> Result<f64> {
    let why = format!("why=\"{why}\"");
    scene.cluster.counter(place, DROPPED, &[&why, "transport=\"udp\""])
}

/// Damages three messages of four behind their ids: other bytes, a cut, or more behind the end.
fn maul(chance: &mut StdRng, message: &mut Vec<u8>) {
    match chance.random_range(0..4) {
        0 => {}
        1 => {
            for _ in 0..chance.random_range(1..6) {
                let at = chance.random_range(3..message.len());
                message[at] = chance.random();
            }
        }
        2 => message.truncate(chance.random_range(12..message.len())),
        _ => message.extend((0..chance.random_range(1..64)).map(|_| chance.random::<u8>())),
    }
}
