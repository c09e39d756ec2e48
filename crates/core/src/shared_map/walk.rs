//! Walks over a shared map: its entries in order, and what differs from another one.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::fmt;
use core::slice;

use super::node::{Child, Node};

/// A key whose value differs between two maps: its value before and after, `None` where it has none.
pub type Difference<'a, K, V> = (&'a K, Option<&'a V>, Option<&'a V>);

/// The entries of a map in order.
pub struct Iter<'a, K, V> {
    pub(super) branches: Vec<slice::Iter<'a, (K, Child<K, V>)>>,
    pub(super) leaf: slice::Iter<'a, (K, V)>,
}

impl<'a, K, V> Iter<'a, K, V> {
    /// Goes down to a leaf, by the child and to the entry that are chosen.
    pub(super) fn descend(
        &mut self,
        mut node: &'a Node<K, V>,
        child: impl Fn(&[(K, Child<K, V>)]) -> usize,
        entry: impl Fn(&[(K, V)]) -> usize,
    ) {
        loop {
            match node {
                Node::Leaf(entries) => {
                    self.leaf = entries[entry(entries)..].iter();
                    return;
                }
                Node::Branch(children) => {
                    let at = child(children);
                    self.branches.push(children[at + 1..].iter());
                    node = &children[at].1;
                }
            }
        }
    }
}

impl<'a, K, V> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((key, value)) = self.leaf.next() {
                return Some((key, value));
            }
            let next = loop {
                match self.branches.last_mut()?.next() {
                    Some((_, child)) => break child,
                    None => drop(self.branches.pop()),
                }
            };
            self.descend(next, |_| 0, |_| 0);
        }
    }
}

/// What is different between two maps.
pub struct Differences<'a, K, V> {
    pub(super) old: Vec<Step<'a, K, V>>,
    pub(super) new: Vec<Step<'a, K, V>>,
}

/// What is yet to be compared, the next last.
pub(super) enum Step<'a, K, V> {
    Node(&'a Child<K, V>),
    Entry(&'a K, &'a V),
}

/// Puts the content of the next node in its place.
fn open<'a, K, V>(steps: &mut Vec<Step<'a, K, V>>) {
    if let Some(Step::Node(node)) = steps.pop() {
        match &**node {
            Node::Leaf(entries) => {
                steps.extend(entries.iter().rev().map(|(key, value)| Step::Entry(key, value)));
            }
            Node::Branch(children) => {
                steps.extend(children.iter().rev().map(|(_, child)| Step::Node(child)));
            }
        }
    }
}

impl<'a, K: Ord, V: PartialEq> Differences<'a, K, V> {
    /// Skips the next nodes where they are one, and opens the higher one where they are two.
    fn open_nodes(&mut self) {
        let (old, new) = match (self.old.last(), self.new.last()) {
            (Some(Step::Node(old)), Some(Step::Node(new))) => {
                if Arc::ptr_eq(old, new) {
                    self.old.pop();
                    self.new.pop();
                    return;
                }
                let order = old.height().cmp(&new.height());
                (order != Ordering::Less, order != Ordering::Greater)
            }
            (old, new) => (matches!(old, Some(Step::Node(_))), matches!(new, Some(Step::Node(_)))),
        };
        if old {
            open(&mut self.old);
        }
        if new {
            open(&mut self.new);
        }
    }
}

impl<'a, K: Ord, V: PartialEq> Iterator for Differences<'a, K, V> {
    type Item = Difference<'a, K, V>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let order = match (self.old.last(), self.new.last()) {
                (None, None) => return None,
                (Some(Step::Node(_)), _) | (_, Some(Step::Node(_))) => {
                    self.open_nodes();
                    continue;
                }
                (Some(Step::Entry(..)), None) => Ordering::Less,
                (None, Some(Step::Entry(..))) => Ordering::Greater,
                (Some(Step::Entry(old, _)), Some(Step::Entry(new, _))) => old.cmp(new),
            };
            let old = if order == Ordering::Greater { None } else { self.old.pop() };
            let new = if order == Ordering::Less { None } else { self.new.pop() };
            match (old, new) {
                (Some(Step::Entry(key, old)), Some(Step::Entry(_, new))) if old != new => {
                    return Some((key, Some(old), Some(new)));
                }
                (Some(Step::Entry(key, old)), None) => return Some((key, Some(old), None)),
                (None, Some(Step::Entry(key, new))) => return Some((key, None, Some(new))),
                _ => {}
            }
        }
    }
}

impl<K, V> fmt::Debug for Iter<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iter").finish_non_exhaustive()
    }
}
impl<K, V> fmt::Debug for Differences<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Differences").finish_non_exhaustive()
    }
}
