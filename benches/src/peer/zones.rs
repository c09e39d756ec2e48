//! Zones in the master file format (RFC 1035, 5), signed where asked.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::process::require;

/// The algorithm of signed zones, as ldns names it: what Holdfast signs with by default.
const ALGORITHM: &str = "ECDSAP256SHA256";

/// A zone and its hosts.
#[derive(Debug, Clone)]
pub(crate) struct ZoneData {
    /// The apex, without a dot at the end.
    pub apex: String,
    /// Names with an address of each family.
    pub hosts: Vec<Host>,
    /// Whether it is signed.
    pub signed: bool,
}

/// A name with its addresses.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    /// The whole name, without a dot at the end.
    pub name: String,
    /// Its IPv4 address.
    pub v4: Ipv4Addr,
    /// Its IPv6 address.
    pub v6: Ipv6Addr,
}

impl ZoneData {
    /// A zone without hosts.
    pub(crate) fn bare(apex: &str) -> Self {
        Self { apex: apex.to_owned(), hosts: Vec::new(), signed: false }
    }

    /// The text of the zone, with more lines at the end.
    fn text(&self, more: &str) -> String {
        let apex = &self.apex;
        let mut text = format!(
            "$ORIGIN {apex}.\n$TTL 300\n@ SOA ns1.{apex}. hostmaster.{apex}. 1 3600 600 86400 5\n@ NS ns1.{apex}.\nns1 A 127.0.0.1\n"
        );
        for Host { name, v4, v6 } in &self.hosts {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{name}. A {v4}\n{name}. AAAA {v6}");
        }
        text.push_str(more);
        text
    }

    /// Writes the zone's file, named after its apex, into a directory; returns the file to be served.
    pub(crate) fn write(&self, dir: &Path, more: &str) -> Result<PathBuf> {
        std::fs::create_dir_all(dir)?;
        let file = dir.join(&self.apex);
        std::fs::write(&file, self.text(more))?;
        if self.signed { self.sign(dir, &file) } else { Ok(file) }
    }

    fn sign(&self, dir: &Path, file: &Path) -> Result<PathBuf> {
        require(&["ldns-keygen", "ldns-signzone"])?;
        let key = run(Command::new("ldns-keygen")
            .args(["-a", ALGORITHM, "-k", &self.apex])
            .current_dir(dir))?;
        run(Command::new("ldns-signzone").arg(file).arg(key.trim()).current_dir(dir))?;
        let mut signed = file.as_os_str().to_owned();
        signed.push(".signed");
        Ok(signed.into())
    }
}

fn run(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    if !output.status.success() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_has_its_own_records_its_hosts_and_what_is_added() {
        let mut zone = ZoneData::bare("z.test");
        zone.hosts.push(Host {
            name: "h.z.test".into(),
            v4: Ipv4Addr::new(10, 0, 0, 1),
            v6: Ipv6Addr::LOCALHOST,
        });
        let text = zone.text("more A 10.0.0.2\n");
        for line in ["$ORIGIN z.test.", "h.z.test. A 10.0.0.1", "h.z.test. AAAA ::1"] {
            assert!(text.lines().any(|one| one == line), "{line} in {text}");
        }
        assert!(text.ends_with("more A 10.0.0.2\n"));
    }
}
