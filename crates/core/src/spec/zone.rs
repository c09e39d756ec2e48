//! A zone: the part of the name space that the agents answer for, with its own static records.

use alloc::format;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::bounds::{LONGEST_TTL, within};
use super::owners::{Owners, validate_record};
use super::{
    Dnssec, Primaries, PropagationDelays, Record, SpecError, Transfer, UpdateRule, spec_error,
};
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

impl Soa {
    /// With the times that a declaration gets that says nothing. A negative answer is kept for half a minute, so that it
    /// does not outlive the mistake behind it.
    pub fn new(mailbox: DnsName) -> Self {
        Self {
            mailbox,
            refresh: Duration::from_secs(3600),
            retry: Duration::from_secs(600),
            expire: Duration::from_secs(14 * 86_400),
            negative_ttl: Duration::from_secs(30),
        }
    }
}

/// A name server of a zone with its addresses, which become glue where it lies in the zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameServer {
    /// Its name.
    pub name: DnsName,
    /// Its addresses; needed when the name lies in the zone.
    pub addresses: Vec<IpAddr>,
}

/// A zone that the agents answer for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zone {
    /// Its apex.
    pub name: DnsName,
    /// The SOA's fields.
    pub soa: Soa,
    /// Its name servers; at least one, none where the zone comes from primaries. The first is the SOA's MNAME.
    pub name_servers: Vec<NameServer>,
    /// TTL of SOA, NS and glue; at most 1 day.
    pub ttl: Duration,
    /// Static records.
    pub records: Vec<Record>,
    /// Whether answers are tailored to the client's network that a resolver tells (RFC 7871).
    pub client_subnet: bool,
    /// Who may copy it, and who is told of changes.
    pub transfer: Transfer,
    /// Who may change it by dynamic updates.
    pub updates: Vec<UpdateRule>,
    /// How it is signed, once it has keys.
    pub dnssec: Option<Dnssec>,
    /// The servers that it is copied from, with its SOA, name servers and records.
    pub primaries: Option<Primaries>,
}

impl Zone {
    /// The most records of a zone, static ones and those of updates.
    pub const MAX_RECORDS: usize = 100_000;
    /// The most bytes of these records on the wire, names uncompressed.
    pub const MAX_BYTES: usize = 32 << 20;

    /// A zone with nothing but its apex, served to everybody and given to nobody.
    pub fn new(name: DnsName, soa: Soa, name_servers: Vec<NameServer>, ttl: Duration) -> Self {
        Self {
            name,
            soa,
            name_servers,
            ttl,
            records: Vec::new(),
            client_subnet: false,
            transfer: Transfer::default(),
            updates: Vec::new(),
            dnssec: None,
            primaries: None,
        }
    }

    /// The SOA's MNAME: the first name server.
    pub fn mname(&self) -> &DnsName {
        self.name_servers.first().map_or(&self.name, |server| &server.name)
    }

    /// The TSIG keys that it names, each with the field of the manifest that names it; one may come more than once.
    pub fn key_uses(&self) -> impl Iterator<Item = (&'static str, &DnsName)> {
        let asking = self.transfer.keys.iter().map(|key| ("transfer.keys", key));
        let told = self.transfer.notify.iter().filter_map(|target| target.key.as_ref());
        let copied = self.primaries.iter().filter_map(|primaries| primaries.key.as_ref());
        let updating = self.updates.iter().map(|rule| ("updates", &rule.key));
        asking
            .chain(told.map(|key| ("transfer.notify", key)))
            .chain(copied.map(|key| ("primaries.key", key)))
            .chain(updating)
    }

    /// The longest TTL of what it declares itself; its services have their own.
    pub fn longest_ttl(&self) -> Duration {
        let records = self.records.iter().map(|record| record.ttl).max().unwrap_or_default();
        records.max(self.ttl).max(self.soa.negative_ttl)
    }

    /// What the exchange of its keys waits for beside TTLs.
    pub fn propagation_delays(&self) -> PropagationDelays {
        self.dnssec.as_ref().map(|dnssec| dnssec.delays).unwrap_or_default()
    }

    /// Says whether this zone is possible. Errors: the first field that is not, with what would be right.
    pub fn validate(&self) -> Result<(), SpecError> {
        match &self.primaries {
            Some(primaries) => primaries.validate(self)?,
            None if self.name_servers.is_empty() => {
                return Err(spec_error("name_servers", "a zone needs at least one"));
            }
            None => {}
        }
        if self.name.as_str().starts_with('*') {
            return Err(spec_error("name", "a zone has a name of its own, not a wildcard"));
        }
        if self.name.is_root() {
            return Err(spec_error("name", "the root is not ours to serve"));
        }
        self.validate_times()?;
        self.transfer.validate()?;
        self.validate_updates()?;
        self.dnssec.iter().try_for_each(Dnssec::validate)?;
        if self.dnssec.is_some() && self.transfer != Transfer::default() {
            let problem = "a signed zone is signed as it is answered, so copies of it would lack \
                           the signatures and be taken for forged; remove `transfer` or `dnssec`";
            return Err(spec_error("transfer", problem));
        }
        for server in &self.name_servers {
            if server.name.is_within(&self.name) && server.addresses.is_empty() {
                return Err(spec_error(
                    format!("name_servers[{}]", server.name),
                    "lies in the zone and so needs addresses, or no resolver can find it",
                ));
            }
        }
        self.validate_records()
    }

    /// Says whether the records can stand together; all that is asked of what a primary gives.
    pub(crate) fn validate_records(&self) -> Result<(), SpecError> {
        if self.records.len() > Self::MAX_RECORDS {
            return Err(spec_error("records", format!("at most {}", Self::MAX_RECORDS)));
        }
        if self.records.iter().map(Record::wire_len).sum::<usize>() > Self::MAX_BYTES {
            let problem = format!("at most {} bytes in all", Self::MAX_BYTES);
            return Err(spec_error("records", problem));
        }
        Owners::of(self, self.records.iter())?.validate()
    }

    /// Says whether this zone, which is possible, is so with these records beside its own. Errors: as of
    /// [`validate`](Self::validate).
    pub(crate) fn validate_with<'a>(
        &'a self,
        more: impl Iterator<Item = &'a Record>,
    ) -> Result<(), SpecError> {
        Owners::of(self, self.records.iter().chain(more))?.validate()
    }

    /// Says whether changed records are possible; `part` is every name on which that depends, with all its records.
    pub(crate) fn validate_part<'a>(
        &'a self,
        mut changed: impl Iterator<Item = &'a Record>,
        part: impl Iterator<Item = (&'a DnsName, Vec<&'a Record>)>,
    ) -> Result<(), SpecError> {
        changed.try_for_each(|record| validate_record(self, record))?;
        Owners::part(self, part).validate()
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
}
