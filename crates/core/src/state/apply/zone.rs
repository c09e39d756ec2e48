//! `ApplyZone`: creates or replaces a zone.

use alloc::string::ToString;
use alloc::sync::Arc;

use super::{Declared, check_revision};
use crate::audit::Hash;
use crate::command::{Rejection, Reply};
use crate::copied::Copied;
use crate::event::Event;
use crate::name::DnsName;
use crate::spec::{Kind, SpecError, Zone};
use crate::state::zone_records::{Volume, server_addresses};
use crate::state::{Dynamic, Owner, State, Work, ZoneState};

/// The most zones of a group.
const MAX_ZONES: usize = 1000;

impl State {
    pub(in crate::state) fn apply_zone(
        &mut self,
        work: &mut Work<'_>,
        zone: &Zone,
        if_revision: Option<u64>,
    ) -> Result<Reply, Rejection> {
        let declared = self.check_zone(zone, if_revision)?;
        if !declared.changed {
            return Ok(declared.into());
        }
        let stored = self.data.zones.get(&zone.name);
        let dynamic = stored.map(|stored| stored.dynamic.clone()).unwrap_or_default();
        let due = stored.and_then(ZoneState::key_due);
        let mut state = ZoneState::new(zone.clone(), work.index);
        state.former_ttls_until = self.deleted_kept_until(&zone.name);
        if let Some(stored) = stored {
            state.signing = stored.signing.clone();
            state.former_ttls_until = stored.kept_until(self.data.at);
            state.copied = kept_copy(stored, zone);
            self.records.remove(&stored.zone);
        }
        if let Some(old) = stored.and_then(ZoneState::served).cloned() {
            self.disown_zone_names(&old, &dynamic);
        }
        if let Some(new) = state.served() {
            self.own_zone_names(new, &dynamic);
        }
        state.dynamic = dynamic;
        self.records.add(&state);
        self.led_away.declare(&state);
        self.data.zones.insert(zone.name.clone(), state);
        self.reschedule_key(&zone.name, due);
        self.published.mark_records(&zone.name);
        let digest = Hash::of_value(zone).to_string();
        work.say(None, Event::ZoneApplied { zone: zone.name.clone(), digest });
        Ok(Reply::Stored { revision: work.index, changed: true })
    }

    /// What declaring a zone would come to; nothing is changed.
    pub fn check_zone(&self, zone: &Zone, if_revision: Option<u64>) -> Result<Declared, Rejection> {
        zone.validate().map_err(Rejection::InvalidSpec)?;
        let stored = self.data.zones.get(&zone.name);
        let revision = stored.map_or(0, |state| state.revision);
        check_revision(&zone.name, if_revision, revision)?;
        if stored.is_some_and(|stored| *stored.zone == *zone) {
            return Ok(Declared { revision, changed: false });
        }
        if zone.dnssec.is_none() && stored.is_some_and(|stored| !stored.signing.keys.is_empty()) {
            return Err(Rejection::Signing {
                problem: alloc::format!(
                    "zone {} is signed, and this declaration does not say how",
                    zone.name
                ),
                next_step: "keep `dnssec` in it, or first `holdfast zone dnssec disable`".into(),
            });
        }
        self.check_nesting(&zone.name)?;
        self.check_zone_names(zone)?;
        if zone.primaries.is_some() {
            self.check_apex(&zone.name)?;
        }
        if let Some(stored) = stored {
            check_beside_updates(zone, &stored.dynamic)?;
        }
        if stored.is_none() && self.data.zones.len() >= MAX_ZONES {
            return Err(Rejection::LimitReached { what: "zones".into(), limit: MAX_ZONES as u64 });
        }
        Ok(Declared { revision, changed: true })
    }

