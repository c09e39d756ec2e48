//! What is told where one answer is for all clients and turns together, as a secondary gives it: nothing is chosen.
//!
//! All records of a set that rotates, weighs or steers; of several CNAMEs the heaviest, for a name can have only one; of an
//! ALIAS the addresses that it is answered with, and their TTL; nothing of what is answered with a failure.

use alloc::vec::Vec;

use super::{AnswerData, AnswerRecord, Kind, walk};
use crate::name::DnsName;
use crate::spec::RecordData;
use crate::view::{Answers, NameAnswers, RecordSet};

/// The records at a name of a view.
pub fn told_to_all(view: &Answers, name: &DnsName, here: &NameAnswers) -> Vec<AnswerRecord> {
    let sets: &[RecordSet] = if here.refused { &[] } else { &here.sets };
    let mut records = Vec::new();
    for set in sets {
        if set.records.iter().any(|(data, _)| data.kind() == Kind::ALIAS) {
            records.extend(flattened(view, name));
            continue;
        }
        records.extend(all_of(set).into_iter().map(|data| AnswerRecord {
            name: name.clone(),
            ttl: set.ttl,
            data: AnswerData::Record(data.clone()),
        }));
    }
    records
}

/// The addresses of the ALIAS at a name, as records of that name. None where the answer is a failure.
pub(crate) fn flattened(view: &Answers, owner: &DnsName) -> Vec<AnswerRecord> {
    let addresses = [Kind::A, Kind::AAAA].map(|kind| walk::answer_to_all(view, owner, kind));
    addresses.into_iter().flat_map(|answer| answer.answers).collect()
}

/// What of a set is told.
pub(super) fn all_of(set: &RecordSet) -> Vec<&RecordData> {
    let aliases = set.records.iter().filter(|(data, _)| data.kind() == Kind::CNAME);
    match aliases.max_by_key(|(_, weight)| *weight) {
        Some((alias, _)) => [alias].into(),
        None => set.records.iter().map(|(data, _)| data).collect(),
    }
}
