//! What may stand at one name of a zone, and below it: the rules that need more than one record to be checked.
//!
//! CNAME alone (RFC 1034, 3.6.2), DNAME once and nothing below (RFC 6672, 2.4), delegations with their glue and
//! nothing else (RFC 1034, 4.2.1; RFC 9471), aliases without addresses beside them. Every rule is one pass over the
//! zone's names in canonical order.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::bounds::{LONGEST_TTL, within};
use super::{Kind, Record, RecordData, SpecError, Zone, spec_error};
use crate::name::DnsName;

/// The most bytes of one type's data at one name: an answer with all of them still fits a message over TCP.
const MAX_SET_BYTES: usize = 48 * 1024;

/// A zone's records by owner, each name server with an address too.
pub(super) struct Owners<'a> {
    zone: &'a Zone,
    names: BTreeMap<&'a DnsName, Vec<&'a RecordData>>,
}

fn refuse<T>(name: &DnsName, problem: impl Into<String>) -> Result<T, SpecError> {
    Err(spec_error(format!("records[{name}]"), problem))
}

impl<'a> Owners<'a> {
    /// Sorts the records of a zone. Errors: the first that is not possible by itself.
    pub(super) fn of(
        zone: &'a Zone,
        records: impl Iterator<Item = &'a Record>,
    ) -> Result<Self, SpecError> {
        let mut names: BTreeMap<&DnsName, Vec<&RecordData>> = BTreeMap::new();
        for record in records {
            validate_record(zone, record)?;
            names.entry(&record.name).or_default().push(&record.data);
        }
        Ok(Self { zone, names })
    }

    /// Some of a zone's names, each with all of its records.
    pub(super) fn part(
        zone: &'a Zone,
        names: impl Iterator<Item = (&'a DnsName, Vec<&'a Record>)>,
    ) -> Self {
        let data = |records: Vec<&'a Record>| records.iter().map(|record| &record.data).collect();
        let names = names.filter(|(_, records)| !records.is_empty());
        Self { zone, names: names.map(|(name, records)| (name, data(records))).collect() }
    }

    pub(super) fn validate(&self) -> Result<(), SpecError> {
        let mut above: Option<(&DnsName, Kind)> = None;
        for (name, data) in &self.names {
            self.validate_set_sizes(name, data)?;
            self.validate_single(name, data)?;
            match above.filter(|(cut, _)| name.is_within(cut)) {
                Some((cut, kind)) => validate_below(name, data, (cut, kind))?,
                None => above = self.validate_cut(name, data)?.map(|kind| (*name, kind)),
            }
        }
        Ok(())
    }

    fn validate_set_sizes(&self, name: &DnsName, data: &[&RecordData]) -> Result<(), SpecError> {
        let mut sizes: BTreeMap<Kind, usize> = BTreeMap::new();
        for data in data {
            // Twelve bytes stand before the data of each record.
            *sizes.entry(data.kind()).or_default() += 12 + data.wire_len();
        }
        match sizes.iter().find(|(_, size)| **size > MAX_SET_BYTES) {
            Some((kind, _)) => {
                refuse(name, format!("its {kind} records have more than {MAX_SET_BYTES} bytes"))
            }
            None => Ok(()),
        }
    }

    /// Types of which there is one at a name, and which do not stand beside others.
    fn validate_single(&self, name: &DnsName, data: &[&RecordData]) -> Result<(), SpecError> {
        let count = |kind: Kind| data.iter().filter(|data| data.kind() == kind).count();
        let serves = self.zone.name_servers.iter().any(|server| server.name == *name);
        if count(Kind::CNAME) > 0 && (data.len() > 1 || serves) {
            return refuse(name, "a CNAME cannot stand beside other data (RFC 1034, 3.6.2)");
        }
        if count(Kind::DNAME) > 1 || count(Kind::ALIAS) > 1 {
            return refuse(name, "a name has at most one DNAME and one ALIAS");
        }
        let addresses = count(Kind::A) + count(Kind::AAAA) > 0 || serves;
        if count(Kind::ALIAS) > 0 && addresses {
            return refuse(
                name,
                "an ALIAS gives the name its addresses; it cannot stand beside A or AAAA",
            );
        }
        Ok(())
    }

