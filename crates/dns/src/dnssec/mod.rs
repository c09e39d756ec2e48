//! Signs replies: whatever made them, they are completed here for clients that ask for DNSSEC (RFC 4035, 3.1).
//!
//! ```text
//! plain ──┐              ┌─ sets ─▶ RRSIGs: by digest of what is signed, from memory, or made here
//! handler ┼─▶ reply ─▶ Completer ─ negative ─▶ NSEC (compact, RFC 9824) or NSEC3 (RFC 5155) ─▶ RRSIGs
//! Presigner ┘ (what may be asked later; such replies go to nobody)
//! ```
//!
//! The reply is taken apart, and put together again with signatures and proofs: so both paths to an answer are signed
//! by the same code, and every type and every choice of records is, without knowing who chose them. What a signature
//! covers is its own key in memory, so an answer after a failover finds the signature that was made before it.
//!
//! Invariant: no reply of a signed zone goes to such a client half signed. What cannot be signed in time is cut (TC) or
//! refused. What it deliberately does not decide: what is answered, and which keys there are.

mod agenda;
pub(crate) mod apex;
mod asking;
mod budget;
mod canonical;
mod complete;
mod denial;
mod existence;
mod foresight;
mod maker;
mod message;
mod name;
mod nsec3;
mod presign;
mod presigned;
mod signatures;
mod zone;

pub(crate) use complete::{Asked, Completed, Completer};
pub use presign::Presigner;
pub(crate) use signatures::Signatures;
pub(crate) use zone::Signers;
pub use zone::{Refusal, SigningContext, Unsignable};

use crate::limits::HEADER;
use crate::screen::Query;

/// Whether a question is for the signatures of a name in a signed zone.
pub(crate) fn is_signature_asked(signers: &Signers, wire: &[u8], query: &Query) -> bool {
    let kind = u16::from_be_bytes([wire[query.name_end], wire[query.name_end + 1]]);
    kind == maker::RRSIG
        && query.opt.is_some_and(|opt| opt.dnssec_ok)
        && signers.zone_of(&wire[HEADER..query.name_end].to_ascii_lowercase()).is_some()
}

/// What becomes of a reply where nothing can be signed at all: the name may lie in a signed zone.
pub(crate) fn unable(signers: &Signers, name: &[u8]) -> Completed {
    if signers.is_empty() || signers.zone_of(&name.to_ascii_lowercase()).is_none() {
        Completed::Unsigned
    } else {
        Completed::Unable
    }
}
