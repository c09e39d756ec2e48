//! Updates that register: addresses at the name of a service are endpoints, judged like any other.

use super::*;

fn group() -> Group {
    let mut group = Group::new(registering(open()));
    group.done(Command::ApplyService { service: service("shop"), if_revision: None });
    group
}

/// The endpoints of shop: `pool name address port`.
fn endpoints(group: &Group) -> Vec<String> {
    let services = &group.state.snapshot().services;
    let service = &services.get(&service("shop").id).expect("it is there").spec;
    let line = |(pool, one): (&Pool, &Endpoint)| {
        format!("{} {} {} {}", pool.name, one.name, one.address, one.port)
    };
    service.endpoints().map(line).collect()
}

const DECLARED: &str = "main one 192.0.2.80 80";

#[test]
fn addresses_at_the_name_of_a_service_are_its_endpoints() {
    let mut group = group();
    let serial = group.serial();
    let changes = "+ shop 60 A 192.0.2.81; + shop 60 AAAA 2001:db8::1; + a 60 A 192.0.2.9";
    assert_eq!(group.update(changes), Ok(true));
    let (v4, v6) =
        ("main ip-192-0-2-81 192.0.2.81 8443", "main ip-2001-db8-0-0-0-0-0-1 2001:db8::1 8443");
    assert_eq!(endpoints(&group), [DECLARED, v4, v6]);
    assert!(group.serial() > serial);
    assert_eq!(group.dynamic(), ["a.z.test 60 A 192.0.2.9"]);
    assert_eq!(group.served("ip-192-0-2-81.shop", Kind::A), ["192.0.2.81"]);

    assert_eq!(group.update("- shop A 192.0.2.81"), Ok(true));
    assert_eq!(endpoints(&group), [DECLARED, v6]);
    assert_eq!(group.update("- shop AAAA"), Ok(true));
    assert_eq!(group.update("- shop; + shop 60 A 192.0.2.82"), Ok(true));
    let third = "main ip-192-0-2-82 192.0.2.82 8443";
    assert_eq!(endpoints(&group), [third], "the declared one is of the pool too");
    for empty in ["- shop", "- shop A", "- shop A 192.0.2.82"] {
        assert_eq!(group.update(empty), Err(UpdateCode::Refused), "{empty}");
    }
}

#[test]
fn a_name_made_for_an_address_that_stood_for_another_is_told_to_go_and_to_come() {
    let mut group = group();
    let mut odd = service("shop");
    odd.pools[0].endpoints[0].name = "ip-192-0-2-81".parse().expect("a label");
    group.done(Command::ApplyService { service: odd, if_revision: None });
    assert_eq!(
        group.update("+ shop 60 A 192.0.2.81"),
        Err(UpdateCode::Refused),
        "the name is taken"
    );
    let changes = "- shop A 192.0.2.80; + shop 60 A 192.0.2.81";
    let applied = group.done(Command::UpdateZone(update("k.test", changes)));
    let endpoint: holdfast_core::EndpointName = "ip-192-0-2-81".parse().expect("a label");
    let address = "192.0.2.81 port 8443".to_owned();
    let told: Vec<Event> = applied.records.into_iter().map(|one| one.content.event).collect();
    assert!(told.contains(&Event::EndpointDeregistered { endpoint: endpoint.clone() }), "{told:?}");
    assert!(told.contains(&Event::EndpointRegistered { endpoint, address }), "{told:?}");
    assert_eq!(endpoints(&group), ["main ip-192-0-2-81 192.0.2.81 8443"]);
}

