//! What a secondary is given: the whole zone, what has changed, or the word that nothing has.

use std::sync::Arc;

use holdfast_core::DnsName;
use holdfast_core::answer::AnswerRecord;
use holdfast_core::copied::is_newer;
use holdfast_core::view::{Answers, ZoneAnswers};

use super::delta::Delta;
use super::zone::{ZoneWalk, soa_of};
use crate::publish::Published;

/// The records of a reply, in order.
pub(crate) enum Outgoing {
    /// The SOA alone: nothing is newer, or the reply does not fit and a connection is needed.
    Soa(AnswerRecord),
    /// What is newer.
    Increment(Delta),
    /// The whole zone.
    Whole { soa: AnswerRecord, walk: ZoneWalk },
}

impl Outgoing {
    /// The whole zone.
    pub(crate) fn whole(answers: &Arc<Answers>, zone: &ZoneAnswers) -> Self {
        Self::Whole { soa: soa_of(zone), walk: ZoneWalk::new(Arc::clone(answers), zone) }
    }

    /// The SOA alone.
    pub(crate) fn soa(zone: &ZoneAnswers) -> Self {
        Self::Soa(soa_of(zone))
    }

    /// What is newer than `serial`: an increment if the view of that serial is remembered, else the whole zone.
    pub(crate) fn since(published: &Published, zone: &ZoneAnswers, serial: u32) -> Self {
        if !is_newer(zone.serial, serial) {
            return Self::soa(zone);
        }
        let (answers, apex): (_, &DnsName) = (published.answers(), &zone.zone.name);
        let history = published.history();
        let known = history.find(apex, serial).zip(history.aliases());
        match known.and_then(|(old, aliases)| Delta::between(old, (answers, aliases), apex)) {
            Some(delta) => Self::Increment(delta),
            None => Self::whole(answers, zone),
        }
    }

    /// As what it is counted: `soa`, `increment` or `whole`.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::Soa(_) => "soa",
            Self::Increment(_) => "increment",
            Self::Whole { .. } => "whole",
        }
    }

    /// The records.
    pub(crate) fn into_records(self) -> Box<dyn Iterator<Item = AnswerRecord> + Send> {
        match self {
            Self::Soa(soa) => Box::new(std::iter::once(soa)),
            Self::Increment(delta) => Box::new(delta.into_records().into_iter()),
            Self::Whole { soa, walk } => {
                Box::new(std::iter::once(soa.clone()).chain(walk).chain(std::iter::once(soa)))
            }
        }
    }
}
