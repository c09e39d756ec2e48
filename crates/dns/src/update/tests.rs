use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _};
use hickory_proto::op::{Message, ResponseCode};
use holdfast_core::spec::{Kind, NameServer, RecordData, Soa, UpdateRule, Zone};
use holdfast_core::tsig::{TsigAlgorithm, TsigKey};
use holdfast_core::update::{Action, Change, Condition, Prerequisite, ZoneUpdate};
use holdfast_core::{
    Actor, ActorKind, Command, Entry, GroupId, Rejection, RequestId, State, Timestamp,
};
use holdfast_seal::{Sealer, SealingKeys};
use proptest::prelude::*;
use ring::hmac;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::agreement::MAX_UNDER_WAY;
use super::*;
use crate::rdata::{Reader, Unread, record_data};
use crate::respond::{Peer, Transport};
use crate::streams::{Special, Streams as _};
use crate::testing::{Counting, NOW, Still, name};
use crate::transfer::Transfers;
use crate::tsig::{Keyring, Signer};
use crate::{AnswersSource, DnsConfig, DnsServer, channel};

const SECRET: &[u8] = b"a secret of updates";
const IN: u16 = 1;
const NONE: u16 = 254;
const ANY: u16 = 255;

fn spelled(text: &str) -> Vec<u8> {
    let mut wire = Vec::new();
    for label in text.split('.').filter(|label| !label.is_empty()) {
        wire.push(u8::try_from(label.len()).expect("short"));
        wire.extend_from_slice(label.as_bytes());
    }
    wire.push(0);
    wire
}

fn record(owner: &str, (kind, class, ttl): (u16, u16, u32), data: &[u8]) -> Vec<u8> {
    let mut wire = spelled(owner);
    wire.extend(kind.to_be_bytes());
    wire.extend(class.to_be_bytes());
    wire.extend(ttl.to_be_bytes());
    wire.extend(u16::try_from(data.len()).expect("short").to_be_bytes());
    wire.extend_from_slice(data);
    wire
}

/// An update of example.test with these prerequisites and updates.
fn message(prerequisites: &[Vec<u8>], updates: &[Vec<u8>]) -> Vec<u8> {
    let count = |records: &[Vec<u8>]| u16::try_from(records.len()).expect("few").to_be_bytes();
    let mut wire = vec![0x12, 0x34, 5 << 3, 0, 0, 1];
    wire.extend(count(prerequisites));
    wire.extend(count(updates));
    wire.extend([0, 0]);
    wire.extend(spelled("example.test"));
    wire.extend([0, 6, 0, 1]);
    wire.extend(prerequisites.concat());
    wire.extend(updates.concat());
    wire
}

fn asked(message: &[u8]) -> Result<Asked, ResponseCode> {
    read(message, Transport::Tcp).1
}

const A: [u8; 4] = [192, 0, 2, 1];
const WWW: &str = "www.example.test";

#[test]
fn every_form_of_the_rfc_is_read() {
    let host = RecordData::A(Ipv4Addr::from(A));
    let of = |condition| vec![Prerequisite { name: name(WWW), condition }];
    for (wire, expected) in [
        (record(WWW, (255, ANY, 0), &[]), Condition::Name { exists: true }),
        (record(WWW, (255, NONE, 0), &[]), Condition::Name { exists: false }),
        (record(WWW, (1, ANY, 0), &[]), Condition::Set { kind: Kind::A, exists: true }),
        (record(WWW, (1, NONE, 0), &[]), Condition::Set { kind: Kind::A, exists: false }),
        (record(WWW, (1, IN, 0), &A), Condition::Holds(host.clone())),
    ] {
        assert_eq!(asked(&message(&[wire], &[])).expect("read").prerequisites, of(expected));
    }
    let add = |seconds| Action::Add { ttl: Duration::from_secs(seconds), data: host.clone() };
    for (wire, action) in [
        (record(WWW, (1, IN, 60), &A), add(60)),
        (record(WWW, (1, IN, 0x8000_0000), &A), add(0)),
        (record(WWW, (255, ANY, 0), &[]), Action::RemoveName),
        (record(WWW, (1, ANY, 0), &[]), Action::RemoveSet(Kind::A)),
        (record("WwW.example.TEST", (1, NONE, 0), &A), Action::Remove(host.clone())),
    ] {
        let read = asked(&message(&[], &[wire])).expect("read").changes;
        assert_eq!(read, [Change { name: name(WWW), action }]);
    }
}

