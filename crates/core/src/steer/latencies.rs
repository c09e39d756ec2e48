//! How far each endpoint is from each region of observers, in bands.
//!
//! A band is half an octave of latency, so that a jitter of less than a third changes nothing. Of several observers of a
//! region the median counts. What nobody has measured counts as farthest.

use alloc::collections::BTreeMap;
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
    // At most 2 × 54 + 2.
    (2 * octave + 1) as u8 + u8::from(upper)
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
