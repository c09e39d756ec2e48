//! Answers to plain questions out of the compiled table: no allocation, no lock, wire to wire.
//!
//! Plain are: addresses, texts and other data without names, no data, no such name, a closed service, and names
//! outside the zones. Everything else (data with names, aliases, wildcards, delegations, the apex's own records,
//! transfers, CHAOS, `_holdfast`) is left to the handler on the same thread, which decides without waiting either.
//!
//! Invariant: byte for byte what the handler answers at the same turn.

use hickory_proto::op::ResponseCode;

use crate::class::Class;
use crate::client::{Asker, Need};
use crate::compiled::Plan;
use crate::handler::status;
use crate::limits::{HEADER, MAX_NAME};
use crate::reply_opt::{ExtendedError, Remarks};
use crate::screen::Query;
use crate::table::{Found, Table, hash_of, lowered};

pub(crate) const CLASS_IN: u16 = 1;
const TYPE_IXFR: u16 = 251;
const TYPE_AXFR: u16 = 252;

/// Bits of the third byte of a header.
pub(crate) const AA: u8 = 0x04;
pub(crate) const TC: u8 = 0x02;

/// What was answered, for the counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Told {
    /// The number of the zone.
    pub(crate) zone: Option<usize>,
    pub(crate) code: ResponseCode,
    pub(crate) class: Class,
}

impl Told {
    /// Anything but the records asked for.
    fn bare(zone: Option<usize>, code: ResponseCode) -> Self {
        Self { zone, code, class: Class::of_bare(code) }
    }
}

/// A plain answer, beside its bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plain {
    pub(crate) told: Told,
    pub(crate) remarks: Remarks,
    /// The hash of the name that was asked for.
    pub(crate) name: u64,
}

/// Answers a plain question into `out`, in at most `limit` bytes and without an OPT; `None` for one that is not plain.
/// A turn is taken exactly when an answer is made.
pub(crate) fn answer(
    table: &Table,
    (wire, query): (&[u8], &Query),
    limit: u16,
    (asker, turn): (&Asker<'_>, impl FnOnce() -> u32),
    out: &mut Vec<u8>,
) -> Option<Plain> {
    let field = |at: usize| u16::from_be_bytes([wire[at], wire[at + 1]]);
    let kind = field(query.name_end);
    if field(query.name_end + 2) != CLASS_IN || matches!(kind, TYPE_AXFR | TYPE_IXFR) {
        return None;
    }
    let mut scratch = [0; MAX_NAME];
    let name = lowered(&wire[HEADER..query.name_end], &mut scratch);
    if name[1..].starts_with(status::LABEL.as_bytes()) {
        return None;
    }
    out.clear();
    // QR, the opcode and RD as asked; no other flag.
    out.extend_from_slice(&[wire[0], wire[1], 0x80 | (wire[2] & 0x79), 0]);
    out.extend_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
    out.extend_from_slice(&wire[HEADER..query.question_end()]);
    let mut remarks = Remarks::default();
    let hash = hash_of(name);
    let told = match table.find(name, hash) {
        Found::Uncompiled => return None,
        Found::Outside => {
            remarks = ExtendedError::NotAuthoritative.into();
            Told::bare(None, ResponseCode::Refused)
        }
        Found::Missing(zone) => {
            table.zone(zone).push_tail(name, out)?;
            Told::bare(Some(zone), ResponseCode::NXDomain)
        }
        Found::Node(node) => {
            let code = match node.plan(kind) {
                Plan::Handler => return None,
                Plan::Failure => {
                    remarks = ExtendedError::Closed.into();
                    ResponseCode::ServFail
                }
                Plan::NoData => {
                    table.zone(node.zone).push_tail(name, out)?;
                    ResponseCode::NoError
                }
                Plan::Records(records, here) => {
                    let subnet = table.zone(node.zone).tailors();
                    let need = Need { subnet, place: records.by_place };
                    let client = asker.client(turn(), need);
                    let (count, scope) = records.push(here, &client, out);
                    let scope = asker.told(scope, need);
                    finish(query, (Section::Answer, count), ResponseCode::NoError, limit, out);
                    let (zone, code) = (Some(node.zone), ResponseCode::NoError);
                    let told = Told { zone, code, class: Class::Positive };
                    return Some(Plain { told, remarks: Remarks { scope, ..remarks }, name: hash });
                }
            };
            Told::bare(Some(node.zone), code)
        }
    };
    turn();
    let negative = matches!(told.code, ResponseCode::NoError | ResponseCode::NXDomain);
    finish(query, (Section::Authority, usize::from(negative)), told.code, limit, out);
    Some(Plain { told, remarks, name: hash })
}

/// The section that records are in, by the place of its count's low byte in the header.
#[derive(Debug, Clone, Copy)]
enum Section {
    Answer = 7,
    Authority = 9,
}

/// Completes the header; a reply that is too long loses its records and says so (TC).
fn finish(
    query: &Query,
    (section, count): (Section, usize),
    code: ResponseCode,
    limit: u16,
    out: &mut Vec<u8>,
) {
    if matches!(code, ResponseCode::NoError | ResponseCode::NXDomain) {
        out[2] |= AA;
    }
    out[3] = code.low();
    if out.len() > usize::from(limit) {
        out.truncate(query.question_end());
        out[2] |= TC;
    } else {
        // What fits a message has far less than 2^16 records.
        let place = section as usize - 1;
        out[place..=place + 1].copy_from_slice(&(count as u16).to_be_bytes());
    }
}
