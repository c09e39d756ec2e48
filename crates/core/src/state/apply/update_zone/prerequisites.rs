//! The prerequisites of an update (RFC 2136, 3.2): what must stand at names before anything changes.
//!
//! Everything counts that stands at a name, whoever put it there: declared, made by updates, or served by a service.
//!
//! Invariant: what stands at a name is found once for all that an update asks of it, and an update asks
//! [`ZoneUpdate::MAX_PREREQUISITES`] things at most, so no key makes the log wait by what it asks.

use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;

use super::{Refused, check_within, refuse};
use crate::name::DnsName;
use crate::spec::{Kind, RecordData, Zone};
use crate::state::publish::records_of_service;
use crate::state::zone_records::server_addresses;
use crate::state::{Owner, State};
use crate::update::{Condition, UpdateCode, ZoneUpdate};

/// What stands at a name and what of it an update names.
struct Compared<'a> {
    standing: Vec<Cow<'a, RecordData>>,
    named: Vec<&'a RecordData>,
}

impl State {
    /// Each by itself, and then the sets that are told record by record.
    pub(super) fn check_prerequisites(&self, zone: &Zone, update: &ZoneUpdate) -> Refused {
        let most = ZoneUpdate::MAX_PREREQUISITES;
        if update.prerequisites.len() > most {
            let problem = format!("an update has at most {most} prerequisites; ask of less");
            return refuse(UpdateCode::Refused, problem);
        }
        let mut names: BTreeMap<&DnsName, Compared<'_>> = BTreeMap::new();
        for asked in &update.prerequisites {
            let name = &asked.name;
            check_within(zone, name)?;
            let here = names.entry(name).or_insert_with(|| Compared {
                standing: self.standing(zone, name),
                named: Vec::new(),
            });
            match &asked.condition {
                Condition::Name { exists } if *exists == here.standing.is_empty() => {
                    return refuse(unmet_name(*exists), format!("asked of {name}"));
                }
                Condition::Name { .. } => {}
                Condition::Set { kind, exists } => {
                    let soa = *kind == Kind::SOA && *name == zone.name;
                    let present = soa || here.standing.iter().any(|data| data.kind() == *kind);
                    if present != *exists {
                        return refuse(unmet_set(*exists), format!("asked of {name} {kind}"));
                    }
                }
                Condition::Holds(data) => here.named.push(data),
            }
        }
        match names.iter_mut().find_map(|(name, here)| (!here.is_all_named()).then_some(name)) {
            Some(name) => refuse(UpdateCode::SetMissing, format!("asked of records of {name}")),
            None => Ok(()),
        }
    }

    /// What stands at a name, whoever put it there; without the SOA of an apex.
    fn standing<'a>(&'a self, zone: &'a Zone, name: &DnsName) -> Vec<Cow<'a, RecordData>> {
        let declared = self.records.declared(zone, name);
        let records = declared.chain(self.dynamic_at(zone, name));
        let servers = zone.name_servers.iter().filter(|_| *name == zone.name);
        let servers = servers.map(|server| RecordData::Ns(server.name.clone()));
        let served = match self.names.get(name) {
            Some(Owner::Service(id)) => records_of_service(&self.data, id, name),
            _ => Vec::new(),
        };
        let made = servers.chain(server_addresses(zone, name)).chain(served);
        records.map(|record| Cow::Borrowed(&record.data)).chain(made.map(Cow::Owned)).collect()
    }
}

impl Compared<'_> {
    /// Whether what is named are whole sets of what stands there.
    fn is_all_named(&mut self) -> bool {
        self.named.sort();
        self.named.dedup();
        let mut kinds: Vec<Kind> = self.named.iter().map(|data| data.kind()).collect();
        kinds.sort();
        kinds.dedup();
        self.standing.retain(|data| kinds.binary_search(&data.kind()).is_ok());
        self.standing.sort();
        self.standing.dedup();
        self.standing.iter().map(AsRef::as_ref).eq(self.named.iter().copied())
    }
}

fn unmet_name(exists: bool) -> UpdateCode {
    if exists { UpdateCode::NameMissing } else { UpdateCode::NameExists }
}

fn unmet_set(exists: bool) -> UpdateCode {
    if exists { UpdateCode::SetMissing } else { UpdateCode::SetExists }
}
