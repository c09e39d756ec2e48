//! What is wrong gets one clear error: what, why and what next, a documented exit code, and nothing is lost.
//!
//! Tables: a deed, its exit code, and what its one error has to say.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail, ensure};
use holdfast_tests::cluster::{API, Cluster, HTTP, LIMIT};
use holdfast_tests::lab::{Host, Lab};
use holdfast_tests::process::{Output, Process, must, run};
use holdfast_tests::scenario::ONE_REGION;
use holdfast_tests::site::issue_expired;
use holdfast_tests::{holdfast, poll};
use holdfast_wire::ca::{Role, Subject};

/// Exactly one error, this exit code, and each of these texts in it.
pub(crate) fn check_error(what: &str, output: &Output, code: i32, said: &[&str]) -> Result<()> {
    let errors = output.stderr.lines().filter(|line| line.starts_with("error:")).count();
    ensure!(errors == 1, "{what}: {errors} errors: {}{}", output.stdout, output.stderr);
    ensure!(
        output.code == code,
        "{what}: exit code {} instead of {code}: {}",
        output.code,
        output.stderr
    );
    for text in said {
        ensure!(output.stderr.contains(text), "{what}: {text:?} is not said: {}", output.stderr);
    }
    ensure!(!output.stderr.contains("panicked"), "{what}: {}", output.stderr);
    Ok(())
}

/// An agent that stands alone on a host's loopback, as files.
struct Alone {
    dir: tempfile::TempDir,
    host: Host,
    _lab: Lab,
}

const GOOD: &str = r#"[node]
name = "a1"
data_dir = "data"

[listen]
peer = "127.0.0.1:7443"
api = "127.0.0.1:7444"
dns = ["127.0.0.1:53"]
http = "127.0.0.1:7480"

[cluster]
id = "alone"
members = [
  { name = "a1", region = "lab", peer = "127.0.0.1:7443", api = "127.0.0.1:7444" },
]

[tls]
cert = "pki/a1.pem"
key = "pki/a1.key"
ca = "pki/ca.pem"
"#;

impl Alone {
    fn new() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let mut lab = Lab::new()?;
        let host = lab.host("alone", std::net::Ipv4Addr::new(10, 77, 0, 50))?;
        let pki = dir.path().join("pki");
        ca(&pki, &["init", "--cluster", "alone"])?;
        ca(&pki, &["issue", "agent", "a1", "--address", "127.0.0.1"])?;
        ca(&pki, &["issue", "agent", "a2", "--address", "127.0.0.1"])?;
        ca(&dir.path().join("other"), &["init", "--cluster", "alone"])?;
        let subject = Subject {
            role: Role::Agent,
            name: "old".into(),
            dns_names: Vec::new(),
            addresses: vec![std::net::Ipv4Addr::LOCALHOST.into()],
        };
        issue_expired(&pki, &pki, &subject)?;
        Ok(Self { dir, host, _lab: lab })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs an agent that must refuse to start.
    fn start(&self, config: &str) -> Result<Output> {
        std::fs::write(self.path("agent.toml"), config)?;
        let mut command = self.host.command("timeout");
        command.arg(LIMIT.as_secs().to_string()).arg(holdfast()?);
        command.arg("agent").arg("--config").arg(self.path("agent.toml"));
        run(&mut command)
    }
}

/// Runs `holdfast ca`.
pub(crate) fn ca(pki: &Path, words: &[&str]) -> Result<()> {
    let mut command = Command::new(holdfast()?);
    command.arg("ca").args(words).arg("--dir").arg(pki);
    run(&mut command)?.ok().map(drop)
}

#[test]
fn an_agent_with_a_wrong_configuration_does_not_start() -> Result<()> {
    let alone = Alone::new()?;
    let with = |section: &str| format!("{GOOD}\n{section}\n");
    let second = "  { name = \"a1\", region = \"lab\", peer = \"127.0.0.1:8443\", api = \"127.0.0.1:8444\" },\n]";
    let table: [(&str, String, &[&str]); 13] = [
        (
            "an unknown key",
            GOOD.replace("data_dir", "datadir"),
            &["line 3, column 1", "datadir", "data_dir"],
        ),
        ("an unknown section", with("[rafter]"), &["line 22, column 2", "rafter"]),
        ("no TOML", GOOD.replace("[tls]", "[tls"), &["line 17", "check-config"]),
        (
            "a heartbeat of nothing",
            with("[raft]\nheartbeat = \"0ms\""),
            &["raft.heartbeat", "at least 5ms"],
        ),
        (
            "no duration",
            with("[raft]\nheartbeat = \"soon\""),
            &["raft.heartbeat", "not a duration", "10s"],
        ),
        (
            "a name twice",
            GOOD.replacen("\n]", &format!("\n{second}"), 1),
            &["cluster.members[1]", "a1 is used twice"],
        ),
        (
            "no address",
            GOOD.replace("api = \"127.0.0.1:7444\"\ndns", "api = \"here\"\ndns"),
            &["listen.api", "10.1.0.4:7443"],
        ),
        (
            "clear text beyond loopback",
            GOOD.replace("127.0.0.1:7444", "10.77.0.50:7444").replace(
                "cert = \"pki/a1.pem\"\nkey = \"pki/a1.key\"\nca = \"pki/ca.pem\"",
                "insecure_plaintext = true",
            ),
            &["listen.api", "not loopback", "holdfast ca"],
        ),
        ("a certificate that is not there", GOOD.replace("a1.pem", "no.pem"), &["tls", "no.pem"]),
        (
            "another authority",
            GOOD.replace("pki/ca.pem", "other/ca.pem"),
            &["tls", "was not signed by", "holdfast ca init"],
        ),
        (
            "an expired certificate",
            GOOD.replace("pki/a1.", "pki/old."),
            &["tls", "expired", "holdfast ca"],
        ),
        (
            "another's certificate",
            GOOD.replace("pki/a1.", "pki/a2."),
            &["tls", "a2 of cluster alone", "this is agent a1", "holdfast ca issue agent a1"],
        ),
        (
            "another's data",
            GOOD.replace("\"data\"", "\"agent.toml/data\""),
            &["node.data_dir", "Not a directory"],
        ),
    ];
    for (what, config, said) in &table {
        check_error(what, &alone.start(config)?, 1, said)?;
        ensure!(!alone.path("data").join("raft").exists(), "{what}: it began to store");
    }
    Ok(())
}

