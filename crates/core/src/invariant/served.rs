//! S4: each DNS answer equals a committed epoch that its server had applied, and a server's answers never go back.
//!
//! Source: the safety page, "answer divergence": agents may differ for a moment, but each only ever shows what was
//! decided, in the order in which it was decided. An answer from outside does not say its epoch, so an answer stands
//! for the oldest epoch not before the server's last that it can stem from; if that fails, every choice fails.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;

use super::{Property, Violation, broken};
use crate::decision::Selection;
use crate::id::{AgentId, Epoch, ServiceId};
use crate::spec::Address;
use crate::view::View;

/// An answer to a query for a service's name, as a client saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// Who answered.
    pub server: AgentId,
    /// The service whose name was asked for.
    pub service: ServiceId,
    /// What was answered; empty with `refused`, and for a family that the service does not have.
    pub addresses: Vec<Address>,
    /// Whether it was SERVFAIL.
    pub refused: bool,
}

/// What was committed, and how far each server's answers have come.
#[derive(Debug, Default)]
pub struct Served {
    committed: BTreeMap<ServiceId, BTreeMap<Epoch, Selection>>,
    applied: BTreeMap<(AgentId, ServiceId), Epoch>,
    answered: BTreeMap<(AgentId, ServiceId), Epoch>,
}

impl Served {
    /// Takes note of what a node has applied.
    pub fn commit(&mut self, node: AgentId, view: &View) {
        for (id, status) in view.services.iter() {
            let epochs = self.committed.entry(id.clone()).or_default();
            epochs.entry(status.epoch).or_insert_with(|| status.selection.clone());
            self.applied.insert((node, id.clone()), status.epoch);
        }
    }

    /// Takes note of an answer. Errors: it stems from no epoch that its server may show.
    pub fn check(&mut self, observed: &Observed) -> Result<(), Violation> {
        let key = (observed.server, observed.service.clone());
        let from = self.answered.get(&key).copied().unwrap_or(Epoch(0));
        let to = self.applied.get(&key).copied().unwrap_or(Epoch(u64::MAX));
        let epochs = self.committed.get(&observed.service);
        let mut open = epochs.into_iter().flat_map(|epochs| epochs.range(from..=to.max(from)));
        match open.find(|(_, selection)| stems_from(observed, selection)) {
            Some((epoch, _)) => {
                self.answered.insert(key, *epoch);
                Ok(())
            }
            None => Err(broken(
                Property::S4,
                format!("{observed:?} is no committed selection from epoch {from} to {to}"),
            )),
        }
    }
}

/// Whether an answer shows this selection: of a failover service all of one family, else a part of it.
fn stems_from(observed: &Observed, selection: &Selection) -> bool {
    if observed.refused || selection.refused {
        return observed.refused && selection.refused;
    }
    let served = |address: &Address| selection.served.iter().any(|one| one.address == *address);
    if !observed.addresses.iter().all(served) {
        return false;
    }
    let Some(first) = observed.addresses.first() else { return selection.served.is_empty() };
    let of_family = |address: &Address| family(address) == family(first);
    let all = selection.served.iter().map(|one| &one.address).filter(|address| of_family(address));
    let whole = selection.active.is_some() && !matches!(first, Address::Name(_));
    !whole || all.into_iter().all(|address| observed.addresses.contains(address))
}

fn family(address: &Address) -> u8 {
    match address {
        Address::Ip(core::net::IpAddr::V4(_)) => 4,
        Address::Ip(core::net::IpAddr::V6(_)) => 6,
        Address::Name(_) => 0,
    }
}
