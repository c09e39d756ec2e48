//! Signed zones, as a validating client sees them: `delv` with the zone's key as its only anchor, over real sockets.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use holdfast_core::seam::{Clock, Entropy};
use holdfast_core::signing::{Signing, ZoneKey};
use holdfast_core::spec::{Denial, Dnssec, KeyAlgorithm};
use holdfast_core::view::{Answers, Pick, ZoneAnswers};
use holdfast_core::{SharedMap, Timestamp};
use holdfast_dns::{
    DnsServer, Peer, Publisher, Refusal, Responder, Settings, SigningContext, Transport,
    signing_channel,
};
use holdfast_seal::SealingKeys;
use holdfast_sign::{SigningKey, new_secret};
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio_util::sync::CancellationToken;

use crate::fixture::{a, exchange, name, sets, tcp, udp, view};
use crate::sockets::{Stopped, loopback};

struct Fixed(u64);

impl Entropy for Fixed {
    fn next_u64(&self) -> u64 {
        self.0
    }
}

/// Wall time, so many days later.
pub(crate) struct Later(pub(crate) u64);

impl Clock for Later {
    fn now(&self) -> Timestamp {
        let now = UNIX_EPOCH.elapsed().expect("after 1970");
        Timestamp((now + Duration::from_secs(self.0 * 86_400)).as_millis() as u64)
    }
}

pub(crate) fn sealing() -> SealingKeys {
    SealingKeys::new([[5; 32]])
}

pub(crate) fn zone_key(algorithm: KeyAlgorithm, seed: u64) -> ZoneKey {
    key_of("example.test", algorithm, seed)
}

pub(crate) fn key_of(zone: &str, algorithm: KeyAlgorithm, seed: u64) -> ZoneKey {
    let secret = new_secret(algorithm, &Fixed(seed));
    let public = SigningKey::of(algorithm, &secret).expect("a key").public().to_vec();
    let context = ZoneKey::sealing_context(&name(zone));
    let private = sealing().seal(&secret, &context, &Fixed(seed)).expect("a sealing key");
    ZoneKey { algorithm, public, private, created: Timestamp(0) }
}

pub(crate) fn signed(index: u64, keys: &[ZoneKey], denial: Denial) -> Answers {
    let mut answers = view(index);
    let zone = answers.zones.get(&name("example.test")).expect("the fixture's").clone();
    let mut zone = ZoneAnswers::clone(&zone);
    zone.zone.dnssec = Some(Dnssec { denial, ..Dnssec::default() });
    zone.signing = Signing { keys: keys.to_vec(), ready: true, ..Signing::default() };
    answers.zones = SharedMap::from([(name("example.test"), Arc::new(zone))]);
    answers
}

/// A server of a signed zone, and a client that trusts one key.
pub(crate) struct Stage {
    pub(crate) publisher: Publisher,
    server: DnsServer,
    anchor: tempfile::NamedTempFile,
    _stop: tokio_util::sync::DropGuard,
}

impl Stage {
    pub(crate) async fn new(answers: Answers, trusted: &ZoneKey) -> Self {
        let context = SigningContext { keys: sealing(), clock: Arc::new(Later(0)) };
        let (publisher, source) = signing_channel(context);
        publisher.publish(Arc::new(answers));
        let stop = CancellationToken::new();
        let server = DnsServer::start(loopback(), source, Arc::new(Stopped), stop.clone());
        let server = server.await.expect("starts");
        let anchor = tempfile::NamedTempFile::new().expect("a file");
        let key = data_encoding::BASE64.encode(&trusted.public);
        let number = trusted.algorithm.number();
        let text =
            format!("trust-anchors {{ example.test. static-key 257 3 {number} \"{key}\"; }};\n");
        std::fs::write(anchor.path(), text).expect("written");
        Self { publisher, server, anchor, _stop: stop.drop_guard() }
    }

