//! What observers say: targets, failures, opinions, reports.

use holdfast_core::observation::{Extent, Observation, ObserverState, Report, Target};
use holdfast_core::sample::{Failure, FailureKind, Phase};
use holdfast_core::{AgentId, BootId, Timestamp};

use super::Convert;
use super::primitive::{enumerated, enumeration, from_list, list, ns, optional, parse, required};
use crate::codec::REPORT_FORMAT;
use crate::error::DecodeError;
use crate::pb::internal::v1 as internal;
use crate::pb::v1 as pb;

enumeration!(ObserverState, ObserverState { Unknown, Up, Down });
enumeration!(Phase, Phase { Resolve, Connect, Tls, Send, FirstByte, Body, Assert, Heartbeat });
enumeration!(
    FailureKind,
    FailureKind {
        Refused,
        Reset,
        Timeout,
        Unreachable,
        NoAddress,
        Certificate,
        Protocol,
        Status,
        Content,
        Slow,
        Silent,
    }
);

impl Convert for Target {
    type Proto = internal::Target;

    fn to_proto(&self) -> internal::Target {
        internal::Target {
            service: self.service.to_string(),
            endpoint: self.endpoint.to_string(),
            check: self.check.to_string(),
        }
    }

    fn from_proto(proto: internal::Target) -> Result<Self, DecodeError> {
        Ok(Self {
            service: parse("service", &proto.service)?,
            endpoint: parse("endpoint", &proto.endpoint)?,
            check: parse("check", &proto.check)?,
        })
    }
}

impl Convert for Failure {
    type Proto = pb::Failure;

    fn to_proto(&self) -> pb::Failure {
        pb::Failure {
            phase: self.phase.to_proto(),
            kind: self.kind.to_proto(),
            detail: self.detail.clone(),
        }
    }

    fn from_proto(proto: pb::Failure) -> Result<Self, DecodeError> {
        Ok(Self {
            phase: enumerated("phase", proto.phase)?,
            kind: enumerated("kind", proto.kind)?,
            detail: proto.detail,
        })
    }
}

impl Convert for Observation {
    type Proto = internal::Observation;

    fn to_proto(&self) -> internal::Observation {
        internal::Observation {
            target: Some(self.target.to_proto()),
            state: self.state.to_proto(),
            failure: self.failure.as_ref().map(Convert::to_proto),
            latency_ns: ns(self.latency),
            since_ms: self.since.0,
            fingerprint: self.fingerprint,
        }
    }

    fn from_proto(proto: internal::Observation) -> Result<Self, DecodeError> {
        Ok(Self {
            target: required("target", proto.target)?,
            fingerprint: proto.fingerprint,
            state: enumerated("state", proto.state)?,
            failure: optional("failure", proto.failure)?,
            latency: std::time::Duration::from_nanos(proto.latency_ns),
            since: Timestamp(proto.since_ms),
        })
    }
}

impl Convert for Report {
    type Proto = internal::Report;

    fn to_proto(&self) -> internal::Report {
        let page = match &self.extent {
            Extent::Changes => None,
            Extent::Page { after, last } => {
                Some(internal::Page { after: after.as_ref().map(Convert::to_proto), last: *last })
            }
        };
        internal::Report {
            format: REPORT_FORMAT,
            agent: self.agent.0,
            boot: self.boot.0,
            sequence: self.sequence,
            page,
            observations: list(&self.observations),
        }
    }

    fn from_proto(proto: internal::Report) -> Result<Self, DecodeError> {
        let extent = match proto.page {
            None => Extent::Changes,
            Some(internal::Page { after, last }) => {
                Extent::Page { after: optional("after", after)?, last }
            }
        };
        Ok(Self {
            agent: AgentId(proto.agent),
            boot: BootId(proto.boot),
            sequence: proto.sequence,
            extent,
            observations: from_list("observations", proto.observations)?,
        })
    }
}
