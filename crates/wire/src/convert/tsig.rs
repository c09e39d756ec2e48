//! Keys that DNS messages are signed with.

use holdfast_core::DnsName;
use holdfast_core::tsig::TsigKey;

use super::Convert as _;
use super::primitive::{parse, required};
use crate::error::DecodeError;
use crate::pb::v1 as pb;

/// A key with its name as a message.
pub(super) fn to_proto((name, key): (&DnsName, &TsigKey)) -> pb::TsigKey {
    pb::TsigKey {
        name: name.to_string(),
        algorithm: key.algorithm.to_string(),
        secret: Some(key.secret.to_proto()),
    }
}

/// The key that a message holds.
pub(super) fn from_proto(proto: pb::TsigKey) -> Result<(DnsName, TsigKey), DecodeError> {
    let algorithm = parse("algorithm", &proto.algorithm)?;
    let secret = required("secret", proto.secret)?;
    Ok((parse("name", &proto.name)?, TsigKey { algorithm, secret }))
}
