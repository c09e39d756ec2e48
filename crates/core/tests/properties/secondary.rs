//! What a secondary is given of a zone, told from the view alone: of each set all records, of an ALIAS the addresses
//! that it leads to, of a service that refuses to answer nothing.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Duration;

use holdfast_core::DnsName;
use holdfast_core::spec::{NameServer, RecordData, Soa};
use holdfast_core::view::{Answers, NameAnswers};

use crate::intent::{Intent, Passing, What};

/// How many names an ALIAS may lead over.
const MAX_CHAIN: usize = 8;

type Sets = Vec<(Duration, Vec<(RecordData, u32)>)>;

/// A log in which, again and again, a service comes to lead into a zone that changes.
pub(crate) fn leading_away(intents: Vec<Intent>) -> Vec<Intent> {
    let plain = |what| Intent { passing: Passing::By(1000), request: None, what };
    let mut all = Vec::new();
    for (place, some) in (0..).zip(intents.chunks(6)) {
        let (zone, records) = (1, place % 3);
        all.push(plain(What::Zone { zone, records, secondary: false, revision: None }));
        all.extend(some.iter().cloned());
        let (endpoint, address) = (place % 2, 3);
        all.push(plain(What::Register { service: 0, pool: 0, endpoint, address }));
    }
    all
}

/// A zone but its serial.
#[derive(Debug, PartialEq)]
pub(crate) struct Given {
    apex: (DnsName, Soa, Vec<NameServer>, [Duration; 2]),
    names: BTreeMap<DnsName, Sets>,
}

impl Given {
    /// What is given of a zone, with its serial; `None` where it is not served.
    pub(crate) fn of(answers: &Answers, apex: &DnsName) -> Option<(Self, u32)> {
        let zone = answers.zones.get(apex)?;
        let declared = &zone.zone;
        let times = [declared.ttl, zone.negative_ttl];
        let servers = declared.name_servers.clone();
        let within = answers.names.iter_from(Bound::Included(apex));
        let within = within.take_while(|(name, _)| name.is_within(apex));
        let names = within.map(|(name, here)| (name.clone(), sets_of(answers, here)));
        let given = Self {
            apex: (zone.mname.clone(), declared.soa.clone(), servers, times),
            names: names.filter(|(_, sets)| !sets.is_empty()).collect(),
        };
        Some((given, zone.serial))
    }
}

fn sets_of(answers: &Answers, here: &NameAnswers) -> Sets {
    let sets = here.sets.iter().filter(|_| !here.refused);
    sets.map(|set| {
        let records = set.records.iter().flat_map(|record| flattened(answers, record));
        (set.ttl, records.collect())
    })
    .collect()
}

fn flattened(answers: &Answers, (data, weight): &(RecordData, u32)) -> Vec<(RecordData, u32)> {
    let RecordData::Alias(mut target) = data.clone() else { return vec![(data.clone(), *weight)] };
    for _ in 0..MAX_CHAIN {
        let Some(here) = answers.names.get(&target).filter(|here| !here.refused) else { break };
        let mut records = here.sets.iter().flat_map(|set| &set.records);
        let onward = records.find_map(|(data, _)| match data {
            RecordData::Alias(next) | RecordData::Cname(next) => Some(next.clone()),
            _ => None,
        });
        match onward {
            Some(next) => target = next,
            None => {
                let records = here.sets.iter().flat_map(|set| &set.records).cloned();
                let address = |(data, _): &(RecordData, u32)| {
                    matches!(data, RecordData::A(_) | RecordData::Aaaa(_))
                };
                return records.filter(address).map(|(data, _)| (data, 1)).collect();
            }
        }
    }
    Vec::new()
}
