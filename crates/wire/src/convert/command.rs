//! Commands: one alternative each, in the order of the core's enumeration.

use holdfast_core::command::{Command, Entry};
use holdfast_core::membership::MembershipChange;
use holdfast_core::observation::{Report, Target};
use holdfast_core::overrides::Order;
use holdfast_core::spec::{Endpoint, Service, SettingsChange, Zone};
use holdfast_core::update::ZoneUpdate;
use holdfast_core::{AgentId, BootId, OverrideId, Timestamp};

use super::primitive::{from_ms, from_request_id_bytes, ms, parse, request_id_bytes, required};
use super::{Convert, tsig};
use crate::codec::ENTRY_FORMAT;
use crate::error::DecodeError;
use crate::pb::internal::v1 as pb;
use crate::pb::internal::v1::command::Command as Kind;

impl Convert for Entry {
    type Proto = pb::Entry;

    fn to_proto(&self) -> pb::Entry {
        pb::Entry {
            format: ENTRY_FORMAT,
            at_ms: self.at.0,
            request_id: request_id_bytes(self.request_id),
            actor: Some(self.actor.to_proto()),
            command: Some(self.command.to_proto()),
        }
    }

    fn from_proto(proto: pb::Entry) -> Result<Self, DecodeError> {
        Ok(Self {
            at: Timestamp(proto.at_ms),
            request_id: from_request_id_bytes(&proto.request_id)?,
            actor: required("actor", proto.actor)?,
            command: required("command", proto.command)?,
        })
    }
}

impl Convert for Command {
    type Proto = pb::Command;

    fn to_proto(&self) -> pb::Command {
        pb::Command { command: Some(to_kind(self)) }
    }

    fn from_proto(proto: pb::Command) -> Result<Self, DecodeError> {
        from_kind(proto.command.ok_or_else(|| DecodeError::missing(""))?)
    }
}

/// The message of a command; those about the group itself are in [`to_group_kind`].
fn to_kind(command: &Command) -> Kind {
    match command {
        Command::ApplyZone { zone, if_revision } => Kind::ApplyZone(pb::ApplyZone {
            zone: Some(zone.to_proto()),
            if_revision: *if_revision,
        }),
        Command::ApplyTsigKey { name, key, replace } => Kind::ApplyTsigKey(pb::ApplyTsigKey {
            key: Some(tsig::to_proto((name, key))),
            replace: *replace,
        }),
        Command::RemoveTsigKey { name } => {
            Kind::RemoveTsigKey(pb::RemoveTsigKey { name: name.to_string() })
        }
        Command::DeleteZone { name } => Kind::DeleteZone(pb::DeleteZone { name: name.to_string() }),
        Command::UpdateZone(update) => Kind::UpdateZone(update.to_proto()),
        Command::ChangeSigning { zone, change } => Kind::ChangeSigning(pb::ChangeSigning {
            zone: zone.to_string(),
            change: Some(change.to_proto()),
        }),
        Command::ApplyService { service, if_revision } => Kind::ApplyService(pb::ApplyService {
            service: Some(service.to_proto()),
            if_revision: *if_revision,
        }),
        Command::DeleteService { id, if_revision } => {
            Kind::DeleteService(pb::DeleteService { id: id.to_string(), if_revision: *if_revision })
        }
        Command::RegisterEndpoint { service, pool, endpoint } => {
            Kind::RegisterEndpoint(pb::RegisterEndpoint {
                service: service.to_string(),
                pool: pool.to_string(),
                endpoint: Some(endpoint.to_proto()),
            })
        }
        Command::DeregisterEndpoint { service, endpoint } => {
            Kind::DeregisterEndpoint(pb::DeregisterEndpoint {
                service: service.to_string(),
                endpoint: endpoint.to_string(),
            })
        }
        Command::SetOverride { service, order, reason, lasting } => {
            Kind::SetOverride(pb::SetOverride {
                service: service.to_string(),
                order: Some(order.to_proto()),
                reason: reason.clone(),
                lasting_ms: ms(*lasting),
            })
        }
        Command::ClearOverride { id, reason } => {
            Kind::ClearOverride(pb::ClearOverride { id: id.0, reason: reason.clone() })
        }
        Command::Pause { reason, lasting } => {
            Kind::Pause(pb::Pause { reason: reason.clone(), lasting_ms: ms(*lasting) })
        }
        Command::Resume { reason } => Kind::Resume(pb::Resume { reason: reason.clone() }),
        _ => to_group_kind(command),
    }
}

