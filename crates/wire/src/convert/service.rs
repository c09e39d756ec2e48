//! Services with their pools, endpoints and rules.

use holdfast_core::spec::{
    Address, AllDown, Endpoint, Failback, FailoverRules, Mode, Pool, Quorum, RegionRule, Service,
    ServiceDns,
};

use holdfast_core::ttl::{Tier, default_ttl};

use super::Convert;
use super::primitive::{
    enumerated, enumeration, from_list, from_ms, list, ms, narrow, optional, parse, parse_option,
    required,
};
use crate::error::DecodeError;
use crate::pb::v1 as pb;

enumeration!(Mode, Mode { Enforce, Observe });
enumeration!(Failback, Failback { Auto, Manual });

impl Convert for Service {
    type Proto = pb::Service;

    fn to_proto(&self) -> pb::Service {
        pb::Service {
            id: self.id.to_string(),
            dns: Some(self.dns.to_proto()),
            policy: Some(self.policy.to_proto()),
            pools: list(&self.pools),
            checks: list(&self.checks),
            quorum: Some(self.quorum.to_proto()),
            failover: Some(self.failover.to_proto()),
        }
    }

    fn from_proto(proto: pb::Service) -> Result<Self, DecodeError> {
        Ok(Self {
            id: parse("id", &proto.id)?,
            dns: required("dns", proto.dns)?,
            policy: required("policy", proto.policy)?,
            pools: from_list("pools", proto.pools)?,
            checks: from_list("checks", proto.checks)?,
            quorum: required("quorum", proto.quorum)?,
            failover: required("failover", proto.failover)?,
        })
    }
}

impl Convert for ServiceDns {
    type Proto = pb::ServiceDns;

    fn to_proto(&self) -> pb::ServiceDns {
        pb::ServiceDns {
            name: self.name.to_string(),
            ttl_ms: ms(self.ttl),
            ttl_min_ms: self.ttl_min.map(ms),
            tier: self.tier.map(|tier| tier.number().into()),
            txt: self.txt.clone(),
            https: self.https.as_ref().map(Convert::to_proto),
        }
    }

    fn from_proto(proto: pb::ServiceDns) -> Result<Self, DecodeError> {
        let tier = proto.tier.map(tier).transpose()?;
        Ok(Self {
            name: parse("name", &proto.name)?,
            ttl: if proto.ttl_ms == 0 { default_ttl(tier) } else { from_ms(proto.ttl_ms) },
            ttl_min: proto.ttl_min_ms.map(from_ms),
            tier,
            txt: proto.txt,
            https: optional("https", proto.https)?,
        })
    }
}

fn tier(number: u32) -> Result<Tier, DecodeError> {
    let tier = u8::try_from(number).ok().and_then(Tier::new);
    tier.ok_or_else(|| DecodeError::invalid("tier", format!("{number} is not 0 to 4")))
}

impl Convert for Pool {
    type Proto = pb::Pool;

    fn to_proto(&self) -> pb::Pool {
        pb::Pool {
            name: self.name.to_string(),
            region: self.region.as_ref().map(ToString::to_string),
            priority: self.priority.into(),
            weight: self.weight.into(),
            min_up: self.min_up.into(),
            endpoints: list(&self.endpoints),
        }
    }

    fn from_proto(proto: pb::Pool) -> Result<Self, DecodeError> {
        Ok(Self {
            name: parse("name", &proto.name)?,
            region: parse_option("region", proto.region.as_ref())?,
            priority: narrow("priority", proto.priority)?,
            weight: narrow("weight", proto.weight)?,
            min_up: narrow("min_up", proto.min_up)?,
            endpoints: from_list("endpoints", proto.endpoints)?,
        })
    }
}

impl Convert for Endpoint {
    type Proto = pb::Endpoint;

    fn to_proto(&self) -> pb::Endpoint {
        use pb::endpoint::Address as Kind;
        let address = match &self.address {
            Address::Ip(ip) => Kind::Ip(ip.to_string()),
            Address::Name(name) => Kind::HostName(name.to_string()),
        };
        pb::Endpoint {
            name: self.name.to_string(),
            address: Some(address),
            port: self.port.into(),
            weight: self.weight.into(),
        }
    }

