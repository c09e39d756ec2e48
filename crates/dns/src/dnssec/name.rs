//! Names in wire form and lower case, as signatures cover them (RFC 4034, 6.2).

use holdfast_core::DnsName;

use crate::compiled::labels;
use crate::record::core_name_of;

/// The labels that an RRSIG counts: not the root, not a wildcard's asterisk (RFC 4034, 3.1.3).
pub(super) fn label_count(name: &[u8]) -> u8 {
    let wild = name.starts_with(&[1, b'*']);
    // A name has at most 127 labels.
    labels(name).count() as u8 - u8::from(wild)
}

/// The name without its first label; the root is above itself.
pub(super) fn parent(name: &[u8]) -> &[u8] {
    match name.first() {
        None | Some(0) => name,
        Some(length) => &name[1 + usize::from(*length)..],
    }
}

/// A name and those above it, the root last.
pub(super) fn upwards(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut next = Some(name);
    std::iter::from_fn(move || {
        let here = next?;
        next = (here.len() > 1).then(|| parent(here));
        Some(here)
    })
}

/// The core's form of a name.
pub(super) fn core_name(name: &[u8]) -> DnsName {
    core_name_of(name.len(), labels(name).map(|(_, label)| label))
}

/// Any number that belongs to a name (FNV-1a).
pub(super) fn shift_of(name: &[u8]) -> u32 {
    name.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_counted_climbed_and_escaped() {
        let name = b"\x01*\x03a.b\x04test\0";
        assert_eq!(label_count(name), 2);
        assert_eq!(label_count(b"\0"), 0);
        let above: Vec<&[u8]> = upwards(name).collect();
        assert_eq!(above, [&name[..], b"\x03a.b\x04test\0", b"\x04test\0", b"\0"]);
        assert_eq!(core_name(name).as_str(), "*.a\\046b.test");
    }
}
