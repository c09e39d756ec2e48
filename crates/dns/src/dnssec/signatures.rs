//! Signatures in memory, by the digest of what they sign.
//!
//! ```text
//! made beforehand (`presigned`) ─┐
//! made for a question, shared ───┼─▶ found by every thread
//! made for a question, own ──────┴─▶ found by the thread that made it
//! ```
//!
//! What is made for a question is kept by the thread that made it, and shared with the others unless the name was made up
//! by whoever asked: such names have no end, and nobody else asks for them. Both tables have a fixed number of places,
//! and in a full part a newer signature takes an older one's place; the places are made with the first signature. Nobody
//! waits: what is shared is read without a lock and written by exchanging one pointer.
//!
//! Invariant: memory is bounded by the places, whatever is asked. A signature that is forgotten is made again.

use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwapOption;
use holdfast_sign::SIGNATURE;

use super::presigned::Presigned;

pub(super) type Digest = [u8; 32];
pub(super) type Signature = [u8; SIGNATURE];

/// Parts of the shared memory.
const SETS: usize = 1 << 12;
/// Signatures of one part. All parts together take 4 MiB when they are full.
const WAYS: usize = 8;
/// Signatures that a thread keeps to itself.
const OWN: usize = 4096;

/// A place for a signature that all threads can read.
type Place = ArcSwapOption<(Digest, Signature)>;

type Set = [Place; WAYS];

/// Signatures that all threads share.
#[derive(Debug, Default)]
pub(crate) struct Signatures {
    pub(super) presigned: Presigned,
    sets: OnceLock<Box<[Set]>>,
}

impl Signatures {
    pub(super) fn find(&self, digest: &Digest) -> Option<Signature> {
        let shared =
            || set_of(self.sets.get()?, digest).iter().find_map(|place| kept(place, digest));
        self.presigned.find(digest).or_else(shared)
    }

    /// Keeps a signature; where its part is full, in the place of another that the digest says.
    pub(super) fn share(&self, digest: Digest, signature: Signature) {
        let made = || std::iter::repeat_with(Set::default).take(SETS).collect();
        let set = set_of(self.sets.get_or_init(made), &digest);
        let fitting = set.iter().find(|place| {
            let kept = place.load();
            kept.as_ref().is_none_or(|kept| kept.0 == digest)
        });
        let place = fitting.unwrap_or(&set[usize::from(digest[2]) % WAYS]);
        place.store(Some(Arc::new((digest, signature))));
    }
}

fn set_of<'a>(sets: &'a [Set], digest: &Digest) -> &'a Set {
    &sets[usize::from(u16::from_be_bytes([digest[0], digest[1]])) % SETS]
}

fn kept(place: &Place, digest: &Digest) -> Option<Signature> {
    let kept = place.load();
    let (known, signature) = &**kept.as_ref()?;
    (known == digest).then_some(*signature)
}

/// Signatures that one thread made.
#[derive(Debug, Default)]
pub(super) struct Own(Vec<Option<(Digest, Signature)>>);

impl Own {
    fn place(digest: &Digest) -> usize {
        usize::from(u16::from_be_bytes([digest[2], digest[3]])) % OWN
    }

    pub(super) fn find(&self, digest: &Digest) -> Option<Signature> {
        let (known, signature) = self.0.get(Self::place(digest))?.as_ref()?;
        (known == digest).then_some(*signature)
    }

    pub(super) fn keep(&mut self, digest: Digest, signature: Signature) {
        if self.0.is_empty() {
            self.0.resize(OWN, None);
        }
        self.0[Self::place(&digest)] = Some((digest, signature));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(number: usize) -> Digest {
        let mut digest = [0; 32];
        // Sets are gone through with a step that meets all of them.
        digest[..2].copy_from_slice(&(number as u16).to_be_bytes());
        digest[2] = (number / SETS) as u8;
        digest[24..].copy_from_slice(&(number as u64).to_be_bytes());
        digest
    }

    fn count(shared: &Signatures) -> usize {
        shared
            .sets
            .get()
            .into_iter()
            .flatten()
            .flatten()
            .filter(|place| place.load().is_some())
            .count()
    }

    #[test]
    fn memory_is_bounded_and_the_newest_are_kept() {
        let shared = Signatures::default();
        let most = SETS * WAYS;
        for number in 0..3 * most {
            shared.share(digest(number), [number as u8; 64]);
            assert_eq!(shared.find(&digest(number)), Some([number as u8; 64]));
        }
        assert_eq!(count(&shared), most);
        assert!((3 * most - SETS..3 * most).all(|number| shared.find(&digest(number)).is_some()));
    }

    #[test]
    fn what_is_known_takes_no_second_place() {
        let shared = Signatures::default();
        (0..100).for_each(|_| shared.share(digest(1), [1; 64]));
        assert_eq!(count(&shared), 1);
    }

    #[test]
    fn whoever_reads_beside_a_writer_has_a_whole_signature() {
        let shared = Signatures::default();
        // All in one part.
        let digest = |number: u8| {
            let mut digest = [number; 32];
            digest[..2].fill(0);
            digest
        };
        let write = |first: u8| {
            for number in (0..10_000).map(|turn| first + (turn % 50) as u8) {
                shared.share(digest(number), [number; 64]);
                let found = shared.find(&digest(number));
                assert!(found.is_none_or(|found| found == [number; 64]));
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(|| write(0));
            write(100);
        });
        assert_eq!(count(&shared), WAYS);
    }

    #[test]
    fn a_threads_own_signatures_take_each_others_places() {
        let mut own = Own::default();
        let digest = |number: u8| [number; 32];
        own.keep(digest(1), [1; 64]);
        own.keep(digest(2), [2; 64]);
        assert_eq!((own.find(&digest(1)), own.find(&digest(2))), (Some([1; 64]), Some([2; 64])));
        let mut other = digest(1);
        other[31] = 9;
        own.keep(other, [3; 64]);
        assert_eq!((own.find(&digest(1)), own.find(&other)), (None, Some([3; 64])));
    }
}
