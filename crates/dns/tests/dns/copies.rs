//! Zones that come from a primary: this server as its own primary, over real connections, and primaries that fail.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, NS, SOA};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use holdfast_core::copied::{Copied, Fetched};
use holdfast_core::seam::Entropy;
use holdfast_core::spec::{Primaries, RecordData, Transfer, Zone};
use holdfast_core::tsig::{TsigAlgorithm, TsigKey};
use holdfast_core::view::{Answers, Pick, ZoneAnswers};
use holdfast_core::{Actor, Command, DnsName, Entry, GroupId, State, Timestamp};
use holdfast_dns::{
    DnsConfig, DnsServer, FetchError, Messages, Peer, Published, Source, Special, Streams,
    Transfers, Transport, channel,
};
use holdfast_seal::{Sealer, SealingKeys};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::fixture::{a, decode, message, name, sets, view, zone};
use crate::sockets::{Running, Stopped, framed, loopback};

const APEX: &str = "example.test";

#[derive(Debug, Default)]
struct Growing(AtomicU64);

impl Entropy for Growing {
    fn next_u64(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

pub(crate) fn transfers() -> Transfers {
    Transfers::new(SealingKeys::new([[7; 32]]), Arc::new(Stopped))
}

/// A view with the key `key.test` of this secret, whose zone is given to its holder, or to this machine without one.
pub(crate) fn given(serial: u32, secret: &[u8], keyed: bool) -> Answers {
    let sealer = Sealer::new(SealingKeys::new([[7; 32]]), Arc::new(Growing::default()));
    let secret = sealer.seal(secret, &TsigKey::context(&name("key.test"))).expect("short");
    let key = TsigKey { algorithm: TsigAlgorithm::HmacSha256, secret };
    let transfer = Transfer {
        allow: vec!["127.0.0.0/8".parse().expect("a prefix")],
        keys: keyed.then(|| name("key.test")).into_iter().collect(),
        notify: vec![],
    };
    let bare = zone();
    let zone = Zone { transfer, ..bare.zone.clone() };
    let mut answers = view(u64::from(serial));
    let own = |(owner, _): &(&DnsName, &_)| owner.is_within(&name(APEX));
    answers.names = answers.names.iter().filter(own).map(|(n, v)| (n.clone(), v.clone())).collect();
    // It says which view this is.
    answers.names.remove(&name("at.index.example.test"));
    answers.names.insert(name("ns1.example.test"), sets(Pick::All, &[vec![a(53)]]));
    answers.zones =
        [(name(APEX), Arc::new(ZoneAnswers { zone, serial, ..(*bare).clone() }))].into();
    answers.tsig_keys = Arc::new([(name("key.test"), key)].into());
    answers
}

/// The server's transfers, which notes what it is asked.
#[derive(Debug)]
struct Noting {
    inner: Transfers,
    asked: Mutex<Vec<RecordType>>,
}

impl Streams for Noting {
    fn reply(
        &self,
        message: &[u8],
        peer: Peer,
        published: Option<&Arc<Published>>,
    ) -> Option<Messages> {
        self.asked.lock().expect("no panic").push(decode(message).queries[0].query_type());
        self.inner.reply(message, peer, published)
    }

    fn special(&self, message: &[u8], peer: Peer, published: Option<&Arc<Published>>) -> Special {
        self.inner.special(message, peer, published)
    }
}

/// A server that gives the zone.
async fn primary(first: Answers) -> (Running, Arc<Noting>) {
    let noting = Arc::new(Noting { inner: transfers(), asked: Mutex::default() });
    let (publisher, source) = channel();
    publisher.publish(Arc::new(first));
    let config = DnsConfig { streams: Some(noting.clone()), ..loopback() };
    let shutdown = CancellationToken::new();
    let server = DnsServer::start(config, source, Arc::new(Stopped), shutdown.clone()).await;
    (Running { server: server.expect("starts"), publisher, shutdown }, noting)
}

/// The group that follows.
struct Follower {
    state: State,
    transfers: Transfers,
    key: Option<DnsName>,
    answers: Answers,
    refused: Option<u32>,
}

impl Follower {
    /// It has copied serial 7, and asks without a key from now on.
    async fn of_seven() -> Self {
        let secret = b"a secret of transfers";
        let (running, _) = primary(given(7, secret, true)).await;
        let mut follower = Self::new(running.address(), Some(secret));
        follower.follow(running.address()).await;
        running.stop().await;
        follower.key = None;
        follower
    }

    /// One that declares the zone as a copy, and has the key with this secret if it is to use it.
    fn new(server: SocketAddr, secret: Option<&[u8]>) -> Self {
        let key = secret.map(|_| name("key.test"));
        let answers = given(1, secret.unwrap_or(b"none"), true);
        let mut follower = Self {
            state: State::new(GroupId(1)),
            transfers: transfers(),
            key,
            answers,
            refused: None,
        };
        let mut zone = zone().zone.clone();
        zone.name_servers.clear();
        zone.primaries = Some(Primaries { addresses: vec![server], key: None });
        follower.apply(Command::ApplyZone { zone, if_revision: None });
        follower
    }

    fn apply(&mut self, command: Command) {
        let index = self.state.index() + 1;
        let entry =
            Entry { at: Timestamp(index), actor: Actor::system(), request_id: None, command };
        self.state.apply(index, &entry).outcome.result.expect("possible");
    }

    fn known(&self) -> Option<Arc<Copied>> {
        self.state.snapshot().zones[&name(APEX)].copied.clone()
    }

    async fn fetch(&self, server: SocketAddr) -> Result<Option<Fetched>, FetchError> {
        let source = Source { server, key: self.key.as_ref(), from: &[], refused: self.refused };
        let known = self.known();
        self.transfers.fetch(&self.answers, &name(APEX), known.as_deref(), source).await
    }

    /// Fetches what is newer, and has it applied.
    async fn follow(&mut self, server: SocketAddr) -> Fetched {
        let fetched = self.fetch(server).await.expect("it is given").expect("it is newer");
        let (zone, taken) = (name(APEX), fetched.clone());
        let declared = self.state.snapshot().zones[&zone].revision;
        self.apply(Command::RecordZoneCopy { term: 1, zone, declared, fetched: taken });
        fetched
    }
}

/// Every name of the zone has the records that the primary has there, shares and selections aside.
fn check_same(follower: &mut Follower, primary: &Answers) {
    let view = follower.state.view();
    let told = |answers: &Answers| -> BTreeMap<DnsName, BTreeSet<RecordData>> {
        let all = answers.names.iter().map(|(owner, here)| {
            let records = here.sets.iter().flat_map(|set| &set.records);
            (owner.clone(), records.map(|(data, _)| data.clone()).collect())
        });
        all.collect()
    };
    assert_eq!(told(&view.answers), told(primary));
}

#[tokio::test]
async fn a_zone_follows_its_primary_under_a_key_and_by_increments() {
    let secret = b"a secret of transfers";
    let first = given(7, secret, true);
    let (running, noting) = primary(first.clone()).await;
    let server = running.address();
    let mut follower = Follower::new(server, Some(secret));
    let fetched = follower.follow(server).await;
    assert_eq!((fetched.since, fetched.serial, fetched.removed.len()), (0, 7, 0));
    check_same(&mut follower, &first);
    assert_eq!(follower.fetch(server).await, Ok(None), "nothing is newer");

    let mut second = given(8, secret, true);
    second.names.insert(name("shop.example.test"), sets(Pick::All, &[vec![a(2)]]));
    running.publisher.publish(Arc::new(second.clone()));
    follower.refused = Some(8);
    assert_eq!(follower.fetch(server).await, Err(FetchError::Refused(server, 8)));
    follower.refused = Some(7);
    let fetched = follower.follow(server).await;
    let told = |records: &[holdfast_core::spec::Record]| -> Vec<(DnsName, RecordData)> {
        records.iter().map(|record| (record.name.clone(), record.data.clone())).collect()
    };
    let shop = |last| vec![(name("shop.example.test"), a(last))];
    assert_eq!((told(&fetched.removed), told(&fetched.added)), (shop(1), shop(2)));
    check_same(&mut follower, &second);
    let asked = noting.asked.lock().expect("no panic").clone();
    let (soa, axfr, ixfr) = (RecordType::SOA, RecordType::AXFR, RecordType::IXFR);
    assert_eq!(asked, [soa, axfr, soa, soa, soa, ixfr]);
    running.stop().await;
}

#[tokio::test]
async fn what_is_not_signed_with_the_key_does_not_count() {
    let (running, _) = primary(given(7, b"a secret of transfers", false)).await;
    let server = running.address();
    let error = Follower::new(server, Some(b"another secret")).fetch(server).await;
    assert!(
        matches!(&error, Err(FetchError::Unproven(_, why)) if why.contains("BADSIG")),
        "{error:?}"
    );
    let mut keyless = Follower::new(server, Some(b"any"));
    keyless.answers.tsig_keys = Arc::default();
    assert!(matches!(keyless.fetch(server).await, Err(FetchError::NoKey(_))));
    let mut open = Follower::new(server, None);
    assert_eq!(open.follow(server).await.serial, 7, "given to its address");
    running.stop().await;
}

fn start_of(serial: u32) -> Record {
    let own = |label: &str| Name::from_ascii(format!("{label}.example.test.")).expect("valid");
    let soa = SOA::new(own("ns1"), own("admin"), serial, 1, 2, 3, 4);
    Record::from_rdata(apex(), 60, RData::SOA(soa))
}

fn apex() -> Name {
    Name::from_ascii("example.test.").expect("valid")
}

fn reply(kind: RecordType, records: &[Record]) -> Message {
    let mut reply = message("example.test.", kind, None);
    reply.metadata.message_type = MessageType::Response;
    reply.metadata.op_code = OpCode::Query;
    reply.metadata.authoritative = true;
    reply.add_answers(records.iter().cloned());
    reply
}

/// A primary that says these messages on each connection in turn, whatever it is asked, and hangs up.
async fn scripted(connections: Vec<Vec<Message>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        for messages in connections {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let length = stream.read_u16().await.expect("a question");
            let mut question = vec![0; usize::from(length)];
            stream.read_exact(&mut question).await.expect("a question");
            for message in messages {
                let mut wire = message.to_vec().expect("encodes");
                wire[..2].copy_from_slice(&question[..2]);
                stream.write_all(&framed(&wire)).await.expect("is read");
            }
        }
    });
    address
}