    fn from_proto(proto: pb::Endpoint) -> Result<Self, DecodeError> {
        use pb::endpoint::Address as Kind;
        let address = match proto.address.ok_or_else(|| DecodeError::missing("address"))? {
            Kind::Ip(ip) => Address::Ip(parse("ip", &ip)?),
            Kind::HostName(name) => Address::Name(parse("host_name", &name)?),
        };
        Ok(Self {
            name: parse("name", &proto.name)?,
            address,
            port: narrow("port", proto.port)?,
            weight: narrow("weight", proto.weight)?,
        })
    }
}

impl Convert for Quorum {
    type Proto = pb::Quorum;

    fn to_proto(&self) -> pb::Quorum {
        use pb::quorum::Regions;
        let regions = match self.regions {
            RegionRule::Any => Regions::Any(pb::AnyRegion {}),
            RegionRule::Majority => Regions::Majority(pb::MajorityOfRegions {}),
            RegionRule::All => Regions::All(pb::AllRegions {}),
            RegionRule::AtLeast(count) => Regions::AtLeast(count.into()),
            RegionRule::Percent(share) => Regions::Percent(share.into()),
        };
        pb::Quorum { regions: Some(regions), veto_percent: self.veto_percent.into() }
    }

    fn from_proto(proto: pb::Quorum) -> Result<Self, DecodeError> {
        use pb::quorum::Regions;
        let regions = match proto.regions.ok_or_else(|| DecodeError::missing("regions"))? {
            Regions::Any(pb::AnyRegion {}) => RegionRule::Any,
            Regions::Majority(pb::MajorityOfRegions {}) => RegionRule::Majority,
            Regions::All(pb::AllRegions {}) => RegionRule::All,
            Regions::AtLeast(count) => RegionRule::AtLeast(narrow("at_least", count)?),
            Regions::Percent(share) => RegionRule::Percent(narrow("percent", share)?),
        };
        Ok(Self { regions, veto_percent: narrow("veto_percent", proto.veto_percent)? })
    }
}

impl Convert for FailoverRules {
    type Proto = pb::FailoverRules;

    fn to_proto(&self) -> pb::FailoverRules {
        pb::FailoverRules {
            mode: self.mode.to_proto(),
            failback: self.failback.to_proto(),
            hold_down_ms: ms(self.hold_down),
            cooldown_ms: ms(self.cooldown),
            max_moves: self.max_moves.into(),
            window_ms: ms(self.window),
            all_down: Some(self.all_down.to_proto()),
        }
    }

    fn from_proto(proto: pb::FailoverRules) -> Result<Self, DecodeError> {
        Ok(Self {
            mode: enumerated("mode", proto.mode)?,
            failback: enumerated("failback", proto.failback)?,
            hold_down: from_ms(proto.hold_down_ms),
            cooldown: from_ms(proto.cooldown_ms),
            max_moves: narrow("max_moves", proto.max_moves)?,
            window: from_ms(proto.window_ms),
            all_down: required("all_down", proto.all_down)?,
        })
    }
}

impl Convert for AllDown {
    type Proto = pb::AllDown;

    fn to_proto(&self) -> pb::AllDown {
        use pb::all_down::Policy as Kind;
        let policy = match self {
            Self::FailOpen => Kind::FailOpen(pb::FailOpen {}),
            Self::LastKnownGood => Kind::LastKnownGood(pb::LastKnownGood {}),
            Self::Fallback(pool) => Kind::Fallback(pool.to_string()),
            Self::FailClosed => Kind::FailClosed(pb::FailClosed {}),
        };
        pb::AllDown { policy: Some(policy) }
    }

    fn from_proto(proto: pb::AllDown) -> Result<Self, DecodeError> {
        use pb::all_down::Policy as Kind;
        match proto.policy.ok_or_else(|| DecodeError::missing(""))? {
            Kind::FailOpen(pb::FailOpen {}) => Ok(Self::FailOpen),
            Kind::LastKnownGood(pb::LastKnownGood {}) => Ok(Self::LastKnownGood),
            Kind::Fallback(pool) => Ok(Self::Fallback(parse("fallback", &pool)?)),
            Kind::FailClosed(pb::FailClosed {}) => Ok(Self::FailClosed),
        }
    }
}
