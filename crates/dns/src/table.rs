//! The names of a view in wire form, for answers that need no more than a look or two.
//!
//! ```text
//! name ─▶ hash ─▶ shard ─▶ slot ─▶ Entry: name and Node (addresses │ no data │ failure │ "ask the handler")
//!   └── not there: its parents, from the deepest level that any name has ─▶ zone ─▶ SOA
//! ```
//!
//! A table is made from the one before by what differs between their views: it touches the names that changed and
//! their parents, those of zones that came or went, and those below a delegation or DNAME that came or went, and
//! shares all other shards. Names in wire form keep labels of any bytes apart.
//!
//! A name is hashed once, for its shard and its slot, which keeps the hash: another name's entry is not followed to. The
//! hash is keyed at random per process. Nothing that a client asks is put in, so only those who declare names could make
//! them collide, and they see neither the keys nor a hash.
//!
//! Invariant: the table holds exactly the names that `holdfast_core::answer` calls existing within the view's zones:
//! those with data, the apexes, and those above either.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, Hasher as _};
use std::ops::Bound;
use std::sync::{Arc, LazyLock};

use foldhash::quality::SeedableRandomState;
use hashbrown::HashTable;
use holdfast_core::DnsName;
use holdfast_core::answer::{self, Kind};
use holdfast_core::view::{Answers, NameAnswers};

use smallvec::SmallVec;

use crate::compiled::{Node, Zone, labels};
use crate::keys;
use crate::limits::MAX_NAME;

type Shard = HashTable<Slot>;

/// The place of a name in its shard.
#[derive(Debug, Clone)]
struct Slot {
    hash: u64,
    entry: Arc<Entry>,
}

impl Slot {
    fn is(&self, hash: u64, name: &[u8]) -> bool {
        self.hash == hash && *self.entry.name == *name
    }
}

/// A name with what is known about it, side by side in memory.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: SmallVec<[u8; USUAL_NAME]>,
    pub(crate) node: Node,
}

/// Names of so many bytes in wire form need no memory of their own.
const USUAL_NAME: usize = 48;

/// How many parts the names are in; the parts that change are copied.
const SHARDS: usize = 1024;

/// The compiled names of one view.
#[derive(Debug)]
pub(crate) struct Table {
    /// A zone keeps its place for as long as it is there.
    zones: Vec<Arc<Zone>>,
    places: Arc<BTreeMap<DnsName, usize>>,
    shards: Vec<Arc<Shard>>,
    /// Labels of the deepest name.
    depth: usize,
    names: usize,
}

/// Where a name is that a question asks for.
#[derive(Debug)]
pub(crate) enum Found<'a> {
    Node(&'a Node),
    /// It does not exist in this zone, and no wildcard stands in for it.
    Missing(usize),
    /// A wildcard may stand in for it, or it is cut off from its zone.
    Uncompiled,
    /// It is in no zone.
    Outside,
}

/// The names with data and the apexes at a name or below it.
pub(crate) fn names_within(answers: &Answers, top: &DnsName) -> Vec<DnsName> {
    let from = Bound::Included(top);
    let names = answers.names.iter_from(from).map(|(name, _)| name);
    let zones = answers.zones.iter_from(from).map(|(apex, _)| apex);
    let within = |name: &&DnsName| name.is_within(top);
    names.take_while(within).chain(zones.take_while(within)).cloned().collect()
}

/// Whether data at a name cut off what is below it: as a delegation, which they do not at an apex, and as a DNAME.
fn cuts(here: Option<&Arc<NameAnswers>>) -> [bool; 2] {
    let sets = || here.into_iter().flat_map(|here| &here.sets);
    let kinds = || sets().filter_map(|set| set.records.first()).map(|(data, _)| data.kind());
    [Kind::NS, Kind::DNAME].map(|kind| kinds().any(|here| here == kind))
}

/// The hash of a name in wire form and lower case.
pub(crate) fn hash_of(name: &[u8]) -> u64 {
    static KEYS: LazyLock<SeedableRandomState> = LazyLock::new(keys::random);
    let mut hasher = KEYS.build_hasher();
    hasher.write(name);
    hasher.finish()
}

/// The hash of a name in wire form of any case; of at most 255 bytes.
pub(crate) fn hash_of_any_case(name: &[u8]) -> u64 {
    hash_of(lowered(name, &mut [0; MAX_NAME]))
}

