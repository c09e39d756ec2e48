//! PowerDNS with its BIND backend: zones from files, answers from its packet cache.

use anyhow::Result;

use super::Served;
use crate::process::{Launch, require};

/// What starts it: one receiver, caches as large as they are by default, and no logs.
pub(crate) fn launch(served: &Served<'_>) -> Result<Launch> {
    require(&["pdns_server"])?;
    let home = served.dir.join("pdns");
    std::fs::create_dir_all(&home)?;
    let mut named = String::new();
    for zone in served.zones {
        let file = zone.write(&home.join("zones"), "")?;
        named.push_str(&format!(
            "zone \"{}\" {{ type master; file \"{}\"; }};\n",
            zone.apex,
            file.display()
        ));
    }
    std::fs::write(home.join("named.conf"), named)?;
    let (ip, port, at) = (served.listen.ip(), served.listen.port(), home.display());
    let config = format!(
        "launch=bind\nbind-config={at}/named.conf\nlocal-address={ip}\nlocal-port={port}\nsocket-dir={at}\n\
         config-dir={at}\nreceiver-threads=1\ndistributor-threads=1\nloglevel=0\nlog-dns-queries=no\n\
         query-logging=no\nmax-tcp-connections=128\nmax-tcp-connections-per-client=128\nguardian=no\ndaemon=no\n\
         cache-ttl=60\nquery-cache-ttl=60\nnegquery-cache-ttl=60\nsecurity-poll-suffix=\n"
    );
    std::fs::write(home.join("pdns.conf"), config)?;
    let log = served.dir.join("pdns.log");
    Ok(Launch::new("pdns", "pdns_server", &log).arg(format!("--config-dir={at}")))
}