#[test]
fn an_address_of_another_pool_is_not_added_and_not_missed() {
    let mut group = group();
    group.done(Command::ApplyService { service: with_another_pool(), if_revision: None });
    let before = endpoints(&group);
    assert_eq!(group.update("+ shop 60 A 192.0.2.90"), Err(UpdateCode::Refused));
    assert_eq!(group.update("- shop A 192.0.2.90; + shop 60 A 192.0.2.80"), Ok(false));
    assert_eq!(endpoints(&group), before);
    // Of both pools: each has its own of it.
    let mut both = with_another_pool();
    both.pools[1].endpoints[0].address = both.pools[0].endpoints[0].address.clone();
    group.done(Command::ApplyService { service: both, if_revision: None });
    assert_eq!(group.update("- shop A; + shop 60 A 192.0.2.80"), Ok(false));
    assert_eq!(group.update("- shop A; + shop 60 A 192.0.2.81"), Ok(true));
    let after = ["main ip-192-0-2-81 192.0.2.81 8443", "other two 192.0.2.80 80"];
    assert_eq!(endpoints(&group), after);
}

/// The same service with 192.0.2.90 in a second pool.
fn with_another_pool() -> Service {
    let mut two = service("shop");
    let name = "two".parse().expect("a label");
    let address = Address::Ip([192, 0, 2, 90].into());
    let endpoints = vec![Endpoint { name, address, port: 80, weight: 1 }];
    two.pools.push(Pool {
        name: "other".parse().expect("a label"),
        endpoints,
        ..two.pools[0].clone()
    });
    two
}

#[test]
fn the_audit_names_what_came_and_what_went() {
    let mut group = group();
    let told = |applied: Applied| -> Vec<Event> {
        applied.records.into_iter().map(|record| record.content.event).collect()
    };
    let changes = "- shop A 192.0.2.80; + shop 60 A 192.0.2.81";
    let events = told(group.done(Command::UpdateZone(update("k.test", changes))));
    let (gone, come) = ("one".parse().expect("a label"), "ip-192-0-2-81".parse().expect("a label"));
    assert!(events.contains(&Event::EndpointDeregistered { endpoint: gone }), "{events:?}");
    let address = "192.0.2.81 port 8443".to_owned();
    assert!(events.contains(&Event::EndpointRegistered { endpoint: come, address }), "{events:?}");
    let zones = |event: &&Event| matches!(event, Event::ZoneUpdated { .. });
    assert_eq!(events.iter().filter(zones).count(), 0, "no record changed");
}

#[test]
fn what_is_there_already_keeps_its_name_and_changes_nothing() {
    let mut group = group();
    let serial = group.serial();
    for nothing in [
        "+ shop 60 A 192.0.2.80",
        "- shop A; + shop 60 A 192.0.2.80",
        "- shop; + shop 1 A 192.0.2.80",
        "- shop A 192.0.2.9",
        "- shop AAAA",
        "+ shop 60 A 192.0.2.9; - shop A 192.0.2.9",
    ] {
        let applied = group.done(Command::UpdateZone(update("k.test", nothing)));
        assert!(applied.records.is_empty(), "{nothing}: {:?}", applied.records);
        assert_eq!(changed(applied.outcome.result), Ok(false), "{nothing}");
    }
    assert_eq!((endpoints(&group), group.serial()), (vec![DECLARED.to_owned()], serial));
}

#[test]
fn what_is_no_address_of_the_pool_is_refused_and_nothing_happens() {
    let mut group = group();
    group.done(Command::ApplyService { service: with_another_pool(), if_revision: None });
    let before = (group.state.snapshot().services.clone(), group.state.snapshot().zones.clone());
    for refused in [
        "+ shop 60 TXT hi",
        "+ shop 60 CNAME a",
        "- shop TXT",
        "+ shop 60 A 192.0.2.90",
        "+ shop 60 A 0.0.0.0",
        "+ shop 60 AAAA ::ffff:192.0.2.81",
        "+ shop 60 A 224.0.0.1",
        "+ one.shop 60 A 192.0.2.81",
        "+ shop 60 A 192.0.2.81; + ip-192-0-2-81.shop 60 TXT hi",
        "+ b 60 A 192.0.2.1; + shop 60 A 192.0.2.90",
        "+ shop 60 A 192.0.2.81; + www 60 A 192.0.2.1",
        "yx b; + shop 60 A 192.0.2.81",
    ] {
        assert!(group.update(refused).is_err(), "{refused}");
        let after = (group.state.snapshot().services.clone(), group.state.snapshot().zones.clone());
        assert_eq!(after, before, "{refused}");
    }
}

