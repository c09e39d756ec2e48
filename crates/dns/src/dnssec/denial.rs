//! Proofs that something does not exist: which records, and what they say.

use holdfast_core::DnsName;
use holdfast_core::view::Answers;

use super::existence::{Existence, look, types_of};
use super::name::{core_name, parent, upwards};
use super::nsec3::{Chain, hash_of};
use super::zone::ZoneSigner;
use crate::limits::MAX_NAME;

pub(super) const NSEC: u16 = 47;
pub(super) const NSEC3: u16 = 50;
const RRSIG: u16 = 46;
const NSEC3PARAM: u16 = 51;
/// Stands at names that do not exist (RFC 9824, 3.4).
pub(super) const NXNAME: u16 = 128;
const NS: u16 = 2;
const DS: u16 = 43;
/// The longest label (RFC 1035, 2.3.4).
const MAX_LABEL: usize = 63;

/// A record of a proof.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Proof {
    pub(super) owner: Vec<u8>,
    pub(super) kind: u16,
    pub(super) data: Vec<u8>,
}

/// What is to be proved of a name, in wire form and lower case.
#[derive(Debug, Clone, Copy)]
pub(super) struct Denied<'a> {
    pub(super) name: &'a [u8],
    /// The type that is not there; `None` where the whole name is not, or where it only stands in for a wildcard's.
    pub(super) kind: Option<u16>,
    /// A wildcard stood in: it is proved that the name itself does not exist, no more.
    pub(super) expanded: bool,
}

/// The proof; `None` for a name that is not in the zone.
pub(super) fn prove(
    answers: &Answers,
    zone: &ZoneSigner,
    chain: Option<&Chain>,
    denied: Denied<'_>,
) -> Option<Vec<Proof>> {
    let name = core_name(denied.name);
    let existence = look(answers, &zone.name, &name);
    match chain {
        None => Some(vec![compact(answers, zone, (&name, &existence), denied)]),
        Some(chain) => hashed(answers, zone, chain, (&existence, denied)),
    }
}

