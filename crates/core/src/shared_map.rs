//! A sorted map whose copies share what they have in common.
//!
//! ```text
//!            branch                 a clone is one pointer;
//!          ┌───┼────┐               a change copies the nodes from the root to its leaf, as far as others hold them;
//!        leaf leaf leaf             a comparison skips every subtree that both maps hold
//! ```
//!
//! A B+ tree: entries lie in leaves, sorted, and a branch holds each child under a lower bound of its keys (that of the
//! first child binds nobody). So what publishes a view pays for what changed, whatever the view's size, and so does
//! whoever compares it with the view before. Every node but the root has [`node::LEAST`] to [`node::MOST`] places.
//!
//! What it deliberately does not do: iterate backwards, or be compared by identity. Equal content is equal.

mod node;
mod walk;

#[cfg(test)]
mod tests;

pub use walk::{Difference, Differences, Iter};

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Bound;

use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use node::{MOST, Node, child_of, place_of};
use walk::Step;

/// A sorted map whose clones cost nothing and share what stays the same.
pub struct SharedMap<K, V> {
    root: Arc<Node<K, V>>,
    length: usize,
}

impl<K, V> SharedMap<K, V> {
    /// The empty map.
    pub fn new() -> Self {
        Self { root: Arc::new(Node::Leaf(Vec::new())), length: 0 }
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The entries in order.
    pub fn iter(&self) -> Iter<'_, K, V> {
        let mut iter = Iter { branches: Vec::new(), leaf: [].iter() };
        iter.descend(&self.root, |_| 0, |_| 0);
        iter
    }

    /// The keys in order.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    /// The values in the order of their keys.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }
}

impl<K: Ord, V> SharedMap<K, V> {
    /// The value of a key.
    pub fn get(&self, key: &K) -> Option<&V> {
        let mut node = &*self.root;
        loop {
            match node {
                Node::Leaf(entries) => return Some(&entries[place_of(entries, key).ok()?].1),
                Node::Branch(children) => node = &children[child_of(children, key)].1,
            }
        }
    }

    /// Whether there is such a key.
    pub fn contains_key(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    /// The entries from a bound on, in order.
    pub fn iter_from(&self, start: Bound<&K>) -> Iter<'_, K, V> {
        let (key, past) = match start {
            Bound::Unbounded => return self.iter(),
            Bound::Included(key) => (key, false),
            Bound::Excluded(key) => (key, true),
        };
        let mut iter = Iter { branches: Vec::new(), leaf: [].iter() };
        let first = |entries: &[(K, V)]| {
            place_of(entries, key).map_or_else(|at| at, |at| at + usize::from(past))
        };
        iter.descend(&self.root, |children| child_of(children, key), first);
        iter
    }

    /// The last entry before a key.
    pub fn last_before(&self, key: &K) -> Option<(&K, &V)> {
        self.root.last_where(&|other| other < key)
    }

    /// The last entry at or before a key.
    pub fn last_up_to(&self, key: &K) -> Option<(&K, &V)> {
        self.root.last_where(&|other| other <= key)
    }

    /// What is different in `newer`, in the order of the keys. Costs what differs, not what there is.
    pub fn differences<'a>(&'a self, newer: &'a Self) -> Differences<'a, K, V> {
        Differences {
            old: Vec::from([Step::Node(&self.root)]),
            new: Vec::from([Step::Node(&newer.root)]),
        }
    }
}

impl<K: Ord + Clone, V: Clone> SharedMap<K, V> {
    /// Sets the value of a key; returns the one before.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let root = Arc::make_mut(&mut self.root);
        let before = root.insert(key, value);
        if root.len() > MOST {
            let right = root.split();
            let bound = root.bound().clone();
            let left = core::mem::replace(root, Node::Leaf(Vec::new()));
            *root = Node::Branch(Vec::from([(bound, Arc::new(left)), right]));
        }
        self.length += usize::from(before.is_none());
        before
    }

    /// Removes a key; returns its value. A key that is not there costs no copy.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.get(key)?;
        let removed = Arc::make_mut(&mut self.root).remove(key);
        if let Node::Branch(children) = &*self.root
            && let [(_, only)] = children.as_slice()
        {
            self.root = only.clone();
        }
        self.length -= 1;
        removed
    }

    /// The value of a key, to be changed. A key that is not there costs no copy.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.get(key)?;
        let mut node = Arc::make_mut(&mut self.root);
        loop {
            match node {
                Node::Leaf(entries) => {
                    let at = place_of(entries, key).ok()?;
                    return Some(&mut entries[at].1);
                }
                Node::Branch(children) => {
                    let at = child_of(children, key);
                    node = Arc::make_mut(&mut children[at].1);
                }
            }
        }
    }
}

impl<K, V> Clone for SharedMap<K, V> {
    fn clone(&self) -> Self {
        Self { root: self.root.clone(), length: self.length }
    }
}
impl<K, V> Default for SharedMap<K, V> {
    fn default() -> Self {
        Self::new()
    }
}
impl<K: Ord, V: PartialEq> PartialEq for SharedMap<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.length == other.length && self.differences(other).next().is_none()
    }
}
impl<K: Ord, V: Eq> Eq for SharedMap<K, V> {}
impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for SharedMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self).finish()
    }
}
impl<'a, K, V> IntoIterator for &'a SharedMap<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = Iter<'a, K, V>;
    fn into_iter(self) -> Iter<'a, K, V> {
        self.iter()
    }
}
impl<K: Ord + Clone, V: Clone> Extend<(K, V)> for SharedMap<K, V> {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, entries: I) {
        entries.into_iter().for_each(|(key, value)| drop(self.insert(key, value)));
    }
}
impl<K: Ord + Clone, V: Clone> FromIterator<(K, V)> for SharedMap<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut map = Self::new();
        map.extend(entries);
        map
    }
}
impl<K: Ord + Clone, V: Clone, const N: usize> From<[(K, V); N]> for SharedMap<K, V> {
    fn from(entries: [(K, V); N]) -> Self {
        entries.into_iter().collect()
    }
}
impl<K: Serialize, V: Serialize> Serialize for SharedMap<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.length))?;
        self.iter().try_for_each(|(key, value)| map.serialize_entry(key, value))?;
        map.end()
    }
}
impl<'de, K: Ord + Clone + Deserialize<'de>, V: Clone + Deserialize<'de>> Deserialize<'de>
    for SharedMap<K, V>
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        BTreeMap::deserialize(deserializer).map(Self::from_iter)
    }
}
