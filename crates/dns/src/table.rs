//! The names of a view in wire form, for answers that need no more than a look or two.
//!
//! ```text
//! name ─▶ shard ─▶ Node (addresses │ no data │ failure │ "ask the handler")      hash maps, keys random per process
//!   └── not there: its parents, from the deepest level that any name has ─▶ zone ─▶ SOA
//! ```
//!
//! A table is made from the one before by what differs between their views: it touches the names that changed and
//! their parents, and shares all other shards. Names in wire form keep labels of any bytes apart.
//!
//! Invariant: the table holds exactly the names that `holdfast_core::answer` calls existing within the view's zones:
//! those with data, the apexes, and those above names with data.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, OnceLock};

use holdfast_core::DnsName;
use holdfast_core::answer;
use holdfast_core::view::Answers;

use crate::compiled::{Node, Zone, labels, wire_of};

type Shard = HashMap<Arc<[u8]>, Arc<Node>, RandomState>;

/// How many parts the names are in; the parts that change are copied.
const SHARDS: usize = 1024;

/// The compiled names of one view.
#[derive(Debug)]
pub(crate) struct Table {
    zones: Vec<Arc<Zone>>,
    shards: Vec<Arc<Shard>>,
    /// Labels of the deepest name.
    depth: usize,
}

/// Where a name is that a question asks for.
#[derive(Debug)]
pub(crate) enum Found<'a> {
    Node(&'a Node),
    /// It does not exist in this zone, and no wildcard stands in for it.
    Missing(usize),
    /// A wildcard may stand in for it.
    Wildcard,
    /// It is in no zone.
    Outside,
}

fn random() -> &'static RandomState {
    static RANDOM: OnceLock<RandomState> = OnceLock::new();
    RANDOM.get_or_init(RandomState::new)
}

fn shard_of(name: &[u8]) -> usize {
    // The map within takes the same hash's other bits.
    (random().hash_one(name) >> 20) as usize % SHARDS
}

impl Table {
    /// Makes the table of a view from the view and table before.
    pub(crate) fn of(before: Option<(&Answers, &Self)>, answers: &Answers) -> Self {
        match before.filter(|(before, _)| before.zones.keys().eq(answers.zones.keys())) {
            Some((before, table)) => table.next(before, answers),
            None => Self::whole(answers),
        }
    }

    fn whole(answers: &Answers) -> Self {
        let zones = answers.zones.values().map(|zone| Zone::compile(zone, None)).collect();
        let empty = Arc::new(Shard::with_hasher(random().clone()));
        let mut table = Self { zones, shards: vec![empty; SHARDS], depth: 0 };
        for name in answers.zones.keys().chain(answers.names.keys()) {
            table.put(answers, name);
        }
        table
    }

    fn next(&self, before: &Answers, answers: &Answers) -> Self {
        let pairs = answers.zones.values().zip(&self.zones);
        let zones = pairs.map(|(zone, before)| Zone::compile(zone, Some(before))).collect();
        let mut next = Self { zones, shards: self.shards.clone(), depth: self.depth };
        for (name, _, now) in before.names.differences(&answers.names) {
            match now {
                Some(_) => next.put(answers, name),
                None => next.withdraw(answers, name),
            }
        }
        next
    }

    /// Puts a name in, or in anew, and those above it that are not there yet.
    fn put(&mut self, answers: &Answers, name: &DnsName) {
        let Some(zone) = self.zone_number(answers, name) else { return };
        let wire = wire_of(name);
        self.depth = self.depth.max(labels(&wire).count());
        self.set(&wire, Node::compile(answers, name, zone));
        if !answers.names.contains_key(name) {
            return;
        }
        let mut above = name.parent();
        while let Some(parent) = above {
            let Some(zone) = self.zone_number(answers, &parent) else { return };
            let wire = wire_of(&parent);
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
            let wire = wire_of(&here);
            let below = answer::has_data_within(answers, &here);
            if !below && !answers.zones.contains_key(&here) {
                Arc::make_mut(&mut self.shards[shard_of(&wire)]).remove(&wire[..]);
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
        Arc::make_mut(&mut self.shards[shard_of(wire)]).insert(wire.into(), Arc::new(node));
    }

    fn zone_number(&self, answers: &Answers, name: &DnsName) -> Option<usize> {
        let apex = &answer::zone_of(answers, name)?.zone.name;
        self.zones.binary_search_by(|zone| zone.name().cmp(apex)).ok()
    }

    fn node(&self, name: &[u8]) -> Option<&Node> {
        self.shards[shard_of(name)].get(name).map(|node| &**node)
    }

    /// The zone of a number.
    pub(crate) fn zone(&self, number: usize) -> &Zone {
        &self.zones[number]
    }

    /// Finds a name in wire form and lower case. Writes into it for a while, and leaves it as it was.
    pub(crate) fn find(&self, name: &mut [u8]) -> Found<'_> {
        if let Some(node) = self.node(name) {
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
                return if wild { Found::Wildcard } else { Found::Missing(node.zone) };
            }
        }
        Found::Outside
    }
}

#[cfg(test)]
mod tests;
