//! What is answered when everything fails, and when something cannot decide whether it works.

use std::time::Duration;

use anyhow::{Result, anyhow, bail, ensure};
use holdfast_core::event::Event;
use holdfast_tests::cluster::LIMIT;
use holdfast_tests::dns::Answer;
use holdfast_tests::epilogue::records_of;
use holdfast_tests::manifest::{BRISK, Service, WEB};
use holdfast_tests::scenario::{NAME, SHOP, bare_scenario};
use holdfast_tests::site::{HTTP, Manners};
use holdfast_tests::{Scene, poll, process};
use holdfast_wire::pb::v1 as pb;

/// Where nothing is.
const NOWHERE: std::net::Ipv4Addr = std::net::Ipv4Addr::new(10, 77, 0, 99);

#[test]
fn all_endpoints_down_under_each_policy() -> Result<()> {
    bare_scenario(|scene| {
        let (eu, us) = (scene.eu.address(), scene.us.address());
        let two = [("eu", eu, HTTP), ("us", us, HTTP)];
        let three = [("eu", eu, HTTP), ("us", us, HTTP), ("sorry", NOWHERE, HTTP)];
        let policies: [(&str, &str, &[_], Answer); 4] = [
            ("open", "fail_open", &two, Answer::of(&[eu, us])),
            ("last", "last_known_good", &two, Answer::of(&[us])),
            ("back", "{ fallback: sorry }", &three, Answer::of(&[NOWHERE])),
            ("closed", "fail_closed", &two, Answer::refused()),
        ];
        for (name, policy, endpoints, _) in &policies {
            let failover = format!("{BRISK}, all_down: {policy}");
            scene
                .cluster
                .apply(&Service { name, endpoints, check: WEB, failover: &failover }.to_yaml())?;
        }
        let all = scene.cluster.running();
        let await_all = |scene: &Scene, expected: &dyn Fn(usize) -> Answer| {
            policies.iter().enumerate().try_for_each(|(place, (name, ..))| {
                scene.cluster.await_answer(&all, &format!("{name}.hf.test"), &expected(place))
            })
        };
        for (name, ..) in &policies {
            scene.cluster.await_verdict(0, (name, "eu"), pb::Verdict::Up)?;
            scene.cluster.await_verdict(0, (name, "us"), pb::Verdict::Up)?;
        }
        scene.eu.kill()?;
        await_all(scene, &|_| Answer::of(&[us]))?;
        scene.us.kill()?;
        await_all(scene, &|place| policies[place].3.clone())?;
        check_dig(scene, "closed.hf.test", "SERVFAIL")?;
        check_dig(scene, "back.hf.test", "NOERROR")?;
        scene.us.revive()?;
        await_all(scene, &|_| Answer::of(&[us]))
    })
}

/// What people see: the status in dig's header.
fn check_dig(scene: &Scene, name: &str, status: &str) -> Result<()> {
    let server = format!("@{}", scene.cluster.nodes()[0].address());
    let mut command = scene.cluster.client.command("dig");
    command.args([&server, name, "A", "+tries=1", "+time=2"]);
    let said = process::run(&mut command)?.ok()?;
    ensure!(said.contains(&format!("status: {status}")), "{said}");
    Ok(())
}

/// How often the service may move in the flapping story.
const BUDGET: usize = 4;

/// Whether the service's wish to return is held back by its budget.
fn is_out_of_budget(scene: &Scene) -> Result<bool> {
    let status = scene.cluster.service_as_seen_by(0, SHOP)?.status.unwrap_or_default();
    Ok(status.blocked.is_some_and(|blocked| blocked.reason() == pb::BlockReason::ServiceBudget))
}

/// The site fails and recovers once; ends when the answer has returned to it, or the budget forbids that.
fn flap(scene: &Scene) -> Result<()> {
    scene.eu.answer(Manners::Error)?;
    scene.cluster.await_verdict(0, (SHOP, "eu"), pb::Verdict::Down)?;
    scene.await_everywhere(&scene.answer_us())?;
    scene.eu.answer(Manners::Ok)?;
    scene.cluster.await_verdict(0, (SHOP, "eu"), pb::Verdict::Up)?;
    poll::until("a return or a block", LIMIT, || {
        let returned = scene.cluster.ask(0, NAME)? == scene.answer_eu();
        if returned || is_out_of_budget(scene)? { Ok(()) } else { bail!("neither") }
    })
}

#[test]
fn what_flaps_ends_up_out_and_within_its_budget() -> Result<()> {
    bare_scenario(|scene| {
        let endpoints = [("eu", scene.eu.address(), HTTP), ("us", scene.us.address(), HTTP)];
        let check =
            "type: http, path: /, interval: 500ms, timeout: 400ms, rise: 2, fall: 2, confirm: 50ms";
        let failover = format!("hold_down: 1s, cooldown: 1s, max_moves: {BUDGET}, window: 1h");
        scene.cluster.apply(
            &Service { name: SHOP, endpoints: &endpoints, check, failover: &failover }.to_yaml(),
        )?;
        scene.cluster.await_verdict(0, (SHOP, "eu"), pb::Verdict::Up)?;
        scene.cluster.await_verdict(0, (SHOP, "us"), pb::Verdict::Up)?;
        scene.await_everywhere(&scene.answer_eu())?;
        for _ in 0..BUDGET {
            if is_out_of_budget(scene)? {
                break;
            }
            flap(scene)?;
        }
        ensure!(is_out_of_budget(scene)?, "after {BUDGET} flaps the budget is not used up");
        for _ in 0..2 {
            flap(scene)?;
            let span = Duration::from_secs(2);
            poll::throughout("the answer", span, &scene.answer_us(), || {
                scene.cluster.ask(0, NAME)
            })?;
        }
        let records = records_of(&scene.cluster, 0, SHOP)?;
        let moves = records.iter().filter(|record| {
            matches!(record.content.event, Event::SelectionChanged { cause, .. } if cause.is_automatic())
        });
        let moves = moves.count();
        ensure!((1..=BUDGET).contains(&moves), "{moves} moves");
        let blocked = records.iter().find(|record| {
            matches!(&record.content.event, Event::MoveBlocked { reason, .. } if reason.label() == "service_budget")
        });
        blocked.map(drop).ok_or_else(|| anyhow!("that the budget blocked a move is not recorded"))
    })
}
