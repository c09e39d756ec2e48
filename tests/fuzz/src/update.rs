//! Dynamic updates, read and applied to a small state: whatever is asked, the zone stays possible and is published bit by
//! bit as it would be at once, what is refused changes nothing, and what the log holds is read from it again.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use holdfast_core::spec::{Kind, NameServer, Record, RecordData, Soa, UpdateRule, Zone};
use holdfast_core::update::ZoneUpdate;
use holdfast_core::{Actor, Command, DnsName, Entry, GroupId, State, Timestamp};
use holdfast_dns::read_update;

/// The most messages of one input.
const MOST: usize = 16;

fn name(text: &str) -> DnsName {
    DnsName::new(text).expect("a valid name")
}

/// A zone that takes updates of everything that a rule can give, with something declared.
fn zone() -> Zone {
    let second = Duration::from_secs(1);
    let soa = Soa { negative_ttl: 60 * second, ..Soa::new(name("hostmaster.example.test")) };
    let addresses = vec![IpAddr::V4(Ipv4Addr::new(192, 0, 2, 53))];
    let server = NameServer { name: name("ns.example.test"), addresses };
    let mut zone = Zone::new(name("example.test"), soa, vec![server], 300 * second);
    let declared = [
        ("www.example.test", RecordData::A(Ipv4Addr::new(192, 0, 2, 1))),
        ("sub.example.test", RecordData::Ns(name("ns.elsewhere.test"))),
    ];
    zone.records = declared
        .into_iter()
        .map(|(owner, data)| Record { name: name(owner), ttl: 60 * second, data })
        .collect();
    let rule =
        |types: &[Kind]| UpdateRule { key: name("key.test"), names: vec![], types: types.to_vec() };
    zone.updates = vec![rule(&[]), rule(&[Kind::NS, Kind::DS, Kind::DNAME])];
    zone
}

/// Messages without signatures, each with its length before it in two bytes.
pub(crate) fn update(mut bytes: &[u8]) {
    let mut state = State::new(GroupId(1));
    apply(&mut state, Command::ApplyZone { zone: zone(), if_revision: None });
    for _ in 0..MOST {
        let Some((length, rest)) = bytes.split_first_chunk() else { return };
        let length = usize::from(u16::from_be_bytes(*length)).min(rest.len());
        let (message, rest) = rest.split_at(length);
        bytes = rest;
        if let Ok(asked) = read_update(message, name("key.test")) {
            check(&mut state, asked);
        }
    }
}

fn apply(state: &mut State, command: Command) -> bool {
    let entry = Entry { at: Timestamp(1), request_id: None, actor: Actor::system(), command };
    let bytes = holdfast_wire::entry::encode(&entry);
    assert_eq!(holdfast_wire::entry::decode(&bytes).expect("it was encoded here"), entry);
    state.apply(state.index() + 1, &entry).outcome.result.is_ok()
}

fn check(state: &mut State, asked: ZoneUpdate) {
    let before = state.snapshot().zones.clone();
    if !apply(state, Command::UpdateZone(asked)) {
        assert_eq!(state.snapshot().zones, before);
    }
    let view = state.view();
    assert_eq!(State::restore(state.snapshot().clone()).view().answers, view.answers);
    for zone in state.snapshot().zones.values() {
        let mut whole = (*zone.zone).clone();
        whole.records.extend(zone.dynamic.values().flatten().cloned());
        assert_eq!(whole.validate(), Ok(()));
    }
}
