//! What differs in a zone between two views: what an incremental transfer takes away and what it adds (RFC 1995).
//!
//! Costs what differs between the two views, in all zones, and the zone's ALIASes; not what there is.

use std::sync::Arc;

use holdfast_core::DnsName;
use holdfast_core::answer::{AnswerRecord, told_to_all};
use holdfast_core::view::{Answers, NameAnswers, ZoneAnswers};

use super::aliases::Aliases;
use super::zone::{is_of, servers_of, soa_of};

/// The most records that an increment takes away and adds; what is more is transferred as a whole.
const MAX_RECORDS: usize = 50_000;
/// The most ALIASes that are followed for an increment, in both views, before its first byte; a zone with more is
/// transferred as a whole, which goes on as the peer takes it.
const MAX_ALIASES: usize = 1_000;

/// From one serial of a zone to another, in one step.
#[derive(Debug)]
pub(crate) struct Delta {
    pub(crate) old_soa: AnswerRecord,
    pub(crate) new_soa: AnswerRecord,
    pub(crate) removed: Vec<AnswerRecord>,
    pub(crate) added: Vec<AnswerRecord>,
}

impl Delta {
    /// What differs in the zone of this apex, which both views have; `None` where it is too much for an increment.
    /// `aliases` are those of the newer view.
    pub(crate) fn between(
        old: &Answers,
        (new, aliases): (&Answers, &Aliases),
        apex: &DnsName,
    ) -> Option<Self> {
        let (was, is) = (old.zones.get(apex)?, new.zones.get(apex)?);
        let mut delta = Self {
            old_soa: soa_of(was),
            new_soa: soa_of(is),
            removed: Vec::new(),
            added: Vec::new(),
        };
        delta.note(servers(was), servers(is));
        for (name, was, is) in old.names.differences(&new.names) {
            if !name.is_within(apex) {
                continue;
            }
            let was = was.filter(|_| is_of(old, name, apex));
            let is = is.filter(|_| is_of(new, name, apex));
            delta.note(all(old, name, was), all(new, name, is));
            if delta.is_too_much() {
                return None;
            }
        }
        for (followed, name) in aliases.within(apex).enumerate() {
            delta.note_alias((old, new), apex, name);
            if followed >= MAX_ALIASES || delta.is_too_much() {
                return None;
            }
        }
        Some(delta)
    }

    fn is_too_much(&self) -> bool {
        self.removed.len() + self.added.len() > MAX_RECORDS
    }

    /// The records of the increment in the order of the wire.
    pub(crate) fn into_records(self) -> Vec<AnswerRecord> {
        let Self { old_soa, new_soa, removed, added } = self;
        let begin = [new_soa.clone(), old_soa];
        let removed = begin.into_iter().chain(removed).chain([new_soa.clone()]);
        removed.chain(added).chain([new_soa]).collect()
    }

    /// A name whose records lie elsewhere differs though nothing at it does.
    fn note_alias(&mut self, (old, new): (&Answers, &Answers), apex: &DnsName, name: &DnsName) {
        let (was, is) = (old.names.get(name), new.names.get(name));
        if was == is {
            let was = was.filter(|_| is_of(old, name, apex));
            let is = is.filter(|_| is_of(new, name, apex));
            self.note(all(old, name, was), all(new, name, is));
        }
    }

    fn note(&mut self, was: Vec<AnswerRecord>, is: Vec<AnswerRecord>) {
        self.removed.extend(was.iter().filter(|record| !is.contains(record)).cloned());
        self.added.extend(is.into_iter().filter(|record| !was.contains(record)));
    }
}

fn servers(zone: &ZoneAnswers) -> Vec<AnswerRecord> {
    servers_of(zone).collect()
}

fn all(answers: &Answers, name: &DnsName, here: Option<&Arc<NameAnswers>>) -> Vec<AnswerRecord> {
    here.map(|here| told_to_all(answers, name, here)).unwrap_or_default()
}
