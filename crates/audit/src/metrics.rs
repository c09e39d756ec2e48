//! The crate's metrics: names, descriptions and handles in one place.

use holdfast_core::GroupId;
use metrics::{Counter, Gauge, Histogram, Unit};

/// Records appended or back-filled.
const RECORDS: &str = "holdfast_audit_records_total";
/// The last record that is durable.
const DURABLE: &str = "holdfast_audit_durable_sequence";
/// Time of one write with its flush and sync.
const SYNC: &str = "holdfast_audit_sync_seconds";
/// Records that wait for the writer.
const QUEUE: &str = "holdfast_audit_queue_records";

/// The handles of one group.
#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) records: Counter,
    pub(crate) durable: Gauge,
    pub(crate) sync: Histogram,
    pub(crate) queue: Gauge,
}

impl Metrics {
    pub(crate) fn new(group: GroupId) -> Self {
        metrics::describe_counter!(RECORDS, "audit records appended or back-filled");
        metrics::describe_gauge!(DURABLE, "the last audit record that is durable");
        metrics::describe_histogram!(
            SYNC,
            Unit::Seconds,
            "one write of audit records with flush and sync"
        );
        metrics::describe_gauge!(QUEUE, "audit records that wait for the writer");
        let group = group.to_string();
        Self {
            records: metrics::counter!(RECORDS, "group" => group.clone()),
            durable: metrics::gauge!(DURABLE, "group" => group.clone()),
            sync: metrics::histogram!(SYNC, "group" => group.clone()),
            queue: metrics::gauge!(QUEUE, "group" => group),
        }
    }
}
