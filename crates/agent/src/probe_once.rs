//! One probe by hand, with everything that was seen on the way: what `holdfast check run --debug` does.

use std::sync::Arc;

use holdfast_core::ServiceId;
use holdfast_core::observation::Target;
use holdfast_core::spec::{Check, Endpoint};
use holdfast_probe::{AddressPolicy, NetProber, ProbeReport, ProbeSpec};

use crate::seams::SystemClock;

/// Probes an endpoint from this machine, once, under the given address policy. Nothing is reported to anybody.
pub async fn probe_once(
    service: &ServiceId,
    check: &Check,
    endpoint: &Endpoint,
    policy: AddressPolicy,
) -> ProbeReport {
    let spec = ProbeSpec {
        target: Target {
            service: service.clone(),
            endpoint: endpoint.name.clone(),
            check: check.name.clone(),
        },
        endpoint: endpoint.clone(),
        check: check.clone(),
        timeout: check.timeout,
    };
    NetProber::new(policy, Arc::new(SystemClock)).probe_debug(&spec).await
}
