//! What is signed before it is asked for: everything a failover can bring, renewed in time, from disk as well.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use holdfast_core::Timestamp;
use holdfast_core::seam::Clock;
use holdfast_core::signing::{SigningChange, ZoneKey};
use holdfast_core::spec::{Denial, KeyAlgorithm};
use holdfast_dns::{
    AnswersSource, Presigner, Publisher, Responder, Settings, SigningContext, lkg, signing_channel,
};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};

use crate::fixture::{decode, exchange, tcp, udp};
use crate::signed::{query, sealing, zone_key};
use crate::state::Group;

const DAY: u64 = 86_400_000;
/// Longer than a key takes to become known to caches.
const HOUR: Duration = Duration::from_secs(3600);
const START: u64 = 1_800_000_000_000;
/// The type of a question that no name of the state has data for.
const AFSDB: u16 = 18;

/// A clock that is set.
#[derive(Debug, Default)]
struct Hand(AtomicU64);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp(START + self.0.load(Ordering::Relaxed))
    }
}

/// A publisher, what signs beforehand, what answers, and the count of what each of them signed.
struct Desk {
    publisher: Publisher,
    source: AnswersSource,
    presigner: Presigner,
    responder: Responder,
    recorder: PrometheusRecorder,
    clock: Arc<Hand>,
}

impl Desk {
    fn new() -> Self {
        let clock = Arc::new(Hand::default());
        let context = SigningContext { keys: sealing(), clock: clock.clone() };
        let (publisher, source) = signing_channel(context);
        let recorder = PrometheusBuilder::new().build_recorder();
        let (presigner, responder) = metrics::with_local_recorder(&recorder, || {
            let presigner = Presigner::new(source.clone()).expect("it has keys");
            let settings = Arc::new(Settings::default());
            (presigner, Responder::new(source.clone(), settings, Arc::default()))
        });
        Self { publisher, source, presigner, responder, recorder, clock }
    }

    fn publish(&mut self, group: &mut Group) {
        self.publisher.publish_view(&group.view());
    }

    /// Signs until nothing is left.
    fn sign(&mut self) {
        while self.presigner.work() {}
        let done = self.source.presigned().borrow().map(|position| position.index);
        let served = self.source.current().map(|current| current.position().index);
        assert_eq!(done, served);
    }

    /// Asks, and has a signed reply.
    fn ask(&mut self, owner: &str, kind: u16) -> Vec<u8> {
        self.responder.acquire();
        let wire = query(owner, kind);
        let reply = exchange(&mut self.responder, &wire, udp()).expect("an answer");
        let cut = reply[2] & 2 != 0;
        let reply = if cut {
            exchange(&mut self.responder, &wire, tcp()).expect("an answer")
        } else {
            reply
        };
        let signed = reply.windows(4).any(|window| *window == [0, 46, 0, 1]);
        assert!(signed && matches!(reply[3] & 0x0f, 0 | 3), "{owner} {kind}: {reply:?}");
        reply
    }

