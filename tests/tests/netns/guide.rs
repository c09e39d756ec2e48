//! The guide to delegating a zone, done word for word: its shell blocks are run as they stand, on machines with the
//! guide's own addresses, below a signed parent zone, and a validating resolver follows. The agents run from what the
//! guide installed, as the installed unit says; what the guide asks of `systemctl` is done here ([`World::obey`]).

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use holdfast_tests::lab::{Host, Lab};
use holdfast_tests::machine::{Machine, with_machines};
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
/// What the guide says that is to be read, and what is read.
const ALL_IS_WELL: &str = "the parent zone: seen from all 3 agents, 1 of its servers answered, \
                           delegation and glue are the zone's";
const HELD: &str = "the move is held back by hold_down";

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

/// The shell blocks of the guide's section, of which there are so many.
fn steps<const N: usize>(section: u32) -> Result<[String; N]> {
    let blocks = blocks(section);
    let found = blocks.len();
    blocks.try_into().ok().with_context(|| format!("section {section} has {found} blocks, not {N}"))
}

/// The machine of whoever follows the guide.
struct Reader<'a> {
    host: Host,
    dir: &'a Path,
}

impl Reader<'_> {
    /// Does what a block says. Errors: a command of it failed.
    fn does(&self, block: &str) -> Result<String> {
        let mut command = self.host.command("bash");
        command
            .args(["-euo", "pipefail", "-c", block])
            .env("HOLDFAST_CONTEXT", self.dir.join("context.toml"))
            .current_dir(self.dir);
        with_machines(&mut command, self.dir)?;
        run(&mut command)?.ok().with_context(|| format!("the guide says\n{block}"))
    }

    /// Does it again until it succeeds and says what is awaited.
    fn does_until(&self, block: &str, awaited: impl Fn(&str) -> bool) -> Result<String> {
        poll::until("the guide's commands", LIMIT, || {
            let said = self.does(block)?;
            ensure!(awaited(&said), "it says\n{said}");
            Ok(said)
        })
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

/// The machines that the guide reaches by `ssh`, and what runs on them.
struct World {
    agents: Vec<Machine>,
    running: Vec<Process>,
    web: Machine,
    eu: Site,
}

impl World {
    fn new(lab: &mut Lab, dir: &Path) -> Result<Self> {
        let agent = |number: u8| {
            let address = Ipv4Addr::new(203, 0, 113, 10 + number);
            Machine::new(lab, (&format!("ns{number}"), address), dir)
        };
        let agents = (1..=3).map(agent).collect::<Result<_>>()?;
        let eu = Site::start(lab, ("eu", EU), dir, None)?;
        let web = Machine::of(eu.host.clone(), "eu", dir)?;
        Ok(Self { agents, running: Vec::new(), web, eu })
    }

    /// Does what `systemctl` was asked on every machine. Errors: it was asked for something else.
    fn obey(&mut self) -> Result<()> {
        for machine in &mut self.agents {
            for asked in machine.asked()? {
                match asked.as_str() {
                    "daemon-reload" => {}
                    "enable --now holdfast" => self.running.push(machine.start("holdfast")?),
                    other => bail!("systemctl {other}, on the machine of an agent"),
                }
            }
        }
        for asked in self.web.asked()? {
            match asked.as_str() {
                "stop nginx" => self.eu.kill()?,
                "start nginx" => self.eu.revive()?,
                other => bail!("systemctl {other}, on a web server"),
            }
        }
        Ok(())
    }

    /// Errors: an agent has ended, and what it said.
    fn runs(&mut self) -> Result<()> {
        ensure!(self.running.len() == self.agents.len(), "{} agents run", self.running.len());
        for process in &mut self.running {
            ensure!(process.runs()?, "an agent ended: {}", process.said());
            ensure!(
                !process.said().contains('\u{1b}'),
                "colours, which journald calls binary data"
            );
        }
        Ok(())
    }
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

/// Sections 1 to 3: a cluster from nothing, and a signed zone. Returns the DS for the parent.
fn sets_up(reader: &Reader<'_>, world: &mut World) -> Result<String> {
    let [keys, install, look] = steps(1)?;
    reader.does(&keys)?;
    reader.does(&install)?;
    world.obey()?;
    let ready = reader.does_until(&look, |_| true);
    world.runs()?;
    ready?;

    let [declare, ask] = steps(2)?;
    reader.does_until(&declare, |_| true)?;
    let both = |said: &str| said.contains(&EU.to_string()) && said.contains(&US.to_string());
    let said = reader.does_until(&ask, both)?;
    ensure!(said.starts_with(&EU.to_string()), "clients elsewhere are sent to eu: {said}");

    let [sign] = steps(3)?;
    let said = reader.does(&sign)?;
    let ds: String = said
        .lines()
        .filter(|line| line.contains("\tDS\t") || line.contains(" DS "))
        .fold(String::new(), |text, line| text + line + "\n");
    ensure!(!ds.is_empty(), "no DS in {said}");
    Ok(ds)
}

/// Section 5: the break, and the way back as far as the hold-down.
fn breaks_and_mends(reader: &Reader<'_>, world: &mut World) -> Result<()> {
    let [stop, look, start, why] = steps(5)?;
    reader.does(&stop)?;
    world.obey()?;
    reader.awaits_validated(US)?;
    let said = reader.does(&look)?;
    ensure!(said.contains("failover") && said.contains(&US.to_string()), "{said}");

    reader.does(&start)?;
    world.obey()?;
    reader.does_until(&why, |said| said.contains(HELD))?;
    world.runs()
}

#[test]
fn a_newcomer_delegates_a_zone_signed_and_steered_by_the_guide_alone() -> Result<()> {
    for told in [ALL_IS_WELL, HELD] {
        ensure!(GUIDE.contains(told), "the guide does not say {told:?}");
    }
    let dir = tempfile::Builder::new().prefix("holdfast-guide-").tempdir()?;
    let mut lab = Lab::new()?;
    let reader =
        Reader { host: lab.host("reader", Ipv4Addr::new(203, 0, 113, 1))?, dir: dir.path() };
    let mut world = World::new(&mut lab, dir.path())?;
    let _us = Site::start(&mut lab, ("us", US), dir.path(), None)?;

    let ds = sets_up(&reader, &mut world)?;
    let (_parent, anchor) = serve_parent(&mut lab, dir.path(), &ds)?;
    let _resolver = start_resolver(&mut lab, dir.path(), &anchor)?;
    reader.awaits_validated(EU)?;
    let [propagation] = steps(4)?;
    let said = reader.does_until(&propagation, |_| true)?;
    assert_eq!(said.lines().nth(1), Some(ALL_IS_WELL), "{said}");

    breaks_and_mends(&reader, &mut world)
}
