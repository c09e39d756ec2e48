//! The nodes of a shared map: places kept in order, split where there are too many and joined where there are few.

use alloc::sync::Arc;
use alloc::vec::Vec;

/// Places of a node at the most.
pub(super) const MOST: usize = 32;
/// Places of a node other than the root at the least.
pub(super) const LEAST: usize = MOST / 4;

#[derive(Clone)]
pub(super) enum Node<K, V> {
    Leaf(Vec<(K, V)>),
    Branch(Vec<(K, Child<K, V>)>),
}

pub(super) type Child<K, V> = Arc<Node<K, V>>;

impl<K, V> Node<K, V> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Leaf(entries) => entries.len(),
            Self::Branch(children) => children.len(),
        }
    }

    pub(super) fn height(&self) -> usize {
        match self {
            Self::Leaf(_) => 0,
            Self::Branch(children) => 1 + children[0].1.height(),
        }
    }

    /// A lower bound of the keys, but for what lies under the first child of each branch.
    pub(super) fn bound(&self) -> &K {
        match self {
            Self::Leaf(entries) => &entries[0].0,
            Self::Branch(children) => &children[0].0,
        }
    }

    /// The last entry whose key passes; `passes` must hold for the keys up to some place.
    pub(super) fn last_where(&self, passes: &impl Fn(&K) -> bool) -> Option<(&K, &V)> {
        match self {
            Self::Leaf(entries) => {
                let end = entries.partition_point(|(key, _)| passes(key));
                entries[..end].last().map(|(key, value)| (key, value))
            }
            Self::Branch(children) => {
                let at = child_where(children, passes);
                // The bound may pass and the first key behind it not: then it is the last entry of the child before.
                children[..=at].iter().rev().find_map(|(_, child)| child.last_where(passes))
            }
        }
    }
}

impl<K: Ord + Clone, V: Clone> Node<K, V> {
    pub(super) fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self {
            Self::Leaf(entries) => match place_of(entries, &key) {
                Ok(at) => Some(core::mem::replace(&mut entries[at].1, value)),
                Err(at) => {
                    entries.insert(at, (key, value));
                    None
                }
            },
            Self::Branch(children) => {
                let at = child_of(children, &key);
                let before = Arc::make_mut(&mut children[at].1).insert(key, value);
                split_where_full(children, at);
                before
            }
        }
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        match self {
            Self::Leaf(entries) => {
                let at = place_of(entries, key).ok()?;
                Some(entries.remove(at).1)
            }
            Self::Branch(children) => {
                let at = child_of(children, key);
                let removed = Arc::make_mut(&mut children[at].1).remove(key);
                join_where_sparse(children, at);
                removed
            }
        }
    }

    /// Takes what is behind the middle, with a lower bound of its keys.
    pub(super) fn split(&mut self) -> (K, Child<K, V>) {
        let middle = self.len() / 2;
        let right = match self {
            Self::Leaf(entries) => Self::Leaf(entries.split_off(middle)),
            Self::Branch(children) => Self::Branch(children.split_off(middle)),
        };
        (right.bound().clone(), Arc::new(right))
    }

    /// Takes over the places of the node to the right, all of whose keys `bound` bounds.
    fn append(&mut self, bound: K, right: Self) {
        match (self, right) {
            (Self::Leaf(entries), Self::Leaf(more)) => entries.extend(more),
            (Self::Branch(children), Self::Branch(mut more)) => {
                more[0].0 = bound;
                children.extend(more);
            }
            (Self::Leaf(_), Self::Branch(_)) | (Self::Branch(_), Self::Leaf(_)) => {
                unreachable!("children of one branch have one height")
            }
        }
    }
}

pub(super) fn place_of<K: Ord, V>(entries: &[(K, V)], key: &K) -> Result<usize, usize> {
    entries.binary_search_by(|(other, _)| other.cmp(key))
}

pub(super) fn child_of<K: Ord, V>(children: &[(K, Child<K, V>)], key: &K) -> usize {
    child_where(children, &|bound| bound <= key)
}

/// The last child whose bound passes. That of the first is not asked: smaller keys may have come in since.
fn child_where<K, V>(children: &[(K, Child<K, V>)], passes: &impl Fn(&K) -> bool) -> usize {
    children[1..].partition_point(|(bound, _)| passes(bound))
}

fn split_where_full<K: Ord + Clone, V: Clone>(children: &mut Vec<(K, Child<K, V>)>, at: usize) {
    if children[at].1.len() > MOST {
        let right = Arc::make_mut(&mut children[at].1).split();
        children.insert(at + 1, right);
    }
}

fn join_where_sparse<K: Ord + Clone, V: Clone>(children: &mut Vec<(K, Child<K, V>)>, at: usize) {
    if children[at].1.len() < LEAST && children.len() > 1 {
        let left = at.saturating_sub(1);
        let (bound, right) = children.remove(left + 1);
        Arc::make_mut(&mut children[left].1).append(bound, Arc::unwrap_or_clone(right));
        split_where_full(children, left);
    }
}
