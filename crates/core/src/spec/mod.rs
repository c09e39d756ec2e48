//! What people declare: zones, services with their pools, endpoints and checks, and the rules of failing over.
//!
//! Specifications are plain data. [`Service::validate`] and [`Zone::validate`] say in one place what is possible;
//! the CLI calls them before it sends, `apply` calls them again before it stores.

mod bounds;
mod check;
mod dnssec;
mod endpoint;
mod owners;
pub(crate) mod place;
mod policy;
mod primaries;
mod record;
mod service;
mod settings;
mod steered;
mod svcb;
#[cfg(test)]
pub(crate) mod tests;
mod transfer;
mod update_rule;
mod zone;

pub use bounds::LONGEST_TTL;
pub use check::{
    BodyExpectation, Check, CheckKind, DnsCheck, GrpcCheck, HeartbeatCheck, HttpCheck, HttpVersion,
    StatusRange, TcpCheck, TlsCheck, TlsOptions,
};
pub use dnssec::{Denial, Dnssec, KeyAlgorithm, PropagationDelays};
pub use endpoint::{Address, Endpoint, Pool};
pub use place::Code;
pub use policy::{AllDown, Failback, FailoverRules, Mode, Policy, Quorum, RegionRule};
pub use primaries::Primaries;
pub use record::{Kind, Record, RecordData, ServiceBinding};
pub use service::{Service, ServiceDns};
pub use settings::{Settings, SettingsChange};
pub use steered::{ClientRegion, GeoRule, Match, MatchError, Spread, Steered};
pub use svcb::{Binding, SvcKey, SvcParams};
pub use transfer::{NotifyTarget, Prefix, PrefixError, Transfer};
pub use update_rule::{Registers, UpdateRule};
pub use zone::{NameServer, Soa, Zone};

use alloc::string::String;

/// Why a specification is not possible: the field, what is wrong with it, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, serde::Serialize, serde::Deserialize)]
#[error("{field}: {problem}")]
pub struct SpecError {
    /// Path of the field, such as `checks[https].timeout`.
    pub field: String,
    /// What is wrong, why, and what is allowed.
    pub problem: String,
}

pub(crate) fn spec_error(field: impl Into<String>, problem: impl Into<String>) -> SpecError {
    SpecError { field: field.into(), problem: problem.into() }
}
