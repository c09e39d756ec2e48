//! Machines as whoever installs agents meets them: through `ssh`, `scp` and `systemctl`, with the package's unit file.
//!
//! ```text
//! reader ──ssh, scp──▶ machine: a namespace, and its own /etc, /usr/local/bin and /var/lib
//!                        └─systemctl──▶ noted ──▶ the test starts what the unit says, as the unit says
//! ```
//!
//! The three programs are stand-ins (`tests/fixtures/machine`); everything that they run on a machine is real, and so
//! are its account, its files with their modes, and the confinement of the unit. There is no sshd and no systemd.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::binary::{holdfast, workspace};
use crate::lab::{Host, Lab};
use crate::process::{Process, must, run};

/// What each machine has for itself.
const OWN: [&str; 3] = ["etc", "usr/local/bin", "var/lib"];

/// A machine.
#[derive(Debug)]
pub struct Machine {
    name: String,
    host: Host,
    dir: PathBuf,
    /// How much of what was asked has been taken note of.
    noted: usize,
}

impl Machine {
    /// A machine with a copy of this one's `/etc`, and nothing installed.
    pub fn new(lab: &mut Lab, (name, address): (&str, Ipv4Addr), dir: &Path) -> Result<Self> {
        let host = lab.host(name, address)?;
        Self::of(host, name, dir)
    }

    /// A host as a machine.
    pub fn of(host: Host, name: &str, dir: &Path) -> Result<Self> {
        let dir = machines(dir).join(host.address.to_string());
        for own in OWN {
            std::fs::create_dir_all(dir.join(own))?;
        }
        must("cp", ["-a".as_ref(), "/etc/.".as_ref(), dir.join("etc").as_os_str()])?;
        std::fs::write(dir.join("namespace"), &host.namespace)?;
        Ok(Self { name: name.to_owned(), host, dir, noted: 0 })
    }

    /// What `systemctl` was asked here since the last call, in order.
    pub fn asked(&mut self) -> Result<Vec<String>> {
        let path = self.dir.join("asked");
        if !path.exists() {
            return Ok(Vec::new());
        }
        let text = std::fs::read_to_string(path)?;
        let new: Vec<String> = text.lines().skip(self.noted).map(str::to_owned).collect();
        self.noted += new.len();
        Ok(new)
    }

    /// Starts what an installed unit says.
    pub fn start(&self, unit: &str) -> Result<Process> {
        let mut command = self.host.command("unshare");
        command.arg("--mount").arg(fixtures().join("enter")).arg(&self.dir).arg("python3");
        command.arg(fixtures().join("unit.py")).arg(format!("/etc/systemd/system/{unit}.service"));
        let log = self.dir.join(format!("{unit}.log"));
        Process::start(&format!("{unit} at {}", self.name), &mut command, &log)
    }
}

/// Lets a command reach the machines of a test by `ssh` and `scp`, and have `holdfast` in its path.
pub fn with_machines(command: &mut Command, dir: &Path) -> Result<()> {
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{}:{path}", fixtures().display(), small_binary(dir)?.display());
    command.env("PATH", path).env("MACHINES", machines(dir)).env("SOURCES", workspace());
    Ok(())
}

fn fixtures() -> PathBuf {
    workspace().join("tests/fixtures/machine")
}

fn machines(dir: &Path) -> PathBuf {
    dir.join("machines")
}

/// The directory with the binary under test, without what only a debugger reads: every machine gets a copy.
fn small_binary(dir: &Path) -> Result<PathBuf> {
    let bin = dir.join("bin");
    let small = bin.join("holdfast");
    if small.exists() {
        return Ok(bin);
    }
    std::fs::create_dir_all(&bin)?;
    let mut command = Command::new("strip");
    command.arg("-o").arg(&small).arg(holdfast()?);
    let code = run(&mut command).context("strip, of binutils")?.code;
    ensure!(code == 0, "strip ends with {code}");
    Ok(bin)
}
