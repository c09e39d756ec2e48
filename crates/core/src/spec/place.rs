//! Bits of addresses and codes of places: what rules of steering are about.

use alloc::string::String;
use core::fmt;
use core::net::IpAddr;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::id::{NameError, name_error};

/// The bits of an address, from the highest down, whatever its family.
pub(crate) fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()) << 96,
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// The first so many bits, zeros behind them.
pub(crate) fn mask(bits: u128, length: u8) -> u128 {
    bits & !u128::MAX.checked_shr(length.into()).unwrap_or(0)
}

/// A code of a place: one to three letters or digits, in upper case (`EU`, `DE`, `BY`, `CA`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Code([u8; 3]);

impl Code {
    /// Reads a code, in either case. Errors: it is empty, longer than three characters, or holds anything else.
    pub fn new(text: &str) -> Result<Self, NameError> {
        Self::from_bytes(text.as_bytes())
            .ok_or_else(|| name_error("code of a place", text, "it has 1 to 3 letters or digits"))
    }

    /// Reads a code as [`new`](Self::new) does, without words for what is wrong.
    pub fn from_bytes(text: &[u8]) -> Option<Self> {
        let legal = matches!(text.len(), 1..=3) && text.iter().all(u8::is_ascii_alphanumeric);
        let mut code = [b' '; 3];
        for (place, byte) in code.iter_mut().zip(text) {
            *place = byte.to_ascii_uppercase();
        }
        legal.then_some(Self(code))
    }

    /// The code as text.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.0).expect("a code is ASCII").trim_end()
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Code {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl TryFrom<String> for Code {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        Self::new(&text)
    }
}

impl From<Code> for String {
    fn from(code: Code) -> Self {
        code.as_str().into()
    }
}
