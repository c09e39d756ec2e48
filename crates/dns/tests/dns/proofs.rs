//! Signed zones where names are cut off, made up, or asked for by the types of proofs: what is signed, what is denied,
//! and for how long. `delv` judges what a validating client makes of it.

use std::sync::Arc;
use std::time::Duration;

use hickory_proto::rr::Record;
use hickory_proto::serialize::binary::BinEncodable as _;
use holdfast_core::signing::{Ds, Signing, ZoneKey};
use holdfast_core::spec::{Denial, Dnssec, KeyAlgorithm, RecordData};
use holdfast_core::view::{Answers, Pick, ZoneAnswers};
use holdfast_dns::{Responder, Settings, SigningContext, signing_channel};

use crate::fixture::{a, decode, exchange, name, sets, tcp, udp};
use crate::signed::{Later, Stage, key_of, query, responders, sealing, signed, zone_key};

const A: u16 = 1;
const CNAME: u16 = 5;
const SOA: u16 = 6;
const TXT: u16 = 16;
const AAAA: u16 = 28;
const SRV: u16 = 33;
const DS: u16 = 43;
const RRSIG: u16 = 46;
const NSEC: u16 = 47;
const NSEC3: u16 = 50;
const BOTH: [Denial; 2] = [Denial::Compact, Denial::Nsec3];

pub(crate) fn key() -> ZoneKey {
    zone_key(KeyAlgorithm::Ed25519, 7)
}

/// The fixture's view, signed, with further names.
pub(crate) fn with(denial: Denial, names: &[(&str, &[RecordData])]) -> Answers {
    let mut answers = signed(7, &[key()], denial);
    for (owner, data) in names {
        let kinds: Vec<_> = data.iter().map(|data| vec![data.clone()]).collect();
        answers.names.insert(name(owner), sets(Pick::All, &kinds));
    }
    answers
}

/// What the view's agents say, which must be the same.
pub(crate) fn told(answers: &Answers, owner: &str, kind: u16) -> Vec<u8> {
    let replies = responders(sealing(), answers.clone(), Later(0))
        .map(|mut responder| exchange(&mut responder, &query(owner, kind), tcp()));
    assert_eq!(replies[0], replies[1], "{owner} {kind}");
    replies[0].clone().expect("a reply")
}

fn data_of(record: &Record) -> Vec<u8> {
    record.data.to_bytes().expect("our own")
}

/// Type covered and number of labels of the signatures among records.
pub(crate) fn signatures(records: &[Record]) -> Vec<(u16, u8)> {
    let signatures = records.iter().filter(|record| u16::from(record.record_type()) == RRSIG);
    let covers = |data: Vec<u8>| (u16::from_be_bytes([data[0], data[1]]), data[3]);
    signatures.map(|record| covers(data_of(record))).collect()
}

pub(crate) fn kinds(records: &[Record]) -> Vec<u16> {
    records.iter().map(|record| record.record_type().into()).collect()
}

/// The same view, published so much later.
fn later(answers: &Answers, by: u64) -> Arc<Answers> {
    Arc::new(Answers { index: answers.index + by, ..answers.clone() })
}

fn ns(text: &str) -> RecordData {
    RecordData::Ns(name(text))
}

#[tokio::test(flavor = "multi_thread")]
async fn names_below_a_delegation_enter_the_chain_when_it_goes_and_leave_it_when_it_comes() {
    let glue: (&str, &[RecordData]) = ("ns.lab.example.test", &[a(5)]);
    let cut: (&str, &[RecordData]) = ("lab.example.test", &[ns("ns.lab.example.test")]);
    let (delegated, own) = (with(Denial::Nsec3, &[glue, cut]), with(Denial::Nsec3, &[glue]));
    let stage = Stage::new(delegated.clone(), &key()).await;
    stage.check(&[("lab.example.test", "DS", "negative response")]).await;
    stage.publisher.publish(later(&own, 1));
    stage.check(&[("ns.lab.example.test", "AAAA", "negative response")]).await;
    stage.check(&[("ns.lab.example.test", "A", "192.0.2.5")]).await;

    let context = || SigningContext { keys: sealing(), clock: Arc::new(Later(0)) };
    let settings = Arc::new(Settings::default());
    let (publisher, source) = signing_channel(context());
    for (by, view) in [&delegated, &own, &delegated].into_iter().enumerate() {
        let view = later(view, by as u64);
        publisher.publish(Arc::clone(&view));
        let (restarted, fresh) = signing_channel(context());
        restarted.publish(view);
        let [mut old, mut new] = [&source, &fresh]
            .map(|source| Responder::new(source.clone(), Arc::clone(&settings), Arc::default()));
        [&mut old, &mut new].into_iter().for_each(Responder::acquire);
        for number in 0..200 {
            let wire = query(&format!("n{number}.example.test"), A);
            let replies = [&mut old, &mut new].map(|one| exchange(one, &wire, tcp()));
            assert_eq!(replies[0], replies[1], "an agent that was restarted, n{number}");
        }
    }
}

