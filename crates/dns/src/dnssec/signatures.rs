//! Signatures in memory, by the digest of what they sign.
//!
//! Those made before anybody asked stand in a table of their own (`presigned`). What is made for a question is offered
//! to the other threads, unless one of them is writing at that moment, and kept in the thread's own table, of fixed
//! size, in which a newer signature takes an older one's place: so nobody waits, and a signature is made about once by
//! all threads together. Both parts that are shared are read without a lock.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use holdfast_sign::SIGNATURE;

use super::presigned::Presigned;

pub(super) type Digest = [u8; 32];
pub(super) type Signature = [u8; SIGNATURE];

/// Parts of the shared memory; the part that changes is copied.
const SHARDS: usize = 1024;
/// The most signatures of one part; a part that is full begins anew.
const PER_SHARD: usize = 2048;
/// Signatures that a thread keeps to itself.
const OWN: usize = 4096;

type Shard = HashMap<Digest, Signature>;

/// Signatures that all threads share.
#[derive(Debug)]
pub(crate) struct Signatures {
    pub(super) presigned: Presigned,
    shards: Box<[ArcSwap<Shard>]>,
    /// Held by whoever writes; never waited for.
    writing: Mutex<()>,
}

impl Default for Signatures {
    fn default() -> Self {
        let shards = (0..SHARDS).map(|_| ArcSwap::default()).collect();
        Self { presigned: Presigned::default(), shards, writing: Mutex::default() }
    }
}

impl Signatures {
    fn shard(&self, digest: &Digest) -> &ArcSwap<Shard> {
        &self.shards[usize::from(u16::from_be_bytes([digest[0], digest[1]])) % SHARDS]
    }

    pub(super) fn find(&self, digest: &Digest) -> Option<Signature> {
        let presigned = self.presigned.find(digest);
        presigned.or_else(|| self.shard(digest).load().get(digest).copied())
    }

    /// Keeps a signature, unless another thread is writing.
    pub(super) fn offer(&self, digest: Digest, signature: Signature) {
        let Ok(_writing) = self.writing.try_lock() else { return };
        let shard = self.shard(&digest);
        let mut next = Shard::clone(&shard.load());
        if next.len() >= PER_SHARD {
            next.clear();
        }
        next.insert(digest, signature);
        shard.store(Arc::new(next));
    }
}

/// Signatures that one thread made.
#[derive(Debug)]
pub(super) struct Own(Box<[Option<(Digest, Signature)>]>);

impl Default for Own {
    fn default() -> Self {
        Self(vec![None; OWN].into())
    }
}

impl Own {
    fn place(digest: &Digest) -> usize {
        usize::from(u16::from_be_bytes([digest[2], digest[3]])) % OWN
    }

    pub(super) fn find(&self, digest: &Digest) -> Option<Signature> {
        let (known, signature) = self.0[Self::place(digest)].as_ref()?;
        (known == digest).then_some(*signature)
    }

    pub(super) fn keep(&mut self, digest: Digest, signature: Signature) {
        self.0[Self::place(&digest)] = Some((digest, signature));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_found_and_memory_is_bounded() {
        let (shared, mut own) = (Signatures::default(), Own::default());
        let digest = |number: u32| {
            let mut digest = [0; 32];
            digest[28..].copy_from_slice(&number.to_be_bytes());
            digest
        };
        for number in 0..=PER_SHARD as u32 {
            shared.offer(digest(number), [1; 64]);
            own.keep(digest(number), [2; 64]);
        }
        assert_eq!(shared.find(&digest(PER_SHARD as u32)), Some([1; 64]));
        assert_eq!(shared.find(&digest(0)), None, "the full part began anew");
        assert_eq!(own.find(&digest(PER_SHARD as u32)), Some([2; 64]));
        assert_eq!(own.find(&digest(0)), None, "another took its place");
    }
}
