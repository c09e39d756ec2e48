//! gdnsd: an authoritative server with health checks of its own, the nearest relative of Holdfast's DNS side.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::Result;

use super::Served;
use crate::process::{Launch, Process, require};
use crate::spec::ZONE;

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

/// Starts it with a name that fails over, and waits until it answers that name.
pub(crate) async fn start(served: &Served<'_>, failover: &Failover<'_>) -> Result<Process> {
    let known = format!("{}.{ZONE}", failover.label);
    super::ready(launch(served, Some(failover))?, served, &known).await
}

/// What starts it: one thread for each transport, and perhaps a name that fails over in the first zone.
pub(crate) fn launch(served: &Served<'_>, failover: Option<&Failover<'_>>) -> Result<Launch> {
    require(&["gdnsd"])?;
    let home = served.dir.join("gdnsd");
    for folder in ["run", "state"] {
        std::fs::create_dir_all(home.join(folder))?;
    }
    std::fs::write(home.join("config"), config(served.listen, &home, failover))?;
    let mut more =
        failover.map(|f| format!("{} 5 DYNA simplefo!moving\n", f.label)).unwrap_or_default();
    for zone in served.zones {
        zone.write(&home.join("zones"), &more)?;
        more.clear();
    }
    let log = served.dir.join("gdnsd.log");
    Ok(Launch::new("gdnsd", "gdnsd", &log).arg("-c").arg(&home).arg("start"))
}

fn config(listen: SocketAddr, home: &Path, failover: Option<&Failover<'_>>) -> String {
    let home = home.display();
    let options = format!(
        "options => {{\n  listen => {{ {listen} => {{ udp_threads = 1, tcp_threads = 1, \
         udp_rcvbuf = 1048576, udp_sndbuf = 1048576 }} }},\n  \
         run_dir => {home}/run,\n  state_dir => {home}/state,\n}}\n"
    );
    let Some(Failover { a, b, port, interval, threshold, .. }) = failover else {
        return options;
    };
    format!(
        "{options}service_types => {{\n  web => {{\n    plugin => http_status, port => {port}, url_path => /healthz,\n    \
         interval => {interval}, timeout => 1,\n    \
         up_thresh => {threshold}, ok_thresh => {threshold}, down_thresh => {threshold},\n  }}\n}}\n\
         plugins => {{\n  simplefo => {{\n    moving => {{ service_types => web, primary => {a}, secondary => {b} }}\n  }}\n}}\n"
    )
}