/// The fixture's view with a zone of its own below, and the DS records of that in the signed zone.
fn nested(denial: Denial, child: &[ZoneKey], listed: bool) -> Answers {
    let mut answers = with(denial, &[("host.sub.example.test", &[a(8)])]);
    let apex = name("sub.example.test");
    let mut zone = ZoneAnswers::clone(answers.zones.get(&name("example.test")).expect("there"));
    zone.zone.name = apex.clone();
    zone.zone.dnssec = Some(Dnssec { denial, ..Dnssec::default() });
    zone.signing = Signing { keys: child.to_vec(), ready: true, ..Signing::default() };
    answers.zones.insert(apex.clone(), Arc::new(zone));
    if listed {
        let ds = child.iter().map(|key| RecordData::Ds {
            key_tag: key.tag(),
            algorithm: key.algorithm.number(),
            digest_type: 2,
            digest: Ds::of(&apex, key).digest,
        });
        answers.names.insert(apex.clone(), sets(Pick::All, &[ds.collect()]));
    }
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zone_below_a_signed_zone_is_secure_by_its_ds_and_insecure_without() {
    let child = [key_of("sub.example.test", KeyAlgorithm::EcdsaP256, 9)];
    for denial in BOTH {
        let stage = Stage::new(nested(denial, &child, true), &key()).await;
        let secure = [
            ("sub.example.test", "DS", "sub.example.test"),
            ("host.sub.example.test", "A", "192.0.2.8"),
            ("host.sub.example.test", "AAAA", "negative response"),
            ("no.sub.example.test", "A", "negative response"),
            ("no.example.test", "A", "negative response"),
        ];
        stage.check(&secure).await;
        for (by, keys) in [&child[..], &[]].into_iter().enumerate() {
            stage.publisher.publish(later(&nested(denial, keys, false), 1 + by as u64));
            stage.check(&[("sub.example.test", "DS", "negative response")]).await;
            let said = stage.delv("host.sub.example.test", "A").await;
            assert!(said.contains("unsigned answer"), "{said}");
            assert!(said.contains("192.0.2.8"), "{said}");
        }
        let mut without = nested(denial, &[], false);
        without.zones.remove(&name("sub.example.test"));
        stage.publisher.publish(later(&without, 3));
        stage.check(&[("host.sub.example.test", "AAAA", "negative response")]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cname_that_follows_from_a_dname_is_not_signed() {
    for denial in BOTH {
        let dname = RecordData::Dname(name("target.example.test"));
        let names: [(&str, &[RecordData]); 2] =
            [("d.example.test", &[dname]), ("x.target.example.test", &[a(77)])];
        let answers = with(denial, &names);
        let reply = decode(&told(&answers, "x.d.example.test", A));
        assert_eq!(kinds(&reply.answers), [39, RRSIG, CNAME, A, RRSIG], "{denial:?}");
        assert_eq!(signatures(&reply.answers), [(39, 3), (A, 4)], "{denial:?}");
        assert!(reply.authorities.is_empty(), "nothing is denied: {denial:?}");
        let stage = Stage::new(answers, &key()).await;
        stage.check(&[("x.d.example.test", "A", "192.0.2.77")]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_name_of_the_servers_state_exists() {
    for denial in BOTH {
        let answers = with(denial, &[("*.example.test", &[a(66)])]);
        let reply = decode(&told(&answers, "_holdfast.example.test", SOA));
        assert!(reply.answers.is_empty());
        let stage = Stage::new(answers, &key()).await;
        let questions = [
            ("_holdfast.example.test", "TXT", "index=7"),
            ("_holdfast.example.test", "A", "negative response"),
            ("x._holdfast.example.test", "A", "negative response"),
            ("other.example.test", "A", "192.0.2.66"),
        ];
        stage.check(&questions).await;
        let [mut responder, _] = responders(sealing(), with(denial, &[]), Later(0));
        let wire = query("_holdfast.example.test", TXT);
        let reply = decode(&exchange(&mut responder, &wire, udp()).expect("a reply"));
        assert_eq!(signatures(&reply.answers), [(TXT, 3)], "its own name is signed");
        assert!(reply.authorities.is_empty(), "and no other denied");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_nsec_is_told_when_it_is_asked_for() {
    let stage = Stage::new(with(Denial::Compact, &[]), &key()).await;
    for owner in ["shop", "index", "no", "x.wild", "_holdfast"] {
        let owner = format!("{owner}.example.test");
        stage.check(&[(&owner, "NSEC", "NSEC")]).await;
        let reply = decode(&told(&with(Denial::Compact, &[]), &owner, NSEC));
        assert_eq!(kinds(&reply.answers), [NSEC, RRSIG], "{owner}");
        assert!(reply.authorities.is_empty(), "{owner}");
    }
    stage.check(&[("example.test", "NSEC", "DNSKEY")]).await;
    let stage = Stage::new(with(Denial::Nsec3, &[]), &key()).await;
    for owner in ["shop.example.test", "example.test", "index.example.test", "no.example.test"] {
        stage.check(&[(owner, "NSEC", "negative"), (owner, "TYPE50", "negative")]).await;
    }
}

#[test]
fn signatures_are_told_when_they_are_asked_for() {
    for denial in BOTH {
        let answers = with(denial, &[]);
        for (owner, covered) in
            [("shop", A), ("www", CNAME), ("x.wild", A), ("large", TXT), ("_holdfast", TXT)]
        {
            let [mut responder, _] = responders(sealing(), answers.clone(), Later(0));
            let wire = query(&format!("{owner}.example.test"), RRSIG);
            let reply = decode(&exchange(&mut responder, &wire, tcp()).expect("a reply"));
            assert_eq!(kinds(&reply.answers), [RRSIG], "{owner} {denial:?}");
            assert_eq!(signatures(&reply.answers)[0].0, covered, "{owner} {denial:?}");
            assert!(!kinds(&reply.authorities).contains(&SOA), "{owner} {denial:?}");
        }
        let reply = decode(&told(&answers, "example.test", RRSIG));
        assert_eq!(signatures(&reply.answers)[0], (SOA, 2));
    }
    for owner in ["index.example.test", "no.example.test"] {
        let reply = decode(&told(&with(Denial::Compact, &[]), owner, RRSIG));
        assert_eq!((kinds(&reply.answers), reply.authorities.len()), (vec![RRSIG], 0), "{owner}");
        assert_eq!(signatures(&reply.answers)[0].0, NSEC, "{owner}");
    }
    let hashed = decode(&told(&with(Denial::Nsec3, &[]), "index.example.test", RRSIG));
    let proof = hashed.authorities.iter().find(|record| u16::from(record.record_type()) == NSEC3);
    assert_eq!(data_of(proof.expect("a proof")).len(), 26, "a hash and no types");
}

#[test]
fn an_agent_without_dnssec_clients_tells_no_signatures() {
    let [mut responder, _] = responders(sealing(), with(Denial::Nsec3, &[]), Later(0));
    let mut wire = query("shop.example.test", RRSIG);
    let end = wire.len();
    wire[end - 4] = 0;
    let reply = decode(&exchange(&mut responder, &wire, udp()).expect("a reply"));
    assert_eq!((kinds(&reply.answers), kinds(&reply.authorities)), (vec![], vec![SOA]));
}

#[test]
fn a_proof_is_kept_no_longer_than_a_negative_answer() {
    for denial in BOTH {
        let answers = with(denial, &[("lab.example.test", &[ns("ns.elsewhere.test")])]);
        let reply = decode(&told(&answers, "host.lab.example.test", A));
        for record in &reply.authorities {
            let kind = u16::from(record.record_type());
            let proof = [NSEC, NSEC3].contains(&kind) || kind == RRSIG;
            assert_eq!(record.ttl, if proof { 5 } else { 30 }, "{record}");
        }
        assert!(reply.authorities.len() > 2, "name server, proof and signature");
    }
}

#[test]
fn additional_records_make_room_for_signatures_and_glue_does_not() {
    let answers = with(Denial::Nsec3, &[]);
    let whole = decode(&told(&answers, "_srv._tcp.example.test", SRV));
    assert!(!whole.additionals.is_empty(), "the fixture's targets have addresses");
    let mut cut = whole.clone();
    cut.additionals.clear();
    let needed = cut.to_vec().expect("encodes").len();
    let [mut responder, _] = responders(sealing(), answers, Later(0));
    let mut wire = query("_srv._tcp.example.test", SRV);
    let place = wire.len() - 8;
    let mut fitting = 0;
    for payload in 512..1232u16 {
        wire[place..place + 2].copy_from_slice(&payload.to_be_bytes());
        let reply = exchange(&mut responder, &wire, udp()).expect("a reply");
        assert!(reply.len() <= usize::from(payload));
        let truncated = reply[2] & 2 != 0;
        // hickory compresses names in data too, so it may need a little less.
        assert!(!truncated || usize::from(payload) < needed + 200, "{payload} for {needed}");
        fitting +=
            u32::from(!truncated && decode(&reply).additionals.len() < whole.additionals.len());
    }
    assert!(fitting > 50, "sizes at which only the additional records are left out: {fitting}");

    let glue: [(&str, &[RecordData]); 2] = [
        ("lab.example.test", &[ns("ns.lab.example.test")]),
        ("ns.lab.example.test", &(0..20).map(a).collect::<Vec<_>>()),
    ];
    let mut answers = with(Denial::Nsec3, &glue[..1]);
    answers.names.insert(name(glue[1].0), sets(Pick::All, &[glue[1].1.to_vec()]));
    let [mut responder, _] = responders(sealing(), answers, Later(0));
    let mut wire = query("x.lab.example.test", A);
    let place = wire.len() - 8;
    for payload in 512..1232u16 {
        wire[place..place + 2].copy_from_slice(&payload.to_be_bytes());
        let reply = exchange(&mut responder, &wire, udp()).expect("a reply");
        let told = decode(&reply).additionals.len();
        assert!(reply[2] & 2 != 0 || told == 20, "{payload}: {told} of 20 addresses");
    }
}

#[test]
fn the_meta_type_of_proofs_is_no_question() {
    let answers = with(Denial::Compact, &[]);
    for owner in ["shop.example.test", "no.example.test"] {
        let reply = told(&answers, owner, 128);
        assert_eq!(reply[3] & 0x0f, 1, "FORMERR: {owner}");
    }
}

#[test]
fn a_chain_of_names_is_signed_where_it_enters_a_signed_zone() {
    let mut answers =
        nested(Denial::Compact, &[key_of("sub.example.test", KeyAlgorithm::EcdsaP256, 9)], true);
    let mut parent = ZoneAnswers::clone(answers.zones.get(&name("example.test")).expect("there"));
    parent.signing = Signing::default();
    parent.negative_ttl = Duration::from_secs(5);
    answers.zones.insert(name("example.test"), Arc::new(parent));
    let cname = RecordData::Cname(name("host.sub.example.test"));
    answers.names.insert(name("alias.example.test"), sets(Pick::All, &[vec![cname]]));
    let reply = decode(&told(&answers, "alias.example.test", A));
    assert_eq!(kinds(&reply.answers), [CNAME, A, RRSIG]);
    let dname = RecordData::Dname(name("sub.example.test"));
    answers.names.insert(name("d.example.test"), sets(Pick::All, &[vec![dname]]));
    for asked in ["host.d.example.test", "host.D.example.test"] {
        let reply = decode(&told(&answers, asked, A));
        assert_eq!(kinds(&reply.answers), [39, CNAME, A, RRSIG], "{asked}");
    }
    let reply = decode(&told(&answers, "sub.example.test", DS));
    assert_eq!(kinds(&reply.answers), [DS]);
    let reply = decode(&told(&answers, "shop.example.test", AAAA));
    assert_eq!(kinds(&reply.authorities), [SOA]);
}

#[test]
fn a_zone_without_its_key_is_refused_wherever_a_question_enters_it() {
    let foreign = zone_key(KeyAlgorithm::EcdsaP256, 9);
    let mut answers = nested(Denial::Compact, &[foreign], true);
    let cname = RecordData::Cname(name("host.sub.example.test"));
    answers.names.insert(name("alias.example.test"), sets(Pick::All, &[vec![cname]]));
    for owner in ["host.sub.example.test", "alias.example.test"] {
        assert_eq!(told(&answers, owner, A)[3] & 0x0f, 2, "SERVFAIL: {owner}");
    }
    let reply = decode(&told(&answers, "sub.example.test", DS));
    assert_eq!(kinds(&reply.answers), [DS, RRSIG], "which is the zone's above");
}
