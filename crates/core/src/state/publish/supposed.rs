//! What would be answered, were a zone declared otherwise than it is: what a declaration is warned of.
//!
//! Made of a view, so that any agent can tell, before the declaration and after it alike. Invariant: what the supposed
//! answers hold at the zone's names is what a publication would put there. Services that would come or go are not
//! supposed.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Bound;

use super::Renaming;
use super::zone_names::static_names;
use crate::answer;
use crate::name::DnsName;
use crate::spec::{RecordData, Zone};
use crate::view::{Answers, View, ZoneAnswers};

/// The ALIASes of a zone, were it declared so, that lead to nothing to answer with, so that whoever asks gets SERVFAIL:
/// their names, and where they lead.
pub fn dead_aliases<'a>(view: &View, zone: &'a Zone) -> Vec<(&'a DnsName, &'a DnsName)> {
    let alias = |data: &'a RecordData| match data {
        RecordData::Alias(target) => Some(target),
        _ => None,
    };
    let aliases = zone.records.iter().filter_map(|r| Some((&r.name, alias(&r.data)?)));
    let mut aliases: Vec<_> = aliases.collect();
    if !aliases.is_empty() {
        let answers = with_zone(view, zone);
        aliases.retain(|(name, _)| answer::flattened(&answers, name).is_empty());
    }
    aliases
}

fn with_zone(view: &View, zone: &Zone) -> Answers {
    let mut answers = view.answers.as_ref().clone();
    let Zone { name: apex, soa, name_servers, ttl, .. } = zone;
    let present = answers.names.iter_from(Bound::Included(apex));
    let present = present.take_while(|(name, _)| name.is_within(apex));
    let old = present.filter(|(_, here)| here.service.is_none()).map(|(name, _)| name.clone());
    let old = old.collect();
    let of_service =
        |name: &DnsName| view.answers.names.get(name).is_some_and(|here| here.service.is_some());
    let dynamic = view.dynamic.get(apex).cloned().unwrap_or_default();
    let mut renaming = Renaming::default();
    renaming.replace(&view.answers, old, static_names(zone, &dynamic, of_service));
    renaming.carry_out(&mut answers);
    let zone = Zone::new(apex.clone(), soa.clone(), name_servers.clone(), *ttl);
    answers.zones.insert(apex.clone(), Arc::new(ZoneAnswers::new(zone, 0)));
    answers
}
