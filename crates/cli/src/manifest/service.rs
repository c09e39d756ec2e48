//! `kind: Service`: the shape of its manifest, the defaults, and the way there and back.

use std::path::Path;

use holdfast_core::spec::{
    AllDown, Endpoint, Failback, FailoverRules, Mode, Pool, Quorum, RegionRule, Service,
    ServiceBinding, ServiceDns, SpecError,
};
use holdfast_core::ttl::{Tier, default_ttl};
use holdfast_core::{DnsName, EndpointName, PoolName, RegionName, ServiceId};
use serde::{Deserialize, Serialize};

use super::check::CheckForm;
use super::duration::Span;
use super::policy::PolicyForm;
use super::text::Place;

/// Between the priorities of pools that give none, so that one fits in between later.
const PRIORITY_STEP: u16 = 10;

/// `spec` of a service.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ServiceForm {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tier: Option<u8>,
    dns: DnsForm,
    #[serde(default)]
    policy: PolicyForm,
    pools: Vec<PoolForm>,
    checks: Vec<CheckForm>,
    #[serde(default)]
    quorum: QuorumForm,
    #[serde(default)]
    failover: FailoverForm,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DnsForm {
    name: DnsName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ttl: Option<Span>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ttl_min: Option<Span>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    txt: Vec<String>,
    /// The parameters of an HTTPS record, such as `alpn=h2,h3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    https: Option<String>,
}

