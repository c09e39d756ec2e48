//! Signs: DNSSEC keys, the data that a signature covers, and when it is made anew.
//!
//! Signatures are deterministic (Ed25519; ECDSA with nonces by RFC 6979), and their times come from slots rather than
//! from the moment of signing: agents with equal state and clocks a little apart give equal bytes for all but the
//! moments in which a slot ends.
//!
//! What must never become true: a private key in a debug print or an error; a signature that depends on chance.
//! What it deliberately does not decide: what is signed, and when a key comes or goes.

mod key;
mod rrset;
mod slot;

pub use key::{KeyError, SIGNATURE, SigningKey, digest_of, new_secret};
pub use rrset::{Signed, push_rrsig_head, sorted_into};
pub use slot::{Slot, slot_at};
