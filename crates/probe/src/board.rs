//! The schedule as data: which targets there are, derived from a view, and which is due next.
//!
//! A target whose declaration asks the same question of the same place keeps its sampler; any other change makes it
//! a new target without an opinion. A waiting target stands in the queue once, a running one not at all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use holdfast_core::observation::Target;
use holdfast_core::spec::{Check, CheckKind, Endpoint, Service};
use holdfast_core::view::ServiceStatus;
use holdfast_core::{AgentName, ServiceId, SharedMap};
use tokio::time::Instant;

use crate::rhythm::{Rhythm, seed};
use crate::slot::Slot;

/// Number of a target on the schedule; never used again, so that a late sample of a former target finds nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SlotId(pub(crate) u64);

/// What a new view changed.
#[derive(Debug)]
pub(crate) enum Change {
    Added(SlotId),
    Retuned(SlotId),
    Removed(SlotId, Box<Slot>),
}

/// The services of a view.
pub(crate) type Services = SharedMap<ServiceId, Arc<ServiceStatus>>;

/// The targets and their order.
#[derive(Debug)]
pub(crate) struct Board {
    agent: AgentName,
    origin: Instant,
    max_targets: usize,
    slots: BTreeMap<SlotId, Slot>,
    ids: BTreeMap<Target, SlotId>,
    queue: BTreeSet<(Instant, SlotId)>,
    services: Services,
    refused: BTreeMap<ServiceId, usize>,
    next_id: u64,
    longest_interval: Duration,
}

impl Board {
    pub(crate) fn new(agent: AgentName, max_targets: usize) -> Self {
        Self {
            agent,
            origin: Instant::now(),
            max_targets,
            slots: BTreeMap::new(),
            ids: BTreeMap::new(),
            queue: BTreeSet::new(),
            services: Services::new(),
            refused: BTreeMap::new(),
            next_id: 0,
            longest_interval: Duration::ZERO,
        }
    }

    /// Makes the targets those of `services`. Costs what differs from the last ones.
    pub(crate) fn reconcile(&mut self, services: &Services) -> Vec<Change> {
        let mut changes = Vec::new();
        let known = std::mem::replace(&mut self.services, services.clone());
        let spec = |status: Option<&Arc<ServiceStatus>>| status.map(|status| status.spec.clone());
        let differences = known.differences(services);
        let differences = differences.map(|(id, old, new)| (id, spec(old), spec(new)));
        let (gone, renewed): (Vec<_>, Vec<_>) =
            differences.filter(|(_, old, new)| old != new).partition(|(_, _, new)| new.is_none());
        for (id, old, _) in gone {
            self.refused.remove(id);
            let targets = old.iter().flat_map(|spec| targets_of(spec).into_keys());
            targets.for_each(|target| self.remove(&target, &mut changes));
        }
        for (id, old, new) in renewed {
            let Some(spec) = new else { continue };
            self.renew(id, old.as_deref(), &spec, &mut changes);
        }
        self.retry_refused(&mut changes);
        if !changes.is_empty() {
            self.longest_interval =
                self.slots.values().map(Slot::interval).max().unwrap_or_default();
        }
        changes
    }

    /// Gives the targets that found no room what room there is.
    fn retry_refused(&mut self, changes: &mut Vec<Change>) {
        if self.slots.len() >= self.max_targets {
            return;
        }
        let refused: Vec<ServiceId> = self.refused.keys().cloned().collect();
        for id in refused {
            let spec = self.services.get(&id).expect("what is gone is not refused").spec.clone();
            self.renew(&id, None, &spec, changes);
        }
    }

    fn renew(
        &mut self,
        id: &ServiceId,
        old: Option<&Service>,
        spec: &Service,
        changes: &mut Vec<Change>,
    ) {
        let wanted = targets_of(spec);
        if let Some(old) = old {
            for target in targets_of(old).keys().filter(|target| !wanted.contains_key(*target)) {
                self.remove(target, changes);
            }
        }
        let mut refused = 0;
        for (target, (endpoint, check)) in wanted {
            if !self.place(target.clone(), endpoint, check, changes) {
                refused += 1;
            } else if let Some(slot) = self.ids.get(&target).and_then(|id| self.slots.get_mut(id)) {
                slot.measured = spec.policy.asks_for_latency();
            }
        }
        if refused == 0 {
            self.refused.remove(id);
        } else if self.refused.insert(id.clone(), refused).is_none() {
            let limit = self.max_targets;
            tracing::warn!(service = %id, refused, limit, "too many targets: some are not probed; raise probe.max_targets");
        }
    }

