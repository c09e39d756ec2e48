//! Signed zones below a signed parent, followed by a validating resolver that trusts the parent's key and nothing else.
//!
//! ```text
//! unbound (anchor: test.) ─▶ NSD: test. ─▶ agents: hf.test.   ECDSA P-256, compact denial, a service
//!                                       ├▶ agents: hg.test.   Ed25519, a chain of hashes
//!                                       └  NSD: lab.hf.test.  unsigned, delegated by hf.test.
//! ```

mod mistaken;
mod parent;
mod rollover;

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use holdfast_tests::lab::Host;
use holdfast_tests::process::{Process, run};
use holdfast_tests::scenario::NAME;
use holdfast_tests::{Scene, poll, scenario};

use self::parent::{PARENT, Parent, RESOLVER, start_resolver};

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

/// The DS records of all keys that a server answers with. What the CLI says comes later: when every cache knows the key.
fn ds_of(client: &Host, server: Ipv4Addr, zone: &str) -> Result<String> {
    let make = format!(
        "dig @{server} {zone} DNSKEY +noall +answer +tries=1 +time=3 | dnssec-dsfromkey -2 -f - {zone}"
    );
    run(client.command("sh").args(["-euc", &make]))?.ok()
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

/// Everything static about a zone, as a resolver is to have it; `missing` is the code for names that do not exist.
fn all_of(zone: &str, missing: &str) -> Vec<(String, &'static str, Said)> {
    let nodata = || Said::told("NOERROR", true, &[]);
    let address = |last| Said::told("NOERROR", true, &[&*format!("192.0.2.{last}")]);
    let told = [
        ("host", "A", address(1)),
        ("host", "MX", nodata()),
        ("deep", "A", nodata()),
        ("any.wild", "A", address(3)),
        ("any.wild", "MX", nodata()),
        ("nothing.at.all", "A", Said::told(missing, true, &[])),
        ("lab", "DS", nodata()),
        ("host.lab", "A", Said::told("NOERROR", false, &["192.0.2.9"])),
    ];
    told.map(|(owner, kind, said)| (format!("{owner}.{zone}"), kind, said)).into()
}

fn awaits_all_of(scene: &Scene, zone: &str, missing: &str) -> Result<()> {
    let all = all_of(zone, missing);
    all.iter().try_for_each(|(name, kind, expected)| awaits(scene, (name, kind), expected))
}

/// The scene's zone, and `hg.test` with this declaration, signed below a signed parent, and a resolver that validates.
fn sign(scene: &mut Scene, declared: &str) -> Result<(Parent, Process, String)> {
    let agents = scene.cluster.addresses();
    let mut ds = String::new();
    for (zone, dnssec) in [("hf.test", COMPACT), ("hg.test", declared)] {
        scene.cluster.apply(&manifest(zone, dnssec, &agents))?;
        scene.cluster.cli(&["zone", "dnssec", "enable", zone])?.ok()?;
        ds += &poll::until("the zone's key", LIMIT, || {
            let ds = ds_of(&scene.cluster.client, agents[0], zone)?;
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
        let _above = sign(scene, HASHED)?;
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
        let (mut parent, _resolver, ds) = sign(scene, HASHED)?;
        awaits(scene, (NAME, "A"), &shop_at(scene.eu.host.address))?;
        let other: String = ds.lines().filter(|line| line.contains("hg.test.")).collect();
        parent.serve(&format!("{}\n", other.replace("hg.test.", "hf.test.")))?;
        awaits(scene, (NAME, "A"), &Said::told("SERVFAIL", false, &[]))
    })
}
