//! `UpdateZone`: a dynamic update (RFC 2136, 3), all of it or nothing.
//!
//! ```text
//! is there a rule for the key? ─▶ prerequisites ─▶ each change on a draft: in the zone? free? permitted? ─▶ fits the zone? ─▶ stored
//! ```
//!
//! Names of services and what a zone declares are seen by prerequisites and changed by nobody here. What RFC 2136,
//! 3.4.2 has ignored is ignored: a CNAME beside other data and other data beside a CNAME, what is there already, what
//! is to go and is not there.

mod prerequisites;

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::time::Duration;

use crate::command::{Rejection, Reply};
use crate::event::Event;
use crate::name::DnsName;
use crate::spec::{Kind, LONGEST_TTL, Record, RecordData, Zone};
use crate::state::zone_records::Volume;
use crate::state::{Owner, State, Work};
use crate::update::{Action, Change, UpdateCode, UpdateRefusal, ZoneUpdate};

/// The most changes that an audit record names.
const MAX_TOLD: usize = 64;
/// The most characters that it tells of one.
const MAX_TOLD_LENGTH: usize = 200;

type Refused<T = ()> = Result<T, UpdateRefusal>;

fn refuse<T>(code: UpdateCode, problem: impl Into<String>) -> Refused<T> {
    Err(UpdateRefusal { code, problem: problem.into() })
}

/// The dynamic records of the names that an update touches, as they come to be.
type Draft = BTreeMap<DnsName, Vec<Record>>;

impl State {
    pub(in crate::state) fn update_zone(
        &mut self,
        work: &mut Work<'_>,
        update: &ZoneUpdate,
    ) -> Result<Reply, Rejection> {
        let draft = self.draft(update).map_err(Rejection::Update)?;
        let Some(state) = self.data.zones.get_mut(&update.zone) else {
            unreachable!("a draft is of a zone")
        };
        if draft.is_empty() {
            return Ok(Reply::Stored { revision: state.touched, changed: false });
        }
        let mut volume = self.records.volume(&update.zone);
        let mut told = Told::default();
        for (name, records) in &draft {
            let before = match records.is_empty() {
                true => state.dynamic.remove(name),
                false => state.dynamic.insert(name.clone(), records.clone()),
            };
            let before = before.unwrap_or_default();
            let longest = before.iter().map(|record| record.ttl).max().unwrap_or_default();
            state.former_ttls_until = state.former_ttls_until.max(self.data.at + longest);
            volume = volume.after(Volume::of(records), Volume::of(&before));
            told.tell(&before, records);
        }
        state.touched = work.index;
        let zone = Arc::clone(&state.zone);
        self.records.set_volume(&update.zone, volume);
        self.reown(&zone, draft.keys());
        self.published.mark_names(&update.zone, draft.into_keys());
        let (zone, key) = (update.zone.clone(), update.key.clone());
        let Told { changes, unnamed } = told;
        work.say(None, Event::ZoneUpdated { zone, key, changes, unnamed });
        Ok(Reply::Stored { revision: work.index, changed: true })
    }

    /// The records that names come to have, of those names that change. Errors: why nothing changes.
    fn draft(&self, update: &ZoneUpdate) -> Refused<Draft> {
        let most = ZoneUpdate::MAX_CHANGES;
        if update.changes.len() > most {
            let problem = format!("an update has at most {most} changes; send several");
            return refuse(UpdateCode::Refused, problem);
        }
        let Some(state) = self.data.zones.get(&update.zone) else {
            return refuse(UpdateCode::NotOurs, format!("{} is no zone of ours", update.zone));
        };
        let zone = &*state.zone;
        if !zone.updates.iter().any(|rule| rule.key == update.key) {
            let problem = format!("no rule of zone {} names key {}", zone.name, update.key);
            return refuse(UpdateCode::Refused, problem);
        }
        self.check_prerequisites(zone, update)?;
        let mut draft = Draft::new();
        for change in &update.changes {
            self.carry_out(zone, &update.key, change, &mut draft)?;
        }
        draft.retain(|name, records| {
            state.dynamic.get(name).map_or(&[][..], Vec::as_slice) != &records[..]
        });
        self.check_fit(zone, &draft)?;
        Ok(draft)
    }

    fn dynamic_at(&self, zone: &Zone, name: &DnsName) -> &[Record] {
        let state = self.data.zones.get(&zone.name);
        state.and_then(|state| state.dynamic.get(name)).map_or(&[], Vec::as_slice)
    }

