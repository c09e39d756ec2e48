//! The envelope in protobuf.

use holdfast_core::{AgentId, GroupId};

use super::{Message, MessageKind, Refusal, RefusalReason};
use crate::pb::internal::v1 as pb;
use crate::pb::internal::v1::RefusalReason as Number;

pub(super) fn to_proto(message: Message) -> pb::PeerMessage {
    pb::PeerMessage {
        cluster: message.cluster,
        generation: message.generation,
        group: message.group.0,
        from: message.from.0,
        to: message.to.0,
        kind: message.kind.0,
        body: message.body,
    }
}

pub(super) fn from_proto(proto: pb::PeerMessage) -> Message {
    Message {
        cluster: proto.cluster,
        generation: proto.generation,
        group: GroupId(proto.group),
        from: AgentId(proto.from),
        to: AgentId(proto.to),
        kind: MessageKind(proto.kind),
        body: proto.body,
    }
}

pub(super) fn refusal_to_proto(refusal: Refusal) -> pb::PeerRefusal {
    let (number, leader) = match refusal.reason {
        RefusalReason::WrongCluster => (Number::WrongCluster, None),
        RefusalReason::WrongNode => (Number::WrongNode, None),
        RefusalReason::UnknownGroup => (Number::UnknownGroup, None),
        RefusalReason::OldGeneration => (Number::OldGeneration, None),
        RefusalReason::StartingUp => (Number::StartingUp, None),
        RefusalReason::NotLeader { leader } => (Number::NotLeader, leader.map(|id| id.0)),
        RefusalReason::UnknownKind => (Number::UnknownKind, None),
        RefusalReason::Malformed => (Number::Malformed, None),
        RefusalReason::Denied => (Number::Denied, None),
        RefusalReason::Busy => (Number::Busy, None),
        RefusalReason::Internal => (Number::Internal, None),
    };
    pb::PeerRefusal { reason: number as i32, message: refusal.message, leader }
}

/// A reason that only a later version knows counts as internal: the sender can do nothing about it.
pub(super) fn refusal_from_proto(proto: pb::PeerRefusal) -> Refusal {
    let reason = match Number::try_from(proto.reason) {
        Ok(Number::WrongCluster) => RefusalReason::WrongCluster,
        Ok(Number::WrongNode) => RefusalReason::WrongNode,
        Ok(Number::UnknownGroup) => RefusalReason::UnknownGroup,
        Ok(Number::OldGeneration) => RefusalReason::OldGeneration,
        Ok(Number::StartingUp) => RefusalReason::StartingUp,
        Ok(Number::NotLeader) => RefusalReason::NotLeader { leader: proto.leader.map(AgentId) },
        Ok(Number::UnknownKind) => RefusalReason::UnknownKind,
        Ok(Number::Malformed) => RefusalReason::Malformed,
        Ok(Number::Denied) => RefusalReason::Denied,
        Ok(Number::Busy) => RefusalReason::Busy,
        Ok(Number::Internal | Number::Unspecified) | Err(_) => RefusalReason::Internal,
    };
    Refusal { reason, message: proto.message }
}
