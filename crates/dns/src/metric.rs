//! The metrics of the server: their names, and counters that a query finds without building a label.
//!
//! The `zone` label is bounded: only zones of the served view have one, the first [`MAX_ZONES`] of them; everything
//! else is `other`. A counter is made when it is first needed, so that a thousand quiet zones cost nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use hickory_proto::op::ResponseCode;
use holdfast_core::DnsName;
use holdfast_core::view::Answers;
use metrics::{Counter, counter, describe_counter, describe_gauge, describe_histogram};

use crate::class::Class;
use crate::respond::Transport;

pub(crate) const QUERIES: &str = "holdfast_dns_queries_total";
pub(crate) const QUERY_DURATION: &str = "holdfast_dns_query_duration_seconds";
pub(crate) const DROPPED: &str = "holdfast_dns_dropped_total";
pub(crate) const RATE_LIMITED: &str = "holdfast_dns_rate_limited_total";
pub(crate) const VIEW_INDEX: &str = "holdfast_dns_view_index";
pub(crate) const LKG_FAILURES: &str = "holdfast_dns_last_known_good_failures_total";
pub(crate) const CONNECTIONS: &str = "holdfast_dns_connections";
pub(crate) const DISMISSED: &str = "holdfast_dns_connections_dismissed_total";
pub(crate) const CERTIFICATE_FAILURES: &str = "holdfast_dns_certificate_failures_total";
pub(crate) const SOCKET_ERRORS: &str = "holdfast_dns_socket_errors_total";
pub(crate) const TRANSFERS: &str = "holdfast_dns_transfers_total";
pub(crate) const NOTIFIES: &str = "holdfast_dns_notifies_total";
pub(crate) const UPDATES: &str = "holdfast_dns_updates_total";
pub(crate) const TSIG_FAULTS: &str = "holdfast_dns_tsig_faults_total";
pub(crate) const SIGNATURES: &str = "holdfast_dns_signatures_total";
pub(crate) const PRESIGNED: &str = "holdfast_dns_presigned_signatures";
pub(crate) const PRESIGNED_INDEX: &str = "holdfast_dns_presigned_view_index";
pub(crate) const UNSIGNED: &str = "holdfast_dns_unsigned_total";
pub(crate) const UNSIGNABLE: &str = "holdfast_dns_unsignable_zones";
pub(crate) const PANICS: &str = "holdfast_dns_panics_total";
pub(crate) const GEO_BROKEN: &str = "holdfast_dns_geo_databases_broken";
pub(crate) const QUERY_LOG_LOST: &str = "holdfast_dns_query_log_lost_total";

/// The most zones with a label of their own.
pub(crate) const MAX_ZONES: usize = 256;

/// Says what each metric means.
pub(crate) fn describe() {
    describe_counter!(QUERIES, "DNS queries answered, by zone, response code, class and transport");
    describe_histogram!(QUERY_DURATION, "Time to make an answer, one query in 64, in seconds");
    describe_counter!(
        SIGNATURES,
        "DNSSEC signatures made, before they were asked for (presigned) or for a question (asked)"
    );
    describe_counter!(
        UNSIGNED,
        "Answers replaced by SERVFAIL because they could not be signed, by reason (key, clock, limit, form)"
    );
    describe_gauge!(PRESIGNED, "DNSSEC signatures kept that were made before they were asked for");
    describe_gauge!(PRESIGNED_INDEX, "Log index of the last view that was signed as a whole");
    describe_gauge!(
        UNSIGNABLE,
        "Signed zones whose signed answers are refused: no key, or a clock far behind"
    );
    describe_counter!(DROPPED, "DNS messages that deserved silence, by reason and transport");
    describe_counter!(
        RATE_LIMITED,
        "DNS answers withheld by rate limiting, by what was sent instead"
    );
    describe_gauge!(VIEW_INDEX, "Log index of the view that DNS serves");
    describe_counter!(LKG_FAILURES, "Failed writes and reads of the last-known-good file");
    describe_gauge!(CONNECTIONS, "Open DNS connections, by transport");
    describe_counter!(
        DISMISSED,
        "DNS connections closed because another one needed their place, by transport and reason"
    );
    describe_counter!(
        CERTIFICATE_FAILURES,
        "New certificates of encrypted DNS that could not be used"
    );
    describe_counter!(SOCKET_ERRORS, "Errors of DNS sockets, by transport and operation");
    describe_gauge!(
        GEO_BROKEN,
        "Databases of places whose file cannot be read; an older one is used"
    );
    describe_counter!(QUERY_LOG_LOST, "Samples of the query log that could not be written");
    describe_counter!(
        TRANSFERS,
        "Requests to copy a zone, by kind (axfr, ixfr) and what was given (whole, increment, soa), or why not (refused, crowded)"
    );
    describe_counter!(NOTIFIES, "NOTIFY messages, by result (sent, acknowledged, heard, refused)");
    describe_counter!(UPDATES, "Dynamic updates answered, by result (the response code)");
    describe_counter!(TSIG_FAULTS, "Signed DNS messages that were refused, by error");
    describe_counter!(
        PANICS,
        "DNS messages that made the server panic and were dropped: a bug, report it"
    );
}

