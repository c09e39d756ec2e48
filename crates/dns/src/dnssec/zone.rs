//! The signed zones of a view, with keys that are ready to sign; kept from view to view as far as they are the same.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use holdfast_core::seam::Clock;
use holdfast_core::signing::ZoneKey;
use holdfast_core::spec::{Denial, Dnssec};
use holdfast_core::time::spelled;
use holdfast_core::view::{Answers, ZoneAnswers};
use holdfast_core::{DnsName, Timestamp};
use holdfast_seal::SealingKeys;
use holdfast_sign::SigningKey;

use super::name::{core_name, upwards};
use super::nsec3::Chain;
use crate::publish::attempt;

/// What signing takes beside the view.
#[derive(Clone)]
pub struct SigningContext {
    /// The keys that open private keys.
    pub keys: SealingKeys,
    /// Wall time, by which signatures begin and end.
    pub clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for SigningContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningContext").field("keys", &self.keys).finish_non_exhaustive()
    }
}

/// A zone with its keys.
#[derive(Debug)]
pub(super) struct ZoneSigner {
    pub(super) name: DnsName,
    /// The apex in wire form.
    pub(super) apex: Box<[u8]>,
    pub(super) dnssec: Dnssec,
    /// The keys as they stand in the state.
    source: Vec<ZoneKey>,
    /// The same, ready to sign, with algorithm and tag.
    pub(super) keys: Vec<(u8, u16, SigningKey)>,
}

/// How a zone stands.
#[derive(Debug, Clone)]
pub(crate) enum Standing {
    /// It is signed here.
    Signed(Arc<Signed>),
    /// It is signed, but not by this agent: why not.
    Unable(Arc<str>),
    /// It is not signed, though a zone above it may be.
    Unsigned,
}

/// A signed zone whose signed answers this agent refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsignable {
    /// The zone.
    pub zone: DnsName,
    /// Why they are refused.
    pub why: Refusal,
}

/// Why signed answers are refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The agent cannot open a key of the zone: why not.
    Key(Arc<str>),
    /// The agent's clock is behind the group's time, by more than a quarter of the zone's `validity`.
    Clock {
        /// By how much.
        behind: Duration,
    },
}

impl Refusal {
    /// What to do about it.
    pub fn next_step(&self) -> &'static str {
        match self {
            Self::Key(_) => {
                "give this agent the sealing key of the others ([secrets] keys) and restart it"
            }
            Self::Clock { .. } => {
                "check this agent's time synchronisation (timedatectl, chronyc tracking)"
            }
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Key(why) => f.write_str(why),
            Self::Clock { behind } => {
                write!(f, "this agent's clock is {} behind the group's time", spelled(*behind))
            }
        }
    }
}

/// A zone that is signed here.
#[derive(Debug)]
pub(crate) struct Signed {
    pub(super) signer: Arc<ZoneSigner>,
    pub(super) chain: Option<Chain>,
}

/// The zones of a view, by apex in wire form; none where none is signed.
#[derive(Debug, Default)]
pub(crate) struct Signers {
    zones: HashMap<Box<[u8]>, Standing>,
}

impl ZoneSigner {
    /// Whether this agent's clock is so far behind the group's time that what it signs would have less than a quarter of
    /// the validity left, or none.
    pub(super) fn is_behind(&self, now: Timestamp, group: Timestamp) -> bool {
        group.since(now) > self.dnssec.validity / 4
    }
}

