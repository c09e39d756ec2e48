//! Every record of a zone, in an order that does not change: the SOA, the name servers, then name by name.
//!
//! A secondary gives all its clients the same, which is [`answer::told_to_all`].

use std::collections::VecDeque;
use std::ops::Bound;
use std::sync::Arc;

use holdfast_core::DnsName;
use holdfast_core::answer::{self, AnswerData, AnswerRecord};
use holdfast_core::spec::RecordData;
use holdfast_core::view::{Answers, NameAnswers, ZoneAnswers};

/// The records of a zone but the SOA, taken from one view.
#[derive(Debug)]
pub(crate) struct ZoneWalk {
    answers: Arc<Answers>,
    apex: DnsName,
    last: Option<DnsName>,
    waiting: VecDeque<AnswerRecord>,
}

impl ZoneWalk {
    /// Begins at the apex.
    pub(crate) fn new(answers: Arc<Answers>, zone: &ZoneAnswers) -> Self {
        let waiting = servers_of(zone).collect();
        Self { answers, apex: zone.zone.name.clone(), last: None, waiting }
    }
}

impl Iterator for ZoneWalk {
    type Item = AnswerRecord;

    fn next(&mut self) -> Option<AnswerRecord> {
        while self.waiting.is_empty() {
            let from = self.last.as_ref().map_or(Bound::Included(&self.apex), Bound::Excluded);
            let (name, here) = self.answers.names.iter_from(from).next()?;
            if !name.is_within(&self.apex) {
                return None;
            }
            if is_of(&self.answers, name, &self.apex) {
                self.waiting.extend(answer::told_to_all(&self.answers, name, here));
            }
            self.last = Some(name.clone());
        }
        self.waiting.pop_front()
    }
}

/// Whether a name within an apex is of its zone and not of one below.
pub(super) fn is_of(answers: &Answers, name: &DnsName, apex: &DnsName) -> bool {
    answer::zone_of(answers, name).is_some_and(|zone| zone.zone.name == *apex)
}

/// The SOA of a zone.
pub(crate) fn soa_of(zone: &ZoneAnswers) -> AnswerRecord {
    let mut soa = answer::negative_soa(zone);
    soa.ttl = zone.zone.ttl;
    soa
}

/// The NS records of an apex.
pub(super) fn servers_of(zone: &ZoneAnswers) -> impl Iterator<Item = AnswerRecord> + '_ {
    zone.zone.name_servers.iter().map(|server| AnswerRecord {
        name: zone.zone.name.clone(),
        ttl: zone.zone.ttl,
        data: AnswerData::Record(RecordData::Ns(server.name.clone())),
    })
}

/// Whether a name's records depend on those of another one.
pub(super) fn has_alias(here: &NameAnswers) -> bool {
    let mut all = here.sets.iter().flat_map(|set| &set.records);
    all.any(|(data, _)| matches!(data, RecordData::Alias(_)))
}