    fn count(&self, made: &str) -> u64 {
        let text = self.recorder.handle().render();
        let series = format!("holdfast_dns_signatures_total{{where=\"{made}\"}} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&series));
        line.map_or(0, |count| count.parse().expect("a number"))
    }
}

/// What services answer positively, names that lead to them included.
fn ask_services(desk: &mut Desk) {
    for service in ["shop", "any", "one"] {
        let owner = format!("{service}.example.test");
        for kind in [1, 33, 65] {
            // As many turns as any answer has.
            (0..4).for_each(|_| drop(desk.ask(&owner, kind)));
        }
        for endpoint in ["e1", "e2", "e3", "e4"] {
            desk.ask(&format!("{endpoint}.{owner}"), 1);
        }
    }
    desk.ask("example.test", 1);
    desk.ask("www.example.test", 1);
}

/// Everything else that can be known beforehand.
fn ask_the_rest(desk: &mut Desk, denial: Denial) {
    for kind in [2, 6, 48, 59, 60, 28, AFSDB] {
        desk.ask("example.test", kind);
    }
    for owner in ["shop", "one", "e1.shop", "www", "a.deep", "deep", "ns1", "*.wild"] {
        desk.ask(&format!("{owner}.example.test"), AFSDB);
    }
    for owner in ["lab", "sub", "host.lab", "host.sub"] {
        desk.ask(&format!("{owner}.example.test"), 1);
    }
    if denial == Denial::Nsec3 {
        desk.ask("example.test", 51);
        for owner in ["nothing.at.all", "x.wild", "e9.shop"] {
            desk.ask(&format!("{owner}.example.test"), 1);
        }
    }
}

#[test]
fn a_failover_makes_no_signature_for_those_who_ask() {
    for (algorithm, denial) in
        [(KeyAlgorithm::Ed25519, Denial::Nsec3), (KeyAlgorithm::EcdsaP256, Denial::Compact)]
    {
        let mut desk = Desk::new();
        let mut group = Group::new(denial, &zone_key(algorithm, 7));
        desk.publish(&mut group);
        desk.sign();
        ask_services(&mut desk);
        ask_the_rest(&mut desk, denial);
        assert_eq!(desk.count("asked"), 0, "{denial:?}: what was published first");
        for endpoint in ["e1", "e2", "e4", "e3"] {
            group.take_out(endpoint);
            desk.publish(&mut group);
            ask_services(&mut desk);
            assert_eq!(desk.count("asked"), 0, "{denial:?}: answers right after {endpoint} left");
            let before = desk.count("presigned");
            desk.sign();
            ask_the_rest(&mut desk, denial);
            assert_eq!(desk.count("asked"), 0, "{denial:?}: and everything a moment later");
            let serials = desk.count("presigned") - before;
            assert!((1..20).contains(&serials), "only what the serial changes: {serials}");
        }
        // What is not known beforehand is what the count sees.
        desk.ask("never.heard.of.example.test", 1);
        assert_eq!(desk.count("asked") > 0, denial == Denial::Compact);
    }
}

#[test]
fn a_rollover_is_signed_beforehand_with_both_keys() {
    let (old, new) = (zone_key(KeyAlgorithm::EcdsaP256, 7), zone_key(KeyAlgorithm::Ed25519, 8));
    let mut desk = Desk::new();
    let mut group = Group::new(Denial::Nsec3, &old);
    desk.publish(&mut group);
    desk.sign();
    let steps: [fn(&mut Group, ZoneKey); 4] = [
        |group, _| group.pass(HOUR),
        |group, new| group.change_keys(SigningChange::StartRollover(new)),
        |group, _| group.pass(HOUR),
        |group, _| {
            group.change_keys(SigningChange::FinishRollover { forced: Some("a test".to_owned()) })
        },
    ];
    for step in steps {
        step(&mut group, new.clone());
        desk.publish(&mut group);
        desk.sign();
        ask_services(&mut desk);
        ask_the_rest(&mut desk, Denial::Nsec3);
        assert_eq!(desk.count("asked"), 0);
    }
}

/// Expiration and inception of the first signature of a reply to `shop.example.test A`, in seconds.
fn times(reply: &[u8]) -> (u64, u64) {
    let signature = reply.windows(4).position(|window| *window == [0, 46, 0, 1]);
    // Behind type and class: TTL and length, type, algorithm, labels and original TTL.
    let at = signature.expect("a signature") + 4 + 6 + 8;
    let field = |at: usize| u64::from(u32::from_be_bytes(reply[at..at + 4].try_into().expect("4")));
    (field(at), field(at + 4))
}

#[test]
fn an_agent_that_restarts_alone_has_good_signatures_for_as_long_as_it_runs() {
    let mut group = Group::new(Denial::Nsec3, &zone_key(KeyAlgorithm::EcdsaP256, 7));
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("answers.lkg");
    let mut with_group = Desk::new();
    with_group.publish(&mut group);
    let expected = with_group.ask("shop.example.test", 1);
    lkg::save(&path, "test", &group.view().answers).expect("saved");

    let mut desk = Desk::new();
    let answers = lkg::load(&path, "test", holdfast_core::GroupId(1)).expect("whole");
    desk.source.restore(Arc::new(answers.expect("a file")));
    desk.sign();
    let records = |reply: &[u8]| decode(reply).answers;
    assert_eq!(records(&desk.ask("shop.example.test", 1)), records(&expected), "the same bytes");
    let mut seen = std::collections::BTreeSet::new();
    for hour in 0..9 * 24 {
        desk.clock.0.store(hour * DAY / 24, Ordering::Relaxed);
        if hour % 6 == 5 {
            // Looked at before the clock comes to what was made for it.
            desk.presigner.renew();
            desk.sign();
        }
        let now = desk.clock.now().0 / 1000;
        let (expiration, inception) = times(&desk.ask("shop.example.test", 1));
        assert!(inception < now && expiration >= now + 7 * DAY / 1000, "hour {hour}");
        seen.insert(expiration);
    }
    assert_eq!(seen.len(), 2, "made anew once in nine days: {seen:?}");
}

#[test]
fn what_the_next_slot_needs_is_made_before_it_begins() {
    let mut group = Group::new(Denial::Nsec3, &zone_key(KeyAlgorithm::Ed25519, 7));
    let mut desk = Desk::new();
    desk.publish(&mut group);
    desk.sign();
    // A round each quarter of an hour, as an agent goes through them, for longer than a slot.
    for quarter in 1..8 * 96 {
        desk.clock.0.store(quarter * DAY / 96 - 1, Ordering::Relaxed);
        desk.ask("shop.example.test", 1);
        desk.ask("nothing.example.test", 1);
        desk.clock.0.store(quarter * DAY / 96, Ordering::Relaxed);
        if quarter % 4 == 0 {
            desk.presigner.renew();
            desk.sign();
        }
    }
    assert_eq!(desk.count("asked"), 0);
}

#[test]
fn what_was_signed_beforehand_is_what_would_be_signed_for_a_question() {
    for denial in [Denial::Compact, Denial::Nsec3] {
        let mut group = Group::new(denial, &zone_key(KeyAlgorithm::EcdsaP256, 7));
        let [mut before, mut on_demand] = [Desk::new(), Desk::new()];
        before.publish(&mut group);
        before.sign();
        on_demand.publish(&mut group);
        for owner in ["shop", "www", "x.wild", "lab", "deep", "no"] {
            let owner = format!("{owner}.example.test");
            for kind in [1, 65, AFSDB] {
                assert_eq!(before.ask(&owner, kind), on_demand.ask(&owner, kind), "{owner} {kind}");
            }
        }
        assert!(on_demand.count("asked") > 0);
    }
}
