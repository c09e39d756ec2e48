//! A zone: the part of the name space that the agents answer for, with its own static records.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::bounds::{LONGEST_TTL, within};
use super::{Primaries, SpecError, Transfer, UpdateRule, spec_error, transfer};
use crate::name::DnsName;

/// The timing fields of a zone's SOA record (RFC 1035, 3.3.13). The serial is the log index of the last change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Soa {
    /// The mailbox of the person in charge, as a domain name.
    pub mailbox: DnsName,
    /// When secondaries look for a change; 1 s – 366 days, as the next two.
    pub refresh: Duration,
    /// When they try again.
    pub retry: Duration,
    /// When they give up.
    pub expire: Duration,
    /// How long a resolver may keep a negative answer (RFC 2308); at most 1 day. Answers never exceed the smallest TTL of the zone.
    pub negative_ttl: Duration,
}

/// A name server of a zone with its addresses, which become glue where it lies in the zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameServer {
    /// Its name.
    pub name: DnsName,
    /// Its addresses; needed when the name lies in the zone.
    pub addresses: Vec<IpAddr>,
}

/// The data of one record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RecordData {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
    /// The canonical name.
    Cname(DnsName),
    /// A server and its port (RFC 2782).
    Srv {
        /// Lowest first.
        priority: u16,
        /// Share among equal priorities.
        weight: u16,
        /// The port.
        port: u16,
        /// The host.
        target: DnsName,
    },
    /// Texts of up to 255 bytes each.
    Txt(Vec<String>),
    /// A name server.
    Ns(DnsName),
}

/// A static record of a zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its owner, inside the zone.
    pub name: DnsName,
    /// Its TTL; 0 s – 1 day.
    pub ttl: Duration,
    /// Its data.
    pub data: RecordData,
}

/// A zone that the agents answer for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zone {
    /// Its apex.
    pub name: DnsName,
    /// The SOA's fields.
    pub soa: Soa,
    /// Its name servers; at least one. The first is the SOA's MNAME.
    pub name_servers: Vec<NameServer>,
    /// TTL of SOA, NS and glue; at most 1 day.
    pub ttl: Duration,
    /// Static records.
    pub records: Vec<Record>,
    /// Who may copy it, and who is told of changes.
    pub transfer: Transfer,
    /// Who may change it by UPDATE.
    pub updates: Vec<UpdateRule>,
    /// Where its records come from instead of this declaration.
    pub primaries: Option<Primaries>,
}

impl Zone {
    /// The most static records of a zone.
    pub const MAX_RECORDS: usize = 100_000;

    /// A zone with nothing but its apex, served to everybody and given to nobody.
    pub fn new(name: DnsName, soa: Soa, name_servers: Vec<NameServer>, ttl: Duration) -> Self {
        Self {
            name,
            soa,
            name_servers,
            ttl,
            records: Vec::new(),
            transfer: Transfer::default(),
            updates: Vec::new(),
            primaries: None,
        }
    }

    /// Says whether this zone is possible. Errors: the first field that is not, with what would be right.
    pub fn validate(&self) -> Result<(), SpecError> {
        if self.name_servers.is_empty() {
            return Err(spec_error("name_servers", "a zone needs at least one"));
        }
        if self.name.as_str().starts_with('*') {
            return Err(spec_error("name", "a zone has a name of its own, not a wildcard"));
        }
        self.validate_times()?;
        transfer::validate(self)?;
        for server in &self.name_servers {
            if server.name.is_within(&self.name) && server.addresses.is_empty() {
                return Err(spec_error(
                    format!("name_servers[{}]", server.name),
                    "lies in the zone and so needs addresses, or no resolver can find it",
                ));
            }
        }
        if self.records.len() > Self::MAX_RECORDS {
            return Err(spec_error("records", format!("at most {}", Self::MAX_RECORDS)));
        }
        self.records.iter().try_for_each(|record| self.validate_record(record))
    }

    fn validate_times(&self) -> Result<(), SpecError> {
        let (zero, year) = (Duration::ZERO, Duration::from_secs(366 * 86_400));
        within("ttl", self.ttl, (zero, LONGEST_TTL))?;
        within("soa.negative_ttl", self.soa.negative_ttl, (zero, LONGEST_TTL))?;
        for (field, time) in [
            ("soa.refresh", self.soa.refresh),
            ("soa.retry", self.soa.retry),
            ("soa.expire", self.soa.expire),
        ] {
            within(field, time, (Duration::from_secs(1), year))?;
        }
        Ok(())
    }

    fn validate_record(&self, record: &Record) -> Result<(), SpecError> {
        let field = format!("records[{}]", record.name);
        if !record.name.is_within(&self.name) {
            return Err(spec_error(field, format!("lies outside the zone {}", self.name)));
        }
        within(format!("{field}.ttl"), record.ttl, (Duration::ZERO, LONGEST_TTL))?;
        match &record.data {
            RecordData::Cname(_) if record.name == self.name => {
                Err(spec_error(field, "a CNAME cannot stand at the apex (RFC 1034, 3.6.2)"))
            }
            RecordData::Cname(_) if self.clashes(record) => {
                Err(spec_error(field, "a CNAME cannot stand beside other data (RFC 1034, 3.6.2)"))
            }
            RecordData::Txt(texts) if texts.is_empty() || texts.iter().any(|t| t.len() > 255) => {
                Err(spec_error(field, "a TXT record has one or more texts of at most 255 bytes"))
            }
            RecordData::Ns(_) => Err(spec_error(
                field,
                "NS records are made from name_servers; delegations are not supported in static records",
            )),
            _ => Ok(()),
        }
    }

    fn clashes(&self, cname: &Record) -> bool {
        self.records.iter().filter(|other| other.name == cname.name).count() > 1
            || self.name_servers.iter().any(|server| server.name == cname.name)
    }
}
