//! What happened: facts in the past tense, made by `apply`, kept in the audit chain in order, once each.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::decision::{BlockReason, Cause, Selection};
use crate::id::{AgentId, CheckName, EndpointName, Epoch, ServiceId};
use crate::membership::MembershipChange;
use crate::name::DnsName;
use crate::overrides::{Override, Pause};
use crate::propagation::Convergence;
use crate::quorum::{Evidence, Verdict};
use crate::spec::{AllDown, Settings};
use crate::time::Timestamp;
use crate::ttl::TtlCause;

/// A fact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A zone was created or replaced.
    ZoneApplied {
        /// Its apex.
        zone: DnsName,
        /// SHA-256 over its canonical encoding, in hexadecimal.
        digest: String,
    },
    /// A zone was deleted.
    ZoneDeleted {
        /// Its apex.
        zone: DnsName,
    },
    /// A zone's records changed by a dynamic update.
    ZoneUpdated {
        /// Its apex.
        zone: DnsName,
        /// The key that the update was signed with.
        key: DnsName,
        /// What went (`-`) and came (`+`): name, TTL in seconds, type and data; long ones are cut.
        changes: Vec<String>,
        /// How many more went or came.
        unnamed: u32,
    },
    /// A TSIG key was added or replaced.
    TsigKeyApplied {
        /// Its name.
        key: DnsName,
        /// Its algorithm.
        algorithm: String,
    },
    /// A TSIG key was removed.
    TsigKeyRemoved {
        /// Its name.
        key: DnsName,
    },
    /// The keys that sign a zone changed, or what is known of their trust did.
    ZoneSigningChanged {
        /// Its apex.
        zone: DnsName,
        /// What was done.
        change: String,
        /// The tags of the keys that it is about.
        tags: Vec<u16>,
        /// Why it was done before its time; empty where it was not.
        reason: String,
    },
    /// A zone was copied from a primary.
    ZoneCopied {
        /// Its apex.
        zone: DnsName,
        /// The primary.
        from: String,
        /// The primary's serial.
        serial: u32,
        /// How many records came.
        added: u32,
        /// How many went.
        removed: u32,
        /// SHA-256 over the canonical encoding of what was fetched, in hexadecimal.
        digest: String,
    },
    /// The primaries of a zone have not given it for longer than its SOA allows; the last copy is served on.
    ZoneStale {
        /// Its apex.
        zone: DnsName,
        /// What the last attempt met.
        problem: String,
    },
    /// The primaries of a zone that was stale give it again.
    ZoneFresh {
        /// Its apex.
        zone: DnsName,
    },
    /// A service was created or replaced.
    ServiceApplied {
        /// SHA-256 over its canonical encoding, in hexadecimal.
        digest: String,
    },
    /// A service was deleted.
    ServiceDeleted,
    /// An endpoint was added or replaced.
    EndpointRegistered {
        /// The endpoint.
        endpoint: EndpointName,
        /// Its address and port.
        address: String,
    },
    /// An endpoint was removed.
    EndpointDeregistered {
        /// The endpoint.
        endpoint: EndpointName,
    },
    /// The verdict on an endpoint changed.
    VerdictChanged {
        /// The endpoint.
        endpoint: EndpointName,
        /// The check whose vote changed it.
        check: CheckName,
        /// Before.
        from: Verdict,
        /// After.
        to: Verdict,
        /// The opinions that were counted.
        evidence: Vec<Evidence>,
    },
    /// What is answered changed.
    SelectionChanged {
        /// The new epoch.
        epoch: Epoch,
        /// Before.
        from: Selection,
        /// After.
        to: Selection,
        /// Why.
        cause: Cause,
        /// When the trouble began: the first failed probe that led here, where there is one.
        trouble_since: Option<Timestamp>,
        /// The policy that chose what is answered, where nothing is up.
        all_down: Option<AllDown>,
    },
    /// The decision wants a move and something forbids it.
    MoveBlocked {
        /// What forbids it.
        reason: BlockReason,
        /// What would be answered.
        wanted: Selection,
    },
    /// A service in observe mode would have moved.
    MoveWithheld {
        /// What would be answered.
        wanted: Selection,
    },
    /// An override came into force.
    OverrideSet(Override),
    /// An override ended.
    OverrideEnded {
        /// The override.
        order: Override,
        /// Who ended it; the group itself at expiry.
        by: String,
        /// Why.
        reason: String,
    },
    /// Automation was paused.
    AutomationPaused(Pause),
    /// Automation goes on.
    AutomationResumed {
        /// Who resumed; the group itself at expiry.
        by: String,
        /// Why.
        reason: String,
    },
    /// An agent was admitted, or what is known of it replaced.
    AgentAdmitted {
        /// The agent.
        agent: AgentId,
        /// Its name and region.
        description: String,
    },
    /// An agent was removed.
    AgentRemoved {
        /// The agent.
        agent: AgentId,
    },
    /// The leader no longer hears an observer; its opinions are void.
    ObserverSilenced {
        /// The observer.
        agent: AgentId,
    },
    /// An observer reports (again).
    ObserverHeard {
        /// The observer.
        agent: AgentId,
    },
    /// A leader took office.
    TermBegan {
        /// Its term.
        term: u64,
        /// Its agent.
        leader: AgentId,
    },
    /// The group's settings changed.
    SettingsChanged {
        /// What they were.
        from: Settings,
        /// What they are.
        to: Settings,
    },
    /// The rules of a newer version are in force.
    LogicVersionRaised {
        /// The version.
        version: u32,
    },
    /// A person's or program's command was refused.
    CommandRefused {
        /// The command's name.
        command: String,
        /// The stable reason.
        reason: String,
        /// The whole message.
        message: String,
    },
    /// A change of membership was accepted; the leader carries it out.
    MembershipRequested(MembershipChange),
    /// The TTL of a service's answers changed.
    TtlChanged {
        /// Before.
        from: Duration,
        /// After.
        to: Duration,
        /// Why.
        cause: TtlCause,
        /// When the last answer with a longer TTL has left every cache that keeps to TTLs.
        forgotten_at: Timestamp,
    },
    /// A changed answer was followed outside, until all told it or no longer.
    FailoverConverged(Convergence),
}

