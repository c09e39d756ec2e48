//! Who may copy a zone, and who is told of changes.

use holdfast_core::spec::{NotifyTarget, Transfer};

use super::Convert;
use super::primitive::{from_list, list, parse, parse_each, parse_option, texts};
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
