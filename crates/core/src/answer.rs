//! From a question to an answer: the authoritative server's decision as a pure function of one snapshot.
//!
//! RFC 1034 4.3.2 without recursion: find the zone, find the name, chase CNAMEs inside our zones, and say NODATA or
//! NXDOMAIN with the SOA. A registered name never gives NXDOMAIN, and an address set is never empty: a service
//! without endpoints gives NODATA, a fail-closed one SERVFAIL.
//!
//! What it deliberately does not know: the wire. Case, compression, EDNS and truncation are the server's.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use crate::name::DnsName;
use crate::spec::{RecordData, Soa};
use crate::view::{Answers, NameAnswers, Pick, RecordSet, ZoneAnswers};

/// A record type that we hold data of, or any other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// An IPv4 address.
    A,
    /// An IPv6 address.
    Aaaa,
    /// A canonical name.
    Cname,
    /// A server and its port.
    Srv,
    /// Texts.
    Txt,
    /// A name server.
    Ns,
    /// The start of authority.
    Soa,
    /// ANY (RFC 8482: one record set is enough).
    Any,
    /// A type of which we hold no data.
    Other,
}

impl Kind {
    fn of(data: &RecordData) -> Self {
        match data {
            RecordData::A(_) => Self::A,
            RecordData::Aaaa(_) => Self::Aaaa,
            RecordData::Cname(_) => Self::Cname,
            RecordData::Srv { .. } => Self::Srv,
            RecordData::Txt(_) => Self::Txt,
            RecordData::Ns(_) => Self::Ns,
        }
    }
}

/// The response code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// There is an answer, or the name exists without data of this type.
    NoError,
    /// Neither the name nor anything below it exists.
    NameError,
    /// The name is in none of our zones.
    Refused,
    /// The service refuses to answer: nothing is up and it is fail-closed.
    ServerFailure,
}

/// A record of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerRecord {
    /// Its owner.
    pub name: DnsName,
    /// Its TTL.
    pub ttl: Duration,
    /// Its data.
    pub data: AnswerData,
}

/// The data of a record of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnswerData {
    /// Data that is declared or decided.
    Record(RecordData),
    /// The start of authority of a zone.
    Soa {
        /// The first name server.
        primary: DnsName,
        /// The declared fields.
        soa: Soa,
        /// The serial.
        serial: u32,
        /// The MINIMUM field: the negative TTL.
        minimum: Duration,
    },
}

/// The answer to a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The response code.
    pub code: Code,
    /// Whether it is ours to say (AA).
    pub authoritative: bool,
    /// The answer section.
    pub answers: Vec<AnswerRecord>,
    /// The authority section: the SOA of a negative answer.
    pub authority: Vec<AnswerRecord>,
    /// The additional section: addresses of targets in our zones.
    pub additional: Vec<AnswerRecord>,
}

impl Answer {
    fn bare(code: Code) -> Self {
        Self {
            code,
            authoritative: code != Code::Refused,
            answers: Vec::new(),
            authority: Vec::new(),
            additional: Vec::new(),
        }
    }
}

/// How many CNAMEs are followed inside our zones.
const MAX_CHAIN: usize = 8;

/// Answers one question of class IN. `turn` chooses among records where the service rotates or weighs: equal turns
/// give equal answers.
pub fn answer(view: &Answers, name: &DnsName, kind: Kind, turn: u32) -> Answer {
    let Some(zone) = zone_of(view, name) else { return Answer::bare(Code::Refused) };
    let mut result = Answer::bare(Code::NoError);
    let mut owner = name.clone();
    let mut zone = zone;
    for _ in 0..MAX_CHAIN {
        match step(view, zone, &owner, kind, turn, &mut result) {
            Next::Done => break,
            Next::Chase(target) => match zone_of(view, &target) {
                Some(next) if !seen(&result.answers, &target) => {
                    owner = target;
                    zone = next;
                }
                _ => break,
            },
        }
    }
    add_targets(view, turn, &mut result);
    result
}

/// The zone that a name lies in: the deepest apex at or above it.
pub fn zone_of<'a>(view: &'a Answers, name: &DnsName) -> Option<&'a Arc<ZoneAnswers>> {
    let mut at = Some(name.clone());
    while let Some(apex) = at {
        if let Some(zone) = view.zones.get(&apex) {
            return Some(zone);
        }
        at = apex.parent();
    }
    None
}

enum Next {
    Done,
    Chase(DnsName),
}

