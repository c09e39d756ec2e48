//! Brings what the questions of a batch ask for into the processor's cache, before the first of them is answered.
//!
//! ```text
//! batch ─▶ hashes of the names ─┬▶ their slots ─▶ their entries ─▶ their records
//!                               └▶ the buckets that limit answers to them
//!            each arrow is one loop: its misses do not depend on each other, so the processor waits for many at once
//! ```
//!
//! Answered one by one, each question for one of many names waits for four lines of memory, one after the other, which
//! takes longer than all the rest of its answer.
//!
//! Invariant: it decides nothing and keeps nothing. Whatever the bytes are, the answers are the same without it.

use std::hint::black_box;
use std::net::SocketAddr;

use crate::limits::{BATCH, HEADER, MAX_NAME};
use crate::rate_limit::Limiter;
use crate::table::{Entry, Table, hash_of_any_case};

/// Tables of fewer names stay near by themselves, and looking ahead costs more than it spares.
const MANY_NAMES: usize = 4096;

/// Looks ahead for these messages and whom they are from, of which it takes [`BATCH`] at most.
pub(crate) fn look_ahead<'a>(
    table: &Table,
    limiter: Option<&Limiter>,
    messages: impl Iterator<Item = (&'a [u8], SocketAddr)>,
) {
    if table.len() < MANY_NAMES {
        return;
    }
    let mut hashes = [0; BATCH];
    let mut count = 0;
    let asked = messages.filter_map(|(message, from)| Some((asked(message)?, from)));
    for (place, (hash, from)) in hashes.iter_mut().zip(asked) {
        *place = hash;
        count += 1;
        black_box(limiter.map(|limiter| limiter.visit(from.ip(), hash)));
    }
    let mut entries: [Option<&Entry>; BATCH] = [None; BATCH];
    for (entry, hash) in entries.iter_mut().zip(&hashes[..count]) {
        *entry = table.likely(*hash);
    }
    for entry in entries.iter().flatten() {
        black_box((entry.name.first(), entry.node.parts()));
    }
    for entry in entries.iter().flatten() {
        entry.node.visit();
    }
}

/// The hash of the name that a message seems to ask for.
fn asked(message: &[u8]) -> Option<u64> {
    let name = message.get(HEADER..)?;
    let mut end = 0;
    while *name.get(end)? != 0 {
        end += 1 + usize::from(name[end]);
    }
    name.get(..=end).filter(|name| name.len() <= MAX_NAME).map(hash_of_any_case)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::hash_of;

    #[test]
    fn a_name_is_hashed_in_any_case_and_what_is_none_is_passed_over() {
        let message = |name: &[u8]| [&[0; HEADER], name, &[0, 1, 0, 1]].concat();
        let hash = asked(&message(b"\x01A\x04TEST\0"));
        assert_eq!(hash, Some(hash_of(b"\x01a\x04test\0")));
        assert_ne!(hash, asked(&message(b"\x01b\x04test\0")));
        let long = [&[63; 64].repeat(5)[..], &[0]].concat();
        for wrong in [&b"\xff"[..], b"\x3fa", &long] {
            assert_eq!(asked(&message(wrong)), None, "{wrong:?}");
        }
        assert_eq!(asked(&[0; HEADER]), None);
        assert_eq!(asked(&[]), None);
    }
}