#[test]
fn what_is_wrong_is_told_by_its_code() {
    let prerequisite = |wire| message(&[wire], &[]);
    let update = |wire| message(&[], &[wire]);
    let mut other_class = message(&[], &[]);
    let end = other_class.len();
    other_class[end - 1] = 3;
    let mut other_type = message(&[], &[]);
    other_type[end - 3] = 1;
    let mut two_zones = message(&[], &[]);
    two_zones[5] = 2;
    let mut more = message(&[], &[]);
    more.push(0);
    let lines = |count| vec![record(WWW, (1, ANY, 0), &[]); count];
    let most_asked = message(&lines(ZoneUpdate::MAX_PREREQUISITES), &[]);
    assert!(asked(&most_asked).is_ok());
    let asks_more = message(&lines(ZoneUpdate::MAX_PREREQUISITES + 1), &[]);
    let changes_more = message(&[], &lines(ZoneUpdate::MAX_CHANGES + 1));
    for (what, wire, code) in [
        ("a TTL", prerequisite(record(WWW, (1, ANY, 1), &[])), ResponseCode::FormErr),
        ("data", prerequisite(record(WWW, (1, NONE, 0), &A)), ResponseCode::FormErr),
        ("a class", prerequisite(record(WWW, (1, 3, 0), &A)), ResponseCode::FormErr),
        ("any data", prerequisite(record(WWW, (255, IN, 0), &[])), ResponseCode::FormErr),
        ("elsewhere", prerequisite(record("x.test", (1, ANY, 0), &[])), ResponseCode::NotZone),
        ("AXFR", update(record(WWW, (252, IN, 0), &A)), ResponseCode::FormErr),
        ("delete AXFR", update(record(WWW, (252, ANY, 0), &[])), ResponseCode::FormErr),
        ("delete with data", update(record(WWW, (1, ANY, 0), &A)), ResponseCode::FormErr),
        ("delete with TTL", update(record(WWW, (1, NONE, 9), &A)), ResponseCode::FormErr),
        ("short data", update(record(WWW, (1, IN, 9), &A[..3])), ResponseCode::FormErr),
        ("long data", update(record(WWW, (1, IN, 9), &[0; 5])), ResponseCode::FormErr),
        ("a class", update(record(WWW, (1, 7, 9), &A)), ResponseCode::FormErr),
        ("outside", update(record("x.test", (1, IN, 9), &A)), ResponseCode::NotZone),
        ("a space", update(record("a b.example.test", (1, IN, 9), &A)), ResponseCode::Refused),
        ("MB", update(record(WWW, (7, IN, 9), &[0])), ResponseCode::Refused),
        ("another class", other_class, ResponseCode::NotAuth),
        ("another type", other_type, ResponseCode::FormErr),
        ("two zones", two_zones, ResponseCode::FormErr),
        ("more", more, ResponseCode::FormErr),
        ("too many prerequisites", asks_more, ResponseCode::Refused),
        ("too many changes", changes_more, ResponseCode::Refused),
    ] {
        assert_eq!(asked(&wire), Err(code), "{what}");
    }
    let whole = update(record(WWW, (1, IN, 9), &A));
    for length in crate::limits::HEADER..whole.len() {
        assert_eq!(asked(&whole[..length]), Err(ResponseCode::FormErr), "cut at {length}");
    }
}

