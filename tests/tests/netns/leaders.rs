//! Agents that die, freeze, starve and are cut off, while services fail or do not.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use holdfast_core::decision::Cause;
use holdfast_core::event::Event;
use holdfast_tests::cluster::{Cluster, LIMIT};
use holdfast_tests::epilogue::{records, records_of};
use holdfast_tests::scenario::{NAME, SHOP};
use holdfast_tests::site::Manners;
use holdfast_tests::{Scene, poll, scenario};
use holdfast_wire::pb::v1 as pb;

/// The places of all agents but one.
fn others(place: usize) -> Vec<usize> {
    (0..3).filter(|&other| other != place).collect()
}

/// A change, asked of one agent alone: `pause` or `resume` of automation, which touch no service.
fn set_pause(cluster: &Cluster, place: usize) -> Result<holdfast_tests::process::Output> {
    cluster
        .cli_at(place, &["pause", "--for", "10m", "--reason", "test", "--yes", "--timeout", "4s"])
}

/// An agent that misses its quorum refuses a change in time, says why and what next, and is certain that nothing
/// happened: it neither writes the command down nor sends it anywhere.
fn check_refused(cluster: &Cluster, place: usize) -> Result<()> {
    poll::until("that it misses its quorum", LIMIT, || {
        let seen = cluster.cluster_as_seen_by(place)?;
        if seen.quorum { bail!("it has one") } else { Ok(()) }
    })?;
    let output = set_pause(cluster, place)?;
    ensure!(output.code == 4, "exit code {}: {}", output.code, output.stderr);
    let reasons = ["NO_LEADER", "NO_QUORUM"];
    ensure!(reasons.iter().any(|reason| output.stderr.contains(reason)), "{}", output.stderr);
    ensure!(output.stderr.contains("next:"), "no next step: {}", output.stderr);
    Ok(())
}

/// How often the answer of the service was changed by something else than a declaration.
fn moves(cluster: &Cluster, place: usize) -> Result<usize> {
    let automatic = |event: &Event| matches!(event, Event::SelectionChanged { cause, .. } if cause.is_automatic());
    Ok(records_of(cluster, place, SHOP)?
        .iter()
        .filter(|record| automatic(&record.content.event))
        .count())
}

#[test]
fn a_leader_killed_while_an_endpoint_fails() -> Result<()> {
    scenario(|scene| {
        let leader = scene.cluster.leader()?;
        scene.eu.kill()?;
        scene.cluster.kill9(leader)?;
        scene.await_everywhere(&scene.answer_us())?;
        let next = scene.cluster.leader()?;
        ensure!(next != leader, "the dead lead");
        scene.cluster.start_node(leader)?;
        scene.cluster.await_ready()?;
        scene.await_everywhere(&scene.answer_us())?;
        scene.eu.revive()?;
        scene.await_everywhere(&scene.answer_eu())
    })
}

/// What must survive the death of all: service epochs, the state's hash, and the audit chain's head.
fn memory(cluster: &Cluster, place: usize) -> Result<(u64, String, pb::AuditHead)> {
    let seen = cluster.cluster_as_seen_by(place)?;
    let status = cluster.service_as_seen_by(place, SHOP)?.status.unwrap_or_default();
    let head = seen.audit_stored.unwrap_or_default();
    if Some(&head) != seen.audit_head.as_ref() {
        bail!("the audit store is behind");
    }
    Ok((status.epoch, seen.state_hash, head))
}

#[test]
fn every_agent_killed_and_started_again() -> Result<()> {
    scenario(|scene| {
        scene.eu.kill()?;
        scene.await_everywhere(&scene.answer_us())?;
        let first = poll::until("agents that agree at rest", LIMIT, || {
            let all: Vec<_> =
                (0..3).map(|place| memory(&scene.cluster, place)).collect::<Result<_>>()?;
            if all.iter().all(|one| *one == all[0]) { Ok(all[0].clone()) } else { bail!("{all:?}") }
        })?;
        for place in 0..3 {
            scene.cluster.kill9(place)?;
        }

        // Alone, it answers at once from what it knew, and refuses what it cannot agree on.
        scene.cluster.start_node(1)?;
        scene.cluster.await_answer(&[1], NAME, &scene.answer_us())?;
        poll::until("the API of an agent that is alone", LIMIT, || {
            scene.cluster.cluster_as_seen_by(1)
        })?;
        check_refused(&scene.cluster, 1)?;
        let alone = poll::until("the memory of the first", LIMIT, || memory(&scene.cluster, 1))?;
        ensure!(alone == first, "it was {first:?}, it is {alone:?}");

        scene.cluster.revive()?;
        for place in 0..3 {
            let after = poll::until("a memory", LIMIT, || memory(&scene.cluster, place))?;
            ensure!(
                after.0 == first.0,
                "agent {place}: the epoch was {}, it is {}",
                first.0,
                after.0
            );
            // A new leader's term is recorded after what there was, which must be there unchanged.
            let records = records(&scene.cluster, place)?;
            let known =
                usize::try_from(first.2.length)?.checked_sub(1).and_then(|last| records.get(last));
            let hash = known.map(|record| record.hash.to_string());
            ensure!(
                hash.as_deref() == Some(first.2.hash.as_str()),
                "agent {place} has another chain"
            );
        }
        scene.await_everywhere(&scene.answer_us())
    })
}

