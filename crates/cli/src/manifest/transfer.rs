//! `transfer`, `updates` and `primaries` of a zone's manifest, and the way there and back.
//!
//! Addresses without a port have port 53. Types are written by name, or as `TYPE64` (RFC 3597).

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use holdfast_core::spec::{EndpointRule, NotifyTarget, Prefix, Primaries, Transfer, UpdateRule};
use holdfast_core::{DnsName, PoolName};
use serde::{Deserialize, Serialize};

/// The port of DNS.
const PORT: u16 = 53;

/// The types that have a name here (the IANA registry of DNS parameters).
const TYPES: [(&str, u16); 19] = [
    ("A", 1),
    ("NS", 2),
    ("CNAME", 5),
    ("PTR", 12),
    ("MX", 15),
    ("TXT", 16),
    ("AAAA", 28),
    ("LOC", 29),
    ("SRV", 33),
    ("NAPTR", 35),
    ("DNAME", 39),
    ("DS", 43),
    ("SSHFP", 44),
    ("TLSA", 52),
    ("OPENPGPKEY", 61),
    ("SVCB", 64),
    ("HTTPS", 65),
    ("URI", 256),
    ("CAA", 257),
];

/// A prefix such as `192.0.2.0/24`, or an address.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct PrefixForm(Prefix);

impl TryFrom<String> for PrefixForm {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map(Self).map_err(|e: holdfast_core::spec::PrefixError| e.to_string())
    }
}
impl From<PrefixForm> for String {
    fn from(form: PrefixForm) -> Self {
        form.0.to_string()
    }
}

/// A server's address.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct ServerForm(SocketAddr);

impl TryFrom<String> for ServerForm {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let alone = || text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, PORT));
        let server = text.parse().or_else(|_| alone()).map(Self);
        server.map_err(|_| format!("{text:?} is no address such as 192.0.2.1 or [2001:db8::1]:53"))
    }
}
impl From<ServerForm> for String {
    fn from(form: ServerForm) -> Self {
        form.0.to_string()
    }
}

/// A record type.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct TypeForm(u16);

impl TryFrom<String> for TypeForm {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let upper = text.to_ascii_uppercase();
        let named = TYPES.iter().find(|(name, _)| *name == upper).map(|(_, number)| *number);
        let numbered = || upper.strip_prefix("TYPE").and_then(|number| number.parse().ok());
        named
            .or_else(numbered)
            .map(Self)
            .ok_or_else(|| format!("{text:?} is no record type; write one such as TXT, or TYPE64"))
    }
}
impl From<TypeForm> for String {
    fn from(form: TypeForm) -> Self {
        form.to_string()
    }
}
impl fmt::Display for TypeForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match TYPES.iter().find(|(_, number)| *number == self.0) {
            Some((name, _)) => f.write_str(name),
            None => write!(f, "TYPE{}", self.0),
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NotifyForm {
    address: ServerForm,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<DnsName>,
}

/// `transfer` of a zone.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TransferForm {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    allow: Vec<PrefixForm>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    keys: Vec<DnsName>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notify: Vec<NotifyForm>,
}

impl TransferForm {
    /// The form, where there is something to say.
    pub(super) fn of(transfer: &Transfer) -> Option<Self> {
        let notify = |target: &NotifyTarget| NotifyForm {
            address: ServerForm(target.address),
            key: target.key.clone(),
        };
        (*transfer != Transfer::default()).then(|| Self {
            allow: transfer.allow.iter().copied().map(PrefixForm).collect(),
            keys: transfer.keys.clone(),
            notify: transfer.notify.iter().map(notify).collect(),
        })
    }
}

impl From<TransferForm> for Transfer {
    fn from(form: TransferForm) -> Self {
        let notify = |form: NotifyForm| NotifyTarget { address: form.address.0, key: form.key };
        Self {
            allow: form.allow.into_iter().map(|form| form.0).collect(),
            keys: form.keys,
            notify: form.notify.into_iter().map(notify).collect(),
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EndpointsForm {
    pool: PoolName,
    port: u16,
}

/// One of `updates` of a zone.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UpdateForm {
    key: DnsName,
    /// The whole zone where absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    names: Vec<DnsName>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    types: Vec<TypeForm>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    endpoints: Option<EndpointsForm>,
}

impl UpdateForm {
    /// The rule of a zone.
    pub(super) fn into_rule(self, apex: &DnsName) -> UpdateRule {
        let names = if self.names.is_empty() { vec![apex.clone()] } else { self.names };
        let endpoints =
            self.endpoints.map(|form| EndpointRule { pool: form.pool, port: form.port });
        let types = self.types.into_iter().map(|form| form.0).collect();
        UpdateRule { key: self.key, names, types, endpoints }
    }
}

impl From<&UpdateRule> for UpdateForm {
    fn from(rule: &UpdateRule) -> Self {
        let endpoints =
            |rule: &EndpointRule| EndpointsForm { pool: rule.pool.clone(), port: rule.port };
        Self {
            key: rule.key.clone(),
            names: rule.names.clone(),
            types: rule.types.iter().copied().map(TypeForm).collect(),
            endpoints: rule.endpoints.as_ref().map(endpoints),
        }
    }
}

/// `primaries` of a zone.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PrimariesForm {
    addresses: Vec<ServerForm>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<DnsName>,
}

impl From<PrimariesForm> for Primaries {
    fn from(form: PrimariesForm) -> Self {
        let addresses = form.addresses.into_iter().map(|form| form.0).collect();
        Self { addresses, key: form.key }
    }
}

impl From<&Primaries> for PrimariesForm {
    fn from(primaries: &Primaries) -> Self {
        let addresses = primaries.addresses.iter().copied().map(ServerForm).collect();
        Self { addresses, key: primaries.key.clone() }
    }
}
