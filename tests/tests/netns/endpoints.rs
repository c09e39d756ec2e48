//! Endpoints that fail, in every manner there is: the answer moves, and the evidence names the phase that failed.

use anyhow::{Result, anyhow, bail, ensure};
use holdfast_core::decision::Cause;
use holdfast_core::event::Event;
use holdfast_core::quorum::Verdict;
use holdfast_core::sample::{FailureKind, Phase};
use holdfast_tests::cluster::{Cluster, LIMIT};
use holdfast_tests::epilogue::records_of;
use holdfast_tests::manifest::{BRISK, Service};
use holdfast_tests::scenario::{SHOP, bare_scenario};
use holdfast_tests::site::{HTTPS, Manners, Site};
use holdfast_tests::{Scene, poll, scenario};
use holdfast_wire::pb::v1 as pb;

/// The failures that observers saw when the endpoint was last found down; the record follows the answer.
fn evidence_against(
    cluster: &Cluster,
    service: &str,
    endpoint: &str,
) -> Result<Vec<(Phase, FailureKind)>> {
    poll::until("the record of the verdict", LIMIT, || {
        let records = records_of(cluster, 0, service)?;
        let found = records.iter().rev().find_map(|record| match &record.content.event {
            Event::VerdictChanged { endpoint: of, to: Verdict::Down, evidence, .. }
                if of.as_str() == endpoint =>
            {
                Some(
                    evidence
                        .iter()
                        .filter_map(|one| one.failure.as_ref().map(|f| (f.phase, f.kind)))
                        .collect(),
                )
            }
            _ => None,
        });
        found.ok_or_else(|| anyhow!("no verdict of down on {endpoint}"))
    })
}

/// The answer moved to `us` because something failed, every failure is this one, and `explain` names its phase.
fn check_failover(scene: &Scene, expected: (Phase, FailureKind)) -> Result<()> {
    scene.await_everywhere(&scene.answer_us())?;
    let failures = evidence_against(&scene.cluster, SHOP, "eu")?;
    ensure!(failures.len() >= 2, "a quorum of two needs two witnesses: {failures:?}");
    ensure!(failures.iter().all(|seen| *seen == expected), "{failures:?} instead of {expected:?}");
    poll::until("the record of the move", LIMIT, || {
        let moved = records_of(&scene.cluster, 0, SHOP)?.iter().any(|record| {
            matches!(record.content.event, Event::SelectionChanged { cause: Cause::Failed, .. })
        });
        if moved { Ok(()) } else { bail!("no failover is recorded") }
    })?;
    let told = scene.cluster.cli(&["service", "explain", SHOP, "-o", "json"])?.ok()?;
    let words = format!("{} {}", expected.0.label(), expected.1.label());
    ensure!(told.contains(&words), "explain does not say {words:?}: {told}");
    Ok(())
}

/// The site is well again: after its hold-down, the answer returns.
fn check_failback(scene: &Scene) -> Result<()> {
    scene.await_everywhere(&scene.answer_eu())
}

#[test]
fn a_killed_endpoint_is_left_and_returned_to() -> Result<()> {
    scenario(|scene| {
        scene.eu.kill()?;
        check_failover(scene, (Phase::Connect, FailureKind::Refused))?;
        scene.eu.revive()?;
        check_failback(scene)
    })
}

#[test]
fn an_endpoint_that_hangs_is_left() -> Result<()> {
    scenario(|scene| {
        scene.eu.answer(Manners::Hang)?;
        check_failover(scene, (Phase::FirstByte, FailureKind::Timeout))?;
        scene.eu.answer(Manners::Ok)?;
        check_failback(scene)
    })
}

#[test]
fn an_endpoint_that_serves_errors_is_left() -> Result<()> {
    scenario(|scene| {
        scene.eu.answer(Manners::Error)?;
        check_failover(scene, (Phase::Assert, FailureKind::Status))?;
        scene.eu.answer(Manners::Ok)?;
        check_failback(scene)
    })
}

#[test]
fn an_endpoint_with_an_expired_certificate_is_left() -> Result<()> {
    bare_scenario(|scene| {
        let (dir, pki) = (scene.dir().to_path_buf(), scene.cluster.pki.clone());
        let secure = |scene: &mut Scene, name: &str, last: u8| {
            let address = std::net::Ipv4Addr::new(10, 77, 0, last);
            Site::start(&mut scene.lab, (name, address), &dir, Some(&pki))
        };
        let (eu, us) = (secure(scene, "eu-tls", 31)?, secure(scene, "us-tls", 32)?);
        let check = format!(
            "type: https, path: /, interval: 1s, timeout: 700ms, rise: 2, fall: 2, confirm: 100ms, tls: {{ ca_file: \"{}\" }}",
            pki.join("ca.pem").display()
        );
        let endpoints = [("eu", eu.address(), HTTPS), ("us", us.address(), HTTPS)];
        scene.cluster.apply(
            &Service { name: SHOP, endpoints: &endpoints, check: &check, failover: BRISK }
                .to_yaml(),
        )?;
        for endpoint in ["eu", "us"] {
            scene.cluster.await_verdict(0, (SHOP, endpoint), pb::Verdict::Up)?;
        }
        eu.answer(Manners::Expired)?;
        scene.cluster.await_verdict(0, (SHOP, "eu"), pb::Verdict::Down)?;
        let failures = evidence_against(&scene.cluster, SHOP, "eu")?;
        if failures.is_empty()
            || failures.iter().any(|seen| *seen != (Phase::Tls, FailureKind::Certificate))
        {
            bail!("{failures:?}");
        }
        let answer = holdfast_tests::dns::Answer::of(&[us.address()]);
        scene.await_everywhere(&answer)?;
        Ok((eu, us))
    })
}
