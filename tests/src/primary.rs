//! Primaries that people run: BIND, NSD and Knot, each with a zone of its own that the agents are to copy under a key.
//!
//! A change is what it is in practice: the zone file is edited and the server told to load it, which then notifies the
//! agents. All three make increments of what differs between the two files.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rustix::process::Signal;

use crate::cluster::LIMIT;
use crate::lab::{Host, Lab};
use crate::process::{Process, tail};
use crate::secondary::{Key, folder};
use crate::{dns, poll};

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// ISC's named.
    Bind,
    /// NLnet Labs' nsd.
    Nsd,
    /// CZ.NIC's knotd.
    Knot,
}

/// What a zone says: an SOA, a name server, and `www` with one address.
#[derive(Debug, Clone, Copy)]
pub struct Content {
    /// The SOA's serial.
    pub serial: u32,
    /// Its refresh, retry and expire, in seconds.
    pub times: [u32; 3],
    /// The address of `www`.
    pub www: Ipv4Addr,
}

/// A running primary.
#[derive(Debug)]
pub struct Primary {
    /// Which it is.
    pub kind: Kind,
    /// Where it is.
    pub host: Host,
    /// The process.
    pub process: Process,
    dir: PathBuf,
}

impl Kind {
    /// The address, the program, and the apex of the zone.
    fn place(self) -> (Ipv4Addr, &'static str, &'static str) {
        match self {
            Self::Bind => (Ipv4Addr::new(10, 77, 0, 41), "named", "bind.test"),
            Self::Nsd => (Ipv4Addr::new(10, 77, 0, 42), "nsd", "nsd.test"),
            Self::Knot => (Ipv4Addr::new(10, 77, 0, 43), "knotd", "knot.test"),
        }
    }
}

impl Primary {
    /// Starts one with this content, and waits until it answers.
    pub fn start(
        lab: &mut Lab,
        dir: &Path,
        (kind, content): (Kind, Content),
        (agents, key): (&[Ipv4Addr], &Key),
    ) -> Result<Self> {
        let (at, program, _) = kind.place();
        let dir = folder(dir, &format!("primary-{program}"))?;
        std::fs::write(dir.join("conf"), config(kind, &dir, agents, key))?;
        write(kind, &dir, content)?;
        let host = lab.host(&format!("p-{program}"), at)?;
        let process = run(kind, &host, &dir)?;
        let primary = Self { kind, host, process, dir };
        primary.answers(content.www)?;
        Ok(primary)
    }

    /// The apex of its zone.
    pub fn zone(&self) -> &'static str {
        self.kind.place().2
    }

    /// A name in it.
    pub fn www(&self) -> String {
        format!("www.{}", self.zone())
    }

    /// The manifest by which the agents copy it.
    pub fn manifest(&self, key: &Key) -> String {
        let (at, _, zone) = self.kind.place();
        format!(
            "apiVersion: holdfast/v1\nkind: Zone\nmetadata: {{ name: {zone} }}\nspec:\n  \
             primaries: {{ addresses: [\"{at}\"], key: {} }}\n",
            key.name
        )
    }

    /// Loads another content, of which it then notifies the agents.
    pub fn change(&self, content: Content) -> Result<()> {
        write(self.kind, &self.dir, content)?;
        self.process.signal(Signal::HUP)?;
        self.answers(content.www)
    }

    /// Starts it again, with another content.
    pub fn restart(&mut self, content: Content) -> Result<()> {
        write(self.kind, &self.dir, content)?;
        if self.kind == Kind::Bind {
            // It knows the file before, and named refuses a file that its journal does not lead to.
            std::fs::remove_file(self.dir.join("zone.jnl"))?;
        }
        self.process = run(self.kind, &self.host, &self.dir)?;
        self.answers(content.www)
    }

    fn answers(&self, www: Ipv4Addr) -> Result<()> {
        let what = format!("the answer of {:?}", self.kind);
        let ask = || dns::ask(&self.host, self.host.address, &self.www());
        poll::until_equal(&what, LIMIT, &dns::Answer::of(&[www]), ask)
            .map_err(|error| error.context(tail(&self.dir.join("log"))))
    }
}

