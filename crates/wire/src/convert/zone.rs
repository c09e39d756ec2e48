//! Zones and their records.

use holdfast_core::spec::{NameServer, Record, Soa, Transfer, Zone};

use super::Convert;
use super::primitive::{from_list, from_ms, list, ms, optional, parse, required};
use crate::error::DecodeError;
use crate::pb::v1 as pb;

impl Convert for Zone {
    type Proto = pb::Zone;

    fn to_proto(&self) -> pb::Zone {
        pb::Zone {
            name: self.name.to_string(),
            soa: Some(self.soa.to_proto()),
            name_servers: list(&self.name_servers),
            ttl_ms: ms(self.ttl),
            records: list(&self.records),
            client_subnet: self.client_subnet,
            transfer: (self.transfer != Transfer::default()).then(|| self.transfer.to_proto()),
            updates: list(&self.updates),
            dnssec: self.dnssec.as_ref().map(Convert::to_proto),
            primaries: self.primaries.as_ref().map(Convert::to_proto),
        }
    }

    fn from_proto(proto: pb::Zone) -> Result<Self, DecodeError> {
        Ok(Self {
            name: parse("name", &proto.name)?,
            soa: required("soa", proto.soa)?,
            name_servers: from_list("name_servers", proto.name_servers)?,
            ttl: from_ms(proto.ttl_ms),
            records: from_list("records", proto.records)?,
            client_subnet: proto.client_subnet,
            transfer: optional("transfer", proto.transfer)?.unwrap_or_default(),
            updates: from_list("updates", proto.updates)?,
            dnssec: optional("dnssec", proto.dnssec)?,
            primaries: optional("primaries", proto.primaries)?,
        })
    }
}

impl Convert for Soa {
    type Proto = pb::Soa;

    fn to_proto(&self) -> pb::Soa {
        pb::Soa {
            mailbox: self.mailbox.to_string(),
            refresh_ms: ms(self.refresh),
            retry_ms: ms(self.retry),
            expire_ms: ms(self.expire),
            negative_ttl_ms: ms(self.negative_ttl),
        }
    }

    fn from_proto(proto: pb::Soa) -> Result<Self, DecodeError> {
        Ok(Self {
            mailbox: parse("mailbox", &proto.mailbox)?,
            refresh: from_ms(proto.refresh_ms),
            retry: from_ms(proto.retry_ms),
            expire: from_ms(proto.expire_ms),
            negative_ttl: from_ms(proto.negative_ttl_ms),
        })
    }
}

impl Convert for NameServer {
    type Proto = pb::NameServer;

    fn to_proto(&self) -> pb::NameServer {
        pb::NameServer {
            name: self.name.to_string(),
            addresses: self.addresses.iter().map(ToString::to_string).collect(),
        }
    }

    fn from_proto(proto: pb::NameServer) -> Result<Self, DecodeError> {
        let addresses = proto.addresses.iter().map(|text| parse("addresses", text));
        Ok(Self {
            name: parse("name", &proto.name)?,
            addresses: addresses.collect::<Result<_, _>>()?,
        })
    }
}

impl Convert for Record {
    type Proto = pb::Record;

    fn to_proto(&self) -> pb::Record {
        pb::Record {
            name: self.name.to_string(),
            ttl_ms: ms(self.ttl),
            data: Some(self.data.to_proto()),
        }
    }

    fn from_proto(proto: pb::Record) -> Result<Self, DecodeError> {
        Ok(Self {
            name: parse("name", &proto.name)?,
            ttl: from_ms(proto.ttl_ms),
            data: required("data", proto.data)?,
        })
    }
}
