//! Durations as people write them: `10s`, `250ms`, `1h30m`.
//!
//! A number without a unit is refused, because nobody can tell what it means. Whole numbers only: `90s`, not `1.5m`.
//! Printing is exact and reads back to the same duration.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The units, largest first, in nanoseconds.
const UNITS: [(&str, u128); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1000),
    ("ns", 1),
];

/// A duration in a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Span(pub(crate) Duration);

impl TryFrom<String> for Span {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        parse(&text).map(Self)
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        format(span.0)
    }
}

/// The duration that `text` says.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let wrong =
        |why: &str| format!("{text:?} is no duration: {why}; write it like 10s, 250ms or 1h30m");
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(wrong("it is empty"));
    }
    let (mut total, mut smallest) = (0u128, u128::MAX);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let letters =
            rest[digits..].find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len() - digits);
        let (number, unit) = (&rest[..digits], &rest[digits..digits + letters]);
        if number.is_empty() {
            return Err(wrong("a whole number must stand before each unit"));
        }
        if unit.is_empty() {
            return Err(wrong("the unit is missing (d, h, m, s or ms)"));
        }
        let known = UNITS.iter().find(|(name, _)| *name == unit);
        let (_, size) =
            known.ok_or_else(|| wrong(&format!("{unit:?} is no unit (d, h, m, s, ms)")))?;
        if *size >= smallest {
            return Err(wrong("the larger unit comes first"));
        }
        smallest = *size;
        let number: u128 = number.parse().map_err(|_| wrong("it is too long"))?;
        let part = number.checked_mul(*size).filter(|n| *n < 1 << 100);
        total += part.ok_or_else(|| wrong("it is too long"))?;
        rest = &rest[digits + letters..];
    }
    let (seconds, nanos) = (total / 1_000_000_000, total % 1_000_000_000);
    let seconds = u64::try_from(seconds).map_err(|_| wrong("it is too long"))?;
    Ok(Duration::new(seconds, u32::try_from(nanos).expect("a remainder below a billion")))
}

/// The shortest text that reads back to `duration`.
pub(crate) fn format(duration: Duration) -> String {
    let mut rest = duration.as_nanos();
    if rest == 0 {
        return "0s".into();
    }
    let mut text = String::new();
    for (name, size) in UNITS {
        if rest >= size {
            text.push_str(&format!("{}{name}", rest / size));
            rest %= size;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        for (text, ms) in [
            ("10s", 10_000),
            ("250ms", 250),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("1d", 86_400_000),
            ("90s", 90_000),
            ("0s", 0),
            (" 2s ", 2000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, why) in [
            ("", "empty"),
            ("10", "unit is missing"),
            ("s", "whole number"),
            ("1.5m", "\".\" is no unit"),
            ("-1s", "whole number"),
            ("10 s", "is no unit"),
            ("5w", "\"w\" is no unit"),
            ("30s1m", "larger unit comes first"),
            ("1m1m", "larger unit comes first"),
            ("99999999999999999999999d", "too long"),
            ("340282366920938463463374607431768211456s", "too long"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn prints_what_reads_back() {
        for (duration, text) in [
            (Duration::from_secs(90), "1m30s"),
            (Duration::from_secs(3600), "1h"),
            (Duration::from_millis(1500), "1s500ms"),
            (Duration::new(0, 1001), "1us1ns"),
            (Duration::ZERO, "0s"),
        ] {
            assert_eq!(format(duration), text);
            assert_eq!(parse(text), Ok(duration));
        }
        assert_eq!(parse(&format(Duration::MAX)), Ok(Duration::MAX));
    }
}
