//! The data that a signature covers (RFC 4034, 3.1.8.1), made without knowing types: whoever calls gives canonical
//! owners and data.

use holdfast_core::signing::ZoneKey;
use ring::digest;

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

/// The digest of a DS record of type 2, SHA-256 (RFC 4509), for a key of the zone with this apex in wire form.
pub fn ds_digest(apex: &[u8], key: &ZoneKey) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(apex);
    context.update(&key.dnskey());
    context.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::{BASE64, HEXUPPER};
    use holdfast_core::sealed::SealingKeyId;
    use holdfast_core::spec::KeyAlgorithm;
    use holdfast_core::{Sealed, Timestamp};

    fn key(algorithm: KeyAlgorithm, public: &str) -> ZoneKey {
        let private = Sealed { key: SealingKeyId([0; 8]), nonce: [0; 12], ciphertext: Vec::new() };
        let public = BASE64.decode(public.as_bytes()).expect("base64");
        ZoneKey { algorithm, public, private, created: Timestamp(0) }
    }

    /// RFC 6605, 6.1 and RFC 8080, 6.1: tags and digests.
    #[test]
    fn tags_and_digests_are_as_the_rfcs_say() {
        let example_net = b"\x07example\x03net\0";
        let ecdsa = key(
            KeyAlgorithm::EcdsaP256,
            "GojIhhXUN/u4v54ZQqGSnyhWJwaubCvTmeexv7bR6edbkrSqQpF64cYbcB7wNcP+e+MAnLr+Wi9xMWyQLc8NAA==",
        );
        assert_eq!(ecdsa.tag(), 55_648);
        assert_eq!(
            HEXUPPER.encode(&ds_digest(example_net, &ecdsa)),
            "B4C8C1FE2E7477127B27115656AD6256F424625BF5C1E2770CE6D6E37DF61D17"
        );
        let example_com = b"\x07example\x03com\0";
        let ed25519 = key(KeyAlgorithm::Ed25519, "l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4=");
        assert_eq!(ed25519.tag(), 3613);
        assert_eq!(
            HEXUPPER.encode(&ds_digest(example_com, &ed25519)),
            "3AA5AB37EFCE57F737FC1627013FEE07BDF241BD10F3B1964AB55C78E79A304B"
        );
    }

    #[test]
    fn a_set_is_sorted_and_says_nothing_twice() {
        let mut out = Vec::new();
        sorted_into(b"\0", 1, 5, &mut [&[2], &[1, 9], &[2]], &mut out);
        let record =
            |data: &[u8]| [&[0, 0, 1, 0, 1, 0, 0, 0, 5, 0, data.len() as u8], data].concat();
        assert_eq!(out, [record(&[1, 9]), record(&[2])].concat());
    }
}
