//! The replicated state and its only writer.
//!
//! ```text
//! apply(index, entry):  replayed? ─▶ what fell due ─▶ one command ─▶ decide for what it touched ─▶ audit records
//! ```
//!
//! `apply` is total: whatever the entry says, it returns an outcome, and a bad command leaves nothing behind but a
//! replicated rejection. Decisions are taken here, inside the log's order, so that every replica has taken the same
//! ones, a new leader holds all evidence at once, and a recorded log can be replayed to explain any of them.
//!
//! The data is a [`Snapshot`]; beside it stand only indexes that can be derived from it.

mod apply;
mod evaluate;
mod judge;
mod keys;
mod led_away;
mod orders;
mod publish;
mod replies;
mod snapshot;
mod ttl;
mod zone_records;

pub use apply::Declared;
pub use publish::dead_aliases;
pub use snapshot::{
    AgentState, CheckState, EndpointState, OpinionState, ServiceState, Snapshot, ZoneState,
};
pub use zone_records::Dynamic;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::audit::{Content, Hash, Head, Record};
use crate::command::{Actor, ActorKind, Command, Entry, Outcome, Rejection, Reply};
use crate::event::{Event, Happening};
use crate::id::{GroupId, ServiceId};
use crate::name::DnsName;
use crate::time::Timestamp;
use crate::view::View;
use led_away::LedAway;
use orders::OrderIndex;
use publish::Published;
pub(crate) use publish::service_sets;
use zone_records::ZoneRecords;

/// What an entry brought about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The answer to whoever asked.
    pub outcome: Outcome,
    /// The records that it added to the audit chain, in order.
    pub records: Vec<Record>,
}

/// The next moment at which something falls due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deadline {
    /// When.
    pub at: Timestamp,
    /// What.
    pub reason: &'static str,
}

/// What a DNS name belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Owner {
    Service(ServiceId),
    Zone(DnsName),
}

/// The replicated state.
#[derive(Debug, Clone)]
pub struct State {
    data: Snapshot,
    /// Who owns each DNS name.
    names: BTreeMap<DnsName, Owner>,
    /// Where the records of each name of a zone are.
    records: ZoneRecords,
    led_away: LedAway,
    /// When each service has something due.
    due: BTreeSet<(Timestamp, ServiceId)>,
    /// When each zone's newest key may be told to the parent.
    key_dues: BTreeSet<(Timestamp, DnsName)>,
    orders: OrderIndex,
    published: Published,
}

/// The entry at work: what it is, and what it has brought about so far.
struct Work<'a> {
    index: u64,
    entry: &'a Entry,
    happenings: Vec<(By, Happening)>,
    touched: BTreeMap<ServiceId, Touch>,
}

/// Who a happening is put down to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    /// Whoever sent the entry.
    Sender,
    /// The group itself.
    Group,
}

/// What touched a service; the strongest counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Touch {
    /// Time, or opinions.
    Observed,
    /// An order began or ended.
    Ordered,
    /// Its declaration changed.
    Declared,
}

impl Work<'_> {
    fn say(&mut self, service: Option<&ServiceId>, event: Event) {
        self.happenings.push((By::Sender, Happening { service: service.cloned(), event }));
    }

    fn say_of_itself(&mut self, service: Option<&ServiceId>, event: Event) {
        self.happenings.push((By::Group, Happening { service: service.cloned(), event }));
    }

    fn touch(&mut self, service: &ServiceId, touch: Touch) {
        let entry = self.touched.entry(service.clone()).or_insert(touch);
        *entry = touch.max(*entry);
    }
}

impl State {
    /// The state before the first entry.
    pub fn new(group: GroupId) -> Self {
        Self::restore(Snapshot::empty(group))
    }

