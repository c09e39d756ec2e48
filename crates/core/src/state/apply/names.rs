//! Who owns which DNS name: a name belongs to one service or to one zone's static records, never to two.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::command::Rejection;
use crate::id::ServiceId;
use crate::name::DnsName;
use crate::spec::{Address, Service, Zone};
use crate::state::publish::zone_of;
use crate::state::{Owner, State};

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

fn names_of_zone(zone: &Zone) -> Vec<DnsName> {
    let records = zone.records.iter().map(|record| record.name.clone());
    let servers = zone.name_servers.iter().map(|server| server.name.clone());
    let mut names: Vec<DnsName> =
        records.chain(servers.filter(|n| n.is_within(&zone.name))).collect();
    names.sort();
    names.dedup();
    names
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
            names.extend(
                names_of_zone(&state.zone).into_iter().map(|n| (n, Owner::Zone(apex.clone()))),
            );
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
            });
        }
        let stored = self.data.services.get(&service.id);
        if stored.is_some_and(|stored| have_same_names(&stored.spec, service)) {
            return Ok(());
        }
        let owner = Owner::Service(service.id.clone());
        names_of_service(service).iter().try_for_each(|name| self.check_name(name, &zone, &owner))
    }

    /// Says whether a zone's static records may have their names.
    pub(super) fn check_zone_names(&self, zone: &Zone) -> Result<(), Rejection> {
        let owner = Owner::Zone(zone.name.clone());
        names_of_zone(zone).iter().try_for_each(|name| self.check_name(name, &zone.name, &owner))
    }

    fn check_name(&self, name: &DnsName, zone: &DnsName, owner: &Owner) -> Result<(), Rejection> {
        let taken = |owner: String| Err(Rejection::NameInUse { name: name.to_string(), owner });
        if name
            .as_str()
            .strip_suffix(zone.as_str())
            .is_some_and(|rest| rest.trim_end_matches('.') == GENERATION_LABEL)
        {
            return taken(String::from("the view's generation"));
        }
        match self.names.get(name) {
            Some(present) if present != owner => taken(match present {
                Owner::Service(id) => alloc::format!("service {id}"),
                Owner::Zone(apex) => alloc::format!("the records of zone {apex}"),
            }),
            _ => Ok(()),
        }
    }

    pub(super) fn own_service_names(&mut self, service: &Service) {
        let owner = Owner::Service(service.id.clone());
        self.names.extend(names_of_service(service).into_iter().map(|name| (name, owner.clone())));
    }

    pub(super) fn disown_service_names(&mut self, service: &Service) {
        for name in names_of_service(service) {
            self.names.remove(&name);
        }
    }

    pub(super) fn own_zone_names(&mut self, zone: &Zone) {
        let owner = Owner::Zone(zone.name.clone());
        self.names.extend(names_of_zone(zone).into_iter().map(|name| (name, owner.clone())));
    }

    pub(super) fn disown_zone_names(&mut self, zone: &Zone) {
        for name in names_of_zone(zone) {
            self.names.remove(&name);
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

    fn zone_list(&self) -> String {
        let names: Vec<&str> = self.data.zones.keys().take(10).map(DnsName::as_str).collect();
        if names.is_empty() { String::from("none; apply a zone first") } else { names.join(", ") }
    }
}