#[tokio::test]
async fn a_primary_that_fails_half_way_gives_nothing() {
    let soa = || vec![reply(RecordType::SOA, &[start_of(9)])];
    let server = Name::from_ascii("ns1.example.test.").expect("valid");
    let ns = Record::from_rdata(apex(), 60, RData::NS(NS(server.clone())));
    let glue = Record::from_rdata(server, 60, RData::A(A([192, 0, 2, 53].into())));
    let part = reply(RecordType::AXFR, &[start_of(9), ns.clone(), glue.clone()]);
    let mut refused = reply(RecordType::AXFR, &[]);
    refused.metadata.response_code = ResponseCode::Refused;
    let mut lame = reply(RecordType::SOA, &[start_of(9)]);
    lame.metadata.authoritative = false;
    for (why, script) in [
        ("broke off", vec![soa(), vec![part.clone()]]),
        ("Refused", vec![soa(), vec![refused.clone()]]),
        (
            "does not belong",
            vec![soa(), vec![part.clone(), reply(RecordType::AXFR, &[start_of(8)])]],
        ),
        ("without authority", vec![vec![lame]]),
        ("without an SOA", vec![vec![reply(RecordType::SOA, &[])]]),
        ("broke off", vec![vec![]]),
    ] {
        let server = scripted(script).await;
        let error = Follower::new(server, None).fetch(server).await.expect_err(why).to_string();
        assert!(error.contains(why), "{why}: {error}");
    }
    let rest = reply(RecordType::AXFR, &[start_of(9)]);
    let server = scripted(vec![soa(), vec![part, rest]]).await;
    let whole = Follower::new(server, None).fetch(server).await;
    assert_eq!(whole.expect("whole").expect("newer").serial, 9);
}

