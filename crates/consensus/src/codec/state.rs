//! The state inside a snapshot: the canonical encoding that the state hash covers, in a versioned envelope.
//!
//! The envelope is protobuf; the body is the core's plain data. A layout that this version does not know is refused.

use bytes::Bytes;
use holdfast_core::state::Snapshot;

use super::{CodecError, decode, encode};

/// The layout of the body: raised with each change of the core's `Snapshot`.
const LAYOUT: u32 = 1;

#[derive(Clone, PartialEq, prost::Message)]
struct StateRecord {
    #[prost(uint32, tag = "1")]
    layout: u32,
    #[prost(bytes = "bytes", tag = "2")]
    body: Bytes,
}

pub(crate) fn encode_state(snapshot: &Snapshot) -> Bytes {
    let body = postcard::to_allocvec(snapshot).expect("plain data of bounded depth always encodes");
    encode(&StateRecord { layout: LAYOUT, body: body.into() }).into()
}

pub(crate) fn decode_state(bytes: &[u8]) -> Result<Snapshot, CodecError> {
    let record: StateRecord = decode("snapshot", bytes)?;
    if record.layout != LAYOUT {
        return Err(CodecError::TooNew { what: "snapshot", found: record.layout });
    }
    postcard::from_bytes(&record.body)
        .map_err(|error| CodecError::Malformed { what: "snapshot", why: error.to_string() })
}
