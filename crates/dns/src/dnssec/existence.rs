//! What exists at a name and above it, as proofs need it: the same rules as `holdfast_core::answer`'s.

use std::sync::Arc;

use holdfast_core::DnsName;
use holdfast_core::answer::exists_within;
use holdfast_core::spec::Kind;
use holdfast_core::view::{Answers, NameAnswers};

/// Types that stand at the apex without being declared: NS, SOA, DNSKEY, CDS, CDNSKEY.
const APEX: [u16; 5] = [2, 6, 48, 59, 60];

/// A name, as a proof sees it.
#[derive(Debug)]
pub(super) struct Existence<'a> {
    /// The name itself if it exists, else the nearest above it that does.
    pub(super) encloser: DnsName,
    /// Whether the name exists, if only because names below it do.
    pub(super) exact: bool,
    /// The data of the name, or of the wildcard that stands in for it.
    pub(super) here: Option<&'a Arc<NameAnswers>>,
}

/// Looks at a name within the zone of this apex.
pub(super) fn look<'a>(answers: &'a Answers, apex: &DnsName, name: &DnsName) -> Existence<'a> {
    if name == apex || exists_within(answers, name) {
        let here = answers.names.get(name);
        return Existence { encloser: name.clone(), exact: true, here };
    }
    let mut encloser = name.parent().unwrap_or_else(|| apex.clone());
    while encloser != *apex && encloser.is_within(apex) && !exists_within(answers, &encloser) {
        encloser = encloser.parent().unwrap_or_else(|| apex.clone());
    }
    let here = encloser.child("*").ok().and_then(|wild| answers.names.get(&wild));
    Existence { encloser, exact: false, here }
}

/// The declared types of a name, ascending, without the one that was asked for: a proof that it is not there. Of a
/// delegation only what is the parent's.
pub(super) fn types_of(here: Option<&NameAnswers>, apex: bool, asked: Option<u16>) -> Vec<u16> {
    let mut types: Vec<u16> = Vec::new();
    for kind in here.into_iter().flat_map(|here| &here.sets).filter_map(|set| set.records.first()) {
        match kind.0.kind() {
            Kind::ALIAS => types.extend([Kind::A.0, Kind::AAAA.0]),
            kind => types.push(kind.0),
        }
    }
    if apex {
        types.extend(APEX);
    } else if types.contains(&Kind::NS.0) {
        types.retain(|kind| [Kind::NS.0, Kind::DS.0].contains(kind));
    }
    types.retain(|kind| Some(*kind) != asked);
    types.sort_unstable();
    types.dedup();
    types
}

/// Whether a name lies below a delegation, and so is not of the zone.
pub(super) fn is_below_cut(answers: &Answers, apex: &DnsName, name: &DnsName) -> bool {
    let mut above = name.parent();
    while let Some(here) = above.filter(|here| here != apex && here.is_within(apex)) {
        let sets = answers.names.get(&here).map(|here| &here.sets);
        let is_cut = |(data, _): &(holdfast_core::spec::RecordData, u32)| data.kind() == Kind::NS;
        if sets.is_some_and(|sets| sets.iter().any(|set| set.records.first().is_some_and(is_cut))) {
            return true;
        }
        above = here.parent();
    }
    false
}
