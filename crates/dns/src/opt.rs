//! What the OPT record of a query says (RFC 6891), read once into a small value that every path shares.
//!
//! Options that we know are read strictly: one of a wrong form is FORMERR, as its RFC asks. Options that we do not know
//! are stepped over. Of an option that stands twice the first counts (RFC 7873, 5.2; RFC 7871 is silent).
//!
//! Invariant: total on any bytes. It decides nothing: what is told in the reply's OPT is `reply_opt`'s.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::limits::{MAX_UDP, MIN_UDP, OPT};
use crate::respond::Transport;

/// Numbers of options (IANA, DNS EDNS0 Option Codes).
pub(crate) mod number {
    pub(crate) const NSID: u16 = 3;
    pub(crate) const SUBNET: u16 = 8;
    pub(crate) const COOKIE: u16 = 10;
    pub(crate) const KEEPALIVE: u16 = 11;
    pub(crate) const PADDING: u16 = 12;
    pub(crate) const EXTENDED_ERROR: u16 = 15;
}

/// What an OPT record says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Opt {
    pub(crate) payload: u16,
    pub(crate) version: u8,
    pub(crate) dnssec_ok: bool,
    /// The client takes NXDOMAIN with a compact proof (RFC 9824, 5.1).
    pub(crate) compact_ok: bool,
    pub(crate) options: Options,
}

/// The options of an OPT that mean something here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) cookie: Option<Cookie>,
    pub(crate) subnet: Option<Subnet>,
    /// The client asks who answers (RFC 5001).
    pub(crate) nsid: bool,
    /// The client asks how long its connection may idle (RFC 7828); never over UDP.
    pub(crate) keepalive: bool,
    /// The client pads, and so the reply may be padded (RFC 7830).
    pub(crate) padding: bool,
}

/// A cookie as a client presents it (RFC 7873).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cookie {
    pub(crate) client: [u8; 8],
    pub(crate) server: ServerCookie,
}

/// The server's part of a cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServerCookie {
    /// The client has none yet.
    Absent,
    /// One of a length that is not ours.
    Foreign,
    /// One that may be ours (RFC 9018).
    Presented([u8; 16]),
}

/// The network for which the client asks (RFC 7871).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Subnet {
    /// 1 for IPv4, 2 for IPv6.
    pub(crate) family: u8,
    /// How many bits of the address are told; at most 32 or 128. With 0 the client wants no tailored answer.
    pub(crate) source: u8,
    /// The address, zero behind those bits.
    octets: [u8; 16],
}

impl Opt {
    /// The most bytes of a reply over UDP.
    pub(crate) fn limit(opt: Option<Self>) -> u16 {
        opt.map_or(MIN_UDP, |opt| opt.payload.clamp(MIN_UDP, MAX_UDP))
    }

    /// A record without options, version 0, with DO and CO as asked: what hickory decodes, and what a reply's OPT begins
    /// with. Whoever implements compact denial sets CO in replies to those who set it (RFC 9824, 5.1).
    pub(crate) fn record(self, payload: u16, extended_code: u8) -> [u8; OPT] {
        let [size_high, size_low] = payload.to_be_bytes();
        let flags = u8::from(self.dnssec_ok) << 7 | u8::from(self.compact_ok) << 6;
        [0, 0, 41, size_high, size_low, extended_code, 0, flags, 0, 0, 0]
    }
}

impl Options {
    /// Reads the data of an OPT record; `None` where it is malformed.
    pub(crate) fn parse(mut data: &[u8], transport: Transport) -> Option<Self> {
        let mut options = Self::default();
        while let Some((head, rest)) = data.split_first_chunk::<4>() {
            let [code_high, code_low, length_high, length_low] = *head;
            let length = usize::from(u16::from_be_bytes([length_high, length_low]));
            let (option, rest) = rest.split_at_checked(length)?;
            options.read(u16::from_be_bytes([code_high, code_low]), option, transport)?;
            data = rest;
        }
        data.is_empty().then_some(options)
    }

    fn read(&mut self, code: u16, data: &[u8], transport: Transport) -> Option<()> {
        match code {
            number::NSID => self.nsid = true,
            number::PADDING => self.padding = true,
            number::COOKIE => {
                let cookie = Cookie::parse(data)?;
                self.cookie.get_or_insert(cookie);
            }
            number::SUBNET => {
                let subnet = Subnet::parse(data)?;
                self.subnet = self.subnet.or(subnet);
            }
            // A client tells no time-out, and but over TCP and TLS the option is ignored (RFC 7828, 3.2 and 3.3).
            number::KEEPALIVE if matches!(transport, Transport::Tcp | Transport::Tls) => {
                self.keepalive = data.is_empty().then_some(true)?;
            }
            _ => {}
        }
        Some(())
    }
}

impl Cookie {
    /// 8 bytes of the client, and 8 to 32 of a server or none (RFC 7873, 4).
    fn parse(data: &[u8]) -> Option<Self> {
        let (client, server) = data.split_first_chunk()?;
        let server = match (server.len(), server.try_into()) {
            (0, _) => ServerCookie::Absent,
            (_, Ok(server)) => ServerCookie::Presented(server),
            (8..=32, Err(_)) => ServerCookie::Foreign,
            _ => return None,
        };
        Some(Self { client: *client, server })
    }
}

impl Subnet {
    /// Just the bytes that the prefix needs, no bit beyond it, and no scope, which is ours to tell (RFC 7871, 6). An
    /// option without a family (`dig +subnet=0`) tells no network.
    fn parse(data: &[u8]) -> Option<Option<Self>> {
        let (&[0, family @ 0..=2, source, 0], address) = data.split_first_chunk()? else {
            return None;
        };
        let most = [0, 32, 128][usize::from(family)];
        if source > most || address.len() != usize::from(source.div_ceil(8)) {
            return None;
        }
        let beyond = address.len() * 8 - usize::from(source);
        if address.last().is_some_and(|last| last.trailing_zeros() < beyond as u32) {
            return None;
        }
        let mut octets = [0; 16];
        octets[..address.len()].copy_from_slice(address);
        Some((family > 0).then_some(Self { family, source, octets }))
    }

    /// The network's first address.
    pub(crate) fn address(&self) -> IpAddr {
        let [a, b, c, d, ..] = self.octets;
        match self.family {
            1 => Ipv4Addr::new(a, b, c, d).into(),
            _ => Ipv6Addr::from(self.octets).into(),
        }
    }

    /// The bytes of the address as they came and go back.
    pub(crate) fn told(&self) -> &[u8] {
        &self.octets[..usize::from(self.source.div_ceil(8))]
    }
}

#[cfg(test)]
mod tests;
