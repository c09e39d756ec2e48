//! TTLs: what answers carry, and what the next value follows from.

use holdfast_core::Timestamp;
use holdfast_core::ttl::{Ttl, TtlCause};

use super::Convert;
use super::primitive::{enumerated, enumeration, from_ms, ms, narrow};
use crate::error::DecodeError;
use crate::pb::v1 as pb;

enumeration!(
    TtlCause,
    TtlCause { Declared, Ordered, Doubted, AllDown, HoldEnds, OrderEnds, Settling }
);

impl Convert for Ttl {
    type Proto = pb::Ttl;

    fn to_proto(&self) -> pb::Ttl {
        pb::Ttl {
            served_ms: ms(self.served),
            cause: self.cause.to_proto(),
            forgotten_at_ms: self.forgotten_at.0,
            calm_since_ms: self.calm_since.map(|at| at.0),
            grown_at_ms: self.grown_at.0,
            relapses: self.relapses.into(),
            next_ms: self.next.map(|at| at.0),
        }
    }

    fn from_proto(proto: pb::Ttl) -> Result<Self, DecodeError> {
        Ok(Self {
            served: from_ms(proto.served_ms),
            cause: enumerated("cause", proto.cause)?,
            forgotten_at: Timestamp(proto.forgotten_at_ms),
            calm_since: proto.calm_since_ms.map(Timestamp),
            grown_at: Timestamp(proto.grown_at_ms),
            relapses: narrow("relapses", proto.relapses)?,
            next: proto.next_ms.map(Timestamp),
        })
    }
}
