//! The keys that sign a zone, and how they are exchanged: one key that signs everything (a combined signing key), and
//! while it is being replaced two, both of which sign everything (RFC 6781, 4.1.3).
//!
//! ```text
//! Enable ─▶ [k1]      no CDS  ── every cache knows k1 ─▶ CDS: k1
//!                                                           │ StartRollover
//!                                                           ▼
//!           [k1, k2]  CDS: k1 ── every cache knows k2 ─▶ CDS: k2 ── the parent names k2 and not k1, for as long as
//!                                                                   its former DS may be kept ── FinishRollover ─▶ [k2]
//! AbandonRollover ─▶ [k1]  while the parent does not name k2, for as long as a DS of it may be kept
//! Disable ─▶ []       once the parent names no key, for as long as its former DS may be kept
//! ```
//!
//! Invariant: no key leaves, and none is told to the parent, while a resolver may refuse the zone for it, unless somebody
//! orders it with a reason. When that is, `steps` says. The state never sees a private key: it is sealed before it is
//! proposed. What the parent says is observed by whoever asks for the step; here it is only remembered.

pub mod ds;
mod obstacle;
mod steps;

pub use ds::Ds;
pub(crate) use steps::cached_until;

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::name::DnsName;
use crate::sealed::Sealed;
use crate::spec::{KeyAlgorithm, PropagationDelays};
use crate::time::Timestamp;

/// Flags of a key that signs everything: zone key and secure entry point (RFC 4034, 2.1.1).
pub const KEY_FLAGS: u16 = 257;

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

/// The parent zone's DS records when they were last looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParentDs {
    /// The records, ascending.
    pub records: Vec<Ds>,
    /// The longest TTL of DS records that the parent was seen to use; zero where nobody could tell.
    pub ttl: Duration,
    /// Since when every look has found these, with no longer a gap between two looks than `steps` allows.
    pub since: Timestamp,
    /// When they were last looked at; `None` where that look has ceased to count, for CDS has begun to name a key since.
    pub seen_at: Option<Timestamp>,
}

/// The keys that sign a zone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signing {
    /// The keys, oldest first; none of an unsigned zone, two while one replaces the other. All sign.
    pub keys: Vec<ZoneKey>,
    /// Until when caches may hold something that the newest key has not signed, had every server followed at once.
    pub cached_until: Timestamp,
    /// Whether every cache knows the newest key, or nothing else is left to tell.
    pub ready: bool,
    /// What the parent says, if it was looked at since the zone is signed.
    pub parent: Option<ParentDs>,
}

/// What can be asked of a zone's keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SigningChange {
    /// Signs the zone, with this key.
    Enable(ZoneKey),
    /// Adds the key that replaces the present one.
    StartRollover(ZoneKey),
    /// Takes note of the parent's DS records; which keys they name is judged by whoever reads them.
    NoteParent {
        /// The records, [`ds::MAX_DS`] at most.
        records: Vec<Ds>,
        /// The TTL that the parent gives them; zero where that is not known.
        ttl: Duration,
    },
    /// Removes the key that was replaced; before its time only with a reason.
    FinishRollover {
        /// Why it is done although the parent is not ready.
        forced: Option<String>,
    },
    /// Removes the key that was to replace the other, and keeps that; where the parent may name the new one only with a
    /// reason.
    AbandonRollover {
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
            Self::AbandonRollover { .. } => "rollover abandoned",
            Self::Disable { .. } => "disabled",
        }
    }
}

impl Signing {
    /// The keys whose DS belongs into the parent: what CDS and CDNSKEY say (RFC 7344).
    pub fn for_parent(&self) -> &[ZoneKey] {
        let newest = self.keys.len().saturating_sub(1);
        if self.ready { &self.keys[newest..] } else { &self.keys[..newest] }
    }

    /// From when the DS of one of its keys may stand in the parent without another's, while that is to come.
    pub fn due_of(&self, key: &ZoneKey, delays: PropagationDelays) -> Option<Timestamp> {
        self.due(delays).filter(|_| self.keys.last() == Some(key))
    }

    /// The moment at which the parent may be told of the newest key, while that is to come.
    pub(crate) fn due(&self, delays: PropagationDelays) -> Option<Timestamp> {
        (!self.keys.is_empty() && !self.ready).then(|| self.ready_at(delays))
    }

    /// Signs with one more key; until then caches may hold what it has not signed.
    pub(crate) fn add(&mut self, key: ZoneKey, cached_until: Timestamp) {
        self.keys.push(key);
        self.cached_until = cached_until;
        self.ready = false;
    }

    /// Signs with the newest key alone. Where that is forced before its time, the parent is to know it at once.
    pub(crate) fn remove_old(&mut self) {
        self.keys.remove(0);
        self.ready = true;
    }

    /// Signs with the old key alone, which every cache knows.
    pub(crate) fn remove_new(&mut self) {
        self.keys.truncate(1);
        self.ready = true;
    }

    /// Tells the parent of the newest key. Its DS may stand there at any time from now on, and be gone again at the next
    /// look, so that none was seen before counts no more.
    pub(crate) fn tell_newest(&mut self) {
        self.ready = true;
        if let Some(parent) = self.parent.as_mut().filter(|parent| parent.records.is_empty()) {
            parent.seen_at = None;
        }
    }

    /// Takes note of what the parent says. Returns whether that, or since when it does, differs from the last look.
    pub(crate) fn note_parent(
        &mut self,
        (records, ttl): (&[Ds], Duration),
        delays: PropagationDelays,
        now: Timestamp,
    ) -> bool {
        let mut records = records.to_vec();
        records.sort_unstable();
        records.dedup();
        let Some(before) = self.parent.take() else {
            self.parent = Some(ParentDs { records, ttl, since: now, seen_at: Some(now) });
            return true;
        };
        let goes_on = before.records == records && before.counts_at(delays, now);
        let since = if goes_on { before.since } else { now };
        // What was replaced may be kept for as long as its own TTL said.
        let ttl = before.ttl.max(ttl);
        let differs = !goes_on || ttl != before.ttl;
        self.parent = Some(ParentDs { records, ttl, since, seen_at: Some(now) });
        differs
    }
}

#[cfg(test)]
mod tests;
