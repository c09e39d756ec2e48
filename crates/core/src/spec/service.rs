//! A service: one name that clients resolve, the pools behind it, the checks that judge them and the rules.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::bounds::{LONGEST_RULE, LONGEST_TTL, within};
use super::{
    Address, AllDown, Check, Endpoint, FailoverRules, Policy, Pool, Quorum, RegionRule,
    ServiceBinding, SpecError, spec_error,
};
use crate::id::{EndpointName, ServiceId};
use crate::name::DnsName;
use crate::ttl::Tier;

/// How a service appears in DNS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceDns {
    /// The name clients resolve; inside a zone of the group.
    pub name: DnsName,
    /// TTL of its answers; 1 s – 1 day, 30 s by default. Below 5 s resolvers do not follow dependably.
    pub ttl: Duration,
    /// TTL while the answer may change soon, and the least that may be ordered; 1 s – `ttl`, 5 s by default.
    pub ttl_min: Option<Duration>,
    /// How much depends on it.
    pub tier: Option<Tier>,
    /// Answered to TXT queries for the name, one record each.
    pub txt: Vec<String>,
    /// The HTTPS record beside the addresses; none where absent. Its hints follow what is served.
    pub https: Option<ServiceBinding>,
}

impl ServiceDns {
    /// A name with addresses alone.
    pub fn new(name: DnsName, ttl: Duration) -> Self {
        Self { name, ttl, ttl_min: None, tier: None, txt: Vec::new(), https: None }
    }
}

/// A service: one name, the pools behind it, the checks and the rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Unique in the group.
    pub id: ServiceId,
    /// How it appears in DNS.
    pub dns: ServiceDns,
    /// How the answer is chosen.
    pub policy: Policy,
    /// Groups of endpoints; 1–32.
    pub pools: Vec<Pool>,
    /// Each is asked of every endpoint, and an endpoint is up when all its checks are; 1–16.
    pub checks: Vec<Check>,
    /// How observers agree.
    pub quorum: Quorum,
    /// When the answer may move.
    pub failover: FailoverRules,
}

impl Service {
    /// The most pools of a service.
    pub const MAX_POOLS: usize = 32;
    /// The most endpoints of a service, over all pools.
    pub const MAX_ENDPOINTS: usize = 1024;
    /// The most checks of a service.
    pub const MAX_CHECKS: usize = 16;

    /// Every endpoint with its pool, in the order of declaration.
    pub fn endpoints(&self) -> impl Iterator<Item = (&Pool, &Endpoint)> {
        self.pools.iter().flat_map(|pool| pool.endpoints.iter().map(move |e| (pool, e)))
    }

    /// The endpoint of this name, with its pool.
    pub fn endpoint(&self, name: &EndpointName) -> Option<(&Pool, &Endpoint)> {
        self.endpoints().find(|(_, endpoint)| endpoint.name == *name)
    }

    /// Says whether this service is possible. Errors: the first field that is not, with what would be right.
    pub fn validate(&self) -> Result<(), SpecError> {
        self.validate_dns()?;
        self.validate_pools()?;
        self.validate_endpoints()?;
        self.validate_checks()?;
        validate_quorum(&self.quorum)?;
        self.validate_failover()
    }

    fn validate_dns(&self) -> Result<(), SpecError> {
        let second = Duration::from_secs(1);
        within("dns.ttl", self.dns.ttl, (second, LONGEST_TTL))?;
        if let Some(least) = self.dns.ttl_min {
            within("dns.ttl_min", least, (second, self.dns.ttl))?;
        }
        if self.dns.name.as_str().starts_with("*.") {
            return Err(spec_error("dns.name", "a service has a name of its own, not a wildcard"));
        }
        if let Some(https) = &self.dns.https {
            https.params.validate().map_err(|problem| spec_error("dns.https", problem))?;
        }
        if self.dns.txt.len() > 16 || self.dns.txt.iter().any(|text| text.len() > 255) {
            return Err(spec_error("dns.txt", "at most 16 texts of at most 255 bytes"));
        }
        Ok(())
    }

    fn validate_pools(&self) -> Result<(), SpecError> {
        if self.pools.is_empty() || self.pools.len() > Self::MAX_POOLS {
            return Err(spec_error("pools", format!("1 to {} are allowed", Self::MAX_POOLS)));
        }
        let mut names = BTreeSet::new();
        for pool in &self.pools {
            if !names.insert(&pool.name) {
                return Err(spec_error(format!("pools[{}]", pool.name), "this name is used twice"));
            }
            if pool.min_up == 0 || usize::from(pool.min_up) > Self::MAX_ENDPOINTS {
                let problem = format!("must be 1 to {}", Self::MAX_ENDPOINTS);
                return Err(spec_error(format!("pools[{}].min_up", pool.name), problem));
            }
        }
        Ok(())
    }

