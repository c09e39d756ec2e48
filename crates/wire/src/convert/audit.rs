//! The audit chain: heads, records, and the facts that they hold.

use holdfast_core::audit::{Content, Hash, Head, Record};
use holdfast_core::event::Event;
use holdfast_core::membership::MembershipChange;
use holdfast_core::overrides::{Override, Pause};
use holdfast_core::propagation::Convergence;
use holdfast_core::{AgentId, Epoch, Timestamp};

use super::Convert;
use super::primitive::{
    enumerated, from_list, from_ms, list, ms, narrow, parse, request_id, required,
};
use crate::error::DecodeError;
use crate::pb::v1 as pb;
use crate::pb::v1::event::Event as Kind;

fn hash(field: &str, text: &str) -> Result<Hash, DecodeError> {
    let wrong = || DecodeError::invalid(field, "a hash has 64 hexadecimal digits");
    if text.len() != 64 || !text.is_ascii() {
        return Err(wrong());
    }
    let mut bytes = [0; 32];
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).map_err(|_| wrong())?;
    }
    Ok(Hash(bytes))
}

impl Convert for Head {
    type Proto = pb::AuditHead;

    fn to_proto(&self) -> pb::AuditHead {
        pb::AuditHead { length: self.length, hash: self.hash.to_string() }
    }

    fn from_proto(proto: pb::AuditHead) -> Result<Self, DecodeError> {
        Ok(Self { length: proto.length, hash: hash("hash", &proto.hash)? })
    }
}

impl Convert for Record {
    type Proto = pb::AuditRecord;

    fn to_proto(&self) -> pb::AuditRecord {
        let content = &self.content;
        pb::AuditRecord {
            sequence: self.sequence,
            previous: self.previous.to_string(),
            index: content.index,
            at_ms: content.at.0,
            actor: Some(content.actor.to_proto()),
            request_id: content.request_id.map(|id| id.to_string()).unwrap_or_default(),
            service: content.service.as_ref().map(ToString::to_string).unwrap_or_default(),
            event: Some(content.event.to_proto()),
            hash: self.hash.to_string(),
            kind: content.event.kind().to_owned(),
        }
    }

    /// Gives the record as it was sent: whether its hash fits is [`Record::is_intact`]'s to say.
    fn from_proto(proto: pb::AuditRecord) -> Result<Self, DecodeError> {
        let given = |text: &str| !text.is_empty();
        let content = Content {
            index: proto.index,
            at: Timestamp(proto.at_ms),
            actor: required("actor", proto.actor)?,
            request_id: Some(proto.request_id.as_str())
                .filter(|text| given(text))
                .map(request_id)
                .transpose()?,
            service: Some(proto.service.as_str())
                .filter(|text| given(text))
                .map(|text| parse("service", text))
                .transpose()?,
            event: required("event", proto.event)?,
        };
        Ok(Self {
            sequence: proto.sequence,
            previous: hash("previous", &proto.previous)?,
            content,
            hash: hash("hash", &proto.hash)?,
        })
    }
}

impl Convert for Event {
    type Proto = pb::Event;

    fn to_proto(&self) -> pb::Event {
        pb::Event { event: Some(to_kind(self)) }
    }

    fn from_proto(proto: pb::Event) -> Result<Self, DecodeError> {
        from_kind(proto.event.ok_or_else(|| DecodeError::missing(""))?)
    }
}

