//! Knot DNS: an authoritative server with a worker per thread, the fastest of those with a zone database.

use anyhow::Result;

use super::Served;
use crate::process::{Launch, require};

/// What starts it: one worker of each kind, errors alone in its log, no journal of the zones.
pub(crate) fn launch(served: &Served<'_>) -> Result<Launch> {
    require(&["knotd"])?;
    let home = served.dir.join("knot");
    std::fs::create_dir_all(&home)?;
    let at = home.display();
    let (ip, port) = (served.listen.ip(), served.listen.port());
    let mut config = format!(
        "server:\n  listen: \"{ip}@{port}\"\n  rundir: \"{at}\"\n  udp-workers: 1\n  tcp-workers: 1\n  \
         background-workers: 1\n  tcp-max-clients: 128\nlog:\n  - target: stderr\n    any: error\n\
         database:\n  storage: \"{at}\"\ntemplate:\n  - id: default\n    journal-content: none\n    \
         zonefile-sync: -1\nzone:\n"
    );
    for zone in served.zones {
        let file = zone.write(&home.join("zones"), "")?;
        config.push_str(&format!("  - domain: {}\n    file: \"{}\"\n", zone.apex, file.display()));
    }
    let path = home.join("knot.conf");
    std::fs::write(&path, config)?;
    Ok(Launch::new("knot", "knotd", &served.dir.join("knot.log")).arg("-c").arg(path))
}
