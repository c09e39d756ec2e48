//! The benchmarks. Each starts what it measures, measures, and gives back a report.

pub(crate) mod dns;
pub(crate) mod failover;
pub(crate) mod leader;
pub(crate) mod mass;
pub(crate) mod registrations;
mod stage;

use std::time::Duration;

/// Parses durations as people write them: `250ms`, `2s`.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a duration; write it like 250ms or 2s");
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 1),
        None => (text.strip_suffix('s').ok_or_else(wrong)?, 1000),
    };
    number.parse::<u64>().map(|number| Duration::from_millis(number * unit)).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("2s"), Ok(Duration::from_secs(2)));
        assert!(duration("2").is_err() && duration("s").is_err() && duration("2m").is_err());
    }
}
