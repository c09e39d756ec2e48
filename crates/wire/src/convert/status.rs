//! How things stand: evidence, tallies, selections, the reasoning of decisions.

use holdfast_core::decision::{Basis, BlockReason, Cause, Selection, Served, Standing, Step};
use holdfast_core::quorum::{Evidence, RegionTally, Tally, Verdict};
use holdfast_core::selection::Blocked;
use holdfast_core::spec::{Address, AllDown};
use holdfast_core::view::{CheckStatus, EndpointStatus, ServiceStatus};
use holdfast_core::{AgentId, BootId, OverrideId, Timestamp};

use super::Convert;
use super::primitive::{
    enumerated, enumeration, from_list, list, narrow, optional, parse, parse_option, required,
    stamps,
};
use crate::error::DecodeError;
use crate::pb::v1 as pb;

enumeration!(Verdict, Verdict { Unknown, Up, Down });
enumeration!(Basis, Basis { Unjudged, Healthy, Ordered, AllDown });
enumeration!(Cause, Cause { Declared, Ordered, Failed, Recovered, Judged });
enumeration!(Standing, Standing { Up, Unsure, Down });
enumeration!(
    BlockReason,
    BlockReason {
        Paused,
        WarmUp,
        Cooldown,
        HoldDown,
        ManualFailback,
        ServiceBudget,
        GroupBudget,
        ObserveMode,
    }
);

impl Convert for Evidence {
    type Proto = pb::Evidence;

    fn to_proto(&self) -> pb::Evidence {
        pb::Evidence {
            agent: self.agent.0,
            region: self.region.to_string(),
            boot: self.boot.0,
            sequence: self.sequence,
            state: self.state.to_proto(),
            failure: self.failure.as_ref().map(Convert::to_proto),
            since_ms: self.since.0,
            recorded_at_ms: self.recorded_at.0,
        }
    }

    fn from_proto(proto: pb::Evidence) -> Result<Self, DecodeError> {
        Ok(Self {
            agent: AgentId(proto.agent),
            region: parse("region", &proto.region)?,
            boot: BootId(proto.boot),
            sequence: proto.sequence,
            state: enumerated("state", proto.state)?,
            failure: optional("failure", proto.failure)?,
            since: Timestamp(proto.since_ms),
            recorded_at: Timestamp(proto.recorded_at_ms),
        })
    }
}

impl Convert for Served {
    type Proto = pb::Served;

    fn to_proto(&self) -> pb::Served {
        use pb::served::Address as Kind;
        let address = match &self.address {
            Address::Ip(ip) => Kind::Ip(ip.to_string()),
            Address::Name(name) => Kind::HostName(name.to_string()),
        };
        pb::Served {
            pool: self.pool.to_string(),
            endpoint: self.endpoint.to_string(),
            address: Some(address),
            port: self.port.into(),
            weight: self.weight,
        }
    }

    fn from_proto(proto: pb::Served) -> Result<Self, DecodeError> {
        use pb::served::Address as Kind;
        let address = match proto.address.ok_or_else(|| DecodeError::missing("address"))? {
            Kind::Ip(ip) => Address::Ip(parse("ip", &ip)?),
            Kind::HostName(name) => Address::Name(parse("host_name", &name)?),
        };
        Ok(Self {
            pool: parse("pool", &proto.pool)?,
            endpoint: parse("endpoint", &proto.endpoint)?,
            address,
            port: narrow("port", proto.port)?,
            weight: proto.weight,
        })
    }
}

impl Convert for Selection {
    type Proto = pb::Selection;

    fn to_proto(&self) -> pb::Selection {
        pb::Selection {
            active: self.active.as_ref().map(ToString::to_string),
            served: list(&self.served),
            refused: self.refused,
            basis: self.basis.to_proto(),
        }
    }

    fn from_proto(proto: pb::Selection) -> Result<Self, DecodeError> {
        Ok(Self {
            active: parse_option("active", proto.active.as_ref())?,
            served: from_list("served", proto.served)?,
            refused: proto.refused,
            basis: enumerated("basis", proto.basis)?,
        })
    }
}

impl Convert for Blocked {
    type Proto = pb::Blocked;

    fn to_proto(&self) -> pb::Blocked {
        pb::Blocked {
            reason: self.reason.to_proto(),
            until_ms: self.until.map(|at| at.0),
            wanted: Some(self.wanted.to_proto()),
        }
    }

    fn from_proto(proto: pb::Blocked) -> Result<Self, DecodeError> {
        Ok(Self {
            reason: enumerated("reason", proto.reason)?,
            until: proto.until_ms.map(Timestamp),
            wanted: required("wanted", proto.wanted)?,
        })
    }
}

