//! The audit chain: each record carries the SHA-256 of the one before, so that nothing can be changed, removed or
//! reordered without breaking every hash after it.
//!
//! The chain is part of the replicated state (its head and length), the records are handed out by `apply` for the
//! audit store to keep. Equal logs give equal chains, so replicas compare heads to prove that they agree.

use alloc::vec::Vec;
use core::fmt;

use postcard::ser_flavors::Flavor;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::command::Actor;
use crate::event::Event;
use crate::id::{RequestId, ServiceId};
use crate::time::Timestamp;

/// A SHA-256 hash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// The hash before the first record.
    pub const GENESIS: Self = Self([0; 32]);

    /// SHA-256 over `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// SHA-256 over the canonical (postcard) encoding of `value`.
    pub fn of_value<T: Serialize>(value: &T) -> Self {
        Self::of(&canonical(value))
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The canonical encoding: postcard's wire format, which is specified and has one form per value.
pub(crate) fn canonical<T: Serialize>(value: &T) -> Vec<u8> {
    let buffer = Buffer(Vec::with_capacity(FIRST_BYTES));
    postcard::serialize_with_flavor(value, buffer)
        .expect("plain data of bounded depth always encodes")
}

/// Room that an encoding begins with; more only costs another allocation.
const FIRST_BYTES: usize = 1024;

/// Bytes that have room before they come.
struct Buffer(Vec<u8>);

impl Flavor for Buffer {
    type Output = Vec<u8>;

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<Vec<u8>> {
        Ok(self.0)
    }
}

/// Where a chain stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// How many records there are.
    pub length: u64,
    /// The hash of the last one.
    pub hash: Hash,
}

impl Head {
    /// The chain without records.
    pub const EMPTY: Self = Self { length: 0, hash: Hash::GENESIS };
}

/// What a record says, apart from its place in the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// The log index of the entry that caused it.
    pub index: u64,
    /// When, by the group's time.
    pub at: Timestamp,
    /// Who caused it.
    pub actor: Actor,
    /// The request that caused it.
    pub request_id: Option<RequestId>,
    /// The service it is about.
    pub service: Option<ServiceId>,
    /// The fact.
    pub event: Event,
}

/// A link of the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its place, counted from 1 without gaps.
    pub sequence: u64,
    /// The hash of the record before it.
    pub previous: Hash,
    /// What it says.
    pub content: Content,
    /// SHA-256 over `sequence`, `previous` and `content`.
    pub hash: Hash,
}

impl Record {
    /// The record that follows `head`.
    pub fn after(head: &Head, content: Content) -> Self {
        let sequence = head.length + 1;
        let hash = Self::compute(sequence, &head.hash, &content);
        Self { sequence, previous: head.hash, content, hash }
    }

    /// Whether the hash fits what the record says.
    pub fn is_intact(&self) -> bool {
        self.hash == Self::compute(self.sequence, &self.previous, &self.content)
    }

    /// The canonical encoding of the whole record, which peers exchange.
    pub fn to_bytes(&self) -> Vec<u8> {
        canonical(self)
    }

    /// The length of the canonical encoding.
    pub fn encoded_len(&self) -> usize {
        let size = postcard::ser_flavors::Size::default();
        postcard::serialize_with_flavor(self, size)
            .expect("plain data of bounded depth always encodes")
    }

    /// The record that bytes hold, or `None` if they hold none. Says nothing of whether it is intact.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        postcard::from_bytes(bytes).ok()
    }

    /// The head of a chain that ends in this record.
    pub fn head(&self) -> Head {
        Head { length: self.sequence, hash: self.hash }
    }

    fn compute(sequence: u64, previous: &Hash, content: &Content) -> Hash {
        Hash::of_value(&(sequence, previous, content))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;

    #[test]
    fn a_record_is_as_long_as_it_says_and_comes_back_as_it_was() {
        for length in [0, 100, 3 * FIRST_BYTES] {
            let message = alloc::string::String::from("x").repeat(length);
            let (command, reason) = ("pause".into(), "denied".into());
            let event = Event::CommandRefused { command, reason, message };
            let (actor, at) = (Actor::system(), Timestamp(7));
            let content = Content {
                index: 1,
                at,
                actor,
                request_id: Some(RequestId(9)),
                service: None,
                event,
            };
            let record = Record::after(&Head::EMPTY, content);
            let bytes = record.to_bytes();
            assert_eq!(record.encoded_len(), bytes.len());
            assert_eq!(Record::from_bytes(&bytes), Some(record));
        }
    }
}
