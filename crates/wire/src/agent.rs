//! Bytes of what agents tell each other beside Raft: bulletins of observers, requests to confirm, heartbeats, notices
//! of primaries, and where a replica's state and audit chain stand.

use holdfast_core::audit::{Hash, Head};
use holdfast_core::observation::{Report, Target};
use holdfast_core::{AgentId, BootId, DnsName};
use prost::Message;

use crate::codec::decode_versioned;
use crate::convert::Convert;
use crate::error::DecodeError;
use crate::pb::internal::v1 as pb;

/// The newest format of these messages that this version reads, and the one it writes.
pub const AGENT_FORMAT: u32 = 1;

/// What an observer tells the leader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bulletin {
    /// The observer.
    pub agent: AgentId,
    /// Its process start.
    pub boot: BootId,
    /// What changed, or all; absent when it only says "I am here".
    pub report: Option<Report>,
    /// A probe failed where all was well: everybody look at once.
    pub suspects: Vec<Target>,
}

/// The leader's answer to a bulletin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BulletinReply {
    /// The last report of this boot that is in the log.
    pub recorded: u64,
    /// The group holds no full digest of this boot: send one.
    pub need_full: bool,
}

/// Where a replica stands; equal indexes must have equal hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The last applied log index.
    pub index: u64,
    /// The audit chain's head there.
    pub audit: Head,
    /// The state's hash there.
    pub state: Hash,
    /// The log index up to which the audit store holds every record, durably.
    pub stored: u64,
    /// Whether the audit store takes records, and keeps up with them.
    pub writable: bool,
}

fn hash_of(field: &'static str, bytes: &[u8]) -> Result<Hash, DecodeError> {
    bytes.try_into().map(Hash).map_err(|_| DecodeError::Malformed {
        what: field,
        why: format!("a hash has 32 bytes, not {}", bytes.len()),
    })
}

fn targets_of(targets: Vec<pb::Target>) -> Result<Vec<Target>, DecodeError> {
    targets.into_iter().map(Target::from_proto).collect()
}

fn protos_of(targets: &[Target]) -> Vec<pb::Target> {
    targets.iter().map(Convert::to_proto).collect()
}

impl Bulletin {
    /// The bytes of a bulletin.
    pub fn encode(&self) -> Vec<u8> {
        let proto = pb::Bulletin {
            format: AGENT_FORMAT,
            agent: self.agent.0,
            boot: self.boot.0,
            report: self.report.as_ref().map(Convert::to_proto),
            suspects: protos_of(&self.suspects),
        };
        proto.encode_to_vec()
    }

    /// The bulletin that bytes hold. Errors: see [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let proto: pb::Bulletin = decode_versioned("bulletin", AGENT_FORMAT, bytes)?;
        Ok(Self {
            agent: AgentId(proto.agent),
            boot: BootId(proto.boot),
            report: proto.report.map(Report::from_proto).transpose()?,
            suspects: targets_of(proto.suspects)?,
        })
    }
}

impl BulletinReply {
    /// The bytes of a reply.
    pub fn encode(&self) -> Vec<u8> {
        let proto = pb::BulletinReply {
            format: AGENT_FORMAT,
            recorded: self.recorded,
            need_full: self.need_full,
        };
        proto.encode_to_vec()
    }

    /// The reply that bytes hold. Errors: see [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let proto: pb::BulletinReply = decode_versioned("bulletin reply", AGENT_FORMAT, bytes)?;
        Ok(Self { recorded: proto.recorded, need_full: proto.need_full })
    }
}

impl Standing {
    /// The bytes of a standing.
    pub fn encode(&self) -> Vec<u8> {
        let proto = pb::Standing {
            format: AGENT_FORMAT,
            index: self.index,
            audit_length: self.audit.length,
            audit_hash: self.audit.hash.0.to_vec(),
            state_hash: self.state.0.to_vec(),
            stored_index: self.stored,
            writable: self.writable,
        };
        proto.encode_to_vec()
    }

    /// The standing that bytes hold. Errors: see [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let proto: pb::Standing = decode_versioned("standing", AGENT_FORMAT, bytes)?;
        let hash = hash_of("audit hash", &proto.audit_hash)?;
        Ok(Self {
            index: proto.index,
            audit: Head { length: proto.audit_length, hash },
            state: hash_of("state hash", &proto.state_hash)?,
            stored: proto.stored_index,
            writable: proto.writable,
        })
    }
}

