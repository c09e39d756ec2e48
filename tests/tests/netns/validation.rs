//! Signed zones below a signed parent, followed by a validating resolver that trusts the parent's key and nothing else.
//!
//! ```text
//! unbound (anchor: test.) ─▶ NSD: test. ─▶ agents: hf.test.   ECDSA P-256, compact denial, a service
//!                                       ├▶ agents: hg.test.   Ed25519, a chain of hashes
//!                                       └  NSD: lab.hf.test.  unsigned, delegated by hf.test.
//! ```

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use holdfast_tests::lab::{Host, Lab};
use holdfast_tests::process::{Process, run};
use holdfast_tests::scenario::NAME;
use holdfast_tests::{Scene, poll, scenario};
use rustix::process::Signal;

const PARENT: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 41);
const RESOLVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 42);
const LIMIT: Duration = Duration::from_secs(40);
const COMPACT: &str = "dnssec: { algorithm: ecdsa-p256 }";
const HASHED: &str = "dnssec: { algorithm: ed25519, denial: nsec3 }";

/// A zone of the agents: with a wildcard, an empty non-terminal and an unsigned delegation.
fn manifest(zone: &str, dnssec: &str, agents: &[Ipv4Addr]) -> String {
    let server = |(place, ip): (usize, &Ipv4Addr)| {
        format!("    - {{ name: ns{}.{zone}, addresses: [\"{ip}\"] }}\n", place + 1)
    };
    let servers: String = agents.iter().enumerate().map(server).collect();
    format!(
        "apiVersion: holdfast/v1\nkind: Zone\nmetadata: {{ name: {zone} }}\nspec:\n  soa: {{ negative_ttl: 1s }}\n  \
         ttl: 2s\n  {dnssec}\n  name_servers:\n{servers}  records:\n    \
         - {{ name: host.{zone}, type: A, data: 192.0.2.1, ttl: 1s }}\n    \
         - {{ name: a.deep.{zone}, type: A, data: 192.0.2.2, ttl: 1s }}\n    \
         - {{ name: \"*.wild.{zone}\", type: A, data: 192.0.2.3, ttl: 1s }}\n    \
         - {{ name: lab.{zone}, type: NS, data: ns.lab.{zone}, ttl: 1s }}\n    \
         - {{ name: ns.lab.{zone}, type: A, data: {PARENT}, ttl: 1s }}\n"
    )
}

/// The zone above, signed with one key for good, on an NSD that also serves what is delegated unsigned.
struct Parent {
    host: Host,
    dir: PathBuf,
    delegations: String,
    serial: u32,
    process: Option<Process>,
}

