//! What a rule registers: addresses at the name of a service are the endpoints of one of its pools.
//!
//! ```text
//! change at a service's name ─▶ Registration (addresses of the pool) ─▶ Service ─▶ checks ─▶ stored as if registered one by one
//! ```
//!
//! An endpoint that was declared at an address keeps its name, port and weight, and what is known of it, also where the
//! same update deletes the address and adds it again. A new one is named after its address and waits for its first
//! verdict like any other. TTLs are the service's own. No update leaves a service without endpoints.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;
use core::net::IpAddr;

use super::{Draft, Refused, refuse};
use crate::event::Event;
use crate::id::EndpointName;
use crate::name::DnsName;
use crate::spec::{Address, Endpoint, Kind, RecordData, Registers, Service, Zone};
use crate::state::apply::register_endpoint::registered;
use crate::state::{Owner, State, Work};
use crate::update::{Action, UpdateCode, ZoneUpdate};

/// The addresses of a service's pool, while an update changes them.
pub(super) struct Registration<'a> {
    service: &'a Service,
    registers: &'a Registers,
    addresses: BTreeSet<IpAddr>,
    /// Those of other pools alone.
    elsewhere: BTreeSet<IpAddr>,
}

impl<'a> Registration<'a> {
    /// The addresses as they are. Errors: the service has no such pool.
    pub(super) fn new(service: &'a Service, registers: &'a Registers) -> Refused<Self> {
        if !service.pools.iter().any(|pool| pool.name == registers.pool) {
            let problem = format!("service {} has no pool {}", service.id, registers.pool);
            return refuse(UpdateCode::Refused, problem);
        }
        let (mut addresses, mut elsewhere) = (BTreeSet::new(), BTreeSet::new());
        for (pool, endpoint) in service.endpoints() {
            if let Address::Ip(ip) = &endpoint.address {
                let of = if pool.name == registers.pool { &mut addresses } else { &mut elsewhere };
                of.insert(*ip);
            }
        }
        elsewhere.retain(|ip| !addresses.contains(ip));
        Ok(Self { service, registers, addresses, elsewhere })
    }

    /// Carries a change out; what is to go and is not in the pool is ignored (RFC 2136, 3.4.2.4). Errors: it is none of
    /// addresses, or adds one of another pool.
    pub(super) fn change(&mut self, action: &Action) -> Refused {
        match action {
            Action::Add { data, .. } => {
                let address = self.address(data)?;
                if self.elsewhere.contains(&address) {
                    let Self {
                        service: Service { id, .. }, registers: Registers { pool, .. }, ..
                    } = self;
                    let problem =
                        format!("{address} is an endpoint of service {id} outside pool {pool}");
                    return refuse(UpdateCode::Refused, problem);
                }
                self.addresses.insert(address);
            }
            Action::Remove(data) => {
                let address = self.address(data)?;
                self.addresses.remove(&address);
            }
            Action::RemoveSet(Kind::A) => self.addresses.retain(IpAddr::is_ipv6),
            Action::RemoveSet(Kind::AAAA) => self.addresses.retain(IpAddr::is_ipv4),
            Action::RemoveSet(kind) => return self.refuse_type(*kind),
            Action::RemoveName => self.addresses.clear(),
        }
        Ok(())
    }

    fn address(&self, data: &RecordData) -> Refused<IpAddr> {
        match data {
            RecordData::A(ip) => Ok(IpAddr::V4(*ip)),
            RecordData::Aaaa(ip) => Ok(IpAddr::V6(*ip)),
            other => self.refuse_type(other.kind()),
        }
    }

    fn refuse_type<T>(&self, kind: Kind) -> Refused<T> {
        let id = &self.service.id;
        let problem = format!("updates change A and AAAA records of service {id}, not {kind}");
        refuse(UpdateCode::Refused, problem)
    }

