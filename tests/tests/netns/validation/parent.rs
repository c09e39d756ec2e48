//! The signed zone above those of the agents, on an NSD of its own, and the resolver that trusts its key and nothing else.
//!
//! The parent's key never changes; which DS records stand in it is what a test says. Every TTL is a second, so what a
//! resolver keeps of it is soon asked for anew.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use holdfast_tests::lab::{Host, Lab};
use holdfast_tests::process::{Process, run};
use holdfast_tests::{Scene, poll};
use rustix::process::Signal;

use super::LIMIT;

/// The parent's server.
pub(super) const PARENT: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 41);
/// The resolver.
pub(super) const RESOLVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 42);

/// The zone above, signed with one key for good, on an NSD that also serves what is delegated unsigned.
pub(super) struct Parent {
    host: Host,
    dir: PathBuf,
    delegations: String,
    serial: u32,
    process: Option<Process>,
}

impl Parent {
    pub(super) fn new(scene: &mut Scene) -> Result<Self> {
        let host = scene.lab.host("parent", PARENT)?;
        let dir = scene.dir().to_path_buf();
        let mut delegations = String::new();
        for zone in ["hf", "hg"] {
            for (place, ip) in scene.cluster.addresses().iter().enumerate() {
                let number = place + 1;
                delegations += &format!("{zone} NS ns{number}.{zone}\nns{number}.{zone} A {ip}\n");
            }
        }
        let mut command = host.command("sh");
        let make =
            "ldns-keygen -a ECDSAP256SHA256 -k test > key.name && cat \"$(cat key.name).ds\"";
        run(command.args(["-euc", make]).current_dir(&dir))?
            .ok()
            .context("ldnsutils is missing")?;
        for zone in ["hf", "hg"] {
            let text = format!(
                "$ORIGIN lab.{zone}.test.\n$TTL 1\n@ SOA ns root 1 60 60 600 1\n@ NS ns\nns A {PARENT}\n\
                 host A 192.0.2.9\n"
            );
            std::fs::write(dir.join(format!("lab.{zone}.zone")), text)?;
        }
        Ok(Self { host, dir, delegations, serial: 0, process: None })
    }

    /// What a resolver is to trust.
    pub(super) fn anchor(&self) -> Result<String> {
        let name = std::fs::read_to_string(self.dir.join("key.name"))?;
        Ok(std::fs::read_to_string(self.dir.join(format!("{}.ds", name.trim())))?)
    }

    /// Serves the zone with these DS records and no others.
    pub(super) fn serve(&mut self, ds: &str) -> Result<()> {
        self.serial += 1;
        let zone = format!(
            "$ORIGIN test.\n$TTL 1\n@ SOA ns root {} 60 60 600 1\n@ NS ns\nns A {PARENT}\n{}{ds}",
            self.serial, self.delegations
        );
        std::fs::write(self.dir.join("test.zone"), zone)?;
        let mut command = self.host.command("sh");
        command
            .args(["-euc", "ldns-signzone test.zone \"$(cat key.name)\""])
            .current_dir(&self.dir);
        run(&mut command)?.ok().context("signing the parent")?;
        let zone =
            |(name, file): (&str, &str)| format!("zone:\n  name: {name}\n  zonefile: {file}\n");
        let zones: String = [
            ("test", "test.zone.signed"),
            ("lab.hf.test", "lab.hf.zone"),
            ("lab.hg.test", "lab.hg.zone"),
        ]
        .map(zone)
        .concat();
        let config = format!(
            "server:\n  ip-address: {PARENT}\n  username: \"\"\n  chroot: \"\"\n  zonesdir: \"{0}\"\n  database: \"\"\n  \
             pidfile: \"\"\n  xfrdfile: \"\"\n  zonelistfile: \"{0}/zone.list\"\n  logfile: \"\"\nremote-control:\n  \
             control-enable: no\n{zones}",
            self.dir.display()
        );
        std::fs::write(self.dir.join("nsd.conf"), config)?;
        if let Some(process) = &self.process {
            process.signal(Signal::HUP)?;
        } else {
            let mut command = self.host.command("nsd");
            command.arg("-d").arg("-c").arg(self.dir.join("nsd.conf"));
            self.process = Some(Process::start("nsd", &mut command, &self.dir.join("nsd.log"))?);
        }
        let expected = format!("ns.test. root.test. {} ", self.serial);
        poll::until("the parent's newest zone", LIMIT, || {
            let mut command = self.host.command("dig");
            command
                .arg(format!("@{PARENT}"))
                .args(["test", "SOA", "+short", "+tries=1", "+time=1"]);
            let told = run(&mut command)?.ok()?;
            ensure!(told.contains(&expected), "{told}");
            Ok(())
        })
    }
}

/// Starts a resolver that trusts the anchor and nothing else.
pub(super) fn start_resolver(lab: &mut Lab, dir: &Path, anchor: &str) -> Result<Process> {
    let host = lab.host("resolver", RESOLVER)?;
    std::fs::write(dir.join("anchor"), anchor)?;
    let config = format!(
        "server:\n  interface: {RESOLVER}\n  access-control: 10.77.0.0/24 allow\n  do-daemonize: no\n  \
         use-syslog: no\n  logfile: \"\"\n  pidfile: \"\"\n  username: \"\"\n  chroot: \"\"\n  directory: \"{0}\"\n  \
         num-threads: 1\n  root-hints: \"\"\n  local-zone: \"test.\" nodefault\n  trust-anchor-file: \"{0}/anchor\"\n  \
         module-config: \"validator iterator\"\n  val-log-level: 2\n  infra-host-ttl: 1\n  aggressive-nsec: no\n\
         remote-control:\n  control-enable: no\nstub-zone:\n  name: test\n  stub-addr: {PARENT}\n  stub-prime: no\n",
        dir.display()
    );
    std::fs::write(dir.join("validator.conf"), config)?;
    let mut command = host.command("unbound");
    command.arg("-d").arg("-c").arg(dir.join("validator.conf"));
    Process::start("unbound", &mut command, &dir.join("validator.log"))
}
