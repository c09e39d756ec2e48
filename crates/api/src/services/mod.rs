//! The services, one per file.

mod audit;
mod cluster;
mod dns;
mod explain;
mod health;
mod heartbeat;
mod overrides;
mod propagation;
mod registry;
mod status;
mod tsig_keys;
mod watch;
mod zone_signing;
mod zones;

use holdfast_core::ServiceId;
use holdfast_core::id::NameError;
use holdfast_core::spec::{Prefix, PrefixError};
use holdfast_core::steer::Client;
use holdfast_core::view::ServiceStatus;
use holdfast_wire::Convert as _;
use holdfast_wire::convert::service_status;
use holdfast_wire::pb::v1 as pb;

use crate::context::Context;
use crate::refusal::Refusal;

/// What gRPC health answers for.
pub(crate) const NAMES: [&str; 7] = [
    "holdfast.v1.RegistryService",
    "holdfast.v1.OverrideService",
    "holdfast.v1.ExplainService",
    "holdfast.v1.StatusService",
    "holdfast.v1.AuditService",
    "holdfast.v1.ClusterService",
    "holdfast.v1.DnsService",
];

/// Records on a page when the client does not say, and at the most.
const PAGE: usize = 100;
const MAX_PAGE: usize = 1000;

/// All services over one context.
pub(crate) struct Services {
    pub(crate) registry: registry::Registry,
    pub(crate) overrides: overrides::Overrides,
    pub(crate) explain: explain::Explain,
    pub(crate) status: status::Overview,
    pub(crate) audit: audit::Audit,
    pub(crate) cluster: cluster::Cluster,
    pub(crate) dns: dns::Dns,
    pub(crate) health: health::Health,
}

impl Services {
    pub(crate) fn new(context: &Context) -> Self {
        Self {
            registry: registry::Registry(context.clone()),
            overrides: overrides::Overrides(context.clone()),
            explain: explain::Explain(context.clone()),
            status: status::Overview(context.clone()),
            audit: audit::Audit(context.clone()),
            cluster: cluster::Cluster(context.clone()),
            dns: dns::Dns(context.clone()),
            health: health::Health(context.clone()),
        }
    }
}

/// A service as stored, and how it stands.
fn entry(status: &ServiceStatus) -> pb::ServiceEntry {
    pb::ServiceEntry {
        spec: Some(status.spec.to_proto()),
        revision: status.revision,
        status: Some(service_status(status)),
    }
}

/// Reads a name in a field.
fn named<T>(field: &str, text: &str) -> Result<T, Refusal>
where
    T: std::str::FromStr<Err = NameError>,
{
    if text.is_empty() {
        return Err(Refusal::field(field, "it is missing"));
    }
    text.parse().map_err(|error: NameError| Refusal::field(field, error.to_string()))
}

/// The client of this network, where this node's DNS server looks clients up.
fn client_of(context: &Context, text: &str, turn: u32) -> Result<Client, Refusal> {
    let network: Prefix =
        text.parse().map_err(|error: PrefixError| Refusal::field("client", error.to_string()))?;
    let address = network.address.to_canonical();
    let place = context.deps.facts.place(address);
    Ok(Client { length: network.length, place, ..Client::at(address, turn) })
}

fn service_id(text: &str) -> Result<ServiceId, Refusal> {
    named("service", text)
}

/// Whether a service is in the namespace that was asked for; every one is where none was.
fn in_namespace(id: &ServiceId, namespace: &str) -> bool {
    namespace.is_empty() || id.namespace() == namespace
}

/// How many to put on a page.
fn page_size(asked: u32) -> usize {
    match usize::try_from(asked).unwrap_or(MAX_PAGE) {
        0 => PAGE,
        asked => asked.min(MAX_PAGE),
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
