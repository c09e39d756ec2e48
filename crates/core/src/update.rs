//! Dynamic updates (RFC 2136): what a client asks of a zone's records, and how it is refused.
//!
//! ```text
//! message ─▶ signature ─▶ ZoneUpdate ══log══▶ prerequisites ─▶ rules ─▶ every change, or none
//! ```
//!
//! An update says what must be true and what is to change. Both are decided at one place in the log, so of two updates
//! whose prerequisites exclude each other one fails, whichever agents they were sent to. Names and data are the
//! group's own; what has no such form never comes here.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::name::DnsName;
use crate::spec::{Kind, RecordData, Service};

/// What the holder of a key asks of a zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneUpdate {
    /// The zone's apex.
    pub zone: DnsName,
    /// The name of the key that it was signed with.
    pub key: DnsName,
    /// What must be true (RFC 2136, 2.4).
    pub prerequisites: Vec<Prerequisite>,
    /// What is to change, in this order (RFC 2136, 2.5).
    pub changes: Vec<Change>,
}

impl ZoneUpdate {
    /// The most prerequisites.
    pub const MAX_PREREQUISITES: usize = 64;
    /// The most changes.
    pub const MAX_CHANGES: usize = 1000;
    /// The most records that updates make at one name.
    pub const MAX_AT_NAME: usize = 4096;
    /// The most services that it changes.
    pub const MAX_SERVICES: usize = 64;
    /// The most endpoints that come and go with it; any one service's can all go and come.
    pub const MAX_ENDPOINTS: usize = 2 * Service::MAX_ENDPOINTS;
}

/// Something that must be true of a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prerequisite {
    /// The name.
    pub name: DnsName,
    /// What must be true of it.
    pub condition: Condition,
}

/// What must be true of a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition {
    /// There are records at it, or there are none.
    Name {
        /// Whether there are.
        exists: bool,
    },
    /// There are records of a type, or there are none.
    Set {
        /// The type.
        kind: Kind,
        /// Whether there are.
        exists: bool,
    },
    /// This is one of the records of its type; all that are named of one type are together all there are.
    Holds(RecordData),
}

/// A change of what is at a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The name.
    pub name: DnsName,
    /// What becomes of it.
    pub action: Action,
}

/// What becomes of a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// A record comes; the records of its type have its TTL from then on.
    Add {
        /// The TTL; more than a day counts as a day.
        ttl: Duration,
        /// Its data.
        data: RecordData,
    },
    /// All records go.
    RemoveName,
    /// All records of a type go.
    RemoveSet(Kind),
    /// One record goes.
    Remove(RecordData),
}

/// How an update is refused (RFC 2136, 2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum UpdateCode {
    /// A name exists that must not.
    NameExists,
    /// Records exist that must not.
    SetExists,
    /// A name does not exist that must.
    NameMissing,
    /// Records do not exist, or not these.
    SetMissing,
    /// The zone is none of ours.
    NotOurs,
    /// A name lies outside the zone.
    NotInZone,
    /// No rule of the zone allows it, or the zone cannot hold it.
    Refused,
}

impl UpdateCode {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::NameExists,
        Self::SetExists,
        Self::NameMissing,
        Self::SetMissing,
        Self::NotOurs,
        Self::NotInZone,
        Self::Refused,
    ];

    /// Its name in the protocol.
    pub fn label(self) -> &'static str {
        match self {
            Self::NameExists => "YXDOMAIN",
            Self::SetExists => "YXRRSET",
            Self::NameMissing => "NXDOMAIN",
            Self::SetMissing => "NXRRSET",
            Self::NotOurs => "NOTAUTH",
            Self::NotInZone => "NOTZONE",
            Self::Refused => "REFUSED",
        }
    }

    /// Whether this answers a prerequisite: what a client asked for and was told, not what it must not do.
    pub fn is_unmet(self) -> bool {
        match self {
            Self::NameExists | Self::SetExists | Self::NameMissing | Self::SetMissing => true,
            Self::NotOurs | Self::NotInZone | Self::Refused => false,
        }
    }
}

/// Why an update was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{}: {problem}", code.label())]
pub struct UpdateRefusal {
    /// How it is told.
    pub code: UpdateCode,
    /// What stands against it.
    pub problem: String,
}
