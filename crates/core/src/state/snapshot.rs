//! Everything that is replicated, as plain data: what a snapshot holds and what the state hash covers.
//!
//! Whatever can be derived from it (indexes, views) is not here, so that restoring a snapshot and replaying the
//! tail gives byte for byte the state that replaying everything gives. What can be many is shared with the copy from
//! which a snapshot is written, so that making the copy holds nobody up.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::zone_records::Dynamic;
use crate::audit::Head;
use crate::command::Outcome;
use crate::copied::Copied;
use crate::decision::{Selection, Step};
use crate::id::{
    AgentId, BootId, CheckName, EndpointName, Epoch, GroupId, OverrideId, RequestId, ServiceId,
};
use crate::membership::Membership;
use crate::name::DnsName;
use crate::observation::{ObserverState, Target};
use crate::overrides::{Override, Pause};
use crate::propagation::Convergence;
use crate::quorum::Verdict;
use crate::sample::Failure;
use crate::selection::{Automatic, Blocked};
use crate::shared_map::SharedMap;
use crate::signing::Signing;
use crate::spec::{Service, Settings, Zone};
use crate::time::{Timestamp, for_certain};
use crate::tsig::TsigKey;
use crate::ttl::Ttl;
use crate::view::Agent;

/// Everything that is replicated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The group.
    pub group: GroupId,
    /// Raised when the group is recovered by force.
    pub generation: u64,
    /// The last applied log index.
    pub index: u64,
    /// The group's time.
    pub at: Timestamp,
    /// The version of the rules in force.
    pub logic_version: u32,
    /// The group's settings.
    pub settings: Settings,
    /// The last term that a leader began, and its agent.
    pub term: Option<(u64, AgentId)>,
    /// No automatic move before this time.
    pub warm_up_until: Timestamp,
    /// The pause in force.
    pub pause: Option<Pause>,
    /// Where the audit chain stands.
    pub audit: Head,
    /// The members, as Raft's log names them.
    pub membership: Membership,
    /// The agents.
    pub agents: BTreeMap<AgentId, AgentState>,
    /// The zones.
    pub zones: BTreeMap<DnsName, ZoneState>,
    /// Until when caches may hold what zones served that were deleted, by apex.
    pub deleted_zones: BTreeMap<DnsName, Timestamp>,
    /// The TSIG keys, by name.
    pub tsig_keys: Arc<BTreeMap<DnsName, TsigKey>>,
    /// The services.
    pub services: SharedMap<ServiceId, Arc<ServiceState>>,
    /// The overrides in force.
    pub overrides: BTreeMap<OverrideId, Override>,
    /// Times of all automatic moves within the group's window, oldest first.
    pub moves: VecDeque<Timestamp>,
    /// The answers given, by request.
    pub replies: SharedMap<RequestId, Outcome>,
    /// The requests answered but dynamic updates, oldest first.
    pub reply_order: VecDeque<(Timestamp, RequestId)>,
    /// The dynamic updates answered, oldest first.
    pub update_order: VecDeque<(Timestamp, RequestId)>,
}

/// An agent, and how far its reports have come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentState {
    /// The agent.
    pub agent: Agent,
    /// The last boot that reported, silent or not.
    pub boot: Option<BootId>,
    /// The last report of that boot.
    pub sequence: u64,
    /// How far the digest under way has come: the last target of its last page.
    pub paged: Option<Target>,
}

/// A zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneState {
    /// Its declaration.
    pub zone: Arc<Zone>,
    /// The log index of its declaration's last change.
    pub revision: u64,
    /// The log index of the last change of anything in it: the SOA's serial.
    pub touched: u64,
    /// The keys that sign it.
    pub signing: Signing,
    /// What was copied of it, where it comes from primaries.
    pub copied: Option<Arc<Copied>>,
    /// Why its primaries give no newer copy, where they have not for long.
    pub stale: Option<String>,
    /// The records that updates made; none where it comes from primaries.
    pub dynamic: Dynamic,
    /// Until when caches may hold what it served under TTLs that were lowered since.
    pub former_ttls_until: Timestamp,
}