    /// At the apex of a zone that comes from primaries no service is: what the zone has there would be lost.
    fn check_apex(&self, apex: &DnsName) -> Result<(), Rejection> {
        match self.names.get(apex) {
            Some(Owner::Service(id)) => Err(Rejection::NameInUse {
                name: apex.to_string(),
                owner: alloc::format!("service {id}, and the apex is the primaries' own"),
                next_step: alloc::format!("give service {id} another name, or delete it first"),
            }),
            _ => Ok(()),
        }
    }

    /// Zones do not nest: a name lies in one zone, whose owner is never in question.
    fn check_nesting(&self, apex: &DnsName) -> Result<(), Rejection> {
        let clash = self
            .data
            .zones
            .keys()
            .find(|other| *other != apex && (other.is_within(apex) || apex.is_within(other)));
        match clash {
            Some(other) => Err(Rejection::NameInUse {
                name: apex.to_string(),
                owner: alloc::format!("zone {other}, and zones do not nest"),
                next_step: alloc::format!(
                    "declare its names in zone {other}, or delete that first"
                ),
            }),
            None => Ok(()),
        }
    }
}

/// What is served of a zone until its primaries, where it has any from now on, give something newer. Other primaries may
/// count otherwise, so their serial is taken whatever it is.
fn kept_copy(stored: &ZoneState, zone: &Zone) -> Option<Arc<Copied>> {
    let primaries = zone.primaries.as_ref()?;
    match (&stored.copied, &stored.zone.primaries) {
        (Some(copied), Some(before)) if before == primaries => Some(copied.clone()),
        (Some(copied), Some(_)) => {
            Some(Arc::new(Copied { serial: None, ..copied.as_ref().clone() }))
        }
        (_, None) => Some(Arc::new(Copied::of_declared(stored))),
        (None, Some(_)) => None,
    }
}

/// Says whether a zone can be declared so beside the records that updates made in it: a declaration never takes their
/// place.
fn check_beside_updates(zone: &Zone, dynamic: &Dynamic) -> Result<(), Rejection> {
    if dynamic.is_empty() {
        return Ok(());
    }
    if zone.primaries.is_some() {
        return Err(Rejection::InUse {
            name: alloc::format!("zone {}", zone.name),
            user: "records of dynamic updates, which its primaries would not know".into(),
            next_step: "have them deleted by updates (nsupdate: update delete NAME) first".into(),
        });
    }
    let updated = |name: &DnsName, kind: Kind| {
        let here = dynamic.get(name).into_iter().flatten();
        here.into_iter().any(|record| record.data.kind() == kind)
    };
    let declared = zone.records.iter().map(|record| (&record.name, record.data.kind()));
    let servers = zone.name_servers.iter().map(|server| &server.name);
    let glue =
        servers.flat_map(|name| server_addresses(zone, name).map(move |data| (name, data.kind())));
    if let Some((name, kind)) = declared.chain(glue).find(|(name, kind)| updated(name, *kind)) {
        return Err(Rejection::NameInUse {
            name: alloc::format!("{name} {kind}"),
            owner: "dynamic updates".into(),
            next_step: alloc::format!(
                "have it deleted by an update (nsupdate: update delete {name} {kind}), or leave it out of the declaration"
            ),
        });
    }
    let volume = Volume::of(zone.records.iter().chain(dynamic.values().flatten()));
    for (count, limit, what) in [
        (
            volume.records,
            Zone::MAX_RECORDS,
            "records of a zone, those of dynamic updates among them",
        ),
        (
            volume.bytes,
            Zone::MAX_BYTES,
            "bytes of a zone's records, those of dynamic updates among them",
        ),
    ] {
        if count > limit {
            return Err(Rejection::LimitReached { what: what.into(), limit: limit as u64 });
        }
    }
    zone.validate_with(dynamic.values().flatten()).map_err(|SpecError { field, problem }| {
        let problem = alloc::format!("{problem} (with the records of dynamic updates)");
        Rejection::InvalidSpec(SpecError { field, problem })
    })
}
