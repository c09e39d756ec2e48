//! A DS record with the tag of a zone's key and another digest, as a hand that mistypes it leaves it: validating resolvers
//! refuse the zone, and whoever looks is told why.

use anyhow::{Result, ensure};
use holdfast_tests::{Scene, poll, scenario};
use serde_json::{Value, json};

use super::parent::{PARENT, RESOLVER};
use super::{LIMIT, Said, awaits, sign};

const ZONE: &str = "hg.test";
/// A name in it.
const HOST: &str = "host.hg.test";
/// With delays after which CDS tells the key within seconds.
const DECLARED: &str = "dnssec: { algorithm: ed25519, denial: nsec3, zone_propagation_delay: 1s, parent_propagation_delay: 5s }";

/// The DS records with the digest of the zone's own replaced.
fn mistaken(ds: &str) -> String {
    let line = |line: &str| match line.rsplit_once(' ') {
        Some((head, digest)) if line.starts_with(ZONE) => {
            format!("{head} {}\n", "A".repeat(digest.len()))
        }
        _ => format!("{line}\n"),
    };
    ds.lines().map(line).collect()
}

/// The DS records without the zone's own.
fn missing(ds: &str) -> String {
    ds.lines().filter(|line| !line.starts_with(ZONE)).map(|line| format!("{line}\n")).collect()
}

/// What `dns propagation` says, with the resolver that validates.
fn look(scene: &Scene) -> Result<Value> {
    let resolver = RESOLVER.to_string();
    scene.cluster.cli(&["dns", "propagation", HOST, "--resolver", &resolver, "-o", "json"])?.json()
}

/// The faults of a look about these subjects.
fn faults(look: &Value, subjects: &[&str]) -> Vec<String> {
    let findings = look["findings"].as_array().into_iter().flatten();
    let about = findings.filter(|one| subjects.iter().any(|subject| one["subject"] == *subject));
    let mut faults: Vec<String> =
        about.filter_map(|one| one["fault"].as_str().map(str::to_owned)).collect();
    faults.sort_unstable();
    faults.dedup();
    faults
}

/// Has the cluster look at the parent by a step that is not due; returns what it then shows of the zone's key.
fn seen_at_parent(scene: &Scene) -> Result<String> {
    let parent = PARENT.to_string();
    let words = ["zone", "dnssec", "rollover", "finish", ZONE, "--resolver", &parent];
    let refused = scene.cluster.cli(&words)?.ok();
    ensure!(refused.is_err_and(|error| format!("{error:#}").contains("no rollover is under way")));
    scene.cluster.cli(&["zone", "dnssec", "status", ZONE])?.ok()
}

/// What `doctor` says of the parents.
fn doctor(scene: &Scene) -> Result<Vec<Value>> {
    let told = scene.cluster.cli(&["doctor", "--quick", "-o", "json"])?.json()?;
    let findings = told["findings"].as_array().into_iter().flatten();
    Ok(findings.filter(|one| one["check"] == "dnssec").cloned().collect())
}

#[test]
fn a_mistaken_ds_is_named_by_whoever_looks() -> Result<()> {
    scenario(|scene| {
        let (mut parent, _resolver, ds) = sign(scene, DECLARED)?;
        awaits(scene, (HOST, "A"), &Said::told("NOERROR", true, &["192.0.2.1"]))?;
        poll::until("nothing to be wrong", LIMIT, || {
            let look = look(scene)?;
            ensure!(look["parents"] == 1 && look["findings"] == json!([]), "{look:#}");
            Ok(())
        })?;

        parent.serve(&mistaken(&ds))?;
        awaits(scene, (HOST, "A"), &Said::told("SERVFAIL", false, &[]))?;
        let resolver = format!("{RESOLVER}:53");
        poll::until("the records and what comes of them to be named", LIMIT, || {
            let look = look(scene)?;
            let (zone, asked) = (faults(&look, &[ZONE]), faults(&look, &[&resolver]));
            ensure!(zone == ["ds_mistaken", "ds_names_no_key"], "{look:#}");
            ensure!(asked == ["refused_by_resolver"], "{look:#}");
            Ok(())
        })?;
        let status = seen_at_parent(scene)?;
        ensure!(status.contains("no: mistaken DS"), "{status}");
        ensure!(status.contains("name no key of hg.test"), "{status}");
        let found = doctor(scene)?;
        ensure!(found.len() == 2 && found.iter().all(|one| one["result"] == "bad"), "{found:?}");

        parent.serve(&ds)?;
        let status = seen_at_parent(scene)?;
        ensure!(!status.contains("mistaken") && status.contains("yes"), "{status}");
        let found = doctor(scene)?;
        ensure!(found.len() == 1 && found[0]["result"] == "ok", "{found:?}");
        let mended = look(scene)?;
        ensure!(mended["parents"] == 1, "the parent was asked: {mended:#}");
        ensure!(faults(&mended, &[ZONE]).is_empty(), "{mended:#}");

        parent.serve(&missing(&ds))?;
        poll::until("a note, once caches know the key", LIMIT, || {
            let unsigned = look(scene)?;
            let notes = unsigned["notes"].to_string();
            ensure!(notes.contains("has no DS record of hg.test"), "{unsigned:#}");
            ensure!(faults(&unsigned, &[ZONE]).is_empty(), "no fault: {unsigned:#}");
            Ok(())
        })
    })
}
