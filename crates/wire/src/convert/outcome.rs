//! Answers to entries, refusals among them.

use holdfast_core::spec::SpecError;
use holdfast_core::update::UpdateRefusal;
use holdfast_core::{Outcome, OverrideId, Rejection, Reply, Timestamp};

use super::Convert;
use crate::codec::OUTCOME_FORMAT;
use crate::error::DecodeError;
use crate::pb::internal::v1 as pb;
use crate::pb::internal::v1::outcome::Result as Kind;
use crate::pb::internal::v1::rejection::Rejection as Refused;

impl Convert for Outcome {
    type Proto = pb::Outcome;

    fn to_proto(&self) -> pb::Outcome {
        let result = match &self.result {
            Ok(Reply::Done) => Kind::Done(pb::Done {}),
            Ok(Reply::Stored { revision, changed }) => {
                Kind::Stored(pb::Stored { revision: *revision, changed: *changed })
            }
            Ok(Reply::Ordered { id, expires_at }) => {
                Kind::Ordered(pb::Ordered { id: id.0, expires_at_ms: expires_at.0 })
            }
            Err(rejection) => Kind::Rejection(rejection.to_proto()),
        };
        pb::Outcome { format: OUTCOME_FORMAT, index: self.index, result: Some(result) }
    }

    fn from_proto(proto: pb::Outcome) -> Result<Self, DecodeError> {
        let result = match proto.result.ok_or_else(|| DecodeError::missing("result"))? {
            Kind::Done(pb::Done {}) => Ok(Reply::Done),
            Kind::Stored(pb::Stored { revision, changed }) => {
                Ok(Reply::Stored { revision, changed })
            }
            Kind::Ordered(pb::Ordered { id, expires_at_ms }) => {
                Ok(Reply::Ordered { id: OverrideId(id), expires_at: Timestamp(expires_at_ms) })
            }
            Kind::Rejection(proto) => {
                Err(Rejection::from_proto(proto).map_err(|e| e.within("rejection"))?)
            }
        };
        Ok(Self { index: proto.index, result })
    }
}

impl Convert for Rejection {
    type Proto = pb::Rejection;

    fn to_proto(&self) -> pb::Rejection {
        let rejection = match self.clone() {
            Self::InvalidSpec(SpecError { field, problem }) => {
                Refused::InvalidSpec(pb::InvalidSpec { field, problem })
            }
            Self::NotFound { kind, name } => Refused::NotFound(pb::NotFound { kind, name }),
            Self::StaleRevision { name, expected, stored } => {
                Refused::StaleRevision(pb::StaleRevision { name, expected, stored })
            }
            Self::NameInUse { name, owner, next_step } => {
                Refused::NameInUse(pb::NameInUse { name, owner, next_step })
            }
            Self::OutsideZones { name, zones } => {
                Refused::OutsideZones(pb::OutsideZones { name, zones })
            }
            Self::InUse { name, user, next_step } => {
                Refused::InUse(pb::InUse { name, user, next_step })
            }
            Self::InvalidOrder(problem) => Refused::InvalidOrder(problem),
            Self::Superseded(problem) => Refused::Superseded(problem),
            Self::LimitReached { what, limit } => {
                Refused::LimitReached(pb::LimitReached { what, limit })
            }
            Self::Signing { problem, next_step } => {
                Refused::Signing(pb::MembershipRefused { problem, next_step })
            }
            Self::Update(refusal) => Refused::Update(refusal.to_proto()),
            Self::Membership { problem, next_step } => {
                Refused::Membership(pb::MembershipRefused { problem, next_step })
            }
        };
        pb::Rejection { rejection: Some(rejection) }
    }

    fn from_proto(proto: pb::Rejection) -> Result<Self, DecodeError> {
        let rejection = match proto.rejection.ok_or_else(|| DecodeError::missing(""))? {
            Refused::InvalidSpec(pb::InvalidSpec { field, problem }) => {
                Self::InvalidSpec(SpecError { field, problem })
            }
            Refused::NotFound(pb::NotFound { kind, name }) => Self::NotFound { kind, name },
            Refused::StaleRevision(pb::StaleRevision { name, expected, stored }) => {
                Self::StaleRevision { name, expected, stored }
            }
            Refused::NameInUse(pb::NameInUse { name, owner, next_step }) => {
                Self::NameInUse { name, owner, next_step }
            }
            Refused::OutsideZones(pb::OutsideZones { name, zones }) => {
                Self::OutsideZones { name, zones }
            }
            Refused::InUse(pb::InUse { name, user, next_step }) => {
                Self::InUse { name, user, next_step }
            }
            Refused::InvalidOrder(problem) => Self::InvalidOrder(problem),
            Refused::Superseded(problem) => Self::Superseded(problem),
            Refused::LimitReached(pb::LimitReached { what, limit }) => {
                Self::LimitReached { what, limit }
            }
            Refused::Signing(pb::MembershipRefused { problem, next_step }) => {
                Self::Signing { problem, next_step }
            }
            Refused::Update(refusal) => Self::Update(UpdateRefusal::from_proto(refusal)?),
            Refused::Membership(pb::MembershipRefused { problem, next_step }) => {
                Self::Membership { problem, next_step }
            }
        };
        Ok(rejection)
    }
}
