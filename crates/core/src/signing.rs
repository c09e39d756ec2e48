//! The keys that sign a zone, and how they are exchanged: one key that signs everything (a combined signing key), and
//! while it is being replaced two, both of which sign everything (RFC 6781, 4.1.3).
//!
//! ```text
//! Enable ─▶ [k1] ── StartRollover ─▶ [k1, k2]  CDS: k1, k2
//!                                       │ NoteParent: DS names k2      CDS: k2
//!                                       │ NoteParent: DS names k2 and not k1, for as long as its TTL
//!                                       ▼
//!                        FinishRollover ─▶ [k2]                 Disable (DS is gone) ─▶ []
//! ```
//!
//! Invariant: no key leaves while a resolver may still trust the zone by it alone, unless somebody orders it with a
//! reason. The state never sees a private key: it is sealed before it is proposed. What the parent says is observed by
//! whoever asks for the step; here it is only remembered, with the time since when it has been so.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::name::DnsName;
use crate::sealed::Sealed;
use crate::spec::KeyAlgorithm;
use crate::time::Timestamp;

/// Flags of a key that signs everything: zone key and secure entry point (RFC 4034, 2.1.1).
pub const KEY_FLAGS: u16 = 257;
/// The longest TTL of a DS that is waited for.
const LONGEST_WAIT: Duration = Duration::from_secs(7 * 86_400);
/// The most key tags of a parent that are remembered.
const MAX_PARENT_TAGS: usize = 16;

/// A key of a zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneKey {
    /// Its algorithm.
    pub algorithm: KeyAlgorithm,
    /// The public key as in a DNSKEY record.
    pub public: Vec<u8>,
    /// The private key.
    pub private: Sealed,
    /// When it entered the log; what is proposed says 0.
    pub created: Timestamp,
}

impl ZoneKey {
    /// The data of its DNSKEY record (RFC 4034, 2.1).
    pub fn dnskey(&self) -> Vec<u8> {
        let mut data = Vec::with_capacity(4 + self.public.len());
        data.extend_from_slice(&KEY_FLAGS.to_be_bytes());
        data.extend_from_slice(&[3, self.algorithm.number()]);
        data.extend_from_slice(&self.public);
        data
    }

    /// Its tag (RFC 4034, appendix B).
    pub fn tag(&self) -> u16 {
        let sum: u32 = (self.dnskey().iter().enumerate())
            .map(|(place, byte)| u32::from(*byte) << if place % 2 == 0 { 8 } else { 0 })
            .sum();
        ((sum + (sum >> 16)) & 0xffff) as u16
    }

    /// What the private key of a zone is sealed for.
    pub fn sealing_context(zone: &DnsName) -> String {
        alloc::format!("dnssec {zone}")
    }

    /// Why resolvers may not know it yet, nor have signatures by it: they may keep the keys, and records with signatures
    /// by those alone, from before it came (RFC 6781, 4.1.2).
    fn unknown(&self, now: Timestamp, longest: Duration) -> Option<String> {
        let left = longest.saturating_sub(now.since(self.created));
        (!left.is_zero()).then(|| {
            alloc::format!(
                "resolvers may keep records from before the new key for {}s more",
                left.as_secs() + 1
            )
        })
    }

    /// Says whether it can be a key. Errors: why not.
    pub fn validate(&self) -> Result<(), &'static str> {
        if self.public.len() != self.algorithm.public_length() {
            return Err("the public key has not as many bytes as its algorithm asks");
        }
        if !self.private.is_bounded() {
            return Err("the sealed private key is too long");
        }
        Ok(())
    }
}

/// What the parent zone's DS records named when they were last looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParentDs {
    /// The tags, ascending.
    pub tags: Vec<u16>,
    /// The longest TTL seen since `since`.
    pub ttl: Duration,
    /// Since when they have named these.
    pub since: Timestamp,
}

/// The keys that sign a zone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signing {
    /// The keys, oldest first; none of an unsigned zone, two while one replaces the other. All sign.
    pub keys: Vec<ZoneKey>,
    /// What the parent says, if it was looked at since the last exchange began.
    pub parent: Option<ParentDs>,
}