fn run(kind: Kind, host: &Host, dir: &Path) -> Result<Process> {
    let program = kind.place().1;
    let mut command = host.command(program);
    match kind {
        Kind::Bind => command.args(["-4", "-g", "-n", "1", "-c"]),
        Kind::Nsd => command.args(["-d", "-c"]),
        Kind::Knot => command.arg("-c"),
    };
    command.arg(dir.join("conf"));
    Process::start(program, &mut command, &dir.join("log"))
        .with_context(|| format!("{program} is missing; .ci/install installs it"))
}

/// Replaces the zone file as a whole.
fn write(kind: Kind, dir: &Path, content: Content) -> Result<()> {
    let (at, _, zone) = kind.place();
    let Content { serial, times: [refresh, retry, expire], www } = content;
    let text = format!(
        "$ORIGIN {zone}.\n$TTL 60\n@ SOA ns1 hostmaster {serial} {refresh} {retry} {expire} 60\n@ NS ns1\n\
         ns1 A {at}\nwww A {www}\nmail MX 10 mx.example.net.\n"
    );
    let new = dir.join("new");
    std::fs::write(&new, text)?;
    Ok(std::fs::rename(new, dir.join("zone"))?)
}

fn config(
    kind: Kind,
    dir: &Path,
    agents: &[Ipv4Addr],
    Key { name, algorithm, secret }: &Key,
) -> String {
    let (at, _, zone) = kind.place();
    let place = dir.display();
    let each = |line: &dyn Fn(&Ipv4Addr) -> String| agents.iter().map(line).collect::<String>();
    match kind {
        Kind::Bind => format!(
            "options {{\n directory \"{place}\"; pid-file none; session-keyfile none; recursion no; allow-query {{ any; }};\n \
             listen-on {{ {at}; }}; listen-on-v6 {{ none; }}; managed-keys-directory \"{place}\";\n}};\ncontrols {{ }};\n\
             key \"{name}\" {{ algorithm {algorithm}; secret \"{secret}\"; }};\n\
             zone \"{zone}\" {{\n type primary; file \"zone\"; ixfr-from-differences yes; notify explicit;\n \
             allow-transfer {{ key \"{name}\"; }};\n also-notify {{ {} }};\n}};\n",
            each(&|ip| format!("{ip} key \"{name}\"; "))
        ),
        Kind::Nsd => format!(
            "server:\n  ip-address: {at}\n  username: \"\"\n  chroot: \"\"\n  zonesdir: \"{place}\"\n  pidfile: \"\"\n  \
             database: \"\"\n  rrl-ratelimit: 0\n  xfrdfile: \"{place}/xfrd.state\"\n  zonelistfile: \"{place}/zone.list\"\n  \
             xfrdir: \"{place}\"\n  server-count: 1\n  verbosity: 3\nremote-control:\n  control-enable: no\n\
             key:\n  name: \"{name}\"\n  algorithm: {algorithm}\n  secret: \"{secret}\"\n\
             zone:\n  name: \"{zone}\"\n  zonefile: zone\n  store-ixfr: yes\n  create-ixfr: yes\n{}",
            each(&|ip| format!("  notify: {ip} {name}\n  provide-xfr: {ip} {name}\n"))
        ),
        Kind::Knot => {
            let ids: Vec<String> = agents.iter().map(|ip| format!("\"{ip}\"")).collect();
            let ids = ids.join(", ");
            let remotes =
                each(&|ip| format!("  - id: \"{ip}\"\n    address: {ip}@53\n    key: {name}\n"));
            format!(
                "server:\n  listen: {at}@53\n  rundir: \"{place}\"\ndatabase:\n  storage: \"{place}\"\n\
                 log:\n  - target: stderr\n    any: info\nkey:\n  - id: {name}\n    algorithm: {algorithm}\n    \
                 secret: {secret}\nremote:\n{remotes}acl:\n  - id: copies\n    address: [{ids}]\n    key: {name}\n    \
                 action: transfer\nzone:\n  - domain: {zone}\n    storage: \"{place}\"\n    file: zone\n    \
                 zonefile-load: difference\n    zonefile-sync: -1\n    notify: [{ids}]\n    acl: copies\n"
            )
        }
    }
}
