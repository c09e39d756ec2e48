//! What agents were told by the servers of a parent zone.

use std::net::IpAddr;

use holdfast_core::DnsName;
use holdfast_core::propagation::{Delegation, ParentSighting, Unasked};

use super::Convert;
use super::primitive::{from_list, list, parse, parse_each, parse_option, texts};
use crate::error::DecodeError;
use crate::pb::v1 as pb;

impl Convert for ParentSighting {
    type Proto = pb::ParentSighting;

    fn to_proto(&self) -> pb::ParentSighting {
        use pb::parent_sighting::Told;
        let told = match &self.told {
            Ok(delegation) => Told::Delegation(delegation.to_proto()),
            Err(unasked) => Told::Unasked(unasked.to_proto()),
        };
        pb::ParentSighting { asker: self.asker.clone(), told: Some(told) }
    }

    fn from_proto(proto: pb::ParentSighting) -> Result<Self, DecodeError> {
        use pb::parent_sighting::Told;
        let told = match proto.told.ok_or_else(|| DecodeError::missing("told"))? {
            Told::Delegation(one) => {
                Ok(Delegation::from_proto(one).map_err(|e| e.within("delegation"))?)
            }
            Told::Unasked(one) => Err(Unasked::from_proto(one).map_err(|e| e.within("unasked"))?),
        };
        Ok(Self { asker: proto.asker, told })
    }
}

impl Convert for Unasked {
    type Proto = pb::Unasked;

    fn to_proto(&self) -> pb::Unasked {
        let parent = self.parent.map(|address| address.to_string());
        pb::Unasked { parent, why: self.why.clone() }
    }

    fn from_proto(proto: pb::Unasked) -> Result<Self, DecodeError> {
        Ok(Self { parent: parse_option("parent", proto.parent.as_ref())?, why: proto.why })
    }
}

impl Convert for Delegation {
    type Proto = pb::Delegation;

    fn to_proto(&self) -> pb::Delegation {
        pb::Delegation {
            parent: self.parent.to_string(),
            servers: texts(&self.servers),
            glue: list(&self.glue),
            ds: self.ds.as_ref().map(|records| pb::DsRecords { records: list(records) }),
        }
    }

    fn from_proto(proto: pb::Delegation) -> Result<Self, DecodeError> {
        let ds = proto.ds.map(|ds| from_list("ds.records", ds.records));
        Ok(Self {
            parent: parse("parent", &proto.parent)?,
            servers: parse_each("servers", &proto.servers)?,
            glue: from_list("glue", proto.glue)?,
            ds: ds.transpose()?,
        })
    }
}

impl Convert for (DnsName, IpAddr) {
    type Proto = pb::Glue;

    fn to_proto(&self) -> pb::Glue {
        pb::Glue { name: self.0.to_string(), address: self.1.to_string() }
    }

    fn from_proto(proto: pb::Glue) -> Result<Self, DecodeError> {
        Ok((parse("name", &proto.name)?, parse("address", &proto.address)?))
    }
}
