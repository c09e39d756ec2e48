//! Orders of operators, and actors.

use holdfast_core::overrides::{Order, Override, Pause, Scope};
use holdfast_core::{Actor, ActorKind, OverrideId, Timestamp};

use super::Convert;
use super::primitive::{enumerated, enumeration, from_ms, ms, parse, required};
use crate::error::DecodeError;
use crate::pb::v1 as pb;

enumeration!(ActorKind, ActorKind { Person, Workload, Agent, System });

impl Convert for Actor {
    type Proto = pb::Actor;

    fn to_proto(&self) -> pb::Actor {
        pb::Actor { kind: self.kind.to_proto(), name: self.name.clone() }
    }

    fn from_proto(proto: pb::Actor) -> Result<Self, DecodeError> {
        Ok(Self { kind: enumerated("kind", proto.kind)?, name: proto.name })
    }
}

impl Convert for Scope {
    type Proto = pb::Scope;

    fn to_proto(&self) -> pb::Scope {
        use pb::scope::Scope as Kind;
        let scope = match self {
            Self::Endpoint(name) => Kind::Endpoint(name.to_string()),
            Self::Pool(name) => Kind::Pool(name.to_string()),
        };
        pb::Scope { scope: Some(scope) }
    }

    fn from_proto(proto: pb::Scope) -> Result<Self, DecodeError> {
        use pb::scope::Scope as Kind;
        match proto.scope.ok_or_else(|| DecodeError::missing(""))? {
            Kind::Endpoint(name) => Ok(Self::Endpoint(parse("endpoint", &name)?)),
            Kind::Pool(name) => Ok(Self::Pool(parse("pool", &name)?)),
        }
    }
}

impl Convert for Order {
    type Proto = pb::Order;

    fn to_proto(&self) -> pb::Order {
        use pb::order::Order as Kind;
        let order = match self {
            Self::Pin(pool) => Kind::Pin(pool.to_string()),
            Self::ForceUp(scope) => Kind::ForceUp(scope.to_proto()),
            Self::ForceDown(scope) => Kind::ForceDown(scope.to_proto()),
            Self::Drain(scope) => Kind::Drain(scope.to_proto()),
            Self::LowerTtl(ttl) => Kind::LowerTtlMs(ms(*ttl)),
        };
        pb::Order { order: Some(order) }
    }

    fn from_proto(proto: pb::Order) -> Result<Self, DecodeError> {
        use pb::order::Order as Kind;
        let scope =
            |field, proto| Scope::from_proto(proto).map_err(|e: DecodeError| e.within(field));
        match proto.order.ok_or_else(|| DecodeError::missing(""))? {
            Kind::Pin(pool) => Ok(Self::Pin(parse("pin", &pool)?)),
            Kind::ForceUp(proto) => Ok(Self::ForceUp(scope("force_up", proto)?)),
            Kind::ForceDown(proto) => Ok(Self::ForceDown(scope("force_down", proto)?)),
            Kind::Drain(proto) => Ok(Self::Drain(scope("drain", proto)?)),
            Kind::LowerTtlMs(ttl) => Ok(Self::LowerTtl(from_ms(ttl))),
        }
    }
}

impl Convert for Override {
    type Proto = pb::Override;

    fn to_proto(&self) -> pb::Override {
        pb::Override {
            id: self.id.0,
            service: self.service.to_string(),
            order: Some(self.order.to_proto()),
            actor: self.actor.clone(),
            reason: self.reason.clone(),
            set_at_ms: self.set_at.0,
            expires_at_ms: self.expires_at.0,
        }
    }

    fn from_proto(proto: pb::Override) -> Result<Self, DecodeError> {
        Ok(Self {
            id: OverrideId(proto.id),
            service: parse("service", &proto.service)?,
            order: required("order", proto.order)?,
            actor: proto.actor,
            reason: proto.reason,
            set_at: Timestamp(proto.set_at_ms),
            expires_at: Timestamp(proto.expires_at_ms),
        })
    }
}

impl Convert for Pause {
    type Proto = pb::Pause;

    fn to_proto(&self) -> pb::Pause {
        pb::Pause {
            actor: self.actor.clone(),
            reason: self.reason.clone(),
            set_at_ms: self.set_at.0,
            expires_at_ms: self.expires_at.0,
        }
    }

    fn from_proto(proto: pb::Pause) -> Result<Self, DecodeError> {
        Ok(Self {
            actor: proto.actor,
            reason: proto.reason,
            set_at: Timestamp(proto.set_at_ms),
            expires_at: Timestamp(proto.expires_at_ms),
        })
    }
}
