//! From a question to an answer: the authoritative server's decision as a pure function of one snapshot.
//!
//! RFC 1034 4.3.2 without recursion: find the zone, find the name, chase CNAMEs inside our zones, and say NODATA or
//! NXDOMAIN with the SOA. A registered name never gives NXDOMAIN, and an address set is never empty: a service
//! without endpoints gives NODATA, a fail-closed one SERVFAIL. Wildcards follow the closest encloser (RFC 4592).
//!
//! Every lookup is a search in a sorted map: the cost of "no such name" is that of a hit, whatever the zone's size.
//!
//! What it deliberately does not know: the wire. Case, compression, EDNS and truncation are the server's.

use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Bound;
use core::time::Duration;

use crate::name::DnsName;
use crate::spec::{RecordData, Soa};
use crate::steer::{self, Client};
use crate::view::{Answers, NameAnswers, RecordSet, ZoneAnswers};

pub use crate::spec::Kind;

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
    /// Length of the prefix around the client for which this is the answer (RFC 7871); 0 where it is for everybody.
    pub scope: u8,
}

impl Answer {
    fn bare(code: Code) -> Self {
        Self {
            code,
            authoritative: matches!(code, Code::NoError | Code::NameError),
            answers: Vec::new(),
            authority: Vec::new(),
            additional: Vec::new(),
            scope: 0,
        }
    }
}

/// How many CNAMEs are followed inside our zones.
const MAX_CHAIN: usize = 8;

/// For how many targets of an answer addresses are added.
const MAX_TARGETS: usize = 32;

/// Answers one question of class IN for a client: equal clients get equal answers.
pub fn answer(view: &Answers, name: &DnsName, kind: Kind, client: &Client) -> Answer {
    let Some(mut zone) = zone_of(view, name) else { return Answer::bare(Code::Refused) };
    let mut walk = Walk { view, kind, client, result: Answer::bare(Code::NoError) };
    let mut owner = name.clone();
    for _ in 0..MAX_CHAIN {
        match walk.step(zone, &owner) {
            Next::Done => break,
            Next::Chase(target) => match zone_of(view, &target) {
                Some(next) if !seen(&walk.result.answers, &target) => {
                    owner = target;
                    zone = next;
                }
                _ => break,
            },
        }
    }
    walk.add_targets();
    walk.result
}

/// The zone that a name lies in: the deepest apex at or above it.
///
/// The last apex at or before the name in canonical order is either above the name, or shares with it what every
/// apex above the name must lie at or above; so each look shortens the name.
pub fn zone_of<'a>(view: &'a Answers, name: &DnsName) -> Option<&'a Arc<ZoneAnswers>> {
    let mut shared: Option<DnsName> = None;
    loop {
        let at = shared.as_ref().unwrap_or(name);
        let (apex, zone) = view.zones.last_up_to(at)?;
        if at.is_within(apex) {
            return Some(zone);
        }
        shared = Some(shared_suffix(at, apex));
    }
}

enum Next {
    Done,
    Chase(DnsName),
}

/// One answer being made.
struct Walk<'a> {
    view: &'a Answers,
    kind: Kind,
    client: &'a Client,
    result: Answer,
}

impl Walk<'_> {
    fn step(&mut self, zone: &ZoneAnswers, owner: &DnsName) -> Next {
        let exact = self.view.names.get(owner);
        let exists =
            exact.is_some() || *owner == zone.zone.name || has_data_within(self.view, owner);
        let here = if exists { exact } else { wildcard(self.view, zone, owner) };
        if *owner == zone.zone.name && self.push_apex(zone) {
            return Next::Done;
        }
        if here.is_some_and(|here| here.refused) {
            self.result = Answer::bare(Code::ServerFailure);
            return Next::Done;
        }
        if let Some(set) = here.and_then(|here| set_of(here, self.kind)) {
            let scope = push_set(owner, set, self.client, &mut self.result.answers);
            self.result.scope = self.result.scope.max(scope);
            return match &set.records[0].0 {
                RecordData::Cname(target) if !matches!(self.kind, Kind::CNAME | Kind::ANY) => {
                    Next::Chase(target.clone())
                }
                _ => Next::Done,
            };
        }
        if !exists && here.is_none() {
            self.result.code = Code::NameError;
        }
        self.result.authority.push(negative_soa(zone));
        Next::Done
    }

    fn push_apex(&mut self, zone: &ZoneAnswers) -> bool {
        let apex = &zone.zone;
        match self.kind {
            Kind::SOA | Kind::ANY => self.result.answers.push(soa_record(zone, apex.ttl)),
            Kind::NS => {
                self.result.answers.extend(apex.name_servers.iter().map(|server| AnswerRecord {
                    name: apex.name.clone(),
                    ttl: apex.ttl,
                    data: AnswerData::Record(RecordData::Ns(server.name.clone())),
                }))
            }
            _ => return false,
        }
        true
    }

    /// Adds the addresses of SRV and NS targets that are ours: glue, and one round trip saved.
    fn add_targets(&mut self) {
        let mut targets: Vec<&DnsName> = Vec::new();
        for record in &self.result.answers {
            if let AnswerData::Record(RecordData::Srv { target, .. } | RecordData::Ns(target)) =
                &record.data
                && targets.len() < MAX_TARGETS
                && !targets.contains(&target)
            {
                targets.push(target);
            }
        }
        for target in targets {
            let Some(here) = self.view.names.get(target).filter(|here| !here.refused) else {
                continue;
            };
            for kind in [Kind::A, Kind::AAAA] {
                if let Some(set) = set_of_exactly(here, kind) {
                    let scope = push_set(target, set, self.client, &mut self.result.additional);
                    self.result.scope = self.result.scope.max(scope);
                }
            }
        }
    }
}

