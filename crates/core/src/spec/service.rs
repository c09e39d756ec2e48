//! A service: one name that clients resolve, the pools behind it, the checks that judge them and the rules.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    Address, AllDown, Check, CheckKind, Endpoint, FailoverRules, Policy, Pool, Quorum, RegionRule,
    SpecError, spec_error,
};
use crate::id::{EndpointName, ServiceId};
use crate::name::DnsName;

/// How a service appears in DNS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceDns {
    /// The name clients resolve; inside a zone of the group.
    pub name: DnsName,
    /// TTL of its answers; 1 s – 1 day, 30 s by default. Below 5 s resolvers do not follow dependably.
    pub ttl: Duration,
    /// Answered to TXT queries for the name, one record each.
    pub txt: Vec<String>,
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
        let ttl = self.dns.ttl;
        if ttl < Duration::from_secs(1) || ttl > Duration::from_secs(86_400) {
            return Err(spec_error("dns.ttl", format!("{ttl:?} is outside 1s to 1d")));
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
            if pool.min_up == 0 {
                return Err(spec_error(
                    format!("pools[{}].min_up", pool.name),
                    "must be 1 or more",
                ));
            }
        }
        Ok(())
    }

    fn validate_endpoints(&self) -> Result<(), SpecError> {
        let mut names = BTreeSet::new();
        for (_, endpoint) in self.endpoints() {
            let field = format!("endpoints[{}]", endpoint.name);
            if !names.insert(&endpoint.name) {
                return Err(spec_error(field, "this name is used twice in the service"));
            }
            if endpoint.port == 0 {
                return Err(spec_error(format!("{field}.port"), "must be 1 to 65535"));
            }
            if self.dns.name.child(endpoint.name.as_str()).is_err() {
                return Err(spec_error(
                    field,
                    "endpoint name and dns.name together exceed 253 characters",
                ));
            }
            match &endpoint.address {
                Address::Name(name) if *name == self.dns.name => {
                    return Err(spec_error(
                        field,
                        "the address is the service's own name: it would loop",
                    ));
                }
                Address::Ip(ip) if ip.is_unspecified() || ip.is_multicast() => {
                    return Err(spec_error(field, format!("{ip} is not the address of a host")));
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
            validate_check(check)?;
        }
        Ok(())
    }

    fn validate_failover(&self) -> Result<(), SpecError> {
        let rules = &self.failover;
        if rules.max_moves == 0 {
            return Err(spec_error(
                "failover.max_moves",
                "0 would forbid every move; use failover.mode: observe to decide without moving",
            ));
        }
        if rules.window < Duration::from_secs(1) {
            return Err(spec_error("failover.window", "must be at least 1s"));
        }
        if let AllDown::Fallback(pool) = &rules.all_down
            && !self.pools.iter().any(|p| p.name == *pool)
        {
            return Err(spec_error("failover.all_down", format!("there is no pool {pool}")));
        }
        match self.policy {
            Policy::Multivalue { max } if !(1..=32).contains(&max) => {
                Err(spec_error("policy.max", "must be 1 to 32"))
            }
            Policy::Multivalue { .. } | Policy::Failover | Policy::Weighted => Ok(()),
        }
    }
}

fn validate_check(check: &Check) -> Result<(), SpecError> {
    let fail = |part: &str, problem: String| {
        Err(spec_error(format!("checks[{}].{part}", check.name), problem))
    };
    if let CheckKind::Heartbeat(heartbeat) = &check.kind {
        if heartbeat.ttl < Duration::from_millis(500) || heartbeat.ttl > Duration::from_secs(86_400)
        {
            return fail("ttl", format!("{:?} is outside 500ms to 1d", heartbeat.ttl));
        }
        return Ok(());
    }
    if check.interval < Duration::from_millis(100) || check.interval > Duration::from_secs(86_400) {
        return fail("interval", format!("{:?} is outside 100ms to 1d", check.interval));
    }
    if check.timeout < Duration::from_millis(10) || check.timeout >= check.interval {
        return fail(
            "timeout",
            format!(
                "{:?} must be at least 10ms and less than the interval of {:?}",
                check.timeout, check.interval
            ),
        );
    }
    if check.confirm < Duration::from_millis(10) || check.confirm > check.interval {
        return fail("confirm", format!("{:?} is outside 10ms to the interval", check.confirm));
    }
    if !(1..=100).contains(&check.rise) || !(1..=100).contains(&check.fall) {
        return fail("rise", "rise and fall must be 1 to 100".into());
    }
    match &check.kind {
        CheckKind::Http(http) if !http.path.starts_with('/') => {
            fail("path", format!("{:?} must begin with '/'", http.path))
        }
        CheckKind::Http(http) if http.follow_redirects > 10 => {
            fail("follow_redirects", "at most 10".into())
        }
        CheckKind::Http(http)
            if http.expect_status.iter().any(|r| r.from < 100 || r.to > 599 || r.from > r.to) =>
        {
            fail("expect_status", "codes are 100 to 599, a range from low to high".into())
        }
        _ => Ok(()),
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
