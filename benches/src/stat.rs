//! Order statistics of a series. Percentiles are nearest-rank: each is a value that was measured.

use std::time::Duration;

use serde_json::{Value, json};

/// A series in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Series(Vec<f64>);

impl Series {
    /// Puts values in order.
    pub(crate) fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The value that `percent` of the series does not exceed; 0 for an empty one.
    pub(crate) fn percentile(&self, percent: f64) -> f64 {
        let rank = (percent / 100.0 * self.0.len() as f64).ceil() as usize;
        let place = rank.clamp(1, self.0.len().max(1)) - 1;
        self.0.get(place).copied().unwrap_or_default()
    }

    /// The middle value, or the mean of the two in the middle.
    pub(crate) fn median(&self) -> f64 {
        let count = self.0.len();
        if count == 0 {
            return 0.0;
        }
        if count % 2 == 1 {
            self.0[count / 2]
        } else {
            f64::midpoint(self.0[count / 2 - 1], self.0[count / 2])
        }
    }

    /// The largest value; 0 for an empty series.
    pub(crate) fn max(&self) -> f64 {
        self.0.last().copied().unwrap_or_default()
    }

    /// The smallest value; 0 for an empty series.
    pub(crate) fn min(&self) -> f64 {
        self.0.first().copied().unwrap_or_default()
    }

    /// For machines.
    pub(crate) fn json(&self) -> Value {
        json!({
            "n": self.len(), "min": round(self.min()), "p50": round(self.median()),
            "p90": round(self.percentile(90.0)), "p99": round(self.percentile(99.0)), "max": round(self.max()),
        })
    }
}

impl std::fmt::Display for Series {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (p50, p99) = (self.median(), self.percentile(99.0));
        write!(
            f,
            "p50 {p50:.2}  p99 {p99:.2}  min {:.2}  max {:.2}  (n {})",
            self.min(),
            self.max(),
            self.len()
        )
    }
}

/// Three decimals are more than the measurements carry.
pub(crate) fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// A duration in milliseconds.
pub(crate) fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(values: &[f64], median: f64, p99: f64) {
        let series = Series::of(values.to_vec());
        assert_eq!((series.median(), series.percentile(99.0)), (median, p99), "{values:?}");
    }

    #[test]
    fn statistics_are_values_of_the_series() {
        check(&[], 0.0, 0.0);
        check(&[7.0], 7.0, 7.0);
        check(&[3.0, 1.0, 2.0], 2.0, 3.0);
        check(&[4.0, 1.0, 2.0, 3.0], 2.5, 4.0);
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        check(&hundred, 50.5, 99.0);
    }
}
