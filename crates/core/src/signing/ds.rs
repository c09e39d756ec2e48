//! DS records, and which key of a zone they name (RFC 4034, 5): the one whose tag, algorithm and digest all fit.
//!
//! ```text
//! another tag ─▶ Apart     another algorithm or digest ─▶ Mistaken
//! a digest of a type that is not computed ─▶ Uncompared     all fit ─▶ Names
//! ```
//!
//! The tag alone says nothing: a validating resolver takes a key for the parent's only where the digest is that of the
//! key, and calls the zone bogus where no record has one that is. Digests of types 1, 2 and 4 are computed (RFC 4034,
//! RFC 4509, RFC 6605). Invariant: of a record that cannot be compared it is never concluded that it names a key, nor
//! that it names none.
//!
//! What it deliberately does not do: ask anybody, or decide what follows from what is named.

pub mod answer;

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384};

use super::ZoneKey;
use crate::name::DnsName;

/// The most DS records of one zone that are taken; a look that finds more is refused.
pub const MAX_DS: usize = 16;
/// The longest digest that is taken, in bytes: that of SHA-512.
pub const MAX_DIGEST: usize = 64;
/// The number of SHA-256 among the types of digests, which is the one that is told to parents (RFC 8624, 3.3).
pub const SHA256: u8 = 2;
/// The bytes of a DS record before its digest.
const HEADER: usize = 4;
/// What mends a record that names no key.
const MEND: &str = "have the parent publish what `holdfast zone dnssec ds` prints";

/// A DS record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Ds {
    /// The tag of the key.
    pub tag: u16,
    /// The number of its algorithm.
    pub algorithm: u8,
    /// The number of the digest's type (IANA, DS RR Type Digest Algorithms).
    pub digest_type: u8,
    /// The digest of the owner and the DNSKEY data.
    pub digest: Vec<u8>,
}

/// How a DS record, or several, fit a key: from the least to the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fit {
    /// It is of another key.
    Apart,
    /// It has the key's tag, and another algorithm or digest: it names no key.
    Mistaken,
    /// It has the key's tag and algorithm, and a digest of a type that is not computed.
    Uncompared,
    /// It names the key.
    Names,
}

impl Fit {
    /// Whether a resolver may trust the key by it.
    pub fn may_name(self) -> bool {
        self >= Self::Uncompared
    }
}

impl Ds {
    /// The record of type 2 for a key of the zone with this apex.
    pub fn of(apex: &DnsName, key: &ZoneKey) -> Self {
        let digest = digest::<Sha256>(apex, key);
        Self { tag: key.tag(), algorithm: key.algorithm.number(), digest_type: SHA256, digest }
    }

    /// The record of these data (RFC 4034, 5.1); `None` where they end before the digest begins.
    pub fn from_data(data: &[u8]) -> Option<Self> {
        let (header, digest) = data.split_at_checked(HEADER)?;
        let &[high, low, algorithm, digest_type] = header else { return None };
        let tag = u16::from_be_bytes([high, low]);
        (!digest.is_empty()).then(|| Self { tag, algorithm, digest_type, digest: digest.to_vec() })
    }

    /// Its data.
    pub fn to_data(&self) -> Vec<u8> {
        let mut data = Vec::with_capacity(HEADER + self.digest.len());
        data.extend_from_slice(&self.tag.to_be_bytes());
        data.extend_from_slice(&[self.algorithm, self.digest_type]);
        data.extend_from_slice(&self.digest);
        data
    }

    /// How it fits a key of the zone with this apex.
    pub fn fit(&self, apex: &DnsName, key: &ZoneKey) -> Fit {
        if self.tag != key.tag() {
            return Fit::Apart;
        }
        if self.algorithm != key.algorithm.number() {
            return Fit::Mistaken;
        }
        let computed = match self.digest_type {
            1 => digest::<Sha1>(apex, key),
            SHA256 => digest::<Sha256>(apex, key),
            4 => digest::<Sha384>(apex, key),
            _ => return Fit::Uncompared,
        };
        if computed == self.digest { Fit::Names } else { Fit::Mistaken }
    }
}

impl fmt::Display for Ds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digest = data_encoding::HEXUPPER.encode(&self.digest);
        write!(f, "{} {} {} {digest}", self.tag, self.algorithm, self.digest_type)
    }
}

fn digest<D: Digest>(apex: &DnsName, key: &ZoneKey) -> Vec<u8> {
    let hasher = D::new().chain_update(apex.to_wire()).chain_update(key.dnskey());
    hasher.finalize().to_vec()
}

/// How the best of several records fits a key.
pub(crate) fn best_fit(records: &[Ds], apex: &DnsName, key: &ZoneKey) -> Fit {
    records.iter().map(|ds| ds.fit(apex, key)).max().unwrap_or(Fit::Apart)
}

/// What is wrong with the DS records of a zone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum DsFault {
    /// None names a key that signs the zone: validating resolvers refuse it.
    NamesNoKey(String),
    /// One has the tag of a key and not its algorithm or digest.
    Mistaken(String),
    /// Those that may name a key have digests of types that are not computed, so nobody here can tell.
    Unchecked(String),
}

