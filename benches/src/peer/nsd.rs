//! NSD: an authoritative server for static zones, the yardstick for queries per second.

use anyhow::Result;

use super::Served;
use crate::process::{Launch, require};

/// What starts it: one worker, no rate limit, and answers without what was not asked for.
pub(crate) fn launch(served: &Served<'_>) -> Result<Launch> {
    require(&["nsd"])?;
    let home = served.dir.join("nsd");
    std::fs::create_dir_all(&home)?;
    let at = home.display();
    let (ip, port) = (served.listen.ip(), served.listen.port());
    let mut config = format!(
        "server:\n  server-count: 1\n  ip-address: {ip}@{port}\n  username: \"\"\n  chroot: \"\"\n  zonesdir: \"{at}\"\n  \
         database: \"\"\n  zonelistfile: \"{at}/zone.list\"\n  xfrdfile: \"{at}/xfrd.state\"\n  xfrdir: \"{at}\"\n  \
         pidfile: \"{at}/nsd.pid\"\n  logfile: \"{at}/log\"\n  minimal-responses: yes\n  rrl-ratelimit: 0\n  \
         rrl-whitelist-ratelimit: 0\n  tcp-count: 128\n  receive-buffer-size: 4194304\n  send-buffer-size: 4194304\n\
         remote-control:\n  control-enable: no\n"
    );
    for zone in served.zones {
        let file = zone.write(&home.join("zones"), "")?;
        config.push_str(&format!(
            "zone:\n  name: \"{}\"\n  zonefile: \"{}\"\n",
            zone.apex,
            file.display()
        ));
    }
    let path = home.join("nsd.conf");
    std::fs::write(&path, config)?;
    let log = served.dir.join("nsd.log");
    Ok(Launch::new("nsd", "nsd", &log).arg("-d").arg("-c").arg(path))
}
