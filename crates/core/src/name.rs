//! Domain names of our own data: lower case, without the final dot, in the DNS's canonical order.
//!
//! The order compares labels from the right (RFC 4034, 6.1), so that everything below a name follows it at once
//! in a sorted map: whether a name is an empty non-terminal is one look at its successor.

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize, Serializer};

use crate::id::{NameError, name_error};

/// Characters of a name at the most, without the final dot.
const MAX_LENGTH: usize = 253;

/// A fully qualified domain name, lower case, without the final dot; the root is the empty text, and shown as `.`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct DnsName(Arc<str>);

impl Serialize for DnsName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(if self.0.is_empty() { "." } else { &self.0 })
    }
}

impl DnsName {
    /// Parses a host-style name: labels of `a-z`, `0-9`, `-`, `_` (and `*` as the first label), 1–63 octets each,
    /// at most 253 in all. Case is folded, a final dot is dropped; `.` is the root. Errors: anything else.
    pub fn new(text: &str) -> Result<Self, NameError> {
        if text == "." {
            return Ok(Self::root());
        }
        let lower = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let fail = |why| Err(name_error("domain name", text, why));
        if lower.is_empty() || lower.len() > MAX_LENGTH {
            return fail("it must have 1 to 253 characters");
        }
        for (i, label) in lower.split('.').enumerate() {
            if label.is_empty() || label.len() > 63 {
                return fail("each label must have 1 to 63 characters");
            }
            let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
            if !(label.bytes().all(legal) || i == 0 && label == "*") {
                return fail("labels may hold a-z, 0-9, '-' and '_'");
            }
        }
        Ok(Self(lower.into()))
    }

    /// Takes a name off the wire as it is: already lower case, any printable escaping. Used to look names up,
    /// never to store them.
    pub fn from_query(lower: String) -> Self {
        Self(lower.into())
    }

    /// The root: as a target, "none" or "the owner itself", as its record says.
    pub fn root() -> Self {
        Self("".into())
    }

    /// Whether this is the root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// How many bytes the name takes on the wire, uncompressed. Escapes (`\046`) count as the byte they stand for.
    pub fn wire_len(&self) -> usize {
        let escapes = self.0.bytes().filter(|byte| *byte == b'\\').count();
        if self.0.is_empty() { 1 } else { self.0.len() + 2 - 3 * escapes }
    }

    /// The name in wire form, its root included. Of names that were parsed: escapes are not undone.
    pub fn to_wire(&self) -> Vec<u8> {
        let mut wire = Vec::with_capacity(self.0.len() + 2);
        for label in self.0.split('.').filter(|label| !label.is_empty()) {
            // Labels of our own names have at most 63 bytes.
            wire.push(label.len() as u8);
            wire.extend_from_slice(label.as_bytes());
        }
        wire.push(0);
        wire
    }

    /// The name as text, without the final dot.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this name is `other` or below it.
    pub fn is_within(&self, other: &Self) -> bool {
        match self.0.strip_suffix(&*other.0) {
            Some("") => true,
            Some(rest) => other.0.is_empty() || rest.ends_with('.'),
            None => false,
        }
    }

    /// The name without its first label; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        if self.0.is_empty() {
            return None;
        }
        Some(Self(self.0.split_once('.').map_or("", |(_, rest)| rest).into()))
    }

    /// This name with `label` before it. Errors: the result is too long or the label is not legal.
    pub fn child(&self, label: &str) -> Result<Self, NameError> {
        let text = alloc::format!("{label}.{}", self.0);
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let is_plain = (1..=63).contains(&label.len()) && label.bytes().all(plain);
        // The rest was checked when this name was made.
        if is_plain && !self.0.is_empty() && text.len() <= MAX_LENGTH {
            return Ok(Self(text.into()));
        }
        Self::new(&text)
    }
}

impl Ord for DnsName {
    fn cmp(&self, other: &Self) -> Ordering {
        if Arc::ptr_eq(&self.0, &other.0) {
            return Ordering::Equal;
        }
        compare(self.0.as_bytes(), other.0.as_bytes())
    }
}

