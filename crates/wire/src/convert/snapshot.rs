//! Snapshots: everything that is replicated.

use std::collections::BTreeMap;
use std::sync::Arc;

use holdfast_core::command::Outcome;
use holdfast_core::copied::Copied;
use holdfast_core::observation::Target;
use holdfast_core::selection::{Admission, Automatic};
use holdfast_core::spec::Record;
use holdfast_core::state::{
    AgentState, CheckState, Dynamic, EndpointState, OpinionState, ServiceState, Snapshot, ZoneState,
};
use holdfast_core::view::Agent;
use holdfast_core::{AgentId, BootId, DnsName, Epoch, GroupId, RequestId, Timestamp};

use super::primitive::{
    enumerated, from_list, from_request_id_bytes, list, narrow, optional, parse, parse_option,
    request_id_bytes, required, stamps,
};
use super::{Convert, tsig};
use crate::codec::SNAPSHOT_FORMAT;
use crate::error::DecodeError;
use crate::pb::internal::v1 as pb;
use crate::pb::v1 as holdfast_v1;

impl Convert for Snapshot {
    type Proto = pb::Snapshot;

    fn to_proto(&self) -> pb::Snapshot {
        let reply = |(id, outcome): (&RequestId, &Outcome)| pb::ReplyState {
            request_id: request_id_bytes(Some(*id)),
            outcome: Some(outcome.to_proto()),
        };
        let order = |(at, id): &(Timestamp, RequestId)| pb::ReplyOrder {
            at_ms: at.0,
            request_id: request_id_bytes(Some(*id)),
        };
        pb::Snapshot {
            format: SNAPSHOT_FORMAT,
            group: self.group.0,
            generation: self.generation,
            index: self.index,
            at_ms: self.at.0,
            logic_version: self.logic_version,
            settings: Some(self.settings.to_proto()),
            term: self.term.map(|(term, leader)| pb::BeginTerm { term, leader: leader.0 }),
            warm_up_until_ms: self.warm_up_until.0,
            pause: self.pause.as_ref().map(Convert::to_proto),
            audit: Some(self.audit.to_proto()),
            membership: Some(self.membership.to_proto()),
            tsig_keys: self.tsig_keys.iter().map(tsig::to_proto).collect(),
            agents: self.agents.values().map(agent).collect(),
            zones: self.zones.values().map(zone).collect(),
            deleted_zones: self.deleted_zones.iter().map(deleted_zone).collect(),
            services: self.services.values().map(|state| service(state)).collect(),
            overrides: self.overrides.values().map(Convert::to_proto).collect(),
            moves_ms: self.moves.iter().map(|at| at.0).collect(),
            replies: self.replies.iter().map(reply).collect(),
            reply_order: self.reply_order.iter().map(order).collect(),
            update_order: self.update_order.iter().map(order).collect(),
        }
    }

    fn from_proto(proto: pb::Snapshot) -> Result<Self, DecodeError> {
        let overrides: Vec<holdfast_core::overrides::Override> =
            from_list("overrides", proto.overrides)?;
        let order = |o: pb::ReplyOrder| Ok((Timestamp(o.at_ms), known_id(&o.request_id)?));
        let reply =
            |r: pb::ReplyState| Ok((known_id(&r.request_id)?, required("outcome", r.outcome)?));
        Ok(Self {
            group: GroupId(proto.group),
            generation: proto.generation,
            index: proto.index,
            at: Timestamp(proto.at_ms),
            logic_version: proto.logic_version,
            settings: required("settings", proto.settings)?,
            term: proto.term.map(|term| (term.term, AgentId(term.leader))),
            warm_up_until: Timestamp(proto.warm_up_until_ms),
            pause: optional("pause", proto.pause)?,
            audit: required("audit", proto.audit)?,
            membership: required("membership", proto.membership)?,
            agents: each("agents", proto.agents, from_agent)?,
            zones: each("zones", proto.zones, from_zone)?,
            deleted_zones: each("deleted_zones", proto.deleted_zones, from_deleted_zone)?,
            tsig_keys: Arc::new(each("tsig_keys", proto.tsig_keys, tsig::from_proto)?),
            services: each("services", proto.services, from_service)?,
            overrides: overrides.into_iter().map(|order| (order.id, order)).collect(),
            moves: proto.moves_ms.into_iter().map(Timestamp).collect(),
            replies: each("replies", proto.replies, reply)?,
            reply_order: each("reply_order", proto.reply_order, order)?,
            update_order: each("update_order", proto.update_order, order)?,
        })
    }
}

/// Converts every part, into whatever holds them.
fn each<P, T, C: FromIterator<T>>(
    field: &str,
    protos: Vec<P>,
    convert: impl Fn(P) -> Result<T, DecodeError>,
) -> Result<C, DecodeError> {
    let place = |(i, proto)| convert(proto).map_err(|e| e.within(&format!("{field}[{i}]")));
    protos.into_iter().enumerate().map(place).collect()
}