impl Parent {
    fn new(scene: &mut Scene) -> Result<Self> {
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
    fn anchor(&self) -> Result<String> {
        let name = std::fs::read_to_string(self.dir.join("key.name"))?;
        Ok(std::fs::read_to_string(self.dir.join(format!("{}.ds", name.trim())))?)
    }

    /// Serves the zone with these DS records and no others.
    fn serve(&mut self, ds: &str) -> Result<()> {
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

fn start_resolver(lab: &mut Lab, dir: &Path, anchor: &str) -> Result<Process> {
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

/// The DS records of all keys that an agent answers with. What the CLI says comes later: when every cache knows the key.
fn ds_of(scene: &Scene, zone: &str) -> Result<String> {
    let make = format!(
        "dig @{} {zone} DNSKEY +noall +answer | dnssec-dsfromkey -2 -f - {zone}",
        scene.cluster.addresses()[0]
    );
    run(scene.cluster.client.command("sh").args(["-euc", &make]))?.ok()
}

/// What the resolver says: its code, whether it has validated, and the last fields of the answer's records.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    code: String,
    validated: bool,
    data: Vec<String>,
}

impl Said {
    fn told(code: &str, validated: bool, data: &[&str]) -> Self {
        Self {
            code: code.to_owned(),
            validated,
            data: data.iter().map(|s| (*s).to_owned()).collect(),
        }
    }

    /// Reads what `dig +dnssec` prints.
    fn read(said: &str) -> Result<Self> {
        let after = |mark: &str| said.split_once(mark).map(|(_, rest)| rest);
        let code = after("status: ").and_then(|rest| rest.split(',').next()).context("a status")?;
        let flags = after(";; flags:").and_then(|rest| rest.split(';').next()).context("flags")?;
        let record = |line: &&str| !line.starts_with(';') && !line.contains("RRSIG");
        let answer = after("ANSWER SECTION:").unwrap_or_default();
        let answer = answer.split("\n\n").next().unwrap_or_default();
        let data = answer.lines().filter(record).filter_map(|line| line.split_whitespace().last());
        Ok(Self {
            code: code.to_owned(),
            validated: flags.split_whitespace().any(|flag| flag == "ad"),
            data: data.map(str::to_owned).collect(),
        })
    }
}

fn ask(client: &Host, name: &str, kind: &str) -> Result<Said> {
    let mut command = client.command("dig");
    command.arg(format!("@{RESOLVER}")).args([name, kind, "+dnssec", "+tries=1", "+time=3"]);
    Said::read(&run(&mut command)?.ok()?)
}

fn awaits(scene: &Scene, (name, kind): (&str, &str), expected: &Said) -> Result<()> {
    let what = format!("{name} {kind} as the resolver has it");
    poll::until_equal(&what, LIMIT, expected, || ask(&scene.cluster.client, name, kind))
}

/// Everything static about a zone; `missing` is the code for names that do not exist.
fn awaits_all_of(scene: &Scene, zone: &str, missing: &str) -> Result<()> {
    let nodata = || Said::told("NOERROR", true, &[]);
    let address = |last| Said::told("NOERROR", true, &[&*format!("192.0.2.{last}")]);
    for (owner, kind, expected) in [
        ("host", "A", address(1)),
        ("host", "MX", nodata()),
        ("deep", "A", nodata()),
        ("any.wild", "A", address(3)),
        ("any.wild", "MX", nodata()),
        ("nothing.at.all", "A", Said::told(missing, true, &[])),
        ("lab", "DS", nodata()),
        ("host.lab", "A", Said::told("NOERROR", false, &["192.0.2.9"])),
    ] {
        awaits(scene, (&format!("{owner}.{zone}"), kind), &expected)?;
    }
    Ok(())
}

/// The scene's zone and another one, signed below a signed parent, and a resolver that validates.
fn sign(scene: &mut Scene) -> Result<(Parent, Process, String)> {
    let agents = scene.cluster.addresses();
    let mut ds = String::new();
    for (zone, dnssec) in [("hf.test", COMPACT), ("hg.test", HASHED)] {
        scene.cluster.apply(&manifest(zone, dnssec, &agents))?;
        scene.cluster.cli(&["zone", "dnssec", "enable", zone])?.ok()?;
        ds += &poll::until("the zone's key", LIMIT, || {
            let ds = ds_of(scene, zone)?;
            ensure!(ds.contains(" DS "), "no key: {ds}");
            Ok(ds)
        })?;
    }
    let mut parent = Parent::new(scene)?;
    parent.serve(&ds)?;
    let dir = scene.dir().to_path_buf();
    let resolver = start_resolver(&mut scene.lab, &dir, &parent.anchor()?)?;
    Ok((parent, resolver, ds))
}

fn shop_at(address: Ipv4Addr) -> Said {
    Said::told("NOERROR", true, &[&*address.to_string()])
}

#[test]
fn a_validating_resolver_follows_failovers_and_an_agent_alone() -> Result<()> {
    scenario(|scene| {
        let _above = sign(scene)?;
        awaits_all_of(scene, "hf.test", "NOERROR")?;
        awaits_all_of(scene, "hg.test", "NXDOMAIN")?;
        awaits(scene, (NAME, "A"), &shop_at(scene.eu.host.address))?;
        let beforehand = ["where=\"presigned\""];
        let count = scene.cluster.counter(0, "holdfast_dns_signatures_total", &beforehand)?;
        ensure!(count > 0.0, "nothing was signed beforehand");

        scene.eu.kill()?;
        awaits(scene, (NAME, "A"), &shop_at(scene.us.host.address))?;
        awaits_all_of(scene, "hg.test", "NXDOMAIN")?;

        // The last of three, started anew without a quorum: keys and answers come from its own disk.
        for place in 0..3 {
            scene.cluster.kill9(place)?;
        }
        scene.cluster.start_node(2)?;
        awaits(scene, (NAME, "A"), &shop_at(scene.us.host.address))?;
        awaits_all_of(scene, "hf.test", "NOERROR")?;
        awaits_all_of(scene, "hg.test", "NXDOMAIN")
    })
}

#[test]
fn a_validating_resolver_refuses_a_zone_under_the_key_of_another() -> Result<()> {
    scenario(|scene| {
        let (mut parent, _resolver, ds) = sign(scene)?;
        awaits(scene, (NAME, "A"), &shop_at(scene.eu.host.address))?;
        let other: String = ds.lines().filter(|line| line.contains("hg.test.")).collect();
        parent.serve(&format!("{}\n", other.replace("hg.test.", "hf.test.")))?;
        awaits(scene, (NAME, "A"), &Said::told("SERVFAIL", false, &[]))
    })
}
