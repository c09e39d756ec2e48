//! Whether validating resolvers can follow the parent into a zone: judges the DS records that its servers tell.
//!
//! A zone that signs and has DS records has to be named by one of them; one without is taken as unsigned, which is
//! worth a note and nothing more. What follows from either is for people: no decision rests on it.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::parent::{ParentFault, alike, askers_of, told};
use super::{Delegation, Fault, Finding, ParentSighting};
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
pub fn judge_trust(apex: &DnsName, signing: &Signing, sightings: &[ParentSighting]) -> Trust {
    let (mut faults, mut notes) = (Vec::new(), Vec::new());
    for (asker, delegation) in told(sightings) {
        let said = says_of_keys(apex, signing, delegation);
        let parent = Some(delegation.parent);
        faults.extend(said.faults.into_iter().map(|fault| (fault, parent, asker)));
        notes.extend(said.notes.into_iter().map(|note| (note, parent, asker)));
    }
    let all = askers_of(sightings).len();
    let findings = alike(faults).into_iter();
    let notes = alike(notes).into_iter();
    Trust {
        findings: findings.map(|(fault, witnesses)| fault.finding(&witnesses, all)).collect(),
        notes: notes.map(|(note, witnesses)| format!("{} {note}", witnesses.parent(all))).collect(),
    }
}

/// What follows from one server's records: both from the verb on.
#[derive(Default)]
struct Said {
    faults: BTreeSet<ParentFault>,
    notes: BTreeSet<String>,
}

fn says_of_keys(apex: &DnsName, signing: &Signing, delegation: &Delegation) -> Said {
    let mut said = Said::default();
    let Some(records) = &delegation.ds else { return said };
    if records.is_empty() && !signing.for_parent().is_empty() {
        said.notes.insert(format!(
            "has no DS record of {apex}, so resolvers take the zone as unsigned; `holdfast zone dnssec ds {apex}` prints it"
        ));
    }
    said.notes.extend(unchecked_of(records, apex, &signing.keys));
    for fault in faults_of(records, apex, &signing.keys) {
        let what = fault.text().to_string();
        let fault = match fault {
            DsFault::NamesNoKey(_) => Fault::DsNamesNoKey,
            DsFault::Mistaken(_) => Fault::DsMistaken,
            DsFault::Unchecked(_) => {
                said.notes.insert(what);
                continue;
            }
        };
        said.faults.insert(ParentFault { fault, subject: apex.to_string(), what });
    }
    said
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

    fn told(ds: Option<Vec<Ds>>) -> ParentSighting {
        told_by(9, "a1", ds)
    }

    fn told_by(last: u8, asker: &str, ds: Option<Vec<Ds>>) -> ParentSighting {
        let parent = ([203, 0, 113, last], 53).into();
        let told = Delegation { parent, servers: Vec::new(), glue: Vec::new(), ds };
        ParentSighting { asker: asker.into(), told: Ok(told) }
    }

    /// The faults of what two servers of the parent tell, and how many notes there are.
    fn judged(signing: &Signing, delegations: &[ParentSighting]) -> (Vec<Fault>, usize) {
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
    fn the_server_that_lags_is_named_with_who_saw_it_and_the_same_is_told_once() {
        let (right, old) = (Ds::of(&apex(), &key(1)), Ds::of(&apex(), &key(2)));
        let (right, old) = (|| Some(Vec::from([right.clone()])), || Some(Vec::from([old.clone()])));
        let told = [
            told_by(9, "a1", right()),
            told_by(10, "a1", old()),
            told_by(9, "a2", right()),
            told_by(10, "a2", old()),
            told_by(9, "a3", right()),
            told_by(10, "a3", right()),
        ];
        let trust = judge_trust(&apex(), &signed(&[1]), &told);
        assert_eq!(trust.findings.len(), 1);
        let expected = "the parent (203.0.113.10:53; seen from a1, a2 of 3 agents) has DS records that name no key";
        assert!(trust.findings[0].text.starts_with(expected), "{}", trust.findings[0].text);
        assert_eq!(trust.findings[0].agents, ["a1", "a2"]);

        let without = ["a1", "a2"].map(|asker| told_by(9, asker, Some(Vec::new())));
        let notes = judge_trust(&apex(), &signed(&[1]), &without).notes;
        assert_eq!(notes.len(), 1);
        let expected =
            "the parent (203.0.113.9:53; seen from all 2 agents) has no DS record of example.test";
        assert!(notes[0].starts_with(expected), "{}", notes[0]);
    }
}