    fn carry_out(&self, zone: &Zone, key: &DnsName, change: &Change, draft: &mut Draft) -> Refused {
        let name = &change.name;
        check_within(zone, name)?;
        self.check_name(name, &zone.name, &Owner::Zone(zone.name.clone()))
            .or_else(|taken| refuse(UpdateCode::Refused, format!("{taken}")))?;
        if !draft.contains_key(name) {
            draft.insert(name.clone(), self.dynamic_at(zone, name).to_vec());
        }
        let records = draft.entry(name.clone()).or_default();
        match &change.action {
            Action::Add { ttl, data } => {
                self.check_free(zone, key, (name, data.kind()))?;
                let others = self.records.declared_kinds(zone, name);
                let others = others.chain((*name == zone.name).then_some(Kind::SOA));
                add(records, name, (*ttl, data), others.collect())
            }
            Action::RemoveName => {
                let declared = self.records.declared_kinds(zone, name);
                let made = records.iter().map(|record| record.data.kind());
                let mut kinds: Vec<Kind> = declared.chain(made).collect();
                kinds.dedup();
                if kinds.is_empty() && !zone.permits_some_update(key, name) {
                    return refuse_by_rule(key, name);
                }
                kinds.into_iter().try_for_each(|kind| self.check_free(zone, key, (name, kind)))?;
                records.clear();
                Ok(())
            }
            Action::RemoveSet(kind) => {
                self.check_free(zone, key, (name, *kind))?;
                records.retain(|record| record.data.kind() != *kind);
                Ok(())
            }
            Action::Remove(data) => {
                self.check_free(zone, key, (name, data.kind()))?;
                records.retain(|record| record.data != *data);
                Ok(())
            }
        }
    }

    /// A rule permits it, and nobody declared these records.
    fn check_free(&self, zone: &Zone, key: &DnsName, (name, kind): (&DnsName, Kind)) -> Refused {
        if !zone.permits_update(key, name, kind) {
            return refuse_by_rule(key, format_args!("{kind} records of {name}"));
        }
        if self.records.declared_kinds(zone, name).any(|here| here == kind) {
            let problem = format!("zone {} declares the {kind} records of {name}", zone.name);
            return refuse(UpdateCode::Refused, problem);
        }
        Ok(())
    }

    /// The zone has room for what comes, or less comes than goes.
    fn check_volume(&self, zone: &Zone, draft: &Draft) -> Refused {
        let come = Volume::of(draft.values().flatten());
        let gone = Volume::of(draft.keys().flat_map(|name| self.dynamic_at(zone, name)));
        let volume = self.records.volume(&zone.name).after(come, gone);
        if volume.records > Zone::MAX_RECORDS && come.records > gone.records {
            let problem = format!("a zone has at most {} records", Zone::MAX_RECORDS);
            return refuse(UpdateCode::Refused, problem);
        }
        if volume.bytes > Zone::MAX_BYTES && come.bytes > gone.bytes {
            let problem = format!("the records of a zone have at most {} bytes", Zone::MAX_BYTES);
            return refuse(UpdateCode::Refused, problem);
        }
        Ok(())
    }

    /// The zone can hold what the names come to have.
    fn check_fit(&self, zone: &Zone, draft: &Draft) -> Refused {
        self.check_volume(zone, draft)?;
        for (name, records) in draft {
            let (most, before) = (ZoneUpdate::MAX_AT_NAME, self.dynamic_at(zone, name).len());
            if records.len() > most.max(before) {
                let problem = format!("{name} can have at most {most} records of updates");
                return refuse(UpdateCode::Refused, problem);
            }
            let cuts = records.iter().any(|record| is_cut(record.data.kind()));
            if let Some(service) = self.service_in(name).filter(|_| cuts) {
                return refuse(UpdateCode::Refused, format!("it would hide service {service}"));
            }
        }
        let records = draft.values().flatten();
        let names = self.affected(zone, draft);
        let at = |name: &DnsName| {
            let dynamic = match draft.get(name) {
                Some(records) => &records[..],
                None => self.dynamic_at(zone, name),
            };
            self.records.declared(zone, name).chain(dynamic).collect::<Vec<&Record>>()
        };
        let part = names.iter().map(|name| (name, at(name)));
        zone.validate_part(records, part)
            .or_else(|error| refuse(UpdateCode::Refused, format!("{error}")))
    }