/// The message of a fact about services; the others are in [`to_zone_kind`] and [`to_group_kind`].
fn to_kind(event: &Event) -> Kind {
    match event {
        Event::ServiceApplied { digest } => {
            Kind::ServiceApplied(pb::ServiceApplied { digest: digest.clone() })
        }
        Event::ServiceDeleted => Kind::ServiceDeleted(pb::ServiceDeleted {}),
        Event::EndpointRegistered { endpoint, address } => {
            Kind::EndpointRegistered(pb::EndpointRegistered {
                endpoint: endpoint.to_string(),
                address: address.clone(),
            })
        }
        Event::EndpointDeregistered { endpoint } => {
            let endpoint = endpoint.to_string();
            Kind::EndpointDeregistered(pb::EndpointDeregistered { endpoint })
        }
        Event::VerdictChanged { endpoint, check, from, to, evidence } => {
            Kind::VerdictChanged(pb::VerdictChanged {
                endpoint: endpoint.to_string(),
                check: check.to_string(),
                before: from.to_proto(),
                after: to.to_proto(),
                evidence: list(evidence),
            })
        }
        Event::SelectionChanged { epoch, from, to, cause, trouble_since, all_down } => {
            Kind::SelectionChanged(pb::SelectionChanged {
                epoch: epoch.0,
                before: Some(from.to_proto()),
                after: Some(to.to_proto()),
                cause: cause.to_proto(),
                trouble_since_ms: trouble_since.map(|at| at.0),
                all_down: all_down.as_ref().map(Convert::to_proto),
            })
        }
        Event::MoveBlocked { reason, wanted } => Kind::MoveBlocked(pb::MoveBlocked {
            reason: reason.to_proto(),
            wanted: Some(wanted.to_proto()),
        }),
        Event::MoveWithheld { wanted } => {
            Kind::MoveWithheld(pb::MoveWithheld { wanted: Some(wanted.to_proto()) })
        }
        Event::OverrideSet(order) => Kind::OverrideSet(order.to_proto()),
        Event::OverrideEnded { order, by, reason } => Kind::OverrideEnded(pb::OverrideEnded {
            r#override: Some(order.to_proto()),
            by: by.clone(),
            reason: reason.clone(),
        }),
        Event::TtlChanged { from, to, cause, forgotten_at } => Kind::TtlChanged(pb::TtlChanged {
            before_ms: ms(*from),
            after_ms: ms(*to),
            cause: cause.to_proto(),
            forgotten_at_ms: forgotten_at.0,
        }),
        Event::FailoverConverged(convergence) => Kind::FailoverConverged(convergence.to_proto()),
        _ => to_zone_kind(event),
    }
}

/// The message of a fact about zones and their keys.
fn to_zone_kind(event: &Event) -> Kind {
    match event {
        Event::ZoneApplied { zone, digest } => {
            Kind::ZoneApplied(pb::ZoneApplied { zone: zone.to_string(), digest: digest.clone() })
        }
        Event::ZoneDeleted { zone } => {
            Kind::ZoneDeleted(pb::ZoneDeleted { zone: zone.to_string() })
        }
        Event::ZoneCopied { zone, from, serial, added, removed, digest } => {
            Kind::ZoneCopied(pb::ZoneCopied {
                zone: zone.to_string(),
                from: from.clone(),
                serial: *serial,
                added: *added,
                removed: *removed,
                digest: digest.clone(),
            })
        }
        Event::ZoneStale { zone, problem } => {
            Kind::ZoneStale(pb::ZoneStale { zone: zone.to_string(), problem: problem.clone() })
        }
        Event::ZoneFresh { zone } => Kind::ZoneFresh(pb::ZoneFresh { zone: zone.to_string() }),
        Event::ZoneUpdated { zone, key, changes, unnamed } => Kind::ZoneUpdated(pb::ZoneUpdated {
            zone: zone.to_string(),
            key: key.to_string(),
            changes: changes.clone(),
            unnamed: *unnamed,
        }),
        Event::TsigKeyApplied { key, algorithm } => Kind::TsigKeyApplied(pb::TsigKeyApplied {
            key: key.to_string(),
            algorithm: algorithm.clone(),
        }),
        Event::TsigKeyRemoved { key } => {
            Kind::TsigKeyRemoved(pb::TsigKeyRemoved { key: key.to_string() })
        }
        Event::ZoneSigningChanged { zone, change, tags, reason } => {
            Kind::ZoneSigningChanged(pb::ZoneSigningChanged {
                zone: zone.to_string(),
                change: change.clone(),
                tags: tags.iter().map(|tag| u32::from(*tag)).collect(),
                reason: reason.clone(),
            })
        }
        _ => to_group_kind(event),
    }
}