    /// What delv says about a question.
    pub(crate) async fn delv(&self, owner: &str, kind: &str) -> String {
        let address = self.server.local_addrs()[0];
        let mut delv = tokio::process::Command::new("delv");
        delv.arg(format!("@{}", address.ip())).args(["-p", &address.port().to_string()]);
        delv.arg("-a").arg(self.anchor.path()).args(["+root=example.test", owner, kind]);
        let output = tokio::time::timeout(Duration::from_secs(30), delv.output()).await;
        let output = output.expect("in time").expect("delv is installed (bind9-dnsutils)");
        let said = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&said).into_owned()
    }

    pub(crate) async fn check(&self, questions: &[(&str, &str, &str)]) {
        for (owner, kind, expected) in questions {
            let said = self.delv(owner, kind).await;
            assert!(said.contains("fully validated"), "{owner} {kind}: {said}");
            assert!(said.contains(expected), "{owner} {kind}, not {expected}: {said}");
        }
    }
}

const QUESTIONS: [(&str, &str, &str); 12] = [
    ("example.test", "SOA", "hostmaster.example.test"),
    ("example.test", "NS", "ns1.example.test"),
    ("example.test", "DNSKEY", "257 3"),
    ("example.test", "CDS", "CDS"),
    ("shop.example.test", "A", "192.0.2.1"),
    ("pair.example.test", "AAAA", "2001:db8"),
    ("www.example.test", "A", "CNAME"),
    ("host1.example.test", "A", "192.0.2.4"),
    ("x.wild.example.test", "A", "192.0.2.42"),
    ("shop.example.test", "MX", "negative response"),
    ("index.example.test", "A", "negative response"),
    ("nothing.at.all.example.test", "A", "negative response"),
];