/// A file system that cannot be written; unmounted with its handle.
struct ReadOnly(PathBuf);

impl Drop for ReadOnly {
    fn drop(&mut self) {
        // There is nothing to do about one that is not mounted.
        drop(must("umount", [self.0.as_os_str()]));
    }
}

#[test]
fn an_agent_without_its_disk_or_its_port_does_not_start() -> Result<()> {
    let alone = Alone::new()?;
    let data = alone.path("data");
    std::fs::create_dir(&data)?;
    must("mount", ["-t", "tmpfs", "-o", "ro,size=1m", "holdfast-test", &data.to_string_lossy()])?;
    let disk = ReadOnly(data);
    let said = ["node.data_dir", "Read-only file system", "needs to read and write"];
    check_error("a directory that cannot be written", &alone.start(GOOD)?, 1, &said)?;
    drop(disk);
    for (key, port) in
        [("listen.peer", "7443"), ("listen.api", "7444"), ("listen.http", "7480"), ("dns", "53")]
    {
        let squatter = "import socket, sys; s = socket.create_server((\"127.0.0.1\", int(sys.argv[1]))); s.accept()";
        let mut command = alone.host.command("python3");
        command.args(["-c", squatter, port]);
        let _squatter = Process::start("squatter", &mut command, &alone.path("squatter.log"))?;
        poll::until("the squatter", LIMIT, || {
            let words = [
                "netns",
                "exec",
                &alone.host.namespace,
                "ss",
                "-Hltn",
                &format!("sport = :{port}"),
            ];
            if must("ip", words)?.is_empty() { bail!("it does not listen") } else { Ok(()) }
        })?;
        let address = format!("127.0.0.1:{port}");
        check_error(key, &alone.start(GOOD)?, 1, &[key, &address, "Address already in use"])?;
    }
    Ok(())
}

#[test]
fn an_agent_whose_peers_are_unreachable_says_so() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut lab = Lab::new()?;
    let mut cluster = Cluster::prepare(&mut lab, dir.path(), &ONE_REGION)?;
    cluster.start_node(0)?;
    let server = (cluster.nodes()[0].address(), HTTP).into();
    poll::until("word of what is not ready", LIMIT, || {
        let (code, body) = cluster.client.http(server, "/readyz")?;
        let quorum =
            body.contains("\"part\":\"quorum\",\"ready\":false") && body.contains("no leader");
        if code == 503 && quorum { Ok(()) } else { bail!("{code}: {body}") }
    })?;
    let output = cluster
        .cli_at(0, &["pause", "--for", "1m", "--reason", "r", "--yes", "--timeout", "3s"])?;
    check_error("a change without a quorum", &output, 4, &["no leader", "NO_LEADER", "next:"])?;
    let absent = format!("{}:{API}", cluster.nodes()[1].address());
    let output = cluster.cli(&["status", "--endpoint", &absent, "--timeout", "3s"])?;
    check_error(
        "nobody there",
        &output,
        4,
        &["no member answered", &absent, "Connection refused", "next:"],
    )?;
    Ok(())
}

#[test]
fn an_authority_is_never_made_over_another() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let pki = dir.path().join("pki");
    ca(&pki, &["init", "--cluster", "one"])?;
    let before = std::fs::read(pki.join("ca.key"))?;
    let mut again = Command::new(holdfast()?);
    again.args(["ca", "init", "--cluster", "two", "--dir"]).arg(&pki);
    check_error(
        "a second authority",
        &run(&mut again)?,
        1,
        &["exists and is not overwritten", "next:"],
    )?;
    ensure!(std::fs::read(pki.join("ca.key"))? == before, "the key changed");
    Ok(())
}