/// The bytes of a request to confirm.
pub fn encode_confirm(targets: &[Target]) -> Vec<u8> {
    pb::Confirm { format: AGENT_FORMAT, targets: protos_of(targets) }.encode_to_vec()
}

/// What is to be confirmed. Errors: see [`DecodeError`].
pub fn decode_confirm(bytes: &[u8]) -> Result<Vec<Target>, DecodeError> {
    targets_of(decode_versioned::<pb::Confirm>("confirm", AGENT_FORMAT, bytes)?.targets)
}

/// The bytes of a notice that endpoints reported by themselves.
pub fn encode_beats(targets: &[Target]) -> Vec<u8> {
    pb::Beats { format: AGENT_FORMAT, targets: protos_of(targets) }.encode_to_vec()
}

/// Which endpoints reported. Errors: see [`DecodeError`].
pub fn decode_beats(bytes: &[u8]) -> Result<Vec<Target>, DecodeError> {
    targets_of(decode_versioned::<pb::Beats>("beats", AGENT_FORMAT, bytes)?.targets)
}

/// The bytes of the word that a zone may have changed at its primary.
pub fn encode_zone_notice(zone: &DnsName) -> Vec<u8> {
    pb::ZoneNotice { format: AGENT_FORMAT, zone: zone.to_string() }.encode_to_vec()
}

/// The zone that may have changed. Errors: see [`DecodeError`].
pub fn decode_zone_notice(bytes: &[u8]) -> Result<DnsName, DecodeError> {
    let proto: pb::ZoneNotice = decode_versioned("zone notice", AGENT_FORMAT, bytes)?;
    DnsName::new(&proto.zone)
        .map_err(|error| DecodeError::Malformed { what: "zone notice", why: error.to_string() })
}

/// The bytes of a request for audit records.
pub fn encode_audit_range(from: u64, to: u64) -> Vec<u8> {
    pb::AuditRange { format: AGENT_FORMAT, from, to }.encode_to_vec()
}

/// The first and the last record that are asked for. Errors: see [`DecodeError`].
pub fn decode_audit_range(bytes: &[u8]) -> Result<(u64, u64), DecodeError> {
    let proto: pb::AuditRange = decode_versioned("audit range", AGENT_FORMAT, bytes)?;
    Ok((proto.from, proto.to))
}

/// The bytes of audit records, each in its canonical encoding.
pub fn encode_audit_records(records: Vec<Vec<u8>>) -> Vec<u8> {
    pb::AuditRecords { format: AGENT_FORMAT, records }.encode_to_vec()
}

/// The canonical encodings of audit records. Errors: see [`DecodeError`].
pub fn decode_audit_records(bytes: &[u8]) -> Result<Vec<Vec<u8>>, DecodeError> {
    Ok(decode_versioned::<pb::AuditRecords>("audit records", AGENT_FORMAT, bytes)?.records)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> Target {
        Target {
            service: "eu/shop".parse().expect("valid"),
            endpoint: "e1".parse().expect("valid"),
            check: "http".parse().expect("valid"),
        }
    }

    #[test]
    fn messages_come_back_as_they_were() {
        let bulletin =
            Bulletin { agent: AgentId(3), boot: BootId(9), report: None, suspects: vec![target()] };
        assert_eq!(Bulletin::decode(&bulletin.encode()), Ok(bulletin));
        let reply = BulletinReply { recorded: 7, need_full: true };
        assert_eq!(BulletinReply::decode(&reply.encode()), Ok(reply));
        let standing = Standing {
            index: 5,
            audit: Head { length: 4, hash: Hash([1; 32]) },
            state: Hash([2; 32]),
            stored: 3,
            writable: true,
        };
        assert_eq!(Standing::decode(&standing.encode()), Ok(standing));
        assert_eq!(decode_confirm(&encode_confirm(&[target()])), Ok(vec![target()]));
        let zone = DnsName::new("example.test").expect("valid");
        assert_eq!(decode_zone_notice(&encode_zone_notice(&zone)), Ok(zone));
        assert_eq!(decode_audit_range(&encode_audit_range(2, 8)), Ok((2, 8)));
    }

    #[test]
    fn a_hash_of_the_wrong_size_is_refused() {
        let proto = pb::Standing { format: 1, audit_hash: vec![1; 31], ..pb::Standing::default() };
        assert!(Standing::decode(&proto.encode_to_vec()).is_err());
    }
}
