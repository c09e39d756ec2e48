//! Service bindings (RFC 9460): where and how to connect, in SVCB and HTTPS records.
//!
//! Parameters are kept as they stand on the wire, in ascending order of their keys, so that those without a meaning
//! here are held and told all the same. What is checked is what a client must be able to rely on: no key twice,
//! `mandatory` names keys that are there, and values of known keys have their shape.

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::net::{Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::name::DnsName;

/// The key of a parameter (RFC 9460, 14.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SvcKey(pub u16);

impl SvcKey {
    /// Keys without which the record must not be used.
    pub const MANDATORY: Self = Self(0);
    /// Protocols.
    pub const ALPN: Self = Self(1);
    /// The default protocol is not spoken.
    pub const NO_DEFAULT_ALPN: Self = Self(2);
    /// The port.
    pub const PORT: Self = Self(3);
    /// IPv4 addresses, to save a question.
    pub const IPV4_HINT: Self = Self(4);
    /// The configuration of Encrypted Client Hello.
    pub const ECH: Self = Self(5);
    /// IPv6 addresses, to save a question.
    pub const IPV6_HINT: Self = Self(6);
}

/// The parameters of a binding, by key.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SvcParams(pub Vec<(SvcKey, Vec<u8>)>);

impl SvcParams {
    /// The most parameters of one record.
    pub const MAX: usize = 64;

    /// The value of a key.
    pub fn value(&self, key: SvcKey) -> Option<&[u8]> {
        self.0.iter().find(|(present, _)| *present == key).map(|(_, value)| &**value)
    }

    /// These parameters with hints of these addresses in place of their own, and none where there is no address.
    #[must_use]
    pub fn with_hints(&self, v4: &[Ipv4Addr], v6: &[Ipv6Addr]) -> Self {
        let hints = [
            (SvcKey::IPV4_HINT, v4.iter().flat_map(Ipv4Addr::octets).collect::<Vec<u8>>()),
            (SvcKey::IPV6_HINT, v6.iter().flat_map(Ipv6Addr::octets).collect()),
        ];
        let own = self.0.iter().filter(|(key, _)| !hints.iter().any(|(hint, _)| hint == key));
        let mut params: Vec<_> = own.cloned().collect();
        params.extend(hints.into_iter().filter(|(_, value)| !value.is_empty()));
        params.sort_by_key(|(key, _)| *key);
        Self(params)
    }

    /// How many bytes they take on the wire.
    pub fn wire_len(&self) -> usize {
        self.0.iter().map(|(_, value)| 4 + value.len()).sum()
    }

    /// Says whether these can stand in a record. Errors: what is wrong, and what would be right.
    pub fn validate(&self) -> Result<(), String> {
        if self.0.len() > Self::MAX {
            return Err(format!("a binding has at most {} parameters", Self::MAX));
        }
        if !self.0.is_sorted_by(|(a, _), (b, _)| a < b) {
            return Err("parameters stand in ascending order of their keys, each once".to_string());
        }
        self.0.iter().try_for_each(|(key, value)| self.validate_value(*key, value))?;
        if self.value(SvcKey::NO_DEFAULT_ALPN).is_some() && self.value(SvcKey::ALPN).is_none() {
            return Err("no-default-alpn needs alpn beside it (RFC 9460, 7.1.1)".to_string());
        }
        Ok(())
    }

    fn validate_value(&self, key: SvcKey, value: &[u8]) -> Result<(), String> {
        let hint = |size: usize| !value.is_empty() && value.len().is_multiple_of(size);
        let (right, form) = match key {
            SvcKey::MANDATORY => (
                self.are_present(value),
                "names other keys of the record, ascending, each once (RFC 9460, 8)",
            ),
            SvcKey::ALPN => (is_alpn(value), "has one or more protocols of 1 to 255 bytes"),
            SvcKey::NO_DEFAULT_ALPN => (value.is_empty(), "has no value"),
            SvcKey::PORT => (value.len() == 2, "is a number of 16 bits"),
            SvcKey::IPV4_HINT => (hint(4), "has one or more IPv4 addresses"),
            SvcKey::IPV6_HINT => (hint(16), "has one or more IPv6 addresses"),
            SvcKey::ECH => (!value.is_empty(), "has a configuration"),
            SvcKey(0xffff) => (false, "is reserved (RFC 9460, 14.3)"),
            _ => (true, ""),
        };
        if right { Ok(()) } else { Err(format!("parameter {key} {form}")) }
    }

    fn are_present(&self, value: &[u8]) -> bool {
        let (keys, rest) = value.as_chunks::<2>();
        let keys: Vec<SvcKey> = keys.iter().map(|key| SvcKey(u16::from_be_bytes(*key))).collect();
        let known = |key: &SvcKey| *key != SvcKey::MANDATORY && self.value(*key).is_some();
        rest.is_empty()
            && !keys.is_empty()
            && keys.is_sorted_by(|a, b| a < b)
            && keys.iter().all(known)
    }
}

fn is_alpn(mut value: &[u8]) -> bool {
    while let Some((length, rest)) = value.split_first() {
        match rest.split_at_checked(usize::from(*length)) {
            Some((_, next)) if *length > 0 => value = next,
            _ => return false,
        }
        if value.is_empty() {
            return true;
        }
    }
    false
}

/// A service binding.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Binding {
    /// 0 makes it an alias of the target (AliasMode); otherwise lowest first (ServiceMode).
    pub priority: u16,
    /// The host. The root is the owner itself in ServiceMode, and says "no such service" in AliasMode.
    pub target: DnsName,
    /// How to connect.
    pub params: SvcParams,
}

