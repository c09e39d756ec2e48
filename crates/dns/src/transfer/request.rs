//! Reads requests that are not for a snapshot alone: transfers and NOTIFY.
//!
//! Invariant: total on any bytes.

use hickory_proto::op::{Message, OpCode, ResponseCode};
use hickory_proto::rr::{DNSClass, LowerName, RData, RecordType};
use holdfast_core::DnsName;

use crate::cursor::Cursor;
use crate::limits::HEADER;
use crate::opt::{Opt, Options};
use crate::record::core_name;

/// What every reply repeats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Question {
    pub(crate) id: u16,
    pub(crate) recursion_desired: bool,
    pub(crate) opcode: u8,
    /// Name, type and class as asked; empty where there is not exactly one question.
    pub(crate) wire: Vec<u8>,
    pub(crate) opt: Option<Opt>,
}

/// What is asked.
#[derive(Debug)]
pub(crate) enum Asked {
    /// The whole of a zone (RFC 5936).
    Axfr(DnsName),
    /// What has changed since a serial (RFC 1995).
    Ixfr(DnsName, u32),
    /// Look whether a zone has changed (RFC 1996).
    Notify(DnsName),
    /// Anything else.
    Query,
}

impl Question {
    /// What every reply to a message repeats, whatever it asks; the message has a header.
    pub(crate) fn of(message: &[u8]) -> Self {
        Self {
            id: u16::from_be_bytes([message[0], message[1]]),
            recursion_desired: message[2] & 1 != 0,
            opcode: (message[2] >> 3) & 0x0f,
            wire: question_end(message)
                .map(|end| message[HEADER..end].to_vec())
                .unwrap_or_default(),
            opt: None,
        }
    }

    /// A reply without records and without an OPT.
    pub(crate) fn bare(&self, code: ResponseCode) -> Vec<u8> {
        let flags = 0x80 | self.opcode << 3 | u8::from(self.recursion_desired);
        let mut reply = Vec::with_capacity(HEADER + self.wire.len() + 64);
        reply.extend_from_slice(&self.id.to_be_bytes());
        reply.extend_from_slice(&[flags, code.low(), 0, u8::from(!self.wire.is_empty())]);
        reply.extend_from_slice(&[0; 6]);
        reply.extend_from_slice(&self.wire);
        reply
    }
}

/// Whether a message is, at first sight, for this module and not for the answerer of queries.
pub(crate) fn is_special(message: &[u8]) -> bool {
    if message.len() < HEADER || message[2] & 0x80 != 0 {
        return false;
    }
    match (message[2] >> 3) & 0x0f {
        0 => question_end(message).is_some_and(|end| {
            // AXFR is 252 and IXFR 251.
            matches!(message[end - 4..end - 2], [0, 251 | 252])
        }),
        4 | 5 => true,
        _ => false,
    }
}

/// Whether a message is an UPDATE (RFC 2136); it has a header.
pub(crate) fn is_update(message: &[u8]) -> bool {
    (message[2] >> 3) & 0x0f == 5
}

/// Reads a message that carries no signature any more. Errors: the code of the reply.
pub(crate) fn read(message: &[u8]) -> Result<(Question, Asked), (Question, ResponseCode)> {
    let mut question = Question::of(message);
    let Ok(parsed) = Message::from_vec(message) else {
        return Err((question, ResponseCode::FormErr));
    };
    question.opt = parsed.edns.as_ref().map(|edns| Opt {
        payload: edns.max_payload(),
        version: edns.version(),
        dnssec_ok: edns.flags().dnssec_ok,
        compact_ok: false,
        options: Options::default(),
    });
    if question.opt.is_some_and(|opt| opt.version > 0) {
        return Err((question, ResponseCode::BADVERS));
    }
    let [query] = parsed.queries.as_slice() else {
        return Err((question, ResponseCode::FormErr));
    };
    let zone = core_name(&LowerName::from(query.name()));
    let ours = query.query_class() == DNSClass::IN;
    let asked = match (parsed.op_code, query.query_type()) {
        (OpCode::Query, RecordType::AXFR) if ours => Asked::Axfr(zone),
        (OpCode::Query, RecordType::IXFR) if ours => match serial(&parsed, &zone) {
            Some(serial) => Asked::Ixfr(zone, serial),
            None => return Err((question, ResponseCode::FormErr)),
        },
        (OpCode::Query, RecordType::AXFR | RecordType::IXFR) => {
            return Err((question, ResponseCode::NotAuth));
        }
        (OpCode::Notify, RecordType::SOA) if ours => Asked::Notify(zone),
        (OpCode::Notify, _) => return Err((question, ResponseCode::FormErr)),
        _ => Asked::Query,
    };
    Ok((question, asked))
}

/// The serial that a secondary has, from the authority section.
fn serial(message: &Message, zone: &DnsName) -> Option<u32> {
    let [record] = message.authorities.as_slice() else { return None };
    let own = core_name(&LowerName::from(&record.name)) == *zone;
    match &record.data {
        RData::SOA(soa) if own => Some(soa.serial),
        _ => None,
    }
}

/// Where the only question ends.
fn question_end(message: &[u8]) -> Option<usize> {
    if *message.get(4..6)? != [0, 1] {
        return None;
    }
    let mut cursor = Cursor::new(message, HEADER);
    cursor.plain_name()?;
    cursor.take(4)?;
    Some(cursor.at())
}