/// Compares label by label from the right, but skips what the names have in common in one go: names of one zone have
/// most of their bytes in common, and maps of names are what every publication works on.
fn compare(a: &[u8], b: &[u8]) -> Ordering {
    let common = common_suffix(a, b);
    let (a_rest, b_rest) = (a.len() - common, b.len() - common);
    let ends_label = |name: &[u8], rest: usize| rest == 0 || name[rest - 1] == b'.';
    if common > 0 && ends_label(a, a_rest) && ends_label(b, b_rest) && (a_rest == 0 || b_rest == 0)
    {
        // One lies within the other, or they are equal.
        return a_rest.cmp(&b_rest);
    }
    // The first label from the right that differs may end within the common part.
    let tail = a[a_rest..].iter().position(|byte| *byte == b'.').unwrap_or(common);
    let label = |name: &[u8], rest: usize| {
        let start = name[..rest].iter().rposition(|byte| *byte == b'.').map_or(0, |dot| dot + 1);
        start..rest + tail
    };
    a[label(a, a_rest)].cmp(&b[label(b, b_rest)])
}

/// How many bytes two texts have in common at their ends; eight are compared at a time.
fn common_suffix(a: &[u8], b: &[u8]) -> usize {
    let (_, a_words) = a.as_rchunks::<8>();
    let (_, b_words) = b.as_rchunks::<8>();
    let words = a_words.iter().rev().zip(b_words.iter().rev());
    let mut common = 0;
    for (x, y) in words {
        let different = u64::from_le_bytes(*x) ^ u64::from_le_bytes(*y);
        if different != 0 {
            // The last byte is the highest one.
            return common + different.leading_zeros() as usize / 8;
        }
        common += 8;
    }
    let rest = a[..a.len() - common].iter().rev().zip(b[..b.len() - common].iter().rev());
    common + rest.take_while(|(x, y)| x == y).count()
}

impl PartialOrd for DnsName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "." } else { &self.0 })
    }
}
impl FromStr for DnsName {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::new(text)
    }
}
impl TryFrom<String> for DnsName {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        Self::new(&text)
    }
}
impl From<DnsName> for String {
    fn from(name: DnsName) -> String {
        name.to_string()
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    fn name(text: &str) -> DnsName {
        DnsName::new(text).expect("valid")
    }

    #[test]
    fn folds_case_and_the_final_dot() {
        assert_eq!(name("Shop.Example.TEST."), name("shop.example.test"));
    }

    #[test]
    fn within_is_by_whole_labels() {
        assert!(name("a.example.test").is_within(&name("example.test")));
        assert!(name("example.test").is_within(&name("example.test")));
        assert!(!name("badexample.test").is_within(&name("example.test")));
    }

    #[test]
    fn what_is_below_a_name_follows_it() {
        let mut names = [name("z.test"), name("b.a.test"), name("a.test"), name("ab.test")];
        names.sort();
        assert_eq!(names, [name("a.test"), name("b.a.test"), name("ab.test"), name("z.test")]);
    }

    #[test]
    fn the_order_is_that_of_the_labels_from_the_right() {
        let labels = ["a", "b", "ab", "ba", "a-b", "bb", "aab", "eight-aab", "eighteightb"];
        let mut names: Vec<String> = labels.iter().map(|label| String::from(*label)).collect();
        for depth in 0..2 {
            let below: Vec<String> = names
                .iter()
                .filter(|name| name.matches('.').count() == depth)
                .flat_map(|name| labels.iter().map(move |label| alloc::format!("{label}.{name}")))
                .collect();
            names.extend(below);
        }
        names.push(String::new());
        for a in &names {
            for b in &names {
                let expected = a.rsplit('.').cmp(b.rsplit('.'));
                let [a, b] = [a, b].map(|text| DnsName::from_query(text.clone()));
                assert_eq!(a.cmp(&b), expected, "{a} and {b}");
            }
        }
    }

    #[test]
    fn refuses_what_is_no_host_name() {
        for bad in ["", "..", "a..b", "a b.test", &"x".repeat(64), "a.*.test"] {
            assert!(DnsName::new(bad).is_err(), "{bad:?}");
        }
    }
}
