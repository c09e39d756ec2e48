//! The name below each apex at which a server tells which view it serves.
//!
//! It exists in every zone, though nobody declares it: a wildcard stands in neither for it nor for names below it.

use hickory_proto::op::{LowerQuery, Metadata, ResponseCode};
use hickory_proto::rr::{Name, Record, RecordType};
use holdfast_core::DnsName;
use holdfast_core::answer::{self, Kind, exists_within};
use holdfast_core::steer::Client;
use holdfast_core::view::ZoneAnswers;

use super::{Decision, express, txt};
use crate::publish::Published;
use crate::record::{Records, core_name};

/// The label below an apex at which the state of the server itself is answered.
pub(crate) const LABEL: &str = "_holdfast";

/// Whether a name is the one below this apex.
pub(crate) fn is_at(name: &DnsName, apex: &DnsName) -> bool {
    let below = name.as_str().strip_prefix(LABEL).and_then(|rest| rest.strip_prefix('.'));
    below == Some(apex.as_str())
}

/// Whether the name is that of a zone's state, or below it where nothing is declared.
pub(super) fn is_above(published: &Published, zone: &ZoneAnswers, name: &DnsName) -> bool {
    name.as_str().contains(LABEL)
        && zone.zone.name.child(LABEL).is_ok_and(|status| {
            name.is_within(&status) && !exists_within(published.answers(), &status)
        })
}

/// Answers at the name: a TXT of TTL 0, and NODATA for other types.
pub(super) fn decide(
    metadata: Metadata,
    query: &LowerQuery,
    published: &Published,
    zone: &ZoneAnswers,
) -> Decision {
    let told = matches!(query.query_type(), RecordType::TXT | RecordType::ANY);
    let mut decision = deny(metadata, query, published, zone);
    decision.metadata.response_code = ResponseCode::NoError;
    if told {
        decision.authority.clear();
        decision.answers.push(record(query, published));
    }
    decision
}

/// Says that a name below it does not exist.
pub(super) fn deny(
    metadata: Metadata,
    query: &LowerQuery,
    published: &Published,
    zone: &ZoneAnswers,
) -> Decision {
    let apex = &zone.zone.name;
    let mut decided = answer::answer(published.answers(), apex, Kind::SOA, &Client::anybody(0));
    decided.authority = vec![answer::negative_soa(zone)];
    decided.answers.clear();
    let name = Name::from(query.name());
    let asked = core_name(query.name());
    let mut decision = express(metadata, &Records { asked: &name, asked_core: &asked }, &decided);
    decision.metadata.response_code = ResponseCode::NXDomain;
    decision.zone = Some(apex.clone());
    decision
}

fn record(query: &LowerQuery, published: &Published) -> Record {
    let answers = published.answers();
    let text = format!(
        "group={} generation={} index={} age_ms={} source={}",
        answers.group,
        answers.generation,
        answers.index,
        published.since().elapsed().as_millis(),
        if published.position().live { "live" } else { "disk" },
    );
    txt(query, text.as_bytes())
}
