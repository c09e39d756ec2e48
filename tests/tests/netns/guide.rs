//! The guide to delegating a zone, done word for word: its shell blocks are run as they stand, on machines with the
//! guide's own addresses, below a signed parent zone, and a validating resolver follows.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use holdfast_tests::binary::holdfast;
use holdfast_tests::lab::{Host, Lab};
use holdfast_tests::poll;
use holdfast_tests::process::{Process, run};
use holdfast_tests::site::Site;

const GUIDE: &str = include_str!("../../../docs/guides/delegate-a-zone.md");
const EU: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 21);
const US: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 22);
const PARENT: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 53);
const RESOLVER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 54);
const NAME: &str = "shop.svc.example.com";
const LIMIT: Duration = Duration::from_secs(40);

/// The shell blocks of the guide's section of this number.
fn blocks(section: u32) -> Vec<String> {
    let start = format!("## {section}.");
    let lines = GUIDE.lines().skip_while(|line| !line.starts_with(&start)).skip(1);
    let mut blocks = Vec::new();
    let mut open: Option<String> = None;
    for line in lines.take_while(|line| !line.starts_with("## ")) {
        match &mut open {
            None if line == "```sh" => open = Some(String::new()),
            None => {}
            Some(_) if line == "```" => blocks.extend(open.take()),
            Some(block) => {
                block.push_str(line);
                block.push('\n');
            }
        }
    }
    blocks
}

/// The machine of whoever follows the guide.
struct Reader<'a> {
    host: Host,
    dir: &'a Path,
}

impl Reader<'_> {
    /// Does what a block says. Errors: a command of it failed.
    fn does(&self, block: &str) -> Result<String> {
        let binary = holdfast()?;
        let bin = binary.parent().context("the binary lies in a directory")?;
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = self.host.command("bash");
        command
            .args(["-euo", "pipefail", "-c", block])
            .env("PATH", format!("{}:{path}", bin.display()))
            .env("HOLDFAST_CONTEXT", self.dir.join("context.toml"))
            .current_dir(self.dir);
        run(&mut command)?.ok().with_context(|| format!("the guide says\n{block}"))
    }

    fn does_until_it_succeeds(&self, block: &str) -> Result<String> {
        poll::until("the guide's commands", LIMIT, || self.does(block))
    }

    fn validated(&self) -> Result<(bool, Vec<String>)> {
        let said = self.does(&format!("dig @{RESOLVER} {NAME} A +dnssec +tries=1 +time=3"))?;
        let flags = said.lines().find(|line| line.starts_with(";; flags:")).unwrap_or_default();
        let ad = flags.split(';').nth(2).is_some_and(|flags| flags.contains(" ad"));
        let addresses =
            said.lines().filter(|line| line.starts_with(NAME) && line.contains("\tA\t"));
        let last = |line: &str| line.split('\t').next_back().map(str::to_owned);
        Ok((ad, addresses.filter_map(last).collect()))
    }

    fn awaits_validated(&self, expected: Ipv4Addr) -> Result<()> {
        let expected = (true, vec![expected.to_string()]);
        poll::until_equal("the validated answer", LIMIT, &expected, || self.validated())
    }
}

fn start_agents(lab: &mut Lab, dir: &Path) -> Result<Vec<(Host, Process)>> {
    let start = |number: u8| {
        let name = format!("ns{number}");
        let host = lab.host(&name, Ipv4Addr::new(203, 0, 113, 10 + number))?;
        let mut command = host.command(holdfast()?);
        command.args(["agent", "--config", "agent.toml"]).current_dir(dir.join(&name));
        let process = Process::start(&name, &mut command, &dir.join(format!("{name}.log")))?;
        Ok((host, process))
    };
    (1..=3).map(start).collect()
}

/// Signs the parent with the delegation in it, and serves it. Returns the anchor that the resolver trusts.
fn serve_parent(lab: &mut Lab, dir: &Path, ds: &str) -> Result<(Process, String)> {
    let delegation: String = blocks_of_kind_text(4)
        .lines()
        .filter(|line| !line.contains('…'))
        .fold(String::new(), |text, line| text + line + "\n");
    let zone = format!(
        "$ORIGIN example.com.\n$TTL 60\n@ SOA ns.example.com. hostmaster.example.com. 1 3600 600 86400 30\n\
         @ NS ns\nns A {PARENT}\n{delegation}\n{ds}\n"
    );
    std::fs::write(dir.join("example.com.zone"), zone)?;
    let host = lab.host("parent", PARENT)?;
    let sign = "key=$(ldns-keygen -a ECDSAP256SHA256 -k example.com) && \
                ldns-signzone -n example.com.zone \"$key\" && cat \"$key.ds\"";
    let mut command = host.command("sh");
    command.args(["-euc", sign]).current_dir(dir);
    let anchor = run(&mut command)?.ok().context("signing the parent")?;
    let config = format!(
        "server:\n  ip-address: {PARENT}\n  username: \"\"\n  chroot: \"\"\n  zonesdir: \"{0}\"\n  database: \"\"\n  \
         pidfile: \"\"\n  xfrdfile: \"\"\n  zonelistfile: \"{0}/zone.list\"\n  logfile: \"\"\nremote-control:\n  \
         control-enable: no\nzone:\n  name: example.com\n  zonefile: example.com.zone.signed\n",
        dir.display()
    );
    std::fs::write(dir.join("nsd.conf"), config)?;
    let mut command = host.command("nsd");
    command.arg("-d").arg("-c").arg(dir.join("nsd.conf"));
    Ok((Process::start("nsd", &mut command, &dir.join("nsd.log"))?, anchor))
}

