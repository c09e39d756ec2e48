//! Who owns which DNS name: a name belongs to one service or to one zone's static records, never to two.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::command::Rejection;
use crate::id::ServiceId;
use crate::name::DnsName;
use crate::spec::{Address, Record, RecordData, Service, SpecError, Zone};
use crate::state::publish::zone_of;
use crate::state::zone_records::{Dynamic, names_of};
use crate::state::{Owner, State, ZoneState};

/// The label under each apex at which the view's generation is served.
const GENERATION_LABEL: &str = "_holdfast";

/// The names that a service answers for: its own, and one per endpoint.
pub(super) fn names_of_service(service: &Service) -> Vec<DnsName> {
    let own = core::iter::once(service.dns.name.clone());
    own.chain(service.endpoints().filter_map(|(_, e)| service.dns.name.child(e.name.as_str()).ok()))
        .collect()
}

/// Whether two declarations of a service have the same names.
pub(super) fn have_same_names(a: &Service, b: &Service) -> bool {
    let same_endpoints =
        a.endpoints().map(|(_, e)| &e.name).eq(b.endpoints().map(|(_, e)| &e.name));
    same_endpoints && a.dns.name == b.dns.name
}

impl State {
    /// Builds the index anew, after a restore.
    pub(in crate::state) fn index_names(&mut self) {
        let mut names = BTreeMap::new();
        for (id, state) in &self.data.services {
            names.extend(
                names_of_service(&state.spec).into_iter().map(|n| (n, Owner::Service(id.clone()))),
            );
        }
        for (apex, state) in &self.data.zones {
            let Some(zone) = state.served() else { continue };
            for name in names_of(zone, &state.dynamic) {
                names.entry(name).or_insert_with(|| Owner::Zone(apex.clone()));
            }
        }
        self.names = names;
    }

    /// Says whether a service may have its names.
    pub(super) fn check_service_names(&self, service: &Service) -> Result<(), Rejection> {
        let name = &service.dns.name;
        let Some(zone) = zone_of(&self.data, name) else {
            return Err(Rejection::OutsideZones {
                name: name.to_string(),
                zones: self.zone_list(),
            });
        };
        let alias = service.endpoints().any(|(_, e)| matches!(e.address, Address::Name(_)));
        if *name == zone && alias {
            return Err(Rejection::NameInUse {
                name: name.to_string(),
                owner: String::from(
                    "the zone's apex, where a CNAME cannot stand (RFC 1034, 3.6.2)",
                ),
                next_step: String::from(
                    "choose a name below the apex, or endpoints with IP addresses",
                ),
            });
        }
        if *name == zone && self.is_copied(&zone) {
            let owner = String::from("the zone's primaries, which alone have its apex");
            let next_step = String::from("choose a name below the apex");
            return Err(Rejection::NameInUse { name: name.to_string(), owner, next_step });
        }
        let stored = self.data.services.get(&service.id);
        if stored.is_some_and(|stored| have_same_names(&stored.spec, service)) {
            return Ok(());
        }
        self.check_uncovered(name, &zone)?;
        let owner = Owner::Service(service.id.clone());
        names_of_service(service).iter().try_for_each(|name| self.check_name(name, &zone, &owner))
    }

    /// Says whether a zone's static records may have their names, and lead where they lead.
    pub(super) fn check_zone_names(&self, zone: &Zone) -> Result<(), Rejection> {
        self.check_zone_cuts(zone)?;
        let owner = Owner::Zone(zone.name.clone());
        let names = names_of(zone, &Dynamic::new());
        names.iter().try_for_each(|name| self.check_name(name, &zone.name, &owner))
    }

    /// Says whether a zone's records hide no service, and lead where they may.
    pub(super) fn check_zone_cuts(&self, zone: &Zone) -> Result<(), Rejection> {
        zone.records.iter().try_for_each(|record| self.check_record(zone, record))
    }

