//! The records of a message as the core's own: what an incoming transfer is made of.
//!
//! Invariant: total on any bytes, and no name or data pass that a declaration could not hold; those are faults that name
//! the record. Names in the data of types that may compress them (RFC 1035, 3.3; RFC 3597, 4) are written out.

use std::time::Duration;

use hickory_proto::rr::{LowerName, Name};
use hickory_proto::serialize::binary::{BinDecodable as _, BinDecoder};
use holdfast_core::DnsName;
use holdfast_core::spec::{Binding, Kind, RecordData, Soa, SvcKey, SvcParams};

use crate::limits::HEADER;
use crate::record::core_name;

/// The longest TTL that is kept; longer ones are cut.
const LONGEST_TTL: u32 = 86_400;
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

/// Reads a message from its begin; each part must be taken in order.
#[derive(Debug, Clone)]
pub(super) struct Reader<'a> {
    message: &'a [u8],
    at: usize,
}

fn cut() -> Fault {
    Fault("the message ends too early".to_owned())
}

impl<'a> Reader<'a> {
    /// A reader behind the header; `None` where there is no whole header or the message is longer than any is.
    pub(super) fn new(message: &'a [u8]) -> Option<Self> {
        let whole = (HEADER..=usize::from(u16::MAX)).contains(&message.len());
        whole.then_some(Self { message, at: HEADER })
    }

    /// Name, type and class of a question.
    pub(super) fn question(&mut self) -> Result<(DnsName, u16, u16), Fault> {
        Ok((self.query_name()?, self.u16()?, self.u16()?))
    }

    /// The next record.
    pub(super) fn row(&mut self) -> Result<Row, Fault> {
        let owner = self.query_name()?;
        let (kind, class) = (Kind(self.u16()?), self.u16()?);
        // A TTL with its first bit set is 0 (RFC 2181, 8).
        let ttl = i32::from_be_bytes(self.array()?).max(0).cast_unsigned().min(LONGEST_TTL);
        let length = usize::from(self.u16()?);
        let end = self.at + length;
        let whole = self.message.get(..end).ok_or_else(cut)?;
        let mut data = Reader { message: whole, at: self.at };
        self.at = end;
        let told = |fault: Fault| Fault(format!("{owner} {kind}: {fault}"));
        if class != CLASS_IN {
            return Err(told(Fault(format!("class {class} is not IN"))));
        }
        let name = holdable(&owner).map_err(told)?;
        let found = data.data(kind).map_err(told)?;
        if data.at != end {
            return Err(told(Fault("its data are longer than they should be".to_owned())));
        }
        Ok(Row { name, ttl: Duration::from_secs(u64::from(ttl)), data: found })
    }

    fn data(&mut self, kind: Kind) -> Result<RowData, Fault> {
        let record = match kind {
            Kind::SOA => return self.start().map(RowData::Start),
            Kind::A => RecordData::A(self.array::<4>()?.into()),
            Kind::AAAA => RecordData::Aaaa(self.array::<16>()?.into()),
            Kind::NS => RecordData::Ns(self.name()?),
            Kind::CNAME => RecordData::Cname(self.name()?),
            Kind::PTR => RecordData::Ptr(self.name()?),
            Kind::DNAME => RecordData::Dname(self.name()?),
            Kind::MX => RecordData::Mx { preference: self.u16()?, exchange: self.name()? },
            Kind::SRV => RecordData::Srv {
                priority: self.u16()?,
                weight: self.u16()?,
                port: self.u16()?,
                target: self.name()?,
            },
            Kind::TXT => RecordData::Txt(self.texts()?),
            Kind::CAA => self.caa()?,
            Kind::DS => RecordData::Ds {
                key_tag: self.u16()?,
                algorithm: self.u8()?,
                digest_type: self.u8()?,
                digest: self.rest().to_vec(),
            },
            Kind::SVCB => RecordData::Svcb(self.binding()?),
            Kind::HTTPS => RecordData::Https(self.binding()?),
            _ => RecordData::Other { kind, data: self.other(kind)? },
        };
        record.validate().map_err(Fault)?;
        Ok(RowData::Record(record))
    }

