//! What a secondary is given of a zone, told from the view alone.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Duration;

use holdfast_core::DnsName;
use holdfast_core::answer::{AnswerRecord, told_to_all};
use holdfast_core::spec::{NameServer, Soa};
use holdfast_core::view::Answers;

use crate::intent::{Intent, Passing, What};

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
    names: BTreeMap<DnsName, Vec<AnswerRecord>>,
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
        let names = within.map(|(name, here)| (name.clone(), told_to_all(answers, name, here)));
        let given = Self {
            apex: (zone.mname.clone(), declared.soa.clone(), servers, times),
            names: names.filter(|(_, records)| !records.is_empty()).collect(),
        };
        Some((given, zone.serial))
    }
}
