//! How a zone is signed (RFC 4033–4035). Whether it is signed depends on its keys, which are made by command and stand
//! in the state beside the declaration.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::SpecError;
use super::bounds::{LONGEST_RULE, within};

/// The algorithm of new keys.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum KeyAlgorithm {
    /// ECDSA over P-256 with SHA-256, number 13 (RFC 6605).
    #[default]
    EcdsaP256,
    /// Ed25519, number 15 (RFC 8080).
    Ed25519,
}

impl KeyAlgorithm {
    /// Its number (IANA, DNS Security Algorithm Numbers).
    pub fn number(self) -> u8 {
        match self {
            Self::EcdsaP256 => 13,
            Self::Ed25519 => 15,
        }
    }

    /// Its word in manifests.
    pub fn label(self) -> &'static str {
        match self {
            Self::EcdsaP256 => "ecdsa-p256",
            Self::Ed25519 => "ed25519",
        }
    }

    /// The bytes of a public key.
    pub fn public_length(self) -> usize {
        match self {
            Self::EcdsaP256 => 64,
            Self::Ed25519 => 32,
        }
    }
}

/// How it is proved that something does not exist.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Denial {
    /// One NSEC for the name asked (RFC 9824): smallest answers, names stay hidden, signed as they are asked.
    #[default]
    Compact,
    /// The chain of hashed names (RFC 5155; no salt, no further iterations, as RFC 9276 asks): nothing is signed for a
    /// question, and other servers can serve the zone.
    Nsec3,
}

impl Denial {
    /// Its word in manifests.
    pub fn label(self) -> &'static str {
        match self {
            Self::Compact => "compact",
            Self::Nsec3 => "nsec3",
        }
    }
}

/// How long a change takes to be served everywhere. Steps in the exchange of a zone's keys wait for it beside TTLs, by the
/// declaration of the moment, so another one moves the waits that are under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PropagationDelays {
    /// Within which every agent follows a change of the zone (Dprp in RFC 7583), 1 s – 7 days.
    pub zone: Duration,
    /// Within which every server of the parent follows a change of the DS records (DprpP), 1 s – 7 days.
    pub parent: Duration,
}

impl PropagationDelays {
    /// Without any, a wait would end before what it waits for has been sent.
    const SHORTEST: Duration = Duration::from_secs(1);
    /// A server that lags for longer is out of order, and to be repaired rather than waited for.
    const LONGEST: Duration = LONGEST_RULE;

    fn validate(self) -> Result<(), SpecError> {
        let bounds = (Self::SHORTEST, Self::LONGEST);
        within("dnssec.zone_propagation_delay", self.zone, bounds)?;
        within("dnssec.parent_propagation_delay", self.parent, bounds)
    }
}

impl Default for PropagationDelays {
    fn default() -> Self {
        Self { zone: Duration::from_secs(5 * 60), parent: Duration::from_secs(60 * 60) }
    }
}

/// How a zone is signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dnssec {
    /// The algorithm of new keys; keys there are keep theirs.
    pub algorithm: KeyAlgorithm,
    /// How it is proved that something does not exist.
    pub denial: Denial,
    /// How long a signature is good, 2–90 days. It is replaced when half of that is left, by each agent alone.
    pub validity: Duration,
    /// What the exchange of keys waits for beside TTLs.
    pub delays: PropagationDelays,
}

impl Default for Dnssec {
    fn default() -> Self {
        Self {
            algorithm: KeyAlgorithm::default(),
            denial: Denial::default(),
            validity: Duration::from_secs(14 * 86_400),
            delays: PropagationDelays::default(),
        }
    }
}

impl Dnssec {
    /// Says whether this is possible. Errors: the first field that is not.
    pub(super) fn validate(&self) -> Result<(), SpecError> {
        let day = Duration::from_secs(86_400);
        within("dnssec.validity", self.validity, (2 * day, 90 * day))?;
        self.delays.validate()
    }

    /// Whether the same keys give the same signatures and proofs under this and another declaration.
    pub fn signs_as(&self, other: &Self) -> bool {
        let by = |dnssec: &Self| (dnssec.denial, dnssec.validity);
        by(self) == by(other)
    }
}
