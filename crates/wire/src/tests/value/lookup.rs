//! Looks from outside: what is asked of agents, and what they saw.

use holdfast_core::propagation::Target as Asking;

use super::*;
use crate::lookup::{Found, Lookup};

fn asking() -> impl Strategy<Value = Asking> {
    (socket_addr(), of(dns_name())).prop_map(|(address, server)| Asking { address, server })
}

prop_compose! {
    pub(in crate::tests) fn lookup()(
        name in dns_name(), asked in select(vec![Asked::A, Asked::Aaaa, Asked::Cname]), zone in dns_name(),
        targets in vec(asking(), 0..3), parent: bool,
    ) -> Lookup {
        Lookup { name, asked, zone, targets, parent }
    }
}

prop_compose! {
    fn seen()(
        (code, extended_error) in (any::<u16>(), of(any::<u16>())), authoritative: bool, data in vec(text(), 0..3),
        (ttl, serial) in any::<(Option<u32>, Option<u32>)>(),
    ) -> Seen {
        Seen { code, extended_error, authoritative, data, ttl, serial }
    }
}

prop_compose! {
    fn sighting()(
        asker in label(), target in asking(), seen in prop_oneof![seen().prop_map(Ok), "\\PC{1,20}".prop_map(Err)],
        round_trip_us: u32,
    ) -> Sighting {
        let round_trip = Duration::from_micros(round_trip_us.into());
        Sighting { asker, target, seen, round_trip }
    }
}

prop_compose! {
    fn delegation()(
        parent in socket_addr(), servers in vec(dns_name(), 0..3), glue in vec((dns_name(), any::<IpAddr>()), 0..3),
        ds in of(vec(ds(), 0..3)),
    ) -> Delegation {
        Delegation { parent, servers, glue, ds }
    }
}

prop_compose! {
    fn unasked()(parent in of(socket_addr()), why in text()) -> Unasked {
        Unasked { parent, why }
    }
}

fn parent_sighting() -> impl Strategy<Value = ParentSighting> {
    let told = prop_oneof![delegation().prop_map(Ok), unasked().prop_map(Err)];
    (text(), told).prop_map(|(asker, told)| ParentSighting { asker, told })
}

pub(in crate::tests) fn found() -> impl Strategy<Value = Found> {
    (vec(sighting(), 0..3), vec(parent_sighting(), 0..4))
        .prop_map(|(sightings, parent)| Found { sightings, parent })
}