#[test]
fn data_come_as_the_group_holds_them() {
    let texts = |kind: Kind, wire: &[u8]| {
        record_data(kind, Reader::new(wire, 0)).map(|data| data.to_string())
    };
    for (kind, wire, text) in [
        (Kind::AAAA, &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1][..], "2001:db8::1"),
        (Kind::CNAME, b"\x01A\x04tEst\0", "a.test."),
        (Kind::MX, b"\0\x0a\x01m\x04test\0", "10 m.test."),
        (Kind::SRV, b"\0\x01\0\x02\x01\xbb\x01s\x04test\0", "1 2 443 s.test."),
        (Kind::SRV, b"\0\x01\0\x02\x01\xbb\0", "1 2 443 ."),
        (Kind::TXT, b"\x02hi\x00\x01\xff", "\"hi\" \"\" \"\\255\""),
        (Kind::CAA, b"\x80\x05issueca.test", "128 issue \"ca.test\""),
        (Kind::HTTPS, b"\0\x01\0\0\x01\0\x03\x02h2", "1 . alpn=\"h2\""),
        (Kind::DS, b"\0\x01\x0d\x02\xab", "1 13 2 AB"),
        (Kind(52), b"\x03\x01\x01\xab", "\\# 4 030101AB"),
    ] {
        assert_eq!(texts(kind, wire).as_deref(), Ok(text), "{kind}");
    }
    for (kind, wire) in [
        (Kind::TXT, &b""[..]),
        (Kind::TXT, b"\x05hi"),
        (Kind::CNAME, b"\x01a\x04test\0\0"),
        (Kind::CNAME, b"\xc0\x00"),
        (Kind::CNAME, b"\x80a\0"),
        (Kind::HTTPS, b"\0\x01\0\0\x01\0\x09\x02h2"),
    ] {
        assert_eq!(texts(kind, wire), Err(Unread::Malformed), "{kind} {wire:?}");
    }
    assert_eq!(texts(Kind::CNAME, b"\x03a.b\x04test\0"), Err(Unread::Unheld));
    // A pointer to what stands before: `test` at 2.
    let compressed = b"\x01a\x04test\0\x01b\xc0\x02";
    let name_at_8 = record_data(Kind::CNAME, Reader::new(compressed, 8));
    assert_eq!(name_at_8, Ok(RecordData::Cname(name("b.test"))));
}

/// A group of one, whose log is this.
struct Model {
    state: Mutex<(State, u64)>,
    /// Where set, an update waits until it is told to go on.
    gate: Option<Arc<Notify>>,
}

impl Model {
    fn apply(&self, request_id: Option<RequestId>, command: Command) -> Result<(), Rejection> {
        let mut state = self.state.lock().expect("not poisoned");
        state.1 += 1;
        let actor = Actor { kind: ActorKind::Workload, name: "test".into() };
        let entry = Entry { at: Timestamp(1), request_id, actor, command };
        let index = state.1;
        state.0.apply(index, &entry).outcome.result.map(drop)
    }
}

impl Agreement for Arc<Model> {
    fn decide(
        &self,
        update: ZoneUpdate,
        request: RequestId,
        place: UpdatePlace,
    ) -> BoxFuture<'static, Decided> {
        let model = Arc::clone(self);
        Box::pin(async move {
            let _place = place;
            if let Some(gate) = &model.gate {
                gate.notified().await;
            }
            match model.apply(Some(request), Command::UpdateZone(update)) {
                Ok(()) => Decided::Done,
                Err(Rejection::Update(refusal)) => Decided::Refused(refusal.code),
                Err(rejection) => panic!("{rejection}"),
            }
        })
    }
}

struct Stage {
    transfers: Arc<Transfers>,
    source: AnswersSource,
    model: Arc<Model>,
}

impl Stage {
    fn new(gate: Option<Arc<Notify>>) -> Self {
        let sealing = SealingKeys::new([[7; 32]]);
        let sealer = Sealer::new(sealing.clone(), Arc::new(Counting::default()));
        let model = Model { state: Mutex::new((State::new(GroupId(1)), 0)), gate };
        for key in ["key.test", "other.test"] {
            let secret = sealer.seal(SECRET, &TsigKey::context(&name(key))).expect("short");
            let (name, key) = (name(key), TsigKey { algorithm: TsigAlgorithm::HmacSha256, secret });
            let added = Command::ApplyTsigKey { name, key, replace: false };
            let applied = model.apply(None, added);
            applied.expect("possible");
        }
        let applied = model.apply(None, Command::ApplyZone { zone: zone(), if_revision: None });
        applied.expect("possible");
        let (publisher, source) = channel();
        publisher.publish(Arc::clone(&model.state.lock().expect("not poisoned").0.view().answers));
        let (model, transfers) =
            (Arc::new(model), Arc::new(Transfers::new(sealing, Arc::new(Still))));
        transfers.lead_updates(Some(Box::new(Arc::clone(&model))));
        Self { transfers, source, model }
    }