/// A name in wire form of any case, of at most 255 bytes, in lower case.
pub(crate) fn lowered<'a>(name: &[u8], scratch: &'a mut [u8; MAX_NAME]) -> &'a mut [u8] {
    let lower = &mut scratch[..name.len()];
    lower.copy_from_slice(name);
    // Length bytes are at most 63 and so no letters.
    lower.make_ascii_lowercase();
    lower
}

fn shard_of(hash: u64) -> usize {
    // Within a shard the lowest and the seven highest bits decide.
    (hash >> 32) as usize % SHARDS
}

impl Table {
    /// Makes the table of a view from the view and table before.
    pub(crate) fn of(before: Option<(&Answers, &Self)>, answers: &Answers) -> Self {
        let nothing = (Answers::default(), Self::empty());
        let (before, table) = before.unwrap_or((&nothing.0, &nothing.1));
        table.next(before, answers)
    }

    fn empty() -> Self {
        let empty = Arc::new(Shard::new());
        Self {
            zones: Vec::new(),
            places: Arc::default(),
            shards: vec![empty; SHARDS],
            depth: 0,
            names: 0,
        }
    }

    fn next(&self, before: &Answers, answers: &Answers) -> Self {
        let mut next = Self {
            zones: self.zones.clone(),
            places: Arc::clone(&self.places),
            shards: self.shards.clone(),
            depth: self.depth,
            names: self.names,
        };
        let mut renewed = next.place_zones(before, answers);
        for (name, was, now) in before.names.differences(&answers.names) {
            if cuts(was) != cuts(now) {
                renewed.insert(name.clone());
            }
            match now {
                Some(_) => next.put(answers, name),
                None => next.withdraw(answers, name),
            }
        }
        let mut last: Option<&DnsName> = None;
        for name in &renewed {
            // What is below a name that was renewed was renewed with it.
            if last.is_none_or(|last| !name.is_within(last)) {
                next.renew_within(before, answers, name);
                last = Some(name);
            }
        }
        next
    }

    /// Takes over the zones of a view; returns the apexes that came or went.
    fn place_zones(&mut self, before: &Answers, answers: &Answers) -> BTreeSet<DnsName> {
        let mut changed = BTreeSet::new();
        for (apex, _, now) in before.zones.differences(&answers.zones) {
            if now.is_none() {
                Arc::make_mut(&mut self.places).remove(apex);
                changed.insert(apex.clone());
            }
        }
        for (apex, _, now) in before.zones.differences(&answers.zones) {
            let Some(zone) = now else { continue };
            if let Some(place) = self.places.get(apex) {
                self.zones[*place] = Zone::compile(zone, Some(&self.zones[*place]));
                continue;
            }
            let taken: BTreeSet<usize> = self.places.values().copied().collect();
            let place = (0..).find(|place| !taken.contains(place)).expect("zones are bounded");
            let compiled = Zone::compile(zone, None);
            match self.zones.get_mut(place) {
                Some(free) => *free = compiled,
                None => self.zones.push(compiled),
            }
            Arc::make_mut(&mut self.places).insert(apex.clone(), place);
            changed.insert(apex.clone());
        }
        changed
    }

    /// Makes anew what is at a name and below it.
    fn renew_within(&mut self, before: &Answers, answers: &Answers, top: &DnsName) {
        for name in names_within(before, top) {
            let mut at = Some(name);
            while let Some(here) = at.filter(|here| here.is_within(top)) {
                self.remove(&here.to_wire());
                at = here.parent();
            }
        }
        self.withdraw(answers, top);
        for name in names_within(answers, top) {
            self.put(answers, &name);
        }
    }

    /// Puts a name in, or in anew, and those above it that are not there yet.
    fn put(&mut self, answers: &Answers, name: &DnsName) {
        let Some(zone) = self.zone_number(answers, name) else { return };
        let wire = name.to_wire();
        self.depth = self.depth.max(labels(&wire).count());
        self.set(&wire, Node::compile(answers, name, zone));
        let mut above = name.parent();
        while let Some(parent) = above {
            let Some(zone) = self.zone_number(answers, &parent) else { return };
            let wire = parent.to_wire();
            if self.node(&wire).is_none() {
                self.set(&wire, Node::compile(answers, &parent, zone));
            }
            above = parent.parent();
        }
    }

