//! The data that a signature covers (RFC 4034, 3.1.8.1), made without knowing types: whoever calls gives canonical
//! owners and data.

use crate::slot::Slot;

/// What an RRSIG says of what it signs, beside key and times.
#[derive(Debug, Clone, Copy)]
pub struct Signed<'a> {
    /// The type of the records.
    pub kind: u16,
    /// The owner's labels, a wildcard's asterisk and the root not counted.
    pub labels: u8,
    /// The records' TTL as declared, in seconds.
    pub ttl: u32,
    /// The apex of the zone, in wire form and lower case.
    pub signer: &'a [u8],
}

/// Writes an RRSIG's data without the signature (RFC 4034, 3.1).
pub fn push_rrsig_head(
    signed: &Signed<'_>,
    slot: &Slot,
    (algorithm, tag): (u8, u16),
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(&signed.kind.to_be_bytes());
    out.extend_from_slice(&[algorithm, signed.labels]);
    out.extend_from_slice(&signed.ttl.to_be_bytes());
    out.extend_from_slice(&slot.expiration.to_be_bytes());
    out.extend_from_slice(&slot.inception.to_be_bytes());
    out.extend_from_slice(&tag.to_be_bytes());
    out.extend_from_slice(signed.signer);
}

/// Writes the records of a set in canonical order, each once (RFC 4034, 6.3). `data` are canonical; they are sorted.
pub fn sorted_into(owner: &[u8], kind: u16, ttl: u32, data: &mut [&[u8]], out: &mut Vec<u8>) {
    data.sort_unstable();
    let mut before: Option<&[u8]> = None;
    for one in data.iter() {
        if before == Some(*one) {
            continue;
        }
        before = Some(*one);
        out.extend_from_slice(owner);
        out.extend_from_slice(&kind.to_be_bytes());
        out.extend_from_slice(&[0, 1]);
        out.extend_from_slice(&ttl.to_be_bytes());
        // Data have at most 65,535 bytes.
        out.extend_from_slice(&(one.len() as u16).to_be_bytes());
        out.extend_from_slice(one);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_sorted_and_says_nothing_twice() {
        let mut out = Vec::new();
        sorted_into(b"\0", 1, 5, &mut [&[2], &[1, 9], &[2]], &mut out);
        let record =
            |data: &[u8]| [&[0, 0, 1, 0, 1, 0, 0, 0, 5, 0, data.len() as u8], data].concat();
        assert_eq!(out, [record(&[1, 9]), record(&[2])].concat());
    }
}