impl DsFault {
    /// It in words, with what mends it, to stand behind the name of whoever has the records.
    pub fn text(&self) -> &str {
        match self {
            Self::NamesNoKey(text) | Self::Mistaken(text) | Self::Unchecked(text) => text,
        }
    }
}

/// What is wrong with the DS records that a parent has of the zone with this apex and these keys. A zone without DS
/// records has no fault: it is taken as unsigned. Nor is a record one that cannot be compared, beside another that names
/// a key.
pub fn faults_of(records: &[Ds], apex: &DnsName, keys: &[ZoneKey]) -> Vec<DsFault> {
    if records.is_empty() {
        return Vec::new();
    }
    if keys.is_empty() {
        let text = format!(
            "has DS records of {apex}, which is not signed: validating resolvers refuse it; have the parent remove them"
        );
        return Vec::from([DsFault::NamesNoKey(text)]);
    }
    let mut faults = BTreeSet::new();
    match keys.iter().map(|key| best_fit(records, apex, key)).max().unwrap_or(Fit::Apart) {
        Fit::Names => {}
        Fit::Uncompared => {
            let unchecked = uncompared(records, apex, keys);
            faults.extend(unchecked.map(|text| DsFault::Unchecked(format!("{text}; {MEND}"))));
        }
        Fit::Apart | Fit::Mistaken => {
            let text = format!(
                "has DS records that name no key of {apex}: validating resolvers refuse the zone; {MEND}"
            );
            faults.insert(DsFault::NamesNoKey(text));
        }
    }
    for (ds, key) in records.iter().flat_map(|ds| keys.iter().map(move |key| (ds, key))) {
        faults.extend(mistake_of(ds, apex, key));
    }
    faults.into_iter().collect()
}

/// The records that cannot be compared, beside another that names a key: in words, to stand behind the name of whoever
/// has them.
pub fn unchecked_of(records: &[Ds], apex: &DnsName, keys: &[ZoneKey]) -> Vec<String> {
    let named = keys.iter().any(|key| best_fit(records, apex, key) == Fit::Names);
    let texts: BTreeSet<String> = uncompared(records, apex, keys).filter(|_| named).collect();
    texts.into_iter().collect()
}

/// The records with the tag and algorithm of a key and a digest that is not computed, in words.
fn uncompared<'a>(
    records: &'a [Ds],
    apex: &'a DnsName,
    keys: &'a [ZoneKey],
) -> impl Iterator<Item = String> + 'a {
    let fits = move |ds: &&Ds| keys.iter().any(|key| ds.fit(apex, key) == Fit::Uncompared);
    records.iter().filter(fits).map(|ds| {
        let number = ds.digest_type;
        format!("has the DS record {ds}, not checked: digest type {number} is unknown here (1, 2 and 4 are known)")
    })
}