    /// Adds or changes one target. Says whether there is room for it.
    fn place(
        &mut self,
        target: Target,
        endpoint: Endpoint,
        check: Check,
        changes: &mut Vec<Change>,
    ) -> bool {
        if let Some(&id) = self.ids.get(&target) {
            let slot = self.slots.get_mut(&id).expect("ids and slots hold the same");
            if slot.asks_the_same(&endpoint, &check) {
                if slot.retune(endpoint, check) {
                    self.requeue(id, |slot| slot.reschedule(Instant::now()));
                    changes.push(Change::Retuned(id));
                }
                return true;
            }
            self.remove(&target, changes);
        }
        if self.slots.len() >= self.max_targets {
            return false;
        }
        let id = SlotId(self.next_id);
        self.next_id += 1;
        let rhythm = Rhythm::new(self.origin, seed(&target, &self.agent), check.interval);
        let slot = Slot::new(target.clone(), endpoint, check, rhythm);
        self.queue.insert((slot.due, id));
        self.ids.insert(target, id);
        self.slots.insert(id, slot);
        changes.push(Change::Added(id));
        true
    }

    fn remove(&mut self, target: &Target, changes: &mut Vec<Change>) {
        let Some(id) = self.ids.remove(target) else { return };
        let slot = self.slots.remove(&id).expect("ids and slots hold the same");
        self.queue.remove(&(slot.due, id));
        changes.push(Change::Removed(id, Box::new(slot)));
    }

    /// Changes a slot and, unless a probe of it runs, puts it where it then belongs in the queue.
    pub(crate) fn requeue(&mut self, id: SlotId, change: impl FnOnce(&mut Slot)) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        let before = slot.due;
        if slot.running {
            change(slot);
            slot.due = before;
        } else {
            self.queue.remove(&(before, id));
            change(slot);
            self.queue.insert((slot.due, id));
        }
    }

    /// When the next target is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.queue.first().map(|(due, _)| *due)
    }

    /// Takes the next target that is due by `now` out of the queue, as running.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<(SlotId, &Slot)> {
        let &(due, id) = self.queue.first()?;
        if due > now {
            return None;
        }
        self.queue.pop_first();
        let slot = self.slots.get_mut(&id).expect("what is queued has a slot");
        slot.running = true;
        Some((id, slot))
    }

    /// Puts a target whose probe has ended back into the queue.
    pub(crate) fn put_back(&mut self, id: SlotId) {
        if let Some(slot) = self.slots.get(&id) {
            self.queue.insert((slot.due, id));
        }
    }

    pub(crate) fn id_of(&self, target: &Target) -> Option<SlotId> {
        self.ids.get(target).copied()
    }

    pub(crate) fn slot(&self, id: SlotId) -> Option<&Slot> {
        self.slots.get(&id)
    }

    pub(crate) fn slot_mut(&mut self, id: SlotId) -> Option<&mut Slot> {
        self.slots.get_mut(&id)
    }

    pub(crate) fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.slots.values()
    }

    pub(crate) fn longest_interval(&self) -> Duration {
        self.longest_interval
    }

    /// How many targets are probed, and how many are not for lack of room.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.slots.len(), self.refused.values().sum())
    }
}

/// Every endpoint under every check that is probed.
fn targets_of(service: &Service) -> BTreeMap<Target, (Endpoint, Check)> {
    let probed = |check: &&Check| !matches!(check.kind, CheckKind::Heartbeat(_));
    let of = |endpoint: &Endpoint, check: &Check| Target {
        service: service.id.clone(),
        endpoint: endpoint.name.clone(),
        check: check.name.clone(),
    };
    service
        .endpoints()
        .flat_map(|(_, endpoint)| {
            service
                .checks
                .iter()
                .filter(probed)
                .map(move |check| (of(endpoint, check), (endpoint.clone(), check.clone())))
        })
        .collect()
}
