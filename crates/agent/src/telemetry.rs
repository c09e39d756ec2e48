//! Logs and metrics: set up once per process, before anything else runs.

use std::io::IsTerminal as _;
use std::sync::OnceLock;
use std::time::Duration;

use holdfast_core::propagation::LONGEST;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::config::Telemetry;

/// hickory logs every query at INFO; under a flood its log would be the outage.
const ALWAYS: &str =
    "hickory_server=warn,hickory_net=warn,hickory_proto=warn,openraft=error,sled=warn,h2=warn";

/// Buckets for everything measured in seconds, from 100 µs to 30 s.
const SECONDS: [f64; 17] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0, 30.0,
];

/// How long clients were told the old answer, which TTLs decide.
pub(crate) const CONVERGED: &str = "holdfast_failover_converged_seconds";

/// Buckets for what TTLs decide, up to the longest that a failover is followed.
const TTLS: [f64; 12] =
    [0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 180.0, 300.0, LONGEST.as_secs() as f64];

/// How often samples are put into their buckets.
const UPKEEP: Duration = Duration::from_secs(5);

/// Why telemetry cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("telemetry.{key}: {problem}")]
pub struct TelemetryError {
    key: &'static str,
    problem: String,
}

/// Sends logs to standard error. Errors: the filter is not one.
pub fn start_logs(config: &Telemetry) -> Result<(), TelemetryError> {
    let problem = |problem: String| TelemetryError { key: "filter", problem };
    let directives = format!("{ALWAYS},{}", config.filter);
    let filter = EnvFilter::try_new(directives).map_err(|error| problem(error.to_string()))?;
    // journald shows lines with colours as binary data.
    let coloured = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(coloured);
    let result = if config.json {
        builder.json().flatten_event(true).try_init()
    } else {
        builder.with_target(false).try_init()
    };
    result.map_err(|error| problem(error.to_string()))
}

/// Set once, by the process that runs one agent.
static METRICS: OnceLock<PrometheusHandle> = OnceLock::new();

/// What `/metrics` shows, if this process collects metrics.
pub(crate) fn metrics() -> Option<PrometheusHandle> {
    METRICS.get().cloned()
}

/// Puts samples into their buckets until cancelled: those of histograms pile up until somebody reads them, and nobody
/// may ever do.
pub(crate) async fn keep_metrics(cancel: CancellationToken) {
    let Some(handle) = metrics() else { return };
    while cancel.run_until_cancelled(tokio::time::sleep(UPKEEP)).await.is_some() {
        handle.run_upkeep();
    }
}

/// An exporter that knows the buckets of every histogram.
fn exporter() -> Result<PrometheusBuilder, BuildError> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Full(CONVERGED.into()), &TTLS)
}

/// Collects metrics for `/metrics`. Errors: the process collects them already.
pub fn start_metrics() -> Result<(), TelemetryError> {
    let problem = |error: &dyn std::fmt::Display| TelemetryError {
        key: "metrics",
        problem: error.to_string(),
    };
    let handle = exporter()
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(|error| problem(&error))?;
    metrics::gauge!("holdfast_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    holdfast_probe::describe_metrics();
    if METRICS.set(handle).is_err() {
        return Err(problem(&"the process collects metrics already"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bound of the first bucket that counts a sample.
    fn first_bucket(metric: &'static str, took: Duration) -> String {
        let recorder = exporter().expect("buckets").build_recorder();
        metrics::with_local_recorder(&recorder, || metrics::histogram!(metric).record(took));
        let text = recorder.handle().render();
        let holds = |line: &&str| line.starts_with(metric) && line.ends_with("} 1");
        let line = text.lines().find(holds).expect("one bucket has it");
        let (_, bound) = line.split_once("le=\"").expect("a bucket has a bound");
        bound.trim_end_matches("\"} 1").to_owned()
    }

    #[test]
    fn how_long_a_failover_took_is_told_as_far_as_it_is_followed() {
        assert_eq!(first_bucket(CONVERGED, LONGEST), "600");
        assert_eq!(first_bucket(CONVERGED, Duration::from_secs(31)), "60");
        assert_eq!(first_bucket("holdfast_probe_duration_seconds", Duration::from_secs(9)), "10");
    }
}
