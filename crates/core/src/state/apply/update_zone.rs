//! `UpdateZone`: a dynamic update (RFC 2136, 3), all of it or nothing.
//!
//! ```text
//! is there a rule for the key? ─▶ prerequisites ─▶ each change on a draft: in the zone? free? permitted? ─▶ fits the zone? ─▶ stored
//! ```
//!
//! What a zone declares is seen by prerequisites and changed by nobody here. At the name of a service addresses are
//! endpoints (`endpoints`), where a rule says so, and nothing else is anybody's. What RFC 2136, 3.4.2 has ignored is ignored: a CNAME beside other data and other data beside a CNAME, what is there already, what
//! is to go and is not there.

mod affected;
mod at_name;
mod endpoints;
mod prerequisites;

use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Ordering;

use self::at_name::AtName;
use self::endpoints::{Registered, Registration};
use crate::command::{Rejection, Reply};
use crate::event::Event;
use crate::id::ServiceId;
use crate::name::DnsName;
use crate::spec::{Kind, Record, Registers, Service, Zone};
use crate::state::zone_records::Volume;
use crate::state::{Owner, State, Work};
use crate::time::for_certain;
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

/// What an update makes of the names that it touches, change by change.
#[derive(Default)]
struct Touched<'a> {
    names: BTreeMap<&'a DnsName, AtName>,
    services: BTreeMap<ServiceId, Registration<'a>>,
}

impl<'a> Touched<'a> {
    fn registration(
        &mut self,
        service: &'a Service,
        registers: &'a Registers,
    ) -> Refused<&mut Registration<'a>> {
        let most = ZoneUpdate::MAX_SERVICES;
        let full = self.services.len() == most;
        match self.services.entry(service.id.clone()) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(_) if full => {
                let problem = format!("an update changes at most {most} services; send several");
                refuse(UpdateCode::Refused, problem)
            }
            Entry::Vacant(new) => Ok(new.insert(Registration::new(service, registers)?)),
        }
    }
}

impl State {
    pub(in crate::state) fn update_zone(
        &mut self,
        work: &mut Work<'_>,
        update: &ZoneUpdate,
    ) -> Result<Reply, Rejection> {
        let (draft, services) = self.draft(update).map_err(Rejection::Update)?;
        let changed = !draft.is_empty() || !services.is_empty();
        for registered in services {
            self.register_all(work, registered);
        }
        let Some(state) = self.data.zones.get_mut(&update.zone) else {
            unreachable!("a draft is of a zone")
        };
        if draft.is_empty() {
            return Ok(Reply::Stored { revision: state.touched, changed });
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
            state.former_ttls_until =
                state.former_ttls_until.max(self.data.at + for_certain(longest));
            volume = volume.after(Volume::of(records), Volume::of(&before));
            self.led_away.update(&update.zone, &before, records);
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

    /// The records that names come to have, of those names that change, and the services that change. Errors: why
    /// nothing changes.
    fn draft(&self, update: &ZoneUpdate) -> Refused<(Draft, Vec<Registered>)> {
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
        let mut touched = Touched::default();
        for change in &update.changes {
            self.carry_out(zone, &update.key, change, &mut touched)?;
        }
        let Touched { names, services } = touched;
        let after = names.into_iter().map(|(name, at)| (name.clone(), at.into_records(name)));
        let draft: Draft =
            after.filter(|(name, records)| self.dynamic_at(zone, name) != records).collect();
        self.check_fit(zone, &draft)?;
        let services = services.into_values().filter_map(Registration::into_registered);
        let services: Vec<Registered> = services.collect();
        self.check_registered(zone, &services, &draft)?;
        Ok((draft, services))
    }

    fn dynamic_at(&self, zone: &Zone, name: &DnsName) -> &[Record] {
        let state = self.data.zones.get(&zone.name);
        state.and_then(|state| state.dynamic.get(name)).map_or(&[], Vec::as_slice)
    }

    fn carry_out<'a>(
        &'a self,
        zone: &'a Zone,
        key: &DnsName,
        change: &'a Change,
        touched: &mut Touched<'a>,
    ) -> Refused {
        let name = &change.name;
        check_within(zone, name)?;
        if let Some((service, registers)) = self.registered_at(zone, key, name) {
            return touched.registration(service, registers)?.change(&change.action);
        }
        self.check_name(name, &zone.name, &Owner::Zone(zone.name.clone()))
            .or_else(|taken| refuse(UpdateCode::Refused, format!("{taken}")))?;
        let here = touched.names.entry(name).or_insert_with(|| {
            let declared = self.records.declared_kinds(zone, name);
            AtName::new(declared, *name == zone.name, self.dynamic_at(zone, name))
        });
        match &change.action {
            Action::Add { ttl, data } => {
                check_free(zone, key, (name, here), data.kind())?;
                here.add(*ttl, data);
            }
            Action::RemoveName => {
                let kinds = here.kinds();
                if kinds.is_empty() && !zone.permits_some_update(key, name) {
                    return refuse_by_rule(key, name);
                }
                kinds.into_iter().try_for_each(|kind| check_free(zone, key, (name, here), kind))?;
                here.remove_all();
            }
            Action::RemoveSet(kind) => {
                check_free(zone, key, (name, here), *kind)?;
                here.remove_set(*kind);
            }
            Action::Remove(data) => {
                check_free(zone, key, (name, here), data.kind())?;
                here.remove(data);
            }
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
        }
        let names = self.affected(zone, draft)?;
        let part = names.iter().map(|name| (name, self.to_stand(zone, draft, name).collect()));
        zone.validate_part(draft.values().flatten(), part)
            .or_else(|error| refuse(UpdateCode::Refused, format!("{error}")))
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

/// A rule permits it, and nobody declared these records.
fn check_free(
    zone: &Zone,
    key: &DnsName,
    (name, here): (&DnsName, &AtName),
    kind: Kind,
) -> Refused {
    if !zone.permits_update(key, name, kind) {
        return refuse_by_rule(key, format_args!("{kind} records of {name}"));
    }
    if here.declares(kind) {
        let problem = format!("zone {} declares the {kind} records of {name}", zone.name);
        return refuse(UpdateCode::Refused, problem);
    }
    Ok(())
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
