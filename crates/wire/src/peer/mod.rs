//! How agents speak to each other: one envelope for every kind of message, over a seam that simulation replaces.
//!
//! ```text
//! consensus, agent ──Message──▶ Wire (GrpcWire | simulated) ══▶ PeerService ──▶ PeerHandler of the other agent
//! ```
//!
//! Every message names its cluster, generation, group and receiver, so that a wrong address cannot do harm. The
//! envelope's [`MessageKind`] is an open number: the meaning of the body belongs to the room that sends it.
//!
//! Nothing here retries: whoever asks knows whether asking twice is safe.

mod envelope;
mod grpc;
mod line;
mod server;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use holdfast_core::{AgentId, GroupId};

pub use grpc::{GrpcWire, GrpcWireConfig};
pub use server::{ServeError, serve};

/// The largest message between agents, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 16 * 1024 * 1024;
/// The largest chunk of a snapshot, in bytes.
pub const MAX_CHUNK_BYTES: usize = 1024 * 1024;

/// Where an agent is reached. Peers are addressed by IP: no path between agents depends on names that they serve.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PeerAddress {
    /// The agent.
    pub id: AgentId,
    /// `host:port`, the host being an IP address.
    pub address: String,
}

/// What a message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageKind(pub u32);

/// Names the known kinds once, for code and for people.
macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $number:literal $label:literal;)+) => {
        #[allow(non_upper_case_globals, reason = "an open enumeration reads like an enumeration")]
        impl MessageKind {
            $($(#[$doc])* pub const $name: Self = Self($number);)+

            /// The kind's name in metrics and logs; `unknown` for a kind of a later version.
            pub fn label(self) -> &'static str {
                match self.0 {
                    $($number => $label,)+
                    _ => "unknown",
                }
            }
        }
    };
}

kinds! {
    /// Asks for a vote.
    Vote = 1 "vote";
    /// Asks whether a vote would be given.
    PreVote = 2 "pre_vote";
    /// Replicates entries.
    AppendEntries = 3 "append_entries";
    /// Hands leadership over.
    TransferLeader = 4 "transfer_leader";
    /// Installs a snapshot.
    Snapshot = 5 "snapshot";
    /// Forwards a command to the leader.
    Propose = 6 "propose";
    /// Asks the leader for an index to read at.
    ReadIndex = 7 "read_index";
    /// Tells the leader what an observer sees.
    Report = 8 "report";
    /// Asks an observer to confirm a suspicion at once.
    Confirm = 9 "confirm";
    /// Compares audit heads.
    AuditHead = 10 "audit_head";
    /// Reads audit records, to fill a gap.
    AuditRead = 11 "audit_read";
    /// Asks how a node stands.
    Status = 12 "status";
    /// Tells the leader which endpoints reported.
    Heartbeat = 13 "heartbeat";
    /// Asks to become a member.
    Join = 14 "join";
    /// Asks to look a name up at name servers and resolvers.
    Lookup = 60 "lookup";
    /// Tells the leader that a zone may have changed at its primary.
    ZoneNotice = 70 "zone_notice";
}

/// A message from one agent to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The cluster's name.
    pub cluster: String,
    /// Raised when a group is recovered by force; older ones are refused.
    pub generation: u64,
    /// The group it concerns.
    pub group: GroupId,
    /// The sender.
    pub from: AgentId,
    /// The receiver.
    pub to: AgentId,
    /// What it is about.
    pub kind: MessageKind,
    /// The content, in the encoding of its kind.
    pub body: Bytes,
}

/// Who sent a message, as the connection proves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sender {
    /// The agent of this name, by its certificate.
    Certified(String),
    /// There is no TLS, as is allowed on loopback: the message's own word is taken.
    Unproven,
}

/// Why a message brought no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// No connection could be opened: the message certainly did not arrive.
    #[error("the peer cannot be reached: {0}")]
    NotConnected(String),
    /// The connection was lost before an answer; the message may have arrived.
    #[error("the peer cannot be reached: {0}")]
    Unreachable(String),
    /// There was no answer in time; it may have arrived.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The peer answered that it does not take it.
    #[error("the peer refused: {0}")]
    Refused(Refusal),
    /// The peer answered something that is no answer.
    #[error("the peer's answer cannot be read: {0}")]
    Broken(String),
}

/// Why an agent did not take a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The kind of refusal.
    pub reason: RefusalReason,
    /// What, why and what next, for people.
    pub message: String,
}

impl Refusal {
    /// A refusal.
    pub fn new(reason: RefusalReason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

/// The kinds of refusals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalReason {
    /// The message is meant for another cluster.
    WrongCluster,
    /// The message is meant for another agent.
    WrongNode,
    /// The agent is not in this group.
    UnknownGroup,
    /// The group has been recovered by force since.
    OldGeneration,
    /// The agent has just started and does not take part yet.
    StartingUp,
    /// Only the leader answers this.
    NotLeader {
        /// The leader, where it is known.
        leader: Option<AgentId>,
    },
    /// The agent does not know this kind of message: it is of an older version.
    UnknownKind,
    /// The content cannot be decoded.
    Malformed,
    /// The sender's certificate does not entitle it.
    Denied,
    /// The agent has too much to do.
    Busy,
    /// Something went wrong inside the agent.
    Internal,
}

/// The way to other agents.
#[async_trait]
pub trait Wire: Send + Sync + 'static {
    /// Asks a question. Errors: there is no answer, or it is a refusal.
    async fn call(
        &self,
        to: &PeerAddress,
        message: Message,
        timeout: Duration,
    ) -> Result<Bytes, WireError>;

    /// Sends a snapshot, on a connection of its own so that it delays nothing else. Chunks have at most
    /// [`MAX_CHUNK_BYTES`]. Errors: as [`Wire::call`].
    async fn snapshot(
        &self,
        to: &PeerAddress,
        head: Message,
        chunks: BoxStream<'static, Bytes>,
        timeout: Duration,
    ) -> Result<Bytes, WireError>;
}

/// Whoever answers the messages that arrive.
#[async_trait]
pub trait PeerHandler: Send + Sync + 'static {
    /// Answers a question. Whether `sender` is whom `message.from` names is the handler's to check.
    async fn handle(&self, sender: &Sender, message: Message) -> Result<Bytes, Refusal>;

    /// Takes a snapshot; `sender` as in [`PeerHandler::handle`].
    async fn handle_snapshot(
        &self,
        sender: &Sender,
        head: Message,
        chunks: BoxStream<'static, Result<Bytes, WireError>>,
    ) -> Result<Bytes, Refusal>;
}
