//! Keys by name: what a secret is used with, and the names in wire form that every digest begins with.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use holdfast_core::DnsName;
use holdfast_core::tsig::TsigAlgorithm;
use ring::hmac;

/// A key that messages are signed with.
pub(crate) struct Key {
    name: DnsName,
    wire_name: Vec<u8>,
    wire_algorithm: Vec<u8>,
    hmac: hmac::Key,
}

impl Key {
    pub(crate) fn new(name: DnsName, algorithm: TsigAlgorithm, secret: &[u8]) -> Self {
        let digest = match algorithm {
            TsigAlgorithm::HmacSha256 => hmac::HMAC_SHA256,
            TsigAlgorithm::HmacSha384 => hmac::HMAC_SHA384,
            TsigAlgorithm::HmacSha512 => hmac::HMAC_SHA512,
        };
        Self {
            wire_name: wire(name.as_str()),
            wire_algorithm: wire(algorithm.label()),
            hmac: hmac::Key::new(digest, secret),
            name,
        }
    }

    pub(crate) fn name(&self) -> &DnsName {
        &self.name
    }

    pub(super) fn wire_name(&self) -> &[u8] {
        &self.wire_name
    }

    pub(super) fn wire_algorithm(&self) -> &[u8] {
        &self.wire_algorithm
    }

    pub(super) fn context(&self) -> hmac::Context {
        hmac::Context::with_key(&self.hmac)
    }

    /// The bytes of a whole MAC.
    pub(super) fn mac_length(&self) -> usize {
        self.hmac.algorithm().digest_algorithm().output_len()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.name)
    }
}

/// A name of ours in wire form, uncompressed.
fn wire(name: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(name.len() + 2);
    for label in name.split('.') {
        // A label has at most 63 bytes.
        bytes.push(label.len() as u8);
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

/// Keys with their secrets, by name.
#[derive(Debug, Default)]
pub(crate) struct Keyring(BTreeMap<DnsName, Arc<Key>>);

impl Keyring {
    /// Adds a key, or replaces the one of that name.
    pub(crate) fn insert(&mut self, name: DnsName, algorithm: TsigAlgorithm, secret: &[u8]) {
        self.0.insert(name.clone(), Arc::new(Key::new(name, algorithm, secret)));
    }

    pub(crate) fn get(&self, name: &DnsName) -> Option<&Arc<Key>> {
        self.0.get(name)
    }
}