/// One NSEC that is about the name alone (RFC 9824, 3).
fn compact(
    answers: &Answers,
    zone: &ZoneSigner,
    (name, existence): (&DnsName, &Existence<'_>),
    denied: Denied<'_>,
) -> Proof {
    let here = existence.here.map(|here| &**here);
    let mut types = types_of(answers, &zone.name, (name, here), denied.kind);
    types.extend([RRSIG, NSEC]);
    if !existence.exact && existence.here.is_none() {
        types.push(NXNAME);
    }
    let mut data = successor(denied.name, &zone.apex);
    push_types(&mut types, &mut data);
    Proof { owner: denied.name.into(), kind: NSEC, data }
}

/// The name that comes directly after one in the zone, in the order of RFC 4034, 6.1; the apex after the last. Most names
/// have names below them, the first of which is that of a zero byte; where these would be too long, the next is beside the
/// name, or beside one above it (RFC 4471, 3.1.2).
fn successor(name: &[u8], apex: &[u8]) -> Vec<u8> {
    if name.len() + 2 <= MAX_NAME {
        return [b"\x01\0", name].concat();
    }
    let beside = upwards(name).take_while(|here| *here != apex).find_map(next_beside);
    beside.unwrap_or_else(|| apex.into())
}

/// The name directly after all that is below this one, under the same parent; `None` where this is the last there.
fn next_beside(name: &[u8]) -> Option<Vec<u8>> {
    let above = parent(name);
    let mut label = name[1..name.len() - above.len()].to_vec();
    if label.len() < MAX_LABEL && name.len() < MAX_NAME {
        label.push(0);
    } else {
        let last = label.iter().rposition(|byte| *byte != 0xff)?;
        label.truncate(last + 1);
        // Capitals are in the order as small letters.
        label[last] = if label[last] == b'A' - 1 { b'Z' + 1 } else { label[last] + 1 };
    }
    Some([&[label.len() as u8], &label[..], above].concat())
}

/// Records of the chain: the name, or its closest encloser, the next closer name and the wildcard (RFC 5155, 7.2).
fn hashed(
    answers: &Answers,
    zone: &ZoneSigner,
    chain: &Chain,
    (existence, denied): (&Existence<'_>, Denied<'_>),
) -> Option<Vec<Proof>> {
    let mut proofs: Vec<Proof> = Vec::new();
    let mut push = |name: &[u8], asked: Option<u16>| {
        let proof = link(answers, zone, chain, (name, asked));
        proofs.extend(proof.filter(|proof| !proofs.contains(proof)));
    };
    if existence.exact {
        push(denied.name, denied.kind);
        return Some(proofs);
    }
    let encloser = existence.encloser.to_wire();
    let next_closer = upwards(denied.name).find(|name| parent(name) == encloser)?;
    if !denied.expanded {
        push(&encloser, None);
        push(&[b"\x01*", &encloser[..]].concat(), denied.kind);
    }
    push(next_closer, None);
    Some(proofs)
}

fn link(
    answers: &Answers,
    zone: &ZoneSigner,
    chain: &Chain,
    (name, asked): (&[u8], Option<u16>),
) -> Option<Proof> {
    let hash = hash_of(name);
    let link = chain.link(&hash)?;
    let apex = link.name == zone.name;
    let here = answers.names.get(&link.name).map(|here| &**here);
    // What is asked for matters where the record is about that name only.
    let asked = asked.filter(|_| link.hash == hash);
    let mut types = types_of(answers, &zone.name, (&link.name, here), asked);
    let delegation = !apex && types.contains(&NS);
    if !types.is_empty() && (!delegation || types.contains(&DS)) {
        types.push(RRSIG);
    }
    if apex {
        types.push(NSEC3PARAM);
    }
    let mut data = link.head();
    push_types(&mut types, &mut data);
    Some(Proof { owner: link.owner(&zone.apex), kind: NSEC3, data })
}

/// The closest encloser of a name that a wildcard stands in for; `None` where none does.
pub(super) fn expanded_from(answers: &Answers, apex: &DnsName, name: &[u8]) -> Option<Vec<u8>> {
    let existence = look(answers, apex, &core_name(name));
    let stands_in = !existence.exact && existence.here.is_some();
    stands_in.then(|| existence.encloser.to_wire())
}

/// Writes the bit map of types (RFC 4034, 4.1.2); they are sorted.
fn push_types(types: &mut Vec<u16>, out: &mut Vec<u8>) {
    types.sort_unstable();
    types.dedup();
    for window in types.chunk_by(|a, b| a >> 8 == b >> 8) {
        let last = window.last().map_or(0, |kind| usize::from(kind & 0xff));
        let mut bits = [0; 32];
        for kind in window {
            bits[usize::from(kind & 0xff) / 8] |= 0x80 >> (kind % 8);
        }
        let length = last / 8 + 1;
        out.extend_from_slice(&[(window[0] >> 8) as u8, length as u8]);
        out.extend_from_slice(&bits[..length]);
    }
}

#[cfg(test)]
mod tests {
    use hickory_proto::rr::Name;
    use hickory_proto::serialize::binary::BinDecodable as _;

    use super::*;

    /// RFC 4034, 4.3: A MX RRSIG NSEC TYPE1234.
    #[test]
    fn a_bit_map_is_as_rfc_4034_says() {
        let mut out = Vec::new();
        push_types(&mut vec![1234, 47, 1, 46, 15], &mut out);
        let mut expected = vec![0, 6, 0x40, 0x01, 0, 0, 0, 0x03, 4, 0x1b];
        expected.extend([0; 26]);
        expected.push(0x20);
        assert_eq!(out, expected);
    }

    const APEX: &[u8] = b"\x07example\x04test\0";

    /// A name of these labels in the zone.
    fn named(labels: &[&[u8]]) -> Vec<u8> {
        let labels = labels.iter().map(|label| [&[label.len() as u8], *label].concat());
        [labels.collect::<Vec<_>>().concat().as_slice(), APEX].concat()
    }

    /// Checks what comes after a name of these labels, above which 192 bytes of labels stand.
    fn check(labels: &[&[u8]], expected: &[&[u8]]) {
        let full = [b'm'; 63];
        let whole = |labels: &[&[u8]]| named(&[labels, &[&full[..], &full, &full]].concat());
        let (name, expected) = (whole(labels), whole(expected));
        let next = successor(&name, APEX);
        assert_eq!(next, expected, "{labels:?}");
        assert!(next.len() <= MAX_NAME);
        let ordered = |wire: &[u8]| Name::from_bytes(wire).expect("a name");
        assert!(ordered(&name) < ordered(&next), "{labels:?}");
    }

    /// 14 bytes of the apex and 192 above leave 48 for a label's length and bytes in a name of 254.
    #[test]
    fn what_comes_next_is_a_name_however_long_the_first_is() {
        assert_eq!(successor(&named(&[b"a"]), APEX), named(&[b"\0", b"a"]));
        let (short, long) = ([b'x'; 46], [b'x'; 47]);
        check(&[&short], &[b"\0", &short]);
        check(&[&long], &[&[&long[..], b"\0"].concat()]);
        let ending = |last: &[u8]| [&long[..], last].concat();
        check(&[&ending(b"a")], &[&ending(b"b")]);
        check(&[&ending(b"@")], &[&ending(b"[")]);
        check(&[&ending(b"\xff")], &[&[&long[..46], b"y"].concat()]);
    }

    #[test]
    fn a_name_that_is_the_last_under_another_is_followed_by_what_is_beside_that() {
        let last = [0xff; 43];
        check(&[&last, b"ab", b"c"], &[b"ab\0", b"c"]);
        let last = [0xff; 48];
        assert_eq!(
            successor(&named(&[&last, &[b'm'; 63], &[b'm'; 63], &[b'm'; 63]]), APEX),
            named(&[&[&[b'm'; 62][..], b"n"].concat(), &[b'm'; 63], &[b'm'; 63]])
        );
        let full = [0xff; 63];
        assert_eq!(successor(&named(&[&last, &full, &full, &full]), APEX), APEX);
    }
}
