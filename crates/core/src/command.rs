//! The front door: what can be asked of the state, what it answers, and why it may refuse.
//!
//! A command is imperative. An [`Entry`] is a command with everything about its time and origin, as it stands in
//! the log. A refusal is a replicated answer like any other, so that a replayed request gets the same one.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::copied::Fetched;
use crate::id::{
    AgentId, AgentName, BootId, EndpointName, OverrideId, PoolName, RegionName, RequestId,
    ServiceId,
};
use crate::membership::MembershipChange;
use crate::name::DnsName;
use crate::observation::{Report, Target};
use crate::overrides::Order;
use crate::propagation::Convergence;
use crate::signing::SigningChange;
use crate::spec::{Endpoint, Service, SettingsChange, Zone};
use crate::time::Timestamp;
use crate::tsig::TsigKey;
use crate::update::{UpdateRefusal, ZoneUpdate};

/// What kind of actor asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ActorKind {
    /// A person, by certificate.
    Person,
    /// A program, by certificate or by TSIG key.
    Workload,
    /// An agent of the cluster.
    Agent,
    /// The group itself: deadlines and leadership.
    System,
}

/// Who asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// What kind.
    pub kind: ActorKind,
    /// The name in the certificate, the agent's name, or `tsig:` and the name of a key.
    pub name: String,
}

impl Actor {
    /// The group itself.
    pub fn system() -> Self {
        Self { kind: ActorKind::System, name: String::from("holdfast") }
    }
}

/// A command with its time and origin: the content of one log entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The proposing leader's wall clock; `apply` never lets time go back.
    pub at: Timestamp,
    /// The client's number for this request. A replay within [`Entry::REPLAY_WINDOW`] is answered as before, that of a
    /// dynamic update within [`Entry::UPDATE_REPLAY_WINDOW`].
    pub request_id: Option<RequestId>,
    /// Who asked.
    pub actor: Actor,
    /// What is asked.
    pub command: Command,
}

impl Entry {
    /// How long a request id is remembered.
    pub const REPLAY_WINDOW: Duration = Duration::from_secs(24 * 3600);
    /// How many request ids are remembered at the most; the oldest are forgotten first.
    pub const REPLAY_LIMIT: usize = 200_000;
    /// How long the request ids of dynamic updates are remembered: for longer than any agent takes the same signature.
    pub const UPDATE_REPLAY_WINDOW: Duration = Duration::from_secs(3600);
    /// How many of these are remembered at the most, beside the others.
    pub const UPDATE_REPLAY_LIMIT: usize = 200_000;
}

