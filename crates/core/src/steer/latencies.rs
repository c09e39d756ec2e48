//! How far each endpoint is from each region of observers, in bands.
//!
//! A band is half an octave of latency, so that a jitter of less than a third changes nothing. Of several observers of a
//! region the median counts. What nobody has measured counts as farthest.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::id::{EndpointName, RegionName};

/// What nobody has measured.
pub const UNMEASURED: u8 = u8::MAX;

/// The band of a latency: 0 below 1 ms, then two for each doubling.
pub fn band(latency: Duration) -> u8 {
    let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
    let Some(octave) = (micros / 1000).checked_ilog2() else { return 0 };
    // Above √2 of the octave's begin; 1448/1024 is √2.
    let upper = u128::from(micros) * 1024 >= (1000 * 1448_u128) << octave;
    // At most `LAST`.
    (2 * octave + 1) as u8 + u8::from(upper)
}

/// The band that [`Duration::MAX`] is in.
const LAST: u8 = 2 * 54 + 1;

/// Where a band begins, in microseconds.
fn begin(band: u8) -> u64 {
    let Some(step) = band.min(LAST).checked_sub(1) else { return 0 };
    let octave = 1000_u64 << (step / 2);
    let upper = (u128::from(octave) * 1448).div_ceil(1024);
    if step % 2 == 0 { octave } else { u64::try_from(upper).unwrap_or(u64::MAX) }
}

/// The latencies of a band, for people.
pub(super) fn in_words(band: u8) -> String {
    let milliseconds = |band| {
        let tenths = begin(band).saturating_add(50) / 100;
        match tenths % 10 {
            0 => format!("{}", tenths / 10),
            part => format!("{}.{part}", tenths / 10),
        }
    };
    match band {
        UNMEASURED => "unmeasured".into(),
        0 => "below 1 ms".into(),
        LAST.. => format!("{} ms and more", milliseconds(LAST)),
        _ => format!("{} to {} ms", milliseconds(band), milliseconds(band + 1)),
    }
}

/// The bands of a service's endpoints.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Latencies {
    by_region: BTreeMap<EndpointName, BTreeMap<RegionName, u8>>,
    overall: BTreeMap<EndpointName, u8>,
}

impl Latencies {
    /// Takes in what the observers of each region have measured of an endpoint.
    pub(crate) fn record(&mut self, endpoint: &EndpointName, bands: Vec<(&RegionName, u8)>) {
        let mut regions: BTreeMap<RegionName, Vec<u8>> = BTreeMap::new();
        for (region, band) in bands {
            regions.entry(region.clone()).or_default().push(band);
        }
        let regions: BTreeMap<RegionName, u8> =
            regions.into_iter().map(|(region, bands)| (region, median(bands))).collect();
        if !regions.is_empty() {
            self.overall.insert(endpoint.clone(), median(regions.values().copied().collect()));
            self.by_region.insert(endpoint.clone(), regions);
        }
    }

    /// The band of an endpoint as a region sees it; overall where no region is given.
    pub fn of(&self, endpoint: &EndpointName, region: Option<&RegionName>) -> u8 {
        let known = match region {
            Some(region) => self.by_region.get(endpoint).and_then(|regions| regions.get(region)),
            None => self.overall.get(endpoint),
        };
        known.copied().unwrap_or(UNMEASURED)
    }
}

/// The middle one, the lower of two.
fn median(mut bands: Vec<u8>) -> u8 {
    bands.sort_unstable();
    bands.get(bands.len().saturating_sub(1) / 2).copied().unwrap_or(UNMEASURED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_are_half_octaves() {
        let at = |micros| band(Duration::from_micros(micros));
        assert_eq!([at(0), at(999), at(1000), at(1413), at(1415), at(1999)], [0, 0, 1, 1, 2, 2]);
        assert_eq!([at(2000), at(100_000), at(150_000)], [3, 14, 15]);
        let mut before = 0;
        for exponent in 0..63 {
            assert!(at(1 << exponent) >= before);
            before = at(1 << exponent);
        }
        assert!(band(Duration::MAX) < UNMEASURED);
    }

    #[test]
    fn a_band_is_told_by_its_limits() {
        let told = [0, 1, 2, 3, 13, 14, 15, UNMEASURED].map(in_words);
        let expected = [
            "below 1 ms",
            "1 to 1.4 ms",
            "1.4 to 2 ms",
            "2 to 2.8 ms",
            "64 to 90.5 ms",
            "90.5 to 128 ms",
            "128 to 181 ms",
            "unmeasured",
        ];
        assert_eq!(told, expected);
        for number in 1..=LAST {
            let first = begin(number);
            assert_eq!(band(Duration::from_micros(first)), number);
            assert_eq!(band(Duration::from_micros(first - 1)), number - 1);
        }
        assert_eq!(band(Duration::MAX), LAST);
        assert_eq!(in_words(LAST), in_words(UNMEASURED - 1));
    }

    #[test]
    fn the_median_of_a_region_counts() {
        let endpoint = EndpointName::new("e1").expect("a label");
        let (eu, us) =
            (RegionName::new("eu").expect("valid"), RegionName::new("us").expect("valid"));
        let mut latencies = Latencies::default();
        latencies.record(&endpoint, [(&eu, 9), (&eu, 2), (&eu, 3), (&us, 12), (&us, 14)].into());
        assert_eq!(latencies.of(&endpoint, Some(&eu)), 3);
        assert_eq!(latencies.of(&endpoint, Some(&us)), 12);
        assert_eq!(latencies.of(&endpoint, None), 3);
        let other = EndpointName::new("e2").expect("a label");
        assert_eq!(latencies.of(&other, Some(&eu)), UNMEASURED);
    }
}
