//! Zones as primaries give them. Any bytes are a zone or a fault; what is a zone lies under its apex, and a state that
//! takes the difference to the copy that it has holds what was given, record for record.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use holdfast_core::copied::{Copied, Fetched};
use holdfast_core::spec::{Primaries, Record, RecordData, Soa, Zone};
use holdfast_core::{Actor, Command, Entry, GroupId, State, Timestamp};
use holdfast_dns::{Incoming, Progress, Received, Wanted};

use crate::declared::name;

const APEX: &str = "example.test";
/// The serial of the copy that the state has.
const KNOWN: u32 = 10;
/// The id of the question.
const ID: u16 = 77;

/// `bytes` are messages, each behind its length; an increment is asked for, or the whole zone.
pub(crate) fn copy(increment: bool, mut bytes: &[u8]) {
    let mut state = group();
    let known = copied(&state);
    let wanted = match increment {
        true => Wanted::Since(KNOWN, known.records()),
        false => Wanted::Whole,
    };
    let mut incoming = Incoming::new(name(APEX), ID, wanted);
    while let Some((length, rest)) = bytes.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length)).min(rest.len());
        let (message, rest) = rest.split_at(length);
        match incoming.take(message) {
            Err(_) => return,
            Ok(Progress::Open) => bytes = rest,
            Ok(Progress::Done) => {
                let received = incoming.finish().expect("it says that it is whole");
                return received.into_iter().for_each(|zone| check(zone, &known, &mut state));
            }
        }
    }
    assert!(incoming.finish().is_err(), "a part counts as the whole");
}

fn check(received: Received, known: &Copied, state: &mut State) {
    let apex = name(APEX);
    let given = received.records().clone();
    assert!(given.keys().all(|(owner, _)| owner.is_within(&apex)), "{given:?}");
    let fetched = received.since(Some(known), primary());
    let declared = state.snapshot().zones[&apex].revision;
    if apply(state, Command::RecordZoneCopy { term: 1, zone: apex, declared, fetched }) {
        let kept = copied(state).records();
        assert!(kept.keys().eq(given.keys()), "{kept:?} of {given:?}");
    }
    state.view();
}

fn primary() -> SocketAddr {
    ([192, 0, 2, 9], 53).into()
}

fn copied(state: &State) -> Arc<Copied> {
    state.snapshot().zones[&name(APEX)].copied.clone().expect("it was copied")
}

/// A group that copied the zone at serial [`KNOWN`].
fn group() -> State {
    static GROUP: OnceLock<State> = OnceLock::new();
    GROUP.get_or_init(copied_once).clone()
}

fn copied_once() -> State {
    let mut state = State::new(GroupId(1));
    let second = Duration::from_secs(1);
    let soa = Soa { negative_ttl: second, ..Soa::new(name("admin.example.test")) };
    let primaries = Primaries { addresses: vec![primary()], key: None };
    let bare = Zone::new(name(APEX), soa.clone(), Vec::new(), 60 * second);
    let zone = Zone { primaries: Some(primaries), ..bare };
    let record = |owner: &str, data| Record { name: name(owner), ttl: 60 * second, data };
    let fetched = Fetched {
        since: 0,
        serial: KNOWN,
        from: primary(),
        mname: name("ns1.example.test"),
        soa,
        ttl: 60 * second,
        removed: Vec::new(),
        added: vec![
            record(APEX, RecordData::Ns(name("ns1.example.test"))),
            record("ns1.example.test", RecordData::A([192, 0, 2, 53].into())),
            record("www.example.test", RecordData::A([192, 0, 2, 1].into())),
        ],
    };
    assert!(apply(&mut state, Command::ApplyZone { zone, if_revision: None }), "possible");
    let declared = state.index();
    let first = Command::RecordZoneCopy { term: 1, zone: name(APEX), declared, fetched };
    assert!(apply(&mut state, first), "possible");
    state
}

/// Whether the command is taken.
fn apply(state: &mut State, command: Command) -> bool {
    let index = state.index() + 1;
    let entry = Entry { at: Timestamp(index), actor: Actor::system(), request_id: None, command };
    state.apply(index, &entry).outcome.result.is_ok()
}
