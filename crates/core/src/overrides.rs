//! What operators order: the one thing that outranks the automatic decision. Every order has an owner, a reason
//! and an expiry.

use alloc::string::String;
use core::fmt;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::{EndpointName, OverrideId, PoolName, ServiceId};
use crate::time::Timestamp;

/// What of a service an override touches.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Scope {
    /// One endpoint.
    Endpoint(EndpointName),
    /// Every endpoint of one pool.
    Pool(PoolName),
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoint(name) => write!(f, "endpoint {name}"),
            Self::Pool(name) => write!(f, "pool {name}"),
        }
    }
}

/// What is ordered.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Order {
    /// Answer with this pool, whatever its verdict.
    Pin(PoolName),
    /// Count as up, whatever observers say.
    ForceUp(Scope),
    /// Count as down, whatever observers say.
    ForceDown(Scope),
    /// Take out of the answers as long as anything else is left; the verdict stays as it is.
    Drain(Scope),
    /// Tell this TTL at the most; the answer itself stays as it is.
    LowerTtl(Duration),
}

impl Order {
    /// `pin`, `force_up`, `force_down`, `drain` or `lower_ttl`.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Pin(_) => "pin",
            Self::ForceUp(_) => "force_up",
            Self::ForceDown(_) => "force_down",
            Self::Drain(_) => "drain",
            Self::LowerTtl(_) => "lower_ttl",
        }
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pin(pool) => write!(f, "pin to pool {pool}"),
            Self::ForceUp(scope) => write!(f, "force {scope} up"),
            Self::ForceDown(scope) => write!(f, "force {scope} down"),
            Self::Drain(scope) => write!(f, "drain {scope}"),
            Self::LowerTtl(ttl) => write!(f, "lower the TTL to {ttl:?}"),
        }
    }
}

/// An order in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Override {
    /// Its number.
    pub id: OverrideId,
    /// The service.
    pub service: ServiceId,
    /// What is ordered.
    pub order: Order,
    /// Who ordered it.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// When it began.
    pub set_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
}

/// Automation is paused in the whole group: verdicts go on, nothing moves by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Who paused.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// When it began.
    pub set_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
}
