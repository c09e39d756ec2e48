//! Finds the TSIG record of a message: the last of the additional section, alone of its kind (RFC 8945, 5.1).

use hickory_proto::rr::{LowerName, Name};
use hickory_proto::serialize::binary::{BinDecodable as _, BinDecoder};
use holdfast_core::DnsName;

use super::TYPE;
use crate::cursor::Cursor;
use crate::limits::HEADER;
use crate::record::core_name;

/// A TSIG record as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tsig<'a> {
    /// Where in the message it begins.
    pub(crate) at: usize,
    pub(crate) key: DnsName,
    /// In wire form and lower case.
    pub(crate) algorithm: Vec<u8>,
    /// Seconds since 1970; 48 bits.
    pub(crate) time: u64,
    pub(crate) fudge: u16,
    pub(crate) mac: &'a [u8],
    pub(crate) original_id: u16,
    pub(crate) error: u16,
    pub(crate) other: &'a [u8],
}

/// Whether a message is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found<'a> {
    /// It is not.
    Nothing,
    /// It is, with this record.
    Signed(Tsig<'a>),
    /// The message ends too early, or the record is not where or what it must be.
    Malformed,
}

/// Looks for the record.
pub(crate) fn find(message: &[u8]) -> Found<'_> {
    let walk = Walk(Cursor::new(message, HEADER));
    match walk.find() {
        None => Found::Malformed,
        Some(None) => Found::Nothing,
        Some(Some(tsig)) => Found::Signed(tsig),
    }
}

struct Walk<'a>(Cursor<'a>);

impl<'a> Walk<'a> {
    fn find(mut self) -> Option<Option<Tsig<'a>>> {
        let message = self.0.message();
        let count = |place: usize| {
            message.get(place * 2..place * 2 + 2)?.first_chunk().copied().map(u16::from_be_bytes)
        };
        for _ in 0..count(2)? {
            self.0.skip_name()?;
            self.0.take(4)?;
        }
        for _ in 0..u32::from(count(3)?) + u32::from(count(4)?) {
            if self.record()?.0 == TYPE {
                return None;
            }
        }
        let additional = count(5)?;
        for number in 1..=additional {
            let begin = self.0.at();
            let (kind, class, data_at) = self.record()?;
            if kind != TYPE {
                continue;
            }
            let last = number == additional && self.0.is_at_end();
            return Some(Some(self.read(begin, data_at).filter(|_| last && class == 255)?));
        }
        Some(None)
    }

    /// Steps over a record; its type, its class and where its data begin.
    fn record(&mut self) -> Option<(u16, u16, usize)> {
        let Self(cursor) = self;
        cursor.skip_name()?;
        let (kind, class) = (cursor.u16()?, cursor.u16()?);
        cursor.take(4)?;
        let length = cursor.u16()?;
        let data_at = cursor.at();
        cursor.take(usize::from(length))?;
        Some((kind, class, data_at))
    }

    fn read(&self, at: usize, data_at: usize) -> Option<Tsig<'a>> {
        let mut data = Cursor::new(self.0.message().get(..self.0.at())?, data_at);
        let algorithm = data.plain_name()?.to_ascii_lowercase();
        let [high, low] = [data.u16()?, data.u16()?];
        let time = u64::from(high) << 32 | u64::from(low) << 16 | u64::from(data.u16()?);
        let fudge = data.u16()?;
        let length = data.u16()?;
        let mac = data.take(usize::from(length))?;
        let (original_id, error, length) = (data.u16()?, data.u16()?, data.u16()?);
        let other = data.take(usize::from(length))?;
        let key = self.key_name(at)?;
        data.is_at_end().then_some(Tsig {
            at,
            key,
            algorithm,
            time,
            fudge,
            mac,
            original_id,
            error,
            other,
        })
    }

    fn key_name(&self, at: usize) -> Option<DnsName> {
        let at = u16::try_from(at).ok()?;
        let mut decoder = BinDecoder::new(self.0.message()).clone(at);
        Some(core_name(&LowerName::from(Name::read(&mut decoder).ok()?)))
    }
}