impl ZoneState {
    /// A zone as it is declared, before anything else is known of it.
    pub fn new(zone: Zone, index: u64) -> Self {
        Self {
            zone: Arc::new(zone),
            revision: index,
            touched: index,
            signing: Signing::default(),
            copied: None,
            stale: None,
            dynamic: Dynamic::new(),
            former_ttls_until: Timestamp(0),
        }
    }

    /// Until when caches may hold what it serves of its own, should that change now.
    pub(super) fn kept_until(&self, now: Timestamp) -> Timestamp {
        self.former_ttls_until.max(now + for_certain(self.longest_ttl()))
    }

    /// When every cache knows its newest key, while that is to come.
    pub(super) fn key_due(&self) -> Option<Timestamp> {
        self.signing.due(self.zone.propagation_delays())
    }

    /// The longest TTL of what it serves of its own; its services have theirs.
    pub(super) fn longest_ttl(&self) -> Duration {
        let updated = self.dynamic.values().flatten().map(|record| record.ttl).max();
        self.served().map(|zone| zone.longest_ttl()).max(updated).unwrap_or_default()
    }

    /// The zone whose records are served: as declared or as copied; `None` until it was copied once.
    pub fn served(&self) -> Option<&Arc<Zone>> {
        match &self.zone.primaries {
            None => Some(&self.zone),
            Some(_) => self.copied.as_ref().map(|copied| &copied.zone),
        }
    }
}

/// A service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceState {
    /// Its declaration.
    pub spec: Arc<Service>,
    /// The log index of its declaration's last change.
    pub revision: u64,
    /// The log index at which what is served last changed.
    pub epoch: Epoch,
    /// What is served.
    pub selection: Selection,
    /// When that last changed.
    pub selected_at: Timestamp,
    /// What was served last while something was up.
    pub last_good: Option<Selection>,
    /// The automatic state.
    pub automatic: Automatic,
    /// The move that is asked for and forbidden.
    pub blocked: Option<Blocked>,
    /// Times of the automatic moves within the window, oldest first.
    pub moves: Vec<Timestamp>,
    /// The reasoning of the last decision.
    pub steps: Vec<Step>,
    /// When that decision was taken.
    pub decided_at: Timestamp,
    /// The endpoints.
    pub endpoints: BTreeMap<EndpointName, EndpointState>,
    /// The TTL of its answers.
    pub ttl: Ttl,
    /// What came of the last change that was followed outside.
    pub convergence: Option<Convergence>,
}

/// An endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointState {
    /// The verdict over all checks.
    pub verdict: Verdict,
    /// When it last changed.
    pub since: Timestamp,
    /// Each check.
    pub checks: BTreeMap<CheckName, CheckState>,
}

/// A check of an endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckState {
    /// What is probed: opinions on anything else are ignored.
    pub fingerprint: u64,
    /// What the opinions add up to; the last one where they no longer do.
    pub verdict: Verdict,
    /// The opinions, by observer. A heartbeat check has none.
    pub opinions: BTreeMap<AgentId, OpinionState>,
}

/// What an observer says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpinionState {
    /// The opinion.
    pub state: ObserverState,
    /// The last failure, when it is down.
    pub failure: Option<Failure>,
    /// When the run that led to it began, by the observer's clock.
    pub since: Timestamp,
    /// The band of latency that it goes with ([`crate::steer::band`]).
    pub band: u8,
    /// The report that brought it.
    pub sequence: u64,
    /// The boot of that report.
    pub boot: BootId,
    /// When it entered the log.
    pub recorded_at: Timestamp,
}

impl Snapshot {
    /// The state before the first entry.
    pub fn empty(group: GroupId) -> Self {
        Self {
            group,
            generation: 0,
            index: 0,
            at: Timestamp(0),
            logic_version: 1,
            settings: Settings::default(),
            term: None,
            warm_up_until: Timestamp(0),
            pause: None,
            audit: Head::EMPTY,
            membership: Membership::default(),
            agents: BTreeMap::new(),
            zones: BTreeMap::new(),
            deleted_zones: BTreeMap::new(),
            tsig_keys: Arc::default(),
            services: SharedMap::new(),
            overrides: BTreeMap::new(),
            moves: VecDeque::new(),
            replies: SharedMap::new(),
            reply_order: VecDeque::new(),
            update_order: VecDeque::new(),
        }
    }
}