    /// Takes the data of a name out, and the name and those above it where nothing is left.
    fn withdraw(&mut self, answers: &Answers, name: &DnsName) {
        let mut at = Some(name.clone());
        while let Some(here) = at {
            let Some(zone) = self.zone_number(answers, &here) else { return };
            let wire = here.to_wire();
            let below = answer::exists_within(answers, &here);
            if !below && !answers.zones.contains_key(&here) {
                self.remove(&wire);
            } else if here == *name {
                self.set(&wire, Node::compile(answers, &here, zone));
            }
            if below {
                return;
            }
            at = here.parent();
        }
    }

    fn set(&mut self, wire: &[u8], node: Node) {
        let hash = hash_of(wire);
        let entry = Arc::new(Entry { name: wire.into(), node });
        let shard = Arc::make_mut(&mut self.shards[shard_of(hash)]);
        match shard.find_mut(hash, |slot| slot.is(hash, wire)) {
            Some(slot) => slot.entry = entry,
            None => {
                shard.insert_unique(hash, Slot { hash, entry }, |slot| slot.hash);
                self.names += 1;
            }
        }
    }

    fn remove(&mut self, wire: &[u8]) {
        let hash = hash_of(wire);
        let shard = Arc::make_mut(&mut self.shards[shard_of(hash)]);
        if let Ok(slot) = shard.find_entry(hash, |slot| slot.is(hash, wire)) {
            slot.remove();
            self.names -= 1;
        }
    }

    fn zone_number(&self, answers: &Answers, name: &DnsName) -> Option<usize> {
        self.places.get(&answer::zone_of(answers, name)?.zone.name).copied()
    }

    fn node(&self, name: &[u8]) -> Option<&Node> {
        self.node_of(name, hash_of(name))
    }

    fn node_of(&self, name: &[u8], hash: u64) -> Option<&Node> {
        let slot = self.shards[shard_of(hash)].find(hash, |slot| slot.is(hash, name))?;
        Some(&slot.entry.node)
    }

    /// How many names it holds.
    pub(crate) fn len(&self) -> usize {
        self.names
    }

    /// A name of this hash, which is hardly ever another than was hashed.
    pub(crate) fn likely(&self, hash: u64) -> Option<&Entry> {
        let slot = self.shards[shard_of(hash)].find(hash, |slot| slot.hash == hash)?;
        Some(&slot.entry)
    }

    /// The zone of a number.
    pub(crate) fn zone(&self, number: usize) -> &Zone {
        &self.zones[number]
    }

    /// All zones, by their numbers.
    pub(crate) fn zones(&self) -> impl Iterator<Item = &Zone> {
        self.zones.iter().map(|zone| &**zone)
    }

    /// Whether the zones of the other table are known to have the same numbers.
    pub(crate) fn numbers_zones_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.places, &other.places)
    }

    /// The hash of the longest part that exists of a name in wire form, of any case; that of the root if none does.
    pub(crate) fn closest(&self, name: &[u8]) -> u64 {
        let mut scratch = [0; MAX_NAME];
        let name = &*lowered(name, &mut scratch);
        let skip = labels(name).count().saturating_sub(self.depth);
        let hashes = labels(name).skip(skip).map(|(begin, _)| (begin, hash_of(&name[begin..])));
        let exists = |(begin, hash): &(usize, u64)| self.node_of(&name[*begin..], *hash).is_some();
        let closest = hashes.into_iter().find(exists);
        closest.map_or_else(|| hash_of(&[0]), |(_, hash)| hash)
    }

    /// Finds a name in wire form and lower case, of this hash. Writes into it for a while, and leaves it as it was.
    pub(crate) fn find(&self, name: &mut [u8], hash: u64) -> Found<'_> {
        if let Some(node) = self.node_of(name, hash) {
            return Found::Node(node);
        }
        let mut skip = labels(name).count().saturating_sub(self.depth).max(1);
        let mut at = 0;
        while name[at] != 0 {
            at += 1 + usize::from(name[at]);
            skip = skip.saturating_sub(1);
            if skip > 0 {
                continue;
            }
            if let Some(node) = self.node(&name[at..]) {
                // The label before has a length and at least one byte: the place of `*`.
                let label_end = [name[at - 2], name[at - 1]];
                name[at - 2..at].copy_from_slice(&[1, b'*']);
                let wild = self.node(&name[at - 2..]).is_some();
                name[at - 2..at].copy_from_slice(&label_end);
                return match wild || node.covers {
                    true => Found::Uncompiled,
                    false => Found::Missing(node.zone),
                };
            }
        }
        Found::Outside
    }
}

#[cfg(test)]
mod tests;