/// What can be asked of a zone's keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SigningChange {
    /// Signs the zone, with this key.
    Enable(ZoneKey),
    /// Adds the key that replaces the present one.
    StartRollover(ZoneKey),
    /// Takes note of what the parent's DS records name.
    NoteParent {
        /// The key tags.
        tags: Vec<u16>,
        /// Their TTL.
        ttl: Duration,
    },
    /// Removes the key that was replaced; before its time only with a reason.
    FinishRollover {
        /// Why it is done although the parent is not ready.
        forced: Option<String>,
    },
    /// Leaves the zone unsigned; while the parent has DS records only with a reason.
    Disable {
        /// Why it is done although the parent is not ready.
        forced: Option<String>,
    },
}

impl SigningChange {
    /// What it is called in the audit log.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Enable(_) => "enabled",
            Self::StartRollover(_) => "rollover started",
            Self::NoteParent { .. } => "parent seen",
            Self::FinishRollover { .. } => "rollover finished",
            Self::Disable { .. } => "disabled",
        }
    }
}

impl Signing {
    /// The keys whose DS belongs into the parent: what CDS and CDNSKEY say (RFC 7344).
    pub fn for_parent(&self) -> &[ZoneKey] {
        match (self.keys.as_slice(), &self.parent) {
            ([_, new], Some(parent)) if parent.tags.contains(&new.tag()) => &self.keys[1..],
            (keys, _) => keys,
        }
    }

    /// Why a step is not safe yet, if it is not; no record of the zone has a longer TTL than `longest`.
    pub(crate) fn obstacle(
        &self,
        change: &SigningChange,
        now: Timestamp,
        longest: Duration,
    ) -> Option<String> {
        let text = |text: &str| Some(text.to_string());
        match (change, self.keys.as_slice()) {
            (SigningChange::Enable(_), []) => None,
            (SigningChange::Enable(_), _) => text("the zone is signed already"),
            (SigningChange::StartRollover(key), [old]) if key.tag() == old.tag() => {
                text("the new key has the tag of the present one; make another")
            }
            (SigningChange::StartRollover(_), [_]) => None,
            (SigningChange::StartRollover(_), [_, ..]) => {
                text("a rollover is under way; finish it first")
            }
            (SigningChange::FinishRollover { .. }, [old, new]) => {
                self.finish_obstacle(old.tag(), new, now).or_else(|| new.unknown(now, longest))
            }
            (SigningChange::FinishRollover { .. }, _) => text("no rollover is under way"),
            (SigningChange::Disable { .. }, [_, ..]) => self.disable_obstacle(now),
            (_, []) => text("the zone is not signed; `holdfast zone dnssec enable` signs it"),
            (SigningChange::NoteParent { .. }, _) => None,
        }
    }

    fn finish_obstacle(&self, old: u16, new: &ZoneKey, now: Timestamp) -> Option<String> {
        let Some(parent) = &self.parent else {
            return Some("nobody has looked at the parent's DS records yet".to_string());
        };
        if !parent.tags.contains(&new.tag()) {
            return Some(alloc::format!(
                "the parent's DS records do not name the new key {}",
                new.tag()
            ));
        }
        if parent.tags.contains(&old) {
            return Some(alloc::format!("the parent's DS records still name the old key {old}"));
        }
        self.wait(parent, now)
    }

    fn disable_obstacle(&self, now: Timestamp) -> Option<String> {
        let Some(parent) = &self.parent else {
            return Some("nobody has looked at the parent's DS records yet".to_string());
        };
        if !parent.tags.is_empty() {
            return Some(
                "the parent still has DS records, and resolvers would refuse an unsigned zone"
                    .to_string(),
            );
        }
        self.wait(parent, now)
    }

    fn wait(&self, parent: &ParentDs, now: Timestamp) -> Option<String> {
        let left = parent.ttl.min(LONGEST_WAIT).saturating_sub(now.since(parent.since));
        (!left.is_zero()).then(|| {
            alloc::format!(
                "resolvers may keep the former DS records for {}s more",
                left.as_secs() + 1
            )
        })
    }

