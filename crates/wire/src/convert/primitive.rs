//! The parts that every conversion is made of: lists, options, names, numbers that must fit, enumerations.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use holdfast_core::{RequestId, Timestamp};

use super::Convert;
use crate::error::DecodeError;

pub(crate) fn list<T: Convert>(values: &[T]) -> Vec<T::Proto> {
    values.iter().map(Convert::to_proto).collect()
}

pub(crate) fn from_list<T: Convert>(
    field: &str,
    protos: Vec<T::Proto>,
) -> Result<Vec<T>, DecodeError> {
    let place = |(i, proto)| T::from_proto(proto).map_err(|e| e.within(&format!("{field}[{i}]")));
    protos.into_iter().enumerate().map(place).collect()
}

pub(crate) fn required<T: Convert>(field: &str, proto: Option<T::Proto>) -> Result<T, DecodeError> {
    let proto = proto.ok_or_else(|| DecodeError::missing(field))?;
    T::from_proto(proto).map_err(|e| e.within(field))
}

pub(super) fn optional<T: Convert>(
    field: &str,
    proto: Option<T::Proto>,
) -> Result<Option<T>, DecodeError> {
    proto.map(|proto| T::from_proto(proto).map_err(|e| e.within(field))).transpose()
}

pub(super) fn enumerated<T: Convert<Proto = i32>>(
    field: &str,
    number: i32,
) -> Result<T, DecodeError> {
    T::from_proto(number).map_err(|e| e.within(field))
}

pub(super) fn parse<T: FromStr<Err: Display>>(field: &str, text: &str) -> Result<T, DecodeError> {
    if text.is_empty() {
        return Err(DecodeError::missing(field));
    }
    text.parse().map_err(|e| DecodeError::invalid(field, e))
}

/// Parses each text of a list.
pub(super) fn parse_each<T: FromStr<Err: Display>>(
    field: &str,
    texts: &[String],
) -> Result<Vec<T>, DecodeError> {
    texts.iter().map(|text| parse(field, text)).collect()
}

pub(super) fn texts<T: Display>(values: &[T]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

pub(super) fn parse_option<T: FromStr<Err: Display>>(
    field: &str,
    text: Option<&String>,
) -> Result<Option<T>, DecodeError> {
    text.map(|text| parse(field, text)).transpose()
}

/// A number that is narrower in the core than protobuf has types for.
pub(super) fn narrow<T: TryFrom<u32>>(field: &str, number: u32) -> Result<T, DecodeError> {
    T::try_from(number)
        .map_err(|_| DecodeError::invalid(field, format!("{number} is more than fits")))
}

pub(super) fn narrow_option<T: TryFrom<u32>>(
    field: &str,
    number: Option<u32>,
) -> Result<Option<T>, DecodeError> {
    number.map(|number| narrow(field, number)).transpose()
}

pub(super) fn ms(duration: Duration) -> u64 {
    holdfast_core::time::millis(duration)
}

pub(super) fn from_ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(super) fn ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

pub(super) fn stamps(times: &[Timestamp]) -> Vec<u64> {
    times.iter().map(|at| at.0).collect()
}

/// The bytes of a request id; none where there is none.
pub(crate) fn request_id_bytes(id: Option<RequestId>) -> Vec<u8> {
    id.map(|id| id.0.to_be_bytes().to_vec()).unwrap_or_default()
}

pub(crate) fn from_request_id_bytes(bytes: &[u8]) -> Result<Option<RequestId>, DecodeError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let bytes: [u8; 16] = bytes.try_into().map_err(|_| {
        DecodeError::invalid("request_id", format!("{} bytes, not 16", bytes.len()))
    })?;
    Ok(Some(RequestId(u128::from_be_bytes(bytes))))
}

/// Reads a UUID, as clients write request ids: 32 hexadecimal digits, with hyphens or without.
pub fn request_id(text: &str) -> Result<RequestId, DecodeError> {
    if text.is_empty() {
        return Err(DecodeError::missing("request_id"));
    }
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    let hexadecimal = digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    let hyphens_in_place = !text.contains('-')
        || text.len() == 36 && [8, 13, 18, 23].iter().all(|&i| text.as_bytes()[i] == b'-');
    if !hexadecimal || !hyphens_in_place {
        return Err(DecodeError::invalid("request_id", format!("{text:.40?} is not a UUID")));
    }
    let number = u128::from_str_radix(&digits, 16).expect("32 hexadecimal digits fit 128 bits");
    Ok(RequestId(number))
}

/// Pairs the variants of a core enumeration with those of its protobuf counterpart; the unspecified one is refused.
macro_rules! enumeration {
    ($core:ty, $proto:ident { $($variant:ident),+ $(,)? }) => {
        impl $crate::convert::Convert for $core {
            type Proto = i32;
            fn to_proto(&self) -> i32 {
                match self {
                    $(Self::$variant => $crate::pb::v1::$proto::$variant as i32,)+
                }
            }
            fn from_proto(number: i32) -> Result<Self, $crate::error::DecodeError> {
                match $crate::pb::v1::$proto::try_from(number) {
                    $(Ok($crate::pb::v1::$proto::$variant) => Ok(Self::$variant),)+
                    Ok($crate::pb::v1::$proto::Unspecified) => {
                        Err($crate::error::DecodeError::missing(""))
                    }
                    Err(_) => Err($crate::error::DecodeError::invalid(
                        "",
                        format!("this version does not know the value {number}"),
                    )),
                }
            }
        }
    };
}
pub(super) use enumeration;