#[test]
fn names_of_services_are_nobodys_without_a_rule_that_registers() {
    for zone in [open(), zone(&[], &[("k.test", &[], &[Kind::A])])] {
        let mut group = Group::new(zone);
        group.done(Command::ApplyService { service: service("shop"), if_revision: None });
        assert_eq!(group.update("+ shop 60 A 192.0.2.81"), Err(UpdateCode::Refused));
    }
    let mut zone = registering(zone(&[], &[]));
    let pool = |pool: &str| Some(Registers { pool: pool.parse().expect("a label"), port: 80 });
    for (names, registers, allowed) in [
        (vec![name("shop")], pool("main"), Ok(true)),
        (vec![name("other")], pool("main"), Err(UpdateCode::Refused)),
        (vec![name("*.shop")], pool("main"), Err(UpdateCode::Refused)),
        (vec![], pool("none"), Err(UpdateCode::Refused)),
    ] {
        (zone.updates[0].names, zone.updates[0].registers) = (names, registers);
        let mut group = Group::new(zone.clone());
        group.done(Command::ApplyService { service: service("shop"), if_revision: None });
        assert_eq!(group.update("+ shop 60 A 192.0.2.81"), allowed, "{:?}", zone.updates);
        assert_eq!(group.update("+ a 60 A 192.0.2.81"), Err(UpdateCode::Refused), "no service");
    }
}

#[test]
fn an_update_changes_so_many_services_and_endpoints_at_once() {
    let mut group = Group::new(registering(open()));
    let services = ZoneUpdate::MAX_SERVICES + 1;
    for number in 0..services {
        let id = format!("s{number}").parse().expect("an id");
        let one = Service { id, ..service(&format!("s{number}")) };
        group.done(Command::ApplyService { service: one, if_revision: None });
    }
    let add = |number: usize| format!("+ s{number} 60 A 192.0.2.81");
    let all = |count| (0..count).map(add).collect::<Vec<_>>().join(";");
    assert_eq!(group.update(&all(services)), Err(UpdateCode::Refused));
    assert_eq!(group.update(&all(services - 1)), Ok(true));

    let many = |service: usize, step: usize| {
        let one = |n: usize| format!("+ s{service} 60 A 10.{step}.{}.{}", n / 250, n % 250 + 1);
        (0..500).map(one).collect::<Vec<_>>().join(";")
    };
    for (service, step) in [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0)] {
        assert_eq!(group.update(&many(service, step)), Ok(true));
    }
    let replace = |s: usize| format!("- s{s}; + s{s} 60 A 192.0.2.82");
    let all = |count: usize| (0..count).map(replace).collect::<Vec<_>>().join(";");
    assert_eq!(group.update(&all(3)), Err(UpdateCode::Refused));
    assert_eq!(group.update(&all(2)), Ok(true));
}

#[test]
fn a_service_has_room_for_so_many_and_no_more() {
    let mut group = group();
    let add = |from: usize, to: usize| {
        let one = |n: usize| format!("+ shop 60 A 10.0.{}.{}", n / 256, n % 256);
        (from..to).map(one).collect::<Vec<_>>().join(";")
    };
    assert_eq!(group.update(&add(1, 1000)), Ok(true));
    assert_eq!(group.update(&add(1000, Service::MAX_ENDPOINTS + 1)), Err(UpdateCode::Refused));
    assert_eq!(group.update(&add(1000, Service::MAX_ENDPOINTS)), Ok(true));
    assert_eq!(endpoints(&group).len(), Service::MAX_ENDPOINTS);
}
