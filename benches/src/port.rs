//! Free ports on loopback, below the range that the kernel picks for outgoing connections, so that no probe takes one
//! between the look and the use.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

use anyhow::{Result, bail};
use rand::Rng as _;

/// Where ports are looked for.
const RANGE: std::ops::Range<u16> = 12_000..30_000;
/// How many are tried.
const ATTEMPTS: usize = 500;

/// A port that is free over TCP and UDP on each of these addresses.
pub(crate) fn common(hosts: &[Ipv4Addr]) -> Result<u16> {
    for _ in 0..ATTEMPTS {
        let port = rand::rng().random_range(RANGE);
        let free = |host: &Ipv4Addr| {
            TcpListener::bind((*host, port)).is_ok() && UdpSocket::bind((*host, port)).is_ok()
        };
        if hosts.iter().all(free) {
            return Ok(port);
        }
    }
    bail!("no free port among {RANGE:?} on {hosts:?}")
}

/// A free address on 127.0.0.1.
pub(crate) fn local() -> Result<SocketAddr> {
    Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), common(&[Ipv4Addr::LOCALHOST])?))
}