    /// An ALIAS leads into our zones, and no service lies below a delegation or DNAME.
    fn check_record(&self, zone: &Zone, record: &Record) -> Result<(), Rejection> {
        match &record.data {
            RecordData::Alias(target)
                if !target.is_within(&zone.name) && zone_of(&self.data, target).is_none() =>
            {
                let problem = format!(
                    "its ALIAS leads to {target}, which lies in no zone of this group, and answers never wait for another server; use a CNAME below the apex, or an HTTPS record with priority 0"
                );
                let field = format!("records[{}]", record.name);
                Err(Rejection::InvalidSpec(SpecError { field, problem }))
            }
            RecordData::Ns(_) | RecordData::Dname(_) => match self.service_in(&record.name) {
                Some(service) => Err(Rejection::NameInUse {
                    name: record.name.to_string(),
                    owner: format!(
                        "service {service}, which this {} would hide",
                        record.data.kind()
                    ),
                    next_step: format!("leave the record out, or move service {service} first"),
                }),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// Says whether a delegation or DNAME of a zone's records hides a name, or nothing is known of the zone yet.
    fn check_uncovered(&self, name: &DnsName, zone: &DnsName) -> Result<(), Rejection> {
        let Some(served) = self.data.zones.get(zone).and_then(ZoneState::served) else {
            let problem = format!(
                "zone {zone} was not copied from its primaries yet; `holdfast zone get {zone}` says why, and once it is, apply the service again"
            );
            return Err(Rejection::InvalidSpec(SpecError { field: "dns.name".into(), problem }));
        };
        let hides = |record: &&Record| {
            matches!(record.data, RecordData::Ns(_) | RecordData::Dname(_))
                && name.is_within(&record.name)
        };
        let dynamic = self.data.zones.get(zone).into_iter();
        let dynamic = dynamic.flat_map(|state| state.dynamic.values()).flatten();
        match served.records.iter().chain(dynamic).find(hides) {
            Some(record) => Err(Rejection::NameInUse {
                name: name.to_string(),
                owner: format!(
                    "the {} record at {}, which hides it",
                    record.data.kind(),
                    record.name
                ),
                next_step: String::from("choose another name, or delete that record first"),
            }),
            None => Ok(()),
        }
    }

    pub(super) fn check_name(
        &self,
        name: &DnsName,
        zone: &DnsName,
        owner: &Owner,
    ) -> Result<(), Rejection> {
        let taken = |owner: String, next_step: &str| {
            let (name, next_step) = (name.to_string(), next_step.to_string());
            Err(Rejection::NameInUse { name, owner, next_step })
        };
        if name
            .as_str()
            .strip_suffix(zone.as_str())
            .is_some_and(|rest| rest.trim_end_matches('.') == GENERATION_LABEL)
        {
            return taken(String::from("the view's generation"), "choose another name");
        }
        match self.names.get(name) {
            Some(Owner::Zone(apex)) if name != apex && self.is_copied(apex) => Ok(()),
            Some(Owner::Service(id)) if *owner != Owner::Service(id.clone()) => {
                let next_step = format!("choose another name, or delete service {id} first");
                taken(format!("service {id}"), &next_step)
            }
            Some(Owner::Zone(apex)) if *owner != Owner::Zone(apex.clone()) => taken(
                format!("the records of zone {apex}"),
                "choose another name, or delete its records first: those of the declaration in the manifest, those of \
                 dynamic updates by an update (nsupdate: update delete NAME)",
            ),
            _ => Ok(()),
        }
    }

    pub(super) fn own_service_names(&mut self, service: &Service) {
        let owner = Owner::Service(service.id.clone());
        self.names.extend(names_of_service(service).into_iter().map(|name| (name, owner.clone())));
        if let Some(apex) = zone_of(&self.data, &service.dns.name)
            && self.is_copied(&apex)
        {
            self.published.mark_records(&apex);
        }
    }

    /// Keeps the index of zones that are led away in step with a service.
    pub(super) fn lead(&mut self, before: Option<&Service>, after: Option<&Service>) {
        if let Some(before) = before
            && let Some(apex) = zone_of(&self.data, &before.dns.name)
        {
            self.led_away.end(&apex, &before.id);
        }
        if let Some(after) = after
            && let Some(apex) = zone_of(&self.data, &after.dns.name)
        {
            self.led_away.serve(&apex, after);
        }
    }

    fn is_copied(&self, apex: &DnsName) -> bool {
        self.data.zones.get(apex).is_some_and(|state| state.zone.primaries.is_some())
    }

    /// Names that a copied zone has records at are its own again.
    pub(super) fn disown_service_names(&mut self, service: &Service) {
        let apex = zone_of(&self.data, &service.dns.name);
        let zone = apex.as_ref().and_then(|apex| self.data.zones.get(apex));
        let copied = zone.and_then(|zone| zone.copied.clone());
        for name in names_of_service(service) {
            match (&apex, &copied) {
                (Some(apex), Some(copied)) if copied.has(&name) => {
                    self.names.insert(name, Owner::Zone(apex.clone()))
                }
                _ => self.names.remove(&name),
            };
        }
        if let Some(apex) = apex.filter(|_| copied.is_some()) {
            self.published.mark_records(&apex);
        }
    }

    pub(super) fn own_zone_names(&mut self, zone: &Zone, dynamic: &Dynamic) {
        for name in names_of(zone, dynamic) {
            self.names.entry(name).or_insert_with(|| Owner::Zone(zone.name.clone()));
        }
    }

    pub(super) fn disown_zone_names(&mut self, zone: &Zone, dynamic: &Dynamic) {
        for name in names_of(zone, dynamic) {
            if matches!(self.names.get(&name), Some(Owner::Zone(_))) {
                self.names.remove(&name);
            }
        }
    }

    /// The service that answers in a zone, if there is one.
    pub(super) fn service_in(&self, apex: &DnsName) -> Option<ServiceId> {
        let within = self.names.range(apex.clone()..).take_while(|(name, _)| name.is_within(apex));
        within.into_iter().find_map(|(_, owner)| match owner {
            Owner::Service(id) => Some(id.clone()),
            Owner::Zone(_) => None,
        })
    }

    /// Notes that something in the zone of `name` changed: the serial grows.
    pub(in crate::state) fn touch_zone(&mut self, name: &DnsName, index: u64) {
        if let Some(apex) = zone_of(&self.data, name)
            && let Some(zone) = self.data.zones.get_mut(&apex)
        {
            zone.touched = index;
            self.published.mark_zone(&apex);
        }
    }

    /// Notes that zones whose ALIASes lead into others may answer otherwise since another changed. Which answers an ALIAS
    /// follows through CNAMEs is not traced: a serial that grows in vain costs a secondary one look, one that does not grow
    /// leaves it an address that is dead.
    pub(in crate::state) fn touch_led_away(&mut self, index: u64) {
        for apex in self.led_away.zones() {
            if let Some(zone) = self.data.zones.get_mut(apex) {
                zone.touched = index;
                self.published.mark_zone(apex);
            }
        }
    }

    fn zone_list(&self) -> String {
        let names: Vec<&str> = self.data.zones.keys().take(10).map(DnsName::as_str).collect();
        if names.is_empty() { String::from("none; apply a zone first") } else { names.join(", ") }
    }
}
