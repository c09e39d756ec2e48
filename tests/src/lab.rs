//! A network of its own: one namespace with a bridge, and one per host, without any way out.
//!
//! Names begin with this process's number, so that two runs do not meet; what a run that was killed left behind is
//! removed by the next one. Links are cut by nftables on the bridge, in one direction or both, so that neither end
//! can tell a cut link from a dead peer.

use std::collections::BTreeSet;
use std::fs::File;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result, bail};
use rustix::fd::AsFd as _;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::process::must;

const PREFIX: &str = "hftest";
/// Numbers the labs of this process.
static LABS: AtomicU32 = AtomicU32::new(0);

/// A network of namespaces; removed with its handle.
#[derive(Debug)]
pub struct Lab {
    name: String,
    hosts: Vec<Host>,
    cuts: BTreeSet<(Ipv4Addr, Ipv4Addr)>,
}

/// A host: a namespace with one address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// The namespace.
    pub namespace: String,
    /// Its address.
    pub address: Ipv4Addr,
}

impl Lab {
    /// A network without hosts. Errors: no right to make one.
    pub fn new() -> Result<Self> {
        sweep()?;
        let number = LABS.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{number}", std::process::id());
        let lab = Self { name, hosts: Vec::new(), cuts: BTreeSet::new() };
        let bridge = lab.bridge();
        must("ip", ["netns", "add", &bridge]).context(
            "the feature netns needs root and iproute2; .ci/install installs what is missing",
        )?;
        must("ip", ["-n", &bridge, "link", "add", "br0", "type", "bridge"])?;
        must("ip", ["-n", &bridge, "link", "set", "br0", "up"])?;
        Ok(lab)
    }

    fn bridge(&self) -> String {
        format!("{}-br", self.name)
    }

    /// Adds a host.
    pub fn host(&mut self, name: &str, address: Ipv4Addr) -> Result<Host> {
        let (namespace, bridge) = (format!("{}-{name}", self.name), self.bridge());
        let host = Host { namespace: namespace.clone(), address };
        must("ip", ["netns", "add", &namespace])?;
        self.hosts.push(host.clone());
        let port = format!("p{}", self.hosts.len());
        must(
            "ip",
            [
                "-n", &bridge, "link", "add", &port, "type", "veth", "peer", "name", "eth0",
                "netns", &namespace,
            ],
        )?;
        must("ip", ["-n", &bridge, "link", "set", &port, "master", "br0", "up"])?;
        must("ip", ["-n", &namespace, "link", "set", "lo", "up"])?;
        must("ip", ["-n", &namespace, "addr", "add", &format!("{address}/24"), "dev", "eth0"])?;
        must("ip", ["-n", &namespace, "link", "set", "eth0", "up"])?;
        Ok(host)
    }

    /// Drops what `from` sends to `to`, and nothing else.
    pub fn cut_one_way(&mut self, from: Ipv4Addr, to: Ipv4Addr) -> Result<()> {
        self.cuts.insert((from, to));
        self.install_cuts()
    }

    /// Drops everything between `inside` and `outside`.
    pub fn part(&mut self, inside: &[Ipv4Addr], outside: &[Ipv4Addr]) -> Result<()> {
        for (&a, &b) in inside.iter().flat_map(|a| outside.iter().map(move |b| (a, b))) {
            self.cuts.insert((a, b));
            self.cuts.insert((b, a));
        }
        self.install_cuts()
    }

    /// Lets everything through again.
    pub fn heal(&mut self) -> Result<()> {
        self.cuts.clear();
        self.install_cuts()
    }

    fn install_cuts(&self) -> Result<()> {
        let rules: String = self
            .cuts
            .iter()
            .map(|(from, to)| format!("  ether type ip ip saddr {from} ip daddr {to} drop\n"))
            .collect();
        let table = format!(
            "table bridge cuts\ndelete table bridge cuts\ntable bridge cuts {{\n chain forward {{\n  \
             type filter hook forward priority 0; policy accept;\n{rules} }}\n}}\n"
        );
        let mut file = tempfile::NamedTempFile::new()?;
        std::io::Write::write_all(&mut file, table.as_bytes())?;
        must(
            "ip",
            [
                "netns".as_ref(),
                "exec".as_ref(),
                self.bridge().as_ref(),
                "nft".as_ref(),
                "-f".as_ref(),
                file.path().as_os_str(),
            ],
        )?;
        Ok(())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for host in &self.hosts {
            remove(&host.namespace);
        }
        remove(&self.bridge());
    }
}

fn remove(namespace: &str) {
    let mut command = Command::new("ip");
    command.args(["netns", "del", namespace]).stdout(Stdio::null()).stderr(Stdio::null());
    // One that was never made cannot be removed, and that is well.
    drop(command.status());
}

/// Removes what runs that were killed have left: namespaces that name a process which is gone.
fn sweep() -> Result<()> {
    for line in must("ip", ["netns", "list"])?.lines() {
        let Some(name) = line.split_whitespace().next() else { continue };
        let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        let Some(owner) = owner.filter(|owner| owner.parse::<u32>().is_ok()) else { continue };
        if !Path::new("/proc").join(owner).exists() {
            for pid in must("ip", ["netns", "pids", name])?.split_whitespace() {
                // It may have ended meanwhile.
                drop(must("kill", ["-9", pid]));
            }
            remove(name);
        }
    }
    Ok(())
}

impl Host {
    /// A command that will run here.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace]).arg(program);
        command
    }

    /// Does something on a thread that lives here: its sockets are this host's.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let file = PathBuf::from("/run/netns").join(&self.namespace);
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let namespace =
                    File::open(&file).with_context(|| format!("no {}", file.display()))?;
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
                work()
            });
            match thread.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// Does something asynchronous here, on a runtime of its own.
    pub fn run<T: Send, F: Future<Output = Result<T>>>(
        &self,
        work: impl FnOnce() -> F + Send,
    ) -> Result<T> {
        self.inside(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async { work().await })
        })
    }

    /// Asks an HTTP server for a path; the status and the body.
    pub fn http(&self, server: std::net::SocketAddr, path: &str) -> Result<(u16, String)> {
        let text = self.inside(|| http(server, path))?;
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        match head.split_whitespace().nth(1).and_then(|code| code.parse().ok()) {
            Some(code) => Ok((code, body.to_owned())),
            None => bail!("no HTTP answer: {text:?}"),
        }
    }
}

fn http(server: std::net::SocketAddr, path: &str) -> Result<String> {
    use std::io::{Read as _, Write as _};
    const PATIENCE: std::time::Duration = std::time::Duration::from_secs(2);
    let mut stream = std::net::TcpStream::connect_timeout(&server, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {server}\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}
