//! What exists at a name and above it, as proofs need it: the same rules as `holdfast_core::answer`'s.

use std::sync::Arc;

use holdfast_core::DnsName;
use holdfast_core::answer::exists_within;
use holdfast_core::spec::Kind;
use holdfast_core::view::{Answers, NameAnswers};

use super::denial::NSEC3;
use super::name::core_name;
use crate::handler::status;

/// Types that stand at the apex without being declared: NS, SOA, DNSKEY; CDS, CDNSKEY while a key is told to the parent.
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

/// Whether a name within the zone of this apex exists, if only because names below it do.
pub(super) fn exists(answers: &Answers, apex: &DnsName, name: &DnsName) -> bool {
    name == apex || exists_within(answers, name) || status::is_at(name, apex)
}

/// Whether a set's owner is there because somebody asks for it: of such names there is no end. The state of the server
/// is made up too, since it is another at each question.
pub(super) fn is_made_up(answers: &Answers, apex: &DnsName, (owner, kind): (&[u8], u16)) -> bool {
    let name = core_name(owner);
    kind != NSEC3 && (status::is_at(&name, apex) || !exists(answers, apex, &name))
}

/// Looks at a name within the zone of this apex.
pub(super) fn look<'a>(answers: &'a Answers, apex: &DnsName, name: &DnsName) -> Existence<'a> {
    if exists(answers, apex, name) {
        let here = answers.names.get(name);
        return Existence { encloser: name.clone(), exact: true, here };
    }
    let mut encloser = name.parent().unwrap_or_else(|| apex.clone());
    while encloser.is_within(apex) && !exists(answers, apex, &encloser) {
        encloser = encloser.parent().unwrap_or_else(|| apex.clone());
    }
    let here = encloser.child("*").ok().and_then(|wild| answers.names.get(&wild));
    Existence { encloser, exact: false, here }
}

/// The types at a name that the zone of this apex answers for, ascending, without the one that was asked for: a proof
/// that it is not there. Of a delegation only what is the parent's, of an apex what is not.
pub(super) fn types_of(
    answers: &Answers,
    apex: &DnsName,
    (name, here): (&DnsName, Option<&NameAnswers>),
    asked: Option<u16>,
) -> Vec<u16> {
    let mut types: Vec<u16> = Vec::new();
    for kind in here.into_iter().flat_map(|here| &here.sets).filter_map(|set| set.records.first()) {
        match kind.0.kind() {
            Kind::ALIAS => types.extend([Kind::A.0, Kind::AAAA.0]),
            kind => types.push(kind.0),
        }
    }
    if name == apex {
        types.extend(apex_types(answers, apex));
        types.retain(|kind| *kind != Kind::DS.0);
    } else if is_cut(here) || answers.zones.contains_key(name) {
        types.push(Kind::NS.0);
        types.retain(|kind| [Kind::NS.0, Kind::DS.0].contains(kind));
    } else if status::is_at(name, apex) {
        types = vec![Kind::TXT.0];
    }
    types.retain(|kind| Some(*kind) != asked);
    types.sort_unstable();
    types.dedup();
    types
}

/// Whether data at a name delegate it.
pub(super) fn is_cut(here: Option<&NameAnswers>) -> bool {
    let mut kinds =
        here.into_iter().flat_map(|here| &here.sets).filter_map(|set| set.records.first());
    kinds.any(|(data, _)| data.kind() == Kind::NS)
}

fn apex_types(answers: &Answers, apex: &DnsName) -> &'static [u16] {
    match answers.zones.get(apex) {
        Some(zone) if zone.signing.for_parent().is_empty() => &APEX[..3],
        _ => &APEX,
    }
}

/// Whether a name lies below a delegation, or below the apex of another zone, and so is not of the zone.
pub(super) fn is_below_cut(answers: &Answers, apex: &DnsName, name: &DnsName) -> bool {
    let mut above = name.parent();
    while let Some(here) = above.filter(|here| here != apex && here.is_within(apex)) {
        let data = answers.names.get(&here).map(|here| &**here);
        if is_cut(data) || answers.zones.contains_key(&here) {
            return true;
        }
        above = here.parent();
    }
    false
}
