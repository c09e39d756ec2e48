//! Signatures that were made before anybody asked for them: a table that every thread reads without a lock.
//!
//! A place is written once and then stays, so a reader sees a whole signature or none. The table grows by being copied
//! into one twice as large, and forgets by being replaced: whoever fills it puts what is still needed into a new one.
//!
//! Invariant: one writer at a time puts in (the `Filler`), and at most three quarters of [`MOST_PLACES`] are kept;
//! what finds no room is signed when it is asked for.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;

use super::signatures::{Digest, Signature};

/// The places of the first table.
const FEWEST_PLACES: usize = 1 << 10;
/// The places of the largest, 104 bytes each. Three quarters of them are taken at the most, so that a search soon meets
/// an empty one.
const MOST_PLACES: usize = 1 << 20;

/// Signatures by digest, in the first free place from where the digest says.
#[derive(Debug, Default)]
struct Table {
    places: Box<[OnceLock<(Digest, Signature)>]>,
    taken: AtomicUsize,
}

/// What became of a signature that was put into a table.
#[derive(Debug, PartialEq, Eq)]
enum Put {
    Kept,
    Full,
}

impl Table {
    fn with_places(count: usize) -> Self {
        let places = std::iter::repeat_with(OnceLock::new).take(count);
        Self { places: places.collect(), taken: AtomicUsize::new(0) }
    }

    fn len(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// The places at which a digest may stand, in order.
    fn places_of(&self, digest: &Digest) -> impl Iterator<Item = &OnceLock<(Digest, Signature)>> {
        let count = self.places.len();
        let start = digest.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes) as usize);
        (0..count).map(move |step| &self.places[(start.wrapping_add(step)) & (count - 1)])
    }

    fn find(&self, digest: &Digest) -> Option<Signature> {
        for place in self.places_of(digest) {
            let (known, signature) = place.get()?;
            if known == digest {
                return Some(*signature);
            }
        }
        None
    }

    fn put(&self, digest: Digest, signature: Signature) -> Put {
        if self.len() >= self.places.len() / 4 * 3 {
            return Put::Full;
        }
        for place in self.places_of(&digest) {
            if place.get().is_some_and(|(known, _)| *known == digest) {
                return Put::Kept;
            }
            if place.set((digest, signature)).is_ok() {
                self.taken.fetch_add(1, Ordering::Relaxed);
                return Put::Kept;
            }
        }
        Put::Full
    }

    /// This table's content in one with more places; `None` where there is none larger.
    fn enlarged(&self) -> Option<Self> {
        let count = (self.places.len() * 2).max(FEWEST_PLACES);
        let larger = (count <= MOST_PLACES).then(|| Self::with_places(count))?;
        for (digest, signature) in self.places.iter().filter_map(OnceLock::get) {
            larger.put(*digest, *signature);
        }
        Some(larger)
    }
}

/// The signatures as readers see them.
#[derive(Debug, Default)]
pub(super) struct Presigned(ArcSwap<Table>);

impl Presigned {
    pub(super) fn find(&self, digest: &Digest) -> Option<Signature> {
        self.0.load().find(digest)
    }
}

/// Fills the table that others read; there is one.
#[derive(Debug, Default)]
pub(super) struct Filler {
    /// What is still needed, as far as it was gone through.
    needed: Option<Table>,
}

impl Filler {
    /// Begins to go through everything that is needed; what was not put in until `end` is forgotten then.
    pub(super) fn begin(&mut self) {
        self.needed = Some(Table::default());
    }

    /// Forgets what was not needed since `begin`. Says how many signatures are left.
    pub(super) fn end(&mut self, presigned: &Presigned) -> usize {
        if let Some(needed) = self.needed.take() {
            presigned.0.store(Arc::new(needed));
        }
        presigned.0.load().len()
    }

    /// Puts in a signature; false where there is no room for it.
    pub(super) fn put(
        &mut self,
        presigned: &Presigned,
        digest: Digest,
        signature: Signature,
    ) -> bool {
        if let Some(needed) = &mut self.needed
            && needed.put(digest, signature) == Put::Full
            && let Some(larger) = needed.enlarged()
        {
            larger.put(digest, signature);
            *needed = larger;
        }
        let table = presigned.0.load();
        if table.put(digest, signature) == Put::Kept {
            return true;
        }
        let Some(larger) = table.enlarged() else { return false };
        larger.put(digest, signature);
        presigned.0.store(Arc::new(larger));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(number: usize) -> Digest {
        let mut digest = [0; 32];
        // Neighbours meet at one place.
        digest[..8].copy_from_slice(&(number as u64 / 4).to_le_bytes());
        digest[24..].copy_from_slice(&number.to_be_bytes());
        digest
    }

    #[test]
    fn what_is_put_in_is_found_while_the_table_grows() {
        let (presigned, mut filler) = (Presigned::default(), Filler::default());
        assert_eq!(presigned.find(&digest(0)), None, "nothing yet");
        for number in 0..5000 {
            assert!(filler.put(&presigned, digest(number), [number as u8; 64]));
            assert!(filler.put(&presigned, digest(number), [number as u8; 64]), "again");
        }
        for number in 0..5000 {
            assert_eq!(presigned.find(&digest(number)), Some([number as u8; 64]), "{number}");
        }
        assert_eq!(presigned.find(&digest(5000)), None);
        assert_eq!(presigned.0.load().len(), 5000, "each once");
    }

    #[test]
    fn what_is_not_needed_is_forgotten() {
        let (presigned, mut filler) = (Presigned::default(), Filler::default());
        (0..100).for_each(|number| assert!(filler.put(&presigned, digest(number), [1; 64])));
        filler.begin();
        (50..150).for_each(|number| assert!(filler.put(&presigned, digest(number), [1; 64])));
        assert!(presigned.find(&digest(0)).is_some(), "until the end");
        assert_eq!(filler.end(&presigned), 100);
        assert_eq!(presigned.find(&digest(49)), None);
        assert!((50..150).all(|number| presigned.find(&digest(number)).is_some()));
    }

    #[test]
    fn a_full_table_takes_no_more_and_keeps_what_it_has() {
        let table = Table::with_places(8);
        let kept = (0..20).filter(|number| table.put(digest(*number), [1; 64]) == Put::Kept);
        assert_eq!(kept.count(), 6);
        assert!((0..6).all(|number| table.find(&digest(number)).is_some()));
        assert_eq!(table.find(&digest(7)), None);
    }
}
