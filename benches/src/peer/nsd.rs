//! NSD: an authoritative server for static zones, the yardstick for queries per second.

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

/// Starts it with these records, one worker, no rate limit, and answers without what was not asked for; waits until
/// it answers `known`.
pub(crate) async fn start(
    dir: &Path,
    listen: SocketAddr,
    records: &[(String, Ipv4Addr)],
    known: &str,
    cpu: Option<usize>,
) -> Result<Process> {
    require(&["nsd"])?;
    let home = dir.join("nsd");
    std::fs::create_dir_all(&home)?;
    std::fs::write(home.join("zone"), zone_file(records, ""))?;
    let at = home.display();
    let config = format!(
        "server:\n  server-count: 1\n  ip-address: {}@{}\n  username: \"\"\n  chroot: \"\"\n  zonesdir: \"{at}\"\n  \
         database: \"\"\n  zonelistfile: \"{at}/zone.list\"\n  xfrdfile: \"{at}/xfrd.state\"\n  xfrdir: \"{at}\"\n  \
         pidfile: \"{at}/nsd.pid\"\n  logfile: \"{at}/log\"\n  minimal-responses: yes\n  rrl-ratelimit: 0\n  \
         rrl-whitelist-ratelimit: 0\nremote-control:\n  control-enable: no\nzone:\n  name: \"{ZONE}\"\n  zonefile: \"zone\"\n",
        listen.ip(),
        listen.port()
    );
    std::fs::write(home.join("nsd.conf"), config)?;
    let launch = Launch::new("nsd", "nsd", &dir.join("nsd.log"))
        .arg("-d")
        .arg("-c")
        .arg(home.join("nsd.conf"));
    let mut process = launch.pinned(cpu).start()?;
    let name = Name::from_ascii(format!("{known}."))?;
    process.ready(START_LIMIT, async || ask::answers(listen, &name).await).await?;
    Ok(process)
}
