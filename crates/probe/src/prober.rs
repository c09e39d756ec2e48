//! One probe from start to sample: the kind's own function under one deadline, and what its end means.
//!
//! What is judged here is this node alone: a probe that overran its deadline by far was not run in time, and one
//! during which the wall clock stepped cannot be trusted with certificates. Both abstain rather than fail.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _};
use holdfast_core::Timestamp;
use holdfast_core::observation::Target;
use holdfast_core::sample::{Abstention, Finding, Sample};
use holdfast_core::seam::Clock;
use holdfast_core::spec::{Check, CheckKind, Endpoint};
use tokio::time::{Instant, timeout_at};

use crate::expect::Patterns;
use crate::kind;
use crate::policy::AddressPolicy;
use crate::tls::TlsClients;
use crate::trace::{ProbeReport, Step, Stop, Trace};

/// What is to be probed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeSpec {
    /// For whom the sample is.
    pub target: Target,
    /// Where.
    pub endpoint: Endpoint,
    /// What is asked.
    pub check: Check,
    /// How long the probe may take; at most the check's timeout.
    pub timeout: Duration,
}

/// Carries probes out: the network, or a simulated world.
pub trait Prober: Send + Sync + 'static {
    /// Carries out one probe. Ends soon after `spec.timeout`, whatever happens.
    fn probe(&self, spec: ProbeSpec) -> BoxFuture<'_, Sample>;
}

/// A probe may overrun its deadline by so much before it says more about this node than about the endpoint.
const OVERRUN: Duration = Duration::from_millis(250);
/// The wall clock and the monotonic one may part by so much in the course of a probe.
const CLOCK_STEP: Duration = Duration::from_secs(1);

/// Probes over the network.
#[derive(Debug)]
pub struct NetProber {
    pub(crate) policy: AddressPolicy,
    pub(crate) tls: TlsClients,
    pub(crate) patterns: Patterns,
    clock: WallClock,
}

/// What a probe's steps work with.
#[derive(Debug)]
pub(crate) struct Course<'a> {
    pub(crate) net: &'a NetProber,
    pub(crate) trace: &'a mut Trace,
}

impl NetProber {
    /// A prober that connects only where `policy` permits and judges certificates at the time of `clock`.
    pub fn new(policy: AddressPolicy, clock: Arc<dyn Clock>) -> Self {
        Self {
            policy,
            tls: TlsClients::new(clock.clone()),
            patterns: Patterns::default(),
            clock: WallClock(clock),
        }
    }

    /// Carries out one probe and tells all that was seen on the way.
    pub async fn probe_debug(&self, spec: &ProbeSpec) -> ProbeReport {
        self.run(spec, true).await
    }

    async fn run(&self, spec: &ProbeSpec, verbose: bool) -> ProbeReport {
        let (started, wall) = (Instant::now(), self.clock.0.now());
        let mut trace = Trace::new(verbose);
        let work = ask(Course { net: self, trace: &mut trace }, spec);
        let outcome = match timeout_at(started + spec.timeout, work).await {
            Ok(outcome) => outcome,
            Err(_) => Err(trace.timeout(spec.timeout)),
        };
        let latency = started.elapsed();
        let finding = match outcome {
            Ok(()) => Finding::Pass,
            Err(Stop::Abstain(why)) => Finding::Abstain(why),
            Err(Stop::Fail(failure)) => {
                let course =
                    Spent { latency, limit: spec.timeout, from: wall, to: self.clock.0.now() };
                course.fault().map_or(Finding::Fail(failure), Finding::Abstain)
            }
        };
        tracing::trace!(target = %spec.target, ?finding, ?latency, "probed");
        trace.report(Sample { finding, latency })
    }
}

impl Prober for NetProber {
    fn probe(&self, spec: ProbeSpec) -> BoxFuture<'_, Sample> {
        async move { self.run(&spec, false).await.sample }.boxed()
    }
}

/// Carries out what the check's kind says.
async fn ask(mut course: Course<'_>, spec: &ProbeSpec) -> Step {
    let endpoint = &spec.endpoint;
    match &spec.check.kind {
        CheckKind::Http(check) => kind::http::probe(&mut course, endpoint, check).await,
        CheckKind::Tcp(check) => kind::tcp::probe(&mut course, endpoint, check).await,
        CheckKind::Grpc(check) => kind::grpc::probe(&mut course, endpoint, check).await,
        CheckKind::Dns(check) => kind::dns::probe(&mut course, endpoint, check).await,
        CheckKind::Tls(check) => kind::tls::probe(&mut course, endpoint, check).await,
        CheckKind::Heartbeat(_) => {
            course.trace.note(|| "heartbeats are reported by the endpoint, not probed".into());
            Err(Stop::Abstain(Abstention::Invalid))
        }
    }
}

/// How a probe's time was spent, by both clocks.
struct Spent {
    latency: Duration,
    limit: Duration,
    from: Timestamp,
    to: Timestamp,
}

impl Spent {
    /// Why a failure in this course is this node's own, if it is.
    fn fault(&self) -> Option<Abstention> {
        let wall = Duration::from_millis(self.to.0.abs_diff(self.from.0));
        let stepped = self.to < self.from || wall.abs_diff(self.latency) > CLOCK_STEP;
        if self.latency > self.limit + OVERRUN {
            Some(Abstention::Late)
        } else if stepped {
            Some(Abstention::ClockStep)
        } else {
            None
        }
    }
}

/// The agent's clock, printable.
struct WallClock(Arc<dyn Clock>);

impl std::fmt::Debug for WallClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WallClock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_of_this_node_are_told_apart() {
        let ms = Duration::from_millis;
        for (latency, from, to, want) in [
            (100, 1000, 1100, None),
            (100, 1000, 1900, None),
            (1200, 1000, 2200, None),
            (5000, 1000, 6000, Some(Abstention::Late)),
            (100, 1000, 999, Some(Abstention::ClockStep)),
            (100, 1000, 9000, Some(Abstention::ClockStep)),
        ] {
            let spent = Spent {
                latency: ms(latency),
                limit: ms(1000),
                from: Timestamp(from),
                to: Timestamp(to),
            };
            assert_eq!(spent.fault(), want, "{latency} ms, {from} to {to}");
        }
    }
}