    fn special(&self, wire: &[u8], transport: Transport) -> Special {
        let peer = Peer { address: ([198, 51, 100, 9], 40_000).into(), transport };
        self.transfers.special(wire, peer, self.source.current().as_ref())
    }

    /// The code of the reply, and whether it is signed.
    fn ask(&self, wire: &[u8], transport: Transport) -> (ResponseCode, bool) {
        let reply = match self.special(wire, transport) {
            Special::Reply(reply) => reply,
            Special::Later(mut messages) => {
                messages.next().now_or_never().expect("the model decides at once").expect("a reply")
            }
            Special::Query(..) => panic!("an update is no query"),
        };
        assert_eq!((&reply[..2], reply[2] & 0xf8), (&wire[..2], 0x80 | 5 << 3));
        let signed = matches!(crate::tsig::find(&reply), crate::tsig::Found::Signed(_));
        (Message::from_vec(&reply).expect("a message").metadata.response_code, signed)
    }

    fn texts_at(&self, owner: &str) -> Vec<String> {
        let view = self.model.state.lock().expect("not poisoned").0.view();
        let here = view.answers.names.get(&name(owner)).cloned();
        let sets = here.iter().flat_map(|here| &here.sets);
        sets.flat_map(|set| &set.records).map(|(data, _)| data.to_string()).collect()
    }
}

fn zone() -> Zone {
    let second = Duration::from_secs(1);
    let soa = Soa { negative_ttl: 5 * second, ..Soa::new(name("hostmaster.example.test")) };
    let server = NameServer { name: name("ns.elsewhere.test"), addresses: vec![] };
    let rule = UpdateRule { key: name("key.test"), names: vec![], types: vec![] };
    let zone = Zone::new(name("example.test"), soa, vec![server], 300 * second);
    Zone { updates: vec![rule], ..zone }
}

fn signer(key: &str, secret: &[u8]) -> Signer {
    let mut keys = Keyring::default();
    keys.insert(name(key), TsigAlgorithm::HmacSha256, secret);
    Signer::of_request(Arc::clone(keys.get(&name(key)).expect("was put there")))
}

fn signed_by(key: &str, secret: &[u8], mut wire: Vec<u8>, at: u64) -> Vec<u8> {
    signer(key, secret).sign(&mut wire, at);
    wire
}

/// Signed by `key.test` for clocks that may differ by so many seconds (RFC 8945, 4.2 and 4.3.3).
fn signed_within(fudge: u16, mut wire: Vec<u8>, at: u64) -> Vec<u8> {
    let (key, algorithm) = (spelled("key.test"), spelled("hmac-sha256"));
    let timers = [&at.to_be_bytes()[2..], &fudge.to_be_bytes()].concat();
    let (class_and_ttl, no_error) = ([0, 255, 0, 0, 0, 0], [0; 4]);
    let digested = [&wire[..], &key, &class_and_ttl, &algorithm, &timers, &no_error].concat();
    let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET), &digested);
    let length = u16::try_from(mac.as_ref().len()).expect("short").to_be_bytes();
    let data = [&algorithm[..], &timers, &length, mac.as_ref(), &wire[..2], &no_error].concat();
    wire.extend(record("key.test", (250, ANY, 0), &data));
    wire[11] += 1;
    wire
}

fn signed(wire: Vec<u8>) -> Vec<u8> {
    signed_by("key.test", SECRET, wire, NOW)
}

fn add(last: u8) -> Vec<u8> {
    message(&[], &[record(WWW, (1, IN, 60), &[192, 0, 2, last])])
}

#[test]
fn a_signed_update_is_agreed_on_and_answered_signed_over_every_transport() {
    for transport in [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Quic] {
        let stage = Stage::new(None);
        assert_eq!(stage.ask(&signed(add(1)), transport), (ResponseCode::NoError, true));
        assert_eq!(stage.texts_at(WWW), ["192.0.2.1"]);
        let unmet = message(&[record(WWW, (255, NONE, 0), &[])], &[]);
        assert_eq!(stage.ask(&signed(unmet), transport), (ResponseCode::YXDomain, true));
    }
    let refused = Stage::new(None).ask(&signed(add(1)), Transport::Https);
    assert_eq!(refused, (ResponseCode::NotImp, true));
}

