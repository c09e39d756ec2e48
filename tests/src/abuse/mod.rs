//! What an open port on the internet gets, made in a namespace of the test: bounded in time and rate, and with no way
//! out.
//!
//! ```text
//! Attacker (a host, and 100.64.0.0/10 behind it) ─ Flood: forged sources, raw sockets ─▶ agent's port 53
//!                                                ─ Slow:  connections that give and take next to nothing
//! Good clients (hosts of their own)              ─ what a resolver does: UDP, UDP again, TCP
//! Quota                                          ─ holds an agent's processor time down, so that a flood exceeds it
//! ```

pub mod flood;
pub mod good;
pub mod quota;
pub mod slow;
pub mod wire;

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result};

use crate::cluster::Cluster;
use crate::lab::{Host, Lab};
use crate::process::must;

/// Forged sources, and those of slow connections, are in here (RFC 6598: nobody's own).
pub const FOREIGN: &str = "100.64.0.0/10";
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 66);

/// The attacker's machine.
#[derive(Debug)]
pub struct Attacker {
    /// Where it is.
    pub host: Host,
}

/// What a host's link has taken in, or sent out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traffic {
    /// Packets.
    pub packets: u64,
    /// Bytes behind the UDP headers, if all packets were UDP over IPv4.
    pub payload: u64,
}

impl Traffic {
    /// What came since an earlier look.
    pub fn since(self, before: Self) -> Self {
        Self { packets: self.packets - before.packets, payload: self.payload - before.payload }
    }
}

impl Attacker {
    /// A host whose agents believe the foreign addresses to be behind it.
    pub fn new(lab: &mut Lab, cluster: &Cluster) -> Result<Self> {
        let host = lab.host("attacker", ADDRESS)?;
        for node in cluster.nodes() {
            let via = ADDRESS.to_string();
            must("ip", ["-n", &node.host.namespace, "route", "add", FOREIGN, "via", &via])?;
        }
        Ok(Self { host })
    }

    /// From here on it owns the foreign addresses: connections from them come about.
    pub fn own_foreign(&self) -> Result<()> {
        let at = &self.host.namespace;
        must("ip", ["-n", at, "route", "add", "local", FOREIGN, "dev", "lo"]).map(drop)
    }

    /// What its link has received.
    pub fn received(&self) -> Result<Traffic> {
        received(&self.host)
    }
}

/// What a host's link has received.
pub fn received(host: &Host) -> Result<Traffic> {
    /// Headers of Ethernet, IPv4 and UDP.
    const HEADERS: u64 = 14 + 20 + 8;
    let text = must("ip", ["-n", &host.namespace, "-s", "-j", "link", "show", "eth0"])?;
    let links: serde_json::Value = serde_json::from_str(&text)?;
    let field = |name: &str| links[0]["stats64"]["rx"][name].as_u64().context("no such counter");
    let (packets, bytes) = (field("packets")?, field("bytes")?);
    Ok(Traffic { packets, payload: bytes.saturating_sub(packets * HEADERS) })
}
