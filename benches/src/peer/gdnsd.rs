//! gdnsd: an authoritative server with health checks of its own, the nearest relative of Holdfast's DNS side.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use hickory_proto::rr::Name;

use super::zone_file;
use crate::ask;
use crate::process::{Launch, Process, require};
use crate::spec::ZONE;

/// How long it may take to answer.
const START_LIMIT: Duration = Duration::from_secs(20);

/// What it serves.
#[derive(Debug)]
pub(crate) struct Gdnsd<'a> {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Static records.
    pub records: &'a [(String, Ipv4Addr)],
    /// The name with a failover, and how it is probed.
    pub failover: Option<Failover<'a>>,
    /// The processor that it is pinned to.
    pub cpu: Option<usize>,
}

/// A name that moves from one address to another.
#[derive(Debug)]
pub(crate) struct Failover<'a> {
    /// The label in the zone.
    pub label: &'a str,
    /// Preferred.
    pub a: Ipv4Addr,
    /// The other one.
    pub b: Ipv4Addr,
    /// The port that both are probed on.
    pub port: u16,
    /// Seconds between probes.
    pub interval: u64,
    /// Failures in a row, and successes in a row, before it changes its mind.
    pub threshold: u32,
}

impl Gdnsd<'_> {
    /// Starts it and waits until it answers `known`.
    pub(crate) async fn start(&self, dir: &Path, known: &str) -> Result<Process> {
        require(&["gdnsd"])?;
        let home = dir.join("gdnsd");
        for folder in ["zones", "run", "state"] {
            std::fs::create_dir_all(home.join(folder))?;
        }
        std::fs::write(home.join("config"), self.config(&home))?;
        let more = self
            .failover
            .as_ref()
            .map(|f| format!("{} 5 DYNA simplefo!moving\n", f.label))
            .unwrap_or_default();
        std::fs::write(home.join("zones").join(ZONE), zone_file(self.records, &more))?;
        let launch =
            Launch::new("gdnsd", "gdnsd", &dir.join("gdnsd.log")).arg("-c").arg(&home).arg("start");
        let mut process = launch.pinned(self.cpu).start()?;
        let name = Name::from_ascii(format!("{known}."))?;
        process.ready(START_LIMIT, async || ask::answers(self.listen, &name).await).await?;
        Ok(process)
    }

    fn config(&self, home: &Path) -> String {
        let (listen, home) = (self.listen, home.display());
        let options = format!(
            "options => {{\n  listen => {{ {listen} => {{ udp_threads = 1, tcp_threads = 1 }} }},\n  \
             run_dir => {home}/run,\n  state_dir => {home}/state,\n}}\n"
        );
        let Some(Failover { a, b, port, interval, threshold, .. }) = &self.failover else {
            return options;
        };
        format!(
            "{options}service_types => {{\n  web => {{\n    plugin => http_status, port => {port}, url_path => /healthz,\n    \
             interval => {interval}, timeout => 1,\n    \
             up_thresh => {threshold}, ok_thresh => {threshold}, down_thresh => {threshold},\n  }}\n}}\n\
             plugins => {{\n  simplefo => {{\n    moving => {{ service_types => web, primary => {a}, secondary => {b} }}\n  }}\n}}\n"
        )
    }
}
