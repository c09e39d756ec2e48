//! The back door: what the world sees of the state, immutable, published once per batch.
//!
//! Leaves (probe, dns, console, effects) get a [`View`] and nothing else. Each part is shared with the view before as
//! far as it is the same, so that a publication costs what changed, and so does finding out what changed
//! ([`SharedMap::differences`]). [`Answers`] is the part that DNS serves and that an agent keeps on disk, to answer
//! from after a restart without quorum.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::audit::Head;
use crate::copied::Copied;
use crate::decision::{Selection, Step};
use crate::id::{
    AgentId, AgentName, BootId, CheckName, EndpointName, Epoch, GroupId, OverrideId, RegionName,
    ServiceId,
};
use crate::name::DnsName;
use crate::overrides::{Override, Pause};
use crate::propagation::Convergence;
use crate::quorum::{Evidence, Tally, Verdict};
use crate::selection::Blocked;
use crate::shared_map::SharedMap;
use crate::signing::Signing;
use crate::spec::{RecordData, Service, Settings, Zone};
use crate::state::Dynamic;
use crate::steer::{Ring, Shares, Steering};
use crate::time::Timestamp;
use crate::tsig::TsigKey;
use crate::ttl::Ttl;

/// What DNS serves: zones and names, with where in the log they come from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answers {
    /// The group that decided.
    pub group: GroupId,
    /// Raised when a group is recovered by force; a higher one outranks any index.
    pub generation: u64,
    /// The log index that this includes.
    pub index: u64,
    /// The group's time at that index.
    pub at: Timestamp,
    /// The TSIG keys, by name.
    pub tsig_keys: Arc<BTreeMap<DnsName, TsigKey>>,
    /// The zones, by apex.
    pub zones: SharedMap<DnsName, Arc<ZoneAnswers>>,
    /// Every name with data, in canonical order.
    pub names: SharedMap<DnsName, Arc<NameAnswers>>,
}

/// What a zone contributes to answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneAnswers {
    /// The zone's declaration, without its static records.
    pub zone: Zone,
    /// The SOA's serial: the log index of the last change of anything in the zone, in 32 bits.
    pub serial: u32,
    /// TTL of negative answers: at most the declared one, and at most the smallest TTL of the zone's services.
    pub negative_ttl: Duration,
    /// The SOA's MNAME.
    pub mname: DnsName,
    /// The keys that sign it.
    pub signing: Signing,
}

impl ZoneAnswers {
    /// An unsigned zone, as far as it has no services whose TTL is smaller than its own.
    pub fn new(zone: Zone, serial: u32) -> Self {
        let (mname, negative_ttl) = (zone.mname().clone(), zone.soa.negative_ttl);
        Self { zone, serial, negative_ttl, mname, signing: Signing::default() }
    }
}

/// How one answer is chosen from the records of a set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pick {
    /// All, in this order.
    All,
    /// Up to this many, beginning at a rotating place.
    Rotate(u8),
    /// One, by weight.
    Weighted(Shares),
    /// One, the same for a client's network.
    Sticky(Ring),
    /// By where the client is, or what is nearest to it.
    Steered(Arc<Steering>),
}

/// The records of one type at one name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordSet {
    /// Their TTL.
    pub ttl: Duration,
    /// How an answer is chosen from them.
    pub pick: Pick,
    /// The records with their weights; all of one type, at least one.
    pub records: Vec<(RecordData, u32)>,
}

/// Everything at one name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameAnswers {
    /// The service whose decision this is; `None` for static records.
    pub service: Option<ServiceId>,
    /// The epoch of that decision.
    pub epoch: Epoch,
    /// Answer SERVFAIL (fail-closed).
    pub refused: bool,
    /// The record sets, one per type.
    pub sets: Vec<RecordSet>,
}

/// The opinion of one observer under one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckStatus {
    /// The check.
    pub check: CheckName,
    /// What its opinions add up to, holding included.
    pub verdict: Verdict,
    /// How they add up.
    pub tally: Tally,
    /// The opinions.
    pub opinions: Vec<Evidence>,
}

/// How an endpoint stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointStatus {
    /// The endpoint.
    pub endpoint: EndpointName,
    /// The verdict over all its checks.
    pub verdict: Verdict,
    /// Too few opinions are fresh; the verdict is the last one.
    pub stale: bool,
    /// Some regions see it failing, not enough for a verdict.
    pub partial: bool,
    /// When the verdict last changed.
    pub since: Timestamp,
    /// Each check.
    pub checks: Vec<CheckStatus>,
}

/// How a service stands, with the reasoning of its last decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// No answer has a shorter TTL: the group's setting.
    pub ttl_floor: Duration,
    /// Its declaration.
    pub spec: Arc<Service>,
    /// The log index of its declaration's last change.
    pub revision: u64,
    /// Generation of what is served.
    pub epoch: Epoch,
    /// What is served.
    pub selection: Selection,
    /// When it last changed.
    pub selected_at: Timestamp,
    /// The reasoning of the last decision.
    pub steps: Vec<Step>,
    /// When that decision was taken.
    pub decided_at: Timestamp,
    /// The move that is asked for and forbidden.
    pub blocked: Option<Blocked>,
    /// Times of the automatic moves within the window.
    pub moves: Vec<Timestamp>,
    /// The endpoints.
    pub endpoints: Vec<EndpointStatus>,
    /// The TTL of its answers.
    pub ttl: Ttl,
    /// What came of the last change that was followed outside.
    pub convergence: Option<Convergence>,
}

/// An agent as the group knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agent {
    /// Its number.
    pub id: AgentId,
    /// Its name.
    pub name: AgentName,
    /// Where it is.
    pub region: RegionName,
    /// Whether it probes and is counted in quorums.
    pub observer: bool,
    /// The boot that last reported; `None` while it is silent.
    pub heard: Option<BootId>,
}

/// How a zone that comes from primaries stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyStatus {
    /// The copy that is served.
    pub copied: Option<Arc<Copied>>,
    /// Why there has been no newer one for long.
    pub stale: Option<String>,
}

/// What the world sees of the state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// What DNS serves.
    pub answers: Arc<Answers>,
    /// The services.
    pub services: SharedMap<ServiceId, Arc<ServiceStatus>>,
    /// The zones as declared, with the log index of their last change.
    pub zones: SharedMap<DnsName, (Arc<Zone>, u64)>,
    /// The zones that come from primaries, once they were copied or could not be for long.
    pub copies: SharedMap<DnsName, Arc<CopyStatus>>,
    /// The records that updates made, by zone; none where there are none.
    pub dynamic: SharedMap<DnsName, Dynamic>,
    /// The agents.
    pub agents: Arc<BTreeMap<AgentId, Agent>>,
    /// The overrides in force.
    pub overrides: Arc<BTreeMap<OverrideId, Override>>,
    /// The pause in force.
    pub pause: Option<Pause>,
    /// The group's settings.
    pub settings: Settings,
    /// The audit chain's head.
    pub audit: Option<Head>,
    /// The version of the rules in force.
    pub logic_version: u32,
    /// The last term that a leader began, and its agent.
    pub term: Option<(u64, AgentId)>,
    /// No automatic move before this time.
    pub warm_up_until: Timestamp,
}