fn to_group_kind(command: &Command) -> Kind {
    match command {
        Command::RecordObservations(report) => Kind::RecordObservations(report.to_proto()),
        Command::RecordHeartbeats { term, beats } => {
            let beat = |(target, reports): &(Target, bool)| pb::Beat {
                target: Some(target.to_proto()),
                reports: *reports,
            };
            let beats = beats.iter().map(beat).collect();
            Kind::RecordHeartbeats(pb::RecordHeartbeats { term: *term, beats })
        }
        Command::RecordConvergence { term, service, convergence } => {
            Kind::RecordConvergence(pb::RecordConvergence {
                term: *term,
                service: service.to_string(),
                convergence: Some(convergence.to_proto()),
            })
        }
        Command::RecordZoneCopy { term, zone, declared, fetched } => {
            Kind::RecordZoneCopy(pb::RecordZoneCopy {
                term: *term,
                zone: zone.to_string(),
                fetched: Some(fetched.to_proto()),
                declared: *declared,
            })
        }
        Command::RecordZoneSource { term, zone, declared, problem } => {
            Kind::RecordZoneSource(pb::RecordZoneSource {
                term: *term,
                zone: zone.to_string(),
                problem: problem.clone(),
                declared: *declared,
            })
        }
        Command::SilenceObserver { term, agent, boot } => {
            Kind::SilenceObserver(pb::SilenceObserver { term: *term, agent: agent.0, boot: boot.0 })
        }
        Command::AdmitAgent { id, name, region, observer } => Kind::AdmitAgent(pb::AdmitAgent {
            id: id.0,
            name: name.to_string(),
            region: region.to_string(),
            observer: *observer,
        }),
        Command::RemoveAgent { id } => Kind::RemoveAgent(pb::RemoveAgent { id: id.0 }),
        Command::RequestMembership(change) => Kind::RequestMembership(change.to_proto()),
        Command::BeginTerm { term, leader } => {
            Kind::BeginTerm(pb::BeginTerm { term: *term, leader: leader.0 })
        }
        Command::ChangeSettings(settings) => Kind::ChangeSettings(settings.to_proto()),
        Command::AdvanceTime => Kind::AdvanceTime(pb::AdvanceTime {}),
        Command::RaiseLogicVersion { version } => {
            Kind::RaiseLogicVersion(pb::RaiseLogicVersion { version: *version })
        }
        Command::ApplyZone { .. }
        | Command::DeleteZone { .. }
        | Command::ApplyTsigKey { .. }
        | Command::RemoveTsigKey { .. }
        | Command::UpdateZone(_)
        | Command::ChangeSigning { .. }
        | Command::ApplyService { .. }
        | Command::DeleteService { .. }
        | Command::RegisterEndpoint { .. }
        | Command::DeregisterEndpoint { .. }
        | Command::SetOverride { .. }
        | Command::ClearOverride { .. }
        | Command::Pause { .. }
        | Command::Resume { .. } => unreachable!("to_kind handles what clients ask"),
    }
}

fn from_kind(kind: Kind) -> Result<Command, DecodeError> {
    let label = label(&kind);
    decode(kind).map_err(|e| e.within(label))
}

fn decode(kind: Kind) -> Result<Command, DecodeError> {
    match kind {
        Kind::ApplyZone(proto) => {
            let zone: Zone = required("zone", proto.zone)?;
            Ok(Command::ApplyZone { zone, if_revision: proto.if_revision })
        }
        Kind::ApplyTsigKey(proto) => {
            let key = proto.key.ok_or_else(|| DecodeError::missing("key"))?;
            let (name, key) = tsig::from_proto(key).map_err(|e| e.within("key"))?;
            Ok(Command::ApplyTsigKey { name, key, replace: proto.replace })
        }
        Kind::RemoveTsigKey(proto) => {
            Ok(Command::RemoveTsigKey { name: parse("name", &proto.name)? })
        }
        Kind::DeleteZone(proto) => Ok(Command::DeleteZone { name: parse("name", &proto.name)? }),
        Kind::UpdateZone(proto) => ZoneUpdate::from_proto(proto).map(Command::UpdateZone),
        Kind::ChangeSigning(proto) => {
            let change = required("change", proto.change)?;
            Ok(Command::ChangeSigning { zone: parse("zone", &proto.zone)?, change })
        }
        Kind::ApplyService(proto) => {
            let service: Service = required("service", proto.service)?;
            Ok(Command::ApplyService { service, if_revision: proto.if_revision })
        }
        Kind::DeleteService(proto) => {
            let id = parse("id", &proto.id)?;
            Ok(Command::DeleteService { id, if_revision: proto.if_revision })
        }
        Kind::RegisterEndpoint(proto) => {
            let endpoint: Endpoint = required("endpoint", proto.endpoint)?;
            let service = parse("service", &proto.service)?;
            Ok(Command::RegisterEndpoint { service, pool: parse("pool", &proto.pool)?, endpoint })
        }
        Kind::DeregisterEndpoint(proto) => Ok(Command::DeregisterEndpoint {
            service: parse("service", &proto.service)?,
            endpoint: parse("endpoint", &proto.endpoint)?,
        }),
        Kind::SetOverride(proto) => {
            let order: Order = required("order", proto.order)?;
            Ok(Command::SetOverride {
                service: parse("service", &proto.service)?,
                order,
                reason: proto.reason,
                lasting: from_ms(proto.lasting_ms),
            })
        }
        Kind::ClearOverride(proto) => {
            Ok(Command::ClearOverride { id: OverrideId(proto.id), reason: proto.reason })
        }
        Kind::Pause(proto) => {
            Ok(Command::Pause { reason: proto.reason, lasting: from_ms(proto.lasting_ms) })
        }
        Kind::Resume(proto) => Ok(Command::Resume { reason: proto.reason }),
        other => decode_group(other),
    }
}

