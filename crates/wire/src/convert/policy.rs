//! How an answer is chosen: nested messages, one stage within the other, for what is a flat chain of stages.

use holdfast_core::spec::{ClientRegion, GeoRule, Policy, Spread, Steered};

use super::Convert;
use super::primitive::{from_list, list, narrow, parse, parse_each, required, texts};
use crate::error::DecodeError;
use crate::pb::v1 as pb;
use crate::pb::v1::policy::Policy as Kind;

impl Convert for Policy {
    type Proto = pb::Policy;

    fn to_proto(&self) -> pb::Policy {
        match self {
            Self::Steered(steered) => steered_to_proto(steered),
            Self::Failover | Self::Weighted | Self::Multivalue { .. } | Self::Sticky => {
                self.spread().to_proto()
            }
        }
    }

    fn from_proto(proto: pb::Policy) -> Result<Self, DecodeError> {
        match proto.policy.ok_or_else(|| DecodeError::missing(""))? {
            Kind::Geo(geo) => {
                let rules = from_list("geo.rules", geo.rules)?;
                let then = geo.then.ok_or_else(|| DecodeError::missing("geo.then"))?;
                let (nearest, then) = narrowed(*then).map_err(|e| e.within("geo.then"))?;
                Ok(Self::Steered(Steered { geo: rules, nearest, then }))
            }
            nearest @ Kind::Nearest(_) => {
                let (nearest, then) = narrowed(pb::Policy { policy: Some(nearest) })?;
                Ok(Self::Steered(Steered { geo: Vec::new(), nearest, then }))
            }
            Kind::Failover(_) => Ok(Self::Failover),
            Kind::Weighted(_) => Ok(Self::Weighted),
            Kind::Sticky(_) => Ok(Self::Sticky),
            Kind::Multivalue(multivalue) => {
                Ok(Self::Multivalue { max: narrow("multivalue.max", multivalue.max)? })
            }
        }
    }
}

fn steered_to_proto(steered: &Steered) -> pb::Policy {
    let mut policy = steered.then.to_proto();
    if let Some(regions) = &steered.nearest {
        let nearest = pb::NearestPolicy { regions: list(regions), then: Some(Box::new(policy)) };
        policy = pb::Policy { policy: Some(Kind::Nearest(Box::new(nearest))) };
    }
    if steered.nearest.is_none() || !steered.geo.is_empty() {
        let geo = pb::GeoPolicy { rules: list(&steered.geo), then: Some(Box::new(policy)) };
        policy = pb::Policy { policy: Some(Kind::Geo(Box::new(geo))) };
    }
    policy
}

/// The stages below geo.
fn narrowed(proto: pb::Policy) -> Result<(Option<Vec<ClientRegion>>, Spread), DecodeError> {
    match proto.policy {
        Some(Kind::Nearest(nearest)) => {
            let regions = from_list("nearest.regions", nearest.regions)?;
            let then = required("nearest.then", nearest.then.map(|then| *then))?;
            Ok((Some(regions), then))
        }
        policy => Ok((None, Spread::from_proto(pb::Policy { policy })?)),
    }
}

impl Convert for Spread {
    type Proto = pb::Policy;

    fn to_proto(&self) -> pb::Policy {
        let policy = match self {
            Self::All => Kind::Failover(pb::FailoverPolicy {}),
            Self::Weighted => Kind::Weighted(pb::WeightedPolicy {}),
            Self::Multivalue { max } => {
                Kind::Multivalue(pb::MultivaluePolicy { max: (*max).into() })
            }
            Self::Sticky => Kind::Sticky(pb::StickyPolicy {}),
        };
        pb::Policy { policy: Some(policy) }
    }

    fn from_proto(proto: pb::Policy) -> Result<Self, DecodeError> {
        match proto.policy.ok_or_else(|| DecodeError::missing(""))? {
            Kind::Failover(pb::FailoverPolicy {}) => Ok(Self::All),
            Kind::Weighted(pb::WeightedPolicy {}) => Ok(Self::Weighted),
            Kind::Sticky(pb::StickyPolicy {}) => Ok(Self::Sticky),
            Kind::Multivalue(multivalue) => {
                Ok(Self::Multivalue { max: narrow("multivalue.max", multivalue.max)? })
            }
            Kind::Geo(_) | Kind::Nearest(_) => Err(DecodeError::invalid(
                "",
                "geo stands outside of nearest, each stands once; use failover, weighted, multivalue or sticky here",
            )),
        }
    }
}

impl Convert for GeoRule {
    type Proto = pb::GeoRule;

    fn to_proto(&self) -> pb::GeoRule {
        pb::GeoRule { matches: texts(&self.matches), pools: texts(&self.pools) }
    }

    fn from_proto(proto: pb::GeoRule) -> Result<Self, DecodeError> {
        Ok(Self {
            matches: parse_each("matches", &proto.matches)?,
            pools: parse_each("pools", &proto.pools)?,
        })
    }
}

impl Convert for ClientRegion {
    type Proto = pb::ClientRegion;

    fn to_proto(&self) -> pb::ClientRegion {
        let coordinates = |(north, east): (i16, i16)| pb::Coordinates {
            latitude: north.into(),
            longitude: east.into(),
        };
        pb::ClientRegion {
            region: self.region.to_string(),
            matches: texts(&self.matches),
            at: self.at.map(coordinates),
        }
    }

    fn from_proto(proto: pb::ClientRegion) -> Result<Self, DecodeError> {
        let of = |field, number| {
            i16::try_from(number).map_err(|_| DecodeError::invalid(field, "is not on earth"))
        };
        let at = proto
            .at
            .map(|at| Ok((of("at.latitude", at.latitude)?, of("at.longitude", at.longitude)?)));
        Ok(Self {
            region: parse("region", &proto.region)?,
            matches: parse_each("matches", &proto.matches)?,
            at: at.transpose()?,
        })
    }
}
