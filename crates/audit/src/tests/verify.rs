//! Verification: each kind of tampering, done to the sled tree itself, is found, placed and named.

use std::collections::BTreeMap;
use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::position::Position;
use crate::store::{AuditStore, SledStore};
use crate::verify::{encode, verify};
use crate::{TamperingKind, Verification};

const LENGTH: u64 = 40;

/// A sled tree with a chain, open to tampering.
struct Scene {
    _dir: tempfile::TempDir,
    store: SledStore,
    position: Position,
}

impl Scene {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let path: PathBuf = dir.path().join("audit");
        let store = SledStore::open(&path, 1 << 20).expect("opens");
        let records = chain(LENGTH);
        let position = Position { head: head_of(&records), index: 1, ..Position::EMPTY };
        let puts: BTreeMap<_, _> = records.iter().map(|r| (r.sequence, encode(r))).collect();
        store.write(&puts, &position.encode()).expect("writes");
        Self { _dir: dir, store, position }
    }

    fn put(&self, key: u64, record: &Record) {
        self.store.tree().insert(key.to_be_bytes(), encode(record)).expect("inserts");
    }

    fn delete(&self, key: u64) {
        self.store.tree().remove(key.to_be_bytes()).expect("removes");
    }

    fn verify(&self) -> Verification {
        let head = self.position.head;
        verify(&self.store, &self.position, 1..=u64::MAX, Some(&head)).expect("walks")
    }

    /// Expects the first bad record at `sequence`.
    fn finds(&self, sequence: u64, kind: TamperingKind) {
        let verification = self.verify();
        let finding = verification.finding.expect("the tampering is found");
        assert_eq!((finding.sequence, finding.kind), (sequence, kind), "{finding}");
        assert_eq!(verification.checked, sequence.min(LENGTH + 1) - 1, "all before it are good");
    }
}

#[test]
fn an_untouched_chain_is_good() {
    let scene = Scene::new();
    let verification = scene.verify();
    assert!(verification.is_ok());
    assert_eq!((verification.checked, verification.head), (LENGTH, scene.position.head));
}

#[test]
fn a_changed_content_is_a_flip() {
    let scene = Scene::new();
    let mut record = chain(LENGTH).swap_remove(16);
    record.content.actor.name = "nobody".into();
    scene.put(17, &record);
    scene.finds(17, TamperingKind::Flip);
}

#[test]
fn every_single_bit_counts() {
    let scene = Scene::new();
    let bytes = encode(&chain(LENGTH)[16]);
    for position in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[position] ^= 1 << (position % 8);
        scene.store.tree().insert(17u64.to_be_bytes(), flipped).expect("inserts");
        scene.finds(17, TamperingKind::Flip);
    }
    let longer: Vec<u8> = bytes.iter().copied().chain([0]).collect();
    scene.store.tree().insert(17u64.to_be_bytes(), longer).expect("inserts");
    scene.finds(17, TamperingKind::Flip);
}

#[test]
fn a_record_rewritten_with_its_hash_is_a_flip_in_the_right_place() {
    let genuine = chain(LENGTH);
    for place in [1, 2, 17, LENGTH - 1, LENGTH] {
        let scene = Scene::new();
        let index = usize::try_from(place).expect("small") - 1;
        let before = index.checked_sub(1).map_or(Head::EMPTY, |i| genuine[i].head());
        let mut content = genuine[index].content.clone();
        content.actor.name = "nobody".into();
        scene.put(place, &Record::after(&before, content));
        // The last record has no successor: its own hash against the replicated one is what shows it.
        let kind = if place == LENGTH { TamperingKind::Divergence } else { TamperingKind::Flip };
        let finding = scene.verify().finding.expect("found");
        assert_eq!((finding.sequence, finding.kind), (place, kind), "{finding}");
    }
}

#[test]
fn a_record_relinked_with_its_hash_is_a_flip_in_the_right_place() {
    let scene = Scene::new();
    let stranger = Head { length: 16, hash: other_chain(16)[15].hash };
    scene.put(17, &Record::after(&stranger, content(17)));
    scene.finds(17, TamperingKind::Flip);
}

#[test]
fn a_removed_record_is_a_delete() {
    for place in [1, 17, LENGTH - 1] {
        let scene = Scene::new();
        scene.delete(place);
        scene.finds(place, TamperingKind::Delete);
    }
}

