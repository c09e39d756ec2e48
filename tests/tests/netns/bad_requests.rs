//! What is wrong with a request: one clear error or a typed status, and nothing of what is declared changes.

use anyhow::{Context as _, Result, anyhow, ensure};
use holdfast_tests::cluster::Cluster;
use holdfast_tests::manifest::{BRISK, Service, WEB, ZONE};
use holdfast_tests::scenario::SHOP;
use holdfast_tests::site::issue_expired;
use holdfast_tests::{Scene, scenario};
use holdfast_wire::ca::{Role, Subject};
use holdfast_wire::pb::v1 as pb;
use holdfast_wire::pb::v1::override_service_client::OverrideServiceClient;
use holdfast_wire::pb::v1::registry_service_client::RegistryServiceClient;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::bad_input::{ca, check_error};

/// What a refusal must not have touched: revision, epoch and declaration.
fn memory(cluster: &Cluster) -> Result<(u64, u64, Option<pb::Service>)> {
    let entry = cluster.service_as_seen_by(cluster.leader()?, SHOP)?;
    Ok((entry.revision, entry.status.unwrap_or_default().epoch, entry.spec))
}

/// Tells a story of refusals, after which everything is as it was.
fn refusals(story: impl FnOnce(&Scene, u64) -> Result<()>) -> Result<()> {
    scenario(|scene| {
        let before = memory(&scene.cluster)?;
        story(scene, before.0)?;
        ensure!(memory(&scene.cluster)? == before, "something was changed");
        Ok(())
    })
}

#[test]
fn wrong_manifests_change_nothing() -> Result<()> {
    refusals(|scene, revision| {
        let endpoints = [("eu", scene.eu.address(), 80), ("us", scene.us.address(), 80)];
        let good =
            Service { name: SHOP, endpoints: &endpoints, check: WEB, failover: BRISK }.to_yaml();
        let (stale, stored) = ((revision - 1).to_string(), revision.to_string());
        let no_duration = good.replace("interval: 1s", "interval: often");
        let outside = good.replace("shop.hf.test", "shop.elsewhere.test");
        check_manifest(
            scene,
            "an unknown key",
            &good.replace("ttl:", "tll:"),
            1,
            &["line 5, column", "tll", "ttl", "nothing was sent"],
        )?;
        check_manifest(
            scene,
            "an impossible duration",
            &good.replace("timeout: 700ms", "timeout: 5s"),
            1,
            &["checks[check].timeout", "less than the interval"],
        )?;
        check_manifest(scene, "no duration", &no_duration, 1, &["line 12", "often"])?;
        let twice = good.replace("name: us", "name: eu");
        check_manifest(scene, "a name twice", &twice, 1, &["eu", "twice", "nothing was sent"])?;
        let said = ["shop.elsewhere.test", "zone", "next:"];
        check_manifest(scene, "a name outside the zone", &outside, 3, &said)?;
        check_manifest(scene, "a request over the cap", &oversized(), 1, &["1048576", "next:"])?;

        let file = scene.dir().join("stale.yaml");
        std::fs::write(&file, good.replace("ttl: 1s", "ttl: 9s"))?;
        let path = file.to_string_lossy();
        let words = ["apply", "-f", &path, "--yes", "--if-revision", &stale];
        let output = scene.cluster.cli(&words)?;
        check_error("a stale revision", &output, 3, &[&stale, &stored, "next:"])
    })
}

/// The manifest is refused with this exit code and these words.
fn check_manifest(scene: &Scene, what: &str, text: &str, code: i32, said: &[&str]) -> Result<()> {
    let file = scene.dir().join("wrong.yaml");
    std::fs::write(&file, text)?;
    let path = file.to_string_lossy();
    check_error(what, &scene.cluster.cli(&["apply", "-f", &path, "--yes"])?, code, said)
}

#[test]
fn wrong_orders_change_nothing() -> Result<()> {
    refusals(|scene, revision| {
        let pin = "override set shop --pin";
        let table: [(&str, String, i32, &[&str]); 5] = [
            ("no reason", format!("{pin} us --for 5m"), 64, &["--reason"]),
            ("no expiry", format!("{pin} us --reason r"), 64, &["--for"]),
            ("no end in sight", format!("{pin} us --for 90d --reason r"), 1, &["30d", "next:"]),
            ("no such pool", format!("{pin} mars --for 5m --reason r"), 1, &["mars", "next:"]),
            ("no such service", "service delete nothing".into(), 1, &["nothing", "next:"]),
        ];
        for (what, line, code, said) in &table {
            let words: Vec<&str> = line.split_whitespace().chain(["--yes"]).collect();
            check_error(what, &scene.cluster.cli(&words)?, *code, said)?;
        }
        check_typed_statuses(&scene.cluster, revision)
    })
}