#[test]
fn a_minority_cut_off_answers_and_refuses() -> Result<()> {
    scenario(|scene| {
        let cut = scene.cluster.leader()?;
        let rest = others(cut);
        let address = |place: usize| scene.cluster.nodes()[place].address();
        let majority: Vec<_> = rest.iter().map(|&place| address(place)).collect();
        scene.lab.part(&[address(cut)], &majority)?;

        let next = scene.cluster.leader_among(&rest)?;
        scene.eu.kill()?;
        scene.cluster.await_answer(&rest, NAME, &scene.answer_us())?;
        // What it last agreed on, and not an own decision, although it sees the endpoint fail as well.
        poll::throughout("the cut-off answer", Duration::from_secs(2), &scene.answer_eu(), || {
            scene.cluster.ask(cut, NAME)
        })?;
        check_refused(&scene.cluster, cut)?;
        set_pause(&scene.cluster, next)?.ok()?;
        scene.cluster.cli_at(next, &["resume", "--reason", "test", "--yes"])?.ok()?;

        scene.lab.heal()?;
        scene.cluster.await_ready()?;
        scene.await_everywhere(&scene.answer_us())?;
        scene.eu.revive()?;
        scene.await_everywhere(&scene.answer_eu())
    })
}

#[test]
fn a_follower_cut_off_answers_and_refuses() -> Result<()> {
    scenario(|scene| {
        let leader = scene.cluster.leader()?;
        let cut = others(leader)[0];
        let address = |place: usize| scene.cluster.nodes()[place].address();
        let rest: Vec<_> = others(cut).into_iter().map(address).collect();
        scene.lab.part(&[address(cut)], &rest)?;
        scene.eu.kill()?;
        scene.cluster.await_answer(&others(cut), NAME, &scene.answer_us())?;
        poll::throughout("the cut-off answer", Duration::from_secs(2), &scene.answer_eu(), || {
            scene.cluster.ask(cut, NAME)
        })?;
        check_refused(&scene.cluster, cut)?;
        scene.lab.heal()?;
        scene.cluster.await_ready()?;
        scene.await_everywhere(&scene.answer_us())?;
        ensure!(scene.cluster.leader()? == leader, "who returned took the leadership away");
        Ok(())
    })
}

/// Cuts one direction between the leader and everybody, and lets an endpoint fail.
fn fail_behind_one_way_cut(scene: &mut Scene, outwards: bool) -> Result<()> {
    let leader = scene.cluster.leader()?;
    let rest = others(leader);
    for &other in &rest {
        let (a, b) =
            (scene.cluster.nodes()[leader].address(), scene.cluster.nodes()[other].address());
        let (from, to) = if outwards { (a, b) } else { (b, a) };
        scene.lab.cut_one_way(from, to)?;
    }
    scene.cluster.leader_among(&rest)?;
    scene.eu.kill()?;
    scene.cluster.await_answer(&rest, NAME, &scene.answer_us())?;
    check_refused(&scene.cluster, leader)?;
    scene.lab.heal()?;
    scene.cluster.await_ready()?;
    scene.await_everywhere(&scene.answer_us())
}

#[test]
fn a_leader_that_is_not_heard_is_replaced() -> Result<()> {
    scenario(|scene| fail_behind_one_way_cut(scene, true))
}

#[test]
fn a_leader_that_does_not_hear_is_replaced() -> Result<()> {
    scenario(|scene| fail_behind_one_way_cut(scene, false))
}

/// Freezes an agent for most of every period, as an overloaded machine would, while `meanwhile` looks on.
fn starved<T>(
    cluster: &mut Cluster,
    place: usize,
    meanwhile: impl FnOnce(&Cluster) -> Result<T> + Send,
) -> Result<T>
where
    T: Send,
{
    const FROZEN: Duration = Duration::from_millis(450);
    const AWAKE: Duration = Duration::from_millis(50);
    let cluster_seen = &*cluster;
    let result = std::thread::scope(|scope| {
        let watch = scope.spawn(|| meanwhile(cluster_seen));
        while !watch.is_finished() {
            let node = &cluster_seen.nodes()[place];
            node.signal(rustix::process::Signal::STOP)?;
            std::thread::park_timeout(FROZEN);
            node.signal(rustix::process::Signal::CONT)?;
            std::thread::park_timeout(AWAKE);
        }
        match watch.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })?;
    cluster.await_ready()?;
    Ok(result)
}

#[test]
fn a_slow_observer_moves_nothing() -> Result<()> {
    scenario(|scene| {
        let slow = others(scene.cluster.leader()?)[0];
        let expected = scene.answer_eu();
        let rest = others(slow);
        starved(&mut scene.cluster, slow, |cluster| {
            poll::throughout("the answer", Duration::from_secs(10), &expected, || {
                cluster.ask(rest[0], NAME)
            })
        })?;
        ensure!(moves(&scene.cluster, rest[0])? == 0, "the answer moved");
        Ok(())
    })
}

#[test]
fn an_agent_that_froze_wakes_up_behind_and_catches_up() -> Result<()> {
    scenario(|scene| {
        let leader = scene.cluster.leader()?;
        let rest = others(leader);
        scene.cluster.pause(leader)?;
        scene.cluster.leader_among(&rest)?;
        scene.eu.answer(Manners::Error)?;
        scene.cluster.await_answer(&rest, NAME, &scene.answer_us())?;
        scene.cluster.resume(leader)?;
        scene.await_everywhere(&scene.answer_us())?;
        let failed = records_of(&scene.cluster, rest[0], SHOP)?;
        let count = failed.iter().filter(|record| {
            matches!(record.content.event, Event::SelectionChanged { cause: Cause::Failed, .. })
        });
        ensure!(count.count() == 1, "the deposed leader decided as well");
        Ok(())
    })
}