/// What can be asked of the state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Creates or replaces a zone. `if_revision` 0 means "only create".
    ApplyZone {
        /// The zone.
        zone: Zone,
        /// Refuse unless the stored revision is this one.
        if_revision: Option<u64>,
    },
    /// Deletes a zone; refused while a service has a name in it.
    DeleteZone {
        /// Its apex.
        name: DnsName,
    },
    /// Adds a TSIG key.
    ApplyTsigKey {
        /// Its name.
        name: DnsName,
        /// The key.
        key: TsigKey,
        /// Whether it takes the place of one of that name; refused otherwise where there is one.
        replace: bool,
    },
    /// Removes a TSIG key; refused while a zone names it.
    RemoveTsigKey {
        /// Its name.
        name: DnsName,
    },
    /// Changes a zone's records as the holder of a TSIG key asks (RFC 2136).
    UpdateZone(ZoneUpdate),
    /// Changes the keys that sign a zone.
    ChangeSigning {
        /// The zone's apex.
        zone: DnsName,
        /// What is asked.
        change: SigningChange,
    },
    /// Takes note of what the primary of a zone gave.
    RecordZoneCopy {
        /// The term of the leader that fetched it; older ones are refused.
        term: u64,
        /// The zone's apex.
        zone: DnsName,
        /// The revision of the declaration whose primaries gave it; for another one it is refused.
        declared: u64,
        /// What was fetched.
        fetched: Fetched,
    },
    /// Takes note of whether the primaries of a zone give it.
    RecordZoneSource {
        /// The term of the leader whose opinion this is; older ones are refused.
        term: u64,
        /// The zone's apex.
        zone: DnsName,
        /// The revision of the declaration whose primaries were asked; for another one it is refused.
        declared: u64,
        /// Why they have not for long; `None` once they do.
        problem: Option<String>,
    },
    /// Creates or replaces a service. `if_revision` 0 means "only create".
    ApplyService {
        /// The service.
        service: Service,
        /// Refuse unless the stored revision is this one.
        if_revision: Option<u64>,
    },
    /// Deletes a service and its overrides.
    DeleteService {
        /// The service.
        id: ServiceId,
        /// Refuse unless the stored revision is this one.
        if_revision: Option<u64>,
    },
    /// Adds or replaces one endpoint of a pool.
    RegisterEndpoint {
        /// The service.
        service: ServiceId,
        /// The pool.
        pool: PoolName,
        /// The endpoint.
        endpoint: Endpoint,
    },
    /// Removes one endpoint.
    DeregisterEndpoint {
        /// The service.
        service: ServiceId,
        /// The endpoint.
        endpoint: EndpointName,
    },
    /// Takes note of what an observer says.
    RecordObservations(Report),
    /// Takes note of which endpoints with a heartbeat check report, and which have fallen silent.
    RecordHeartbeats {
        /// The term of the leader whose opinion this is; older ones are refused.
        term: u64,
        /// Whether each reports, ascending by target.
        beats: Vec<(Target, bool)>,
    },
    /// Takes note of how fast the world came to tell a changed answer.
    RecordConvergence {
        /// The term of the leader that followed it; older ones are refused.
        term: u64,
        /// The service.
        service: ServiceId,
        /// What came of it.
        convergence: Convergence,
    },
    /// Voids the opinions of an observer that the leader no longer hears.
    SilenceObserver {
        /// The term of the leader whose opinion this is; older ones are refused.
        term: u64,
        /// The observer.
        agent: AgentId,
        /// The boot that fell silent; another one is not affected.
        boot: BootId,
    },
    /// Orders something about a service, for a while.
    SetOverride {
        /// The service.
        service: ServiceId,
        /// What is ordered.
        order: Order,
        /// Why; not empty.
        reason: String,
        /// For how long; 1 s – 30 days.
        lasting: Duration,
    },
    /// Ends an override.
    ClearOverride {
        /// Its number.
        id: OverrideId,
        /// Why; may be empty.
        reason: String,
    },
    /// Stops automatic moves in the whole group, for a while.
    Pause {
        /// Why; not empty.
        reason: String,
        /// For how long; 1 s – 30 days.
        lasting: Duration,
    },
    /// Lets automatic moves happen again.
    Resume {
        /// Why; may be empty.
        reason: String,
    },
    /// Makes an agent known as an observer, or replaces what is known of it.
    AdmitAgent {
        /// Its number.
        id: AgentId,
        /// Its name.
        name: AgentName,
        /// Where it is.
        region: RegionName,
        /// Whether it probes and so is counted in quorums.
        observer: bool,
    },
    /// Forgets an agent.
    RemoveAgent {
        /// Its number.
        id: AgentId,
    },
    /// Changes who is in the group, who votes, or who leads; the leader carries it out once this is agreed on.
    RequestMembership(MembershipChange),
    /// A leader took office.
    BeginTerm {
        /// Its term.
        term: u64,
        /// Its agent.
        leader: AgentId,
    },
    /// Changes the group's settings.
    ChangeSettings(SettingsChange),
    /// Time has passed: what was due until `Entry::at` happens.
    AdvanceTime,
    /// Lets the state decide by the rules of this version, once every member knows them.
    RaiseLogicVersion {
        /// The version.
        version: u32,
    },
}

impl Command {
    /// The command's name in metrics, logs and the audit log.
    pub fn label(&self) -> &'static str {
        match self {
            Self::ApplyZone { .. } => "apply_zone",
            Self::DeleteZone { .. } => "delete_zone",
            Self::ApplyTsigKey { .. } => "apply_tsig_key",
            Self::RemoveTsigKey { .. } => "remove_tsig_key",
            Self::UpdateZone(_) => "update_zone",
            Self::ChangeSigning { .. } => "change_signing",
            Self::RecordZoneCopy { .. } => "record_zone_copy",
            Self::RecordZoneSource { .. } => "record_zone_source",
            Self::ApplyService { .. } => "apply_service",
            Self::DeleteService { .. } => "delete_service",
            Self::RegisterEndpoint { .. } => "register_endpoint",
            Self::DeregisterEndpoint { .. } => "deregister_endpoint",
            Self::RecordObservations(_) => "record_observations",
            Self::RecordHeartbeats { .. } => "record_heartbeats",
            Self::RecordConvergence { .. } => "record_convergence",
            Self::SilenceObserver { .. } => "silence_observer",
            Self::SetOverride { .. } => "set_override",
            Self::ClearOverride { .. } => "clear_override",
            Self::Pause { .. } => "pause",
            Self::Resume { .. } => "resume",
            Self::AdmitAgent { .. } => "admit_agent",
            Self::RemoveAgent { .. } => "remove_agent",
            Self::RequestMembership(_) => "request_membership",
            Self::BeginTerm { .. } => "begin_term",
            Self::ChangeSettings(_) => "change_settings",
            Self::AdvanceTime => "advance_time",
            Self::RaiseLogicVersion { .. } => "raise_logic_version",
        }
    }
}