#[test]
fn wrong_certificates_are_told_apart() -> Result<()> {
    refusals(|scene, _| {
        let (pki, other) = (&scene.cluster.pki, scene.dir().join("other"));
        ca(&other, &["init", "--cluster", "test"])?;
        ca(&other, &["issue", "user", "op"])?;
        let user = Subject {
            role: Role::User,
            name: "late".into(),
            dns_names: Vec::new(),
            addresses: Vec::new(),
        };
        issue_expired(pki, pki, &user)?;
        let text = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
        let check = |what: &str, files: [std::path::PathBuf; 3], code: i32, said: &[&str]| {
            let [ca, cert, key] = files.map(text);
            let flags = ["--ca", &ca, "--cert", &cert, "--key", &key, "--timeout", "3s"];
            let words: Vec<&str> = ["status"].into_iter().chain(flags).collect();
            check_error(what, &scene.cluster.cli(&words)?, code, said)
        };
        check(
            "another authority on both sides",
            [other.join("ca.pem"), other.join("op.pem"), other.join("op.key")],
            4,
            &["certificate", "next:"],
        )?;
        check(
            "a stranger's certificate",
            [pki.join("ca.pem"), other.join("op.pem"), other.join("op.key")],
            1,
            &["was not signed by", "holdfast ca init"],
        )?;
        check(
            "an expired certificate",
            [pki.join("ca.pem"), pki.join("late.pem"), pki.join("late.key")],
            1,
            &["expired", "holdfast ca issue"],
        )
    })
}

/// A zone of more than the largest request.
fn oversized() -> String {
    let text = "x".repeat(240);
    let record = |number: usize| {
        format!("    - {{ name: r{number}.{ZONE}, type: TXT, data: \"{text}\" }}\n")
    };
    let records: String = (0..5000).map(record).collect();
    format!(
        "apiVersion: holdfast/v1\nkind: Zone\nmetadata: {{ name: {ZONE} }}\nspec:\n  name_servers:\n    \
         - {{ name: ns1.{ZONE}, addresses: [\"10.77.0.11\"] }}\n  records:\n{records}"
    )
}

/// Refused with this code; the reason and the next step are there for programs.
fn check_status(what: &str, status: Option<&Status>, code: Code, reason: &str) -> Result<()> {
    let status = status.ok_or_else(|| anyhow!("{what} was accepted"))?;
    ensure!(status.code() == code, "{what}: {status}");
    let info = status
        .get_error_details()
        .error_info()
        .cloned()
        .with_context(|| format!("{what}: no reason"))?;
    ensure!(info.reason == reason, "{what}: {} instead of {reason}", info.reason);
    ensure!(
        info.metadata.get("next_step").is_some_and(|next| !next.is_empty()),
        "{what}: no next step"
    );
    Ok(())
}

fn check_typed_statuses(cluster: &Cluster, revision: u64) -> Result<()> {
    let service = cluster.service_as_seen_by(0, SHOP)?.spec;
    let id = |last: u8| format!("5d1f6f0a-3f0e-4c6d-8d6e-0000000000{last:02}");
    let pin = |reason: &str, lasting_ms: u64, last: u8| pb::SetOverrideRequest {
        request_id: id(last),
        service: SHOP.into(),
        order: Some(pb::Order { order: Some(pb::order::Order::Pin("us".into())) }),
        reason: reason.into(),
        lasting_ms,
    };
    let stale = pb::ApplyServiceRequest {
        request_id: id(1),
        service: service.clone(),
        if_revision: Some(revision - 1),
        validate_only: false,
    };
    let unnumbered = pb::ApplyServiceRequest { service, ..pb::ApplyServiceRequest::default() };
    let (unreasoned, endless) = (pin("", 60_000, 2), pin("why", 0, 3));
    let statuses = cluster.call(0, async |channel| {
        let mut registry = RegistryServiceClient::new(channel.clone());
        let mut overrides = OverrideServiceClient::new(channel);
        Ok([
            registry.apply_service(stale).await.err(),
            registry.apply_service(unnumbered).await.err(),
            overrides.set_override(unreasoned).await.err(),
            overrides.set_override(endless).await.err(),
        ])
    })?;
    check_status("a stale revision", statuses[0].as_ref(), Code::Aborted, "STALE_REVISION")?;
    check_status("no request id", statuses[1].as_ref(), Code::InvalidArgument, "INVALID_ARGUMENT")?;
    check_status("no reason", statuses[2].as_ref(), Code::InvalidArgument, "INVALID_ARGUMENT")?;
    check_status("no expiry", statuses[3].as_ref(), Code::InvalidArgument, "INVALID_ARGUMENT")
}
