//! Durations as people write them: `250ms`, `10s`, `5m`, `2h`, `1d`.

use std::time::Duration;

/// The units, largest first, in milliseconds.
const UNITS: [(&str, u64); 5] =
    [("ms", 1), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)];

/// Parses a duration: a whole number and a unit. Errors: what is allowed.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || {
        format!("{text:?} is not a duration; write a number and ms, s, m, h or d, such as \"10s\"")
    };
    let (unit, ms) = UNITS.iter().find(|(unit, _)| text.ends_with(unit)).ok_or_else(wrong)?;
    let number: u64 = text[..text.len() - unit.len()].trim().parse().map_err(|_| wrong())?;
    number.checked_mul(*ms).map(Duration::from_millis).ok_or_else(wrong)
}

/// Writes a duration in the largest unit that is exact.
pub fn format_duration(duration: Duration) -> String {
    let ms = holdfast_core::time::millis(duration);
    let exact = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)]
        .into_iter()
        .find(|(_, unit)| ms > 0 && ms.is_multiple_of(*unit));
    exact.map_or_else(|| format!("{ms}ms"), |(name, unit)| format!("{}{name}", ms / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_what_it_reads() {
        for text in ["250ms", "10s", "5m", "2h", "1d", "0ms", "90s"] {
            assert_eq!(format_duration(parse_duration(text).expect(text)), text);
        }
        for bad in ["", "10", "s", "-1s", "1.5s", "99999999999999999999d", "10 parsecs"] {
            assert!(parse_duration(bad).is_err(), "{bad:?}");
        }
    }
}
