//! From the core's records to hickory's, and from hickory's names to the core's.
//!
//! A label off the wire may hold any byte, a dot too. Bytes that our own names cannot hold are escaped (`\046`), so
//! that no query can look up another name than its labels spell.

use std::fmt::Write as _;
use std::time::Duration;

use hickory_proto::rr::rdata::{A, AAAA, CNAME, MX, NS, NULL, PTR, SOA, SRV, TXT};
use hickory_proto::rr::{LowerName, Name, RData, Record, RecordType};
use holdfast_core::DnsName;
use holdfast_core::answer::{AnswerData, AnswerRecord};
use holdfast_core::presentation::unescaped;
use holdfast_core::spec::{Binding, RecordData};

/// The largest TTL (RFC 2181, 8), and the largest time that hickory's SOA holds.
const MAX_SECONDS: u32 = i32::MAX as u32;

/// The name of a question as the core's, to look it up.
pub(crate) fn core_name(name: &LowerName) -> DnsName {
    core_name_of(name.len(), name.iter())
}

/// The core's form of these labels, which have this length together; bytes that are none of ours stand escaped.
pub(crate) fn core_name_of<'a>(length: usize, labels: impl Iterator<Item = &'a [u8]>) -> DnsName {
    let mut text = String::with_capacity(length);
    for label in labels {
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

/// A name of our own data, or one made of a question's, as hickory's.
pub(crate) fn wire_name(name: &DnsName) -> Option<Name> {
    let mut wire = Name::new();
    for label in name.as_str().split('.').filter(|label| !label.is_empty()) {
        wire = match label.contains('\\') {
            true => wire.append_label(&*unescaped(label.as_bytes()).ok()?).ok()?,
            false => wire.append_label(label.as_bytes()).ok()?,
        };
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
        AnswerData::Record(data) => declared(data)?,
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

fn declared(data: &RecordData) -> Option<RData> {
    Some(match data {
        RecordData::A(address) => RData::A(A(*address)),
        RecordData::Aaaa(address) => RData::AAAA(AAAA(*address)),
        RecordData::Cname(target) => RData::CNAME(CNAME(wire_name(target)?)),
        RecordData::Ns(server) => RData::NS(NS(wire_name(server)?)),
        RecordData::Ptr(name) => RData::PTR(PTR(wire_name(name)?)),
        RecordData::Mx { preference, exchange } => {
            RData::MX(MX::new(*preference, wire_name(exchange)?))
        }
        RecordData::Txt(texts) => {
            RData::TXT(TXT::from_bytes(texts.iter().map(Vec::as_slice).collect()))
        }
        RecordData::Srv { priority, weight, port, target } => {
            RData::SRV(SRV::new(*priority, *weight, *port, wire_name(target)?))
        }
        other => {
            let rdata = NULL::with(uncompressed(other)?);
            RData::Unknown { code: RecordType::from(other.kind().0), rdata }
        }
    })
}

/// The data of types in which no name is compressed (RFC 3597, 4). `None` for an alias, which never goes out.
pub(crate) fn uncompressed(data: &RecordData) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(data.wire_len());
    match data {
        RecordData::Caa { flags, tag, value } => {
            out.extend([*flags, u8::try_from(tag.len()).ok()?]);
            out.extend_from_slice(tag.as_bytes());
            out.extend_from_slice(value);
        }
        RecordData::Svcb(binding) | RecordData::Https(binding) => push_binding(binding, &mut out)?,
        RecordData::Dname(target) => out = target.to_wire(),
        RecordData::Ds { key_tag, algorithm, digest_type, digest } => {
            out.extend(key_tag.to_be_bytes());
            out.extend([*algorithm, *digest_type]);
            out.extend_from_slice(digest);
        }
        RecordData::Other { data, .. } => out.extend_from_slice(data),
        _ => return None,
    }
    Some(out)
}

fn push_binding(binding: &Binding, out: &mut Vec<u8>) -> Option<()> {
    out.extend(binding.priority.to_be_bytes());
    out.extend(binding.target.to_wire());
    for (key, value) in &binding.params.0 {
        out.extend(key.0.to_be_bytes());
        out.extend(u16::try_from(value.len()).ok()?.to_be_bytes());
        out.extend_from_slice(value);
    }
    Some(())
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
        AnswerData::Record(data) => data.wire_len(),
        AnswerData::Soa { primary, soa, .. } => 20 + name(primary) + name(&soa.mailbox),
    };
    owner + 10 + data
}
