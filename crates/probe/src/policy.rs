//! Which addresses may be probed. Whoever may declare a service could otherwise make every agent knock at any door
//! of its network, so the answer is given for the address that is connected to, after resolution and redirects.
//!
//! Never: unspecified, multicast, broadcast. Not unless named: link-local and metadata addresses, and loopback
//! unless it is switched on. An allow entry lifts such a ban only when it lies within the banned range, so that
//! `0.0.0.0/0` does not open the metadata service. A non-empty allow list excludes everything else; a deny entry
//! outranks it. IPv4 inside IPv6 (mapped, NAT64) is judged as the IPv4 address that it leads to.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// An address range, such as `10.0.0.0/8`; a lone address is a range of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    network: IpAddr,
    prefix: u8,
}

/// Why a text is not an address range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is not an address range: {why}; write it as 10.0.0.0/8 or fd00::/8")]
pub struct CidrError {
    given: String,
    why: &'static str,
}

impl Cidr {
    const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Self {
        Self { network: IpAddr::V4(Ipv4Addr::new(a, b, c, d)), prefix }
    }

    const fn v6(segments: [u16; 8], prefix: u8) -> Self {
        let [a, b, c, d, e, f, g, h] = segments;
        Self { network: IpAddr::V6(Ipv6Addr::new(a, b, c, d, e, f, g, h)), prefix }
    }

    /// Whether `ip` lies in this range.
    pub fn contains(&self, ip: IpAddr) -> bool {
        match (self.network, ip) {
            (IpAddr::V4(network), IpAddr::V4(ip)) => {
                same_prefix(network.to_bits().into(), ip.to_bits().into(), 32, self.prefix)
            }
            (IpAddr::V6(network), IpAddr::V6(ip)) => {
                same_prefix(network.to_bits(), ip.to_bits(), 128, self.prefix)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }

    fn is_within(&self, other: &Self) -> bool {
        self.prefix >= other.prefix && other.contains(self.network)
    }
}

fn same_prefix(a: u128, b: u128, width: u8, prefix: u8) -> bool {
    (a ^ b).checked_shr(u32::from(width - prefix)).unwrap_or(0) == 0
}

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        let fail = |why| CidrError { given: text.chars().take(80).collect(), why };
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let network: IpAddr = address.parse().map_err(|_| fail("the address does not parse"))?;
        let width = if network.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => width,
            Some(prefix) => prefix.parse().map_err(|_| fail("the prefix length is no number"))?,
        };
        if prefix > width {
            return Err(fail("the prefix is longer than the address"));
        }
        Ok(Self { network, prefix })
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

/// Why an address is not probed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// It is nobody's address.
    #[error("it is not the address of one host")]
    NotAHost,
    /// It leads back to this node.
    #[error("loopback is not allowed; switch it on with probe.allow_loopback")]
    Loopback,
    /// It is link-local or a cloud's metadata service.
    #[error(
        "link-local and metadata addresses are denied; name the address in probe.allow to permit it"
    )]
    Metadata,
    /// It is in the deny list.
    #[error("it is in probe.deny")]
    Listed,
    /// There is an allow list, and it is not in it.
    #[error("it is not in probe.allow")]
    NotListed,
}

/// Which addresses may be probed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AddressPolicy {
    /// Where not empty, only these.
    pub allow: Vec<Cidr>,
    /// Never these.
    pub deny: Vec<Cidr>,
    /// Whether this node's own addresses `127.0.0.0/8` and `::1` may be probed.
    pub allow_loopback: bool,
}

const LOOPBACK: [Cidr; 2] = [Cidr::v4(127, 0, 0, 0, 8), Cidr::v6([0, 0, 0, 0, 0, 0, 0, 1], 128)];

/// Link-local, and the metadata services that lie elsewhere (EC2 over IPv6, Azure, Alibaba, Oracle).
const METADATA: [Cidr; 6] = [
    Cidr::v4(169, 254, 0, 0, 16),
    Cidr::v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10),
    Cidr::v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254], 128),
    Cidr::v4(168, 63, 129, 16, 32),
    Cidr::v4(100, 100, 100, 200, 32),
    Cidr::v4(192, 0, 0, 192, 32),
];

/// "This network", multicast and broadcast.
const NOT_A_HOST: [Cidr; 5] = [
    Cidr::v4(0, 0, 0, 0, 8),
    Cidr::v4(224, 0, 0, 0, 4),
    Cidr::v4(255, 255, 255, 255, 32),
    Cidr::v6([0, 0, 0, 0, 0, 0, 0, 0], 128),
    Cidr::v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8),
];

const NAT64: Cidr = Cidr::v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96);