fn mistake_of(ds: &Ds, apex: &DnsName, key: &ZoneKey) -> Option<DsFault> {
    let (tag, number) = (key.tag(), key.algorithm.number());
    let text = match ds.fit(apex, key) {
        Fit::Apart | Fit::Names | Fit::Uncompared => return None,
        Fit::Mistaken if ds.algorithm != number => format!(
            "has the DS record {ds}, with the tag of key {tag} and another algorithm than its {number}, so it names no \
             key; {MEND}"
        ),
        Fit::Mistaken => format!(
            "has the DS record {ds}, with the tag of key {tag} and not its digest, so it names no key; {MEND}"
        ),
    };
    Some(DsFault::Mistaken(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;
    use crate::sealed::{Sealed, SealingKeyId};
    use crate::spec::KeyAlgorithm;

    fn name(text: &str) -> DnsName {
        DnsName::new(text).expect("a name")
    }

    fn key(algorithm: KeyAlgorithm, public: &str) -> ZoneKey {
        let private = Sealed { key: SealingKeyId([0; 8]), nonce: [0; 12], ciphertext: Vec::new() };
        let public = data_encoding::BASE64.decode(public.as_bytes()).expect("base64");
        ZoneKey { algorithm, public, private, created: Timestamp(0) }
    }

    fn ed25519() -> ZoneKey {
        key(KeyAlgorithm::Ed25519, "l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4=")
    }

    fn ds(text: &str) -> Ds {
        let mut fields = text.split(' ');
        let mut field = || fields.next().expect("four fields");
        let (tag, algorithm) =
            (field().parse().expect("a tag"), field().parse().expect("a number"));
        let digest_type = field().parse().expect("a number");
        let digest = data_encoding::HEXUPPER.decode(field().as_bytes()).expect("hexadecimal");
        Ds { tag, algorithm, digest_type, digest }
    }

    /// RFC 6605, 6.1 and RFC 8080, 6.1; those of types 1 and 4 are what `dnssec-dsfromkey` 9.18 makes.
    const ECDSA: &str =
        "55648 13 2 B4C8C1FE2E7477127B27115656AD6256F424625BF5C1E2770CE6D6E37DF61D17";
    const ED25519: [&str; 3] = [
        "3613 15 1 B2C63605467C4A40942B47A953E9C0D38F81083A",
        "3613 15 2 3AA5AB37EFCE57F737FC1627013FEE07BDF241BD10F3B1964AB55C78E79A304B",
        "3613 15 4 89389DA437FCA8372E67359DFC0DD4428FA2615DF6E31BC5501677DD068514FEA5C4EFAF82188530A8A1645D9D3EF884",
    ];

    #[test]
    fn digests_of_types_1_2_and_4_are_as_others_make_them() {
        let ecdsa = key(
            KeyAlgorithm::EcdsaP256,
            "GojIhhXUN/u4v54ZQqGSnyhWJwaubCvTmeexv7bR6edbkrSqQpF64cYbcB7wNcP+e+MAnLr+Wi9xMWyQLc8NAA==",
        );
        assert_eq!(Ds::of(&name("example.net"), &ecdsa), ds(ECDSA));
        assert_eq!(Ds::of(&name("example.com"), &ed25519()), ds(ED25519[1]));
        for text in ED25519 {
            assert_eq!(ds(text).fit(&name("example.com"), &ed25519()), Fit::Names, "{text}");
            assert_eq!(ds(text).fit(&name("example.net"), &ed25519()), Fit::Mistaken, "{text}");
        }
    }

    #[test]
    fn a_record_names_a_key_only_where_everything_fits() {
        let (apex, key) = (name("example.com"), ed25519());
        let right = Ds::of(&apex, &key);
        let digest = || right.digest.clone();
        for (changed, fit) in [
            (Ds { tag: 3614, digest: digest(), ..right }, Fit::Apart),
            (Ds { algorithm: 13, digest: digest(), ..right }, Fit::Mistaken),
            (Ds { digest_type: 1, digest: digest(), ..right }, Fit::Mistaken),
            (Ds { digest_type: 3, digest: digest(), ..right }, Fit::Uncompared),
            (Ds { digest: digest()[..31].to_vec(), ..right }, Fit::Mistaken),
            (Ds { digest: Vec::from([0xaa; 32]), ..right }, Fit::Mistaken),
        ] {
            assert_eq!(changed.fit(&apex, &key), fit, "{changed}");
            let both = [changed, right.clone()];
            assert_eq!(best_fit(&both, &apex, &key), Fit::Names);
        }
        assert_eq!(best_fit(&[], &apex, &key), Fit::Apart);
    }

    #[test]
    fn data_come_back_as_they_were_and_need_a_digest() {
        for text in ED25519 {
            assert_eq!(Ds::from_data(&ds(text).to_data()), Some(ds(text)));
            assert_eq!(alloc::string::ToString::to_string(&ds(text)), text);
        }
        for short in [&[][..], &[14, 29, 15], &[14, 29, 15, 2]] {
            assert_eq!(Ds::from_data(short), None);
        }
    }

    /// The kinds of fault, and how many records were not checked.
    #[test]
    fn what_is_wrong_with_the_records_of_a_parent_is_told() {
        let (apex, key) = (name("example.com"), ed25519());
        let right = || Ds::of(&apex, &key);
        let wrong = || Ds { digest: Vec::from([0xaa; 32]), ..right() };
        let strange = || Ds { digest_type: 3, ..right() };
        let of_other = || Ds { tag: 7, ..right() };
        let told = |records: &[Ds], keys: &[ZoneKey]| {
            let faults = faults_of(records, &apex, keys);
            let kind = |fault: &DsFault| match fault {
                DsFault::NamesNoKey(_) => "none",
                DsFault::Mistaken(_) => "mistaken",
                DsFault::Unchecked(_) => "unchecked",
            };
            let kinds = faults.iter().map(kind).collect::<Vec<_>>();
            (kinds, unchecked_of(records, &apex, keys).len())
        };
        let keys = [key.clone()];
        for (records, faults, unchecked) in [
            (Vec::new(), &[][..], 0),
            (Vec::from([right(), of_other()]), &[], 0),
            (Vec::from([right(), wrong()]), &["mistaken"], 0),
            (Vec::from([right(), strange()]), &[], 1),
            (Vec::from([right(), wrong(), strange()]), &["mistaken"], 1),
            (Vec::from([wrong()]), &["none", "mistaken"], 0),
            (Vec::from([strange()]), &["unchecked"], 0),
            (Vec::from([wrong(), strange()]), &["mistaken", "unchecked"], 0),
            (Vec::from([of_other()]), &["none"], 0),
        ] {
            assert_eq!(told(&records, &keys), (Vec::from(faults), unchecked), "{records:?}");
        }
        assert_eq!(told(&[right()], &[]), (Vec::from(["none"]), 0), "a zone that is not signed");
        assert_eq!(told(&[], &[]), (Vec::new(), 0));
        let text = unchecked_of(&[right(), strange()], &apex, &keys).concat();
        assert!(text.contains("not checked: digest type 3 is unknown here"), "{text}");
    }
}
