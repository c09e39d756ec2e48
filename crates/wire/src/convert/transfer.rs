//! What a zone has to do with other servers: copies, updates, primaries.

use holdfast_core::spec::{EndpointRule, NotifyTarget, Primaries, Transfer, UpdateRule};

use super::Convert;
use super::primitive::{from_list, list, narrow, optional, parse, parse_each, parse_option, texts};
use crate::error::DecodeError;
use crate::pb::v1 as pb;

impl Convert for Transfer {
    type Proto = pb::Transfer;

    fn to_proto(&self) -> pb::Transfer {
        pb::Transfer {
            allow: texts(&self.allow),
            keys: texts(&self.keys),
            notify: list(&self.notify),
        }
    }

    fn from_proto(proto: pb::Transfer) -> Result<Self, DecodeError> {
        Ok(Self {
            allow: parse_each("allow", &proto.allow)?,
            keys: parse_each("keys", &proto.keys)?,
            notify: from_list("notify", proto.notify)?,
        })
    }
}

impl Convert for NotifyTarget {
    type Proto = pb::NotifyTarget;

    fn to_proto(&self) -> pb::NotifyTarget {
        pb::NotifyTarget {
            address: self.address.to_string(),
            key: self.key.as_ref().map(ToString::to_string),
        }
    }

    fn from_proto(proto: pb::NotifyTarget) -> Result<Self, DecodeError> {
        Ok(Self {
            address: parse("address", &proto.address)?,
            key: parse_option("key", proto.key.as_ref())?,
        })
    }
}

impl Convert for UpdateRule {
    type Proto = pb::UpdateRule;

    fn to_proto(&self) -> pb::UpdateRule {
        pb::UpdateRule {
            key: self.key.to_string(),
            names: texts(&self.names),
            types: self.types.iter().copied().map(u32::from).collect(),
            endpoints: self.endpoints.as_ref().map(Convert::to_proto),
        }
    }

    fn from_proto(proto: pb::UpdateRule) -> Result<Self, DecodeError> {
        let types = proto.types.into_iter().map(|number| narrow("types", number));
        Ok(Self {
            key: parse("key", &proto.key)?,
            names: parse_each("names", &proto.names)?,
            types: types.collect::<Result<_, _>>()?,
            endpoints: optional("endpoints", proto.endpoints)?,
        })
    }
}

impl Convert for EndpointRule {
    type Proto = pb::EndpointRule;

    fn to_proto(&self) -> pb::EndpointRule {
        pb::EndpointRule { pool: self.pool.to_string(), port: self.port.into() }
    }

    fn from_proto(proto: pb::EndpointRule) -> Result<Self, DecodeError> {
        Ok(Self { pool: parse("pool", &proto.pool)?, port: narrow("port", proto.port)? })
    }
}

impl Convert for Primaries {
    type Proto = pb::Primaries;

    fn to_proto(&self) -> pb::Primaries {
        pb::Primaries {
            addresses: texts(&self.addresses),
            key: self.key.as_ref().map(ToString::to_string),
        }
    }

    fn from_proto(proto: pb::Primaries) -> Result<Self, DecodeError> {
        Ok(Self {
            addresses: parse_each("addresses", &proto.addresses)?,
            key: parse_option("key", proto.key.as_ref())?,
        })
    }
}