    /// The state that a snapshot holds.
    pub fn restore(snapshot: Snapshot) -> Self {
        let mut state = Self {
            data: snapshot,
            names: BTreeMap::new(),
            records: ZoneRecords::default(),
            led_away: LedAway::default(),
            due: BTreeSet::new(),
            key_dues: BTreeSet::new(),
            orders: OrderIndex::default(),
            published: Published::default(),
        };
        state.index_names();
        state.records = ZoneRecords::of(&state.data);
        state.led_away = LedAway::of(&state.data);
        state.orders = OrderIndex::of(&state.data);
        state.due = state
            .data
            .services
            .iter()
            .filter_map(|(id, service)| Some((evaluate::due(service)?, id.clone())))
            .collect();
        state.key_dues = keys::key_dues(&state.data);
        state.published.mark_all(&state.data);
        state
    }

    /// Everything replicated, as plain data.
    pub fn snapshot(&self) -> &Snapshot {
        &self.data
    }

    /// The last applied index.
    pub fn index(&self) -> u64 {
        self.data.index
    }

    /// SHA-256 over the canonical encoding of everything replicated.
    pub fn hash(&self) -> Hash {
        Hash::of_value(&self.data)
    }

    /// Where the audit chain stands.
    pub fn audit_head(&self) -> Head {
        self.data.audit
    }

    /// The next moment at which something falls due, with its reason: the leader then proposes `AdvanceTime`.
    pub fn next_deadline(&self) -> Option<Deadline> {
        let service = self
            .due
            .first()
            .map(|(at, _)| Deadline { at: *at, reason: "a held move or a TTL is due" });
        let order = self.orders.first();
        let order = order.map(|(at, _)| Deadline { at, reason: "an override expires" });
        let key = self.key_dues.first();
        let key = key.map(|(at, _)| Deadline { at: *at, reason: "every cache knows a zone's key" });
        let pause = self
            .data
            .pause
            .iter()
            .map(|p| Deadline { at: p.expires_at, reason: "the pause expires" });
        service.into_iter().chain(order).chain(key).chain(pause).min_by_key(|deadline| deadline.at)
    }

    /// What the world sees; shares whatever has not changed since the last call.
    pub fn view(&mut self) -> Arc<View> {
        self.published.refresh(&self.data, (&self.names, &self.records))
    }

    /// Applies the entry at `index`. Total: a bad command yields a replicated rejection. Time never goes back, an
    /// entry at or before the last applied index changes nothing, and a request that was answered before is answered
    /// the same again.
    pub fn apply(&mut self, index: u64, entry: &Entry) -> Applied {
        if index <= self.data.index {
            let text =
                alloc::format!("entry {index} is past, entry {} is applied", self.data.index);
            let outcome = Outcome { index, result: Err(Rejection::Superseded(text)) };
            return Applied { outcome, records: Vec::new() };
        }
        self.data.index = index;
        self.data.at = self.data.at.max(entry.at);
        self.forget_replies();
        if let Some(known) = entry.request_id.and_then(|id| self.data.replies.get(&id)) {
            return Applied { outcome: known.clone(), records: Vec::new() };
        }
        let mut work = Work { index, entry, happenings: Vec::new(), touched: BTreeMap::new() };
        let zone_marks = self.published.zone_marks();
        self.expire(&mut work);
        let result = self.execute(&mut work);
        if let Err(rejection) = &result {
            note_refusal(&mut work, rejection);
        }
        self.evaluate_touched(&mut work);
        if self.published.zone_marks() != zone_marks {
            self.touch_led_away(index);
        }
        let outcome = Outcome { index, result };
        self.remember(entry, &outcome);
        Applied { outcome, records: self.chain(work) }
    }

