//! Secondaries that people run: NSD, Knot and BIND, which copy the zone from the agents under a key and serve it.

use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::lab::{Host, Lab};
use crate::manifest::ZONE;
use crate::process::{Process, must};

/// A running secondary.
#[derive(Debug)]
pub struct Secondary {
    /// Where it is.
    pub host: Host,
    /// What it says.
    pub process: Process,
}

/// The key that both sides share.
#[derive(Debug, Clone)]
pub struct Key {
    /// Its name.
    pub name: String,
    /// What it signs with, as key files name it.
    pub algorithm: String,
    /// Its secret in base64.
    pub secret: String,
}

impl Key {
    /// Reads a key file of BIND, as `holdfast tsig add` prints it.
    pub fn read(text: &str) -> Result<Self> {
        let mut quoted = text.split('"').skip(1).step_by(2);
        let mut next = || quoted.next().map(str::to_owned).context("a key file has two texts");
        let (name, secret) = (next()?, next()?);
        let behind = text.split_once("algorithm ").and_then(|(_, rest)| rest.split_once(';'));
        let (algorithm, _) = behind.context("a key file names its algorithm")?;
        Ok(Self { name, algorithm: algorithm.to_owned(), secret })
    }
}

impl Secondary {
    /// Starts NSD.
    pub fn nsd(
        lab: &mut Lab,
        (dir, at): (&Path, Ipv4Addr),
        agents: &[Ipv4Addr],
        key: &Key,
    ) -> Result<Self> {
        let dir = folder(dir, "nsd")?;
        let Key { name, algorithm, secret } = key;
        let each = |verb: &str| -> String {
            agents.iter().map(|ip| format!("  {verb}: {ip} {name}\n")).collect()
        };
        let place = dir.display();
        let config = format!(
            "server:\n  ip-address: {at}\n  username: \"\"\n  chroot: \"\"\n  zonesdir: \"{place}\"\n  \
             pidfile: \"\"\n  database: \"\"\n  rrl-ratelimit: 0\n  xfrdfile: \"{place}/xfrd.state\"\n  zonelistfile: \"{place}/zone.list\"\n  \
             xfrdir: \"{place}\"\n  server-count: 1\n  verbosity: 3\nremote-control:\n  control-enable: no\n\
             key:\n  name: \"{name}\"\n  algorithm: {algorithm}\n  secret: \"{secret}\"\n\
             zone:\n  name: \"{ZONE}\"\n  zonefile: \"{ZONE}.zone\"\n{}{}",
            each("allow-notify"),
            each("request-xfr")
        );
        must("nsd", ["-v"]).context("nsd is missing; .ci/install installs it")?;
        start(lab, ("nsd", at), &dir, &config, &["-d", "-c"])
    }

    /// Starts Knot.
    pub fn knot(
        lab: &mut Lab,
        (dir, at): (&Path, Ipv4Addr),
        agents: &[Ipv4Addr],
        key: &Key,
    ) -> Result<Self> {
        let dir = folder(dir, "knot")?;
        let Key { name, algorithm, secret } = key;
        let place = dir.display();
        let remotes: String = agents
            .iter()
            .map(|ip| format!("  - id: \"{ip}\"\n    address: {ip}@53\n    key: {name}\n"))
            .collect();
        let list = agents.iter().map(|ip| format!("\"{ip}\"")).collect::<Vec<_>>().join(", ");
        let config = format!(
            "server:\n  listen: {at}@53\n  rundir: \"{place}\"\ndatabase:\n  storage: \"{place}\"\n\
             log:\n  - target: stderr\n    any: info\nkey:\n  - id: {name}\n    algorithm: {algorithm}\n    \
             secret: {secret}\nremote:\n{remotes}acl:\n  - id: told\n    address: [{list}]\n    key: {name}\n    \
             action: notify\nzone:\n  - domain: {ZONE}\n    storage: \"{place}\"\n    master: [{list}]\n    \
             acl: told\n"
        );
        must("knotd", ["-V"]).context("knotd is missing; .ci/install installs it")?;
        start(lab, ("knotd", at), &dir, &config, &["-c"])
    }

    /// Starts BIND.
    pub fn bind(
        lab: &mut Lab,
        (dir, at): (&Path, Ipv4Addr),
        agents: &[Ipv4Addr],
        key: &Key,
    ) -> Result<Self> {
        let dir = folder(dir, "bind")?;
        let Key { name, algorithm, secret } = key;
        let primaries: String = agents.iter().map(|ip| format!("{ip} key \"{name}\"; ")).collect();
        let place = dir.display();
        let config = format!(
            "options {{\n directory \"{place}\"; pid-file none; session-keyfile none; recursion no; allow-query {{ any; }};\n \
             listen-on {{ {at}; }}; listen-on-v6 {{ none; }}; managed-keys-directory \"{place}\"; notify no;\n}};\n\
             controls {{ }};\nkey \"{name}\" {{ algorithm {algorithm}; secret \"{secret}\"; }};\n\
             zone \"{ZONE}\" {{ type secondary; file \"zone\"; primaries {{ {primaries}}}; }};\n"
        );
        must("named", ["-v"]).context("named is missing; .ci/install installs it")?;
        start(lab, ("named", at), &dir, &config, &["-4", "-g", "-n", "1", "-c"])
    }
}

pub(crate) fn folder(dir: &Path, name: &str) -> Result<std::path::PathBuf> {
    let dir = dir.join(name);
    std::fs::create_dir_all(&dir)?;
    Ok(dir)
}

fn start(
    lab: &mut Lab,
    (program, at): (&str, Ipv4Addr),
    dir: &Path,
    config: &str,
    words: &[&str],
) -> Result<Secondary> {
    let host = lab.host(program, at)?;
    let file = dir.join("conf");
    std::fs::write(&file, config)?;
    let mut command = host.command(program);
    command.args(words).arg(&file);
    let process = Process::start(program, &mut command, &dir.join("log"))?;
    Ok(Secondary { host, process })
}
