//! Vote, log id, membership, entry and snapshot head as protobuf records.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use openraft::EntryPayload;
use openraft::entry::RaftEntry as _;
use openraft::vote::{RaftLeaderId as _, RaftVote as _};

use super::{CodecError, FORMAT, check_format, decode, encode, require};
use crate::types::{
    Blob, LogId, Membership, NodeRecord, RaftEntry, SnapshotMeta, StoredMembership, Types, Vote,
};

type LeaderId = openraft::alias::LeaderIdOf<Types>;
type CommittedLeaderId = openraft::alias::CommittedLeaderIdOf<Types>;

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct VoteRecord {
    #[prost(uint32, tag = "1")]
    format: u32,
    #[prost(uint64, tag = "2")]
    term: u64,
    #[prost(uint64, tag = "3")]
    node: u64,
    #[prost(bool, tag = "4")]
    committed: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct LogIdRecord {
    #[prost(uint64, tag = "1")]
    term: u64,
    #[prost(uint64, tag = "2")]
    index: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct NodeMessage {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(string, tag = "3")]
    region: String,
    #[prost(string, tag = "4")]
    address: String,
    #[prost(string, tag = "5")]
    api_address: String,
    #[prost(bytes = "bytes", tag = "6")]
    directory: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Voters {
    #[prost(uint64, repeated, tag = "1")]
    ids: Vec<u64>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct MembershipRecord {
    #[prost(message, repeated, tag = "1")]
    configs: Vec<Voters>,
    #[prost(message, repeated, tag = "2")]
    nodes: Vec<NodeMessage>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum PayloadRecord {
    #[prost(bool, tag = "3")]
    Blank(bool),
    #[prost(bytes = "bytes", tag = "4")]
    Normal(Bytes),
    #[prost(message, tag = "5")]
    Membership(MembershipRecord),
}

#[derive(Clone, PartialEq, prost::Message)]
struct EntryRecord {
    #[prost(uint32, tag = "1")]
    format: u32,
    #[prost(message, optional, tag = "2")]
    id: Option<LogIdRecord>,
    #[prost(oneof = "PayloadRecord", tags = "3, 4, 5")]
    payload: Option<PayloadRecord>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct MetaRecord {
    #[prost(uint32, tag = "1")]
    format: u32,
    #[prost(message, optional, tag = "2")]
    last: Option<LogIdRecord>,
    #[prost(message, optional, tag = "3")]
    membership_at: Option<LogIdRecord>,
    #[prost(message, optional, tag = "4")]
    membership: Option<MembershipRecord>,
}

pub(crate) fn vote_record(vote: &Vote) -> VoteRecord {
    let leader = vote.leader_id();
    VoteRecord {
        format: FORMAT,
        term: leader.term(),
        node: *leader.node_id(),
        committed: vote.is_committed(),
    }
}

pub(crate) fn vote_of(record: &VoteRecord) -> Result<Vote, CodecError> {
    check_format("vote", record.format)?;
    Ok(Vote::from_leader_id(LeaderId::new(record.term, record.node), record.committed))
}

pub(crate) fn log_id_record(id: &LogId) -> LogIdRecord {
    LogIdRecord { term: *id.leader_id, index: id.index }
}

pub(crate) fn log_id_of(record: &LogIdRecord) -> LogId {
    // In standard Raft the term alone identifies the leader of a log entry.
    let leader: CommittedLeaderId = LeaderId::new(record.term, 0).to_committed();
    LogId { leader_id: leader, index: record.index }
}

pub(crate) fn encode_vote(vote: &Vote) -> Vec<u8> {
    encode(&vote_record(vote))
}

pub(crate) fn decode_vote(bytes: &[u8]) -> Result<Vote, CodecError> {
    vote_of(&decode("vote", bytes)?)
}

pub(crate) fn encode_log_id(id: &LogId) -> Vec<u8> {
    encode(&log_id_record(id))
}

pub(crate) fn decode_log_id(bytes: &[u8]) -> Result<LogId, CodecError> {
    decode("log id", bytes).map(|record| log_id_of(&record))
}

pub(crate) fn node_message(id: u64, node: &NodeRecord) -> NodeMessage {
    NodeMessage {
        id,
        name: node.name.clone(),
        region: node.region.clone(),
        address: node.address.clone(),
        api_address: node.api_address.clone(),
        directory: Bytes::copy_from_slice(&node.directory.to_be_bytes()),
    }
}

pub(crate) fn node_of(message: NodeMessage) -> Result<(u64, NodeRecord), CodecError> {
    let directory: [u8; 16] = message.directory.as_ref().try_into().map_err(|_| {
        CodecError::Malformed { what: "node", why: "its directory id is not 16 bytes".to_owned() }
    })?;
    let node = NodeRecord {
        name: message.name,
        region: message.region,
        address: message.address,
        api_address: message.api_address,
        directory: u128::from_be_bytes(directory),
    };
    Ok((message.id, node))
}

fn membership_record(membership: &Membership) -> MembershipRecord {
    let configs = membership.get_joint_config().iter();
    MembershipRecord {
        configs: configs.map(|ids| Voters { ids: ids.iter().copied().collect() }).collect(),
        nodes: membership.nodes().map(|(id, node)| node_message(*id, node)).collect(),
    }
}

fn membership_of(record: MembershipRecord) -> Result<Membership, CodecError> {
    let configs: Vec<BTreeSet<u64>> =
        record.configs.into_iter().map(|voters| voters.ids.into_iter().collect()).collect();
    let nodes: BTreeMap<u64, NodeRecord> =
        record.nodes.into_iter().map(node_of).collect::<Result<_, _>>()?;
    if configs.is_empty() && nodes.is_empty() {
        return Ok(Membership::default());
    }
    Membership::new(configs, nodes)
        .map_err(|error| CodecError::Malformed { what: "membership", why: error.to_string() })
}

pub(crate) fn encode_entry(entry: &RaftEntry) -> Vec<u8> {
    let payload = match &entry.payload {
        EntryPayload::Blank => PayloadRecord::Blank(true),
        EntryPayload::Normal(blob) => PayloadRecord::Normal(blob.0.clone()),
        EntryPayload::Membership(membership) => {
            PayloadRecord::Membership(membership_record(membership))
        }
    };
    let id = Some(log_id_record(&entry.log_id));
    encode(&EntryRecord { format: FORMAT, id, payload: Some(payload) })
}

pub(crate) fn decode_entry(bytes: &[u8]) -> Result<RaftEntry, CodecError> {
    let record: EntryRecord = decode("entry", bytes)?;
    check_format("entry", record.format)?;
    let id = log_id_of(&require(record.id, "entry", "log id")?);
    let payload = match require(record.payload, "entry", "payload")? {
        PayloadRecord::Blank(_) => EntryPayload::Blank,
        PayloadRecord::Normal(bytes) => EntryPayload::Normal(Blob(bytes)),
        PayloadRecord::Membership(record) => EntryPayload::Membership(membership_of(record)?),
    };
    Ok(RaftEntry::new(id, payload))
}

pub(crate) fn encode_meta(meta: &SnapshotMeta) -> Vec<u8> {
    encode(&MetaRecord {
        format: FORMAT,
        last: meta.last_log_id.as_ref().map(log_id_record),
        membership_at: meta.last_membership.log_id().as_ref().map(log_id_record),
        membership: Some(membership_record(meta.last_membership.membership())),
    })
}

pub(crate) fn decode_meta(bytes: &[u8]) -> Result<SnapshotMeta, CodecError> {
    let record: MetaRecord = decode("snapshot head", bytes)?;
    check_format("snapshot head", record.format)?;
    let membership = membership_of(require(record.membership, "snapshot head", "membership")?)?;
    Ok(SnapshotMeta {
        last_log_id: record.last.as_ref().map(log_id_of),
        last_membership: StoredMembership::new(
            record.membership_at.as_ref().map(log_id_of),
            membership,
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log_id(term: u64, index: u64) -> LogId {
        log_id_of(&LogIdRecord { term, index })
    }

    fn membership() -> Membership {
        let node = |name: &str| NodeRecord {
            name: name.to_owned(),
            region: "eu".to_owned(),
            address: "10.0.0.1:7000".to_owned(),
            api_address: "10.0.0.1:7001".to_owned(),
            directory: u128::MAX - 5,
        };
        let nodes = BTreeMap::from([(1, node("a")), (2, node("b")), (3, node("c"))]);
        let configs = vec![BTreeSet::from([1, 2]), BTreeSet::from([1])];
        Membership::new(configs, nodes).expect("valid")
    }

    #[test]
    fn what_is_encoded_decodes_to_the_same() {
        for payload in [
            EntryPayload::Blank,
            EntryPayload::Normal(Blob(Bytes::from_static(b"x"))),
            EntryPayload::Normal(Blob(Bytes::new())),
            EntryPayload::Membership(membership()),
        ] {
            let entry = RaftEntry::new(log_id(3, 9), payload);
            assert_eq!(decode_entry(&encode_entry(&entry)), Ok(entry));
        }
        for committed in [false, true] {
            let vote = Vote::from_leader_id(LeaderId::new(4, 2), committed);
            assert_eq!(decode_vote(&encode_vote(&vote)), Ok(vote));
        }
        let meta = SnapshotMeta {
            last_log_id: Some(log_id(3, 9)),
            last_membership: StoredMembership::new(Some(log_id(2, 4)), membership()),
        };
        assert_eq!(decode_meta(&encode_meta(&meta)), Ok(meta));
        let empty = SnapshotMeta::default();
        assert_eq!(decode_meta(&encode_meta(&empty)), Ok(empty));
    }

    #[test]
    fn a_newer_format_is_refused_and_garbage_is_named() {
        let newer = EntryRecord { format: FORMAT + 1, id: None, payload: None };
        let found = FORMAT + 1;
        assert_eq!(decode_entry(&encode(&newer)), Err(CodecError::TooNew { what: "entry", found }));
        assert!(matches!(decode_vote(&[0xff]), Err(CodecError::Malformed { .. })));
        assert!(matches!(decode_entry(&[]), Err(CodecError::Incomplete { .. })));
    }
}