fn decode_group(kind: Kind) -> Result<Command, DecodeError> {
    match kind {
        Kind::RecordObservations(proto) => {
            Report::from_proto(proto).map(Command::RecordObservations)
        }
        Kind::RecordHeartbeats(proto) => {
            let beats =
                proto.beats.into_iter().map(|b| Ok((required("target", b.target)?, b.reports)));
            let beats = beats.collect::<Result<Vec<(Target, bool)>, DecodeError>>()?;
            Ok(Command::RecordHeartbeats { term: proto.term, beats })
        }
        Kind::RecordConvergence(proto) => Ok(Command::RecordConvergence {
            term: proto.term,
            service: parse("service", &proto.service)?,
            convergence: required("convergence", proto.convergence)?,
        }),
        Kind::RecordZoneCopy(proto) => Ok(Command::RecordZoneCopy {
            term: proto.term,
            zone: parse("zone", &proto.zone)?,
            declared: proto.declared,
            fetched: required("fetched", proto.fetched)?,
        }),
        Kind::RecordZoneSource(proto) => Ok(Command::RecordZoneSource {
            term: proto.term,
            zone: parse("zone", &proto.zone)?,
            declared: proto.declared,
            problem: proto.problem,
        }),
        Kind::SilenceObserver(pb::SilenceObserver { term, agent, boot }) => {
            Ok(Command::SilenceObserver { term, agent: AgentId(agent), boot: BootId(boot) })
        }
        Kind::AdmitAgent(proto) => Ok(Command::AdmitAgent {
            id: AgentId(proto.id),
            name: parse("name", &proto.name)?,
            region: parse("region", &proto.region)?,
            observer: proto.observer,
        }),
        Kind::RemoveAgent(proto) => Ok(Command::RemoveAgent { id: AgentId(proto.id) }),
        Kind::RequestMembership(proto) => {
            MembershipChange::from_proto(proto).map(Command::RequestMembership)
        }
        Kind::BeginTerm(proto) => {
            Ok(Command::BeginTerm { term: proto.term, leader: AgentId(proto.leader) })
        }
        Kind::ChangeSettings(proto) => {
            SettingsChange::from_proto(proto).map(Command::ChangeSettings)
        }
        Kind::AdvanceTime(pb::AdvanceTime {}) => Ok(Command::AdvanceTime),
        Kind::RaiseLogicVersion(proto) => Ok(Command::RaiseLogicVersion { version: proto.version }),
        Kind::ApplyZone(_)
        | Kind::DeleteZone(_)
        | Kind::ApplyTsigKey(_)
        | Kind::RemoveTsigKey(_)
        | Kind::UpdateZone(_)
        | Kind::ChangeSigning(_)
        | Kind::ApplyService(_)
        | Kind::DeleteService(_)
        | Kind::RegisterEndpoint(_)
        | Kind::DeregisterEndpoint(_)
        | Kind::SetOverride(_)
        | Kind::ClearOverride(_)
        | Kind::Pause(_)
        | Kind::Resume(_) => unreachable!("decode handles what clients ask"),
    }
}

fn label(kind: &Kind) -> &'static str {
    match kind {
        Kind::ApplyZone(_) => "apply_zone",
        Kind::DeleteZone(_) => "delete_zone",
        Kind::ApplyTsigKey(_) => "apply_tsig_key",
        Kind::RemoveTsigKey(_) => "remove_tsig_key",
        Kind::UpdateZone(_) => "update_zone",
        Kind::ChangeSigning(_) => "change_signing",
        Kind::ApplyService(_) => "apply_service",
        Kind::DeleteService(_) => "delete_service",
        Kind::RegisterEndpoint(_) => "register_endpoint",
        Kind::DeregisterEndpoint(_) => "deregister_endpoint",
        Kind::RecordObservations(_) => "record_observations",
        Kind::RecordHeartbeats(_) => "record_heartbeats",
        Kind::RecordConvergence(_) => "record_convergence",
        Kind::RecordZoneCopy(_) => "record_zone_copy",
        Kind::RecordZoneSource(_) => "record_zone_source",
        Kind::SilenceObserver(_) => "silence_observer",
        Kind::SetOverride(_) => "set_override",
        Kind::ClearOverride(_) => "clear_override",
        Kind::Pause(_) => "pause",
        Kind::Resume(_) => "resume",
        Kind::AdmitAgent(_) => "admit_agent",
        Kind::RemoveAgent(_) => "remove_agent",
        Kind::RequestMembership(_) => "request_membership",
        Kind::BeginTerm(_) => "begin_term",
        Kind::ChangeSettings(_) => "change_settings",
        Kind::AdvanceTime(_) => "advance_time",
        Kind::RaiseLogicVersion(_) => "raise_logic_version",
    }
}
