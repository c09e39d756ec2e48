//! Presentation form: records as people write and read them (RFC 1035, 5.1; RFC 3597; RFC 9460, 2.1).
//!
//! ```text
//! bytes ─▶ words (comments, quotes, parentheses) ─▶ data of a record ─▶ zone file ($ORIGIN, $TTL, owners)
//! ```
//!
//! Pure and total: any bytes give records or a fault that names its line. What is told here is read here again, and
//! by other servers. It reads no files: `$INCLUDE` is refused. Names are those that the group can hold; one with other
//! bytes is refused by name, never changed.

mod data;
mod kind;
mod svcb;
mod words;
mod zone_file;

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt::Write as _;

pub use data::{NoOtherTypes, OtherTypes, parse_data};
pub use words::Fault;
pub use zone_file::{ZoneFile, parse_zone_file, write_zone_file};

use crate::name::DnsName;

/// Bytes as text: printable ASCII as it is, a quote or backslash behind a backslash, other bytes as `\DDD`.
pub fn escaped(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => text.extend(['\\', char::from(byte)]),
            b' '..=b'~' => text.push(char::from(byte)),
            _ => write!(text, "\\{byte:03}").expect("a String takes any text"),
        }
    }
    text
}

/// The bytes that a text with escapes stands for. Errors: an escape that is none.
pub fn unescaped(text: &[u8]) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        let (byte, length) = if byte == b'\\' { escape(&text[at + 1..])? } else { (byte, 0) };
        bytes.push(byte);
        at += 1 + length;
    }
    Ok(bytes)
}

/// The byte that what stands behind a backslash is, and how long it is.
fn escape(text: &[u8]) -> Result<(u8, usize), String> {
    match text {
        [a, b, c, ..] if [a, b, c].iter().all(|digit| digit.is_ascii_digit()) => {
            let number =
                [a, b, c].iter().fold(0u16, |sum, digit| sum * 10 + u16::from(**digit - b'0'));
            let byte =
                u8::try_from(number).map_err(|_| format!("\\{number} is more than a byte"))?;
            Ok((byte, 3))
        }
        [digit, ..] if digit.is_ascii_digit() => {
            Err("a backslash and digits are a byte in three digits, such as \\046".to_string())
        }
        [byte, ..] => Ok((*byte, 1)),
        [] => Err("a backslash stands at the end".to_string()),
    }
}

/// A name as it was written; relative names lie below `origin`, and `@` is the origin itself. Errors: a name that the
/// group cannot hold.
pub fn parse_name(text: &[u8], origin: Option<&DnsName>) -> Result<DnsName, String> {
    let shown = || String::from_utf8_lossy(text).chars().take(80).collect::<String>();
    let below = || origin.ok_or_else(|| format!("{:?} needs an $ORIGIN, or a final dot", shown()));
    if text == b"@" {
        return below().cloned();
    }
    if text.contains(&b'\\') {
        return Err(format!(
            "{:?} holds an escaped byte; names may hold a-z, 0-9, '-' and '_' only",
            shown()
        ));
    }
    let text = core::str::from_utf8(text).map_err(|_| format!("{:?} is not ASCII", shown()))?;
    let whole = match (text.ends_with('.'), text.is_empty()) {
        (_, true) => return Err("a name is missing".to_string()),
        (true, _) => text.to_string(),
        (false, _) => match below()? {
            root if root.is_root() => text.to_string(),
            origin => format!("{text}.{origin}"),
        },
    };
    DnsName::new(&whole).map_err(|error| error.to_string())
}

/// A name with its final dot.
pub fn absolute(name: &DnsName) -> String {
    if name.is_root() { ".".to_string() } else { format!("{name}.") }
}

#[cfg(test)]
mod tests;