    /// The names on which depends whether the changed ones are possible: they, what is above them, the glue of
    /// delegations, and what a new cut hides.
    fn affected(&self, zone: &Zone, draft: &Draft) -> Vec<DnsName> {
        let mut names: Vec<DnsName> = Vec::new();
        for (name, records) in draft {
            let above = core::iter::successors(Some(name.clone()), DnsName::parent);
            names.extend(above.take_while(|above| above.is_within(&zone.name)));
            if records.iter().any(|record| is_cut(record.data.kind())) {
                let below = self.names.range(name.clone()..).map(|(below, _)| below);
                names.extend(below.take_while(|below| below.is_within(name)).cloned());
                names.extend(draft.keys().filter(|below| below.is_within(name)).cloned());
            }
        }
        names.sort();
        names.dedup();
        let delegations = names.iter().flat_map(|name| {
            let dynamic =
                draft.get(name).map_or_else(|| self.dynamic_at(zone, name), Vec::as_slice);
            self.records.declared(zone, name).chain(dynamic)
        });
        let glue: Vec<DnsName> = delegations
            .filter_map(|record| match &record.data {
                RecordData::Ns(server) if server.is_within(&record.name) => Some(server.clone()),
                _ => None,
            })
            .collect();
        names.extend(glue);
        names.sort();
        names.dedup();
        names
    }

    /// Keeps the index of owners in step with names whose records changed.
    fn reown<'a>(&mut self, zone: &Zone, names: impl Iterator<Item = &'a DnsName>) {
        for name in names {
            if self.dynamic_at(zone, name).is_empty()
                && self.records.declared_kinds(zone, name).next().is_none()
            {
                self.names.remove(name);
            } else {
                self.names.insert(name.clone(), Owner::Zone(zone.name.clone()));
            }
        }
    }
}

fn check_within(zone: &Zone, name: &DnsName) -> Refused {
    if name.is_within(&zone.name) {
        return Ok(());
    }
    refuse(UpdateCode::NotInZone, format!("{name} lies outside {}", zone.name))
}

fn refuse_by_rule(key: &DnsName, what: impl core::fmt::Display) -> Refused {
    refuse(UpdateCode::Refused, format!("no rule lets key {key} change {what}"))
}

fn is_cut(kind: Kind) -> bool {
    matches!(kind, Kind::NS | Kind::DNAME)
}

/// Adds a record to those of its name, beside records of `others` (RFC 2136, 3.4.2.2).
fn add(
    records: &mut Vec<Record>,
    name: &DnsName,
    (ttl, data): (Duration, &RecordData),
    others: Vec<Kind>,
) -> Refused {
    let kind = data.kind();
    let here = || records.iter().map(|record| record.data.kind()).chain(others.iter().copied());
    let alone = match kind {
        Kind::CNAME => here().all(|other| other == Kind::CNAME),
        _ => here().all(|other| other != Kind::CNAME),
    };
    if !alone {
        return Ok(());
    }
    let ttl = ttl.min(LONGEST_TTL);
    let single = matches!(kind, Kind::CNAME | Kind::DNAME);
    records.retain(|record| record.data != *data && !(single && record.data.kind() == kind));
    records.push(Record { name: name.clone(), ttl, data: data.clone() });
    for record in records.iter_mut().filter(|record| record.data.kind() == kind) {
        record.ttl = ttl;
    }
    records.sort_by(by_data);
    Ok(())
}

/// The order of the records of one name.
fn by_data(a: &Record, b: &Record) -> Ordering {
    (a.data.kind(), &a.data).cmp(&(b.data.kind(), &b.data))
}

/// What an audit record says of an update.
#[derive(Default)]
struct Told {
    changes: Vec<String>,
    /// How many changes there are beyond these.
    unnamed: u32,
}

impl Told {
    /// Says which records of a name went and which came; both are in order.
    fn tell(&mut self, before: &[Record], after: &[Record]) {
        let lacks = |records: &[Record], record: &Record| {
            let place = records.binary_search_by(|here| by_data(here, record));
            place.map_or(true, |place| records[place] != *record)
        };
        let gone = before.iter().filter(|record| lacks(after, record)).map(|record| ("-", record));
        let come = after.iter().filter(|record| lacks(before, record)).map(|record| ("+", record));
        for (sign, Record { name, ttl, data }) in gone.chain(come) {
            if self.changes.len() == MAX_TOLD {
                self.unnamed += 1;
                continue;
            }
            let line = format!("{sign} {name} {} {} {data}", ttl.as_secs(), data.kind());
            self.changes.push(line.chars().take(MAX_TOLD_LENGTH).collect());
        }
    }
}