fn to_group_kind(event: &Event) -> Kind {
    match event {
        Event::AutomationPaused(pause) => Kind::AutomationPaused(pause.to_proto()),
        Event::AutomationResumed { by, reason } => {
            let (by, reason) = (by.clone(), reason.clone());
            Kind::AutomationResumed(pb::AutomationResumed { by, reason })
        }
        Event::AgentAdmitted { agent, description } => Kind::AgentAdmitted(pb::AgentAdmitted {
            agent: agent.0,
            description: description.clone(),
        }),
        Event::AgentRemoved { agent } => Kind::AgentRemoved(pb::AgentRemoved { agent: agent.0 }),
        Event::ObserverSilenced { agent } => {
            Kind::ObserverSilenced(pb::ObserverSilenced { agent: agent.0 })
        }
        Event::ObserverHeard { agent } => Kind::ObserverHeard(pb::ObserverHeard { agent: agent.0 }),
        Event::TermBegan { term, leader } => {
            Kind::TermBegan(pb::TermBegan { term: *term, leader: leader.0 })
        }
        Event::SettingsChanged { from, to } => Kind::SettingsChanged(pb::SettingsChanged {
            before: Some(from.to_proto()),
            after: Some(to.to_proto()),
        }),
        Event::LogicVersionRaised { version } => {
            Kind::LogicVersionRaised(pb::LogicVersionRaised { version: *version })
        }
        Event::CommandRefused { command, reason, message } => {
            Kind::CommandRefused(pb::CommandRefused {
                command: command.clone(),
                reason: reason.clone(),
                message: message.clone(),
            })
        }
        Event::MembershipRequested(change) => Kind::MembershipRequested(change.to_proto()),
        Event::ServiceApplied { .. }
        | Event::ServiceDeleted
        | Event::EndpointRegistered { .. }
        | Event::EndpointDeregistered { .. }
        | Event::VerdictChanged { .. }
        | Event::SelectionChanged { .. }
        | Event::MoveBlocked { .. }
        | Event::MoveWithheld { .. }
        | Event::OverrideSet(_)
        | Event::OverrideEnded { .. }
        | Event::TtlChanged { .. }
        | Event::ZoneApplied { .. }
        | Event::ZoneDeleted { .. }
        | Event::ZoneSigningChanged { .. }
        | Event::ZoneCopied { .. }
        | Event::ZoneStale { .. }
        | Event::ZoneFresh { .. }
        | Event::ZoneUpdated { .. }
        | Event::TsigKeyApplied { .. }
        | Event::TsigKeyRemoved { .. }
        | Event::FailoverConverged(_) => {
            unreachable!("to_kind and to_zone_kind handle facts about services and zones")
        }
    }
}

