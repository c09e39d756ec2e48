//! A private key: 32 bytes, whatever the algorithm.

use std::fmt;

use holdfast_core::seam::Entropy;
use holdfast_core::spec::KeyAlgorithm;
use p256::ecdsa::signature::Signer as _;
use ring::digest;
use ring::signature::{Ed25519KeyPair, KeyPair as _};

/// The bytes of a signature, by either algorithm.
pub const SIGNATURE: usize = 64;
/// The bytes of a private key.
const SECRET: usize = 32;

/// Why bytes are no private key, or not the one that belongs to a public one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// They cannot be one.
    #[error("the bytes are no private key of this algorithm")]
    NoKey,
    /// They belong to another public key.
    #[error("the private key does not belong to the public one")]
    Mismatch,
}

/// A private key that is ready to sign.
pub struct SigningKey {
    kind: Kind,
    public: Vec<u8>,
}

enum Kind {
    EcdsaP256(Box<p256::ecdsa::SigningKey>),
    Ed25519(Box<Ed25519KeyPair>),
}

/// A new private key for an algorithm; `entropy` must be unpredictable.
pub fn new_secret(algorithm: KeyAlgorithm, entropy: &dyn Entropy) -> Vec<u8> {
    loop {
        let secret: Vec<u8> =
            (0..SECRET / 8).flat_map(|_| entropy.next_u64().to_be_bytes()).collect();
        // All but one in 2^32 numbers are below the order of the curve.
        if SigningKey::of(algorithm, &secret).is_ok() {
            return secret;
        }
    }
}

/// SHA-256.
pub fn digest_of(data: &[u8]) -> [u8; 32] {
    let digest = digest::digest(&digest::SHA256, data);
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

impl SigningKey {
    /// The key of these bytes. Errors: they are none of this algorithm.
    pub fn of(algorithm: KeyAlgorithm, secret: &[u8]) -> Result<Self, KeyError> {
        if secret.len() != SECRET {
            return Err(KeyError::NoKey);
        }
        match algorithm {
            KeyAlgorithm::EcdsaP256 => {
                let key =
                    p256::ecdsa::SigningKey::from_slice(secret).map_err(|_| KeyError::NoKey)?;
                let point = key.verifying_key().to_encoded_point(false);
                // Behind the byte that says "uncompressed": x and y (RFC 6605, 4).
                let public = point.as_bytes()[1..].to_vec();
                Ok(Self { kind: Kind::EcdsaP256(Box::new(key)), public })
            }
            KeyAlgorithm::Ed25519 => {
                let pair =
                    Ed25519KeyPair::from_seed_unchecked(secret).map_err(|_| KeyError::NoKey)?;
                let public = pair.public_key().as_ref().to_vec();
                Ok(Self { kind: Kind::Ed25519(Box::new(pair)), public })
            }
        }
    }

    /// The key of these bytes, if it belongs to a public one. Errors: it does not.
    pub fn matching(
        algorithm: KeyAlgorithm,
        secret: &[u8],
        public: &[u8],
    ) -> Result<Self, KeyError> {
        let key = Self::of(algorithm, secret)?;
        if key.public == public { Ok(key) } else { Err(KeyError::Mismatch) }
    }

    /// The public key as in a DNSKEY record.
    pub fn public(&self) -> &[u8] {
        &self.public
    }

    /// Signs; equal data give equal signatures.
    pub fn sign(&self, data: &[u8]) -> [u8; SIGNATURE] {
        match &self.kind {
            Kind::EcdsaP256(key) => {
                let signature: p256::ecdsa::Signature = key.sign(data);
                signature.to_bytes().into()
            }
            Kind::Ed25519(pair) => {
                pair.sign(data).as_ref().try_into().expect("an Ed25519 signature has 64 bytes")
            }
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("public", &self.public).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
    use ring::signature::{ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey};

    fn hex(text: &str) -> Vec<u8> {
        HEXLOWER_PERMISSIVE.decode(text.as_bytes()).expect("hexadecimal")
    }

    /// RFC 6979, A.2.5: SHA-256, message "sample".
    #[test]
    fn ecdsa_signs_as_rfc_6979_says() {
        let secret = hex("C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721");
        let key = SigningKey::of(KeyAlgorithm::EcdsaP256, &secret).expect("a key");
        let expected = hex("EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716\
             F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8");
        assert_eq!(key.sign(b"sample").to_vec(), expected);
    }

    /// RFC 8080, 6: the private key of the first example gives its DNSKEY.
    #[test]
    fn ed25519_keys_are_as_rfc_8080_says() {
        let secret =
            BASE64.decode(b"ODIyNjAzODQ2MjgwODAxMjI2NDUxOTAyMDQxNDIyNjI=").expect("base64");
        let key = SigningKey::of(KeyAlgorithm::Ed25519, &secret).expect("a key");
        assert_eq!(BASE64.encode(key.public()), "l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4=");
    }

    #[test]
    fn signatures_verify_with_another_implementation_and_are_the_same_again() {
        let secret = [7; 32];
        let ecdsa = SigningKey::of(KeyAlgorithm::EcdsaP256, &secret).expect("a key");
        let point = [&[4], ecdsa.public()].concat();
        let verified = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &point)
            .verify(b"data", &ecdsa.sign(b"data"));
        assert!(verified.is_ok());
        let ed25519 = SigningKey::of(KeyAlgorithm::Ed25519, &secret).expect("a key");
        let signature = ed25519.sign(b"data");
        assert!(
            UnparsedPublicKey::new(&ED25519, ed25519.public()).verify(b"data", &signature).is_ok()
        );
        assert_eq!(ed25519.sign(b"data"), signature);
        assert_eq!(ecdsa.sign(b"data"), ecdsa.sign(b"data"));
    }

    #[test]
    fn a_private_key_of_another_is_refused_and_none_is_printed() {
        let key = SigningKey::of(KeyAlgorithm::Ed25519, &[7; 32]).expect("a key");
        let other = SigningKey::matching(KeyAlgorithm::Ed25519, &[8; 32], key.public());
        assert_eq!(other.expect_err("another"), KeyError::Mismatch);
        for algorithm in [KeyAlgorithm::Ed25519, KeyAlgorithm::EcdsaP256] {
            assert_eq!(SigningKey::of(algorithm, &[7; 31]).expect_err("short"), KeyError::NoKey);
        }
        assert!(!format!("{key:?}").contains("7, 7, 7"));
    }
}
