//! Names of what is counted here, each described once.

use metrics::{Unit, describe_counter, describe_gauge};

/// Requests that were refused, by stable reason.
pub(crate) const REFUSALS: &str = "holdfast_api_refusals_total";
/// Streams that are open, by kind.
pub(crate) const STREAMS: &str = "holdfast_api_streams";
/// Changes of services that watchers can resume from.
pub(crate) const FEED_LENGTH: &str = "holdfast_api_feed_changes";
/// Clients whose rate is kept.
pub(crate) const CLIENTS: &str = "holdfast_api_rate_limited_clients";
/// Connections that are open.
pub(crate) const CONNECTIONS: &str = "holdfast_api_connections";
/// Connections that were closed unasked, by the limit they met: `total`, `address` or `silence`.
pub(crate) const CONNECTIONS_CLOSED: &str = "holdfast_api_connections_closed_total";

/// Describes them to whoever collects.
pub(crate) fn describe() {
    describe_counter!(REFUSALS, Unit::Count, "Requests refused, by stable reason");
    describe_gauge!(STREAMS, Unit::Count, "Open streams, by kind");
    describe_gauge!(FEED_LENGTH, Unit::Count, "Changes of services that watchers can resume from");
    describe_gauge!(CLIENTS, Unit::Count, "Clients whose rate is kept");
    describe_gauge!(CONNECTIONS, Unit::Count, "Open connections");
    describe_counter!(CONNECTIONS_CLOSED, Unit::Count, "Connections closed unasked, by limit met");
}