/// Why a command was refused. Each has a stable reason and a next step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Rejection {
    /// The specification is not possible.
    #[error("{0}")]
    InvalidSpec(crate::spec::SpecError),
    /// There is no such thing.
    #[error("{kind} {name} does not exist")]
    NotFound {
        /// Such as `service`.
        kind: String,
        /// Its name.
        name: String,
    },
    /// The stored revision is another one.
    #[error(
        "{name} is at revision {stored}, not {expected}: somebody changed it since it was read"
    )]
    StaleRevision {
        /// What was to be changed.
        name: String,
        /// The revision that the request expected.
        expected: u64,
        /// The revision that is stored.
        stored: u64,
    },
    /// The name is in use by something else.
    #[error("{name} already belongs to {owner}")]
    NameInUse {
        /// The name.
        name: String,
        /// What it belongs to.
        owner: String,
        /// How one of the two gets another name, or goes.
        next_step: String,
    },
    /// The DNS name lies in no zone of the group.
    #[error("{name} lies in no zone of this cluster (zones: {zones})")]
    OutsideZones {
        /// The name.
        name: String,
        /// The zones there are.
        zones: String,
    },
    /// The thing is still in use.
    #[error("{name} is still used by {user}")]
    InUse {
        /// What was to be deleted.
        name: String,
        /// What uses it.
        user: String,
        /// How it comes out of use.
        next_step: String,
    },
    /// An order lacks a reason, or its duration is not possible.
    #[error("{0}")]
    InvalidOrder(String),
    /// The proposer's opinion is out of date: another leader or another boot has spoken since.
    #[error("superseded: {0}")]
    Superseded(String),
    /// A bound was reached.
    #[error("{what}: at most {limit} are kept")]
    LimitReached {
        /// Of what.
        what: String,
        /// The bound.
        limit: u64,
    },
    /// The step in exchanging a zone's keys is not possible, or not safe yet.
    #[error("{problem}")]
    Signing {
        /// What stands against it.
        problem: String,
        /// What to do first, or instead.
        next_step: String,
    },
    /// The dynamic update does not happen.
    #[error("{0}")]
    Update(UpdateRefusal),
    /// The change of membership is not possible.
    #[error("{problem}")]
    Membership {
        /// What stands against it.
        problem: String,
        /// What to do first, or instead.
        next_step: String,
    },
}

impl Rejection {
    /// The stable reason: an upper-case word for programs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::InvalidSpec(_) => "INVALID_SPEC",
            Self::NotFound { .. } => "NOT_FOUND",
            Self::StaleRevision { .. } => "STALE_REVISION",
            Self::NameInUse { .. } => "NAME_IN_USE",
            Self::OutsideZones { .. } => "OUTSIDE_ZONES",
            Self::InUse { .. } => "IN_USE",
            Self::InvalidOrder(_) => "INVALID_ORDER",
            Self::Superseded(_) => "SUPERSEDED",
            Self::LimitReached { .. } => "LIMIT_REACHED",
            Self::Signing { .. } => "SIGNING",
            Self::Update(_) => "UPDATE",
            Self::Membership { .. } => "MEMBERSHIP",
        }
    }
}

/// What a command that was accepted brought about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// It was done.
    Done,
    /// Something is stored under this revision (the log index of its last change).
    Stored {
        /// The revision.
        revision: u64,
        /// Whether it differs from what was stored before.
        changed: bool,
    },
    /// An override is in force.
    Ordered {
        /// Its number.
        id: OverrideId,
        /// When it ends by itself.
        expires_at: Timestamp,
    },
}

/// The answer to an entry, the same for every replay of its request id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The log index at which it was first applied.
    pub index: u64,
    /// What it brought about, or why it was refused.
    pub result: Result<Reply, Rejection>,
}