async fn validates(algorithm: KeyAlgorithm, denial: Denial) {
    let key = zone_key(algorithm, 7);
    let stage = Stage::new(signed(7, std::slice::from_ref(&key), denial), &key).await;
    stage.check(&QUESTIONS).await;
    stage.check(&[("x.wild.example.test", "MX", "negative response")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ecdsa_with_compact_denial_validates() {
    validates(KeyAlgorithm::EcdsaP256, Denial::Compact).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ed25519_with_a_chain_of_hashes_validates() {
    validates(KeyAlgorithm::Ed25519, Denial::Nsec3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ed25519_with_compact_denial_and_ecdsa_with_a_chain_validate() {
    validates(KeyAlgorithm::Ed25519, Denial::Compact).await;
    validates(KeyAlgorithm::EcdsaP256, Denial::Nsec3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_and_a_rollover_in_its_middle_validate_under_either_key() {
    let (old, new) = (zone_key(KeyAlgorithm::EcdsaP256, 7), zone_key(KeyAlgorithm::Ed25519, 8));
    let both = [old.clone(), new.clone()];
    for (trusted, denial) in [(&old, Denial::Compact), (&new, Denial::Nsec3)] {
        let stage = Stage::new(signed(7, &both, denial), trusted).await;
        stage.check(&QUESTIONS).await;
        let mut moved = signed(8, &both, denial);
        moved.names.insert(name("shop.example.test"), sets(Pick::All, &[vec![a(99)]]));
        moved.names.insert(name("came.example.test"), sets(Pick::All, &[vec![a(98)]]));
        moved.names.remove(&name("huge.example.test"));
        stage.publisher.publish(Arc::new(moved));
        let after = [
            ("shop.example.test", "A", "192.0.2.99"),
            ("came.example.test", "A", "192.0.2.98"),
            ("huge.example.test", "TXT", "negative response"),
        ];
        stage.check(&after).await;
    }
}

/// A parent that reads CDS gives the zone a DS, with which what caches hold from before would be refused.
#[test]
fn a_first_key_is_not_told_to_the_parent_before_caches_know_it() {
    // Types 32 to 63 in the bit map of the apex: RRSIG and NSEC, DNSKEY and NSEC3PARAM, CDS and CDNSKEY.
    for (denial, types) in
        [(Denial::Compact, [0, 0x03, 0x80, 0x18]), (Denial::Nsec3, [0, 0x02, 0x90, 0x18])]
    {
        for ready in [false, true] {
            let mut answers = signed(7, &[zone_key(KeyAlgorithm::Ed25519, 7)], denial);
            let mut zone = ZoneAnswers::clone(
                answers.zones.get(&name("example.test")).expect("the fixture's"),
            );
            zone.signing.ready = ready;
            answers.zones.insert(name("example.test"), Arc::new(zone));
            let [mut plain, mut handled] = responders(sealing(), answers, Later(0));
            let mut ask = |kind| {
                let replies = [&mut plain, &mut handled]
                    .map(|responder| exchange(responder, &query("example.test", kind), udp()));
                assert_eq!(replies[0], replies[1], "type {kind}");
                replies.into_iter().flatten().next().expect("an answer")
            };
            for (kind, told) in [(48, true), (59, ready), (60, ready)] {
                let reply = ask(kind);
                let records = 2 * u8::from(told);
                assert_eq!((reply[3] & 0x0f, reply[7]), (0, records), "{denial:?}, type {kind}");
            }
            let proof = ask(18);
            assert_eq!(proof.windows(4).any(|bytes| bytes == types), ready, "{denial:?}");
        }
    }
}

pub(crate) fn responders(keys: SealingKeys, answers: Answers, clock: Later) -> [Responder; 2] {
    let (publisher, source) = signing_channel(SigningContext { keys, clock: Arc::new(clock) });
    publisher.publish(Arc::new(answers));
    let settings = Arc::new(Settings::default());
    let one = || Responder::new(source.clone(), Arc::clone(&settings), Arc::default());
    let mut both = [one(), one().handler_only()];
    both.iter_mut().for_each(Responder::acquire);
    both
}

/// A query with DO.
pub(crate) fn query(owner: &str, kind: u16) -> Vec<u8> {
    let mut wire = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    for label in owner.split('.') {
        wire.push(label.len() as u8);
        wire.extend_from_slice(label.as_bytes());
    }
    wire.push(0);
    wire.extend_from_slice(&kind.to_be_bytes());
    wire.extend_from_slice(&[0, 1, 0, 0, 41, 4, 208, 0, 0, 0x80, 0, 0, 0]);
    wire
}

/// Over TCP, from one network of many.
fn from(network: u8) -> Peer {
    Peer { address: (Ipv4Addr::new(198, 51, network, 7), 4000).into(), transport: Transport::Tcp }
}

#[test]
fn both_paths_and_two_agents_give_the_same_bytes() {
    for algorithm in [KeyAlgorithm::EcdsaP256, KeyAlgorithm::Ed25519] {
        for denial in [Denial::Compact, Denial::Nsec3] {
            let answers = signed(7, &[zone_key(algorithm, 7)], denial);
            let [mut plain, mut handled] = responders(sealing(), answers.clone(), Later(0));
            let [mut other, _] = responders(sealing(), answers, Later(0));
            for owner in [
                "shop.example.test",
                "example.test",
                "x.wild.example.test",
                "no.example.test",
                "ShOp.example.test",
            ] {
                for kind in [1, 28, 15, 6, 48, 59, 60, 51] {
                    let wire = query(owner, kind);
                    let asked = |responder: &mut Responder| exchange(responder, &wire, udp());
                    let replies = [&mut plain, &mut handled, &mut other].map(asked);
                    assert!(replies[0].is_some());
                    assert!(replies.iter().all(|reply| *reply == replies[0]), "{owner} {kind}");
                }
            }
        }
    }
}

#[test]
fn an_agent_without_the_key_refuses_signed_answers_and_gives_the_others() {
    let answers = signed(7, &[zone_key(KeyAlgorithm::Ed25519, 7)], Denial::Compact);
    for keys in [SealingKeys::default(), SealingKeys::new([[6; 32]])] {
        let [mut responder, _] = responders(keys, answers.clone(), Later(0));
        let mut wire = query("shop.example.test", 1);
        let mut reply = Vec::new();
        assert!(responder.respond(&wire, udp(), &mut reply));
        assert_eq!((reply[3] & 0x0f, reply[7]), (2, 0), "SERVFAIL and no records");
        let told = b"\0\x0f\0\x15\0\x0ano sealing key here";
        assert!(reply.windows(told.len()).any(|window| window == told), "{reply:?}");
        let end = wire.len();
        wire[end - 4] = 0;
        assert!(responder.respond(&wire, udp(), &mut reply));
        assert_eq!((reply[3] & 0x0f, reply[7]), (0, 1), "without DO, the answer");
    }
}

#[test]
fn a_flood_of_new_names_is_cut_and_known_names_go_on() {
    let answers = signed(7, &[zone_key(KeyAlgorithm::Ed25519, 7)], Denial::Compact);
    let [mut responder, _] = responders(sealing(), answers, Later(0));
    let mut reply = Vec::new();
    assert!(responder.respond(&query("shop.example.test", 1), udp(), &mut reply));
    let mut cut = 0;
    for number in 0..20_000 {
        let wire = query(&format!("n{number}.example.test"), 1);
        assert!(responder.respond(&wire, udp(), &mut reply));
        cut += u32::from(reply[2] & 2 != 0);
        if cut == 10 {
            assert!(responder.respond(&wire, tcp(), &mut reply));
            break;
        }
    }
    assert!(cut >= 10, "signing is bounded");
    assert!(responder.respond(&query("shop.example.test", 1), udp(), &mut reply));
    assert_eq!((reply[2] & 2, reply[7]), (0, 2), "an answer and its signature, from memory");
}

#[test]
fn an_agent_whose_clock_is_far_behind_refuses_until_it_is_right() {
    let day = Duration::from_secs(86_400);
    let mut answers = signed(7, &[zone_key(KeyAlgorithm::Ed25519, 7)], Denial::Compact);
    answers.at = Later(0).now() + 20 * day;
    // A quarter of 14 days.
    for (late, refused) in [(0, true), (16, true), (17, false), (20, false), (300, false)] {
        let context = SigningContext { keys: sealing(), clock: Arc::new(Later(late)) };
        let (publisher, source) = signing_channel(context);
        publisher.publish(Arc::new(answers.clone()));
        let told = source.unsignable().into_iter().next().map(|unsignable| unsignable.why);
        let behind = told.map(|why| match why {
            Refusal::Clock { behind } => (behind + day / 2).as_secs() / 86_400,
            Refusal::Key(why) => panic!("the key is there: {why}"),
        });
        assert_eq!(behind, refused.then(|| 20 - late), "day {late}");
        let mut responder = Responder::new(source, Arc::default(), Arc::default());
        responder.acquire();
        let mut wire = query("shop.example.test", 1);
        let reply = exchange(&mut responder, &wire, udp()).expect("a reply");
        let code = if refused { 2 } else { 0 };
        assert_eq!((reply[3] & 0x0f, reply[7]), (code, 2 - code), "day {late}");
        let end = wire.len();
        wire[end - 4] = 0;
        let reply = exchange(&mut responder, &wire, udp()).expect("a reply");
        assert_eq!((reply[3] & 0x0f, reply[7]), (0, 1), "without DO, the answer");
    }
}

/// Asks for names that do not exist until that is refused; how many were answered.
fn flood(responder: &mut Responder, peer: Peer) -> usize {
    let mut numbers = 0..20_000;
    let refused = numbers.position(|number| {
        let wire = query(&format!("n{number}.example.test"), 1);
        exchange(responder, &wire, peer).expect("a reply")[3] & 0x0f == 2
    });
    refused.expect("signing is bounded")
}

#[test]
fn a_flood_of_made_up_names_leaves_signatures_to_names_that_exist() {
    let answers = signed(7, &[zone_key(KeyAlgorithm::Ed25519, 7)], Denial::Compact);
    let [mut responder, _] = responders(sealing(), answers, Later(0));
    for number in 0..4 {
        flood(&mut responder, from(number));
    }
    for (owner, kind) in [("shop", 1), ("www", 1), ("large", 16), ("shop", 15)] {
        let wire = query(&format!("{owner}.example.test"), kind);
        let reply = exchange(&mut responder, &wire, tcp()).expect("a reply");
        assert_eq!(reply[3] & 0x0f, 0, "{owner} {kind}");
    }
}

#[test]
fn what_one_client_makes_up_is_limited_and_leaves_some_to_others() {
    let answers = signed(7, &[zone_key(KeyAlgorithm::Ed25519, 7)], Denial::Compact);
    let [mut responder, _] = responders(sealing(), answers, Later(0));
    assert!(flood(&mut responder, from(1)) > 100);
    // Networks share buckets, but hardly three with one.
    let answered = |number: &u8| {
        let wire = query(&format!("other{number}.example.test"), 1);
        exchange(&mut responder, &wire, from(*number)).expect("a reply")[3] & 0x0f != 2
    };
    assert!((2..5).filter(answered).count() > 0);
}

#[test]
fn what_exists_is_signed_once_for_all_threads_and_what_is_made_up_for_each() {
    let context = SigningContext { keys: sealing(), clock: Arc::new(Later(0)) };
    let (publisher, source) = signing_channel(context);
    let key = zone_key(KeyAlgorithm::Ed25519, 7);
    publisher.publish(Arc::new(signed(7, &[key], Denial::Compact)));
    let recorder = PrometheusBuilder::new().build_recorder();
    let mut threads = metrics::with_local_recorder(&recorder, || {
        let one = || Responder::new(source.clone(), Arc::default(), Arc::default());
        [one(), one()]
    });
    let made = || {
        let text = recorder.handle().render();
        let series = "holdfast_dns_signatures_total{where=\"asked\"} ";
        let count = text.lines().find_map(|line| line.strip_prefix(series));
        count.map_or(0, |count| count.parse().expect("a number"))
    };
    let mut ask = |thread: usize, owner: &str| {
        let before: u64 = made();
        threads[thread].acquire();
        let wire = query(&format!("{owner}.example.test"), 1);
        exchange(&mut threads[thread], &wire, tcp()).expect("a reply");
        made() - before
    };
    assert_eq!([ask(0, "shop"), ask(1, "shop")], [1, 0]);
    assert_eq!([ask(0, "no"), ask(1, "no")], [2, 1], "the SOA is signed once, the proof by each");
    assert_eq!([ask(0, "no"), ask(1, "no")], [0, 0], "and kept");
    assert_eq!([ask(0, "x.wild"), ask(1, "x.wild")], [1, 1], "as is what a wildcard stands in for");
}

#[test]
fn an_isolated_agent_signs_anew_for_as_long_as_it_runs() {
    let answers = signed(7, &[zone_key(KeyAlgorithm::Ed25519, 7)], Denial::Compact);
    let mut signatures = std::collections::BTreeSet::new();
    for day in 0..=8 {
        let [mut responder, _] = responders(sealing(), answers.clone(), Later(day));
        let mut reply = Vec::new();
        assert!(responder.respond(&query("shop.example.test", 1), udp(), &mut reply));
        // Behind question, A record (16), and the signature's owner, type, class, TTL and length (12): type, algorithm,
        // labels, original TTL, then expiration and inception.
        let at = 12 + 19 + 4 + 16 + 12 + 8;
        let field =
            |at: usize| u64::from(u32::from_be_bytes(reply[at..at + 4].try_into().expect("4")));
        let now = Later(day).now().0 / 1000;
        assert!(field(at) >= now + 7 * 86_400 - 60, "day {day}: at least 7 days are left");
        assert!(field(at + 4) + 7 * 43_200 <= now, "day {day}: and good since 3.5 at least");
        signatures.insert(field(at));
    }
    assert_eq!(signatures.len(), 2, "made anew once in 8 days: {signatures:?}");
}

/// RFC 9824, 5.1: NXDOMAIN and the flag are for whoever sets it.
#[test]
fn compact_answers_are_for_those_who_take_them() {
    let answers = signed(7, &[zone_key(KeyAlgorithm::Ed25519, 7)], Denial::Compact);
    let [mut responder, _] = responders(sealing(), answers, Later(0));
    for (owner, code) in [("no.example.test", 3), ("shop.example.test", 0)] {
        for (flags, code) in [(0x80, 0), (0xc0, code)] {
            let mut wire = query(owner, 1);
            let end = wire.len();
            wire[end - 4] = flags;
            let reply = exchange(&mut responder, &wire, udp()).expect("an answer");
            let told = reply[reply.len() - 4];
            assert_eq!((reply[3] & 0x0f, told), (code, flags), "{owner}");
        }
    }
}
