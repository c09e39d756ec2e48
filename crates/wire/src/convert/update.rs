//! Dynamic updates: who may send them, what they ask, and how they are refused.

use holdfast_core::spec::{Kind, Registers, UpdateRule};
use holdfast_core::update::{
    Action, Change, Condition, Prerequisite, UpdateCode, UpdateRefusal, ZoneUpdate,
};

use super::Convert;
use super::primitive::{
    from_list, from_ms, list, ms, narrow, optional, parse, parse_each, required, texts,
};
use crate::error::DecodeError;
use crate::pb::internal::v1 as internal;
use crate::pb::v1 as pb;

impl Convert for UpdateRule {
    type Proto = pb::UpdateRule;

    fn to_proto(&self) -> pb::UpdateRule {
        pb::UpdateRule {
            key: self.key.to_string(),
            names: texts(&self.names),
            types: self.types.iter().map(|kind| kind.0.into()).collect(),
            registers: self.registers.as_ref().map(Convert::to_proto),
        }
    }

    fn from_proto(proto: pb::UpdateRule) -> Result<Self, DecodeError> {
        let types = proto.types.into_iter().map(|number| kind("types", number));
        Ok(Self {
            key: parse("key", &proto.key)?,
            names: parse_each("names", &proto.names)?,
            types: types.collect::<Result<_, _>>()?,
            registers: optional("registers", proto.registers)?,
        })
    }
}

impl Convert for Registers {
    type Proto = pb::Registers;

    fn to_proto(&self) -> pb::Registers {
        pb::Registers { pool: self.pool.to_string(), port: self.port.into() }
    }

    fn from_proto(proto: pb::Registers) -> Result<Self, DecodeError> {
        Ok(Self { pool: parse("pool", &proto.pool)?, port: narrow("port", proto.port)? })
    }
}

fn kind(field: &str, number: u32) -> Result<Kind, DecodeError> {
    narrow(field, number).map(Kind)
}

impl Convert for ZoneUpdate {
    type Proto = internal::UpdateZone;

    fn to_proto(&self) -> internal::UpdateZone {
        internal::UpdateZone {
            zone: self.zone.to_string(),
            key: self.key.to_string(),
            prerequisites: list(&self.prerequisites),
            changes: list(&self.changes),
        }
    }

    fn from_proto(proto: internal::UpdateZone) -> Result<Self, DecodeError> {
        Ok(Self {
            zone: parse("zone", &proto.zone)?,
            key: parse("key", &proto.key)?,
            prerequisites: from_list("prerequisites", proto.prerequisites)?,
            changes: from_list("changes", proto.changes)?,
        })
    }
}

impl Convert for Prerequisite {
    type Proto = internal::Prerequisite;

    fn to_proto(&self) -> internal::Prerequisite {
        use internal::prerequisite::Condition as Told;
        let condition = match &self.condition {
            Condition::Name { exists } => Told::NameExists(*exists),
            Condition::Set { kind, exists } => {
                Told::Set(internal::SetCondition { r#type: kind.0.into(), exists: *exists })
            }
            Condition::Holds(data) => Told::Holds(data.to_proto()),
        };
        internal::Prerequisite { name: self.name.to_string(), condition: Some(condition) }
    }

    fn from_proto(proto: internal::Prerequisite) -> Result<Self, DecodeError> {
        use internal::prerequisite::Condition as Told;
        let condition = match proto.condition.ok_or_else(|| DecodeError::missing("condition"))? {
            Told::NameExists(exists) => Condition::Name { exists },
            Told::Set(set) => {
                Condition::Set { kind: kind("set.type", set.r#type)?, exists: set.exists }
            }
            Told::Holds(data) => Condition::Holds(required("holds", Some(data))?),
        };
        Ok(Self { name: parse("name", &proto.name)?, condition })
    }
}

impl Convert for Change {
    type Proto = internal::RecordChange;

    fn to_proto(&self) -> internal::RecordChange {
        use internal::record_change::Action as Told;
        let action = match &self.action {
            Action::Add { ttl, data } => {
                Told::Add(internal::AddRecord { ttl_ms: ms(*ttl), data: Some(data.to_proto()) })
            }
            Action::RemoveName => Told::RemoveName(internal::RemoveName {}),
            Action::RemoveSet(kind) => Told::RemoveSet(kind.0.into()),
            Action::Remove(data) => Told::Remove(data.to_proto()),
        };
        internal::RecordChange { name: self.name.to_string(), action: Some(action) }
    }

    fn from_proto(proto: internal::RecordChange) -> Result<Self, DecodeError> {
        use internal::record_change::Action as Told;
        let action = match proto.action.ok_or_else(|| DecodeError::missing("action"))? {
            Told::Add(add) => {
                Action::Add { ttl: from_ms(add.ttl_ms), data: required("add.data", add.data)? }
            }
            Told::RemoveName(internal::RemoveName {}) => Action::RemoveName,
            Told::RemoveSet(number) => Action::RemoveSet(kind("remove_set", number)?),
            Told::Remove(data) => Action::Remove(required("remove", Some(data))?),
        };
        Ok(Self { name: parse("name", &proto.name)?, action })
    }
}

impl Convert for UpdateRefusal {
    type Proto = internal::UpdateRefused;

    fn to_proto(&self) -> internal::UpdateRefused {
        use internal::UpdateCode as Told;
        let code = match self.code {
            UpdateCode::NameExists => Told::Yxdomain,
            UpdateCode::SetExists => Told::Yxrrset,
            UpdateCode::NameMissing => Told::Nxdomain,
            UpdateCode::SetMissing => Told::Nxrrset,
            UpdateCode::NotOurs => Told::Notauth,
            UpdateCode::NotInZone => Told::Notzone,
            UpdateCode::Refused => Told::Refused,
        };
        internal::UpdateRefused { code: code as i32, problem: self.problem.clone() }
    }

    fn from_proto(proto: internal::UpdateRefused) -> Result<Self, DecodeError> {
        use internal::UpdateCode as Told;
        let code = match Told::try_from(proto.code) {
            Ok(Told::Yxdomain) => UpdateCode::NameExists,
            Ok(Told::Yxrrset) => UpdateCode::SetExists,
            Ok(Told::Nxdomain) => UpdateCode::NameMissing,
            Ok(Told::Nxrrset) => UpdateCode::SetMissing,
            Ok(Told::Notauth) => UpdateCode::NotOurs,
            Ok(Told::Notzone) => UpdateCode::NotInZone,
            Ok(Told::Refused) => UpdateCode::Refused,
            Ok(Told::Unspecified) => return Err(DecodeError::missing("code")),
            Err(_) => {
                let problem = format!("there is no value {}", proto.code);
                return Err(DecodeError::invalid("code", problem));
            }
        };
        Ok(Self { code, problem: proto.problem })
    }
}
