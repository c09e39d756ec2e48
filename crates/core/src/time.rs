//! Time as data. A `Timestamp` is stamped by a leader, clamped monotonic by `apply`, and never read from a clock here.

use alloc::format;
use alloc::string::String;
use core::fmt;
use core::ops::Add;
use core::time::Duration;

use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01 UTC.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The time that has passed since `earlier`; zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// This moment less `duration`, at least the epoch.
    pub fn before(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(millis(duration)))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }
}

impl fmt::Display for Timestamp {
    /// `2026-11-21T02:24:46.123Z` (RFC 3339, UTC).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, ms) = (self.0 / 86_400_000, self.0 % 86_400_000);
        let (year, month, day) = civil(days);
        let (h, m, s, ms) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000);
        write!(f, "{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{ms:03}Z")
    }
}

/// The group's time differs from the pace of real time by one part of this at the most, while a leader brings it nearer to
/// its wall clock.
pub const SLEW: u32 = 10;

/// What has to pass of the group's time for `real` to have passed for certain: it may run ahead by a [`SLEW`]th.
pub fn for_certain(real: Duration) -> Duration {
    real.saturating_add(real / SLEW)
}

/// Whole milliseconds of a duration, saturating.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A duration in few characters: `850ms`, `3.2s`, `4m05s`, `2h03m`, `5d04h`.
pub fn spelled(duration: Duration) -> String {
    let ms = millis(duration);
    match ms {
        0..1_000 => format!("{ms}ms"),
        1_000..60_000 => format!("{}.{}s", ms / 1000, ms % 1000 / 100),
        60_000..3_600_000 => format!("{}m{:02}s", ms / 60_000, ms / 1000 % 60),
        3_600_000..86_400_000 => format!("{}h{:02}m", ms / 3_600_000, ms / 60_000 % 60),
        _ => format!("{}d{:02}h", ms / 86_400_000, ms / 3_600_000 % 24),
    }
}

/// Year, month and day of a count of days since 1970-01-01, by eras of 400 years that begin on 1 March,
/// so that the leap day is the last of its year.
fn civil(days: u64) -> (u64, u64, u64) {
    let z = days.saturating_add(719_468);
    let (era, doe) = (z / 146_097, z % 146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + u64::from(month <= 2), month, doy - (153 * mp + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn prints_rfc_3339() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_795_227_886_123, "2026-11-21T02:24:46.123Z"),
        ] {
            assert_eq!(Timestamp(ms).to_string(), text);
        }
        assert!(!Timestamp(u64::MAX).to_string().is_empty());
    }

    #[test]
    fn a_wait_for_certain_is_a_tenth_longer() {
        assert_eq!(for_certain(Duration::ZERO), Duration::ZERO);
        assert_eq!(for_certain(Duration::from_secs(300)), Duration::from_secs(330));
        assert_eq!(for_certain(Duration::MAX), Duration::MAX);
    }

    #[test]
    fn durations_are_short_and_readable() {
        for (ms, text) in [
            (0, "0ms"),
            (999, "999ms"),
            (3_250, "3.2s"),
            (245_000, "4m05s"),
            (7_380_000, "2h03m"),
            (446_400_000, "5d04h"),
        ] {
            assert_eq!(spelled(Duration::from_millis(ms)), text);
        }
    }
}
