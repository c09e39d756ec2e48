//! Whence a zone comes: the servers that it is copied from (RFC 1034, 4.3.5), in place of records of its own.
//!
//! SOA, name servers and records of such a zone are its primary's; a declaration that has any beside them would be
//! believed and not served, so it is refused.

use alloc::format;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::transfer::reachable;
use super::{SpecError, Zone, spec_error};
use crate::name::DnsName;

/// The servers that a zone is copied from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Primaries {
    /// Asked in this order until one answers; 1 to 8.
    pub addresses: Vec<SocketAddr>,
    /// The TSIG key that questions are signed with, and answers and notices must be.
    pub key: Option<DnsName>,
}

impl Primaries {
    /// The most servers of one zone.
    pub const MAX: usize = 8;

    /// Whether a notice from this address, signed with this key, comes from one of them.
    pub fn include(&self, from: IpAddr, key: Option<&DnsName>) -> bool {
        let own = |at: &SocketAddr| at.ip().to_canonical() == from.to_canonical();
        self.addresses.iter().any(own) && self.key.as_ref().is_none_or(|own| key == Some(own))
    }

    pub(super) fn validate(&self, zone: &Zone) -> Result<(), SpecError> {
        if self.addresses.is_empty() || self.addresses.len() > Self::MAX {
            let problem = format!("name 1 to {} servers to copy the zone from", Self::MAX);
            return Err(spec_error("primaries.addresses", problem));
        }
        if !zone.records.is_empty() || !zone.name_servers.is_empty() {
            let problem = "records and name servers come from there; remove `records` and \
                           `name_servers`, or `primaries`";
            return Err(spec_error("primaries", problem));
        }
        reachable("primaries.addresses", self.addresses.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::tests::zone;

    fn primaries(addresses: &[&str], key: Option<&str>) -> Primaries {
        Primaries {
            addresses: addresses.iter().map(|text| text.parse().expect("an address")).collect(),
            key: key.map(|text| DnsName::new(text).expect("a name")),
        }
    }

    #[test]
    fn a_notice_counts_from_a_primary_and_with_its_key() {
        let ip = |text: &str| text.parse().expect("an address");
        let key = DnsName::new("k.test").expect("a name");
        let open = primaries(&["192.0.2.1:53", "[2001:db8::1]:5353"], None);
        assert!(open.include(ip("192.0.2.1"), None));
        assert!(open.include(ip("::ffff:192.0.2.1"), Some(&key)));
        assert!(open.include(ip("2001:db8::1"), None));
        assert!(!open.include(ip("192.0.2.2"), None));
        let keyed = primaries(&["192.0.2.1:53"], Some("k.test"));
        assert!(keyed.include(ip("192.0.2.1"), Some(&key)));
        assert!(!keyed.include(ip("192.0.2.1"), None));
        assert!(!keyed.include(ip("192.0.2.2"), Some(&key)));
    }

    #[test]
    fn a_zone_comes_from_elsewhere_or_has_records_not_both() {
        let from = |addresses: &[&str]| Some(primaries(addresses, None));
        let bare = || Zone { name_servers: Vec::new(), records: Vec::new(), ..zone() };
        let valid = |zone: Zone| zone.validate().map_err(|error| error.field);
        assert_eq!(valid(Zone { primaries: from(&["192.0.2.1:53"]), ..bare() }), Ok(()));
        assert_eq!(
            valid(Zone { primaries: from(&["192.0.2.1:53"]), ..zone() }),
            Err("primaries".into())
        );
        assert_eq!(valid(bare()), Err("name_servers".into()));
        for impossible in [&[][..], &["0.0.0.0:53"], &["192.0.2.1:0"], &["192.0.2.1:53"; 9]] {
            let refused = valid(Zone { primaries: from(impossible), ..bare() });
            assert_eq!(refused, Err("primaries.addresses".into()), "{impossible:?}");
        }
    }
}
