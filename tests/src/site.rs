//! A web server in its own namespace, whose manners a test decides.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use holdfast_core::Timestamp;
use holdfast_wire::ca::{Authority, Role, Subject};

use crate::binary::{holdfast, workspace};
use crate::lab::{Host, Lab};
use crate::poll;
use crate::process::{Process, run};

/// Where sites serve without TLS.
pub const HTTP: u16 = 80;
/// Where sites serve with TLS.
pub const HTTPS: u16 = 443;
const START_LIMIT: Duration = Duration::from_secs(10);
/// 2020-01-01: what was issued then for a few days has ended.
const LONG_AGO: Timestamp = Timestamp(1_577_836_800_000);

/// How a site answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manners {
    /// 200.
    Ok,
    /// 500.
    Error,
    /// Takes the connection and says nothing.
    Hang,
    /// With a certificate that has ended.
    Expired,
}

impl Manners {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Error => "error",
            Self::Hang => "hang",
            Self::Expired => "expired",
        }
    }
}

/// A web server.
#[derive(Debug)]
pub struct Site {
    /// Where it is.
    pub host: Host,
    name: String,
    dir: PathBuf,
    tls: bool,
    process: Option<Process>,
}

impl Site {
    /// Starts a site; with TLS where there is an authority to issue its certificates.
    pub fn start(
        lab: &mut Lab,
        (name, address): (&str, Ipv4Addr),
        dir: &Path,
        pki: Option<&Path>,
    ) -> Result<Self> {
        let dir = dir.join(format!("site-{name}"));
        std::fs::create_dir_all(&dir)?;
        if let Some(pki) = pki {
            certify(&dir, pki, address)?;
        }
        let host = lab.host(name, address)?;
        let mut site = Self { host, name: name.to_owned(), dir, tls: pki.is_some(), process: None };
        site.answer(Manners::Ok)?;
        site.revive()?;
        Ok(site)
    }

    /// Its address.
    pub fn address(&self) -> Ipv4Addr {
        self.host.address
    }

    /// Answers so from the next connection on.
    pub fn answer(&self, manners: Manners) -> Result<()> {
        self.behave(manners.word())
    }

    /// Answers 200 from the next connection on, to these clients only after so long.
    pub fn answer_late(&self, by: Duration, to: &[Ipv4Addr]) -> Result<()> {
        let to: Vec<String> = to.iter().map(ToString::to_string).collect();
        self.behave(&format!("late {} {}", by.as_secs_f64(), to.join(" ")))
    }

    fn behave(&self, manners: &str) -> Result<()> {
        let (path, next) = (self.dir.join("manners"), self.dir.join("manners.next"));
        std::fs::write(&next, manners)?;
        std::fs::rename(&next, &path).context("the manners file")
    }

    /// Kills it: connections are refused.
    pub fn kill(&mut self) -> Result<()> {
        match self.process.take() {
            Some(mut process) => process.kill9(),
            None => Ok(()),
        }
    }

    /// Starts it again where it was killed.
    pub fn revive(&mut self) -> Result<()> {
        let port = if self.tls { HTTPS } else { HTTP };
        let mut command = self.host.command("python3");
        command.arg(workspace().join("tests/fixtures/site.py"));
        command.args([self.address().to_string(), port.to_string()]).arg(self.dir.join("manners"));
        if self.tls {
            command.args(
                ["good.pem", "good.key", "bad.pem", "bad.key"].map(|file| self.dir.join(file)),
            );
        }
        self.process = Some(Process::start(&self.name, &mut command, &self.dir.join("log"))?);
        let address = (self.address(), port).into();
        poll::until("the site's port", START_LIMIT, || {
            self.host.inside(|| Ok(std::net::TcpStream::connect_timeout(&address, START_LIMIT)?))
        })?;
        Ok(())
    }
}

fn certify(dir: &Path, pki: &Path, address: Ipv4Addr) -> Result<()> {
    let mut command = Command::new(holdfast()?);
    command.args(["ca", "issue", "agent", "good", "--address", &address.to_string()]);
    command.arg("--dir").arg(pki).arg("--out").arg(dir);
    run(&mut command)?.ok()?;
    let subject = Subject {
        role: Role::Agent,
        name: "bad".into(),
        dns_names: Vec::new(),
        addresses: vec![address.into()],
    };
    issue_expired(dir, pki, &subject)
}

/// Issues a certificate that has ended, by the authority in `pki`: `NAME.pem` and `NAME.key` in `dir`.
pub fn issue_expired(dir: &Path, pki: &Path, subject: &Subject) -> Result<()> {
    let read = |name: &str| std::fs::read_to_string(pki.join(name));
    let authority = Authority::load(&read("ca.pem")?, &read("ca.key")?)?;
    let issued = authority.issue(subject, LONG_AGO, 2)?;
    std::fs::write(dir.join(format!("{}.pem", subject.name)), &issued.cert_pem)?;
    std::fs::write(dir.join(format!("{}.key", subject.name)), &issued.key_pem)?;
    Ok(())
}
