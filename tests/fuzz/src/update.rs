//! Dynamic updates, read and applied to a small state: whatever is asked, the zone and its service stay possible and are
//! published bit by bit as they would be at once, what is refused changes nothing, and what the log holds is read from it again. The server
//! that is sent the same with a right signature hands over the same.

use std::future;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _};
use holdfast_core::spec::{
    Kind, NameServer, Policy, Record, RecordData, Registers, Soa, UpdateRule, Zone,
};
use holdfast_core::update::ZoneUpdate;
use holdfast_core::{Actor, Command, Entry, GroupId, RequestId, State, Timestamp};
use holdfast_dns::{
    Agreement, Decided, Peer, Special, Streams as _, Transfers, Transport, UpdatePlace, read_update,
};

use crate::declared::{self, name};
use crate::tsig;
use crate::view::{Noon, Pair};

/// The most messages of one input.
const MOST: usize = 16;

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
    let rule = |types: &[Kind]| UpdateRule {
        key: name(tsig::KEY),
        names: vec![],
        types: types.to_vec(),
        registers: None,
    };
    let registers = Registers { pool: "eu".parse().expect("a label"), port: 80 };
    zone.updates = vec![
        rule(&[]),
        rule(&[Kind::NS, Kind::DS, Kind::DNAME]),
        UpdateRule { registers: Some(registers), ..rule(&[]) },
    ];
    zone
}

/// What the server hands over.
#[derive(Debug, Clone, Default)]
struct Desk(Arc<Mutex<Option<ZoneUpdate>>>);

impl Agreement for Desk {
    fn decide(
        &self,
        update: ZoneUpdate,
        _request: RequestId,
        _place: UpdatePlace,
    ) -> BoxFuture<'static, Decided> {
        *self.0.lock().expect("nobody panics with it") = Some(update);
        Box::pin(future::ready(Decided::Done))
    }
}

/// The server's door, and where it hands updates over.
fn door() -> &'static (Transfers, Desk) {
    static DOOR: OnceLock<(Transfers, Desk)> = OnceLock::new();
    DOOR.get_or_init(|| {
        let transfers = Transfers::new(declared::sealing(), Arc::new(Noon));
        let desk = Desk::default();
        transfers.lead_updates(Some(Box::new(desk.clone())));
        (transfers, desk)
    })
}

/// What the server hands over of a message that is sent to it with a right signature.
fn handed_over(message: &[u8]) -> Option<ZoneUpdate> {
    // Other messages are other targets'.
    if message.len() < 12 || message[2] & 0xf8 != 5 << 3 {
        return None;
    }
    let (wire, mac) = tsig::signed(message, None);
    let peer = Peer { address: ([198, 51, 100, 9], 40_000).into(), transport: Transport::Tcp };
    let (transfers, desk) = door();
    let published = Pair::with(|pair| pair.source.current());
    let reply = match transfers.special(&wire, peer, published.as_ref()) {
        Special::Later(mut messages) => messages.next().now_or_never().flatten(),
        Special::Reply(reply) => Some(reply),
        Special::Query(..) => None,
    };
    let reply = reply.expect("an update has a reply, and the desk does not wait");
    tsig::check(&reply, &mac);
    let asked = desk.0.lock().expect("nobody panics with it").take();
    let done = tsig::is_signed(&reply) && reply[3] & 0x0f == 0;
    assert_eq!(done, asked.is_some(), "{reply:?}");
    asked
}

/// Messages without signatures, each with its length before it in two bytes. Each is sent with a signature too.
pub(crate) fn update(mut bytes: &[u8]) {
    static DECLARED: OnceLock<State> = OnceLock::new();
    let declared = DECLARED.get_or_init(|| {
        let mut state = State::new(GroupId(1));
        apply(&mut state, Command::ApplyZone { zone: zone(), if_revision: None });
        let service = declared::service(&name("example.test"), "s", Policy::Failover);
        assert!(apply(&mut state, Command::ApplyService { service, if_revision: None }));
        state
    });
    let mut state = None;
    for _ in 0..MOST {
        let Some((length, rest)) = bytes.split_first_chunk() else { return };
        let length = usize::from(u16::from_be_bytes(*length)).min(rest.len());
        let (message, rest) = rest.split_at(length);
        bytes = rest;
        let read = read_update(message, name(tsig::KEY));
        if let Some(asked) = handed_over(message) {
            assert_eq!(Ok(&asked), read.as_ref(), "signed or not");
        }
        if let Ok(asked) = read {
            check(state.get_or_insert_with(|| declared.clone()), asked);
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
    let before = state.snapshot().clone();
    if !apply(state, Command::UpdateZone(asked)) {
        assert_eq!(state.snapshot().zones, before.zones);
        assert_eq!(state.snapshot().services, before.services);
    }
    let view = state.view();
    assert_eq!(State::restore(state.snapshot().clone()).view().answers, view.answers);
    for zone in state.snapshot().zones.values() {
        let mut whole = (*zone.zone).clone();
        whole.records.extend(zone.dynamic.values().flatten().cloned());
        assert_eq!(whole.validate(), Ok(()));
    }
    for (_, service) in state.snapshot().services.iter() {
        assert_eq!(service.spec.validate(), Ok(()));
    }
}
