//! Names and numbers that identify things, each its own type so that they cannot be swapped.
//!
//! Names given by people are DNS labels (1–63 characters of `a-z`, `0-9`, `-`, not at an edge): they appear in
//! DNS answers (`<endpoint>.<service name>`), metric labels and file names. Numbers are given by the log.
//! The text of a name is shared: a publication copies maps of them, and must not copy every text.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize, Serializer};

/// Why a text is not a name: what was given, and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {given:?} is not valid: {why}")]
pub struct NameError {
    /// The kind of name, such as `pool name`.
    pub what: &'static str,
    /// The text as given, cut at 80 characters.
    pub given: String,
    /// What is allowed.
    pub why: &'static str,
}

pub(crate) fn name_error(what: &'static str, given: &str, why: &'static str) -> NameError {
    NameError { what, given: given.chars().take(80).collect(), why }
}

fn check_label(what: &'static str, text: &str) -> Result<(), NameError> {
    if text.is_empty() || text.len() > 63 {
        return Err(name_error(what, text, "it must have 1 to 63 characters"));
    }
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if !text.bytes().all(legal) {
        return Err(name_error(what, text, "only a-z, 0-9 and '-' are allowed"));
    }
    if text.starts_with('-') || text.ends_with('-') {
        return Err(name_error(what, text, "it must not begin or end with '-'"));
    }
    Ok(())
}

macro_rules! label {
    ($(#[$doc:meta])* $type:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $type(Arc<str>);

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl $type {
            /// Parses a name. Errors: not a DNS label (see the module).
            pub fn new(text: &str) -> Result<Self, NameError> {
                check_label($what, text)?;
                Ok(Self(text.into()))
            }
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl FromStr for $type {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }
        impl TryFrom<String> for $type {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(&text)
            }
        }
        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.to_string()
            }
        }
    };
}

label!(/// Name of an agent, unique in its cluster.
    AgentName, "agent name");
label!(/// Name of a region: a failure domain whose agents vote together.
    RegionName, "region name");
label!(/// Name of a pool, unique in its service.
    PoolName, "pool name");
label!(/// Name of an endpoint, unique in its service (over all pools).
    EndpointName, "endpoint name");
label!(/// Name of a check, unique in its service.
    CheckName, "check name");

macro_rules! number {
    ($(#[$doc:meta])* $type:ident, $inner:ty) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $type(pub $inner);

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

number!(/// Number of an agent. Never reused: a node that lost its data directory returns under a new one.
    AgentId, u64);
number!(/// Number of a Raft group.
    GroupId, u32);
number!(/// Generation of a service's selection: the log index of the entry that last changed what is served. It grows with
    /// every change and is never used again, not even when a service is deleted and declared anew.
    Epoch, u64);
number!(/// Number of an override: the log index of the entry that set it.
    OverrideId, u64);
number!(/// Random number that an agent draws at each process start.
    BootId, u64);

/// Identifies one request of a client, chosen by the client; a replay returns the first answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RequestId(pub u128);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let v = self.0;
        write!(
            f,
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            (v >> 96) as u32,
            (v >> 80) as u16,
            (v >> 64) as u16,
            (v >> 48) as u16,
            v & 0xffff_ffff_ffff
        )
    }
}

/// Identifies a service: `namespace/name`, both DNS labels. Without a namespace, it is `default`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct ServiceId(Arc<str>);

impl ServiceId {
    /// The namespace of services that name none.
    pub const DEFAULT_NAMESPACE: &'static str = "default";

    /// Parses `name` or `namespace/name`. Errors: a part is not a DNS label.
    pub fn new(text: &str) -> Result<Self, NameError> {
        let (namespace, name) = text.split_once('/').unwrap_or((Self::DEFAULT_NAMESPACE, text));
        check_label("namespace", namespace)?;
        check_label("service name", name)?;
        Ok(Self(format!("{namespace}/{name}").into()))
    }

    /// The part before the slash.
    pub fn namespace(&self) -> &str {
        self.0.split_once('/').map_or(Self::DEFAULT_NAMESPACE, |(namespace, _)| namespace)
    }

    /// The part after the slash.
    pub fn name(&self) -> &str {
        self.0.split_once('/').map_or(&*self.0, |(_, name)| name)
    }

    /// As people write it: without the namespace where that is the default.
    fn shown(&self) -> &str {
        if self.namespace() == Self::DEFAULT_NAMESPACE { self.name() } else { &self.0 }
    }
}

impl Serialize for ServiceId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.shown())
    }
}

impl fmt::Display for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.shown())
    }
}
impl FromStr for ServiceId {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::new(text)
    }
}
impl TryFrom<String> for ServiceId {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        Self::new(&text)
    }
}
impl From<ServiceId> for String {
    fn from(id: ServiceId) -> String {
        id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_dns_labels() {
        for good in ["a", "eu-west-1", "0"] {
            assert!(PoolName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a.b", "a_b", &"x".repeat(64)] {
            assert!(PoolName::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_service_without_namespace_is_in_default() {
        let id = ServiceId::new("shop").expect("valid");
        assert_eq!((id.namespace(), id.name()), ("default", "shop"));
        assert_eq!(id.to_string(), "shop");
        assert_eq!(ServiceId::new("eu/shop").expect("valid").to_string(), "eu/shop");
    }
}