    /// Takes note of what the parent says.
    pub(crate) fn note_parent(&mut self, tags: &[u16], ttl: Duration, now: Timestamp) {
        let mut tags: Vec<u16> = tags.iter().copied().take(MAX_PARENT_TAGS).collect();
        tags.sort_unstable();
        tags.dedup();
        match &mut self.parent {
            Some(parent) if parent.tags == tags => parent.ttl = parent.ttl.max(ttl),
            Some(parent) => {
                // What was replaced may be kept for as long as its own TTL said.
                let ttl = parent.ttl.max(ttl);
                *parent = ParentDs { tags, ttl, since: now };
            }
            None => self.parent = Some(ParentDs { tags, ttl, since: now }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sealed::SealingKeyId;

    const MINUTE: Duration = Duration::from_secs(60);

    fn key(byte: u8) -> ZoneKey {
        let private = Sealed { key: SealingKeyId([0; 8]), nonce: [0; 12], ciphertext: Vec::new() };
        let algorithm = KeyAlgorithm::Ed25519;
        ZoneKey { algorithm, public: Vec::from([byte; 32]), private, created: Timestamp(0) }
    }

    fn rolling() -> (Signing, u16, u16) {
        let (old, new) = (key(1), key(2));
        let (old_tag, new_tag) = (old.tag(), new.tag());
        (Signing { keys: Vec::from([old, new]), parent: None }, old_tag, new_tag)
    }

    fn obstacle(signing: &Signing, now: Timestamp) -> String {
        let finish = SigningChange::FinishRollover { forced: None };
        signing.obstacle(&finish, now, Duration::ZERO).unwrap_or_default()
    }

    #[test]
    fn a_key_leaves_only_when_nobody_can_trust_the_zone_by_it_alone() {
        let (mut signing, old, new) = rolling();
        let at = |minutes: u64| Timestamp(minutes * 60_000);
        assert!(obstacle(&signing, at(0)).contains("nobody has looked"));
        assert_eq!(signing.for_parent().len(), 2, "CDS tells both");
        signing.note_parent(&[old], 5 * MINUTE, at(0));
        assert!(obstacle(&signing, at(99)).contains("do not name the new key"));
        signing.note_parent(&[new, old], 5 * MINUTE, at(100));
        assert!(obstacle(&signing, at(199)).contains("still name the old key"));
        assert_eq!(signing.for_parent().iter().map(ZoneKey::tag).collect::<Vec<_>>(), [new]);
        signing.note_parent(&[new], MINUTE, at(200));
        assert!(obstacle(&signing, at(204)).contains("61s more"), "the former TTL counts");
        signing.note_parent(&[new], MINUTE, at(203));
        assert_eq!(obstacle(&signing, at(205)), "", "looking again does not begin anew");
    }

    #[test]
    fn a_key_leaves_only_when_nobody_keeps_records_from_before_the_other_came() {
        let (mut signing, _, new) = rolling();
        signing.keys[1].created = Timestamp(60_000);
        signing.note_parent(&[new], Duration::ZERO, Timestamp(60_000));
        let finish = SigningChange::FinishRollover { forced: None };
        let obstacle = |seconds: u64| signing.obstacle(&finish, Timestamp(seconds * 1000), MINUTE);
        assert!(obstacle(90).expect("too early").contains("31s more"));
        assert_eq!(obstacle(120), None);
    }

    #[test]
    fn a_zone_is_left_unsigned_only_when_the_parent_names_no_key() {
        let mut signing = Signing { keys: Vec::from([key(1)]), parent: None };
        let disable = SigningChange::Disable { forced: None };
        assert!(signing.obstacle(&disable, Timestamp(0), MINUTE).is_some());
        signing.note_parent(&[key(1).tag()], MINUTE, Timestamp(0));
        assert!(signing.obstacle(&disable, Timestamp(999_000), MINUTE).is_some());
        signing.note_parent(&[], Duration::ZERO, Timestamp(999_000));
        assert!(signing.obstacle(&disable, Timestamp(1_000_000), MINUTE).is_some());
        assert_eq!(signing.obstacle(&disable, Timestamp(1_059_000), MINUTE), None);
    }

    #[test]
    fn steps_come_in_their_order() {
        let unsigned = Signing::default();
        let signed = Signing { keys: Vec::from([key(1)]), parent: None };
        let (rolling, ..) = rolling();
        let (enable, start) = (SigningChange::Enable(key(3)), SigningChange::StartRollover(key(3)));
        let possible =
            |signing: &Signing, change| signing.obstacle(change, Timestamp(0), MINUTE).is_none();
        assert_eq!(
            [&unsigned, &signed, &rolling].map(|s| possible(s, &enable)),
            [true, false, false]
        );
        assert_eq!(
            [&unsigned, &signed, &rolling].map(|s| possible(s, &start)),
            [false, true, false]
        );
        assert!(!possible(&signed, &SigningChange::StartRollover(key(1))), "another key is needed");
    }
}