#[test]
fn nobody_else_changes_anything() {
    let stage = Stage::new(None);
    let elsewhere = {
        let mut wire = message(&[], &[]);
        let end = wire.len();
        wire[end - 9] = b'x';
        signed(wire)
    };
    for (what, wire, expected) in [
        ("no key", add(1), (ResponseCode::Refused, false)),
        (
            "a key without a rule",
            signed_by("other.test", SECRET, add(1), NOW),
            (ResponseCode::Refused, true),
        ),
        (
            "an unknown key",
            signed_by("unknown.test", SECRET, add(1), NOW),
            (ResponseCode::NotAuth, true),
        ),
        (
            "another secret",
            signed_by("key.test", b"another secret of it", add(1), NOW),
            (ResponseCode::NotAuth, true),
        ),
        (
            "an old signature",
            signed_by("key.test", SECRET, add(1), NOW - 301),
            (ResponseCode::NotAuth, true),
        ),
        ("another zone", elsewhere, (ResponseCode::NotAuth, true)),
        (
            "nonsense",
            signed(message(&[], &[vec![0, 0, 1]])[..].to_vec()),
            (ResponseCode::FormErr, false),
        ),
    ] {
        assert_eq!(stage.ask(&wire, Transport::Udp), expected, "{what}");
    }
    assert!(stage.texts_at(WWW).is_empty());
}

#[test]
fn without_a_key_nothing_is_read_of_an_update_but_its_opt() {
    let stage = Stage::new(None);
    let unread = message(&[], &[record(WWW, (1, IN, 9), &A[..3])]);
    assert_eq!(stage.ask(&signed(unread.clone()), Transport::Udp), (ResponseCode::FormErr, true));
    assert_eq!(stage.ask(&unread, Transport::Udp), (ResponseCode::Refused, false));
    let mut with_opt = unread;
    with_opt.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
    with_opt[11] = 1;
    let Special::Reply(reply) = stage.special(&with_opt, Transport::Udp) else {
        panic!("it is refused at once")
    };
    let reply = Message::from_vec(&reply).expect("a message");
    assert_eq!(reply.metadata.response_code, ResponseCode::Refused);
    assert!(reply.edns.is_some(), "an OPT is answered with one (RFC 6891, 6.1.1)");
}

#[test]
fn a_signature_that_would_count_for_long_changes_nothing() {
    let stage = Stage::new(None);
    for (fudge, at, code) in [
        (301, NOW, ResponseCode::Refused),
        (u16::MAX, NOW - 60_000, ResponseCode::Refused),
        (300, NOW - 300, ResponseCode::NoError),
        (5, NOW, ResponseCode::NoError),
    ] {
        let wire = signed_within(fudge, add(1), at);
        assert_eq!(stage.ask(&wire, Transport::Udp), (code, true), "{fudge} s");
        let done = code == ResponseCode::NoError;
        assert_eq!(!stage.texts_at(WWW).is_empty(), done, "{fudge} s");
    }
}

#[test]
fn a_retransmission_is_done_once_and_told_the_same() {
    let stage = Stage::new(None);
    let first = signed(add(1));
    let remove = signed(message(&[], &[record(WWW, (255, ANY, 0), &[])]));
    for wire in [&first, &remove, &first] {
        assert_eq!(stage.ask(wire, Transport::Udp).0, ResponseCode::NoError);
    }
    assert!(stage.texts_at(WWW).is_empty(), "the third was the first again");
}

#[test]
fn without_a_group_or_a_place_an_update_is_told_to_come_again() {
    let gate = Arc::new(Notify::new());
    let stage = Stage::new(Some(gate));
    let wait = |_| match stage.special(&signed(add(1)), Transport::Tcp) {
        Special::Later(messages) => messages,
        other => panic!("{other:?}"),
    };
    let mut waiting: Vec<_> = (0..MAX_UNDER_WAY).map(wait).collect();
    assert_eq!(stage.ask(&signed(add(2)), Transport::Tcp), (ResponseCode::ServFail, true));
    waiting.pop();
    assert!(matches!(stage.special(&signed(add(2)), Transport::Tcp), Special::Later(_)));
    stage.transfers.lead_updates(None);
    drop(waiting);
    assert_eq!(stage.ask(&signed(add(2)), Transport::Tcp), (ResponseCode::ServFail, true));
}