#[tokio::test]
async fn an_increment_that_does_not_fit_is_followed_by_the_whole_zone() {
    let mut follower = Follower::of_seven().await;

    let ns = Name::from_ascii("ns2.example.test.").expect("valid");
    let gone = Record::from_rdata(ns.clone(), 60, RData::A(A([192, 0, 2, 99].into())));
    let steps = [start_of(9), start_of(7), gone, start_of(9), start_of(9)];
    let all = [
        start_of(9),
        Record::from_rdata(apex(), 60, RData::NS(NS(ns.clone()))),
        Record::from_rdata(ns, 60, RData::A(A([192, 0, 2, 54].into()))),
        start_of(9),
    ];
    let server = scripted(vec![
        vec![reply(RecordType::SOA, &[start_of(9)])],
        vec![reply(RecordType::IXFR, &steps)],
        vec![reply(RecordType::AXFR, &all)],
    ])
    .await;
    let fetched = follower.follow(server).await;
    assert_eq!((fetched.serial, fetched.added.len()), (9, 2));
    let copied = follower.known().expect("copied");
    assert_eq!((copied.zone.records.len(), copied.zone.name_servers.len()), (1, 1));
}

#[tokio::test]
async fn a_primary_that_counts_back_is_no_fresh_one() {
    let follower = Follower::of_seven().await;
    let server = scripted(vec![vec![reply(RecordType::SOA, &[start_of(6)])]]).await;
    assert_eq!(follower.fetch(server).await, Err(FetchError::Older(server, 6, 7)));
}