    fn validate_endpoints(&self) -> Result<(), SpecError> {
        let mut names = BTreeSet::new();
        for (_, endpoint) in self.endpoints() {
            let field = || format!("endpoints[{}]", endpoint.name);
            if !names.insert(&endpoint.name) {
                return Err(spec_error(field(), "this name is used twice in the service"));
            }
            if endpoint.port == 0 {
                return Err(spec_error(format!("{}.port", field()), "must be 1 to 65535"));
            }
            if self.dns.name.child(endpoint.name.as_str()).is_err() {
                return Err(spec_error(
                    field(),
                    "endpoint name and dns.name together exceed 253 characters",
                ));
            }
            match &endpoint.address {
                Address::Name(name) if name.is_within(&self.dns.name) => {
                    let problem =
                        "the address is the service's own name or below it: it would loop";
                    return Err(spec_error(field(), problem));
                }
                Address::Name(name) if name.as_str().starts_with('*') => {
                    return Err(spec_error(field(), format!("{name} is a wildcard, not a host")));
                }
                Address::Ip(ip) if ip.is_unspecified() || ip.is_multicast() => {
                    return Err(spec_error(field(), format!("{ip} is not the address of a host")));
                }
                Address::Ip(ip) if ip.to_canonical() != *ip => {
                    let problem = format!("{ip} is an IPv4 address; write {}", ip.to_canonical());
                    return Err(spec_error(field(), problem));
                }
                Address::Name(_) | Address::Ip(_) => {}
            }
        }
        if names.len() > Self::MAX_ENDPOINTS {
            return Err(spec_error("endpoints", format!("at most {}", Self::MAX_ENDPOINTS)));
        }
        Ok(())
    }

    fn validate_checks(&self) -> Result<(), SpecError> {
        if self.checks.is_empty() || self.checks.len() > Self::MAX_CHECKS {
            return Err(spec_error("checks", format!("1 to {} are allowed", Self::MAX_CHECKS)));
        }
        let mut names = BTreeSet::new();
        for check in &self.checks {
            if !names.insert(&check.name) {
                return Err(spec_error(
                    format!("checks[{}]", check.name),
                    "this name is used twice",
                ));
            }
            check.validate()?;
        }
        Ok(())
    }

    fn validate_failover(&self) -> Result<(), SpecError> {
        let rules = &self.failover;
        if rules.max_moves == 0 || rules.max_moves > FailoverRules::MOST_MOVES {
            return Err(spec_error(
                "failover.max_moves",
                format!(
                    "must be 1 to {}; to decide without moving, use failover.mode: observe",
                    FailoverRules::MOST_MOVES
                ),
            ));
        }
        within("failover.window", rules.window, (Duration::from_secs(1), LONGEST_RULE))?;
        within("failover.hold_down", rules.hold_down, (Duration::ZERO, LONGEST_RULE))?;
        within("failover.cooldown", rules.cooldown, (Duration::ZERO, LONGEST_RULE))?;
        if let AllDown::Fallback(pool) = &rules.all_down
            && !self.pools.iter().any(|p| p.name == *pool)
        {
            return Err(spec_error("failover.all_down", format!("there is no pool {pool}")));
        }
        self.validate_policy()
    }

    fn validate_policy(&self) -> Result<(), SpecError> {
        let named = |(_, e): (&Pool, &Endpoint)| matches!(e.address, Address::Name(_));
        match &self.policy {
            Policy::Failover | Policy::Weighted | Policy::Multivalue { .. } => {
                return self.policy.spread().validate();
            }
            Policy::Sticky => {}
            Policy::Steered(steered) => steered.validate(&self.pools)?,
        }
        if self.endpoints().any(named) && !self.endpoints().all(named) {
            let problem = "a service that chooses by client has endpoints with addresses, or with names, not both: \
                           an answer cannot hold a CNAME beside addresses (RFC 1034, 3.6.2)";
            return Err(spec_error("endpoints", problem));
        }
        Ok(())
    }
}

fn validate_quorum(quorum: &Quorum) -> Result<(), SpecError> {
    if quorum.veto_percent > 100 {
        return Err(spec_error("quorum.veto_percent", "must be 0 to 100"));
    }
    match quorum.regions {
        RegionRule::AtLeast(0) => Err(spec_error("quorum.regions", "at least 1 region must agree")),
        RegionRule::Percent(p) if !(1..=100).contains(&p) => {
            Err(spec_error("quorum.regions", "a share must be 1 to 100 percent"))
        }
        _ => Ok(()),
    }
}
