//! How zones are signed, and the keys that sign them.

use holdfast_core::Timestamp;
use holdfast_core::signing::{Ds, ParentDs, Signing, SigningChange, ZoneKey};
use holdfast_core::spec::{Denial, Dnssec, KeyAlgorithm, PropagationDelays};

use super::Convert;
use super::primitive::{enumerated, from_list, from_ms, list, ms, narrow, optional, required};
use crate::error::DecodeError;
use crate::pb::internal::v1 as internal;
use crate::pb::v1 as pb;

impl Convert for KeyAlgorithm {
    type Proto = i32;

    fn to_proto(&self) -> i32 {
        match self {
            Self::EcdsaP256 => pb::KeyAlgorithm::EcdsaP256.into(),
            Self::Ed25519 => pb::KeyAlgorithm::Ed25519.into(),
        }
    }

    fn from_proto(number: i32) -> Result<Self, DecodeError> {
        match pb::KeyAlgorithm::try_from(number) {
            Ok(pb::KeyAlgorithm::EcdsaP256) => Ok(Self::EcdsaP256),
            Ok(pb::KeyAlgorithm::Ed25519) => Ok(Self::Ed25519),
            Ok(pb::KeyAlgorithm::Unspecified) | Err(_) => Err(DecodeError::missing("")),
        }
    }
}

impl Convert for Denial {
    type Proto = i32;

    fn to_proto(&self) -> i32 {
        match self {
            Self::Compact => pb::Denial::Compact.into(),
            Self::Nsec3 => pb::Denial::Nsec3.into(),
        }
    }

    fn from_proto(number: i32) -> Result<Self, DecodeError> {
        match pb::Denial::try_from(number) {
            Ok(pb::Denial::Compact) => Ok(Self::Compact),
            Ok(pb::Denial::Nsec3) => Ok(Self::Nsec3),
            Ok(pb::Denial::Unspecified) | Err(_) => Err(DecodeError::missing("")),
        }
    }
}

impl Convert for Dnssec {
    type Proto = pb::Dnssec;

    fn to_proto(&self) -> pb::Dnssec {
        pb::Dnssec {
            algorithm: self.algorithm.to_proto(),
            denial: self.denial.to_proto(),
            validity_ms: ms(self.validity),
            zone_propagation_delay_ms: ms(self.delays.zone),
            parent_propagation_delay_ms: ms(self.delays.parent),
        }
    }

    fn from_proto(proto: pb::Dnssec) -> Result<Self, DecodeError> {
        Ok(Self {
            algorithm: enumerated("algorithm", proto.algorithm)?,
            denial: enumerated("denial", proto.denial)?,
            validity: from_ms(proto.validity_ms),
            delays: PropagationDelays {
                zone: from_ms(proto.zone_propagation_delay_ms),
                parent: from_ms(proto.parent_propagation_delay_ms),
            },
        })
    }
}

impl Convert for ZoneKey {
    type Proto = internal::ZoneKey;

    fn to_proto(&self) -> internal::ZoneKey {
        internal::ZoneKey {
            algorithm: self.algorithm.to_proto(),
            public: self.public.clone(),
            private: Some(self.private.to_proto()),
            created_ms: self.created.0,
        }
    }

    fn from_proto(proto: internal::ZoneKey) -> Result<Self, DecodeError> {
        Ok(Self {
            algorithm: enumerated("algorithm", proto.algorithm)?,
            public: proto.public,
            private: required("private", proto.private)?,
            created: Timestamp(proto.created_ms),
        })
    }
}

impl Convert for Ds {
    type Proto = pb::Ds;

    fn to_proto(&self) -> pb::Ds {
        pb::Ds {
            key_tag: self.tag.into(),
            algorithm: self.algorithm.into(),
            digest_type: self.digest_type.into(),
            digest: self.digest.clone(),
        }
    }

    fn from_proto(proto: pb::Ds) -> Result<Self, DecodeError> {
        Ok(Self {
            tag: narrow("key_tag", proto.key_tag)?,
            algorithm: narrow("algorithm", proto.algorithm)?,
            digest_type: narrow("digest_type", proto.digest_type)?,
            digest: proto.digest,
        })
    }
}

impl Convert for ParentDs {
    type Proto = internal::ParentDs;

    fn to_proto(&self) -> internal::ParentDs {
        internal::ParentDs {
            records: list(&self.records),
            ttl_ms: ms(self.ttl),
            since_ms: self.since.0,
            seen_at_ms: self.seen_at.map(|at| at.0),
        }
    }

    fn from_proto(proto: internal::ParentDs) -> Result<Self, DecodeError> {
        Ok(Self {
            records: from_list("records", proto.records)?,
            ttl: from_ms(proto.ttl_ms),
            since: Timestamp(proto.since_ms),
            seen_at: proto.seen_at_ms.map(Timestamp),
        })
    }
}

impl Convert for Signing {
    type Proto = internal::Signing;

    fn to_proto(&self) -> internal::Signing {
        internal::Signing {
            keys: list(&self.keys),
            parent: self.parent.as_ref().map(Convert::to_proto),
            cached_until_ms: self.cached_until.0,
            ready: self.ready,
        }
    }

    fn from_proto(proto: internal::Signing) -> Result<Self, DecodeError> {
        Ok(Self {
            keys: from_list("keys", proto.keys)?,
            cached_until: Timestamp(proto.cached_until_ms),
            ready: proto.ready,
            parent: optional("parent", proto.parent)?,
        })
    }
}

impl Convert for SigningChange {
    type Proto = internal::SigningChange;

    fn to_proto(&self) -> internal::SigningChange {
        use internal::signing_change::Change;
        let forced = |reason: &Option<String>| internal::Forced { reason: reason.clone() };
        let change = match self {
            Self::Enable(key) => Change::Enable(key.to_proto()),
            Self::StartRollover(key) => Change::StartRollover(key.to_proto()),
            Self::NoteParent { records, ttl } => Change::NoteParent(internal::NoteParent {
                records: list(records),
                ttl_ms: ms(*ttl),
            }),
            Self::FinishRollover { forced: reason } => Change::FinishRollover(forced(reason)),
            Self::AbandonRollover { forced: reason } => Change::AbandonRollover(forced(reason)),
            Self::Disable { forced: reason } => Change::Disable(forced(reason)),
        };
        internal::SigningChange { change: Some(change) }
    }

    fn from_proto(proto: internal::SigningChange) -> Result<Self, DecodeError> {
        use internal::signing_change::Change;
        Ok(match proto.change.ok_or_else(|| DecodeError::missing(""))? {
            Change::Enable(key) => Self::Enable(ZoneKey::from_proto(key)?),
            Change::StartRollover(key) => Self::StartRollover(ZoneKey::from_proto(key)?),
            Change::NoteParent(note) => Self::NoteParent {
                records: from_list("records", note.records)?,
                ttl: from_ms(note.ttl_ms),
            },
            Change::FinishRollover(forced) => Self::FinishRollover { forced: forced.reason },
            Change::AbandonRollover(forced) => Self::AbandonRollover { forced: forced.reason },
            Change::Disable(forced) => Self::Disable { forced: forced.reason },
        })
    }
}
