use alloc::collections::BTreeSet;

use proptest::prelude::*;

use super::node::LEAST;
use super::*;

type Map = SharedMap<u16, u32>;

impl<K, V> SharedMap<K, V> {
    /// The nodes that `other` does not hold.
    pub(crate) fn nodes_beside(&self, other: &Self) -> usize {
        let held = other.nodes();
        self.nodes().difference(&held).count()
    }

    fn nodes(&self) -> BTreeSet<*const Node<K, V>> {
        let mut nodes = BTreeSet::new();
        let mut rest = Vec::from([&self.root]);
        while let Some(node) = rest.pop() {
            nodes.insert(Arc::as_ptr(node));
            if let Node::Branch(children) = &**node {
                rest.extend(children.iter().map(|(_, child)| child));
            }
        }
        nodes
    }
}

/// The rules of the tree: sizes, order, bounds, one height.
fn check_node(node: &Node<u16, u32>, is_root: bool) -> (usize, u16, u16) {
    assert!(node.len() <= MOST, "a node has {} places", node.len());
    assert!(is_root || node.len() >= LEAST, "a node has {} places", node.len());
    match node {
        Node::Leaf(entries) => {
            assert!(entries.is_sorted_by(|(a, _), (b, _)| a < b));
            (0, entries[0].0, entries[entries.len() - 1].0)
        }
        Node::Branch(children) => {
            assert!(children.len() > 1, "a branch that chooses nothing");
            let below: Vec<_> =
                children.iter().map(|(_, child)| check_node(child, false)).collect();
            for (at, (height, first, _)) in below.iter().enumerate().skip(1) {
                assert_eq!(*height, below[0].0, "children of several heights");
                let (_, _, last_before) = below[at - 1];
                assert!(last_before < children[at].0 && children[at].0 <= *first);
            }
            (below[0].0 + 1, below[0].1, below[below.len() - 1].2)
        }
    }
}

fn check(map: &Map, model: &BTreeMap<u16, u32>) {
    assert_eq!(map.len(), model.len());
    assert!(map.iter().eq(model.iter()), "the entries differ");
    if !map.is_empty() {
        check_node(&map.root, true);
    }
}

fn filled(count: u16) -> (Map, BTreeMap<u16, u32>) {
    ((0..count).map(|key| (key, 0)).collect(), (0..count).map(|key| (key, 0)).collect())
}

#[test]
fn one_change_copies_one_path() {
    let (before, _) = filled(60_000);
    let height = before.root.height() + 1;
    for key in [0, 7, 31_000, 59_999] {
        let mut after = before.clone();
        assert_eq!(after.nodes_beside(&before), 0);
        after.insert(key, 1);
        assert_eq!(after.nodes_beside(&before), height);
        assert_eq!(before.get(&key), Some(&0), "the one before stays as it was");
    }
}

#[test]
fn what_is_not_there_is_removed_without_a_copy() {
    let (before, _) = filled(1000);
    let mut after = before.clone();
    assert_eq!(after.remove(&5000), None);
    assert_eq!(after.get_mut(&5000), None);
    assert_eq!(after.nodes_beside(&before), 0);
}

#[test]
fn everything_can_be_removed_in_any_direction() {
    let orders: [fn(u16) -> u16; 3] = [|n| n, |n| 999 - n, |n| n * 7 % 1000];
    for order in orders {
        let (mut map, mut model) = filled(1000);
        for key in (0..1000).map(order) {
            assert_eq!(map.remove(&key), model.remove(&key));
            check(&map, &model);
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Insert(u16, u32),
    Change(u16, u32),
    Remove(u16),
    RemoveRange(u16, u16),
    /// From here on differences are asked for.
    Mark,
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0u16..600;
    prop_oneof![
        8 => (key.clone(), 0u32..3).prop_map(|(key, value)| Step::Insert(key, value)),
        2 => (key.clone(), 0u32..3).prop_map(|(key, value)| Step::Change(key, value)),
        4 => key.clone().prop_map(Step::Remove),
        1 => (key, 0u16..200).prop_map(|(key, count)| Step::RemoveRange(key, count)),
        1 => Just(Step::Mark),
    ]
}

/// A key that orders nothing where it has no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ordered(Option<u16>);
impl Ord for Ordered {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        self.0.expect("asked in vain").cmp(&other.0.expect("asked in vain"))
    }
}
impl PartialOrd for Ordered {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

#[test]
fn the_bound_of_a_first_child_binds_nobody() {
    let leaf = |key| Arc::new(Node::Leaf(Vec::from([(Ordered(Some(key)), key)])));
    let bounds = [None, Some(20), Some(40)].map(Ordered);
    let children: Vec<_> = bounds.into_iter().zip([10, 20, 40].map(leaf)).collect();
    let chosen = [9, 10, 19, 20, 39, 40, 41].map(|key| child_of(&children, &Ordered(Some(key))));
    assert_eq!(chosen, [0, 0, 0, 1, 1, 2, 2]);
    let branch = Node::Branch(children);
    let last = |key| branch.last_where(&|other| *other <= Ordered(Some(key))).map(|(_, at)| *at);
    assert_eq!([9, 10, 20, 39, 40].map(last), [None, Some(10), Some(20), Some(20), Some(40)]);
}

proptest! {
    #[test]
    fn it_is_a_sorted_map(
        begin in 0u16..600,
        descending: bool,
        steps in prop::collection::vec(step(), 0..300),
        asked in 0u16..620,
    ) {
        let (mut map, mut model) = filled(begin);
        if descending {
            map = (0..begin).rev().map(|key| (key, 0)).collect();
        }
        let (mut marked, mut marked_model) = (map.clone(), model.clone());
        for step in steps {
            match step {
                Step::Insert(key, value) => prop_assert_eq!(map.insert(key, value), model.insert(key, value)),
                Step::Change(key, value) => {
                    let known = map.get_mut(&key).map(|old| *old = value);
                    prop_assert_eq!(known, model.get_mut(&key).map(|old| *old = value));
                }
                Step::Remove(key) => prop_assert_eq!(map.remove(&key), model.remove(&key)),
                Step::RemoveRange(key, count) => {
                    for key in key..key + count {
                        prop_assert_eq!(map.remove(&key), model.remove(&key));
                    }
                }
                Step::Mark => (marked, marked_model) = (map.clone(), model.clone()),
            }
        }
        check(&map, &model);
        check(&marked, &marked_model);
        prop_assert_eq!(map.get(&asked), model.get(&asked));
        prop_assert!(map.iter_from(Bound::Included(&asked)).eq(model.range(asked..)));
        prop_assert!(map.iter_from(Bound::Excluded(&asked)).eq(model.range(asked + 1..)));
        prop_assert_eq!(map.last_before(&asked), model.range(..asked).next_back());
        prop_assert_eq!(map.last_up_to(&asked), model.range(..=asked).next_back());

        let keys: BTreeSet<u16> = marked_model.keys().chain(model.keys()).copied().collect();
        let changed = keys.iter().map(|key| (key, marked_model.get(key), model.get(key)));
        let expected: Vec<_> = changed.filter(|(_, old, new)| old != new).collect();
        prop_assert_eq!(marked.differences(&map).collect::<Vec<_>>(), expected);
        prop_assert_eq!(marked == map, marked_model == model);
        let bytes = postcard::to_allocvec(&map).expect("encodes");
        prop_assert_eq!(&bytes, &postcard::to_allocvec(&model).expect("encodes"), "the form of any map");
        prop_assert_eq!(postcard::from_bytes::<Map>(&bytes).expect("decodes"), map);
    }
}