    /// What a name cuts off: a delegation, or everything below a DNAME.
    fn validate_cut(
        &self,
        name: &DnsName,
        data: &[&RecordData],
    ) -> Result<Option<Kind>, SpecError> {
        let holds = |kind: Kind| data.iter().any(|data| data.kind() == kind);
        let apex = *name == self.zone.name;
        match (holds(Kind::NS), holds(Kind::DS), holds(Kind::DNAME)) {
            (true, _, _) if apex => {
                refuse(name, "the apex has its NS records from name_servers; write them there")
            }
            (_, true, _) if apex => refuse(name, "DS records stand in the parent zone"),
            (false, true, _) => refuse(name, "a DS record needs the NS records of its delegation"),
            (true, _, _) => self.validate_delegation(name, data).map(|()| Some(Kind::NS)),
            (false, _, true) => Ok(Some(Kind::DNAME)),
            (false, false, false) => Ok(None),
        }
    }

    fn validate_delegation(&self, cut: &DnsName, data: &[&RecordData]) -> Result<(), SpecError> {
        let addresses = |data: &[&RecordData]| {
            data.iter().any(|data| matches!(data.kind(), Kind::A | Kind::AAAA))
        };
        for data in data {
            match data {
                RecordData::Ns(server) if server.is_within(cut) => {
                    let glue = self.names.get(server).is_some_and(|data| addresses(data));
                    if !glue {
                        let problem = format!(
                            "the name server {server} lies in the delegation and so needs A or AAAA records here, or no resolver can find it"
                        );
                        return refuse(cut, problem);
                    }
                }
                RecordData::Ns(_) | RecordData::Ds { .. } => {}
                RecordData::A(_) | RecordData::Aaaa(_) if self.is_glue(cut, cut) => {}
                data => {
                    let problem = format!(
                        "{} data stand beside a delegation and would never be answered; they belong into the delegated zone",
                        data.kind()
                    );
                    return refuse(cut, problem);
                }
            }
        }
        Ok(())
    }

    fn is_glue(&self, cut: &DnsName, host: &DnsName) -> bool {
        let servers = self.names.get(cut).into_iter().flatten();
        servers.into_iter().any(|data| matches!(data, RecordData::Ns(server) if server == host))
    }
}

/// Below a delegation there are only addresses, and below a DNAME there is nothing.
fn validate_below(
    name: &DnsName,
    data: &[&RecordData],
    (cut, kind): (&DnsName, Kind),
) -> Result<(), SpecError> {
    let glue = data.iter().all(|data| matches!(data.kind(), Kind::A | Kind::AAAA));
    if kind == Kind::NS && glue {
        return Ok(());
    }
    let what = if kind == Kind::NS { "delegation" } else { "DNAME" };
    refuse(name, format!("lies below the {what} at {cut} and would never be answered"))
}

pub(super) fn validate_record(zone: &Zone, record: &Record) -> Result<(), SpecError> {
    let name = &record.name;
    if !name.is_within(&zone.name) {
        return refuse(name, format!("lies outside the zone {}", zone.name));
    }
    within(format!("records[{name}].ttl"), record.ttl, (Duration::ZERO, LONGEST_TTL))?;
    record.data.validate().or_else(|problem| refuse(name, problem))?;
    match record.data {
        RecordData::Cname(_) if *name == zone.name => refuse(
            name,
            "a CNAME cannot stand at the apex (RFC 1034, 3.6.2); an ALIAS can, for targets in the zones served here",
        ),
        RecordData::Ns(_) | RecordData::Ds { .. } | RecordData::Dname(_)
            if name.as_str().starts_with('*') =>
        {
            refuse(name, "a wildcard cannot delegate or rename (RFC 4592, 4.2 to 4.4)")
        }
        RecordData::Alias(ref target) if target == name => {
            refuse(name, "an ALIAS leads to another name")
        }
        _ => Ok(()),
    }
}