/// The SOA of a zone's negative answers.
pub fn negative_soa(zone: &ZoneAnswers) -> AnswerRecord {
    soa_record(zone, zone.negative_ttl.min(zone.zone.ttl))
}

fn soa_record(zone: &ZoneAnswers, ttl: Duration) -> AnswerRecord {
    let apex = &zone.zone;
    AnswerRecord {
        name: apex.name.clone(),
        ttl,
        data: AnswerData::Soa {
            primary: apex.name_servers.first().map_or(&apex.name, |server| &server.name).clone(),
            soa: apex.soa.clone(),
            serial: zone.serial,
            minimum: zone.negative_ttl,
        },
    }
}

/// The set that answers a type: its own, or the CNAME.
fn set_of(here: &NameAnswers, kind: Kind) -> Option<&RecordSet> {
    match kind {
        Kind::ANY => here.sets.iter().find(|set| !set.records.is_empty()),
        _ => set_of_exactly(here, kind).or_else(|| set_of_exactly(here, Kind::CNAME)),
    }
}

fn set_of_exactly(here: &NameAnswers, kind: Kind) -> Option<&RecordSet> {
    here.sets.iter().find(|set| set.records.first().is_some_and(|(data, _)| data.kind() == kind))
}

/// Whether there is data at a name or below it; a name that has it below only is an empty non-terminal (RFC 8020).
pub fn has_data_within(view: &Answers, name: &DnsName) -> bool {
    view.names.iter_from(Bound::Included(name)).next().is_some_and(|(next, _)| next.is_within(name))
}

/// The wildcard that stands in for a name that does not exist: the one right below its closest encloser, the
/// deepest name above it that exists (RFC 4592, 3.3.1). Of all names, the two beside it share the most with it.
fn wildcard<'a>(
    view: &'a Answers,
    zone: &ZoneAnswers,
    name: &DnsName,
) -> Option<&'a Arc<NameAnswers>> {
    let before = view.names.last_before(name);
    let after = view.names.iter_from(Bound::Included(name)).next();
    let encloser = [before, after]
        .into_iter()
        .flatten()
        .map(|(beside, _)| shared_suffix(name, beside))
        .chain([zone.zone.name.clone()])
        .max_by_key(|shared| shared.as_str().len())?;
    view.names.get(&encloser.child("*").ok()?)
}

/// The labels that two names have in common, from the right.
fn shared_suffix(name: &DnsName, other: &DnsName) -> DnsName {
    let labels = || name.as_str().rsplit('.').zip(other.as_str().rsplit('.'));
    let length: usize =
        labels().take_while(|(a, b)| a == b).map(|(label, _)| label.len() + 1).sum();
    let start = name.as_str().len().saturating_sub(length.saturating_sub(1));
    DnsName::from_query(name.as_str()[start..].to_string())
}

/// Adds what the client gets of a set; returns the scope of that choice.
fn push_set(owner: &DnsName, set: &RecordSet, client: &Client, out: &mut Vec<AnswerRecord>) -> u8 {
    steer::choose(set, client, |place| {
        let data = AnswerData::Record(set.records[place].0.clone());
        out.push(AnswerRecord { name: owner.clone(), ttl: set.ttl, data });
    })
}

fn seen(answers: &[AnswerRecord], name: &DnsName) -> bool {
    answers.iter().any(|record| record.name == *name)
}
