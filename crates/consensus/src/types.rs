//! The types that openraft is instantiated with. Nothing of them leaves this crate.
//!
//! Entries and snapshots are opaque bytes here: the wire room encodes them, the state machine decodes them once.
//! Leader ids are those of standard Raft (one leader per term), because the state fences opinions by term alone.
//! The serde derives satisfy openraft's bounds; neither disk nor wire ever sees them.

use std::fmt;

use bytes::Bytes;
use holdfast_core::Outcome;
use holdfast_core::membership::Member;
use openraft::alias::{EntryOf, LogIdOf, SnapshotMetaOf, SnapshotOf, StoredMembershipOf, VoteOf};
use openraft::impls::leader_id_std;
use serde::{Deserialize, Serialize};

use crate::rt::Rt;

openraft::declare_raft_types!(
    /// How this crate uses openraft.
    pub(crate) Types:
        D = Blob,
        R = Answer,
        NodeId = u64,
        Node = NodeRecord,
        LeaderId = leader_id_std::LeaderId<u64, u64>,
        AsyncRuntime = Rt,
);

pub(crate) type Vote = VoteOf<Types>;
pub(crate) type LogId = LogIdOf<Types>;
pub(crate) type RaftEntry = EntryOf<Types>;
pub(crate) type Membership = openraft::Membership<u64, NodeRecord>;
pub(crate) type StoredMembership = StoredMembershipOf<Types>;
pub(crate) type SnapshotMeta = SnapshotMetaOf<Types>;
pub(crate) type RaftSnapshot = SnapshotOf<Types, Bytes>;

/// A log entry's content, encoded.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct Blob(pub(crate) Bytes);

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl fmt::Display for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl Serialize for Blob {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::<u8>::deserialize(deserializer).map(|bytes| Self(bytes.into()))
    }
}

/// What applying an entry answers: nothing for Raft's own entries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answer(pub(crate) Option<Outcome>);

/// What the committed membership says of a node.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct NodeRecord {
    pub(crate) name: String,
    pub(crate) region: String,
    pub(crate) address: String,
    pub(crate) api_address: String,
    /// The data directory that this number is bound to; 0 is not bound.
    pub(crate) directory: u128,
}

impl From<Member> for NodeRecord {
    fn from(member: Member) -> Self {
        let Member { name, region, peer_address: address, api_address, directory } = member;
        Self { name, region, address, api_address, directory }
    }
}

impl From<NodeRecord> for Member {
    fn from(node: NodeRecord) -> Self {
        let NodeRecord { name, region, address: peer_address, api_address, directory } = node;
        Self { name, region, peer_address, api_address, directory }
    }
}
