//! Other people's clients over TLS, HTTPS and QUIC, at an agent that was started as root and let go of it.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use holdfast_tests::cluster::{HTTP, LIMIT};
use holdfast_tests::process::{must, run};
use holdfast_tests::scenario::NAME;
use holdfast_tests::{Scene, poll, scenario, workspace};

/// Debian's account without any rights.
const ACCOUNT: &str = "nobody";
/// Its number.
const ACCOUNT_ID: &str = "65534";

/// Makes a certificate of `dns.hf.test`, which is its own authority.
fn certificate(dir: &Path) -> Result<(PathBuf, PathBuf)> {
    let (cert, key) = (dir.join("dns.pem"), dir.join("dns.key"));
    let mut command = Command::new("openssl");
    command.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
    ]);
    command.args(["-subj", "/CN=dns.hf.test", "-addext", "subjectAltName=DNS:dns.hf.test"]);
    command.args(["-days", "2", "-out"]).arg(&cert).arg("-keyout").arg(&key);
    run(&mut command)?.ok()?;
    Ok((cert, key))
}

/// Restarts the first agent with encrypted DNS, as an account without rights; gives the certificate's file.
fn restart_as_nobody(scene: &mut Scene) -> Result<PathBuf> {
    let dir = scene.dir().to_path_buf();
    let (cert, key) = certificate(&dir)?;
    scene.cluster.terminate(0)?;
    let node = &scene.cluster.nodes()[0];
    let (ip, own_key) = (node.address(), scene.cluster.pki.join("a1.key"));
    let told = std::fs::read_to_string(node.config())?;
    let told = told.replace("[node]\n", &format!("[node]\nuser = \"{ACCOUNT}\"\n"));
    let section = format!(
        "\n[dns.tls]\ncert = \"{}\"\nkey = \"{}\"\nlisten = [\"{ip}:853\"]\nhttps = [\"{ip}:443\"]\nquic = [\"{ip}:853\"]\n",
        cert.display(),
        key.display(),
    );
    std::fs::write(node.config(), told + &section)?;
    for path in [dir.as_path(), &scene.cluster.pki, &node.dir] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))?;
    }
    let given = [&node.data(), &own_key, &key].map(|path| path.display().to_string());
    must("chown", ["-R", ACCOUNT].into_iter().chain(given.iter().map(String::as_str)))?;
    scene.cluster.start_node(0)?;
    scene.cluster.await_ready_of(0)?;
    Ok(cert)
}

#[test]
fn other_clients_ask_over_every_transport_an_agent_that_is_not_root() -> Result<()> {
    scenario(|scene| {
        let cert = restart_as_nobody(scene)?;
        let cert = cert.display().to_string();
        let server = scene.cluster.nodes()[0].address().to_string();
        let client = &scene.cluster.client;
        let eu = scene.eu.address().to_string();

        let ca = format!("+tls-ca={cert}");
        let at = format!("@{server}");
        let tls = ["+tls", &ca, "+tls-hostname=dns.hf.test"];
        let https = ["+https", &ca, "+tls-hostname=dns.hf.test"];
        let get = ["+https-get", &ca, "+tls-hostname=dns.hf.test"];
        let kdig = |transport: &[&str]| {
            run(client.command("kdig").args([&at, "-t", "A", NAME]).args(transport))?.ok()
        };
        for transport in [&["+tcp"][..], &tls, &https, &get] {
            let said = kdig(&[transport, &["+short"]].concat())?;
            ensure!(said.trim() == eu, "{transport:?}: {said}");
        }
        let said = kdig(&[tls.as_slice(), &["+padding=64"]].concat())?;
        ensure!(said.contains("PADDING"), "a padded query gets a padded reply: {said}");

        let mut doq = client.command(workspace().join("target/venv/bin/python"));
        doq.arg(workspace().join("tests/fixtures/doq.py"));
        let said = run(doq.args([server.as_str(), "853", &cert, NAME]))?.ok()?;
        ensure!(said.trim() == eu, "over QUIC: {said}");

        for (port, protocol) in [(853, "dot"), (443, "h2")] {
            let mut openssl = client.command("openssl");
            let connect = format!("{server}:{port}");
            openssl.args(["s_client", "-connect", &connect, "-alpn", protocol, "-CAfile", &cert]);
            let said = run(&mut openssl)?.stdout;
            ensure!(said.contains(&format!("ALPN protocol: {protocol}")), "{port}: {said}");
            ensure!(said.contains("Verification: OK"), "{port}: {said}");
        }
        let http = (scene.cluster.nodes()[0].address(), HTTP).into();
        let (_, metrics) = client.http(http, "/metrics")?;
        for transport in ["tcp", "tls", "https", "quic"] {
            let counted = metrics.lines().any(|line| {
                line.starts_with("holdfast_dns_queries_total")
                    && line.contains(&format!("transport=\"{transport}\""))
            });
            ensure!(counted, "no query over {transport} is counted");
        }
        every_thread_is_nobodys(scene)?;
        // What the account writes is there for the next start.
        scene.eu.kill()?;
        scene.await_everywhere(&scene.answer_us())?;
        scene.cluster.terminate(0)?;
        scene.cluster.start_node(0)?;
        poll::until_equal("the answer after a restart", LIMIT, &scene.answer_us(), || {
            scene.cluster.ask(0, NAME)
        })
    })
}

/// Looks from outside at the ids and capabilities of each thread of the first agent.
fn every_thread_is_nobodys(scene: &Scene) -> Result<()> {
    let tasks = format!("/proc/{}/task", scene.cluster.nodes()[0].pid()?);
    let mut names = BTreeSet::new();
    for task in std::fs::read_dir(&tasks).context(tasks)? {
        let status = std::fs::read_to_string(task?.path().join("status"))?;
        for line in status.lines() {
            let Some((key, value)) = line.split_once(':') else { continue };
            let mut values = value.split_whitespace();
            let clean = match key {
                "Name" => {
                    names.insert(value.trim().to_owned());
                    true
                }
                "Uid" | "Gid" => values.all(|id| id == ACCOUNT_ID),
                "CapPrm" | "CapEff" => values.all(|set| set.trim_matches('0').is_empty()),
                _ => true,
            };
            ensure!(clean, "a thread is not {ACCOUNT}'s: {line}");
        }
    }
    for name in ["dns-udp-0", "dns-tcp", "dns-encrypted"] {
        if !names.contains(name) {
            bail!("{name} is not among the threads that were looked at: {names:?}");
        }
    }
    Ok(())
}
