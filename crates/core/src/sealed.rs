//! Secrets in replicated state: opaque bytes that only agents with the sealing key can read.
//!
//! The state stores, hashes and hands on what was sealed before it was proposed; it never sees a secret. Sealing and
//! opening are the crate `holdfast-seal`'s.

use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

/// Which sealing key: the first bytes of a hash of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SealingKeyId(pub [u8; 8]);

impl fmt::Display for SealingKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SealingKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A secret, sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// The key that opens it.
    pub key: SealingKeyId,
    /// Never used twice with one key.
    pub nonce: [u8; Self::NONCE],
    /// The secret under encryption, and its tag; at most [`Sealed::MAX_CIPHERTEXT`] bytes.
    pub ciphertext: Vec<u8>,
}

impl Sealed {
    /// The bytes of a nonce.
    pub const NONCE: usize = 12;
    /// The longest secret, in bytes.
    pub const MAX_SECRET: usize = 1024;
    /// The longest ciphertext, in bytes: a secret and its tag.
    pub const MAX_CIPHERTEXT: usize = Self::MAX_SECRET + 16;

    /// Whether it is as short as it must be.
    pub fn is_bounded(&self) -> bool {
        self.ciphertext.len() <= Self::MAX_CIPHERTEXT
    }
}
