//! Bytes of what agents ask each other to look up, and of what they were told; the same sightings go over the API.

use std::time::Duration;

use holdfast_core::DnsName;
use holdfast_core::propagation::{Asked, ParentSighting, Seen, Sighting, Target};
use prost::Message as _;

use crate::agent::AGENT_FORMAT;
use crate::codec::decode_versioned;
use crate::convert::{from_list, list};
use crate::error::DecodeError;
use crate::pb::internal::v1 as internal;
use crate::pb::v1 as pb;

/// What is looked up, and at whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lookup {
    /// The name.
    pub name: DnsName,
    /// The type.
    pub asked: Asked,
    /// The zone whose serial name servers are asked for.
    pub zone: DnsName,
    /// Whom to ask.
    pub targets: Vec<Target>,
    /// Whether the servers of the zone above are asked about the zone as well.
    pub parent: bool,
}

/// What an agent saw.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// What the targets and its own resolvers told it.
    pub sightings: Vec<Sighting>,
    /// What the servers of the zone above told it; none where it was not asked to.
    pub parent: Vec<ParentSighting>,
}

fn malformed(why: impl std::fmt::Display) -> DecodeError {
    DecodeError::Malformed { what: "lookup", why: why.to_string() }
}

fn name(text: &str) -> Result<DnsName, DecodeError> {
    text.parse().map_err(malformed)
}

fn target_to_proto(target: &Target) -> pb::LookupTarget {
    let server = target.server.as_ref().map(ToString::to_string).unwrap_or_default();
    pb::LookupTarget { address: target.address.to_string(), server }
}

fn target(proto: &pb::LookupTarget) -> Result<Target, DecodeError> {
    let server = Some(proto.server.as_str()).filter(|server| !server.is_empty());
    Ok(Target {
        address: proto.address.parse().map_err(malformed)?,
        server: server.map(name).transpose()?,
    })
}

impl Lookup {
    /// The bytes of a request.
    pub fn encode(&self) -> Vec<u8> {
        let proto = internal::Lookup {
            format: AGENT_FORMAT,
            name: self.name.to_string(),
            r#type: self.asked.label().to_owned(),
            zone: self.zone.to_string(),
            targets: self.targets.iter().map(target_to_proto).collect(),
            parent: self.parent,
        };
        proto.encode_to_vec()
    }

    /// The request that bytes hold. Errors: see [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let proto: internal::Lookup = decode_versioned("lookup", AGENT_FORMAT, bytes)?;
        let asked = Asked::parse(&proto.r#type).ok_or_else(|| malformed("no such type"))?;
        Ok(Self {
            name: name(&proto.name)?,
            asked,
            zone: name(&proto.zone)?,
            targets: proto.targets.iter().map(target).collect::<Result<_, _>>()?,
            parent: proto.parent,
        })
    }
}

/// A sighting as the API tells it; `agrees` is the caller's to say.
pub fn sighting_to_proto(sighting: &Sighting, agrees: bool) -> pb::Sighting {
    let none = Seen::default();
    let (seen, problem) = match &sighting.seen {
        Ok(seen) => (seen, String::new()),
        Err(problem) => (&none, problem.clone()),
    };
    pb::Sighting {
        asker: sighting.asker.clone(),
        target: Some(target_to_proto(&sighting.target)),
        problem,
        code: seen.code.into(),
        extended_error: seen.extended_error.map(u32::from),
        authoritative: seen.authoritative,
        data: seen.data.clone(),
        ttl_seconds: seen.ttl,
        serial: seen.serial,
        round_trip_us: u64::try_from(sighting.round_trip.as_micros()).unwrap_or(u64::MAX),
        agrees,
    }
}

fn sighting(proto: pb::Sighting) -> Result<Sighting, DecodeError> {
    let whom = proto.target.as_ref().ok_or_else(|| malformed("a sighting without a target"))?;
    let seen = Seen {
        code: u16::try_from(proto.code).map_err(malformed)?,
        extended_error: proto.extended_error.map(u16::try_from).transpose().map_err(malformed)?,
        authoritative: proto.authoritative,
        data: proto.data,
        ttl: proto.ttl_seconds,
        serial: proto.serial,
    };
    Ok(Sighting {
        asker: proto.asker,
        target: target(whom)?,
        seen: if proto.problem.is_empty() { Ok(seen) } else { Err(proto.problem) },
        round_trip: Duration::from_micros(proto.round_trip_us),
    })
}

impl Found {
    /// The bytes of what was seen.
    pub fn encode(&self) -> Vec<u8> {
        let sightings = self.sightings.iter().map(|one| sighting_to_proto(one, false)).collect();
        let parent = list(&self.parent);
        internal::LookupReply { format: AGENT_FORMAT, sightings, parent }.encode_to_vec()
    }

    /// What bytes say was seen. Errors: see [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let proto: internal::LookupReply = decode_versioned("lookup reply", AGENT_FORMAT, bytes)?;
        Ok(Self {
            sightings: proto.sightings.into_iter().map(sighting).collect::<Result<_, _>>()?,
            parent: from_list("parent", proto.parent)?,
        })
    }
}