#[test]
fn a_notice_is_heard_from_a_primary_and_refused_from_others() {
    let transfers = transfers();
    let (publisher, source) = channel();
    let mut answers = given(7, b"a secret of transfers", false);
    let mut copied = (**answers.zones.get(&name(APEX)).expect("there")).clone();
    let primaries =
        |key| Primaries { addresses: vec!["192.0.2.1:53".parse().expect("valid")], key };
    copied.zone.primaries = Some(primaries(None));
    answers.zones.insert(name(APEX), Arc::new(copied.clone()));
    publisher.publish(Arc::new(answers.clone()));
    let code = |owner: &str, from: [u8; 4]| {
        let mut notice = message(owner, RecordType::SOA, None);
        notice.metadata.op_code = OpCode::Notify;
        let peer = Peer { address: (from, 40_000).into(), transport: Transport::Udp };
        let wire = notice.to_vec().expect("encodes");
        match transfers.special(&wire, peer, source.current().as_ref()) {
            Special::Reply(reply) => decode(&reply),
            other => panic!("{other:?}"),
        }
    };
    let heard = || {
        use futures_util::FutureExt as _;
        transfers.notices().next().now_or_never()
    };
    let reply = code("example.test.", [192, 0, 2, 1]);
    assert_eq!((reply.response_code, reply.op_code), (ResponseCode::NoError, OpCode::Notify));
    assert_eq!((heard(), heard()), (Some(name(APEX)), None));
    assert_eq!(code("example.test.", [192, 0, 2, 2]).response_code, ResponseCode::Refused);
    assert_eq!(code("example.org.", [192, 0, 2, 1]).response_code, ResponseCode::NotAuth);
    copied.zone.primaries = Some(primaries(Some(name("key.test"))));
    answers.zones.insert(name(APEX), Arc::new(copied));
    answers.index += 1;
    publisher.publish(Arc::new(answers));
    assert_eq!(code("example.test.", [192, 0, 2, 1]).response_code, ResponseCode::Refused);
    assert_eq!(heard(), None, "what is refused is not heard");
}