fn known_id(bytes: &[u8]) -> Result<RequestId, DecodeError> {
    from_request_id_bytes(bytes)?.ok_or_else(|| DecodeError::missing("request_id"))
}

fn agent(state: &AgentState) -> pb::AgentState {
    pb::AgentState {
        id: state.agent.id.0,
        name: state.agent.name.to_string(),
        region: state.agent.region.to_string(),
        observer: state.agent.observer,
        heard: state.agent.heard.map(|boot| boot.0),
        boot: state.boot.map(|boot| boot.0),
        sequence: state.sequence,
        paged: state.paged.as_ref().map(Convert::to_proto),
    }
}

fn from_agent(proto: pb::AgentState) -> Result<(AgentId, AgentState), DecodeError> {
    let agent = Agent {
        id: AgentId(proto.id),
        name: parse("name", &proto.name)?,
        region: parse("region", &proto.region)?,
        observer: proto.observer,
        heard: proto.heard.map(BootId),
    };
    let boot = proto.boot.map(BootId);
    let paged: Option<Target> = optional("paged", proto.paged)?;
    Ok((agent.id, AgentState { agent, boot, sequence: proto.sequence, paged }))
}

fn deleted_zone((name, until): (&DnsName, &Timestamp)) -> pb::DeletedZone {
    pb::DeletedZone { name: name.to_string(), kept_until_ms: until.0 }
}

fn from_deleted_zone(proto: pb::DeletedZone) -> Result<(DnsName, Timestamp), DecodeError> {
    Ok((parse("name", &proto.name)?, Timestamp(proto.kept_until_ms)))
}

fn zone(state: &ZoneState) -> pb::ZoneState {
    pb::ZoneState {
        zone: Some(state.zone.to_proto()),
        revision: state.revision,
        touched: state.touched,
        signing: Some(state.signing.to_proto()),
        copied: state.copied.as_ref().map(|copied| copied.to_proto()),
        stale: state.stale.clone(),
        dynamic: state.dynamic.values().flatten().map(Convert::to_proto).collect(),
        former_ttls_until_ms: state.former_ttls_until.0,
    }
}

fn from_zone(proto: pb::ZoneState) -> Result<(DnsName, ZoneState), DecodeError> {
    let zone: holdfast_core::spec::Zone = required("zone", proto.zone)?;
    let name = zone.name.clone();
    let signing = optional("signing", proto.signing)?.unwrap_or_default();
    let copied: Option<Copied> = optional("copied", proto.copied)?;
    let state = ZoneState {
        touched: proto.touched,
        signing,
        former_ttls_until: Timestamp(proto.former_ttls_until_ms),
        copied: copied.map(Arc::new),
        stale: proto.stale,
        dynamic: from_dynamic(proto.dynamic)?,
        ..ZoneState::new(zone, proto.revision)
    };
    Ok((name, state))
}

fn from_dynamic(protos: Vec<holdfast_v1::Record>) -> Result<Dynamic, DecodeError> {
    let mut dynamic: BTreeMap<DnsName, Vec<Record>> = BTreeMap::new();
    for record in from_list::<Record>("dynamic", protos)? {
        dynamic.entry(record.name.clone()).or_default().push(record);
    }
    Ok(dynamic.into_iter().collect())
}

fn service(state: &ServiceState) -> pb::ServiceState {
    pb::ServiceState {
        spec: Some(state.spec.to_proto()),
        revision: state.revision,
        epoch: state.epoch.0,
        selection: Some(state.selection.to_proto()),
        selected_at_ms: state.selected_at.0,
        last_good: state.last_good.as_ref().map(Convert::to_proto),
        automatic: Some(state.automatic.to_proto()),
        blocked: state.blocked.as_ref().map(Convert::to_proto),
        moves_ms: stamps(&state.moves),
        steps: list(&state.steps),
        decided_at_ms: state.decided_at.0,
        endpoints: state.endpoints.iter().map(endpoint).collect(),
        ttl: Some(state.ttl.to_proto()),
        convergence: state.convergence.as_ref().map(Convert::to_proto),
    }
}