    fn execute(&mut self, work: &mut Work<'_>) -> Result<Reply, Rejection> {
        match &work.entry.command {
            Command::ApplyZone { zone, if_revision } => self.apply_zone(work, zone, *if_revision),
            Command::DeleteZone { name } => self.delete_zone(work, name),
            Command::ApplyTsigKey { name, key, replace } => {
                self.apply_tsig_key(work, (name, key), *replace)
            }
            Command::RemoveTsigKey { name } => self.remove_tsig_key(work, name),
            Command::UpdateZone(update) => self.update_zone(work, update),
            Command::ChangeSigning { zone, change } => self.change_signing(work, zone, change),
            Command::RecordZoneCopy { term, zone, declared, fetched } => {
                self.record_zone_copy(work, *term, (zone, *declared), fetched)
            }
            Command::RecordZoneSource { term, zone, declared, problem } => {
                self.record_zone_source(work, *term, (zone, *declared), problem.as_deref())
            }
            Command::ApplyService { service, if_revision } => {
                self.apply_service(work, service, *if_revision)
            }
            Command::DeleteService { id, if_revision } => {
                self.delete_service(work, id, *if_revision)
            }
            Command::RegisterEndpoint { service, pool, endpoint } => {
                self.register_endpoint(work, service, pool, endpoint)
            }
            Command::DeregisterEndpoint { service, endpoint } => {
                self.deregister_endpoint(work, service, endpoint)
            }
            Command::RecordObservations(report) => self.record_observations(work, report),
            Command::RecordHeartbeats { term, beats } => self.record_heartbeats(work, *term, beats),
            Command::RecordConvergence { term, service, convergence } => {
                self.record_convergence(work, *term, (service, convergence))
            }
            Command::SilenceObserver { term, agent, boot } => {
                self.silence_observer(work, *term, *agent, *boot)
            }
            Command::SetOverride { service, order, reason, lasting } => {
                self.set_override(work, service, order, (reason, *lasting))
            }
            Command::ClearOverride { id, reason } => self.clear_override(work, *id, reason),
            Command::Pause { reason, lasting } => self.pause(work, reason, *lasting),
            Command::Resume { reason } => self.resume(work, reason),
            Command::AdmitAgent { id, name, region, observer } => {
                self.admit_agent(work, *id, (name, region), *observer)
            }
            Command::RemoveAgent { id } => self.remove_agent(work, *id),
            Command::RequestMembership(change) => self.request_membership(work, change),
            Command::BeginTerm { term, leader } => self.begin_term(work, *term, *leader),
            Command::ChangeSettings(settings) => self.change_settings(work, settings),
            Command::AdvanceTime => Ok(Reply::Done),
            Command::RaiseLogicVersion { version } => self.raise_logic_version(work, *version),
        }
    }

    /// Lets happen what was due by now.
    fn expire(&mut self, work: &mut Work<'_>) {
        let at = self.data.at;
        self.expire_orders(work, at);
        self.tell_ready_keys(work);
        while let Some((due, id)) = self.due.first().cloned()
            && due <= at
        {
            self.due.remove(&(due, id.clone()));
            work.touch(&id, Touch::Observed);
        }
    }

    /// Links what happened into the audit chain.
    fn chain(&mut self, work: Work<'_>) -> Vec<Record> {
        let mut records = Vec::with_capacity(work.happenings.len());
        for (by, happening) in work.happenings {
            let sender = by == By::Sender;
            let content = Content {
                index: work.index,
                at: self.data.at,
                actor: if sender { work.entry.actor.clone() } else { Actor::system() },
                request_id: work.entry.request_id.filter(|_| sender),
                service: happening.service,
                event: happening.event,
            };
            let record = Record::after(&self.data.audit, content);
            self.data.audit = record.head();
            records.push(record);
        }
        records
    }
}

/// People's and programs' refused commands are part of the record; the cluster's own superseded opinions are not, nor
/// are prerequisites that were asked for and are not met.
fn note_refusal(work: &mut Work<'_>, rejection: &Rejection) {
    if matches!(rejection, Rejection::Update(refusal) if refusal.code.is_unmet()) {
        return;
    }
    if matches!(work.entry.actor.kind, ActorKind::Person | ActorKind::Workload) {
        let event = Event::CommandRefused {
            command: work.entry.command.label().into(),
            reason: rejection.reason().into(),
            message: alloc::format!("{rejection}"),
        };
        work.say(None, event);
    }
}