impl Event {
    /// The event's kind in queries, metrics and exports.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::ZoneApplied { .. } => "zone.applied",
            Self::ZoneDeleted { .. } => "zone.deleted",
            Self::ZoneUpdated { .. } => "zone.updated",
            Self::TsigKeyApplied { .. } => "tsig_key.applied",
            Self::TsigKeyRemoved { .. } => "tsig_key.removed",
            Self::ZoneSigningChanged { .. } => "zone.signing_changed",
            Self::ZoneCopied { .. } => "zone.copied",
            Self::ZoneStale { .. } => "zone.stale",
            Self::ZoneFresh { .. } => "zone.fresh",
            Self::ServiceApplied { .. } => "service.applied",
            Self::ServiceDeleted => "service.deleted",
            Self::EndpointRegistered { .. } => "endpoint.registered",
            Self::EndpointDeregistered { .. } => "endpoint.deregistered",
            Self::VerdictChanged { .. } => "verdict.changed",
            Self::SelectionChanged { .. } => "selection.changed",
            Self::MoveBlocked { .. } => "move.blocked",
            Self::MoveWithheld { .. } => "move.withheld",
            Self::OverrideSet(_) => "override.set",
            Self::OverrideEnded { .. } => "override.ended",
            Self::AutomationPaused(_) => "automation.paused",
            Self::AutomationResumed { .. } => "automation.resumed",
            Self::AgentAdmitted { .. } => "agent.admitted",
            Self::AgentRemoved { .. } => "agent.removed",
            Self::ObserverSilenced { .. } => "observer.silenced",
            Self::ObserverHeard { .. } => "observer.heard",
            Self::TermBegan { .. } => "term.began",
            Self::SettingsChanged { .. } => "settings.changed",
            Self::LogicVersionRaised { .. } => "logic_version.raised",
            Self::CommandRefused { .. } => "command.refused",
            Self::MembershipRequested(_) => "membership.requested",
            Self::TtlChanged { .. } => "ttl.changed",
            Self::FailoverConverged(_) => "failover.converged",
        }
    }
}

/// An event with its service, where it is about one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Happening {
    /// The service it is about.
    pub service: Option<ServiceId>,
    /// The fact.
    pub event: Event,
}
