//! A real resolver in its own namespace: unbound, which knows the zone's servers and nothing else.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::dns;
use crate::lab::{Host, Lab};
use crate::manifest::ZONE;
use crate::poll;
use crate::process::{Process, must};

const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 5);
const START_LIMIT: Duration = Duration::from_secs(10);

/// A running unbound.
#[derive(Debug)]
pub struct Resolver {
    host: Host,
    _process: Process,
}

impl Resolver {
    /// Starts it with the zone's servers as a stub zone.
    pub fn start(lab: &mut Lab, dir: &Path, servers: &[Ipv4Addr]) -> Result<Self> {
        Self::start_with(lab, dir, &[(ZONE, servers)])
    }

    /// Starts it with these stub zones, of which one is the agents'.
    pub fn start_with(lab: &mut Lab, dir: &Path, stubs: &[(&str, &[Ipv4Addr])]) -> Result<Self> {
        let host = lab.host("resolver", ADDRESS)?;
        let config = dir.join("unbound.conf");
        let stub = |(zone, servers): &(&str, &[Ipv4Addr])| {
            let servers: String = servers.iter().map(|ip| format!("  stub-addr: {ip}\n")).collect();
            format!("stub-zone:\n  name: \"{zone}\"\n  stub-prime: no\n{servers}")
        };
        let stubs: String = stubs.iter().map(stub).collect();
        std::fs::write(
            &config,
            format!(
                "server:\n  interface: {ADDRESS}\n  access-control: 10.77.0.0/24 allow\n  do-daemonize: no\n  \
             use-syslog: no\n  logfile: \"\"\n  pidfile: \"\"\n  username: \"\"\n  chroot: \"\"\n  directory: \"{}\"\n  \
             do-not-query-localhost: no\n  local-zone: \"test.\" nodefault\n  module-config: \"iterator\"\n  \
             num-threads: 1\n  root-hints: \"\"\nremote-control:\n  control-enable: no\n\
             {stubs}",
                dir.display()
            ),
        )?;
        let mut command = host.command("unbound");
        command.arg("-d").arg("-c").arg(&config);
        must("unbound", ["-V"]).context("unbound is missing; .ci/install installs it")?;
        let process = Process::start("unbound", &mut command, &dir.join("unbound.log"))?;
        let resolver = Self { host, _process: process };
        poll::until("unbound", START_LIMIT, || {
            dns::ask(&resolver.host, ADDRESS, &format!("ns1.{ZONE}"))
        })
        .map_err(|error| error.context(crate::process::tail(&dir.join("unbound.log"))))?;
        Ok(resolver)
    }
}
