//! What the build makes of `proto/`, one module per protobuf package.

#![allow(clippy::all, clippy::too_many_lines, clippy::excessive_nesting, unreachable_pub)]
#![allow(missing_debug_implementations, unused_qualifications)]

/// The public API.
pub mod v1 {
    tonic::include_proto!("holdfast.v1");
}

/// What agents of one cluster store and tell each other.
pub mod internal {
    /// The first version.
    pub mod v1 {
        tonic::include_proto!("holdfast.internal.v1");
    }
}

/// The encoded `FileDescriptorSet` of everything above, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
