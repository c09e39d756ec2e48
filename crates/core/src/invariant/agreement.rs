//! S13: equal applied index means equal state hash and equal audit head, over all replicas.
//!
//! Source: the safety page; the architecture page, "equal logs give equal state on every node and version".

use alloc::collections::BTreeMap;
use alloc::format;

use super::{Property, Violation, broken};
use crate::audit::{Hash, Head};
use crate::id::{AgentId, GroupId};
use crate::view::View;

/// A group, its generation and an index in its log.
type Place = (GroupId, u64, u64);
/// Who stood there first, and how.
type Stood = (AgentId, Hash, Option<Head>);

/// The states seen so far, by group, generation and index.
#[derive(Debug, Default)]
pub struct Agreement {
    seen: BTreeMap<Place, Stood>,
}

impl Agreement {
    /// For how many indexes states are remembered; the lowest are forgotten first.
    pub const KEPT: usize = 100_000;

    /// Takes note of a node's state. Errors: another node had another one at this index.
    pub fn check(&mut self, node: AgentId, view: &View, hash: Hash) -> Result<(), Violation> {
        let key = (view.answers.group, view.answers.generation, view.answers.index);
        let (first, known, head) = *self.seen.entry(key).or_insert((node, hash, view.audit));
        if self.seen.len() > Self::KEPT {
            self.seen.pop_first();
        }
        if known == hash && head == view.audit {
            return Ok(());
        }
        let what =
            format!("agents {first} and {node} differ at index {}: {known} and {hash}", key.2);
        Err(broken(Property::S13, what))
    }
}
