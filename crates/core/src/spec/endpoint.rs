//! Endpoints, where a service is reached, and pools, the groups of endpoints that are chosen together.

use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::id::{EndpointName, PoolName, RegionName};
use crate::name::DnsName;

/// Where an endpoint is reached: an address (answered as A or AAAA) or a name (answered as CNAME).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Address {
    /// An IPv4 or IPv6 address.
    Ip(IpAddr),
    /// A domain name outside the service; only one can be answered at a time.
    Name(DnsName),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(ip) => ip.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

/// One place that serves, probed on its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Unique in its service.
    pub name: EndpointName,
    /// What DNS answers and, unless a check says otherwise, what is probed.
    pub address: Address,
    /// The port that is probed and answered in SRV; 1–65535.
    pub port: u16,
    /// Share within its pool for `weighted`; 0–65535, 0 is never chosen while another is up.
    pub weight: u16,
}

/// Endpoints that stand or fall together: usually a region's or a data centre's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// Unique in its service.
    pub name: PoolName,
    /// Where the pool is; shown to people, and left out of the vote where a rule says so.
    pub region: Option<RegionName>,
    /// Order for `failover`: the lowest number first.
    pub priority: u16,
    /// Multiplies the weights of its endpoints for `weighted`; 0–65535.
    pub weight: u16,
    /// The pool counts as up with at least this many endpoints up; at least 1.
    pub min_up: u16,
    /// The endpoints; may be empty while clients have not registered any.
    pub endpoints: Vec<Endpoint>,
}
