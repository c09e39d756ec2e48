//! Where a message came from, and how.

use std::net::SocketAddr;

use hickory_net::xfer::Protocol;

/// How a message came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// In a datagram.
    Udp,
    /// In a stream.
    Tcp,
    /// In a stream over TLS (RFC 7858).
    Tls,
    /// In an HTTP request (RFC 8484).
    Https,
    /// In a QUIC stream (RFC 9250).
    Quic,
}

impl Transport {
    /// How many there are.
    pub(crate) const COUNT: usize = 5;

    /// What hickory is told: it knows of encryption only with its own servers.
    pub(super) fn protocol(self) -> Protocol {
        match self {
            Self::Udp => Protocol::Udp,
            Self::Tcp | Self::Tls | Self::Https | Self::Quic => Protocol::Tcp,
        }
    }

    /// Whether only the client can read what it is told.
    pub(crate) fn encrypted(self) -> bool {
        match self {
            Self::Udp | Self::Tcp => false,
            Self::Tls | Self::Https | Self::Quic => true,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Https => "https",
            Self::Quic => "quic",
        }
    }
}

/// Where a message came from.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// Its source address.
    pub address: SocketAddr,
    /// How it came.
    pub transport: Transport,
}