impl Signers {
    /// Makes them ready, from those of the view before where they are the same.
    pub(crate) fn of(
        context: Option<&SigningContext>,
        before: Option<(&Answers, &Self)>,
        answers: &Answers,
    ) -> Self {
        if answers.zones.values().all(|zone| zone.signing.keys.is_empty()) {
            return Self::default();
        }
        let zones = answers.zones.values().map(|zone| {
            let apex: Box<[u8]> = zone.zone.name.to_wire().into();
            if zone.signing.keys.is_empty() {
                return (apex, Standing::Unsigned);
            }
            let known = before.and_then(|(_, signers)| signers.zones.get(&apex));
            let standing = contained(|anew| {
                let before = before.zip(known).filter(|_| !anew);
                Standing::of(context, before, (answers, zone))
            });
            (apex, standing)
        });
        Self { zones: zones.collect() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.zones.is_empty()
    }

    /// The signed zone that a name in wire form and lower case lies in.
    pub(crate) fn zone_of(&self, name: &[u8]) -> Option<&Standing> {
        let standing = upwards(name).find_map(|above| self.zones.get(above));
        standing.filter(|standing| !matches!(standing, Standing::Unsigned))
    }

    /// The zones that are signed but not by this agent at this time of its clock, and why not; `group` is the group's.
    pub(crate) fn unable(&self, now: Timestamp, group: Timestamp) -> Vec<Unsignable> {
        let unable = self.zones.iter().filter_map(|(apex, standing)| match standing {
            Standing::Unable(why) => Some((apex, Refusal::Key(Arc::clone(why)))),
            Standing::Signed(signed) if signed.signer.is_behind(now, group) => {
                Some((apex, Refusal::Clock { behind: group.since(now) }))
            }
            Standing::Signed(_) | Standing::Unsigned => None,
        });
        unable.map(|(apex, why)| Unsignable { zone: core_name(apex), why }).collect()
    }
}

/// Makes a zone's standing; where that panics, from nothing, and where that does too, it is not signed: a bug in what
/// one zone takes stops neither the publication nor the other zones.
fn contained(make: impl Fn(bool) -> Standing) -> Standing {
    [false, true]
        .into_iter()
        .find_map(|anew| attempt("signers", || make(anew)))
        .unwrap_or_else(|| Standing::Unable("making its proofs panicked; report this".into()))
}

impl Standing {
    fn of(
        context: Option<&SigningContext>,
        before: Option<((&Answers, &Signers), &Self)>,
        (answers, zone): (&Answers, &ZoneAnswers),
    ) -> Self {
        match ready(context, before.map(|(_, known)| known), zone) {
            Ok(signer) => {
                Self::Signed(Arc::new(Signed { chain: chain_of(&signer, before, answers), signer }))
            }
            Err(why) => Self::Unable(why.into()),
        }
    }
}

fn ready(
    context: Option<&SigningContext>,
    known: Option<&Standing>,
    zone: &ZoneAnswers,
) -> Result<Arc<ZoneSigner>, String> {
    let dnssec = zone.zone.dnssec.clone().unwrap_or_default();
    if let Some(Standing::Signed(known)) = known
        && known.signer.source == zone.signing.keys
        && known.signer.dnssec.signs_as(&dnssec)
    {
        return Ok(Arc::clone(&known.signer));
    }
    let context = context.ok_or("this agent has no sealing keys")?;
    let name = &zone.zone.name;
    let open = |key: &ZoneKey| {
        let secret = context.keys.open(&key.private, &ZoneKey::sealing_context(name));
        let secret = secret.map_err(|error| error.to_string())?;
        let signing = SigningKey::matching(key.algorithm, &secret, &key.public);
        Ok((key.algorithm.number(), key.tag(), signing.map_err(|error| error.to_string())?))
    };
    Ok(Arc::new(ZoneSigner {
        name: name.clone(),
        apex: name.to_wire().into(),
        dnssec,
        source: zone.signing.keys.clone(),
        keys: zone.signing.keys.iter().map(open).collect::<Result<_, String>>()?,
    }))
}

/// The chain, where the zone is denied by one: made from the one before by the names that came or went.
fn chain_of(
    signer: &ZoneSigner,
    before: Option<((&Answers, &Signers), &Standing)>,
    answers: &Answers,
) -> Option<Chain> {
    if signer.dnssec.denial != Denial::Nsec3 {
        return None;
    }
    let known = before.and_then(|((before, _), standing)| match standing {
        Standing::Signed(signed) => Some((before, signed.chain.as_ref()?)),
        Standing::Unable(_) | Standing::Unsigned => None,
    });
    Some(match known {
        Some((before, chain)) => chain.next(before, answers, &signer.name),
        None => Chain::of(answers, &signer.name),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_costs_the_zone_its_history_and_at_worst_its_signatures() {
        let unable = |why: &str| Standing::Unable(why.into());
        let why = |standing| match standing {
            Standing::Unable(why) => why.to_string(),
            Standing::Signed(_) => "signed".to_owned(),
            Standing::Unsigned => "unsigned".to_owned(),
        };
        assert_eq!(why(contained(|anew| unable(if anew { "anew" } else { "at once" }))), "at once");
        let anew = contained(|anew| if anew { unable("anew") } else { panic!("as told") });
        assert_eq!(why(anew), "anew");
        assert!(why(contained(|_| panic!("as told"))).contains("panicked"));
    }
}