/// The records that the guide has for the parent.
fn blocks_of_kind_text(section: u32) -> &'static str {
    let (_, after) = GUIDE.split_once(&format!("## {section}.")).expect("the section is there");
    let (_, block) = after.split_once("```text\n").expect("it has records");
    block.split_once("```").expect("a block ends").0
}

fn start_resolver(lab: &mut Lab, dir: &Path, anchor: &str) -> Result<Process> {
    let host = lab.host("resolver", RESOLVER)?;
    std::fs::write(dir.join("anchor"), anchor)?;
    let config = format!(
        "server:\n  interface: {RESOLVER}\n  access-control: 203.0.113.0/24 allow\n  do-daemonize: no\n  \
         use-syslog: no\n  logfile: \"\"\n  pidfile: \"\"\n  username: \"\"\n  chroot: \"\"\n  directory: \"{0}\"\n  \
         num-threads: 1\n  root-hints: \"\"\n  trust-anchor-file: \"{0}/anchor\"\n  \
         module-config: \"validator iterator\"\nremote-control:\n  control-enable: no\n\
         stub-zone:\n  name: example.com\n  stub-addr: {PARENT}\n  stub-prime: no\n",
        dir.display()
    );
    std::fs::write(dir.join("unbound.conf"), config)?;
    let mut command = host.command("unbound");
    command.arg("-d").arg("-c").arg(dir.join("unbound.conf"));
    Process::start("unbound", &mut command, &dir.join("unbound.log"))
}

#[test]
fn a_newcomer_delegates_a_zone_signed_and_steered_by_the_guide_alone() -> Result<()> {
    let dir = tempfile::Builder::new().prefix("holdfast-guide-").tempdir()?;
    let mut lab = Lab::new()?;
    let reader =
        Reader { host: lab.host("reader", Ipv4Addr::new(203, 0, 113, 1))?, dir: dir.path() };
    let mut eu = Site::start(&mut lab, ("eu", EU), dir.path(), None)?;
    let _us = Site::start(&mut lab, ("us", US), dir.path(), None)?;

    let [keys, look] = &blocks(1)[..] else { bail!("section 1 has two blocks") };
    reader.does(keys)?;
    let _agents = start_agents(&mut lab, dir.path())?;
    reader.does_until_it_succeeds(look)?;

    let [declare, ask] = &blocks(2)[..] else { bail!("section 2 has two blocks") };
    reader.does_until_it_succeeds(declare)?;
    let said = poll::until("the steered answer", LIMIT, || {
        let said = reader.does(ask)?;
        if said.contains(&EU.to_string()) && said.contains(&US.to_string()) {
            return Ok(said);
        }
        bail!("{said}")
    })?;
    assert!(said.starts_with(&EU.to_string()), "clients elsewhere are sent to eu: {said}");

    let [sign] = &blocks(3)[..] else { bail!("section 3 has one block") };
    let said = reader.does(sign)?;
    let ds: String = said
        .lines()
        .filter(|line| line.contains("\tDS\t") || line.contains(" DS "))
        .fold(String::new(), |text, line| text + line + "\n");
    assert!(!ds.is_empty(), "no DS in {said}");

    let (_parent, anchor) = serve_parent(&mut lab, dir.path(), &ds)?;
    let _resolver = start_resolver(&mut lab, dir.path(), &anchor)?;
    reader.awaits_validated(EU)?;
    let [propagation] = &blocks(4)[..] else { bail!("section 4 has one block") };
    reader.does(propagation)?;

    eu.kill()?;
    reader.awaits_validated(US)?;
    let [after] = &blocks(5)[..] else { bail!("section 5 has one block") };
    let said = reader.does(after)?;
    assert!(said.contains("failover") && said.contains(&US.to_string()), "{said}");
    Ok(())
}
