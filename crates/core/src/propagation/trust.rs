//! Whether validating resolvers can follow the parent into a zone: judges the DS records that its servers tell.
//!
//! A zone that signs and has DS records has to be named by one of them; one without is taken as unsigned, which is
//! worth a note and nothing more. What follows from either is for people: no decision rests on it.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{Delegation, Fault, Finding};
use crate::name::DnsName;
use crate::signing::Signing;
use crate::signing::ds::{DsFault, faults_of, unchecked_of};

/// What the parent's servers say of a zone's keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trust {
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// What is worth knowing and harms nobody.
    pub notes: Vec<String>,
}

/// Judges the DS records that servers of the parent tell of the zone with this apex. A server that did not tell says
/// nothing.
pub fn judge_trust(apex: &DnsName, signing: &Signing, delegations: &[Delegation]) -> Trust {
    let (mut findings, mut notes) = (BTreeSet::new(), BTreeSet::new());
    for delegation in delegations {
        let Some(records) = &delegation.ds else { continue };
        let server = delegation.parent;
        if records.is_empty() && !signing.for_parent().is_empty() {
            notes.insert(format!(
                "the parent's server {server} has no DS record of {apex}, so resolvers take the zone as unsigned; \
                 `holdfast zone dnssec ds {apex}` prints it"
            ));
        }
        let unchecked = unchecked_of(records, apex, &signing.keys).into_iter();
        notes.extend(unchecked.map(|text| format!("the parent's server {server} {text}")));
        for fault in faults_of(records, apex, &signing.keys) {
            let text = format!("the parent's server {server} {}", fault.text());
            let fault = match fault {
                DsFault::NamesNoKey(_) => Fault::DsNamesNoKey,
                DsFault::Mistaken(_) => Fault::DsMistaken,
                DsFault::Unchecked(_) => {
                    notes.insert(text);
                    continue;
                }
            };
            findings.insert(Finding { fault, subject: apex.to_string(), text });
        }
    }
    Trust { findings: findings.into_iter().collect(), notes: notes.into_iter().collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;
    use crate::sealed::{Sealed, SealingKeyId};
    use crate::signing::{Ds, ZoneKey};
    use crate::spec::KeyAlgorithm;

    fn apex() -> DnsName {
        DnsName::new("example.test").expect("a name")
    }

    fn key(byte: u8) -> ZoneKey {
        let private = Sealed { key: SealingKeyId([0; 8]), nonce: [0; 12], ciphertext: Vec::new() };
        let (algorithm, public) = (KeyAlgorithm::Ed25519, Vec::from([byte; 32]));
        ZoneKey { algorithm, public, private, created: Timestamp(0) }
    }

    fn signed(keys: &[u8]) -> Signing {
        let keys = keys.iter().copied().map(key).collect();
        Signing { keys, ready: true, ..Signing::default() }
    }

    fn told(ds: Option<Vec<Ds>>) -> Delegation {
        let parent = ([203, 0, 113, 9], 53).into();
        Delegation { parent, servers: Vec::new(), glue: Vec::new(), ds }
    }

    /// The faults of what two servers of the parent tell, and how many notes there are.
    fn judged(signing: &Signing, delegations: &[Delegation]) -> (Vec<Fault>, usize) {
        let trust = judge_trust(&apex(), signing, delegations);
        (trust.findings.iter().map(|finding| finding.fault).collect(), trust.notes.len())
    }

    #[test]
    fn a_zone_is_trusted_by_a_ds_that_names_a_key_and_taken_as_unsigned_without_any() {
        let right = |byte| Ds::of(&apex(), &key(byte));
        let wrong = Ds { digest: Vec::from([0xaa; 32]), ..right(1) };
        let strange = Ds { digest_type: 3, ..right(1) };
        let one = signed(&[1]);
        for (what, signing, ds, faults, notes) in [
            ("the key's", &one, Some(Vec::from([right(1)])), &[][..], 0),
            ("one of two", &signed(&[1, 2]), Some(Vec::from([right(2)])), &[], 0),
            ("none", &one, Some(Vec::new()), &[], 1),
            ("nothing told", &one, None, &[], 0),
            ("none of an unsigned zone", &Signing::default(), Some(Vec::new()), &[], 0),
            (
                "one of an unsigned zone",
                &Signing::default(),
                Some(Vec::from([right(1)])),
                &[Fault::DsNamesNoKey],
                0,
            ),
            ("of a key that is gone", &one, Some(Vec::from([right(2)])), &[Fault::DsNamesNoKey], 0),
            (
                "mistaken",
                &one,
                Some(Vec::from([wrong.clone()])),
                &[Fault::DsNamesNoKey, Fault::DsMistaken],
                0,
            ),
            (
                "mistaken beside right",
                &one,
                Some(Vec::from([wrong, right(1)])),
                &[Fault::DsMistaken],
                0,
            ),
            ("not compared", &one, Some(Vec::from([strange.clone()])), &[], 1),
            ("not compared beside right", &one, Some(Vec::from([strange, right(1)])), &[], 1),
        ] {
            assert_eq!(judged(signing, &[told(ds)]), (faults.to_vec(), notes), "{what}");
        }
    }

    #[test]
    fn before_caches_know_the_first_key_nobody_misses_its_ds() {
        let early = Signing { ready: false, ..signed(&[1]) };
        assert_eq!(judged(&early, &[told(Some(Vec::new()))]), (Vec::new(), 0));
    }

    #[test]
    fn the_server_that_lags_is_named() {
        let (right, old) = (Ds::of(&apex(), &key(1)), Ds::of(&apex(), &key(2)));
        let mut lagging = told(Some(Vec::from([old])));
        lagging.parent = ([203, 0, 113, 10], 53).into();
        let trust = judge_trust(&apex(), &signed(&[1]), &[told(Some(Vec::from([right]))), lagging]);
        assert_eq!(trust.findings.len(), 1);
        assert!(trust.findings[0].text.contains("203.0.113.10:53 has DS records that name no key"));
    }
}
