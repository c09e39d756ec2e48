//! What a zone has to do with other servers: who may copy it, and who is told of changes.
//!
//! Nothing is open unless it is declared: a zone without this part is copied by nobody. Keys are named here; their secrets stand elsewhere in the state.

use alloc::format;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{SpecError, spec_error};
use crate::name::DnsName;

/// The most prefixes, keys, or targets.
const MAX_PARTS: usize = 64;

/// Addresses that have their first bits in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Prefix {
    /// The first address.
    pub address: IpAddr,
    /// How many bits are in common; at most 32 of IPv4, 128 of IPv6.
    pub length: u8,
}

impl Prefix {
    /// Whether an address, IPv4 in IPv6 too, is one of these.
    pub fn contains(&self, address: IpAddr) -> bool {
        let differing = match (self.address.to_canonical(), address.to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
            (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
            _ => return false,
        };
        differing >= u32::from(self.length)
    }

    fn is_possible(&self) -> bool {
        self.length <= if self.address.is_ipv4() { 32 } else { 128 }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

/// Why a text is no prefix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no prefix; write an address, or one with a length such as 192.0.2.0/24")]
pub struct PrefixError(alloc::string::String);

impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let one = |address: IpAddr| {
            let length = if address.is_ipv4() { 32 } else { 128 };
            Some(Self { address, length })
        };
        let prefix = match text.split_once('/') {
            None => text.parse().ok().and_then(one),
            Some((address, length)) => address
                .parse()
                .ok()
                .and_then(|address| Some(Self { address, length: length.parse().ok()? })),
        };
        prefix.filter(Self::is_possible).ok_or_else(|| PrefixError(text.into()))
    }
}

/// A server that is told when the zone changes (NOTIFY, RFC 1996).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotifyTarget {
    /// Where it listens.
    pub address: SocketAddr,
    /// The key that the message is signed with.
    pub key: Option<DnsName>,
}

/// Who may copy a zone (AXFR, IXFR), and who is told of changes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// From where; anywhere if empty, as long as a key is asked for.
    pub allow: Vec<Prefix>,
    /// Signed with one of these keys; unsigned too if empty, as long as a place is asked for.
    pub keys: Vec<DnsName>,
    /// Who is told.
    pub notify: Vec<NotifyTarget>,
}

impl Transfer {
    /// Whether the zone is given to whoever asks from this address and signed with this key. What is declared must all
    /// be met; where nothing is, nobody is given it.
    pub fn allows(&self, from: IpAddr, key: Option<&DnsName>) -> bool {
        let declared = !self.allow.is_empty() || !self.keys.is_empty();
        let placed = self.allow.is_empty() || self.allow.iter().any(|prefix| prefix.contains(from));
        let signed = self.keys.is_empty() || key.is_some_and(|key| self.keys.contains(key));
        declared && placed && signed
    }

    pub(super) fn validate(&self) -> Result<(), SpecError> {
        few("transfer.allow", self.allow.len())?;
        few("transfer.keys", self.keys.len())?;
        few("transfer.notify", self.notify.len())?;
        if let Some(prefix) = self.allow.iter().find(|prefix| !prefix.is_possible()) {
            return Err(spec_error(
                "transfer.allow",
                format!("{prefix} is longer than its address"),
            ));
        }
        let targets = self.notify.iter().map(|target| target.address);
        reachable("transfer.notify", targets)
    }
}

fn few(field: &str, count: usize) -> Result<(), SpecError> {
    if count <= MAX_PARTS { Ok(()) } else { Err(spec_error(field, format!("at most {MAX_PARTS}"))) }
}

/// Says whether messages can be sent to these.
pub(super) fn reachable(
    field: &str,
    addresses: impl IntoIterator<Item = SocketAddr>,
) -> Result<(), SpecError> {
    let possible = |at: &SocketAddr| at.port() != 0 && !at.ip().is_unspecified();
    match addresses.into_iter().find(|at| !possible(at)) {
        Some(at) => Err(spec_error(field, format!("{at} is no address that can be sent to"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn name(text: &str) -> DnsName {
        DnsName::new(text).expect("valid")
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("valid")
    }

    #[test]
    fn a_prefix_holds_what_has_its_bits() {
        for (prefix, address, within) in [
            ("192.0.2.0/24", "192.0.2.255", true),
            ("192.0.2.0/24", "192.0.3.0", false),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.6", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("192.0.2.0/24", "::ffff:192.0.2.9", true),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::", false),
        ] {
            let prefix: Prefix = prefix.parse().expect("valid");
            assert_eq!(prefix.contains(ip(address)), within, "{prefix} {address}");
        }
        for bad in ["", "192.0.2.0/33", "::/129", "x/8", "192.0.2.0/-1", "192.0.2.0/"] {
            assert!(bad.parse::<Prefix>().is_err(), "{bad}");
        }
    }

    #[test]
    fn nobody_is_given_a_zone_unless_told_and_everything_told_must_be_met() {
        let allow: Vec<Prefix> = vec!["192.0.2.0/24".parse().expect("valid")];
        let keys = vec![name("k")];
        let (here, elsewhere) = (ip("192.0.2.1"), ip("198.51.100.1"));
        let (key, other) = (name("k"), name("other"));
        let open = |allow: &[Prefix], keys: &[DnsName], from, key| {
            let transfer = Transfer { allow: allow.into(), keys: keys.into(), notify: vec![] };
            transfer.allows(from, key)
        };
        assert!(!open(&[], &[], here, Some(&key)));
        assert!(open(&allow, &[], here, None));
        assert!(!open(&allow, &[], elsewhere, Some(&key)));
        assert!(open(&[], &keys, elsewhere, Some(&key)));
        assert!(!open(&[], &keys, here, None));
        assert!(!open(&[], &keys, here, Some(&other)));
        assert!(open(&allow, &keys, here, Some(&key)));
        assert!(!open(&allow, &keys, elsewhere, Some(&key)));
        assert!(!open(&allow, &keys, here, None));
    }
}
