//! Records: the types that we hold data of, and what their data are.
//!
//! A type is its number (RFC 3597), so that types without a shape of their own here are held, answered and told all
//! the same, as [`RecordData::Other`]. [`RecordData::Alias`] is the one that never goes out: an answer holds the
//! addresses of its target instead.
//!
//! Invariant: data that [`validate`](RecordData::validate) takes can be put on the wire, whoever declared them.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::svcb::{Binding, SvcParams};
use crate::name::DnsName;

/// A type of records, or of questions, by its number (IANA, DNS parameters).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Kind(pub u16);

impl Kind {
    /// An IPv4 address.
    pub const A: Self = Self(1);
    /// A name server.
    pub const NS: Self = Self(2);
    /// A canonical name.
    pub const CNAME: Self = Self(5);
    /// The start of authority.
    pub const SOA: Self = Self(6);
    /// A name that an address stands for.
    pub const PTR: Self = Self(12);
    /// A mail exchange.
    pub const MX: Self = Self(15);
    /// Texts.
    pub const TXT: Self = Self(16);
    /// An IPv6 address.
    pub const AAAA: Self = Self(28);
    /// A server and its port.
    pub const SRV: Self = Self(33);
    /// Another name for everything below.
    pub const DNAME: Self = Self(39);
    /// A delegation's key.
    pub const DS: Self = Self(43);
    /// A service binding.
    pub const SVCB: Self = Self(64);
    /// A service binding for HTTP.
    pub const HTTPS: Self = Self(65);
    /// ANY (RFC 8482: one record set is enough).
    pub const ANY: Self = Self(255);
    /// Who may issue certificates.
    pub const CAA: Self = Self(257);
    /// Where [`RecordData::Alias`] is kept; of the numbers for private use, and answered to nobody.
    pub const ALIAS: Self = Self(65_401);

    /// Whether this is the type of questions or of messages only, of which there can be no record.
    pub fn is_meta(self) -> bool {
        matches!(self.0, 0 | 41 | 128..=255 | 0xffff)
    }

    /// Whether records of this type are made by signing, and by nobody else.
    pub fn is_made_by_signing(self) -> bool {
        // RRSIG, NSEC, NSEC3 and NSEC3PARAM.
        matches!(self.0, 46 | 47 | 50 | 51)
    }
}

/// The data of one record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RecordData {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
    /// The canonical name.
    Cname(DnsName),
    /// A server and its port (RFC 2782).
    Srv {
        /// Lowest first.
        priority: u16,
        /// Share among equal priorities.
        weight: u16,
        /// The port.
        port: u16,
        /// The host; the root where there is no such service.
        target: DnsName,
    },
    /// Texts of up to 255 bytes each.
    Txt(Vec<Vec<u8>>),
    /// A name server; below the apex, a delegation to it.
    Ns(DnsName),
    /// A mail exchange.
    Mx {
        /// Lowest first.
        preference: u16,
        /// The host; the root where no mail is taken (RFC 7505).
        exchange: DnsName,
    },
    /// Who may issue certificates (RFC 8659).
    Caa {
        /// 128 where the property must be understood.
        flags: u8,
        /// The property, such as `issue`.
        tag: String,
        /// Its value.
        value: Vec<u8>,
    },
    /// The name that an address, or this name, stands for.
    Ptr(DnsName),
    /// A service binding (RFC 9460).
    Svcb(Binding),
    /// A service binding for HTTP (RFC 9460).
    Https(Binding),
    /// The name in our zones whose addresses are answered as this name's own, at the apex too.
    Alias(DnsName),
    /// Another name for everything below this one (RFC 6672).
    Dname(DnsName),
    /// The key of a delegation (RFC 4034, 5).
    Ds {
        /// The key's tag.
        key_tag: u16,
        /// The key's algorithm.
        algorithm: u8,
        /// How the digest was made.
        digest_type: u8,
        /// The digest.
        digest: Vec<u8>,
    },
    /// Data of a type without a shape of its own here, as they stand on the wire (RFC 3597).
    Other {
        /// The type.
        kind: Kind,
        /// The data, without compressed names.
        data: Vec<u8>,
    },
}

impl RecordData {
    /// The most bytes of one record's data.
    pub const MAX_BYTES: usize = 8192;

