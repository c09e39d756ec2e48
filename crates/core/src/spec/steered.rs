//! Steering as people declare it: which client gets which of what is served.
//!
//! ```text
//! served ─▶ geo: the rule of the client's network or place names pools ─▶ nearest: least latency from its region ─▶ spread
//! ```
//!
//! Each stage narrows what the one before left, none is needed, and none leaves nothing: a rule whose pools have
//! nothing served falls through to the others.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

use super::place::{Code, bits, mask};
use super::{Pool, Prefix, SpecError, spec_error};
use crate::id::{PoolName, RegionName};

/// How a service chooses by client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Steered {
    /// Pools by where the client is; 1–256 rules. Empty: all pools are one.
    pub geo: Vec<GeoRule>,
    /// Regions of clients for the choice by latency; at most 32. `None`: latency does not matter.
    pub nearest: Option<Vec<ClientRegion>>,
    /// How an answer is chosen from what the stages leave.
    pub then: Spread,
}

/// How an answer is chosen from a group of endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Spread {
    /// All of them.
    All,
    /// One, by weight.
    Weighted,
    /// Up to `max`, rotated.
    Multivalue {
        /// The most addresses in one answer; 1–32.
        max: u8,
    },
    /// One by weight, the same for a client's /24 (IPv4) or /56 (IPv6) as long as it is served.
    Sticky,
}

/// Which pools clients get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GeoRule {
    /// Any of these; empty: whoever no other rule is for. Without such a rule they get all pools by priority.
    pub matches: Vec<Match>,
    /// The first of these that has something served, else the first of the others by priority; at least one.
    pub pools: Vec<PoolName>,
}

/// What a client is recognized by. Networks come first, the longest prefix of all rules; then the rules in the order
/// of their declaration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Match {
    /// Its address.
    Network(Prefix),
    /// Its continent (`AF`, `AN`, `AS`, `EU`, `NA`, `OC`, `SA`).
    Continent(Code),
    /// Its country (ISO 3166-1).
    Country(Code),
    /// Its country and the subdivision of it (ISO 3166-2).
    Subdivision(Code, Code),
    /// Its autonomous system.
    Asn(u32),
}

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(prefix) => write!(f, "cidr:{prefix}"),
            Self::Continent(code) => write!(f, "continent:{code}"),
            Self::Country(code) => write!(f, "country:{code}"),
            Self::Subdivision(country, code) => write!(f, "subdivision:{country}-{code}"),
            Self::Asn(number) => write!(f, "asn:{number}"),
        }
    }
}

/// Why a text is nothing that a client is recognized by.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} recognizes no client; write cidr:192.0.2.0/24, continent:EU, country:DE, subdivision:US-CA or asn:64500"
)]
pub struct MatchError(String);

impl FromStr for Match {
    type Err = MatchError;

    fn from_str(text: &str) -> Result<Self, MatchError> {
        let code = |text: &str| Code::new(text).ok();
        let parsed = text.split_once(':').and_then(|(what, which)| match what {
            "cidr" => which.parse().ok().map(Self::Network),
            "continent" => code(which).map(Self::Continent),
            "country" => code(which).map(Self::Country),
            "subdivision" => {
                let (country, subdivision) = which.split_once('-')?;
                Some(Self::Subdivision(code(country)?, code(subdivision)?))
            }
            "asn" => which.parse().ok().map(Self::Asn),
            _ => None,
        });
        parsed.ok_or_else(|| MatchError(text.chars().take(80).collect()))
    }
}

/// Clients for whom latency is what the observers of one region measure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientRegion {
    /// The region of observers.
    pub region: RegionName,
    /// Clients that any of these is true of.
    pub matches: Vec<Match>,
    /// Where the region is, latitude and longitude in hundredths of a degree: clients that nothing matches belong to
    /// the region that is closest to them.
    pub at: Option<(i16, i16)>,
}

