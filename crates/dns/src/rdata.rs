//! Data of records off the wire, as the group holds them.
//!
//! Names may be compressed (RFC 1035, 4.1.4) where their type is as old as compression; everything else is taken as it
//! stands (RFC 3597, 4).

use std::net::{Ipv4Addr, Ipv6Addr};

use holdfast_core::DnsName;
use holdfast_core::spec::{Binding, Kind, RecordData, SvcKey, SvcParams};

use crate::limits::MAX_NAME;

/// The most pointers of one name; more than a name has labels cannot help.
const MAX_POINTERS: usize = 128;
/// MD, MF, MB, MG, MR and MINFO: obsolete, and their names may be compressed.
const OBSOLETE: [u16; 6] = [3, 4, 7, 8, 9, 14];

/// Why something is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unread {
    /// It is not what its type or the message says.
    Malformed,
    /// It is right, and the group cannot hold it.
    Unheld,
}

/// Reads parts of a message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    message: &'a [u8],
    at: usize,
    end: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(message: &'a [u8], at: usize) -> Self {
        Self { message, at, end: message.len() }
    }

    /// How many bytes stand before it.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.at >= self.end
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], Unread> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.end);
        let taken = end.and_then(|end| self.message.get(self.at..end)).ok_or(Unread::Malformed)?;
        self.at += count;
        Ok(taken)
    }

    pub(crate) fn rest(&mut self) -> &'a [u8] {
        let rest = self.message.get(self.at..self.end).unwrap_or_default();
        self.at = self.end;
        rest
    }

    /// The next bytes as a reader of their own, whose names may still point to what stands before.
    pub(crate) fn part(&mut self, length: usize) -> Result<Self, Unread> {
        let at = self.at;
        self.take(length)?;
        Ok(Self { message: self.message, at, end: at + length })
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Unread> {
        self.take(1).map(|bytes| bytes[0])
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Unread> {
        self.take(2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Unread> {
        self.take(4).map(|bytes| u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// A name in lower case. Steps over a name that the group cannot hold.
    pub(crate) fn name(&mut self) -> Result<DnsName, Unread> {
        let (mut text, mut length, mut held) = (String::new(), 1, true);
        // Where to read on; behind the first pointer the reader itself stays.
        let mut jumped: Option<usize> = None;
        for _ in 0..MAX_NAME + MAX_POINTERS {
            let at = jumped.unwrap_or(self.at);
            let end = if jumped.is_some() { self.message.len() } else { self.end };
            let bytes = self.message.get(at..end).ok_or(Unread::Malformed)?;
            let (first, rest) = bytes.split_first().ok_or(Unread::Malformed)?;
            match first & 0xc0 {
                0xc0 => {
                    let low = rest.first().ok_or(Unread::Malformed)?;
                    let target = usize::from(first & 0x3f) << 8 | usize::from(*low);
                    if jumped.is_none() {
                        self.at += 2;
                    }
                    // Only backwards, so that every name ends.
                    jumped = Some(target).filter(|target| *target < at);
                    jumped.ok_or(Unread::Malformed)?;
                }
                0 => {
                    let label = rest.get(..usize::from(*first)).ok_or(Unread::Malformed)?;
                    match &mut jumped {
                        Some(at) => *at += 1 + label.len(),
                        None => self.at += 1 + label.len(),
                    }
                    if label.is_empty() {
                        return name_of(&text, held);
                    }
                    length += 1 + label.len();
                    held &= push_label(label, &mut text);
                }
                _ => return Err(Unread::Malformed),
            }
            if length > MAX_NAME {
                return Err(Unread::Malformed);
            }
        }
        Err(Unread::Malformed)
    }
}

fn name_of(text: &str, held: bool) -> Result<DnsName, Unread> {
    if !held {
        return Err(Unread::Unheld);
    }
    let text = if text.is_empty() { "." } else { text };
    DnsName::new(text).map_err(|_| Unread::Unheld)
}

/// Whether the label is one that our names can hold.
fn push_label(label: &[u8], text: &mut String) -> bool {
    if !text.is_empty() {
        text.push('.');
    }
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_*".contains(byte);
    let held = label.iter().all(plain);
    text.extend(label.iter().filter(|byte| plain(byte)).map(|byte| char::from(*byte)));
    held
}

/// The data of a record of this type, which are all that the reader has. Errors: they are not, or cannot be held.
pub(crate) fn record_data(kind: Kind, mut data: Reader<'_>) -> Result<RecordData, Unread> {
    let read = match kind {
        Kind::A => {
            let [a, b, c, d] = *array(&mut data)?;
            RecordData::A(Ipv4Addr::new(a, b, c, d))
        }
        Kind::AAAA => RecordData::Aaaa(Ipv6Addr::from(*array::<16>(&mut data)?)),
        Kind::CNAME => RecordData::Cname(data.name()?),
        Kind::NS => RecordData::Ns(data.name()?),
        Kind::PTR => RecordData::Ptr(data.name()?),
        Kind::DNAME => RecordData::Dname(data.name()?),
        Kind::MX => RecordData::Mx { preference: data.u16()?, exchange: data.name()? },
        Kind::SRV => RecordData::Srv {
            priority: data.u16()?,
            weight: data.u16()?,
            port: data.u16()?,
            target: data.name()?,
        },
        Kind::TXT => RecordData::Txt(texts(&mut data)?),
        Kind::CAA => {
            let flags = data.u8()?;
            let length = data.u8()?;
            let tag = String::from_utf8(data.take(length.into())?.to_vec());
            let tag = tag.map_err(|_| Unread::Malformed)?;
            RecordData::Caa { flags, tag, value: data.rest().to_vec() }
        }
        Kind::DS => RecordData::Ds {
            key_tag: data.u16()?,
            algorithm: data.u8()?,
            digest_type: data.u8()?,
            digest: data.rest().to_vec(),
        },
        Kind::SVCB => RecordData::Svcb(binding(&mut data)?),
        Kind::HTTPS => RecordData::Https(binding(&mut data)?),
        Kind(number) if OBSOLETE.contains(&number) => return Err(Unread::Unheld),
        kind => RecordData::Other { kind, data: data.rest().to_vec() },
    };
    if data.is_empty() { Ok(read) } else { Err(Unread::Malformed) }
}

fn array<'a, const N: usize>(data: &mut Reader<'a>) -> Result<&'a [u8; N], Unread> {
    data.take(N)?.first_chunk().ok_or(Unread::Malformed)
}

fn texts(data: &mut Reader<'_>) -> Result<Vec<Vec<u8>>, Unread> {
    let mut texts = Vec::new();
    while !data.is_empty() {
        let length = data.u8()?;
        texts.push(data.take(length.into())?.to_vec());
    }
    if texts.is_empty() { Err(Unread::Malformed) } else { Ok(texts) }
}

fn binding(data: &mut Reader<'_>) -> Result<Binding, Unread> {
    let (priority, target) = (data.u16()?, data.name()?);
    let mut params = Vec::new();
    while !data.is_empty() {
        let key = SvcKey(data.u16()?);
        let length = data.u16()?;
        params.push((key, data.take(length.into())?.to_vec()));
    }
    Ok(Binding { priority, target, params: SvcParams(params) })
}
