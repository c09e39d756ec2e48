//! Finds the TSIG record of a message: the last of the additional section, alone of its kind (RFC 8945, 5.1).

use hickory_proto::rr::{LowerName, Name};
use hickory_proto::serialize::binary::{BinDecodable as _, BinDecoder};
use holdfast_core::DnsName;

use super::TYPE;
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
    let walk = Walk { message, at: HEADER };
    match walk.find() {
        None => Found::Malformed,
        Some(None) => Found::Nothing,
        Some(Some(tsig)) => Found::Signed(tsig),
    }
}

/// The most bytes of a name (RFC 1035, 3.1).
const MAX_NAME: usize = 255;

struct Walk<'a> {
    message: &'a [u8],
    at: usize,
}

impl<'a> Walk<'a> {
    fn find(mut self) -> Option<Option<Tsig<'a>>> {
        let message = self.message;
        let count = |place: usize| {
            message.get(place * 2..place * 2 + 2)?.first_chunk().copied().map(u16::from_be_bytes)
        };
        for _ in 0..count(2)? {
            self.skip_name()?;
            self.take(4)?;
        }
        for _ in 0..u32::from(count(3)?) + u32::from(count(4)?) {
            if self.record()?.0 == TYPE {
                return None;
            }
        }
        let additional = count(5)?;
        for number in 1..=additional {
            let begin = self.at;
            let (kind, class, data_at) = self.record()?;
            if kind != TYPE {
                continue;
            }
            let last = number == additional && self.at == message.len();
            return Some(Some(self.read(begin, data_at).filter(|_| last && class == 255)?));
        }
        Some(None)
    }

    /// Steps over a record; its type, its class and where its data begin.
    fn record(&mut self) -> Option<(u16, u16, usize)> {
        self.skip_name()?;
        let (kind, class) = (self.u16()?, self.u16()?);
        self.take(4)?;
        let length = self.u16()?;
        let data_at = self.at;
        self.take(usize::from(length))?;
        Some((kind, class, data_at))
    }

    fn read(&self, at: usize, data_at: usize) -> Option<Tsig<'a>> {
        let end = self.at;
        let mut data = Walk { message: self.message.get(..end)?, at: data_at };
        let algorithm = data.plain_name()?;
        let [high, low] = [data.u16()?, data.u16()?];
        let time = u64::from(high) << 32 | u64::from(low) << 16 | u64::from(data.u16()?);
        let fudge = data.u16()?;
        let length = data.u16()?;
        let mac = data.take(usize::from(length))?;
        let (original_id, error, length) = (data.u16()?, data.u16()?, data.u16()?);
        let other = data.take(usize::from(length))?;
        let key = self.key_name(at)?;
        (data.at == end).then_some(Tsig {
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
        let mut decoder = BinDecoder::new(self.message).clone(at);
        Some(core_name(&LowerName::from(Name::read(&mut decoder).ok()?)))
    }

    /// A name that must not be compressed, in lower case.
    fn plain_name(&mut self) -> Option<Vec<u8>> {
        let begin = self.at;
        loop {
            let length = *self.take(1)?.first()?;
            match length {
                0 => {
                    let name = &self.message[begin..self.at];
                    return (name.len() <= MAX_NAME).then(|| name.to_ascii_lowercase());
                }
                1..=63 => self.take(usize::from(length)).map(drop)?,
                _ => return None,
            }
        }
    }

    fn skip_name(&mut self) -> Option<()> {
        loop {
            let length = *self.take(1)?.first()?;
            match length & 0xc0 {
                0 if length == 0 => return Some(()),
                0 => self.take(usize::from(length)).map(drop)?,
                0xc0 => return self.take(1).map(drop),
                _ => return None,
            }
        }
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2)?.first_chunk().copied().map(u16::from_be_bytes)
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let taken = self.message.get(self.at..self.at + count)?;
        self.at += count;
        Some(taken)
    }
}
