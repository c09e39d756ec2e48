//! Keys that DNS messages are signed with (TSIG, RFC 8945): which there are, and their sealed secrets.
//!
//! The state holds no secret in plain and computes no signature; that is the DNS room's.

use alloc::format;
use alloc::string::String;
use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::name::DnsName;
use crate::sealed::Sealed;

/// How a key is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TsigAlgorithm {
    /// HMAC with SHA-256.
    HmacSha256,
    /// HMAC with SHA-384.
    HmacSha384,
    /// HMAC with SHA-512.
    HmacSha512,
}

impl TsigAlgorithm {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::HmacSha256, Self::HmacSha384, Self::HmacSha512];

    /// Its name in the protocol and in the files of other servers.
    pub fn label(self) -> &'static str {
        match self {
            Self::HmacSha256 => "hmac-sha256",
            Self::HmacSha384 => "hmac-sha384",
            Self::HmacSha512 => "hmac-sha512",
        }
    }
}

impl fmt::Display for TsigAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

impl FromStr for TsigAlgorithm {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|algorithm| algorithm.label() == text);
        found.ok_or_else(|| format!("{text:?} is none of hmac-sha256, hmac-sha384, hmac-sha512"))
    }
}

/// A key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TsigKey {
    /// How it is used.
    pub algorithm: TsigAlgorithm,
    /// Its secret, sealed for [`TsigKey::context`].
    pub secret: Sealed,
}

impl TsigKey {
    /// The most keys of a group.
    pub const MAX_KEYS: usize = 256;
    /// The shortest secret, in bytes: what is shorter can be guessed (RFC 8945, 8).
    pub const MIN_SECRET: usize = 16;

    /// What the secret of the key of this name is sealed for.
    pub fn context(name: &DnsName) -> String {
        format!("tsig {name}")
    }
}