/// A group that goes on with what it was given, and decides nothing.
#[derive(Default)]
struct Undecided(Mutex<Vec<UpdatePlace>>);

impl Agreement for Arc<Undecided> {
    fn decide(
        &self,
        _: ZoneUpdate,
        _: RequestId,
        place: UpdatePlace,
    ) -> BoxFuture<'static, Decided> {
        self.0.lock().expect("not poisoned").push(place);
        Box::pin(std::future::pending())
    }
}

#[test]
fn a_client_that_hangs_up_leaves_its_place_to_its_update() {
    let (stage, group) = (Stage::new(None), Arc::new(Undecided::default()));
    stage.transfers.lead_updates(Some(Box::new(Arc::clone(&group))));
    let hang_up = || match stage.special(&signed(add(1)), Transport::Tcp) {
        Special::Later(messages) => drop(messages),
        other => panic!("{other:?}"),
    };
    (0..MAX_UNDER_WAY).for_each(|_| hang_up());
    assert_eq!(stage.ask(&signed(add(2)), Transport::Tcp), (ResponseCode::ServFail, true));
    group.0.lock().expect("not poisoned").pop();
    hang_up();
    assert_eq!(stage.ask(&signed(add(2)), Transport::Tcp), (ResponseCode::ServFail, true));
}

/// Asks a server at a socket of its own; a reply comes from where it was asked, or not at all.
fn send(server: SocketAddr, wire: &[u8]) -> UdpSocket {
    let client = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    client.connect(server).expect("connects");
    client.set_read_timeout(Some(Duration::from_secs(10))).expect("possible");
    client.send(wire).expect("sends");
    client
}

fn reply(client: &UdpSocket) -> Vec<u8> {
    let mut reply = vec![0; 512];
    let length = client.recv(&mut reply).expect("a reply");
    reply.truncate(length);
    reply
}

async fn one_waits_and_others_do_not(threads: usize) {
    let gate = Arc::new(Notify::new());
    let stage = Stage::new(Some(Arc::clone(&gate)));
    let config = DnsConfig {
        listen: vec!["127.0.0.1:0".parse().expect("an address")],
        threads,
        streams: Some(Arc::clone(&stage.transfers) as _),
        ..DnsConfig::default()
    };
    let shutdown = CancellationToken::new();
    let started = DnsServer::start(config, stage.source.clone(), Arc::new(Still), shutdown.clone());
    let server = started.await.expect("starts");
    let address = server.local_addrs()[0];
    let asked = tokio::task::spawn_blocking(move || {
        let waiting = send(address, &signed(add(1)));
        let question = b"\x12\x34\0\0\0\x01\0\0\0\0\0\0\x07example\x04test\0\0\x06\0\x01";
        for _ in 0..10 {
            assert_eq!(reply(&send(address, question))[..2], question[..2]);
        }
        waiting.set_nonblocking(true).expect("possible");
        assert!(waiting.recv(&mut [0; 512]).is_err(), "it waits");
        waiting.set_nonblocking(false).expect("possible");
        waiting
    });
    let waiting = asked.await.expect("no panic");
    gate.notify_one();
    let told = tokio::task::spawn_blocking(move || reply(&waiting)).await.expect("no panic");
    assert_eq!((told[2], told[3] & 0x0f), (0x80 | 5 << 3, 0));
    assert_eq!(stage.texts_at(WWW), ["192.0.2.1"]);
    shutdown.cancel();
    server.stopped().await;
}

#[tokio::test]
async fn a_datagram_is_answered_later_from_its_socket_while_others_are_answered() {
    for threads in [0, 2] {
        one_waits_and_others_do_not(threads).await;
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_harm(
        bytes in prop::collection::vec(any::<u8>(), 12..200),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let parts = [record(WWW, (1, ANY, 0), &[])];
        let mut near = message(&parts, &[record(WWW, (65, IN, 1), b"\0\x01\0\0\x01\0\x03\x02h2")]);
        for (at, value) in flips {
            let at = at.index(near.len());
            near[at] = value;
        }
        for wire in [bytes, near] {
            if let Ok(asked) = asked(&wire) {
                prop_assert!(asked.changes.iter().all(|change| change.name.is_within(&asked.zone)));
            }
        }
    }
}
