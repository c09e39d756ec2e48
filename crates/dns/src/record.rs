//! From the core's records to hickory's, and from hickory's names to the core's.
//!
//! A label off the wire may hold any byte, a dot too. Bytes that our own names cannot hold are escaped (`\046`), so
//! that no query can look up another name than its labels spell.

use std::fmt::Write as _;
use std::time::Duration;

use hickory_proto::rr::rdata::{A, AAAA, CNAME, NS, SOA, SRV, TXT};
use hickory_proto::rr::{LowerName, Name, RData, Record};
use holdfast_core::DnsName;
use holdfast_core::answer::{AnswerData, AnswerRecord};
use holdfast_core::spec::RecordData;

/// The largest TTL (RFC 2181, 8), and the largest time that hickory's SOA holds.
const MAX_SECONDS: u32 = i32::MAX as u32;

/// The name of a question as the core's, to look it up.
pub(crate) fn core_name(name: &LowerName) -> DnsName {
    let mut text = String::with_capacity(name.len());
    for label in name.iter() {
        if !text.is_empty() {
            text.push('.');
        }
        for &byte in label {
            match byte {
                b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'*' => text.push(char::from(byte)),
                _ => write!(text, "\\{byte:03}").expect("a String takes any text"),
            }
        }
    }
    DnsName::from_query(text)
}

/// A name of our own data as hickory's.
pub(crate) fn wire_name(name: &DnsName) -> Option<Name> {
    let mut wire = Name::new();
    for label in name.as_str().split('.').filter(|label| !label.is_empty()) {
        wire = wire.append_label(label.as_bytes()).ok()?;
    }
    wire.set_fqdn(true);
    Some(wire)
}

/// A record of our own data as hickory's.
pub(crate) fn wire_record(record: &AnswerRecord) -> Option<Record> {
    let owner = wire_name(&record.name)?;
    Some(Record::from_rdata(owner, seconds(record.ttl), data(&record.data)?))
}

/// Makes records of answers to one question.
pub(crate) struct Records<'a> {
    /// The question's name, which may hold bytes that the core's escaped.
    pub(crate) asked: &'a Name,
    pub(crate) asked_core: &'a DnsName,
}

impl Records<'_> {
    /// Makes the records; `None` when one cannot be expressed, which declared data always can.
    pub(crate) fn of(&self, records: &[AnswerRecord]) -> Option<Vec<Record>> {
        records.iter().map(|record| self.record(record)).collect()
    }

    fn record(&self, record: &AnswerRecord) -> Option<Record> {
        let mut made = wire_record(record)?;
        if record.name == *self.asked_core {
            made.name = self.asked.clone();
        }
        Some(made)
    }
}

fn data(data: &AnswerData) -> Option<RData> {
    Some(match data {
        AnswerData::Record(RecordData::A(address)) => RData::A(A(*address)),
        AnswerData::Record(RecordData::Aaaa(address)) => RData::AAAA(AAAA(*address)),
        AnswerData::Record(RecordData::Cname(target)) => RData::CNAME(CNAME(wire_name(target)?)),
        AnswerData::Record(RecordData::Ns(server)) => RData::NS(NS(wire_name(server)?)),
        AnswerData::Record(RecordData::Txt(texts)) => {
            RData::TXT(TXT::from_bytes(texts.iter().map(String::as_bytes).collect()))
        }
        AnswerData::Record(RecordData::Srv { priority, weight, port, target }) => {
            RData::SRV(SRV::new(*priority, *weight, *port, wire_name(target)?))
        }
        AnswerData::Soa { primary, soa, serial, minimum } => RData::SOA(SOA::new(
            wire_name(primary)?,
            wire_name(&soa.mailbox)?,
            *serial,
            signed(soa.refresh),
            signed(soa.retry),
            signed(soa.expire),
            seconds(*minimum),
        )),
    })
}

/// A time on the wire.
pub(crate) fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(MAX_SECONDS).min(MAX_SECONDS)
}

fn signed(duration: Duration) -> i32 {
    i32::try_from(duration.as_secs()).unwrap_or(i32::MAX)
}

/// At most how many bytes the records take, whatever can be compressed.
pub(crate) fn room_of(records: &[AnswerRecord], asked: &DnsName) -> usize {
    records.iter().map(|record| room_of_one(record, asked)).sum()
}

fn room_of_one(record: &AnswerRecord, asked: &DnsName) -> usize {
    let name = |name: &DnsName| name.as_str().len() + 2;
    let owner = if record.name == *asked { 2 } else { name(&record.name) };
    let data = match &record.data {
        AnswerData::Record(RecordData::A(_)) => 4,
        AnswerData::Record(RecordData::Aaaa(_)) => 16,
        AnswerData::Record(RecordData::Cname(target) | RecordData::Ns(target)) => name(target),
        AnswerData::Record(RecordData::Srv { target, .. }) => 6 + name(target),
        AnswerData::Record(RecordData::Txt(texts)) => texts.iter().map(|text| text.len() + 1).sum(),
        AnswerData::Soa { primary, soa, .. } => 20 + name(primary) + name(&soa.mailbox),
    };
    owner + 10 + data
}