impl DnsForm {
    fn into_dns(self, tier: Option<Tier>) -> Result<ServiceDns, SpecError> {
        let https = self
            .https
            .map(|text| text.parse())
            .transpose()
            .map_err(|problem| SpecError { field: "dns.https".to_owned(), problem })?;
        let https = https.map(|params| ServiceBinding { params });
        let ttl = self.ttl.map_or(default_ttl(tier), |span| span.0);
        let ttl_min = self.ttl_min.map(|span| span.0);
        Ok(ServiceDns { txt: self.txt, https, ttl_min, tier, ..ServiceDns::new(self.name, ttl) })
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PoolForm {
    name: PoolName,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<RegionName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<u16>,
    #[serde(default = "one")]
    weight: u16,
    #[serde(default = "one")]
    min_up: u16,
    #[serde(default)]
    endpoints: Vec<EndpointForm>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EndpointForm {
    name: EndpointName,
    address: Place,
    #[serde(default = "one")]
    weight: u16,
}

fn one() -> u16 {
    1
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct QuorumForm {
    regions: Regions,
    veto_percent: u8,
}

/// `any`, `majority`, `all`, `{at_least: 2}` or `{percent: 60}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Regions {
    Any,
    Majority,
    All,
    AtLeast(u8),
    Percent(u8),
}

impl Default for QuorumForm {
    fn default() -> Self {
        Self::from(&Quorum::default())
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FailoverForm {
    mode: ModeWord,
    failback: FailbackWord,
    hold_down: Span,
    cooldown: Span,
    max_moves: u16,
    window: Span,
    all_down: AllDownForm,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ModeWord {
    Enforce,
    Observe,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum FailbackWord {
    Auto,
    Manual,
}

/// `fail_open`, `last_known_good`, `fail_closed` or `{fallback: POOL}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum AllDownForm {
    FailOpen,
    LastKnownGood,
    FailClosed,
    Fallback(PoolName),
}

impl Default for FailoverForm {
    fn default() -> Self {
        Self::from(&FailoverRules::default())
    }
}

impl ServiceForm {
    /// The service, with defaults, and found possible by the core's own rules.
    pub(super) fn into_service(self, id: ServiceId, base: &Path) -> Result<Service, SpecError> {
        let checks: Result<_, SpecError> =
            self.checks.into_iter().map(|c| c.into_check(base)).collect();
        let service = Service {
            id,
            dns: self.dns.into_dns(tier(self.tier)?)?,
            policy: self.policy.into_policy()?,
            pools: self
                .pools
                .into_iter()
                .enumerate()
                .map(|(place, pool)| pool.into_pool(place))
                .collect(),
            checks: checks?,
            quorum: self.quorum.into(),
            failover: self.failover.into(),
        };
        service.validate()?;
        Ok(service)
    }
}

fn tier(number: Option<u8>) -> Result<Option<Tier>, SpecError> {
    let known = |number| {
        let problem = format!("{number} is not 0 (critical to safety) to 4 (best effort)");
        Tier::new(number).ok_or(SpecError { field: "tier".into(), problem })
    };
    number.map(known).transpose()
}

impl PoolForm {
    fn into_pool(self, place: usize) -> Pool {
        let position = u16::try_from(place + 1).unwrap_or(u16::MAX);
        let endpoint = |form: EndpointForm| Endpoint {
            name: form.name,
            address: form.address.address,
            port: form.address.port,
            weight: form.weight,
        };
        Pool {
            name: self.name,
            region: self.region,
            priority: self.priority.unwrap_or(position.saturating_mul(PRIORITY_STEP)),
            weight: self.weight,
            min_up: self.min_up,
            endpoints: self.endpoints.into_iter().map(endpoint).collect(),
        }
    }
}

impl From<QuorumForm> for Quorum {
    fn from(form: QuorumForm) -> Self {
        let regions = match form.regions {
            Regions::Any => RegionRule::Any,
            Regions::Majority => RegionRule::Majority,
            Regions::All => RegionRule::All,
            Regions::AtLeast(count) => RegionRule::AtLeast(count),
            Regions::Percent(share) => RegionRule::Percent(share),
        };
        Self { regions, veto_percent: form.veto_percent }
    }
}

impl From<FailoverForm> for FailoverRules {
    fn from(form: FailoverForm) -> Self {
        Self {
            mode: match form.mode {
                ModeWord::Enforce => Mode::Enforce,
                ModeWord::Observe => Mode::Observe,
            },
            failback: match form.failback {
                FailbackWord::Auto => Failback::Auto,
                FailbackWord::Manual => Failback::Manual,
            },
            hold_down: form.hold_down.0,
            cooldown: form.cooldown.0,
            max_moves: form.max_moves,
            window: form.window.0,
            all_down: match form.all_down {
                AllDownForm::FailOpen => AllDown::FailOpen,
                AllDownForm::LastKnownGood => AllDown::LastKnownGood,
                AllDownForm::FailClosed => AllDown::FailClosed,
                AllDownForm::Fallback(pool) => AllDown::Fallback(pool),
            },
        }
    }
}

impl From<&Service> for ServiceForm {
    fn from(service: &Service) -> Self {
        Self {
            tier: service.dns.tier.map(Tier::number),
            dns: DnsForm {
                name: service.dns.name.clone(),
                ttl: Some(Span(service.dns.ttl)),
                ttl_min: service.dns.ttl_min.map(Span),
                txt: service.dns.txt.clone(),
                https: service.dns.https.as_ref().map(|https| https.params.to_string()),
            },
            policy: PolicyForm::from(&service.policy),
            pools: service.pools.iter().map(PoolForm::from).collect(),
            checks: service.checks.iter().map(CheckForm::from).collect(),
            quorum: QuorumForm::from(&service.quorum),
            failover: FailoverForm::from(&service.failover),
        }
    }
}

impl From<&Pool> for PoolForm {
    fn from(pool: &Pool) -> Self {
        let endpoint = |endpoint: &Endpoint| EndpointForm {
            name: endpoint.name.clone(),
            address: Place { address: endpoint.address.clone(), port: endpoint.port },
            weight: endpoint.weight,
        };
        Self {
            name: pool.name.clone(),
            region: pool.region.clone(),
            priority: Some(pool.priority),
            weight: pool.weight,
            min_up: pool.min_up,
            endpoints: pool.endpoints.iter().map(endpoint).collect(),
        }
    }
}

impl From<&Quorum> for QuorumForm {
    fn from(quorum: &Quorum) -> Self {
        let regions = match quorum.regions {
            RegionRule::Any => Regions::Any,
            RegionRule::Majority => Regions::Majority,
            RegionRule::All => Regions::All,
            RegionRule::AtLeast(count) => Regions::AtLeast(count),
            RegionRule::Percent(share) => Regions::Percent(share),
        };
        Self { regions, veto_percent: quorum.veto_percent }
    }
}

impl From<&FailoverRules> for FailoverForm {
    fn from(rules: &FailoverRules) -> Self {
        Self {
            mode: match rules.mode {
                Mode::Enforce => ModeWord::Enforce,
                Mode::Observe => ModeWord::Observe,
            },
            failback: match rules.failback {
                Failback::Auto => FailbackWord::Auto,
                Failback::Manual => FailbackWord::Manual,
            },
            hold_down: Span(rules.hold_down),
            cooldown: Span(rules.cooldown),
            max_moves: rules.max_moves,
            window: Span(rules.window),
            all_down: match &rules.all_down {
                AllDown::FailOpen => AllDownForm::FailOpen,
                AllDown::LastKnownGood => AllDownForm::LastKnownGood,
                AllDown::FailClosed => AllDownForm::FailClosed,
                AllDown::Fallback(pool) => AllDownForm::Fallback(pool.clone()),
            },
        }
    }
}
