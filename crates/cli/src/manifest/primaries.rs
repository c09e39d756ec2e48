//! `primaries` of a zone's manifest: the servers that it is copied from, and the way there and back.

use holdfast_core::DnsName;
use holdfast_core::spec::Primaries;
use serde::{Deserialize, Serialize};

use super::transfer::ServerForm;

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
