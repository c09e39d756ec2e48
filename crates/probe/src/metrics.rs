//! The names of this crate's metrics, and what they mean.

use std::time::Duration;

use holdfast_core::sample::{Finding, Sample};
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

const LATENESS: &str = "holdfast_probe_schedule_lateness_seconds";
const RESULTS: &str = "holdfast_probe_results_total";
const DURATION: &str = "holdfast_probe_duration_seconds";
const TARGETS: &str = "holdfast_probe_targets";
const TARGETS_REFUSED: &str = "holdfast_probe_targets_refused";
const SELF_SUSPECT: &str = "holdfast_probe_self_suspect";

/// Describes the metrics to the recorder, once after it is installed.
pub fn describe() {
    use metrics::Unit::{Count, Seconds};
    describe_histogram!(LATENESS, Seconds, "From when a probe was due to when it began.");
    describe_counter!(
        RESULTS,
        Count,
        "Probes by kind of check and by result: pass, fail or abstain."
    );
    describe_histogram!(DURATION, Seconds, "Duration of a probe, by kind of check.");
    describe_gauge!(TARGETS, Count, "Targets that are probed.");
    describe_gauge!(TARGETS_REFUSED, Count, "Targets that are not probed because of the bound.");
    describe_gauge!(
        SELF_SUSPECT,
        Count,
        "1 while this node reports its new failures as unknown, because most of what it sees failed at once and it cannot reach its sentinels."
    );
}

pub(crate) fn started(lateness: Duration) {
    histogram!(LATENESS).record(lateness.as_secs_f64());
}

pub(crate) fn finished(kind: &'static str, sample: &Sample) {
    let result = match sample.finding {
        Finding::Pass => "pass",
        Finding::Fail(_) => "fail",
        Finding::Abstain(_) => "abstain",
    };
    counter!(RESULTS, "kind" => kind, "result" => result).increment(1);
    histogram!(DURATION, "kind" => kind).record(sample.latency.as_secs_f64());
}

pub(crate) fn targets(probed: usize, refused: usize) {
    gauge!(TARGETS).set(probed as f64);
    gauge!(TARGETS_REFUSED).set(refused as f64);
}

pub(crate) fn self_suspect(masking: bool) {
    gauge!(SELF_SUSPECT).set(if masking { 1.0 } else { 0.0 });
}
