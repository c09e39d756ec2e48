//! Seals: secrets that stand in replicated state, in snapshots and on every disk, are readable only by agents that
//! hold a sealing key.
//!
//! ```text
//! key files ─▶ SealingKeys ─┬─ seal(secret, context) ─▶ core::Sealed ══▶ log, snapshot
//!              (first seals, ──┴─ open(sealed, context) ◀─ any agent with that key
//!               all open)
//! ```
//!
//! AES-256-GCM with a random nonce; the context (what the secret is for, such as `dnssec example.test 4711`) is
//! authenticated, so that a sealed secret cannot be moved to another place in the state. A key is told by the first
//! eight bytes of a hash of it. Keys are changed by putting a new one first on every agent and sealing anew.
//!
//! What must never become true: a secret in the log, in an error or in a debug print; a sealed value that opens under
//! another context. What it deliberately does not decide: who may ask for a secret, and where key files come from.

mod file;

use std::fmt;
use std::sync::Arc;

use holdfast_core::Sealed;
use holdfast_core::sealed::SealingKeyId;
use holdfast_core::seam::Entropy;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::digest;

pub use file::{KeyFileError, new_key};

/// The bytes of a sealing key.
pub const KEY_LENGTH: usize = 32;

/// The keys of one agent: the first seals, all open.
#[derive(Clone, Default)]
pub struct SealingKeys {
    keys: Vec<Arc<SealingKey>>,
}

struct SealingKey {
    id: SealingKeyId,
    key: LessSafeKey,
}

/// Why a secret cannot be sealed or opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The agent has no key at all.
    #[error(
        "this agent has no sealing key; name one in its configuration, [secrets] keys = [\"file:FILE\"], and restart it: \
         a copy of the file of the other agents, or where none has one, a new one of `holdfast secret new-key FILE` \
         for all"
    )]
    NoKey,
    /// The key that sealed is not among the agent's.
    #[error(
        "the secret is sealed with key {0}, which this agent does not have; copy that key's file from an agent that has \
         it, and name it in [secrets] keys"
    )]
    UnknownKey(SealingKeyId),
    /// The sealed bytes are damaged, or belong to another context.
    #[error(
        "the secret does not open with key {0}: it is damaged, or was sealed for something else"
    )]
    Damaged(SealingKeyId),
    /// The secret is too long.
    #[error("a secret has at most {} bytes", Sealed::MAX_SECRET)]
    TooLong,
}

impl SealingKeys {
    /// Keys of these bytes, in this order; the first seals.
    pub fn new(keys: impl IntoIterator<Item = [u8; KEY_LENGTH]>) -> Self {
        Self { keys: keys.into_iter().map(|key| Arc::new(SealingKey::new(&key))).collect() }
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The ids of the keys; the first one seals.
    pub fn ids(&self) -> impl Iterator<Item = SealingKeyId> + '_ {
        self.keys.iter().map(|key| key.id)
    }

    /// Seals a secret for a context, with the first key. The nonce comes from `entropy`, which must be unpredictable.
    /// Errors: there is no key, or the secret is too long.
    pub fn seal(
        &self,
        secret: &[u8],
        context: &str,
        entropy: &dyn Entropy,
    ) -> Result<Sealed, SealError> {
        let key = self.keys.first().ok_or(SealError::NoKey)?;
        if secret.len() > Sealed::MAX_SECRET {
            return Err(SealError::TooLong);
        }
        let mut nonce = [0; Sealed::NONCE];
        nonce[..8].copy_from_slice(&entropy.next_u64().to_be_bytes());
        nonce[8..].copy_from_slice(&entropy.next_u64().to_be_bytes()[..Sealed::NONCE - 8]);
        let mut ciphertext = secret.to_vec();
        key.key
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(context.as_bytes()),
                &mut ciphertext,
            )
            .map_err(|_| SealError::TooLong)?;
        Ok(Sealed { key: key.id, nonce, ciphertext })
    }

    /// Opens what was sealed for this context. Errors: the key is not here, or the bytes or the context are not those
    /// that were sealed.
    pub fn open(&self, sealed: &Sealed, context: &str) -> Result<Vec<u8>, SealError> {
        let key = self.keys.iter().find(|key| key.id == sealed.key);
        let key = key.ok_or(SealError::UnknownKey(sealed.key))?;
        let mut bytes = sealed.ciphertext.clone();
        let opened = key.key.open_in_place(
            Nonce::assume_unique_for_key(sealed.nonce),
            Aad::from(context.as_bytes()),
            &mut bytes,
        );
        let length = opened.map_err(|_| SealError::Damaged(sealed.key))?.len();
        bytes.truncate(length);
        Ok(bytes)
    }
}

