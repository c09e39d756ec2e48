//! `policy` of a service's manifest: a word, or stages in one another, and the way there and back.
//!
//! ```yaml
//! policy:
//!   geo:
//!     rules:
//!       - { match: { continent: [EU], cidr: [192.0.2.0/24] }, pools: [eu, us] }
//!       - { pools: [us, eu] }                  # everybody else
//!     then: { nearest: { regions: [{ region: eu, at: [50.1, 8.7] }], then: weighted } }
//! ```

use std::fmt;

use holdfast_core::spec::{
    ClientRegion, Code, GeoRule, Match, Policy, Prefix, SpecError, Spread, Steered,
};
use holdfast_core::{PoolName, RegionName};
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

const MULTIVALUE_MAX: u8 = 8;
const WORDS: &[&str] = &["failover", "weighted", "multivalue", "sticky"];
const STAGES: &[&str] = &["multivalue", "geo", "nearest"];

/// `failover`, `weighted`, `sticky`, `multivalue`, or a map with one of `multivalue`, `geo`, `nearest`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum PolicyForm {
    #[default]
    Failover,
    Weighted,
    Sticky,
    Multivalue(Multivalue),
    Geo(Box<GeoForm>),
    Nearest(Box<NearestForm>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Multivalue {
    #[serde(default = "default_max")]
    max: u8,
}

fn default_max() -> u8 {
    MULTIVALUE_MAX
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GeoForm {
    rules: Vec<RuleForm>,
    #[serde(default)]
    then: PolicyForm,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleForm {
    #[serde(default, rename = "match", skip_serializing_if = "MatchForm::is_empty")]
    matches: MatchForm,
    pools: Vec<PoolName>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NearestForm {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    regions: Vec<RegionForm>,
    #[serde(default)]
    then: PolicyForm,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RegionForm {
    region: RegionName,
    #[serde(default, rename = "match", skip_serializing_if = "MatchForm::is_empty")]
    matches: MatchForm,
    /// Degrees to the north and to the east.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at: Option<(f64, f64)>,
}

/// What clients are recognized by: any of these. `default: true` is for whoever no other rule is for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct MatchForm {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cidr: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    continent: Vec<Code>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    country: Vec<Code>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subdivision: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    asn: Vec<u32>,
    #[serde(skip_serializing_if = "is_false")]
    default: bool,
}

fn is_false(value: &bool) -> bool {
    !value
}

impl MatchForm {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn of(matches: &[Match]) -> Self {
        let mut form = Self::default();
        for one in matches {
            match one {
                Match::Network(prefix) => form.cidr.push(prefix.to_string()),
                Match::Continent(code) => form.continent.push(*code),
                Match::Country(code) => form.country.push(*code),
                Match::Subdivision(country, code) => {
                    form.subdivision.push(format!("{country}-{code}"));
                }
                Match::Asn(number) => form.asn.push(*number),
            }
        }
        form
    }

    /// What clients are recognized by; empty for the default.
    fn into_matches(self, field: &str) -> Result<Vec<Match>, SpecError> {
        let fail = |problem: String| SpecError { field: format!("{field}.match"), problem };
        let mut matches = Vec::new();
        for text in &self.cidr {
            let prefix = text.parse::<Prefix>().map_err(|error| fail(error.to_string()))?;
            matches.push(Match::Network(prefix));
        }
        matches.extend(self.continent.into_iter().map(Match::Continent));
        matches.extend(self.country.into_iter().map(Match::Country));
        for text in &self.subdivision {
            let one = format!("subdivision:{text}").parse::<Match>();
            matches.push(one.map_err(|error| fail(error.to_string()))?);
        }
        matches.extend(self.asn.into_iter().map(Match::Asn));
        if self.default && !matches.is_empty() {
            return Err(fail(
                "default stands alone: it is for whoever nothing else matches".into(),
            ));
        }
        Ok(matches)
    }
}

impl PolicyForm {
    /// The policy. Errors: stages in an order that means nothing, and texts that recognize no client.
    pub(super) fn into_policy(self) -> Result<Policy, SpecError> {
        Ok(match self {
            Self::Failover => Policy::Failover,
            Self::Weighted => Policy::Weighted,
            Self::Sticky => Policy::Sticky,
            Self::Multivalue(Multivalue { max }) => Policy::Multivalue { max },
            Self::Geo(form) => {
                let rule = |(place, rule): (usize, RuleForm)| {
                    let matches =
                        rule.matches.into_matches(&format!("policy.geo.rules[{place}]"))?;
                    Ok(GeoRule { matches, pools: rule.pools })
                };
                let geo = form.rules.into_iter().enumerate().map(rule).collect::<Result<_, _>>()?;
                let (nearest, then) = form.then.into_rest("policy.geo.then")?;
                Policy::Steered(Steered { geo, nearest, then })
            }
            nearest @ Self::Nearest(_) => {
                let (nearest, then) = nearest.into_rest("policy")?;
                Policy::Steered(Steered { geo: Vec::new(), nearest, then })
            }
        })
    }

    /// What may stand below geo.
    fn into_rest(self, field: &str) -> Result<(Option<Vec<ClientRegion>>, Spread), SpecError> {
        let Self::Nearest(form) = self else { return Ok((None, self.into_spread(field)?)) };
        let region = |form: RegionForm| {
            let field = format!("{field}.nearest.regions[{}]", form.region);
            let at = form.at.map(|at| hundredths(at, &field)).transpose()?;
            let matches = form.matches.into_matches(&field)?;
            Ok(ClientRegion { region: form.region, matches, at })
        };
        let regions = form.regions.into_iter().map(region).collect::<Result<_, SpecError>>()?;
        Ok((Some(regions), form.then.into_spread(&format!("{field}.nearest.then"))?))
    }

    fn into_spread(self, field: &str) -> Result<Spread, SpecError> {
        Ok(match self {
            Self::Failover => Spread::All,
            Self::Weighted => Spread::Weighted,
            Self::Sticky => Spread::Sticky,
            Self::Multivalue(Multivalue { max }) => Spread::Multivalue { max },
            Self::Geo(_) | Self::Nearest(_) => {
                let problem = "geo stands outside of nearest, and each stands once".into();
                return Err(SpecError { field: field.into(), problem });
            }
        })
    }
}

fn hundredths((north, east): (f64, f64), field: &str) -> Result<(i16, i16), SpecError> {
    let on_earth = north.abs() <= 90.0 && east.abs() <= 180.0;
    // At most 18,000.
    let hundredths = |degrees: f64| (degrees * 100.0).round() as i16;
    on_earth.then(|| (hundredths(north), hundredths(east))).ok_or_else(|| SpecError {
        field: format!("{field}.at"),
        problem: "write degrees to the north and to the east, such as [50.11, 8.68]".into(),
    })
}

impl From<Spread> for PolicyForm {
    fn from(spread: Spread) -> Self {
        match spread {
            Spread::All => Self::Failover,
            Spread::Weighted => Self::Weighted,
            Spread::Sticky => Self::Sticky,
            Spread::Multivalue { max } => Self::Multivalue(Multivalue { max }),
        }
    }
}

impl From<&Policy> for PolicyForm {
    fn from(policy: &Policy) -> Self {
        let Policy::Steered(steered) = policy else { return policy.spread().into() };
        let mut form = Self::from(steered.then);
        if let Some(regions) = &steered.nearest {
            let degrees = |hundredths: i16| f64::from(hundredths) / 100.0;
            let region = |region: &ClientRegion| RegionForm {
                region: region.region.clone(),
                matches: MatchForm::of(&region.matches),
                at: region.at.map(|(north, east)| (degrees(north), degrees(east))),
            };
            let regions = regions.iter().map(region).collect();
            form = Self::Nearest(Box::new(NearestForm { regions, then: form }));
        }
        if steered.geo.is_empty() {
            return form;
        }
        let rule = |rule: &GeoRule| RuleForm {
            matches: MatchForm::of(&rule.matches),
            pools: rule.pools.clone(),
        };
        let rules = steered.geo.iter().map(rule).collect();
        Self::Geo(Box::new(GeoForm { rules, then: form }))
    }
}

impl<'de> Deserialize<'de> for PolicyForm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PolicyReader)
    }
}

struct PolicyReader;

impl<'de> Visitor<'de> for PolicyReader {
    type Value = PolicyForm;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("failover, weighted, sticky, multivalue, {multivalue: {max: 3}}, {geo: …} or {nearest: …}")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<PolicyForm, E> {
        match text {
            "failover" => Ok(PolicyForm::Failover),
            "weighted" => Ok(PolicyForm::Weighted),
            "sticky" => Ok(PolicyForm::Sticky),
            "multivalue" => Ok(PolicyForm::Multivalue(Multivalue { max: MULTIVALUE_MAX })),
            other => Err(E::unknown_variant(other, WORDS)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<PolicyForm, A::Error> {
        let mut policy = None;
        while let Some(key) = map.next_key::<String>()? {
            if policy.is_some() {
                return Err(de::Error::custom("a policy is one of multivalue, geo and nearest"));
            }
            policy = Some(match key.as_str() {
                "multivalue" => PolicyForm::Multivalue(map.next_value()?),
                "geo" => PolicyForm::Geo(map.next_value()?),
                "nearest" => PolicyForm::Nearest(map.next_value()?),
                "failover" | "weighted" | "sticky" => {
                    return Err(de::Error::custom(format!(
                        "{key} has nothing to set: write the word alone, as in `policy: {key}` or `then: {key}`"
                    )));
                }
                _ => return Err(de::Error::unknown_field(&key, STAGES)),
            });
        }
        policy.ok_or_else(|| de::Error::missing_field("multivalue"))
    }
}
