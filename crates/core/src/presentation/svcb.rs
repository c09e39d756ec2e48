//! The parameters of service bindings, both ways (RFC 9460, 2.1 and appendix A).

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

use data_encoding::BASE64;

use super::words::Lines;
use super::{escaped, unescaped};
use crate::spec::{SvcKey, SvcParams};

const NAMES: [(&str, SvcKey); 7] = [
    ("mandatory", SvcKey::MANDATORY),
    ("alpn", SvcKey::ALPN),
    ("no-default-alpn", SvcKey::NO_DEFAULT_ALPN),
    ("port", SvcKey::PORT),
    ("ipv4hint", SvcKey::IPV4_HINT),
    ("ech", SvcKey::ECH),
    ("ipv6hint", SvcKey::IPV6_HINT),
];

impl fmt::Display for SvcKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(_, key)| key == self) {
            Some((name, _)) => f.write_str(name),
            None => write!(f, "key{}", self.0),
        }
    }
}

impl FromStr for SvcKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some((_, key)) = NAMES.iter().find(|(name, _)| *name == text) {
            return Ok(*key);
        }
        let digits = text
            .strip_prefix("key")
            .filter(|digits| !digits.starts_with(['0', '+']) || *digits == "0");
        digits.and_then(|digits| digits.parse().ok()).map(Self).ok_or_else(|| {
            format!("{text:.40?} is no parameter; write its name, or key and its number")
        })
    }
}

/// Reads `key=value` words, in any order.
pub(super) fn parse<'a>(words: impl Iterator<Item = &'a [u8]>) -> Result<SvcParams, String> {
    let mut params = Vec::new();
    for word in words {
        let (key, value) = match word.iter().position(|byte| *byte == b'=') {
            Some(at) => (&word[..at], Some(&word[at + 1..])),
            None => (word, None),
        };
        let key: SvcKey = String::from_utf8_lossy(key).parse()?;
        let value = wire_value(key, value).map_err(|problem| format!("{key}: {problem}"))?;
        params.push((key, value));
    }
    params.sort_by_key(|(key, _)| *key);
    Ok(SvcParams(params))
}

fn wire_value(key: SvcKey, raw: Option<&[u8]>) -> Result<Vec<u8>, String> {
    let value = unescaped(raw.unwrap_or_default())?;
    let text = || core::str::from_utf8(&value).map_err(|_| "is not text".to_string());
    Ok(match key {
        SvcKey::MANDATORY => {
            let keys = text()?.split(',').map(SvcKey::from_str);
            let mut keys = keys.collect::<Result<Vec<_>, _>>()?;
            keys.sort();
            keys.iter().flat_map(|key| key.0.to_be_bytes()).collect()
        }
        SvcKey::ALPN => alpn(&value)?,
        SvcKey::NO_DEFAULT_ALPN if raw.is_some() => return Err("has no value".to_string()),
        SvcKey::PORT => text()?.parse::<u16>().map_err(|_| "is no port")?.to_be_bytes().to_vec(),
        SvcKey::IPV4_HINT => hints(text()?, |ip: Ipv4Addr| ip.octets())?,
        SvcKey::IPV6_HINT => hints(text()?, |ip: Ipv6Addr| ip.octets())?,
        SvcKey::ECH => BASE64.decode(&value).map_err(|error| format!("base64: {error}"))?,
        _ => value,
    })
}

fn hints<A: FromStr, const N: usize>(
    text: &str,
    octets: impl Fn(A) -> [u8; N],
) -> Result<Vec<u8>, String> {
    let address = |text: &str| text.parse().map_err(|_| format!("{text:.40?} is no address"));
    let addresses = text.split(',').map(address).collect::<Result<Vec<A>, _>>()?;
    Ok(addresses.into_iter().flat_map(octets).collect())
}

/// A list of protocols; a comma or backslash within one stands behind a backslash.
fn alpn(list: &[u8]) -> Result<Vec<u8>, String> {
    let mut protocols: Vec<Vec<u8>> = Vec::from([Vec::new()]);
    let mut bytes = list.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b',' => protocols.push(Vec::new()),
            b'\\' => protocols
                .last_mut()
                .expect("begins with one")
                .push(*bytes.next().ok_or("a backslash stands at the end")?),
            _ => protocols.last_mut().expect("begins with one").push(*byte),
        }
    }
    let mut wire = Vec::new();
    for protocol in protocols {
        let length = u8::try_from(protocol.len()).ok().filter(|length| *length > 0);
        wire.push(length.ok_or("protocols have 1 to 255 bytes")?);
        wire.extend(protocol);
    }
    Ok(wire)
}

impl fmt::Display for SvcParams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (key, value)) in self.0.iter().enumerate() {
            f.write_str(if place == 0 { "" } else { " " })?;
            match text_value(*key, value) {
                Some(text) if text.is_empty() => write!(f, "{key}")?,
                Some(text) => write!(f, "{key}={text}")?,
                None => write!(f, "key{}=\"{}\"", key.0, escaped(value))?,
            }
        }
        Ok(())
    }
}

impl FromStr for SvcParams {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let line = Lines::new(text.as_bytes()).next_line().map_err(|fault| fault.problem)?;
        let words = line.map(|line| line.words).unwrap_or_default();
        let params = parse(words.iter().map(|word| &*word.raw))?;
        params.validate()?;
        Ok(params)
    }
}

/// The value as text; `None` where it does not have the shape of its key.
fn text_value(key: SvcKey, value: &[u8]) -> Option<String> {
    let list = |items: Vec<String>| items.join(",");
    match key {
        SvcKey::MANDATORY => {
            let (keys, rest) = value.as_chunks::<2>();
            let keys = keys.iter().map(|key| SvcKey(u16::from_be_bytes(*key)).to_string());
            rest.is_empty().then(|| list(keys.collect()))
        }
        SvcKey::ALPN => alpn_text(value),
        SvcKey::NO_DEFAULT_ALPN => value.is_empty().then(String::new),
        SvcKey::PORT => Some(u16::from_be_bytes(value.try_into().ok()?).to_string()),
        SvcKey::IPV4_HINT => {
            let (hints, rest) = value.as_chunks::<4>();
            let hints = hints.iter().map(|ip| Ipv4Addr::from(*ip).to_string());
            rest.is_empty().then(|| list(hints.collect()))
        }
        SvcKey::IPV6_HINT => {
            let (hints, rest) = value.as_chunks::<16>();
            let hints = hints.iter().map(|ip| Ipv6Addr::from(*ip).to_string());
            rest.is_empty().then(|| list(hints.collect()))
        }
        SvcKey::ECH => Some(format!("\"{}\"", BASE64.encode(value))),
        _ if value.is_empty() => Some(String::new()),
        _ => Some(format!("\"{}\"", escaped(value))),
    }
}

fn alpn_text(mut value: &[u8]) -> Option<String> {
    let mut list = Vec::new();
    while let Some((length, rest)) = value.split_first() {
        let (protocol, next) = rest.split_at_checked(usize::from(*length))?;
        if !list.is_empty() {
            list.push(b',');
        }
        for byte in protocol {
            if matches!(byte, b',' | b'\\') {
                list.push(b'\\');
            }
            list.push(*byte);
        }
        value = next;
    }
    Some(format!("\"{}\"", escaped(&list)))
}
