//! From a question to an answer: the authoritative server's decision as a pure function of one snapshot.
//!
//! ```text
//! zone ─▶ closest encloser ─┬─ cut above: referral with glue (RFC 9471), or DNAME (RFC 6672) ─┐
//!                           ├─ the name, or the wildcard below its encloser (RFC 4592)        ├─▶ CNAME: once more
//!                           └─ neither: NXDOMAIN, or NODATA at what lies above names          ┘
//! ```
//!
//! RFC 1034 4.3.2 without recursion. A registered name never gives NXDOMAIN, and an address set is never empty: a
//! service without endpoints gives NODATA, a fail-closed one SERVFAIL, and so does an ALIAS whose target has no
//! address.
//!
//! Every lookup is a search in a sorted map: the cost of "no such name" is that of a hit, whatever the zone's size.
//!
//! What it deliberately does not know: the wire. Case, compression, EDNS and truncation are the server's.

mod place;
mod walk;
mod whole;

use alloc::vec::Vec;
use core::time::Duration;

use crate::name::DnsName;
use crate::spec::{RecordData, Soa};
use crate::steer::Client;
use crate::view::{Answers, ZoneAnswers};

pub use crate::spec::Kind;
pub use place::{Cut, cut_above, exists_within, zone_of};
pub(crate) use whole::flattened;
pub use whole::told_to_all;

/// The response code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// There is an answer, or the name exists without data of this type.
    NoError,
    /// Neither the name nor anything below it exists.
    NameError,
    /// The name is in none of our zones.
    Refused,
    /// The service refuses to answer: nothing is up and it is fail-closed. Or an ALIAS leads to nothing.
    ServerFailure,
    /// A DNAME makes the name too long (YXDOMAIN).
    NameTooLong,
}

/// A record of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerRecord {
    /// Its owner.
    pub name: DnsName,
    /// Its TTL.
    pub ttl: Duration,
    /// Its data.
    pub data: AnswerData,
}

/// The data of a record of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnswerData {
    /// Data that is declared or decided.
    Record(RecordData),
    /// The start of authority of a zone.
    Soa {
        /// The server that the zone comes from (MNAME).
        primary: DnsName,
        /// The declared fields.
        soa: Soa,
        /// The serial.
        serial: u32,
        /// The MINIMUM field: the negative TTL.
        minimum: Duration,
    },
}

impl AnswerData {
    /// The type.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Record(data) => data.kind(),
            Self::Soa { .. } => Kind::SOA,
        }
    }
}

/// The answer to a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The response code.
    pub code: Code,
    /// Whether it is ours to say (AA).
    pub authoritative: bool,
    /// The answer section.
    pub answers: Vec<AnswerRecord>,
    /// The authority section: the SOA of a negative answer, or the name servers of a referral.
    pub authority: Vec<AnswerRecord>,
    /// The additional section: addresses of targets in our zones.
    pub additional: Vec<AnswerRecord>,
    /// How many of the additional records, from the first, must be told, or the answer is truncated (RFC 9471).
    pub required: usize,
    /// Length of the prefix around the client for which this is the answer (RFC 7871); 0 where it is for everybody.
    pub scope: u8,
    /// Whether another client or another turn might get other records.
    pub varies: bool,
}

impl Answer {
    fn bare(code: Code) -> Self {
        Self {
            code,
            authoritative: matches!(code, Code::NoError | Code::NameError),
            answers: Vec::new(),
            authority: Vec::new(),
            additional: Vec::new(),
            required: 0,
            scope: 0,
            varies: false,
        }
    }
}

/// Answers one question of class IN for a client: equal clients get equal answers.
pub fn answer(view: &Answers, name: &DnsName, kind: Kind, client: &Client) -> Answer {
    walk::answer(view, name, kind, client)
}

/// The SOA of a zone's negative answers.
pub fn negative_soa(zone: &ZoneAnswers) -> AnswerRecord {
    soa_record(zone, zone.negative_ttl.min(zone.zone.ttl))
}

fn soa_record(zone: &ZoneAnswers, ttl: Duration) -> AnswerRecord {
    let apex = &zone.zone;
    AnswerRecord {
        name: apex.name.clone(),
        ttl,
        data: AnswerData::Soa {
            primary: zone.mname.clone(),
            soa: apex.soa.clone(),
            serial: zone.serial,
            minimum: zone.negative_ttl,
        },
    }
}
