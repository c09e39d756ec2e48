//! The records of an apex that are made of its keys: DNSKEY, CDS, CDNSKEY, NSEC3PARAM (RFC 4034, 7344, 5155).

use holdfast_core::DnsName;
use holdfast_core::signing::Ds;
use holdfast_core::view::Answers;

use super::message::{push_fixed, push_owner};
use super::name::core_name;
use super::zone::{Signers, Standing};
use crate::limits::HEADER;
use crate::record::seconds;
use crate::screen::Query;

const DNSKEY: u16 = 48;
const NSEC3PARAM: u16 = 51;
const CDS: u16 = 59;
const CDNSKEY: u16 = 60;
/// The types that these records have.
pub(super) const KINDS: [u16; 4] = [DNSKEY, NSEC3PARAM, CDS, CDNSKEY];

/// Whether a question is for one of these types.
pub(crate) fn is_asked(wire: &[u8], query: &Query) -> bool {
    let kind = u16::from_be_bytes([wire[query.name_end], wire[query.name_end + 1]]);
    KINDS.contains(&kind)
}

/// Writes the unsigned reply to a question for these records, and tells the zone; `None` for any other question, and for
/// records that the zone does not have: CDS and CDNSKEY before its first key is ready.
pub(crate) fn answer<'a>(
    (signers, answers): (&Signers, &'a Answers),
    (wire, query): (&[u8], &Query),
    out: &mut Vec<u8>,
) -> Option<&'a DnsName> {
    let kind = u16::from_be_bytes([wire[query.name_end], wire[query.name_end + 1]]);
    let class = u16::from_be_bytes([wire[query.name_end + 2], wire[query.name_end + 3]]);
    if signers.is_empty() || class != 1 || !is_asked(wire, query) {
        return None;
    }
    let name = wire[HEADER..query.name_end].to_ascii_lowercase();
    let Some(Standing::Signed(signed)) = signers.zone_of(&name) else { return None };
    let zone = answers.zones.get(&core_name(&name))?;
    if zone.zone.name.to_wire() != name {
        return None;
    }
    let signing = &zone.signing;
    let data: Vec<Vec<u8>> = match kind {
        DNSKEY => signing.keys.iter().map(|key| key.dnskey()).collect(),
        CDNSKEY => signing.for_parent().iter().map(|key| key.dnskey()).collect(),
        CDS => {
            let keys = signing.for_parent().iter();
            keys.map(|key| Ds::of(&zone.zone.name, key).to_data()).collect()
        }
        _ if signed.chain.is_some() => vec![vec![1, 0, 0, 0, 0]],
        _ => return None,
    };
    if data.is_empty() {
        return None;
    }
    out.clear();
    // QR and AA; the opcode and RD as asked.
    out.extend_from_slice(&[wire[0], wire[1], 0x84 | (wire[2] & 0x79), 0, 0, 1]);
    // A zone has one key, or two.
    out.extend_from_slice(&[0, data.len() as u8, 0, 0, 0, 0]);
    out.extend_from_slice(&wire[HEADER..query.question_end()]);
    for data in data {
        push_owner(&name, &name, out);
        push_fixed(kind, seconds(zone.zone.ttl), data.len(), out);
        out.extend_from_slice(&data);
    }
    Some(&zone.zone.name)
}