    /// What it comes to, if anything changes.
    pub(super) fn into_registered(self) -> Option<Registered> {
        let Self { service, registers, mut addresses, .. } = self;
        let mut after = service.clone();
        let pool = after.pools.iter_mut().find(|pool| pool.name == registers.pool)?;
        let stays = |endpoint: &mut Endpoint| match &endpoint.address {
            Address::Ip(ip) => addresses.contains(ip),
            Address::Name(_) => true,
        };
        let gone = pool.endpoints.extract_if(.., |one| !stays(one)).map(|one| one.name).collect();
        for endpoint in &pool.endpoints {
            if let Address::Ip(ip) = &endpoint.address {
                addresses.remove(ip);
            }
        }
        let come = addresses.into_iter().map(|address| endpoint_at(address, registers.port));
        let come: Vec<Endpoint> = come.collect();
        pool.endpoints.extend(come.iter().cloned());
        Some(Registered { service: after, gone, come }).filter(|registered| registered.count() > 0)
    }
}

/// A service as an update leaves it.
pub(super) struct Registered {
    service: Service,
    gone: Vec<EndpointName>,
    come: Vec<Endpoint>,
}

impl Registered {
    /// How many endpoints come and go.
    pub(super) fn count(&self) -> usize {
        self.gone.len() + self.come.len()
    }
}

/// The endpoint of an address that nobody has named.
fn endpoint_at(address: IpAddr, port: u16) -> Endpoint {
    let mut name = String::from("ip");
    let written = match address {
        IpAddr::V4(ip) => ip.octets().iter().try_for_each(|byte| write!(name, "-{byte}")),
        IpAddr::V6(ip) => ip.segments().iter().try_for_each(|part| write!(name, "-{part:x}")),
    };
    written.expect("a text takes what is written");
    let name: EndpointName = name.parse().expect("letters, digits and hyphens within");
    Endpoint { name, address: Address::Ip(address), port, weight: 1 }
}

impl State {
    /// The service of this name, and what the holder of a key registers there.
    pub(super) fn registered_at<'a>(
        &'a self,
        zone: &'a Zone,
        key: &DnsName,
        name: &DnsName,
    ) -> Option<(&'a Service, &'a Registers)> {
        let Owner::Service(id) = self.names.get(name)? else { return None };
        let service = &*self.data.services.get(id)?.spec;
        let registers = zone.registers(key, name)?;
        (service.dns.name == *name).then_some((service, registers))
    }

    /// Says whether services can be as an update leaves them, beside the records that come with the same update.
    pub(super) fn check_registered(
        &self,
        zone: &Zone,
        registered: &[Registered],
        draft: &Draft,
    ) -> Refused {
        let count: usize = registered.iter().map(Registered::count).sum();
        let most = ZoneUpdate::MAX_ENDPOINTS;
        if count > most {
            let problem =
                format!("at most {most} endpoints come and go with an update; send several");
            return refuse(UpdateCode::Refused, problem);
        }
        registered.iter().try_for_each(|one| self.check_one_registered(zone, one, draft))
    }

    /// The name of the service itself is as it was, so it is the new endpoints' names that have to be free.
    fn check_one_registered(&self, zone: &Zone, one: &Registered, draft: &Draft) -> Refused {
        let Registered { service, come, .. } = one;
        if service.endpoints().next().is_none() {
            let problem = format!(
                "service {} would be left without endpoints; add one in the same update, or delete the service",
                service.id
            );
            return refuse(UpdateCode::Refused, problem);
        }
        service.validate().or_else(|error| refuse(UpdateCode::Refused, format!("{error}")))?;
        let owner = Owner::Service(service.id.clone());
        let names = come.iter().filter_map(|new| service.dns.name.child(new.name.as_str()).ok());
        for name in names {
            self.check_name(&name, &zone.name, &owner)
                .or_else(|taken| refuse(UpdateCode::Refused, format!("{taken}")))?;
            if draft.contains_key(&name) {
                let problem = format!("{name} is an endpoint of the same update");
                return refuse(UpdateCode::Refused, problem);
            }
        }
        Ok(())
    }

    /// Stores a service whose endpoints an update changed, and says which came and which went.
    pub(super) fn register_all(&mut self, work: &mut Work<'_>, left: Registered) {
        let Registered { service, gone, come } = left;
        for endpoint in gone {
            work.say(Some(&service.id), Event::EndpointDeregistered { endpoint });
        }
        for endpoint in &come {
            work.say(Some(&service.id), registered(endpoint));
        }
        self.store_service(work, service);
    }
}