/// The fact about services that a message holds; the others are in [`from_zone_kind`]
/// and [`from_group_kind`].
fn from_kind(kind: Kind) -> Result<Event, DecodeError> {
    match kind {
        Kind::ServiceApplied(e) => Ok(Event::ServiceApplied { digest: e.digest }),
        Kind::ServiceDeleted(pb::ServiceDeleted {}) => Ok(Event::ServiceDeleted),
        Kind::EndpointRegistered(e) => Ok(Event::EndpointRegistered {
            endpoint: parse("endpoint", &e.endpoint)?,
            address: e.address,
        }),
        Kind::EndpointDeregistered(e) => {
            Ok(Event::EndpointDeregistered { endpoint: parse("endpoint", &e.endpoint)? })
        }
        Kind::VerdictChanged(e) => Ok(Event::VerdictChanged {
            endpoint: parse("endpoint", &e.endpoint)?,
            check: parse("check", &e.check)?,
            from: enumerated("before", e.before)?,
            to: enumerated("after", e.after)?,
            evidence: from_list("evidence", e.evidence)?,
        }),
        Kind::SelectionChanged(e) => Ok(Event::SelectionChanged {
            epoch: Epoch(e.epoch),
            from: required("before", e.before)?,
            to: required("after", e.after)?,
            cause: enumerated("cause", e.cause)?,
            trouble_since: e.trouble_since_ms.map(Timestamp),
            all_down: e.all_down.map(Convert::from_proto).transpose()?,
        }),
        Kind::MoveBlocked(e) => Ok(Event::MoveBlocked {
            reason: enumerated("reason", e.reason)?,
            wanted: required("wanted", e.wanted)?,
        }),
        Kind::MoveWithheld(e) => Ok(Event::MoveWithheld { wanted: required("wanted", e.wanted)? }),
        Kind::OverrideSet(order) => Override::from_proto(order).map(Event::OverrideSet),
        Kind::OverrideEnded(e) => Ok(Event::OverrideEnded {
            order: required("override", e.r#override)?,
            by: e.by,
            reason: e.reason,
        }),
        Kind::TtlChanged(e) => Ok(Event::TtlChanged {
            from: from_ms(e.before_ms),
            to: from_ms(e.after_ms),
            cause: enumerated("cause", e.cause)?,
            forgotten_at: Timestamp(e.forgotten_at_ms),
        }),
        Kind::FailoverConverged(convergence) => {
            Convergence::from_proto(convergence).map(Event::FailoverConverged)
        }
        other => from_zone_kind(other),
    }
}

/// The fact about zones and their keys that a message holds.
fn from_zone_kind(kind: Kind) -> Result<Event, DecodeError> {
    match kind {
        Kind::ZoneApplied(e) => {
            Ok(Event::ZoneApplied { zone: parse("zone", &e.zone)?, digest: e.digest })
        }
        Kind::ZoneDeleted(e) => Ok(Event::ZoneDeleted { zone: parse("zone", &e.zone)? }),
        Kind::ZoneCopied(e) => Ok(Event::ZoneCopied {
            zone: parse("zone", &e.zone)?,
            from: e.from,
            serial: e.serial,
            added: e.added,
            removed: e.removed,
            digest: e.digest,
        }),
        Kind::ZoneStale(e) => {
            Ok(Event::ZoneStale { zone: parse("zone", &e.zone)?, problem: e.problem })
        }
        Kind::ZoneFresh(e) => Ok(Event::ZoneFresh { zone: parse("zone", &e.zone)? }),
        Kind::ZoneUpdated(e) => Ok(Event::ZoneUpdated {
            zone: parse("zone", &e.zone)?,
            key: parse("key", &e.key)?,
            changes: e.changes,
            unnamed: e.unnamed,
        }),
        Kind::TsigKeyApplied(e) => {
            Ok(Event::TsigKeyApplied { key: parse("key", &e.key)?, algorithm: e.algorithm })
        }
        Kind::TsigKeyRemoved(e) => Ok(Event::TsigKeyRemoved { key: parse("key", &e.key)? }),
        Kind::ZoneSigningChanged(e) => Ok(Event::ZoneSigningChanged {
            zone: parse("zone", &e.zone)?,
            change: e.change,
            tags: e.tags.into_iter().map(|tag| narrow("tags", tag)).collect::<Result<_, _>>()?,
            reason: e.reason,
        }),
        other => from_group_kind(other),
    }
}

fn from_group_kind(kind: Kind) -> Result<Event, DecodeError> {
    match kind {
        Kind::AutomationPaused(pause) => Pause::from_proto(pause).map(Event::AutomationPaused),
        Kind::AutomationResumed(e) => Ok(Event::AutomationResumed { by: e.by, reason: e.reason }),
        Kind::AgentAdmitted(e) => {
            Ok(Event::AgentAdmitted { agent: AgentId(e.agent), description: e.description })
        }
        Kind::AgentRemoved(e) => Ok(Event::AgentRemoved { agent: AgentId(e.agent) }),
        Kind::ObserverSilenced(e) => Ok(Event::ObserverSilenced { agent: AgentId(e.agent) }),
        Kind::ObserverHeard(e) => Ok(Event::ObserverHeard { agent: AgentId(e.agent) }),
        Kind::TermBegan(e) => Ok(Event::TermBegan { term: e.term, leader: AgentId(e.leader) }),
        Kind::SettingsChanged(changed) => Ok(Event::SettingsChanged {
            from: required("before", changed.before)?,
            to: required("after", changed.after)?,
        }),
        Kind::LogicVersionRaised(e) => Ok(Event::LogicVersionRaised { version: e.version }),
        Kind::CommandRefused(e) => {
            Ok(Event::CommandRefused { command: e.command, reason: e.reason, message: e.message })
        }
        Kind::MembershipRequested(change) => {
            MembershipChange::from_proto(change).map(Event::MembershipRequested)
        }
        Kind::ServiceApplied(_)
        | Kind::ServiceDeleted(_)
        | Kind::EndpointRegistered(_)
        | Kind::EndpointDeregistered(_)
        | Kind::VerdictChanged(_)
        | Kind::SelectionChanged(_)
        | Kind::MoveBlocked(_)
        | Kind::MoveWithheld(_)
        | Kind::OverrideSet(_)
        | Kind::OverrideEnded(_)
        | Kind::TtlChanged(_)
        | Kind::ZoneApplied(_)
        | Kind::ZoneDeleted(_)
        | Kind::ZoneSigningChanged(_)
        | Kind::ZoneCopied(_)
        | Kind::ZoneStale(_)
        | Kind::ZoneFresh(_)
        | Kind::ZoneUpdated(_)
        | Kind::TsigKeyApplied(_)
        | Kind::TsigKeyRemoved(_)
        | Kind::FailoverConverged(_) => {
            unreachable!("from_kind and from_zone_kind handle facts about services and zones")
        }
    }
}
