//! Sealed secrets: opaque, bounded bytes.

use holdfast_core::Sealed;
use holdfast_core::sealed::SealingKeyId;

use super::Convert;
use crate::error::DecodeError;
use crate::pb::v1 as pb;

impl Convert for Sealed {
    type Proto = pb::Sealed;

    fn to_proto(&self) -> pb::Sealed {
        pb::Sealed {
            key: self.key.0.to_vec(),
            nonce: self.nonce.to_vec(),
            ciphertext: self.ciphertext.clone(),
        }
    }

    fn from_proto(proto: pb::Sealed) -> Result<Self, DecodeError> {
        let sealed = Self {
            key: SealingKeyId(exact("key", &proto.key)?),
            nonce: exact("nonce", &proto.nonce)?,
            ciphertext: proto.ciphertext,
        };
        if !sealed.is_bounded() {
            let problem = format!("more than {} bytes", Self::MAX_CIPHERTEXT);
            return Err(DecodeError::invalid("ciphertext", problem));
        }
        Ok(sealed)
    }
}

fn exact<const N: usize>(field: &str, bytes: &[u8]) -> Result<[u8; N], DecodeError> {
    bytes.try_into().map_err(|_| DecodeError::invalid(field, format!("must have {N} bytes")))
}
