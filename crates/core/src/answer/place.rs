//! Where a name lies: its zone, the deepest name above it that exists, and what cuts it off from its zone.

use alloc::string::ToString;
use alloc::sync::Arc;
use core::ops::Bound;

use super::Kind;
use super::walk::set_of_exactly;
use crate::name::DnsName;
use crate::view::{Answers, RecordSet, ZoneAnswers};

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

/// Whether there is data or an apex at a name or below it; a name that has it below only is an empty non-terminal
/// (RFC 8020).
pub fn exists_within(view: &Answers, name: &DnsName) -> bool {
    let from = Bound::Included(name);
    view.names.iter_from(from).next().is_some_and(|(next, _)| next.is_within(name))
        || view.zones.iter_from(from).next().is_some_and(|(next, _)| next.is_within(name))
}

/// The deepest name at or above this one that exists: its closest encloser (RFC 4592, 3.3.1), or the name itself. Of
/// all names, those beside it share the most with it.
pub(super) fn closest(view: &Answers, zone: &ZoneAnswers, name: &DnsName) -> DnsName {
    let from = Bound::Included(name);
    let names = [view.names.last_before(name), view.names.iter_from(from).next()];
    let zones = [view.zones.last_before(name), view.zones.iter_from(from).next()];
    let names = names.into_iter().flatten().map(|(beside, _)| beside);
    let zones = zones.into_iter().flatten().map(|(beside, _)| beside);
    names
        .chain(zones)
        .map(|beside| shared_suffix(name, beside))
        .max_by_key(|shared| shared.as_str().len())
        .filter(|shared| shared.as_str().len() > zone.zone.name.as_str().len())
        .unwrap_or_else(|| zone.zone.name.clone())
}

/// What cuts a name off from the zone it lies in.
#[derive(Debug)]
pub enum Cut<'a> {
    /// Name servers of another zone, which begins here.
    Delegation(&'a RecordSet),
    /// Another name for everything below.
    Dname(&'a RecordSet),
}

/// The highest cut at or above a name within its zone, and where it is. `name` exists, or is the closest encloser of
/// `asked`, which lies at it or below. A DNAME says nothing about its own name.
pub fn cut_above<'a>(
    view: &'a Answers,
    zone: &ZoneAnswers,
    (name, asked): (&DnsName, &DnsName),
) -> Option<(DnsName, Cut<'a>)> {
    let mut found = None;
    let mut at = Some(name.clone());
    while let Some(here) = at.filter(|here| here.is_within(&zone.zone.name)) {
        let apex = here == zone.zone.name;
        if let Some(data) = view.names.get(&here) {
            let delegation = set_of_exactly(data, Kind::NS).filter(|_| !apex);
            let dname = set_of_exactly(data, Kind::DNAME).filter(|_| here != *asked);
            let cut = delegation.map(Cut::Delegation).or(dname.map(Cut::Dname));
            found = cut.map(|cut| (here.clone(), cut)).or(found);
        }
        at = here.parent().filter(|_| !apex);
    }
    found
}

/// The labels that two names have in common, from the right.
fn shared_suffix(name: &DnsName, other: &DnsName) -> DnsName {
    let labels = || name.as_str().rsplit('.').zip(other.as_str().rsplit('.'));
    let length: usize =
        labels().take_while(|(a, b)| a == b).map(|(label, _)| label.len() + 1).sum();
    let start = name.as_str().len().saturating_sub(length.saturating_sub(1));
    DnsName::from_query(name.as_str()[start..].to_string())
}
