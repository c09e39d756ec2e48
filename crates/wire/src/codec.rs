//! Bytes of what is stored or sent on its own: entries, proposals, outcomes, reports.
//!
//! Each message begins with its format number, read before anything else: a newer one is [`DecodeError::TooNew`].
//! Durations of specifications have whole milliseconds; [`entry::normalize`] gives the value that every replica will
//! read back, so that the proposer decides on the same one.

use prost::Message;

use crate::convert::Convert;
use crate::error::DecodeError;
use crate::pb::internal::v1 as pb;

/// The newest format of entries that this version reads, and the one it writes.
pub const ENTRY_FORMAT: u32 = 1;
/// The same for proposals.
pub const PROPOSAL_FORMAT: u32 = 1;
/// The same for outcomes.
pub const OUTCOME_FORMAT: u32 = 1;
/// The same for reports.
pub const REPORT_FORMAT: u32 = 1;
/// The same for snapshots.
pub const SNAPSHOT_FORMAT: u32 = 1;
/// The same for audit records.
pub const RECORDS_FORMAT: u32 = 1;

/// Reads the format number alone and then the message.
pub(crate) fn decode_versioned<M: Message + Default>(
    what: &'static str,
    known: u32,
    bytes: &[u8],
) -> Result<M, DecodeError> {
    let malformed = |e: prost::DecodeError| DecodeError::Malformed { what, why: e.to_string() };
    let found = pb::Format::decode(bytes).map_err(malformed)?.format;
    if found > known {
        return Err(DecodeError::TooNew { what, found, known });
    }
    if found == 0 {
        return Err(DecodeError::Malformed { what, why: "it has no format number".to_owned() });
    }
    M::decode(bytes).map_err(malformed)
}

/// Log entries.
pub mod entry {
    use super::{Convert, DecodeError, ENTRY_FORMAT, Message, decode_versioned};
    use holdfast_core::Entry;

    /// The bytes of an entry.
    pub fn encode(entry: &Entry) -> Vec<u8> {
        entry.to_proto().encode_to_vec()
    }

    /// The entry that bytes hold. Errors: see [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Entry, DecodeError> {
        Entry::from_proto(decode_versioned("entry", ENTRY_FORMAT, bytes)?)
    }

    /// The entry as every replica will read it: what the encoding does not carry (fractions of a millisecond in
    /// declared durations) is gone. Errors: the entry holds something that no replica could read.
    pub fn normalize(entry: &Entry) -> Result<Entry, DecodeError> {
        Entry::from_proto(entry.to_proto())
    }
}

/// Commands on their way to the leader.
pub mod command {
    use super::{Convert, DecodeError, Message, PROPOSAL_FORMAT, decode_versioned, pb};
    use crate::convert::{from_request_id_bytes, request_id_bytes, required};
    use holdfast_core::{Actor, Command, RequestId};

    /// A command on its way to the leader, which stamps its time.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Proposal {
        /// The client's number for this request.
        pub request_id: Option<RequestId>,
        /// Who asked.
        pub actor: Actor,
        /// What is asked.
        pub command: Command,
    }

    /// The bytes of a proposal.
    pub fn encode(proposal: &Proposal) -> Vec<u8> {
        let proto = pb::Proposal {
            format: PROPOSAL_FORMAT,
            request_id: request_id_bytes(proposal.request_id),
            actor: Some(proposal.actor.to_proto()),
            command: Some(proposal.command.to_proto()),
        };
        proto.encode_to_vec()
    }

    /// The proposal that bytes hold. Errors: see [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Proposal, DecodeError> {
        let proto: pb::Proposal = decode_versioned("proposal", PROPOSAL_FORMAT, bytes)?;
        Ok(Proposal {
            request_id: from_request_id_bytes(&proto.request_id)?,
            actor: required("actor", proto.actor)?,
            command: required("command", proto.command)?,
        })
    }
}

/// Answers to entries.
pub mod outcome {
    use super::{Convert, DecodeError, Message, OUTCOME_FORMAT, decode_versioned};
    use holdfast_core::Outcome;

    /// The bytes of an outcome.
    pub fn encode(outcome: &Outcome) -> Vec<u8> {
        outcome.to_proto().encode_to_vec()
    }

    /// The outcome that bytes hold. Errors: see [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Outcome, DecodeError> {
        Outcome::from_proto(decode_versioned("outcome", OUTCOME_FORMAT, bytes)?)
    }
}

/// What observers send to the leader.
pub mod report {
    use super::{Convert, DecodeError, Message, REPORT_FORMAT, decode_versioned};
    use holdfast_core::observation::Report;

    /// The bytes of a report.
    pub fn encode(report: &Report) -> Vec<u8> {
        report.to_proto().encode_to_vec()
    }

    /// The report that bytes hold. Errors: see [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Report, DecodeError> {
        Report::from_proto(decode_versioned("report", REPORT_FORMAT, bytes)?)
    }
}

/// Everything that is replicated.
pub mod snapshot {
    use super::{Convert, DecodeError, Message, SNAPSHOT_FORMAT, decode_versioned};
    use holdfast_core::state::Snapshot;

    /// The bytes of a snapshot.
    pub fn encode(snapshot: &Snapshot) -> Vec<u8> {
        snapshot.to_proto().encode_to_vec()
    }

    /// The snapshot that bytes hold. Errors: see [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Snapshot, DecodeError> {
        Snapshot::from_proto(decode_versioned("snapshot", SNAPSHOT_FORMAT, bytes)?)
    }
}

/// Audit records between agents.
pub mod records {
    use super::{Convert, DecodeError, Message, RECORDS_FORMAT, decode_versioned, pb};
    use holdfast_core::audit::Record;

    /// The bytes of records, in their order.
    pub fn encode(records: &[Record]) -> Vec<u8> {
        let records = records.iter().map(Convert::to_proto).collect();
        pb::Records { format: RECORDS_FORMAT, records }.encode_to_vec()
    }

    /// The records that bytes hold. Errors: see [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Vec<Record>, DecodeError> {
        let proto: pb::Records = decode_versioned("records", RECORDS_FORMAT, bytes)?;
        proto.records.into_iter().map(Record::from_proto).collect()
    }
}
