//! A serial grows with the zones that an ALIAS leads into, whatever leads there.

use super::*;

/// What happens to the serial when an address in other.test changes: whether it is the index of that change.
fn follows_other(group: &mut Group, last: u8) -> bool {
    let second = Duration::from_secs(1);
    let soa = Soa::new(name("hostmaster.other.test."));
    let servers = vec![NameServer { name: name("ns1"), addresses: vec![] }];
    let mut other = Zone::new(name("other.test."), soa, servers, 300 * second);
    let data = RecordData::A(Ipv4Addr::new(198, 51, 100, last));
    other.records = vec![Record { name: name("host.other.test."), ttl: 60 * second, data }];
    let before = group.serial();
    group.done(Command::ApplyZone { zone: other, if_revision: None });
    let mut restored = State::restore(group.state.snapshot().clone());
    assert_eq!(restored.view().answers, group.state.view().answers);
    let after = group.serial();
    assert!(after == before || u64::from(after) == group.index);
    after > before
}

#[test]
fn a_serial_grows_with_the_zones_that_an_alias_leads_into_by_way_of_updates() {
    let mut group = Group::new(zone(&[("@", "ALIAS", "www")], &[("k.test", &[], &[])]));
    assert!(!follows_other(&mut group, 1));
    assert_eq!(group.update("+ www 60 CNAME host.other.test.; + x 60 A 192.0.2.1"), Ok(true));
    assert!(follows_other(&mut group, 2));
    group.state = State::restore(group.state.snapshot().clone());
    assert!(follows_other(&mut group, 3));
    assert_eq!(group.update("+ www 60 CNAME x"), Ok(true));
    assert!(!follows_other(&mut group, 4));
    assert_eq!(group.update("+ www 60 CNAME host.other.test."), Ok(true));
    let anew = zone(&[("@", "ALIAS", "www"), ("y", "A", "192.0.2.1")], &[("k.test", &[], &[])]);
    assert!(group.declare(anew).is_ok());
    assert!(follows_other(&mut group, 5), "what updates made is still there");
}

#[test]
fn a_serial_grows_with_the_zones_that_an_alias_leads_into_by_way_of_services() {
    let mut group = Group::new(zone(&[("@", "ALIAS", "shop")], &[]));
    assert!(!follows_other(&mut group, 1));
    let mut leading = service("shop");
    leading.pools[0].endpoints[0].address = Address::Name(name("host.other.test."));
    group.done(Command::ApplyService { service: leading, if_revision: None });
    assert!(follows_other(&mut group, 2));
    group.state = State::restore(group.state.snapshot().clone());
    assert!(follows_other(&mut group, 3));
    assert!(group.declare(zone(&[("@", "ALIAS", "shop"), ("y", "A", "192.0.2.1")], &[])).is_ok());
    assert!(follows_other(&mut group, 4), "the service is still there");
    group.done(Command::ApplyService { service: service("shop"), if_revision: None });
    assert!(!follows_other(&mut group, 5));
}
