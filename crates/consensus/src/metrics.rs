//! The names of this crate's metrics, described where they are recorded.

use std::time::Duration;

use metrics::Histogram;

/// Histogram: how long one group commit of the Raft log takes, fsync included.
pub(crate) const LOG_SYNC: &str = "holdfast_raft_log_sync_duration_seconds";
/// Histogram: how many writes share one fsync of the Raft log.
pub(crate) const LOG_GROUP: &str = "holdfast_raft_log_group_writes";

/// What is recorded of one group's log.
pub(crate) struct LogMetrics {
    sync: Histogram,
    group: Histogram,
}

impl LogMetrics {
    pub(crate) fn new(group: &str) -> Self {
        Self {
            sync: metrics::histogram!(LOG_SYNC, "group" => group.to_owned()),
            group: metrics::histogram!(LOG_GROUP, "group" => group.to_owned()),
        }
    }

    pub(crate) fn synced(&self, took: Duration, writes: usize) {
        self.sync.record(took.as_secs_f64());
        self.group.record(f64::from(u32::try_from(writes).unwrap_or(u32::MAX)));
    }
}

/// Gauge: the current term.
pub(crate) const TERM: &str = "holdfast_raft_term";
/// Gauge: the last committed log index.
pub(crate) const COMMIT_INDEX: &str = "holdfast_raft_commit_index";
/// Gauge: the last applied log index.
pub(crate) const APPLIED_INDEX: &str = "holdfast_raft_applied_index";
/// Gauge: 1 on the leader.
pub(crate) const IS_LEADER: &str = "holdfast_raft_is_leader";
/// Histogram: from proposal at the leader to its outcome.
pub(crate) const COMMIT_DURATION: &str = "holdfast_raft_commit_duration_seconds";
/// Counter: peer messages that were refused, by reason.
pub(crate) const REFUSED: &str = "holdfast_raft_refused_messages_total";

#[allow(clippy::cast_precision_loss, reason = "a gauge is a float; indexes stay far below 2^52")]
pub(crate) fn status(group: &str, status: &crate::GroupStatus) {
    let set = |name: &'static str, value: f64| {
        metrics::gauge!(name, "group" => group.to_owned()).set(value);
    };
    set(TERM, status.term as f64);
    set(COMMIT_INDEX, status.committed as f64);
    set(APPLIED_INDEX, status.applied as f64);
    set(IS_LEADER, f64::from(u8::from(status.role == crate::Role::Leader)));
}

/// [`COMMIT_DURATION`] of a group.
pub(crate) fn commit_duration(group: &str) -> Histogram {
    metrics::histogram!(COMMIT_DURATION, "group" => group.to_owned())
}

pub(crate) fn refused(group: &str, reason: &'static str) {
    metrics::counter!(REFUSED, "group" => group.to_owned(), "reason" => reason).increment(1);
}

/// Describes all of them to the recorder; once per process.
pub fn describe_metrics() {
    use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
    describe_histogram!(
        LOG_SYNC,
        Unit::Seconds,
        "One group commit of the Raft log, fsync included"
    );
    describe_histogram!(LOG_GROUP, Unit::Count, "Writes that share one fsync of the Raft log");
    describe_gauge!(TERM, "The current term");
    describe_gauge!(COMMIT_INDEX, "The last committed log index");
    describe_gauge!(APPLIED_INDEX, "The last applied log index");
    describe_gauge!(IS_LEADER, "1 on the leader");
    describe_histogram!(
        COMMIT_DURATION,
        Unit::Seconds,
        "From proposal at the leader to its outcome"
    );
    describe_counter!(REFUSED, "Peer messages that were refused, by reason");
}
