//! `transfer` of a zone's manifest, and the way there and back. Addresses without a port have port 53.

use std::net::{IpAddr, SocketAddr};

use holdfast_core::DnsName;
use holdfast_core::spec::{NotifyTarget, Prefix, Transfer};
use serde::{Deserialize, Serialize};

/// The port of DNS.
const PORT: u16 = 53;

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
pub(super) struct ServerForm(pub(super) SocketAddr);

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
