//! Recursors that people run, below a root of the lab's own: unbound, BIND and Knot Resolver find the agents as they
//! find anybody, by the root's delegation, with their own defaults for caching, retries and cookies.
//!
//! Nothing is forwarded or configured per zone but that `test` is a name like any other (RFC 6761 lets resolvers
//! answer it themselves). Validation is off, since the root is not signed.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, anyhow, ensure};

use crate::cluster::LIMIT;
use crate::lab::{Host, Lab};
use crate::manifest::ZONE;
use crate::process::{Process, run, tail};
use crate::{dns, poll};

const ROOT: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 50);
/// The root's only name server.
const ROOT_NAME: &str = "ns.root-servers.lab";

/// A running root, which refers to the agents.
#[derive(Debug)]
pub struct Root {
    _process: Process,
}

impl Root {
    /// Serves a root zone whose only delegation is that of the agents' zone, by NSD.
    pub fn start(lab: &mut Lab, dir: &Path, agents: &[Ipv4Addr]) -> Result<Self> {
        let dir = folder(dir, "root")?;
        let mut zone = format!(
            "$TTL 3600\n. SOA {ROOT_NAME}. hostmaster.lab. 1 3600 600 86400 60\n. NS {ROOT_NAME}.\n{ROOT_NAME}. A {ROOT}\n"
        );
        for (place, address) in agents.iter().enumerate() {
            let name = format!("ns{}.{ZONE}.", place + 1);
            writeln!(zone, "{ZONE}. NS {name}\n{name} A {address}")?;
        }
        std::fs::write(dir.join("root.zone"), zone)?;
        let place = dir.display();
        let config = format!(
            "server:\n  ip-address: {ROOT}\n  username: \"\"\n  pidfile: \"\"\n  database: \"\"\n  \
             zonesdir: \"{place}\"\n  zonelistfile: \"{place}/zone.list\"\n  xfrdfile: \"\"\n  rrl-ratelimit: 0\n  \
             server-count: 1\nremote-control:\n  control-enable: no\nzone:\n  name: \".\"\n  zonefile: root.zone\n"
        );
        std::fs::write(dir.join("nsd.conf"), config)?;
        let host = lab.host("root", ROOT)?;
        let mut command = host.command("nsd");
        command.arg("-d").arg("-c").arg(dir.join("nsd.conf"));
        let process = Process::start("nsd", &mut command, &dir.join("log"))
            .context("nsd is missing; .ci/install installs it")?;
        poll::until("the root", LIMIT, || dns::ask(&host, ROOT, ROOT_NAME))
            .map_err(|error| error.context(tail(&dir.join("log"))))?;
        Ok(Self { _process: process })
    }
}

/// Which recursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// NLnet Labs' unbound.
    Unbound,
    /// unbound with its module `subnetcache`, which tells the agents its clients' networks (RFC 7871).
    UnboundWithSubnets,
    /// ISC's named.
    Bind,
    /// CZ.NIC's kresd.
    Knot,
}

impl Kind {
    /// Where it is, and what its program is called.
    fn place(self) -> (Ipv4Addr, &'static str) {
        match self {
            Self::Unbound | Self::UnboundWithSubnets => (Ipv4Addr::new(10, 77, 0, 51), "unbound"),
            Self::Bind => (Ipv4Addr::new(10, 77, 0, 52), "named"),
            Self::Knot => (Ipv4Addr::new(10, 77, 0, 53), "kresd"),
        }
    }
}

/// A running recursor.
#[derive(Debug)]
pub struct Recursor {
    /// Where it is.
    pub host: Host,
    /// Which it is.
    pub kind: Kind,
    process: Process,
}

impl Recursor {
    /// Starts one, and waits until it resolves a name of the zone from the root down.
    pub fn start(lab: &mut Lab, dir: &Path, kind: Kind, agents: &[Ipv4Addr]) -> Result<Self> {
        let (address, program) = kind.place();
        let dir = folder(dir, program)?;
        let host = lab.host(program, address)?;
        let mut command = host.command(program);
        configure(kind, (&dir, address), agents, &mut command)?;
        let process = Process::start(program, &mut command, &dir.join("log"))
            .with_context(|| format!("{program} is missing; .ci/install installs it"))?;
        let recursor = Self { host, kind, process };
        let name = format!("ns1.{ZONE}");
        poll::until(program, LIMIT, || {
            let told = recursor.ask(&recursor.host, &["-t", "A", &name])?;
            ensure!(told == [agents[0].to_string()], "{told:?}");
            Ok(())
        })
        .map_err(|error| error.context(tail(&dir.join("log"))))?;
        Ok(recursor)
    }

