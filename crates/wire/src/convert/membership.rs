//! Members, and changes of who they are.

use std::collections::BTreeSet;

use holdfast_core::AgentId;
use holdfast_core::membership::{Member, Membership, MembershipChange, Requested};

use super::Convert;
use super::primitive::{from_list, from_request_id_bytes, optional, request_id_bytes, required};
use crate::error::DecodeError;
use crate::pb::internal::v1 as internal;
use crate::pb::v1 as pb;
use crate::pb::v1::membership_change::Change as Kind;

impl Convert for (AgentId, Member) {
    type Proto = pb::JoiningMember;

    fn to_proto(&self) -> pb::JoiningMember {
        let (id, member) = self;
        pb::JoiningMember {
            id: id.0,
            name: member.name.clone(),
            region: member.region.clone(),
            peer_address: member.peer_address.clone(),
            api_address: member.api_address.clone(),
            directory: member.directory.to_be_bytes().to_vec(),
        }
    }

    fn from_proto(proto: pb::JoiningMember) -> Result<Self, DecodeError> {
        let directory = proto.directory.as_slice().try_into().map_err(|_| {
            let problem = format!("{} bytes, not 16", proto.directory.len());
            DecodeError::invalid("directory", problem)
        })?;
        let member = Member {
            name: proto.name,
            region: proto.region,
            peer_address: proto.peer_address,
            api_address: proto.api_address,
            directory: u128::from_be_bytes(directory),
        };
        Ok((AgentId(proto.id), member))
    }
}

impl Convert for MembershipChange {
    type Proto = pb::MembershipChange;

    fn to_proto(&self) -> pb::MembershipChange {
        let change = match self {
            Self::Add { id, member } => Kind::Add((*id, member.clone()).to_proto()),
            Self::Promote(id) => Kind::Promote(id.0),
            Self::Remove(id) => Kind::Remove(id.0),
            Self::TransferLeadership(to) => Kind::TransferLeadership(to.0),
        };
        pb::MembershipChange { change: Some(change) }
    }

    fn from_proto(proto: pb::MembershipChange) -> Result<Self, DecodeError> {
        match proto.change.ok_or_else(|| DecodeError::missing("change"))? {
            Kind::Add(proto) => {
                let (id, member) =
                    <(AgentId, Member)>::from_proto(proto).map_err(|e| e.within("add"))?;
                Ok(Self::Add { id, member })
            }
            Kind::Promote(id) => Ok(Self::Promote(AgentId(id))),
            Kind::Remove(id) => Ok(Self::Remove(AgentId(id))),
            Kind::TransferLeadership(to) => Ok(Self::TransferLeadership(AgentId(to))),
        }
    }
}

impl Convert for Membership {
    type Proto = internal::Membership;

    fn to_proto(&self) -> internal::Membership {
        let member = |(id, member): (&AgentId, &Member)| (*id, member.clone()).to_proto();
        internal::Membership {
            members: self.members.iter().map(member).collect(),
            voters: numbers(&self.voters),
            joint: self.joint,
            retired: numbers(&self.retired),
            retired_through: self.retired_through,
            requested: self.requested.as_ref().map(Convert::to_proto),
        }
    }

    fn from_proto(proto: internal::Membership) -> Result<Self, DecodeError> {
        let members: Vec<(AgentId, Member)> = from_list("members", proto.members)?;
        Ok(Self {
            members: members.into_iter().collect(),
            voters: proto.voters.into_iter().map(AgentId).collect(),
            joint: proto.joint,
            retired: proto.retired.into_iter().map(AgentId).collect(),
            retired_through: proto.retired_through,
            requested: optional("requested", proto.requested)?,
        })
    }
}

impl Convert for Requested {
    type Proto = internal::RequestedMembership;

    fn to_proto(&self) -> internal::RequestedMembership {
        internal::RequestedMembership {
            index: self.index,
            request_id: request_id_bytes(self.request_id),
            change: Some(self.change.to_proto()),
        }
    }

    fn from_proto(proto: internal::RequestedMembership) -> Result<Self, DecodeError> {
        Ok(Self {
            index: proto.index,
            request_id: from_request_id_bytes(&proto.request_id)?,
            change: required("change", proto.change)?,
        })
    }
}

fn numbers(ids: &BTreeSet<AgentId>) -> Vec<u64> {
    ids.iter().map(|id| id.0).collect()
}