#[test]
fn swapped_records_are_a_reorder() {
    let scene = Scene::new();
    let records = chain(LENGTH);
    scene.put(10, &records[20]);
    scene.put(21, &records[9]);
    scene.finds(10, TamperingKind::Reorder);
}

#[test]
fn a_record_removed_and_the_rest_moved_up_is_a_reorder() {
    let scene = Scene::new();
    for record in &chain(LENGTH)[17..] {
        scene.put(record.sequence - 1, record);
    }
    scene.delete(LENGTH);
    scene.finds(17, TamperingKind::Reorder);
}

#[test]
fn a_tail_cut_off_is_named_by_the_replicated_head() {
    let scene = Scene::new();
    for key in 31..=LENGTH {
        scene.delete(key);
    }
    scene.finds(31, TamperingKind::TruncatedTail);
}

#[test]
fn an_emptied_store_is_a_truncated_tail() {
    let scene = Scene::new();
    scene.store.tree().clear().expect("clears");
    scene.finds(1, TamperingKind::TruncatedTail);
}

#[test]
fn a_whole_other_history_is_a_divergence() {
    let scene = Scene::new();
    for record in other_chain(LENGTH) {
        scene.put(record.sequence, &record);
    }
    let finding = scene.verify().finding.expect("found");
    assert_eq!((finding.sequence, finding.kind), (LENGTH, TamperingKind::Divergence));
}

#[test]
fn a_range_is_judged_by_what_lies_in_it() {
    let scene = Scene::new();
    let walk = |range| verify(&scene.store, &scene.position, range, None).expect("walks");
    let part = walk(11..=20);
    assert!(part.is_ok(), "{part:?}");
    assert_eq!((part.first, part.checked, part.head.length), (11, 10, 20));
    scene.delete(20);
    let finding = walk(11..=20).finding.expect("found");
    assert_eq!((finding.sequence, finding.kind), (20, TamperingKind::Delete));
    assert!(walk(1..=19).is_ok() && walk(22..=LENGTH).is_ok());
    let finding = walk(21..=LENGTH).finding.expect("nothing to link to");
    assert_eq!((finding.sequence, finding.kind), (20, TamperingKind::Delete));
}

#[test]
fn a_chain_behind_the_replicated_one_is_short() {
    let scene = Scene::new();
    let longer = head_of(&chain(LENGTH + 5));
    let verification =
        verify(&scene.store, &scene.position, 1..=u64::MAX, Some(&longer)).expect("walks");
    let finding = verification.finding.expect("found");
    assert_eq!((finding.sequence, finding.kind), (LENGTH + 1, TamperingKind::TruncatedTail));
}

proptest! {
    /// Whatever single change is made to a chain, verification against the replicated head finds it, at the place
    /// of the change or at the record that it moved.
    #[test]
    fn no_change_goes_unseen(length in 2u64..30, place in 0u64..30, what in 0u8..4, with in 0u64..30) {
        let (place, with) = (place % length + 1, with % length + 1);
        let records = chain(length);
        let head = head_of(&records);
        let mut stored: BTreeMap<u64, Vec<u8>> = records.iter().map(|r| (r.sequence, encode(r))).collect();
        let untouched = stored.clone();
        match what {
            0 => drop(stored.remove(&place)),
            1 => {
                let bytes = stored.get_mut(&place).expect("there");
                let at = usize::try_from(with).expect("small") % bytes.len();
                bytes[at] ^= 0x10;
            }
            2 => {
                let (a, b) = (stored[&place].clone(), stored[&with].clone());
                stored.insert(place, b);
                stored.insert(with, a);
            }
            _ => drop(stored.split_off(&place)),
        }
        let store = MemoryStore::new();
        let position = Position { head, ..Position::EMPTY };
        store.write(&stored, &position.encode()).expect("writes");
        let verification = verify(&store, &position, 1..=u64::MAX, Some(&head)).expect("walks");
        prop_assert_eq!(verification.is_ok(), stored == untouched);
        if let Some(finding) = verification.finding {
            let first = if what == 2 { place.min(with) } else { place };
            prop_assert_eq!(finding.sequence, first);
        }
    }
}
