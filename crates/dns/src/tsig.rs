//! TSIG: messages that prove to come from whoever shares a secret (RFC 8945).
//!
//! ```text
//! request ─▶ find ─▶ verify(keys, now) ─┬─ Verified ─▶ Signer: the reply, or each of its many messages
//!                                       └─ Fault ────▶ NOTAUTH with BADKEY, BADSIG, BADTIME or BADTRUNC
//! our own request ─▶ Signer ─▶ Verifier: every message of the reply, in order
//! ```
//!
//! HMAC-SHA256, -384 and -512 by `ring`, whole MACs only: a shortened one is BADTRUNC. What is digested are the bytes
//! that came, never a message made anew from what was read. Our own code, because hickory-proto 0.26 signs the second
//! and later messages of a reply over fields that RFC 8945, 5.3.1 leaves out, and does not check time.
//!
//! Invariant: total on any bytes; a MAC is compared in constant time.

mod key;
mod read;
mod sign;
mod verify;

#[cfg(test)]
mod tests;

pub(crate) use key::Key;
pub(crate) use key::Keyring;
pub(crate) use read::{Found, Tsig, find};
pub(crate) use sign::Signer;
pub(crate) use verify::{Fault, Verifier, verify};

/// The type of the record.
pub(crate) const TYPE: u16 = 250;
/// Class ANY, which the record has.
const CLASS: u16 = 255;
/// How many seconds two clocks may differ.
pub(crate) const FUDGE: u16 = 300;

/// The error field (RFC 8945, 3).
pub(crate) mod error {
    pub(crate) const BADSIG: u16 = 16;
    pub(crate) const BADKEY: u16 = 17;
    pub(crate) const BADTIME: u16 = 18;
    pub(crate) const BADTRUNC: u16 = 22;
}

/// What is digested of the record besides the message (RFC 8945, 4.3.3).
struct Variables<'a> {
    key: &'a Key,
    time: u64,
    fudge: u16,
    error: u16,
    other: &'a [u8],
}

impl Variables<'_> {
    fn digest(&self, context: &mut ring::hmac::Context) {
        context.update(self.key.wire_name());
        context.update(&CLASS.to_be_bytes());
        context.update(&[0; 4]);
        context.update(self.key.wire_algorithm());
        self.digest_timers(context);
        context.update(&self.error.to_be_bytes());
        // At most 6 bytes of ours, and a 16-bit length of theirs.
        context.update(&(self.other.len() as u16).to_be_bytes());
        context.update(self.other);
    }

    /// Of the second and later messages of a reply only these (RFC 8945, 5.3.1).
    fn digest_timers(&self, context: &mut ring::hmac::Context) {
        context.update(&self.time.to_be_bytes()[2..]);
        context.update(&self.fudge.to_be_bytes());
    }
}

/// Digests a MAC with its length before it.
fn digest_mac(context: &mut ring::hmac::Context, mac: &[u8]) {
    context.update(&(mac.len() as u16).to_be_bytes());
    context.update(mac);
}
