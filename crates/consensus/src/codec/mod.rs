//! Raft's own things on disk and wire, in our versioned protobuf.
//!
//! What is stored carries a format number; a higher one than [`FORMAT`] is refused rather than guessed at, and unknown
//! fields of a known format are skipped, so that a newer agent can add to a message without cutting off an older one.
//! Never serde, never openraft's own layout: those change between its versions.

mod record;
pub(crate) mod rpc;

pub(crate) use record::{decode_entry, decode_log_id, decode_meta, decode_vote};
pub(crate) use record::{encode_entry, encode_log_id, encode_meta, encode_vote};

/// The newest layout of stored records that this version reads and the one that it writes.
pub(crate) const FORMAT: u32 = 1;

/// Why bytes are not what they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CodecError {
    /// The bytes are not protobuf of this message.
    #[error("a stored {what} does not decode: {why}")]
    Malformed {
        /// What should be there.
        what: &'static str,
        /// What the decoder says.
        why: String,
    },
    /// A newer version wrote it.
    #[error(
        "a stored {what} has format {found}, this version reads up to {FORMAT}: start a newer version"
    )]
    TooNew {
        /// What it is.
        what: &'static str,
        /// Its format.
        found: u32,
    },
    /// A part that must be there is not.
    #[error("a stored {what} lacks its {part}")]
    Incomplete {
        /// What it is.
        what: &'static str,
        /// What it lacks.
        part: &'static str,
    },
}

impl From<CodecError> for std::io::Error {
    fn from(error: CodecError) -> Self {
        Self::new(std::io::ErrorKind::InvalidData, error)
    }
}

/// Decodes a message, naming `what` it should have been.
pub(crate) fn decode<M: prost::Message + Default>(
    what: &'static str,
    bytes: &[u8],
) -> Result<M, CodecError> {
    M::decode(bytes).map_err(|error| CodecError::Malformed { what, why: error.to_string() })
}

/// Encodes a message.
pub(crate) fn encode<M: prost::Message>(message: &M) -> Vec<u8> {
    message.encode_to_vec()
}

fn require<T>(part: Option<T>, what: &'static str, name: &'static str) -> Result<T, CodecError> {
    part.ok_or(CodecError::Incomplete { what, part: name })
}

fn check_format(what: &'static str, found: u32) -> Result<(), CodecError> {
    if found > FORMAT { Err(CodecError::TooNew { what, found }) } else { Ok(()) }
}