fn from_service(
    proto: pb::ServiceState,
) -> Result<(holdfast_core::ServiceId, Arc<ServiceState>), DecodeError> {
    let spec: holdfast_core::spec::Service = required("spec", proto.spec)?;
    let state = ServiceState {
        revision: proto.revision,
        epoch: Epoch(proto.epoch),
        selection: required("selection", proto.selection)?,
        selected_at: Timestamp(proto.selected_at_ms),
        last_good: optional("last_good", proto.last_good)?,
        automatic: required("automatic", proto.automatic)?,
        blocked: optional("blocked", proto.blocked)?,
        moves: proto.moves_ms.into_iter().map(Timestamp).collect(),
        steps: from_list("steps", proto.steps)?,
        decided_at: Timestamp(proto.decided_at_ms),
        endpoints: each("endpoints", proto.endpoints, from_endpoint)?,
        ttl: required("ttl", proto.ttl)?,
        convergence: optional("convergence", proto.convergence)?,
        spec: Arc::new(spec),
    };
    Ok((state.spec.id.clone(), Arc::new(state)))
}

impl Convert for Admission {
    type Proto = i32;

    fn to_proto(&self) -> i32 {
        match self {
            Self::New => pb::Admission::New as i32,
            Self::In => pb::Admission::In as i32,
            Self::Out => pb::Admission::Out as i32,
        }
    }

    fn from_proto(number: i32) -> Result<Self, DecodeError> {
        match pb::Admission::try_from(number) {
            Ok(pb::Admission::New) => Ok(Self::New),
            Ok(pb::Admission::In) => Ok(Self::In),
            Ok(pb::Admission::Out) => Ok(Self::Out),
            Ok(pb::Admission::Unspecified) => Err(DecodeError::missing("")),
            Err(_) => Err(DecodeError::invalid("", format!("there is no value {number}"))),
        }
    }
}

impl Convert for Automatic {
    type Proto = pb::Automatic;

    fn to_proto(&self) -> pb::Automatic {
        let admitted = |(endpoint, admission): (&holdfast_core::EndpointName, &Admission)| {
            pb::Admitted { endpoint: endpoint.to_string(), admission: admission.to_proto() }
        };
        pb::Automatic {
            active: self.active.as_ref().map(ToString::to_string),
            detour: self.detour.as_ref().map(ToString::to_string),
            admission: self.admission.iter().map(admitted).collect(),
        }
    }

    fn from_proto(proto: pb::Automatic) -> Result<Self, DecodeError> {
        let admitted = |a: pb::Admitted| {
            Ok((parse("endpoint", &a.endpoint)?, enumerated("admission", a.admission)?))
        };
        Ok(Self {
            active: parse_option("active", proto.active.as_ref())?,
            detour: parse_option("detour", proto.detour.as_ref())?,
            admission: each("admission", proto.admission, admitted)?,
        })
    }
}

fn endpoint((name, state): (&holdfast_core::EndpointName, &EndpointState)) -> pb::EndpointState {
    pb::EndpointState {
        endpoint: name.to_string(),
        verdict: state.verdict.to_proto(),
        since_ms: state.since.0,
        checks: state.checks.iter().map(check).collect(),
    }
}

fn from_endpoint(
    proto: pb::EndpointState,
) -> Result<(holdfast_core::EndpointName, EndpointState), DecodeError> {
    let state = EndpointState {
        verdict: enumerated("verdict", proto.verdict)?,
        since: Timestamp(proto.since_ms),
        checks: each("checks", proto.checks, from_check)?,
    };
    Ok((parse("endpoint", &proto.endpoint)?, state))
}

fn check((name, state): (&holdfast_core::CheckName, &CheckState)) -> pb::CheckState {
    pb::CheckState {
        check: name.to_string(),
        fingerprint: state.fingerprint,
        verdict: state.verdict.to_proto(),
        opinions: state.opinions.iter().map(opinion).collect(),
    }
}

fn from_check(
    proto: pb::CheckState,
) -> Result<(holdfast_core::CheckName, CheckState), DecodeError> {
    let opinions: BTreeMap<AgentId, OpinionState> = each("opinions", proto.opinions, from_opinion)?;
    let verdict = enumerated("verdict", proto.verdict)?;
    let state = CheckState { fingerprint: proto.fingerprint, verdict, opinions };
    Ok((parse("check", &proto.check)?, state))
}

fn opinion((agent, state): (&AgentId, &OpinionState)) -> pb::OpinionState {
    pb::OpinionState {
        agent: agent.0,
        state: state.state.to_proto(),
        failure: state.failure.as_ref().map(Convert::to_proto),
        since_ms: state.since.0,
        band: state.band.into(),
        sequence: state.sequence,
        boot: state.boot.0,
        recorded_at_ms: state.recorded_at.0,
    }
}

fn from_opinion(proto: pb::OpinionState) -> Result<(AgentId, OpinionState), DecodeError> {
    let state = OpinionState {
        state: enumerated("state", proto.state)?,
        failure: optional("failure", proto.failure)?,
        since: Timestamp(proto.since_ms),
        band: narrow("band", proto.band)?,
        sequence: proto.sequence,
        boot: BootId(proto.boot),
        recorded_at: Timestamp(proto.recorded_at_ms),
    };
    Ok((AgentId(proto.agent), state))
}
