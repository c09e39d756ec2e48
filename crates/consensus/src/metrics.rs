//! The names of this crate's metrics, described where they are recorded.

use std::time::Duration;

/// Histogram: how long one group commit of the Raft log takes, fsync included.
pub(crate) const LOG_SYNC: &str = "holdfast_raft_log_sync_duration_seconds";
/// Histogram: how many writes share one fsync of the Raft log.
pub(crate) const LOG_GROUP: &str = "holdfast_raft_log_group_writes";

pub(crate) fn log_sync(group: &str, took: Duration, writes: usize) {
    metrics::histogram!(LOG_SYNC, "group" => group.to_owned()).record(took.as_secs_f64());
    metrics::histogram!(LOG_GROUP, "group" => group.to_owned())
        .record(f64::from(u32::try_from(writes).unwrap_or(u32::MAX)));
}
