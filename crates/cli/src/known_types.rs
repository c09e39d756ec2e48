//! Record types that are read by hickory's parsers and kept as they stand on the wire: TLSA, SSHFP, NAPTR and so on.

use hickory_proto::rr::{RData, RecordType};
use hickory_proto::serialize::binary::{BinEncodable as _, BinEncoder};
use holdfast_core::DnsName;
use holdfast_core::presentation::OtherTypes;
use holdfast_core::spec::Kind;

/// What hickory knows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KnownTypes;

impl OtherTypes for KnownTypes {
    fn wire(&self, kind: Kind, text: &str, _: Option<&DnsName>) -> Result<Vec<u8>, String> {
        let generic = || format!("write data of type {kind} as \\# LENGTH HEX (RFC 3597)");
        let data = RData::try_from_str(RecordType::from(kind.0), text)
            .map_err(|error| format!("{error}; or {}", generic()))?;
        let mut wire = Vec::new();
        let mut encoder = BinEncoder::new(&mut wire);
        // Names in data of these types are never compressed (RFC 3597, 4).
        encoder.set_canonical_form(true);
        data.emit(&mut encoder).map_err(|error| format!("{error}; {}", generic()))?;
        Ok(wire)
    }
}