/// An agent's keys with the randomness that sealing takes. Clones share both.
#[derive(Clone)]
pub struct Sealer {
    keys: SealingKeys,
    entropy: Arc<dyn Entropy>,
}

impl Sealer {
    /// A sealer with these keys, which may be none.
    pub fn new(keys: SealingKeys, entropy: Arc<dyn Entropy>) -> Self {
        Self { keys, entropy }
    }

    /// The keys.
    pub fn keys(&self) -> &SealingKeys {
        &self.keys
    }

    /// What sealing and the making of keys take their randomness from.
    pub fn entropy(&self) -> &dyn Entropy {
        &*self.entropy
    }

    /// Seals a secret for a context. Errors: there is no key, or the secret is too long.
    pub fn seal(&self, secret: &[u8], context: &str) -> Result<Sealed, SealError> {
        self.keys.seal(secret, context, &*self.entropy)
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("keys", &self.keys).finish_non_exhaustive()
    }
}

impl fmt::Debug for SealingKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ids()).finish()
    }
}

impl SealingKey {
    fn new(key: &[u8; KEY_LENGTH]) -> Self {
        let named = [&b"holdfast sealing key "[..], key].concat();
        let hash = digest::digest(&digest::SHA256, &named);
        let id = SealingKeyId(*hash.as_ref().first_chunk().expect("SHA-256 has 32 bytes"));
        let unbound = UnboundKey::new(&AES_256_GCM, key).expect("AES-256 takes 32 bytes");
        Self { id, key: LessSafeKey::new(unbound) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    struct Counter(AtomicU64);

    impl Entropy for Counter {
        fn next_u64(&self) -> u64 {
            self.0.fetch_add(1, Ordering::Relaxed)
        }
    }

    fn counter() -> Counter {
        Counter(AtomicU64::new(7))
    }

    #[test]
    fn what_is_sealed_opens_with_its_key_and_context_alone() {
        let (old, new) = ([1; KEY_LENGTH], [2; KEY_LENGTH]);
        let before = SealingKeys::new([old]);
        let sealed = before.seal(b"secret", "tsig k", &counter()).expect("there is a key");
        assert!(!sealed.ciphertext.windows(6).any(|window| window == b"secret"));
        let both = SealingKeys::new([new, old]);
        assert_eq!(both.open(&sealed, "tsig k"), Ok(b"secret".to_vec()));
        assert_eq!(both.open(&sealed, "tsig l"), Err(SealError::Damaged(sealed.key)));
        assert_eq!(
            SealingKeys::new([new]).open(&sealed, "tsig k"),
            Err(SealError::UnknownKey(sealed.key))
        );
        let told = SealingKeys::default().open(&sealed, "tsig k").expect_err("it has no key");
        assert_eq!(told, SealError::UnknownKey(sealed.key), "another agent has the key");
        assert!(!told.to_string().contains("new-key"), "a new key would not open it: {told}");
        let anew = both.seal(b"secret", "tsig k", &counter()).expect("there is a key");
        assert_ne!(anew.key, sealed.key, "the first key seals");
    }

    #[test]
    fn every_changed_byte_is_found() {
        let keys = SealingKeys::new([[9; KEY_LENGTH]]);
        let sealed = keys.seal(b"secret", "c", &counter()).expect("there is a key");
        for place in 0..sealed.ciphertext.len() {
            let mut damaged = sealed.clone();
            damaged.ciphertext[place] ^= 1;
            assert_eq!(keys.open(&damaged, "c"), Err(SealError::Damaged(sealed.key)), "{place}");
        }
        let short = Sealed { ciphertext: Vec::new(), ..sealed.clone() };
        assert_eq!(keys.open(&short, "c"), Err(SealError::Damaged(sealed.key)));
        let elsewhere = Sealed { nonce: [0; Sealed::NONCE], ..sealed.clone() };
        assert_eq!(keys.open(&elsewhere, "c"), Err(SealError::Damaged(sealed.key)));
    }

    #[test]
    fn bounds_and_prints_keep_the_secret() {
        let keys = SealingKeys::new([[9; KEY_LENGTH]]);
        let long = vec![0; Sealed::MAX_SECRET + 1];
        assert_eq!(keys.seal(&long, "c", &counter()), Err(SealError::TooLong));
        let sealed = keys.seal(&long[1..], "c", &counter()).expect("fits");
        assert!(sealed.is_bounded());
        assert_eq!(format!("{keys:?}"), format!("[{:?}]", sealed.key));
    }
}
