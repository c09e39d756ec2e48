//! Zones that are copied from their primaries: what was fetched, and what becomes of the copy before by it.
//!
//! ```text
//! leader: SOA, IXFR or AXFR ─▶ Fetched {since, removed, added} ══▶ apply: copy before − removed + added ─▶ Copied
//! ```
//!
//! What was fetched stands in the log as the difference to a copy that all replicas have, so a small change of a large
//! zone is a small entry, and all serve the same records at the same index. A difference to any other copy is refused.
//!
//! Invariant: a copy is as possible as a declaration ([`Zone::validate`]); what is not leaves the one before in place. The
//! serial that is served is the group's own; the primary's is kept for comparison (RFC 1982).

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::name::DnsName;
use crate::spec::{Kind, LONGEST_TTL, NameServer, Record, RecordData, Soa, SpecError, Zone};
use crate::state::ZoneState;
use crate::time::Timestamp;

/// The most bytes of a primary's problem; a longer one is refused.
pub const LONGEST_PROBLEM: usize = 500;
/// The longest time of an SOA.
const LONGEST_TIME: Duration = Duration::from_secs(366 * 86_400);

/// Whether a serial is newer than another (RFC 1982, 3.2).
pub fn is_newer(serial: u32, than: u32) -> bool {
    serial != than && serial.wrapping_sub(than) < 1 << 31
}

/// The copy of a zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copied {
    /// The log index at which its records were recorded.
    pub index: u64,
    /// When its serial was, by the group's time.
    pub at: Timestamp,
    /// The primary's serial; `None` for what was declared here before the zone came from primaries.
    pub serial: Option<u32>,
    /// Who gave it.
    pub from: Option<SocketAddr>,
    /// The SOA's MNAME.
    pub mname: DnsName,
    /// SOA, name servers and records; records ascend by name.
    pub zone: Arc<Zone>,
}

/// What a primary gave, as the difference to the copy before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetched {
    /// The index of the copy that this is the difference to; 0 where this is the whole zone.
    pub since: u64,
    /// The primary's serial.
    pub serial: u32,
    /// Who gave it.
    pub from: SocketAddr,
    /// The SOA's MNAME.
    pub mname: DnsName,
    /// The SOA's other fields.
    pub soa: Soa,
    /// The SOA's TTL.
    pub ttl: Duration,
    /// What went. TTLs do not count.
    pub removed: Vec<Record>,
    /// What came; the NS records of the apex too.
    pub added: Vec<Record>,
}

impl Fetched {
    /// The most bytes of one difference on the wire; the log keeps as much in memory.
    pub const MAX_BYTES: usize = 4 << 20;

    /// Says whether a zone results from this and the copy before, as the log will. Errors: why not.
    pub fn check(&self, apex: &DnsName, before: Option<&Copied>) -> Result<(), SpecError> {
        merged(apex, before, self).map(drop)
    }

    /// How many bytes the records take, about as they do in the log.
    pub fn size(&self) -> usize {
        let one = |record: &Record| record.name.wire_len() + record.data.wire_len() + 16;
        self.removed.iter().chain(&self.added).map(one).sum()
    }
}

/// The records of a copy: each once, the apex's NS records among them.
pub type Records = BTreeMap<(DnsName, RecordData), Duration>;

impl Copied {
    /// The declared records of a zone that comes from primaries from now on.
    pub(crate) fn of_declared(state: &ZoneState) -> Self {
        let zone = &state.zone;
        let mut sorted =
            Zone::new(zone.name.clone(), zone.soa.clone(), zone.name_servers.clone(), zone.ttl);
        sorted.records = zone.records.clone();
        sorted.records.sort_by(|a, b| a.name.cmp(&b.name));
        Self {
            index: state.revision,
            at: Timestamp(0),
            serial: None,
            from: None,
            mname: zone.mname().clone(),
            zone: Arc::new(sorted),
        }
    }

    /// Every record but the SOA.
    pub fn records(&self) -> Records {
        let zone = &self.zone;
        let server = |server: &NameServer| {
            ((zone.name.clone(), RecordData::Ns(server.name.clone())), zone.ttl)
        };
        let addresses = zone.name_servers.iter().flat_map(|server| {
            let own = server.addresses.iter().filter(|_| server.name.is_within(&zone.name));
            own.map(|ip| ((server.name.clone(), RecordData::from(*ip)), zone.ttl))
        });
        let record = |record: &Record| ((record.name.clone(), record.data.clone()), record.ttl);
        let servers = zone.name_servers.iter().map(server);
        servers.chain(addresses).chain(zone.records.iter().map(record)).collect()
    }

    /// Whether the copy has records at a name.
    pub fn has(&self, name: &DnsName) -> bool {
        let at = self.zone.records.partition_point(|record| record.name < *name);
        self.zone.records.get(at).is_some_and(|record| record.name == *name)
    }
}

/// The zone that results. Errors: why it is impossible; a difference that does not fit the copy before is one.
pub(crate) fn merged(
    apex: &DnsName,
    before: Option<&Copied>,
    fetched: &Fetched,
) -> Result<Zone, SpecError> {
    let problem = |field: &str, problem: String| SpecError { field: field.into(), problem };
    let mut records = match fetched.since {
        0 => Records::new(),
        _ => before.map(Copied::records).unwrap_or_default(),
    };
    for record in &fetched.removed {
        if records.remove(&(record.name.clone(), record.data.clone())).is_none() {
            let why = alloc::format!("{} {} is not there", record.name, record.data.kind());
            return Err(problem("removed", why));
        }
    }
    for record in &fetched.added {
        records.insert((record.name.clone(), record.data.clone()), record.ttl.min(LONGEST_TTL));
    }
    let time = |time: Duration| time.clamp(Duration::from_secs(1), LONGEST_TIME);
    let soa = Soa {
        mailbox: fetched.soa.mailbox.clone(),
        refresh: time(fetched.soa.refresh),
        retry: time(fetched.soa.retry),
        expire: time(fetched.soa.expire),
        negative_ttl: fetched.soa.negative_ttl.min(LONGEST_TTL),
    };
    let mut zone = Zone::new(apex.clone(), soa, Vec::new(), fetched.ttl.min(LONGEST_TTL));
    for ((name, data), ttl) in records {
        match data {
            RecordData::Ns(server) if name == *apex => {
                zone.name_servers.push(NameServer { name: server, addresses: Vec::new() });
            }
            data => zone.records.push(Record { name, ttl, data }),
        }
    }
    if zone.name_servers.is_empty() {
        return Err(problem("records", "the apex has no NS records".into()));
    }
    if let Some(signed) = zone.records.iter().find(|record| is_signature(record.data.kind())) {
        let why = alloc::format!(
            "{} has {} records: zones are signed here as they are answered, so a signed copy would be taken for \
             forged; give the zone out unsigned, or declare `dnssec` here",
            signed.name,
            signed.data.kind()
        );
        return Err(problem("records", why));
    }
    zone.validate_records()?;
    Ok(zone)
}

/// Whether records of this type stand in signed zones alone: DNSKEY, and what signing makes.
fn is_signature(kind: Kind) -> bool {
    kind.is_made_by_signing() || kind == Kind(48)
}

#[cfg(test)]
mod tests;
