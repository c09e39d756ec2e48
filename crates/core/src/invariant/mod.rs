//! What must never happen, as checkers shared by tests, the simulation and `holdfast doctor`. One property per file;
//! the numbers are those of the safety page.
//!
//! A [`Checker`] watches any number of nodes. After each entry (or batch, or over a recorded history) it is shown
//! what a node brought about, and says which property is broken, if one is. What it is shown is what the node
//! publishes, so it can run beside a live cluster as well as inside a test.
//!
//! It decides nothing and trusts nothing: where a rule can be counted again from what was published, it is, and not
//! by the code that counted it first. It keeps what it has seen, so it is for histories that end.

mod agreement;
mod budget;
mod chain;
mod evidence;
mod never_empty;
mod one_selection;
mod progress;
mod served;
#[cfg(test)]
mod tests;

pub use agreement::Agreement;
pub use budget::Budget;
pub use chain::check_chain;
pub use evidence::Evidence;
pub use never_empty::check_never_empty;
pub use one_selection::OneSelection;
pub use progress::Progress;
pub use served::{Observed, Served};

use alloc::collections::BTreeMap;
use alloc::string::String;
use core::fmt;

use crate::audit::{Hash, Head, Record};
use crate::id::AgentId;
use crate::view::View;

/// A property of the safety page that a checker here holds the cluster to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Property {
    /// Per service and epoch there is one selection, over all nodes and all time.
    S1,
    /// A node's index, epochs and generation never decrease.
    S2,
    /// Every automatic decision carries valid evidence.
    S3,
    /// Each DNS answer equals a committed epoch, and a server's answers never go back.
    S4,
    /// A registered name is never empty and never unknown.
    S8,
    /// Automatic moves per window stay within the budget.
    S9,
    /// Equal index, equal state.
    S13,
    /// The audit chain verifies.
    S14,
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A property that does not hold, and what shows it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{property} does not hold: {what}")]
pub struct Violation {
    /// The property.
    pub property: Property,
    /// What shows it, for people.
    pub what: String,
}

fn broken(property: Property, what: impl Into<String>) -> Violation {
    Violation { property, what: what.into() }
}

/// What a node brought about: its view after an entry or a batch, and the records that this added to the chain.
#[derive(Debug, Clone, Copy)]
pub struct Witness<'a> {
    /// The node.
    pub node: AgentId,
    /// Its view.
    pub view: &'a View,
    /// The records, in order.
    pub records: &'a [Record],
    /// The hash of its state, where it was computed.
    pub hash: Option<Hash>,
}

/// Holds any number of nodes to every property.
#[derive(Debug, Default)]
pub struct Checker {
    one_selection: OneSelection,
    served: Served,
    agreement: Agreement,
    nodes: BTreeMap<AgentId, Node>,
}

/// What is kept of one node.
#[derive(Debug, Default)]
struct Node {
    progress: Progress,
    evidence: Evidence,
    budget: Budget,
    /// Where its chain stands; `None` before its first record, and after it was restored.
    head: Option<Head>,
}

impl Checker {
    /// A checker that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes note of what a node brought about. Errors: the first property that does not hold.
    pub fn check(&mut self, witness: &Witness<'_>) -> Result<(), Violation> {
        let Witness { view, records, .. } = witness;
        let node = self.nodes.entry(witness.node).or_default();
        node.head = match (node.head, records.first()) {
            (Some(head), _) => Some(check_chain(head, records)?),
            (None, Some(first)) => {
                let before =
                    Head { length: first.sequence.saturating_sub(1), hash: first.previous };
                Some(check_chain(before, records)?)
            }
            (None, None) => None,
        };
        chain::check_ends_at(node.head, view)?;
        node.progress.check(view)?;
        node.evidence.check(view, records)?;
        node.budget.check(view, records)?;
        self.one_selection.check(view, records)?;
        check_never_empty(view)?;
        self.served.commit(witness.node, view);
        match witness.hash {
            Some(hash) => self.agreement.check(witness.node, view, hash),
            None => Ok(()),
        }
    }

    /// Takes note of an answer that a server gave. Errors: it equals no committed epoch, or an older one than this
    /// server has answered before.
    pub fn check_answer(&mut self, observed: &Observed) -> Result<(), Violation> {
        self.served.check(observed)
    }

    /// Takes note that a node was restored from a snapshot or started anew: its chain and its evidence are picked
    /// up where it stands. Its progress, and what it has answered, are still held against it.
    pub fn restored(&mut self, node: AgentId) {
        if let Some(known) = self.nodes.get_mut(&node) {
            let progress = core::mem::take(&mut known.progress);
            *known = Node { progress, ..Node::default() };
        }
    }
}