impl Steered {
    /// The most rules.
    pub const MAX_RULES: usize = 256;
    /// The most things that clients are recognized by, over all rules of a stage.
    pub const MAX_MATCHES: usize = 4096;
    /// The most regions of clients.
    pub const MAX_REGIONS: usize = 32;

    /// Says whether this steering is possible with these pools. Errors: the first field that is not.
    pub(super) fn validate(&self, pools: &[Pool]) -> Result<(), SpecError> {
        if self.geo.is_empty() && self.nearest.is_none() {
            return Err(spec_error("policy.geo.rules", "at least one rule is needed"));
        }
        self.validate_geo(pools)?;
        self.validate_nearest()?;
        self.then.validate()
    }

    fn validate_geo(&self, pools: &[Pool]) -> Result<(), SpecError> {
        let field = "policy.geo.rules";
        if self.geo.len() > Self::MAX_RULES {
            return Err(spec_error(field, format!("at most {}", Self::MAX_RULES)));
        }
        if self.geo.iter().filter(|rule| rule.matches.is_empty()).count() > 1 {
            return Err(spec_error(field, "only one rule can be the default"));
        }
        for (place, rule) in self.geo.iter().enumerate() {
            let field = || format!("{field}[{place}].pools");
            if rule.pools.is_empty() {
                return Err(spec_error(field(), "at least one pool is needed"));
            }
            let mut named = BTreeSet::new();
            for pool in &rule.pools {
                if !pools.iter().any(|known| known.name == *pool) {
                    return Err(spec_error(field(), format!("there is no pool {pool}")));
                }
                if !named.insert(pool) {
                    return Err(spec_error(field(), format!("{pool} is named twice")));
                }
            }
        }
        validate_matches(field, self.geo.iter().flat_map(|rule| &rule.matches))
    }

    fn validate_nearest(&self) -> Result<(), SpecError> {
        let Some(regions) = &self.nearest else { return Ok(()) };
        let field = "policy.nearest.regions";
        if regions.len() > Self::MAX_REGIONS {
            return Err(spec_error(field, format!("at most {}", Self::MAX_REGIONS)));
        }
        let mut named = BTreeSet::new();
        for region in regions {
            let field = || format!("{field}[{}]", region.region);
            if !named.insert(&region.region) {
                return Err(spec_error(field(), "this region is named twice"));
            }
            if region.matches.is_empty() && region.at.is_none() {
                return Err(spec_error(field(), "needs `match`, or `at` with its coordinates"));
            }
            if region.at.is_some_and(|(north, east)| north.abs() > 9000 || east.abs() > 18_000) {
                return Err(spec_error(format!("{}.at", field()), "is not on earth"));
            }
        }
        validate_matches(field, regions.iter().flat_map(|region| &region.matches))
    }
}

fn validate_matches<'a>(
    field: &str,
    matches: impl Iterator<Item = &'a Match>,
) -> Result<(), SpecError> {
    let mut known = BTreeSet::new();
    for one in matches {
        if !known.insert(one) {
            return Err(spec_error(field, format!("{one} is matched twice")));
        }
        if let Match::Network(prefix) = one
            && mask(bits(prefix.address), prefix.length) != bits(prefix.address)
        {
            let problem = format!("{one} has bits set behind its prefix");
            return Err(spec_error(field, problem));
        }
    }
    if known.len() > Steered::MAX_MATCHES {
        let problem: String = format!("at most {} matches", Steered::MAX_MATCHES);
        return Err(spec_error(field, problem));
    }
    Ok(())
}

impl Spread {
    pub(super) fn validate(self) -> Result<(), SpecError> {
        match self {
            Self::Multivalue { max } if !(1..=32).contains(&max) => {
                Err(spec_error("policy.max", "must be 1 to 32"))
            }
            Self::All | Self::Weighted | Self::Multivalue { .. } | Self::Sticky => Ok(()),
        }
    }
}