impl AddressPolicy {
    /// Says whether `ip` may be probed. Errors: the rule that forbids it.
    pub fn check(&self, ip: IpAddr) -> Result<(), Denial> {
        let ip = effective(ip);
        if NOT_A_HOST.iter().any(|range| range.contains(ip)) {
            return Err(Denial::NotAHost);
        }
        if self.deny.iter().any(|range| range.contains(ip)) {
            return Err(Denial::Listed);
        }
        if METADATA.iter().any(|range| range.contains(ip)) && !self.names(&METADATA, ip) {
            return Err(Denial::Metadata);
        }
        if LOOPBACK.iter().any(|range| range.contains(ip)) {
            let allowed = self.allow_loopback || self.names(&LOOPBACK, ip);
            return if allowed { Ok(()) } else { Err(Denial::Loopback) };
        }
        if !self.allow.is_empty() && !self.allow.iter().any(|range| range.contains(ip)) {
            return Err(Denial::NotListed);
        }
        Ok(())
    }

    /// Whether an allow entry inside one of the banned ranges names `ip`.
    fn names(&self, banned: &[Cidr], ip: IpAddr) -> bool {
        let inside = |entry: &Cidr| banned.iter().any(|range| entry.is_within(range));
        self.allow.iter().any(|entry| entry.contains(ip) && inside(entry))
    }
}

/// The address that a packet to `ip` ends at.
fn effective(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(v6) if NAT64.contains(IpAddr::V6(v6)) => {
            let [.., a, b, c, d] = v6.octets();
            IpAddr::V4(Ipv4Addr::new(a, b, c, d))
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(allow: &[&str], deny: &[&str], allow_loopback: bool) -> AddressPolicy {
        let parse = |list: &[&str]| list.iter().map(|text| text.parse().expect("valid")).collect();
        AddressPolicy { allow: parse(allow), deny: parse(deny), allow_loopback }
    }

    #[test]
    fn judges_addresses() {
        let plain = policy(&[], &[], false);
        let looped = policy(&[], &[], true);
        let listed = policy(&["10.0.0.0/8", "fd00::/8"], &["10.9.0.0/16"], false);
        let everything = policy(&["0.0.0.0/0", "::/0"], &[], false);
        let named = policy(&["169.254.169.254", "127.0.0.5/32", "192.0.2.0/24"], &[], false);
        for (policy, address, want) in [
            (&plain, "192.0.2.1", Ok(())),
            (&plain, "2001:db8::1", Ok(())),
            (&plain, "10.0.0.1", Ok(())),
            (&plain, "0.0.0.0", Err(Denial::NotAHost)),
            (&plain, "0.1.2.3", Err(Denial::NotAHost)),
            (&plain, "::", Err(Denial::NotAHost)),
            (&plain, "224.0.0.251", Err(Denial::NotAHost)),
            (&plain, "ff02::1", Err(Denial::NotAHost)),
            (&plain, "255.255.255.255", Err(Denial::NotAHost)),
            (&plain, "169.254.169.254", Err(Denial::Metadata)),
            (&plain, "fe80::1", Err(Denial::Metadata)),
            (&plain, "febf::1", Err(Denial::Metadata)),
            (&plain, "fd00:ec2::254", Err(Denial::Metadata)),
            (&plain, "::ffff:169.254.169.254", Err(Denial::Metadata)),
            (&plain, "64:ff9b::a9fe:a9fe", Err(Denial::Metadata)),
            (&plain, "127.0.0.1", Err(Denial::Loopback)),
            (&plain, "::1", Err(Denial::Loopback)),
            (&plain, "::ffff:127.0.0.1", Err(Denial::Loopback)),
            (&looped, "127.9.9.9", Ok(())),
            (&looped, "::1", Ok(())),
            (&looped, "169.254.1.1", Err(Denial::Metadata)),
            (&listed, "10.1.2.3", Ok(())),
            (&listed, "fd12::1", Ok(())),
            (&listed, "10.9.2.3", Err(Denial::Listed)),
            (&listed, "::ffff:10.9.2.3", Err(Denial::Listed)),
            (&listed, "192.0.2.1", Err(Denial::NotListed)),
            (&listed, "fd00:ec2::254", Err(Denial::Metadata)),
            (&everything, "192.0.2.1", Ok(())),
            (&everything, "169.254.169.254", Err(Denial::Metadata)),
            (&everything, "127.0.0.1", Err(Denial::Loopback)),
            (&named, "169.254.169.254", Ok(())),
            (&named, "169.254.169.253", Err(Denial::Metadata)),
            (&named, "127.0.0.5", Ok(())),
            (&named, "127.0.0.6", Err(Denial::Loopback)),
        ] {
            let ip: IpAddr = address.parse().expect("valid");
            assert_eq!(policy.check(ip), want, "{address}");
        }
    }

    #[test]
    fn parses_ranges() {
        for (text, want) in
            [("10.0.0.0/8", "10.0.0.0/8"), ("::1", "::1/128"), ("192.0.2.1", "192.0.2.1/32")]
        {
            assert_eq!(text.parse::<Cidr>().map(|range| range.to_string()), Ok(want.into()));
        }
        for bad in ["", "10.0.0.0/33", "::/129", "10.0.0/8", "10.0.0.0/x", "10.0.0.0/-1", "a/8"] {
            assert!(bad.parse::<Cidr>().is_err(), "{bad}");
        }
        assert!("0.0.0.0/0".parse::<Cidr>().expect("valid").contains([203, 0, 113, 9].into()));
    }
}