    /// The type.
    pub fn kind(&self) -> Kind {
        match self {
            Self::A(_) => Kind::A,
            Self::Aaaa(_) => Kind::AAAA,
            Self::Cname(_) => Kind::CNAME,
            Self::Srv { .. } => Kind::SRV,
            Self::Txt(_) => Kind::TXT,
            Self::Ns(_) => Kind::NS,
            Self::Mx { .. } => Kind::MX,
            Self::Caa { .. } => Kind::CAA,
            Self::Ptr(_) => Kind::PTR,
            Self::Svcb(_) => Kind::SVCB,
            Self::Https(_) => Kind::HTTPS,
            Self::Alias(_) => Kind::ALIAS,
            Self::Dname(_) => Kind::DNAME,
            Self::Ds { .. } => Kind::DS,
            Self::Other { kind, .. } => *kind,
        }
    }

    /// The name whose addresses a client asks for next, and that an answer adds where they are ours.
    pub fn target(&self) -> Option<&DnsName> {
        match self {
            Self::Srv { target, .. } | Self::Ns(target) | Self::Mx { exchange: target, .. } => {
                Some(target)
            }
            Self::Svcb(binding) | Self::Https(binding) => Some(&binding.target),
            _ => None,
        }
    }

    /// How many bytes the data take on the wire, names uncompressed.
    pub fn wire_len(&self) -> usize {
        let name = DnsName::wire_len;
        match self {
            Self::A(_) => 4,
            Self::Aaaa(_) => 16,
            Self::Cname(target)
            | Self::Ns(target)
            | Self::Ptr(target)
            | Self::Alias(target)
            | Self::Dname(target) => name(target),
            Self::Srv { target, .. } => 6 + name(target),
            Self::Mx { exchange, .. } => 2 + name(exchange),
            Self::Txt(texts) => texts.iter().map(|text| text.len() + 1).sum(),
            Self::Caa { tag, value, .. } => 2 + tag.len() + value.len(),
            Self::Svcb(binding) | Self::Https(binding) => {
                2 + name(&binding.target) + binding.params.wire_len()
            }
            Self::Ds { digest, .. } => 4 + digest.len(),
            Self::Other { data, .. } => data.len(),
        }
    }

    /// Says whether a record can hold these data. Errors: what is wrong, and what would be right.
    pub fn validate(&self) -> Result<(), String> {
        if self.wire_len() > Self::MAX_BYTES {
            return Err(format!("its data have more than {} bytes", Self::MAX_BYTES));
        }
        match self {
            Self::Txt(texts) if texts.is_empty() || texts.iter().any(|t| t.len() > 255) => {
                Err("a TXT record has one or more texts of at most 255 bytes".into())
            }
            Self::Caa { tag, .. }
                if !(1..=15).contains(&tag.len())
                    || !tag.bytes().all(|b| b.is_ascii_alphanumeric()) =>
            {
                Err("the tag of a CAA record is 1 to 15 letters and digits, such as issue".into())
            }
            Self::Ds { digest, .. } if digest.is_empty() => {
                Err("a DS record has a digest (RFC 4034, 5.1)".into())
            }
            Self::Svcb(binding) | Self::Https(binding) => binding.validate(),
            Self::Other { kind, .. } => validate_other(*kind),
            _ => Ok(()),
        }
    }
}

impl From<IpAddr> for RecordData {
    fn from(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => Self::A(ip),
            IpAddr::V6(ip) => Self::Aaaa(ip),
        }
    }
}

fn validate_other(kind: Kind) -> Result<(), String> {
    const SHAPED: [Kind; 15] = [
        Kind::A,
        Kind::NS,
        Kind::CNAME,
        Kind::SOA,
        Kind::PTR,
        Kind::MX,
        Kind::TXT,
        Kind::AAAA,
        Kind::SRV,
        Kind::DNAME,
        Kind::DS,
        Kind::SVCB,
        Kind::HTTPS,
        Kind::CAA,
        Kind::ALIAS,
    ];
    if SHAPED.contains(&kind) {
        return Err(format!("records of type {} are declared in their own form", kind.0));
    }
    if kind.is_meta() {
        return Err(format!("type {} is one of questions, not of records", kind.0));
    }
    if kind.is_made_by_signing() {
        return Err(format!("records of type {} are made by signing the zone", kind.0));
    }
    Ok(())
}

/// A static record of a zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its owner, inside the zone.
    pub name: DnsName,
    /// Its TTL; 0 s – 1 day.
    pub ttl: Duration,
    /// Its data.
    pub data: RecordData,
}

impl Record {
    /// How many bytes the record takes on the wire, names uncompressed (RFC 1035, 3.2.1).
    pub fn wire_len(&self) -> usize {
        self.name.wire_len() + 10 + self.data.wire_len()
    }
}

/// The HTTPS record of a service: what its clients are told beside the addresses that are served.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceBinding {
    /// Parameters such as `alpn`; without the address hints, which are made of what is served.
    pub params: SvcParams,
}
