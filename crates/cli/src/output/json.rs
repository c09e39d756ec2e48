//! Messages of the API as JSON: every field, under its name in `proto/`, so that nothing is lost and nothing is named
//! twice.
//!
//! Enumerations are their last words in lower case (`VERDICT_UP` is `up`, unspecified is null), an absent optional
//! field is null, of alternatives only the one that is set appears, 64-bit counters are numbers, random 64-bit numbers
//! and bytes are text (decimal, base64). This differs from protobuf's own JSON in being easier on shells and eyes.

use std::sync::OnceLock;

use holdfast_wire::pb::{DESCRIPTORS, v1 as pb};
use prost::Message;
use prost_reflect::{
    DescriptorPool, DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, ReflectMessage as _,
    Value as Field,
};
use serde_json::{Map, Value};

/// A message that is printed.
pub(crate) trait Told: Message {
    /// Its name in `proto/`.
    const NAME: &'static str;
}

macro_rules! told {
    ($($message:ident),+ $(,)?) => {
        $(impl Told for pb::$message { const NAME: &'static str = concat!("holdfast.v1.", stringify!($message)); })+
        #[cfg(test)]
        const NAMES: &[&str] = &[$(<pb::$message as Told>::NAME),+];
    };
}

told!(
    ApplyServiceResponse,
    ApplyZoneResponse,
    ChangeSettingsResponse,
    AuditRecord,
    CheckPropagationResponse,
    ClearOverrideResponse,
    DeleteServiceResponse,
    DeleteZoneResponse,
    ApplyTsigKeyResponse,
    ListTsigKeysResponse,
    RemoveTsigKeyResponse,
    DeregisterEndpointResponse,
    DumpAnswersResponse,
    ExplainServiceResponse,
    GetClusterResponse,
    GetServiceResponse,
    GetStatusResponse,
    Settings,
    GetZoneResponse,
    GetZoneSigningResponse,
    HeartbeatResponse,
    ListOverridesResponse,
    ListRecordsResponse,
    ListServicesResponse,
    ListZonesResponse,
    PauseAutomationResponse,
    PreviewAnswerResponse,
    RegisterEndpointResponse,
    ResumeAutomationResponse,
    Service,
    SetOverrideResponse,
    AddMemberResponse,
    PromoteMemberResponse,
    RemoveMemberResponse,
    TransferLeadershipResponse,
    VerifyLogResponse,
    Zone,
);

fn descriptors() -> &'static DescriptorPool {
    static POOL: OnceLock<DescriptorPool> = OnceLock::new();
    POOL.get_or_init(|| {
        DescriptorPool::decode(DESCRIPTORS).expect("the build made these descriptors")
    })
}

/// A message as JSON.
pub(crate) fn of<M: Told>(message: &M) -> Value {
    let descriptor =
        descriptors().get_message_by_name(M::NAME).expect("a test looks up every name");
    let bytes = message.encode_to_vec();
    let dynamic = DynamicMessage::decode(descriptor, bytes.as_slice())
        .expect("bytes of a message are of its own descriptor");
    object(&dynamic)
}

fn object(message: &DynamicMessage) -> Value {
    let mut map = Map::new();
    for field in message.descriptor().fields() {
        let alternative = field.containing_oneof().is_some_and(|oneof| !oneof.is_synthetic());
        if field.supports_presence() && !message.has_field(&field) {
            if !alternative {
                map.insert(field.name().to_owned(), Value::Null);
            }
            continue;
        }
        map.insert(field.name().to_owned(), value(&field, &message.get_field(&field)));
    }
    Value::Object(map)
}

fn value(field: &FieldDescriptor, of: &Field) -> Value {
    match of {
        Field::Bool(on) => Value::from(*on),
        Field::I32(number) => Value::from(*number),
        Field::I64(number) => Value::from(*number),
        Field::U32(number) => Value::from(*number),
        Field::U64(number) if matches!(field.kind(), Kind::Fixed64) => {
            Value::from(number.to_string())
        }
        Field::U64(number) => Value::from(*number),
        Field::F32(number) => Value::from(*number),
        Field::F64(number) => Value::from(*number),
        Field::String(text) => Value::from(text.as_str()),
        Field::Bytes(bytes) => Value::from(base64(bytes)),
        Field::EnumNumber(number) => match field.kind() {
            Kind::Enum(enumeration) => word(&enumeration, *number),
            _ => Value::from(*number),
        },
        Field::Message(message) => object(message),
        Field::List(list) => list.iter().map(|one| value(field, one)).collect(),
        Field::Map(entries) => entries
            .iter()
            .map(|(key, one)| (format!("{key:?}"), value(field, one)))
            .collect::<Map<_, _>>()
            .into(),
    }
}

/// The word of an enumeration's number: its name without the type's, in lower case.
fn word(enumeration: &EnumDescriptor, number: i32) -> Value {
    let Some(known) = enumeration.get_value(number) else { return Value::from(number) };
    let prefix = known_prefix(enumeration);
    match known.name().strip_prefix(&prefix).unwrap_or(known.name()) {
        "UNSPECIFIED" => Value::Null,
        word => Value::from(word.to_ascii_lowercase()),
    }
}

/// `BLOCK_REASON_` of `BLOCK_REASON_UNSPECIFIED`: the first value of each enumeration is the unspecified one.
fn known_prefix(enumeration: &EnumDescriptor) -> String {
    enumeration.default_value().name().trim_end_matches("UNSPECIFIED").to_owned()
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let wide = group.iter().fold(0_u32, |wide, byte| wide << 8 | u32::from(*byte))
            << (8 * (3 - group.len()));
        for place in 0..4 {
            let digit = DIGITS[(wide >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= group.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_message_that_is_printed_exists() {
        for name in NAMES {
            assert!(descriptors().get_message_by_name(name).is_some(), "{name}");
        }
    }

    #[test]
    fn absent_is_null_and_zero_is_zero() {
        let line = pb::ServiceLine {
            id: "shop".into(),
            basis: pb::Basis::AllDown as i32,
            ..pb::ServiceLine::default()
        };
        let told =
            of(&pb::GetStatusResponse { services: vec![line], ..pb::GetStatusResponse::default() });
        assert_eq!(told["pause"], Value::Null);
        assert_eq!(told["index"], 0);
        let line = &told["services"][0];
        assert_eq!(
            (&line["basis"], &line["blocked"], &line["active"]),
            (&json!("all_down"), &Value::Null, &Value::Null)
        );
        assert_eq!(line["stale"], false);
    }

    #[test]
    fn only_the_alternative_that_is_set_appears() {
        let changed = pb::SelectionChanged {
            epoch: 3,
            cause: pb::Cause::Failed as i32,
            ..pb::SelectionChanged::default()
        };
        let event = pb::Event { event: Some(pb::event::Event::SelectionChanged(changed)) };
        let told =
            of(&pb::AuditRecord { sequence: 9, event: Some(event), ..pb::AuditRecord::default() });
        assert_eq!(told["sequence"], 9);
        let event = told["event"].as_object().expect("an object");
        assert_eq!(event.keys().collect::<Vec<_>>(), ["selection_changed"]);
        assert_eq!(event["selection_changed"]["cause"], "failed");
    }

    #[test]
    fn bytes_are_base64() {
        for (bytes, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")]
        {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
