//! Small forms of text in manifests: an address with its port, a status range, bytes, headers.
//!
//! Each reads one way and prints one way. Errors come out of serde, so that they carry the line and the column.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use holdfast_core::DnsName;
use holdfast_core::spec::{Address, StatusRange};
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap as _, Serializer};

/// Where an endpoint is reached: `203.0.113.7:443`, `[2001:db8::1]:443` or `host.example:443`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Place {
    pub(crate) address: Address,
    pub(crate) port: u16,
}

impl TryFrom<String> for Place {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let wrong = |why: &str| {
            format!(
                "{text:?}: {why}; write 203.0.113.7:443, \"[2001:db8::1]:443\" or host.example:443"
            )
        };
        if let Ok(socket) = text.parse::<SocketAddr>() {
            return Ok(Self { address: Address::Ip(socket.ip()), port: socket.port() });
        }
        if text.parse::<IpAddr>().is_ok() {
            return Err(wrong("the port is missing"));
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(|| wrong("the port is missing"))?;
        let port = port.parse().map_err(|_| wrong("the port must be 1 to 65535"))?;
        let numeric =
            host.rsplit('.').next().is_some_and(|l| l.bytes().all(|b| b.is_ascii_digit()));
        if numeric || host.contains(':') {
            return Err(wrong("this is no address"));
        }
        let name = DnsName::new(host).map_err(|e| e.to_string())?;
        Ok(Self { address: Address::Name(name), port })
    }
}

impl From<Place> for String {
    fn from(place: Place) -> Self {
        match place.address {
            Address::Ip(ip) => SocketAddr::new(ip, place.port).to_string(),
            Address::Name(name) => format!("{name}:{}", place.port),
        }
    }
}

/// Accepted status codes: `301` or `"200-299"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Codes(pub(crate) StatusRange);

impl<'de> Deserialize<'de> for Codes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CodesReader)
    }
}

struct CodesReader;

impl Visitor<'_> for CodesReader {
    type Value = Codes;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a status code such as 301, or a range such as \"200-299\"")
    }
    fn visit_u64<E: de::Error>(self, code: u64) -> Result<Codes, E> {
        let code =
            u16::try_from(code).map_err(|_| E::custom(format!("{code} is no status code")))?;
        Ok(Codes(StatusRange { from: code, to: code }))
    }
    fn visit_i64<E: de::Error>(self, code: i64) -> Result<Codes, E> {
        let code =
            u64::try_from(code).map_err(|_| E::custom(format!("{code} is no status code")))?;
        self.visit_u64(code)
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<Codes, E> {
        let (from, to) = text.split_once('-').unwrap_or((text, text));
        match (from.trim().parse(), to.trim().parse()) {
            (Ok(from), Ok(to)) => Ok(Codes(StatusRange { from, to })),
            _ => Err(E::custom(format!("{text:?} is no status code and no range such as 200-299"))),
        }
    }
}

impl Serialize for Codes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let StatusRange { from, to } = self.0;
        if from == to {
            serializer.serialize_u16(from)
        } else {
            serializer.collect_str(&format_args!("{from}-{to}"))
        }
    }
}

/// Bytes: a text, or `{hex: "00ff"}` for what is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(BytesReader)
    }
}

struct BytesReader;

impl<'de> Visitor<'de> for BytesReader {
    type Value = Bytes;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, or {hex: \"…\"}")
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<Bytes, E> {
        Ok(Bytes(text.as_bytes().to_vec()))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Bytes, A::Error> {
        let mut bytes = None;
        while let Some(key) = map.next_key::<String>()? {
            if key != "hex" {
                return Err(de::Error::unknown_field(&key, &["hex"]));
            }
            let text: String = map.next_value()?;
            let parsed = from_hex(&text);
            bytes = Some(
                parsed.ok_or_else(|| de::Error::custom(format!("{text:?} is not hexadecimal")))?,
            );
        }
        bytes.map(Bytes).ok_or_else(|| de::Error::missing_field("hex"))
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(&self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => {
                let hex: String = self.0.iter().map(|byte| format!("{byte:02x}")).collect();
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("hex", &hex)?;
                map.end()
            }
        }
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u32> = text.chars().map(|c| c.to_digit(16)).collect::<Option<_>>()?;
    let whole = digits.len().is_multiple_of(2);
    whole.then(|| {
        digits.chunks(2).filter_map(|pair| u8::try_from(pair[0] * 16 + pair[1]).ok()).collect()
    })
}

/// Headers: a map, or, where the order counts or a name comes twice, a list of `Name: value`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Headers(pub(crate) Vec<(String, String)>);

impl Headers {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(HeadersReader)
    }
}

struct HeadersReader;

impl<'de> Visitor<'de> for HeadersReader {
    type Value = Headers;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of headers, or a list of \"Name: value\"")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Headers, A::Error> {
        let mut headers = Vec::new();
        while let Some(header) = map.next_entry()? {
            headers.push(header);
        }
        Ok(Headers(headers))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Headers, A::Error> {
        let mut headers = Vec::new();
        while let Some(line) = list.next_element::<String>()? {
            let parts =
                line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned()));
            let wrong = || {
                de::Error::custom(format!("{line:?} is no header such as \"Accept: text/html\""))
            };
            headers.push(parts.ok_or_else(wrong)?);
        }
        Ok(Headers(headers))
    }
}

impl Serialize for Headers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Ascending without repetition is what a map of either format keeps.
        if self.0.windows(2).all(|pair| pair[0].0 < pair[1].0) {
            serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
        } else {
            serializer.collect_seq(self.0.iter().map(|(name, value)| format!("{name}: {value}")))
        }
    }
}
