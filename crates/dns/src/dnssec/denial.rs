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

/// The proof; `None` where the name is too long for one.
pub(super) fn prove(
    answers: &Answers,
    zone: &ZoneSigner,
    chain: Option<&Chain>,
    denied: Denied<'_>,
) -> Option<Vec<Proof>> {
    let name = core_name(denied.name);
    let existence = look(answers, &zone.name, &name);
    match chain {
        None => Some(vec![compact(answers, zone, (&name, &existence), denied)?]),
        Some(chain) => hashed(answers, zone, chain, (&existence, denied)),
    }
}

/// One NSEC that is about the name alone (RFC 9824, 3).
fn compact(
    answers: &Answers,
    zone: &ZoneSigner,
    (name, existence): (&DnsName, &Existence<'_>),
    denied: Denied<'_>,
) -> Option<Proof> {
    let here = existence.here.map(|here| &**here);
    let mut types = types_of(answers, &zone.name, (name, here), denied.kind);
    types.extend([RRSIG, NSEC]);
    if !existence.exact && existence.here.is_none() {
        types.push(NXNAME);
    }
    if denied.name.len() + 2 > MAX_NAME {
        return None;
    }
    let mut data = [b"\x01\0", denied.name].concat();
    push_types(&mut types, &mut data);
    Some(Proof { owner: denied.name.into(), kind: NSEC, data })
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
}
