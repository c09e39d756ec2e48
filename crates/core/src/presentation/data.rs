//! The data of records, both ways.

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use data_encoding::{HEXLOWER_PERMISSIVE, HEXUPPER};

use super::words::{Lines, Word};
use super::{absolute, escaped, parse_name, svcb, unescaped};
use crate::name::DnsName;
use crate::spec::{Binding, Kind, RecordData};

/// Reads data of types that have no shape of their own in core: TLSA, SSHFP, NAPTR and so on.
pub trait OtherTypes {
    /// The data as they stand on the wire. Errors: what is wrong, and what would be right.
    fn wire(&self, kind: Kind, text: &str, origin: Option<&DnsName>) -> Result<Vec<u8>, String>;
}

/// Knows no further type; `\# 4 c0000201` (RFC 3597) is read in any case.
#[derive(Debug, Clone, Copy)]
pub struct NoOtherTypes;

impl OtherTypes for NoOtherTypes {
    fn wire(&self, kind: Kind, _: &str, _: Option<&DnsName>) -> Result<Vec<u8>, String> {
        Err(format!("write data of type {kind} as \\# LENGTH HEX (RFC 3597)"))
    }
}

/// Reads the data of one record; relative names lie below `origin`. Errors: what is wrong, and what would be right.
pub fn parse_data(
    kind: Kind,
    text: &str,
    origin: Option<&DnsName>,
    others: &dyn OtherTypes,
) -> Result<RecordData, String> {
    let mut lines = Lines::new(text.as_bytes());
    let line = lines.next_line().map_err(|fault| fault.problem)?;
    if lines.next_line().map_err(|fault| fault.problem)?.is_some() {
        return Err("data of one record stand in one line".to_string());
    }
    let words = line.map(|line| line.words).unwrap_or_default();
    parse(kind, &words, origin, others)
}

/// Reads the data of one record from its words.
pub(super) fn parse(
    kind: Kind,
    words: &[Word],
    origin: Option<&DnsName>,
    others: &dyn OtherTypes,
) -> Result<RecordData, String> {
    let data = match words {
        [first, rest @ ..] if first.raw == b"\\#" && !first.quoted => generic(kind, rest)?,
        _ => {
            let mut fields = Fields { words: words.iter(), origin };
            let data = fields.data(kind, others)?;
            if fields.words.next().is_some() {
                return Err(format!("there is more than the data of one {kind} record"));
            }
            data
        }
    };
    data.validate()?;
    Ok(data)
}

/// RFC 3597, 5: `\# LENGTH HEX…`.
fn generic(kind: Kind, words: &[Word]) -> Result<RecordData, String> {
    let (length, hex) = words.split_first().ok_or("a length and hexadecimal digits follow \\#")?;
    let length: usize = number(length, "length")?;
    let data = hex_of(hex.iter())?;
    if data.len() != length {
        return Err(format!("\\# announces {length} bytes, and {} follow", data.len()));
    }
    match (kind, &*data) {
        (Kind::A, _) => data.try_into().map(|a: [u8; 4]| RecordData::A(a.into())).ok(),
        (Kind::AAAA, _) => data.try_into().map(|a: [u8; 16]| RecordData::Aaaa(a.into())).ok(),
        _ => Some(RecordData::Other { kind, data }),
    }
    .ok_or_else(|| format!("{kind} data have another length"))
}

fn hex_of<'a>(words: impl Iterator<Item = &'a Word>) -> Result<Vec<u8>, String> {
    let digits: Vec<u8> = words.flat_map(|word| word.raw.iter().copied()).collect();
    HEXLOWER_PERMISSIVE.decode(&digits).map_err(|error| format!("hexadecimal digits: {error}"))
}

fn number<T: FromStr>(word: &Word, what: &str) -> Result<T, String> {
    let text = core::str::from_utf8(&word.raw).ok().filter(|text| !text.starts_with('+'));
    text.and_then(|text| text.parse().ok())
        .ok_or_else(|| format!("{:?} is no {what}", escaped(&word.raw)))
}

/// The words of a record's data, taken one after the other.
struct Fields<'a> {
    words: core::slice::Iter<'a, Word>,
    origin: Option<&'a DnsName>,
}