    fn start(&mut self) -> Result<Start, Fault> {
        let (mname, mailbox) = (self.name()?, self.mailbox()?);
        let serial = u32::from_be_bytes(self.array()?);
        let mut time = || -> Result<Duration, Fault> {
            Ok(Duration::from_secs(u64::from(u32::from_be_bytes(self.array()?))))
        };
        let (refresh, retry, expire, negative_ttl) = (time()?, time()?, time()?, time()?);
        Ok(Start { mname, serial, soa: Soa { mailbox, refresh, retry, expire, negative_ttl } })
    }

    /// A mailbox may have a dot in its first label, which our names cannot hold; it is told as the root then.
    fn mailbox(&mut self) -> Result<DnsName, Fault> {
        let name = self.query_name()?;
        Ok(holdable(&name).unwrap_or_else(|_| DnsName::root()))
    }

    fn texts(&mut self) -> Result<Vec<Vec<u8>>, Fault> {
        let mut texts = Vec::new();
        while self.at < self.message.len() {
            texts.push(self.text()?.to_vec());
        }
        Ok(texts)
    }

    fn caa(&mut self) -> Result<RecordData, Fault> {
        let flags = self.u8()?;
        let tag = String::from_utf8_lossy(self.text()?).into_owned();
        Ok(RecordData::Caa { flags, tag, value: self.rest().to_vec() })
    }

    fn binding(&mut self) -> Result<Binding, Fault> {
        let (priority, target) = (self.u16()?, self.name()?);
        let mut params = Vec::new();
        while self.at < self.message.len() {
            let key = SvcKey(self.u16()?);
            let length = usize::from(self.u16()?);
            params.push((key, self.take(length)?.to_vec()));
        }
        Ok(Binding { priority, target, params: SvcParams(params) })
    }

    /// Data of a type without a shape of its own; names in it that may be compressed are written out.
    fn other(&mut self, kind: Kind) -> Result<Vec<u8>, Fault> {
        let (bytes, texts, names) = match kind.0 {
            // MD, MF, MB, MG, MR
            3 | 4 | 7..=9 => (0, 0, 1),
            // MINFO, RP
            14 | 17 => (0, 0, 2),
            // AFSDB, RT, KX
            18 | 21 | 36 => (2, 0, 1),
            // PX
            26 => (2, 0, 2),
            // NAPTR
            35 => (4, 3, 1),
            _ => return Ok(self.rest().to_vec()),
        };
        let begin = self.at;
        self.take(bytes)?;
        for _ in 0..texts {
            self.text()?;
        }
        let mut data = self.message[begin..self.at].to_vec();
        for _ in 0..names {
            for label in &self.wire_name()? {
                // A label has at most 63 bytes.
                data.push(label.len() as u8);
                data.extend_from_slice(label);
            }
            data.push(0);
        }
        Ok(data)
    }

    /// A name that our own data can hold.
    fn name(&mut self) -> Result<DnsName, Fault> {
        holdable(&self.query_name()?)
    }

    fn query_name(&mut self) -> Result<DnsName, Fault> {
        Ok(core_name(&LowerName::from(self.wire_name()?)))
    }

    fn wire_name(&mut self) -> Result<Name, Fault> {
        let at = u16::try_from(self.at).map_err(|_| cut())?;
        let mut decoder = BinDecoder::new(self.message).clone(at);
        let name = Name::read(&mut decoder).map_err(|error| Fault(error.to_string()))?;
        self.at = decoder.index();
        Ok(name)
    }

    fn text(&mut self) -> Result<&'a [u8], Fault> {
        let length = usize::from(self.u8()?);
        self.take(length)
    }

    fn rest(&mut self) -> &'a [u8] {
        let rest = &self.message[self.at.min(self.message.len())..];
        self.at = self.message.len();
        rest
    }

    fn u8(&mut self) -> Result<u8, Fault> {
        self.array().map(|[byte]: [u8; 1]| byte)
    }

    fn u16(&mut self) -> Result<u16, Fault> {
        self.array().map(u16::from_be_bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        self.take(N)?.first_chunk().copied().ok_or_else(cut)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        let taken = self.message.get(self.at..self.at + count).ok_or_else(cut)?;
        self.at += count;
        Ok(taken)
    }
}

/// The name as one of our own data. Errors: it has bytes that those cannot hold.
fn holdable(name: &DnsName) -> Result<DnsName, Fault> {
    if name.is_root() {
        return Ok(DnsName::root());
    }
    DnsName::new(name.as_str()).map_err(|error| Fault(error.to_string()))
}
