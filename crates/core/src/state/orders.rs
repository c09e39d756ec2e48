//! Where the overrides in force are found: by service, and by expiry. Derived from the snapshot's overrides, so that
//! no entry has to look through all of them.

use alloc::collections::BTreeSet;

use super::{Snapshot, State};
use crate::id::{OverrideId, ServiceId};
use crate::overrides::Override;
use crate::time::Timestamp;

/// The overrides in force, by service and by expiry.
#[derive(Debug, Clone, Default)]
pub(super) struct OrderIndex {
    by_service: BTreeSet<(ServiceId, OverrideId)>,
    by_expiry: BTreeSet<(Timestamp, OverrideId)>,
}

impl OrderIndex {
    pub(super) fn of(data: &Snapshot) -> Self {
        let mut index = Self::default();
        data.overrides.values().for_each(|order| index.insert(order));
        index
    }

    /// The override that expires next.
    pub(super) fn first(&self) -> Option<(Timestamp, OverrideId)> {
        self.by_expiry.first().copied()
    }

    fn insert(&mut self, order: &Override) {
        self.by_service.insert((order.service.clone(), order.id));
        self.by_expiry.insert((order.expires_at, order.id));
    }

    fn remove(&mut self, order: &Override) {
        self.by_service.remove(&(order.service.clone(), order.id));
        self.by_expiry.remove(&(order.expires_at, order.id));
    }
}

impl State {
    /// The orders on a service, in the order in which they were set.
    pub(super) fn orders_of(&self, id: &ServiceId) -> impl Iterator<Item = &Override> {
        let ids = (id.clone(), OverrideId(0))..=(id.clone(), OverrideId(u64::MAX));
        self.orders.by_service.range(ids).filter_map(|(_, order)| self.data.overrides.get(order))
    }

    pub(super) fn add_order(&mut self, order: Override) {
        self.orders.insert(&order);
        self.published.mark_orders();
        self.data.overrides.insert(order.id, order);
    }

    pub(super) fn remove_order(&mut self, id: OverrideId) -> Option<Override> {
        let order = self.data.overrides.remove(&id)?;
        self.orders.remove(&order);
        self.published.mark_orders();
        Some(order)
    }
}
