//! Zones that are copied from their primaries.

use std::sync::Arc;

use holdfast_core::Timestamp;
use holdfast_core::copied::{Copied, Fetched};
use holdfast_core::spec::Primaries;

use super::Convert;
use super::primitive::{
    from_list, from_ms, list, ms, parse, parse_each, parse_option, required, texts,
};
use crate::error::DecodeError;
use crate::pb::internal::v1 as internal;
use crate::pb::v1 as pb;

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

impl Convert for Fetched {
    type Proto = internal::FetchedZone;

    fn to_proto(&self) -> internal::FetchedZone {
        internal::FetchedZone {
            since: self.since,
            serial: self.serial,
            from: self.from.to_string(),
            mname: self.mname.to_string(),
            soa: Some(self.soa.to_proto()),
            ttl_ms: ms(self.ttl),
            removed: list(&self.removed),
            added: list(&self.added),
        }
    }

    fn from_proto(proto: internal::FetchedZone) -> Result<Self, DecodeError> {
        Ok(Self {
            since: proto.since,
            serial: proto.serial,
            from: parse("from", &proto.from)?,
            mname: parse("mname", &proto.mname)?,
            soa: required("soa", proto.soa)?,
            ttl: from_ms(proto.ttl_ms),
            removed: from_list("removed", proto.removed)?,
            added: from_list("added", proto.added)?,
        })
    }
}

impl Convert for Copied {
    type Proto = internal::CopiedZone;

    fn to_proto(&self) -> internal::CopiedZone {
        internal::CopiedZone {
            index: self.index,
            at_ms: self.at.0,
            serial: self.serial,
            from: self.from.as_ref().map(ToString::to_string),
            mname: self.mname.to_string(),
            zone: Some(self.zone.to_proto()),
        }
    }

    fn from_proto(proto: internal::CopiedZone) -> Result<Self, DecodeError> {
        Ok(Self {
            index: proto.index,
            at: Timestamp(proto.at_ms),
            serial: proto.serial,
            from: parse_option("from", proto.from.as_ref())?,
            mname: parse("mname", &proto.mname)?,
            zone: Arc::new(required("zone", proto.zone)?),
        })
    }
}