impl Fields<'_> {
    fn data(&mut self, kind: Kind, others: &dyn OtherTypes) -> Result<RecordData, String> {
        Ok(match kind {
            Kind::A => RecordData::A(self.number("IPv4 address")?),
            Kind::AAAA => RecordData::Aaaa(self.number("IPv6 address")?),
            Kind::CNAME => RecordData::Cname(self.name("target")?),
            Kind::NS => RecordData::Ns(self.name("name server")?),
            Kind::PTR => RecordData::Ptr(self.name("name")?),
            Kind::DNAME => RecordData::Dname(self.name("target")?),
            Kind::ALIAS => RecordData::Alias(self.name("target")?),
            Kind::MX => RecordData::Mx {
                preference: self.number("preference")?,
                exchange: self.name("mail exchange")?,
            },
            Kind::SRV => RecordData::Srv {
                priority: self.number("priority")?,
                weight: self.number("weight")?,
                port: self.number("port")?,
                target: self.name("target")?,
            },
            Kind::TXT => RecordData::Txt(self.texts()?),
            Kind::CAA => RecordData::Caa {
                flags: self.number("number of flags")?,
                tag: String::from_utf8_lossy(&self.word("tag")?.raw).to_ascii_lowercase(),
                value: unescaped(&self.word("value")?.raw)?,
            },
            Kind::DS => RecordData::Ds {
                key_tag: self.number("key tag")?,
                algorithm: self.number("algorithm")?,
                digest_type: self.number("digest type")?,
                digest: hex_of(self.words.by_ref())?,
            },
            Kind::SVCB => RecordData::Svcb(self.binding()?),
            Kind::HTTPS => RecordData::Https(self.binding()?),
            kind => {
                RecordData::Other { kind, data: others.wire(kind, &self.rest()?, self.origin)? }
            }
        })
    }

    fn word(&mut self, what: &str) -> Result<&Word, String> {
        self.words.next().ok_or_else(|| format!("the {what} is missing"))
    }

    fn number<T: FromStr>(&mut self, what: &str) -> Result<T, String> {
        number(self.word(what)?, what)
    }

    fn name(&mut self, what: &str) -> Result<DnsName, String> {
        let origin = self.origin;
        parse_name(&self.word(what)?.raw, origin)
    }

    fn texts(&mut self) -> Result<Vec<Vec<u8>>, String> {
        self.words.by_ref().map(|word| unescaped(&word.raw)).collect()
    }

    fn binding(&mut self) -> Result<Binding, String> {
        let (priority, target) = (self.number("priority")?, self.name("target")?);
        let params = svcb::parse(self.words.by_ref().map(|word| &*word.raw))?;
        Ok(Binding { priority, target, params })
    }

    /// What is left, as text.
    fn rest(&mut self) -> Result<String, String> {
        let mut text = String::new();
        for word in self.words.by_ref() {
            let raw = core::str::from_utf8(&word.raw)
                .map_err(|_| "bytes beyond ASCII are written \\DDD")?;
            let quote = if word.quoted { "\"" } else { "" };
            text.extend([quote, raw, quote, " "]);
        }
        text.pop();
        Ok(text)
    }
}

impl fmt::Display for RecordData {
    /// The data in presentation form, names with their final dot; those of [`RecordData::Other`] as RFC 3597 says.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::A(ip) => write!(f, "{ip}"),
            Self::Aaaa(ip) => write!(f, "{ip}"),
            Self::Cname(name)
            | Self::Ns(name)
            | Self::Ptr(name)
            | Self::Alias(name)
            | Self::Dname(name) => f.write_str(&absolute(name)),
            Self::Srv { priority, weight, port, target } => {
                write!(f, "{priority} {weight} {port} {}", absolute(target))
            }
            Self::Mx { preference, exchange } => write!(f, "{preference} {}", absolute(exchange)),
            Self::Txt(texts) => {
                let quoted = texts.iter().map(|text| format!("\"{}\"", escaped(text)));
                f.write_str(&quoted.collect::<Vec<_>>().join(" "))
            }
            Self::Caa { flags, tag, value } => write!(f, "{flags} {tag} \"{}\"", escaped(value)),
            Self::Ds { key_tag, algorithm, digest_type, digest } => {
                write!(f, "{key_tag} {algorithm} {digest_type} {}", HEXUPPER.encode(digest))
            }
            Self::Svcb(binding) | Self::Https(binding) => {
                let blank = if binding.params.0.is_empty() { "" } else { " " };
                let target = absolute(&binding.target);
                write!(f, "{} {target}{blank}{}", binding.priority, binding.params)
            }
            Self::Other { data, .. } if data.is_empty() => f.write_str("\\# 0"),
            Self::Other { data, .. } => write!(f, "\\# {} {}", data.len(), HEXUPPER.encode(data)),
        }
    }
}