    /// The data of the answer that `dig` gets with these words, sorted. Errors: no answer, or another code than NOERROR.
    pub fn ask(&self, client: &Host, words: &[&str]) -> Result<Vec<String>> {
        let said = self.dig(client, words)?;
        ensure!(said.contains("status: NOERROR"), "{:?}: {said}", self.kind);
        let records = said.lines().filter(|line| !line.is_empty() && !line.starts_with(';'));
        let data = |line: &str| line.split_whitespace().nth(4).map(str::to_owned);
        let mut data: Vec<String> = records.filter_map(data).collect();
        data.sort();
        Ok(data)
    }

    /// Asks for a name that does not exist. Errors: it is not told so.
    pub fn denies(&self, client: &Host, name: &str) -> Result<()> {
        let said = self.dig(client, &["-t", "A", name])?;
        ensure!(said.contains("status: NXDOMAIN"), "{:?}: {said}", self.kind);
        Ok(())
    }

    fn dig(&self, client: &Host, words: &[&str]) -> Result<String> {
        let mut command = client.command("dig");
        command.arg(format!("@{}", self.host.address)).args(words);
        command.args(["+tries=1", "+time=5", "+noall", "+comments", "+answer"]);
        run(&mut command)?.ok()
    }

    /// Everything that it logged.
    pub fn said(&self) -> String {
        self.process.said()
    }
}

fn configure(
    kind: Kind,
    (dir, at): (&Path, Ipv4Addr),
    agents: &[Ipv4Addr],
    command: &mut Command,
) -> Result<()> {
    let config = dir.join("config");
    let hints = dir.join("root.hints");
    std::fs::write(&hints, format!(". 3600 NS {ROOT_NAME}.\n{ROOT_NAME}. 3600 A {ROOT}\n"))?;
    let place = dir.display();
    let text = match kind {
        Kind::Unbound => unbound(dir, at, "  module-config: \"iterator\"\n"),
        Kind::UnboundWithSubnets => {
            let mut subnets = "  module-config: \"subnetcache iterator\"\n".to_owned();
            agents.iter().try_for_each(|ip| writeln!(subnets, "  send-client-subnet: {ip}"))?;
            unbound(dir, at, &subnets)
        }
        Kind::Bind => format!(
            "options {{\n directory \"{place}\"; pid-file none; session-keyfile none; managed-keys-directory \"{place}\";\n \
             listen-on {{ {at}; }}; listen-on-v6 {{ none; }};\n allow-query {{ any; }}; recursion yes; \
             allow-recursion {{ any; }}; dnssec-validation no;\n}};\ncontrols {{ }};\n\
             zone \".\" {{ type hint; file \"root.hints\"; }};\n"
        ),
        Kind::Knot => format!(
            "net.listen('{at}', 53, {{ kind = 'dns' }})\ncache.open(10 * MB, 'lmdb://{place}/cache')\n\
             trust_anchors.remove('.')\nmodules.load('hints')\nhints.root_file('{}')\n\
             policy.add(policy.suffix(policy.PASS, {{ todname('{ZONE}') }}))\n",
            hints.display()
        ),
    };
    std::fs::write(&config, text)?;
    match kind {
        Kind::Unbound | Kind::UnboundWithSubnets => command.arg("-d").arg("-c").arg(config),
        Kind::Bind => command.args(["-4", "-g", "-n", "1", "-c"]).arg(config),
        Kind::Knot => command.arg("-n").arg("-c").arg(config).arg(dir),
    };
    Ok(())
}

fn unbound(dir: &Path, at: Ipv4Addr, more: &str) -> String {
    format!(
        "server:\n  interface: {at}\n  access-control: 0.0.0.0/0 allow\n  do-daemonize: no\n  use-syslog: no\n  \
         logfile: \"\"\n  pidfile: \"\"\n  username: \"\"\n  chroot: \"\"\n  directory: \"{}\"\n  num-threads: 1\n  \
         local-zone: \"test.\" nodefault\n  root-hints: \"root.hints\"\n{more}remote-control:\n  control-enable: no\n",
        dir.display()
    )
}

fn folder(dir: &Path, name: &str) -> Result<PathBuf> {
    let dir = dir.join(name);
    std::fs::create_dir_all(&dir).map_err(|error| anyhow!("{}: {error}", dir.display()))?;
    Ok(dir)
}
