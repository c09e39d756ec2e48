//! The records of a message as the core's own: what an incoming transfer is made of.
//!
//! Invariant: total on any bytes, and no name or data pass that a declaration could not hold; those are faults that name
//! the record. Names in the data of types that may compress them (RFC 1035, 3.3; RFC 3597, 4) are written out.

use std::time::Duration;

use hickory_proto::rr::{LowerName, Name};
use hickory_proto::serialize::binary::{BinDecodable as _, BinDecoder};
use holdfast_core::DnsName;
use holdfast_core::spec::{Kind, LONGEST_TTL, RecordData, Soa};

use crate::limits::HEADER;
use crate::rdata::{Reader, Unread, record_data};
use crate::record::core_name;

const CLASS_IN: u16 = 1;

/// Why bytes are no record that can be held.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Fault(pub(super) String);

/// A record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// Its owner.
    pub(super) name: DnsName,
    /// Its TTL; at most a day.
    pub(super) ttl: Duration,
    /// Its data.
    pub(super) data: RowData,
}

/// The data of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RowData {
    /// A start of authority.
    Start(Start),
    /// Anything else.
    Record(RecordData),
}

/// The data of an SOA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Start {
    /// The MNAME.
    pub(super) mname: DnsName,
    /// The serial.
    pub(super) serial: u32,
    /// The other fields.
    pub(super) soa: Soa,
}

/// Reads a message behind its header; each part must be taken in order.
#[derive(Debug, Clone)]
pub(super) struct Rows<'a> {
    message: &'a [u8],
    rest: Reader<'a>,
}

impl From<Unread> for Fault {
    fn from(unread: Unread) -> Self {
        let why = match unread {
            Unread::Malformed => "it ends too early, or its data are not those of its type",
            Unread::Unheld => "it is obsolete, or a name in it has other bytes than a-z 0-9 - _ *",
        };
        Self(why.to_owned())
    }
}

impl<'a> Rows<'a> {
    /// `None` where there is no whole header or the message is longer than any is.
    pub(super) fn of(message: &'a [u8]) -> Option<Self> {
        let whole = (HEADER..=usize::from(u16::MAX)).contains(&message.len());
        whole.then(|| Self { message, rest: Reader::new(message, HEADER) })
    }

    /// Name, type and class of a question.
    pub(super) fn question(&mut self) -> Result<(DnsName, u16, u16), Fault> {
        Ok((self.rest.name()?, self.rest.u16()?, self.rest.u16()?))
    }

    /// The next record.
    pub(super) fn next(&mut self) -> Result<Row, Fault> {
        let begin = self.rest.at();
        let name = self.rest.name();
        if name == Err(Unread::Malformed) {
            return Err(Unread::Malformed.into());
        }
        let (kind, class) = (Kind(self.rest.u16()?), self.rest.u16()?);
        // A TTL with its first bit set is 0 (RFC 2181, 8).
        let ttl = self.rest.u32()?.cast_signed().max(0).cast_unsigned();
        let ttl = Duration::from_secs(ttl.into()).min(LONGEST_TTL);
        let length = self.rest.u16()?;
        let data = self.rest.part(length.into())?;
        let told = |why: Fault| match name_at(self.message, begin) {
            Ok(owner) => Fault(format!("{} {kind}: {why}", core_name(&LowerName::from(&owner)))),
            Err(fault) => fault,
        };
        if class != CLASS_IN {
            return Err(told(Fault(format!("class {class} is not IN"))));
        }
        let name = name.map_err(|unread| told(unread.into()))?;
        let data = row_data(kind, data, self.message).map_err(told)?;
        Ok(Row { name, ttl, data })
    }
}

fn row_data(kind: Kind, data: Reader<'_>, message: &[u8]) -> Result<RowData, Fault> {
    let record = match kind {
        Kind::SOA => return start(data).map(RowData::Start),
        _ => match spelled_out(kind, data, message)? {
            Some(data) => RecordData::Other { kind, data },
            None => record_data(kind, data)?,
        },
    };
    record.validate().map_err(Fault)?;
    Ok(RowData::Record(record))
}

fn start(mut data: Reader<'_>) -> Result<Start, Fault> {
    let mname = data.name()?;
    // A mailbox may have a dot in its first label, which our names cannot hold; it is told as the root then.
    let mailbox = match data.name() {
        Err(Unread::Unheld) => DnsName::root(),
        name => name?,
    };
    let serial = data.u32()?;
    let mut time = || -> Result<Duration, Fault> { Ok(Duration::from_secs(data.u32()?.into())) };
    let (refresh, retry, expire, negative_ttl) = (time()?, time()?, time()?, time()?);
    match data.is_empty() {
        true => {
            Ok(Start { mname, serial, soa: Soa { mailbox, refresh, retry, expire, negative_ttl } })
        }
        false => Err(Unread::Malformed.into()),
    }
}

/// The data of a type that is held as bytes, and whose names old servers compress (RFC 3597, 4): with its names written out.
fn spelled_out(kind: Kind, mut data: Reader<'_>, message: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
    let (bytes, texts, names) = match kind.0 {
        // RP
        17 => (0, 0, 2),
        // AFSDB, RT, KX
        18 | 21 | 36 => (2, 0, 1),
        // PX
        26 => (2, 0, 2),
        // NAPTR
        35 => (4, 3, 1),
        _ => return Ok(None),
    };
    let begin = data.at();
    data.take(bytes)?;
    for _ in 0..texts {
        let length = data.u8()?;
        data.take(length.into())?;
    }
    let mut spelled = message.get(begin..data.at()).unwrap_or_default().to_vec();
    for _ in 0..names {
        let name = name_at(message, data.at())?;
        if data.name() == Err(Unread::Malformed) {
            return Err(Unread::Malformed.into());
        }
        for label in &name {
            // A label has at most 63 bytes.
            spelled.push(label.len() as u8);
            spelled.extend_from_slice(label);
        }
        spelled.push(0);
    }
    if data.is_empty() { Ok(Some(spelled)) } else { Err(Unread::Malformed.into()) }
}

/// The name that begins here, whatever its bytes.
fn name_at(message: &[u8], at: usize) -> Result<Name, Fault> {
    let at = u16::try_from(at).map_err(|_| Fault::from(Unread::Malformed))?;
    let mut decoder = BinDecoder::new(message).clone(at);
    Name::read(&mut decoder).map_err(|error| Fault(error.to_string()))
}