impl Binding {
    /// Says whether this can be a record. Errors: what is wrong, and what would be right.
    pub fn validate(&self) -> Result<(), String> {
        if self.priority == 0 && !self.params.0.is_empty() {
            return Err("priority 0 is an alias and has no parameters (RFC 9460, 2.4.2)".into());
        }
        self.params.validate()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(list: &[(u16, &[u8])]) -> SvcParams {
        SvcParams(list.iter().map(|(key, value)| (SvcKey(*key), value.to_vec())).collect())
    }

    #[test]
    fn parameters_are_what_a_client_can_rely_on() {
        let right: [&[(u16, &[u8])]; 4] = [
            &[],
            &[(0, &[0, 1, 0, 4]), (1, b"\x02h2\x02h3"), (4, &[192, 0, 2, 1])],
            &[(1, b"\x02h2"), (2, &[]), (3, &[1, 187])],
            &[(6, &[0; 32]), (667, b"hello")],
        ];
        for list in right {
            assert_eq!(params(list).validate(), Ok(()), "{list:?}");
        }
        let wrong: [&[(u16, &[u8])]; 11] = [
            &[(3, &[1, 187]), (1, b"\x02h2")],
            &[(3, &[1, 187]), (3, &[1, 187])],
            &[(0, &[0, 1])],
            &[(0, &[0, 0])],
            &[(0, &[0, 4, 0, 1]), (1, b"\x02h2"), (4, &[192, 0, 2, 1])],
            &[(1, b"\x03h2")],
            &[(1, b"")],
            &[(2, &[])],
            &[(3, &[1])],
            &[(4, &[192, 0, 2])],
            &[(0xffff, &[])],
        ];
        for list in wrong {
            assert!(params(list).validate().is_err(), "{list:?}");
        }
    }

    #[test]
    fn hints_are_those_of_what_is_served_and_nothing_else() {
        let declared = params(&[(1, b"\x02h2"), (4, &[192, 0, 2, 1]), (667, b"x")]);
        let served = declared.with_hints(&[], &[Ipv6Addr::LOCALHOST]);
        let expected = Ipv6Addr::LOCALHOST.octets();
        assert_eq!(served, params(&[(1, b"\x02h2"), (6, &expected), (667, b"x")]));
    }
}