fn step(
    view: &Answers,
    zone: &ZoneAnswers,
    owner: &DnsName,
    kind: Kind,
    turn: u32,
    result: &mut Answer,
) -> Next {
    let here = view.names.get(owner);
    if here.is_some_and(|here| here.refused) {
        *result = Answer::bare(Code::ServerFailure);
        return Next::Done;
    }
    if *owner == zone.zone.name && apex_records(zone, kind, result) {
        return Next::Done;
    }
    if let Some(here) = here {
        if let Some(set) = set_of(here, kind) {
            let start = result.answers.len();
            push_set(owner, set, turn, &mut result.answers);
            return match &result.answers[start].data {
                AnswerData::Record(RecordData::Cname(target)) if kind != Kind::Cname && kind != Kind::Any => {
                    Next::Chase(target.clone())
                }
                _ => Next::Done,
            };
        }
    } else if *owner != zone.zone.name && !has_children(view, owner) {
        result.code = Code::NameError;
    }
    result.authority.push(soa_record(zone, zone.negative_ttl));
    Next::Done
}

fn apex_records(zone: &ZoneAnswers, kind: Kind, result: &mut Answer) -> bool {
    match kind {
        Kind::Soa | Kind::Any => result.answers.push(soa_record(zone, zone.zone.ttl)),
        Kind::Ns => result.answers.extend(zone.zone.name_servers.iter().map(|server| AnswerRecord {
            name: zone.zone.name.clone(),
            ttl: zone.zone.ttl,
            data: AnswerData::Record(RecordData::Ns(server.name.clone())),
        })),
        _ => return false,
    }
    true
}

fn soa_record(zone: &ZoneAnswers, ttl: Duration) -> AnswerRecord {
    AnswerRecord {
        name: zone.zone.name.clone(),
        ttl,
        data: AnswerData::Soa {
            primary: zone.zone.name_servers[0].name.clone(),
            soa: zone.zone.soa.clone(),
            serial: zone.serial,
            minimum: zone.negative_ttl,
        },
    }
}

/// The set that answers a type: its own, or the CNAME.
fn set_of(here: &NameAnswers, kind: Kind) -> Option<&RecordSet> {
    let of = |wanted: Kind| {
        here.sets.iter().find(|set| set.records.first().is_some_and(|(data, _)| Kind::of(data) == wanted))
    };
    match kind {
        Kind::Any => here.sets.first(),
        _ => of(kind).or_else(|| of(Kind::Cname)),
    }
}

/// Whether a name without data has names below it (an empty non-terminal, RFC 8020).
fn has_children(view: &Answers, name: &DnsName) -> bool {
    view.names.range(name.clone()..).next().is_some_and(|(next, _)| next.is_within(name))
}

fn push_set(owner: &DnsName, set: &RecordSet, turn: u32, out: &mut Vec<AnswerRecord>) {
    let record = |(data, _): &(RecordData, u32)| AnswerRecord {
        name: owner.clone(),
        ttl: set.ttl,
        data: AnswerData::Record(data.clone()),
    };
    let count = set.records.len();
    match set.pick {
        Pick::All => out.extend(set.records.iter().map(record)),
        Pick::Rotate(max) => {
            let start = turn as usize % count;
            let rotated = set.records[start..].iter().chain(&set.records[..start]);
            out.extend(rotated.take(usize::from(max)).map(record));
        }
        Pick::Weighted => out.push(record(&set.records[weighted(&set.records, turn)])),
    }
}

/// The place that `turn` falls on when every record covers as many turns as it weighs. Multiplying by a large prime
/// spreads consecutive turns over the places and keeps the shares exact.
fn weighted(records: &[(RecordData, u32)], turn: u32) -> usize {
    let total: u64 = records.iter().map(|(_, weight)| u64::from(*weight)).sum();
    if total == 0 {
        return turn as usize % records.len();
    }
    let mut at = u64::from(turn).wrapping_mul(2_654_435_761) % total;
    for (place, (_, weight)) in records.iter().enumerate() {
        if at < u64::from(*weight) {
            return place;
        }
        at -= u64::from(*weight);
    }
    0
}

fn seen(answers: &[AnswerRecord], name: &DnsName) -> bool {
    answers.iter().any(|record| record.name == *name)
}

/// Adds the addresses of SRV and NS targets that are ours: glue, and one round trip saved.
fn add_targets(view: &Answers, turn: u32, result: &mut Answer) {
    let mut targets: Vec<DnsName> = Vec::new();
    for record in &result.answers {
        if let AnswerData::Record(RecordData::Srv { target, .. } | RecordData::Ns(target)) = &record.data
            && !targets.contains(target)
        {
            targets.push(target.clone());
        }
    }
    for target in targets {
        let Some(here) = view.names.get(&target).filter(|here| !here.refused) else { continue };
        for set in &here.sets {
            if matches!(set.records[0].0, RecordData::A(_) | RecordData::Aaaa(_)) {
                push_set(&target, set, turn, &mut result.additional);
            }
        }
    }
}