impl Convert for Step {
    type Proto = pb::Step;

    fn to_proto(&self) -> pb::Step {
        use pb::step::Step as Kind;
        let step = match self {
            Self::Pinned { pool, order } => {
                Kind::Pinned(pb::PinnedStep { pool: pool.to_string(), r#override: order.0 })
            }
            Self::Pool { pool, priority, up, held, out, min_up, standing } => {
                Kind::Pool(pb::PoolStep {
                    pool: pool.to_string(),
                    priority: (*priority).into(),
                    up: (*up).into(),
                    held: (*held).into(),
                    out: (*out).into(),
                    min_up: (*min_up).into(),
                    standing: standing.to_proto(),
                })
            }
            Self::Wanted { active, endpoints } => Kind::Wanted(pb::WantedStep {
                active: active.as_ref().map(ToString::to_string),
                endpoints: (*endpoints).into(),
            }),
            Self::AllDown { policy } => Kind::AllDown(policy.to_proto()),
            Self::Blocked { reason, until } => Kind::Blocked(pb::BlockedStep {
                reason: reason.to_proto(),
                until_ms: until.map(|at| at.0),
            }),
            Self::Kept => Kind::Kept(pb::KeptStep {}),
            Self::Moved { cause } => Kind::Moved(pb::MovedStep { cause: cause.to_proto() }),
        };
        pb::Step { step: Some(step) }
    }

    fn from_proto(proto: pb::Step) -> Result<Self, DecodeError> {
        use pb::step::Step as Kind;
        match proto.step.ok_or_else(|| DecodeError::missing(""))? {
            Kind::Pinned(step) => Ok(Self::Pinned {
                pool: parse("pool", &step.pool)?,
                order: OverrideId(step.r#override),
            }),
            Kind::Pool(step) => Ok(Self::Pool {
                pool: parse("pool", &step.pool)?,
                priority: narrow("priority", step.priority)?,
                up: narrow("up", step.up)?,
                held: narrow("held", step.held)?,
                out: narrow("out", step.out)?,
                min_up: narrow("min_up", step.min_up)?,
                standing: enumerated("standing", step.standing)?,
            }),
            Kind::Wanted(step) => Ok(Self::Wanted {
                active: parse_option("active", step.active.as_ref())?,
                endpoints: narrow("endpoints", step.endpoints)?,
            }),
            Kind::AllDown(policy) => Ok(Self::AllDown { policy: AllDown::from_proto(policy)? }),
            Kind::Blocked(step) => Ok(Self::Blocked {
                reason: enumerated("reason", step.reason)?,
                until: step.until_ms.map(Timestamp),
            }),
            Kind::Kept(pb::KeptStep {}) => Ok(Self::Kept),
            Kind::Moved(step) => Ok(Self::Moved { cause: enumerated("cause", step.cause)? }),
        }
    }
}

fn region_tally(tally: &RegionTally) -> pb::RegionTally {
    pb::RegionTally {
        region: tally.region.to_string(),
        observers: tally.observers,
        up: tally.up,
        down: tally.down,
    }
}

fn tally(tally: &Tally) -> pb::Tally {
    pb::Tally {
        regions: tally.regions.iter().map(region_tally).collect(),
        needed: tally.needed,
        veto: tally.veto,
        result: tally.result.map_or(pb::Verdict::Unspecified as i32, |verdict| verdict.to_proto()),
        stale: tally.stale,
        partial: tally.partial,
    }
}

fn check_status(status: &CheckStatus) -> pb::CheckStatus {
    pb::CheckStatus {
        check: status.check.to_string(),
        verdict: status.verdict.to_proto(),
        tally: Some(tally(&status.tally)),
        opinions: list(&status.opinions),
    }
}

fn endpoint_status(status: &EndpointStatus) -> pb::EndpointStatus {
    pb::EndpointStatus {
        endpoint: status.endpoint.to_string(),
        verdict: status.verdict.to_proto(),
        stale: status.stale,
        partial: status.partial,
        since_ms: status.since.0,
        checks: status.checks.iter().map(check_status).collect(),
    }
}

/// The message that tells how a service stands. One way only: a status is made by the state alone.
pub fn service_status(status: &ServiceStatus) -> pb::ServiceStatus {
    pb::ServiceStatus {
        epoch: status.epoch.0,
        selection: Some(status.selection.to_proto()),
        selected_at_ms: status.selected_at.0,
        steps: list(&status.steps),
        decided_at_ms: status.decided_at.0,
        moves_ms: stamps(&status.moves),
        endpoints: status.endpoints.iter().map(endpoint_status).collect(),
        blocked: status.blocked.as_ref().map(Convert::to_proto),
        ttl: Some(status.ttl.to_proto()),
    }
}