/// Counts signatures by where they are made: `presigned` or `asked`.
pub(crate) fn signatures(made: &'static str) -> Counter {
    counter!(SIGNATURES, "where" => made)
}

/// The response codes that we send.
const CODES: [(ResponseCode, &str); 9] = [
    (ResponseCode::NoError, "NOERROR"),
    (ResponseCode::NXDomain, "NXDOMAIN"),
    (ResponseCode::Refused, "REFUSED"),
    (ResponseCode::ServFail, "SERVFAIL"),
    (ResponseCode::FormErr, "FORMERR"),
    (ResponseCode::NotImp, "NOTIMP"),
    (ResponseCode::BADVERS, "BADVERS"),
    (ResponseCode::BADCOOKIE, "BADCOOKIE"),
    (ResponseCode::YXDomain, "YXDOMAIN"),
];

/// What one counter of a zone and transport counts: a code, of NOERROR each class by itself.
const COUNTED: usize = CODES.len() + Class::OF_NOERROR.len() - 1;

/// The place of a counter, and the code's name.
fn place(class: Class, code: ResponseCode) -> Option<(usize, &'static str)> {
    let found = CODES.iter().position(|(known, _)| *known == code)?;
    let within = Class::OF_NOERROR.iter().position(|known| *known == class);
    let place = if found == 0 { within? } else { found + Class::OF_NOERROR.len() - 1 };
    Some((place, CODES[found].1))
}

/// The name of a response code that we send.
pub(crate) fn code_name(code: ResponseCode) -> Option<&'static str> {
    CODES.iter().find(|(known, _)| *known == code).map(|(_, name)| *name)
}

/// The counters of one zone, or of everything else.
#[derive(Debug)]
pub(crate) struct Counters {
    zone: String,
    by_transport: [[OnceLock<Counter>; COUNTED]; Transport::COUNT],
}

impl Counters {
    fn new(zone: &str) -> Arc<Self> {
        Arc::new(Self { zone: zone.to_owned(), by_transport: Default::default() })
    }

    pub(crate) fn count(
        &self,
        (code, class): (ResponseCode, Class),
        transport: Transport,
        queries: u64,
    ) {
        let Some((place, name)) = place(class, code) else { return };
        self.by_transport[transport as usize][place]
            .get_or_init(|| {
                counter!(QUERIES, "zone" => self.zone.clone(), "rcode" => name,
                    "class" => class.name(), "transport" => transport.name())
            })
            .increment(queries);
    }
}

/// The query counters of a view.
#[derive(Debug)]
pub(crate) struct QueryCounters {
    zones: BTreeMap<DnsName, Arc<Counters>>,
    other: Arc<Counters>,
}

impl QueryCounters {
    /// Makes the counters of a view's zones.
    pub(crate) fn of(answers: &Answers) -> Self {
        let zones = answers.zones.keys().take(MAX_ZONES);
        Self {
            zones: zones.map(|zone| (zone.clone(), Counters::new(zone.as_str()))).collect(),
            other: Counters::new("other"),
        }
    }

    /// The counters while there is no view.
    pub(crate) fn without_view() -> &'static Self {
        static WITHOUT_VIEW: OnceLock<QueryCounters> = OnceLock::new();
        WITHOUT_VIEW.get_or_init(|| Self::of(&Answers::default()))
    }

    /// Whether these are the counters of that view's zones too.
    pub(crate) fn fit(&self, answers: &Answers) -> bool {
        self.zones.keys().eq(answers.zones.keys().take(MAX_ZONES))
    }

    /// The counters of one zone, or of everything else.
    pub(crate) fn at(&self, zone: Option<&DnsName>) -> &Arc<Counters> {
        zone.and_then(|zone| self.zones.get(zone)).unwrap_or(&self.other)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use holdfast_core::spec::{Soa, Zone};
    use holdfast_core::view::ZoneAnswers;

    use super::*;

    fn view(zones: usize) -> Answers {
        let names =
            (0..zones).map(|number| DnsName::new(&format!("z{number}.test")).expect("valid"));
        let zone = |name: &DnsName| {
            Zone::new(name.clone(), Soa::new(name.clone()), vec![], Duration::ZERO)
        };
        let answers = |zone: Zone| Arc::new(ZoneAnswers::new(zone, 0));
        let zones = names.map(|name| (name.clone(), answers(zone(&name)))).collect();
        Answers { zones, ..Answers::default() }
    }

    #[test]
    fn labels_are_bounded_and_kept_while_the_zones_are_the_same() {
        let counters = QueryCounters::of(&view(MAX_ZONES + 50));
        assert_eq!(counters.zones.len(), MAX_ZONES);
        assert!(counters.fit(&view(MAX_ZONES + 50)));
        assert!(!counters.fit(&view(MAX_ZONES - 1)));
        assert!(QueryCounters::of(&view(2)).fit(&view(2)));
        assert!(!QueryCounters::of(&view(2)).fit(&view(3)));
    }
}
