//! Conversions between core values and protobuf messages, one file per subject.
//!
//! Both directions stand beside each other, so that a field cannot be added to one alone. `from_proto` accepts
//! what a later version may add (unknown fields are dropped by protobuf itself) and refuses what would be a guess:
//! an enumeration without a value, an alternative that is absent, a number that does not fit.

mod audit;
mod check;
mod command;
mod convergence;
mod copied;
mod membership;
mod observation;
mod orders;
mod outcome;
mod parent;
mod policy;
mod primitive;
mod reason;
mod record;
mod sealed;
mod service;
mod settings;
mod signing;
mod snapshot;
mod status;
mod transfer;
mod tsig;
mod ttl;
mod update;
mod zone;

pub use primitive::request_id;
pub(crate) use primitive::{from_list, from_request_id_bytes, list, request_id_bytes, required};
pub use status::service_status;

use crate::error::DecodeError;

/// A core value and the message that carries it.
pub trait Convert: Sized {
    /// The message.
    type Proto;
    /// The message that carries this value.
    fn to_proto(&self) -> Self::Proto;
    /// The value that a message carries. Errors: what is wrong, and in which field.
    fn from_proto(proto: Self::Proto) -> Result<Self, DecodeError>;
}
