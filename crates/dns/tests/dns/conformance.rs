//! What a zone answers, row by row of docs/dns.md: one table, asked of both ways to an answer, over both transports.

use std::collections::BTreeMap;
use std::sync::Arc;

use hickory_proto::op::Message;
use hickory_proto::rr::{RData, Record, RecordType};
use holdfast_core::presentation::{NoOtherTypes, parse_data};
use holdfast_core::spec::{Kind, NameServer, RecordData};
use holdfast_core::view::{Answers, NameAnswers, Pick, RecordSet, ZoneAnswers};
use holdfast_core::{DnsName, Epoch};
use holdfast_dns::{Peer, Responder};

use crate::fixture::{decode, exchange, name, query, responder_with, tcp, udp, zone};

/// Owner, type and data of the records; relative names lie below `example.test`.
const RECORDS: &[(&str, &str, &str)] = &[
    ("ns1", "A", "192.0.2.53"),
    ("@", "ALIAS", "shop"),
    ("@", "MX", "10 mail"),
    ("@", "CAA", "0 issue \"ca.example\""),
    ("shop", "A", "192.0.2.1"),
    ("shop", "HTTPS", "1 . alpn=h2,h3 ipv4hint=192.0.2.1"),
    ("v6", "AAAA", "2001:db8::1"),
    ("to-v6", "ALIAS", "v6"),
    ("to-www", "ALIAS", "www"),
    ("to-nothing", "ALIAS", "nothing"),
    ("to-itself", "ALIAS", "to-itself-too"),
    ("to-itself-too", "ALIAS", "to-itself"),
    ("to-delegated", "ALIAS", "host.sub"),
    ("mail", "A", "192.0.2.25"),
    ("mail", "AAAA", "2001:db8::25"),
    ("mail", "TXT", "\"v=spf1 a -all\" \\200"),
    ("www", "CNAME", "shop"),
    ("out", "CNAME", "elsewhere.test."),
    ("dangling", "CNAME", "nothing"),
    ("loop", "CNAME", "pool"),
    ("pool", "CNAME", "loop"),
    ("to-sub", "CNAME", "host.sub"),
    ("across", "CNAME", "www.other.test."),
    ("_sip._tcp", "SRV", "0 1 5060 mail"),
    ("_dmarc", "TXT", "v=DMARC1"),
    ("_443._tcp.shop", "TYPE52", "\\# 4 03010100"),
    ("svc", "SVCB", "0 shop"),
    ("*.wild", "A", "192.0.2.42"),
    ("*.alias", "CNAME", "shop"),
    ("known.wild", "TXT", "known"),
    ("a.b.wild", "TXT", "deep"),
    ("old", "DNAME", "new.example.test."),
    ("host.new", "A", "192.0.2.77"),
    ("sub", "NS", "ns.sub"),
    ("sub", "NS", "ns1"),
    ("sub", "NS", "ns.elsewhere.test."),
    ("sub", "DS", "1 13 2 0102"),
    ("ns.sub", "A", "192.0.2.54"),
    ("unsigned", "NS", "ns1"),
];

/// Each name is an alias of the one before it.
const CHAIN: [&str; 10] = ["shop", "c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8", "c9"];

fn view() -> Answers {
    let origin = name("example.test");
    let mut names: BTreeMap<DnsName, BTreeMap<Kind, Vec<(RecordData, u32)>>> = BTreeMap::new();
    let mut add = |owner: DnsName, kind: &str, data: &str| {
        let kind: Kind = kind.parse().expect("a type");
        let data = parse_data(kind, data, Some(&origin), &NoOtherTypes).expect(data);
        names.entry(owner).or_default().entry(kind).or_default().push((data, 1));
    };
    for (owner, kind, data) in RECORDS {
        let owner =
            if *owner == "@" { origin.clone() } else { name(&format!("{owner}.example.test")) };
        add(owner, kind, data);
    }
    for (place, owner) in CHAIN.iter().enumerate().skip(1) {
        add(name(&format!("{owner}.example.test")), "CNAME", CHAIN[place - 1]);
    }
    add(name("www.other.test"), "CNAME", "shop.example.test.");
    add(name("1.2.0.192.in-addr.arpa"), "PTR", "shop.example.test.");
    let sets = |sets: BTreeMap<Kind, Vec<(RecordData, u32)>>| {
        let ttl = std::time::Duration::from_secs(30);
        let set = |records| RecordSet { ttl, pick: Pick::All, records };
        let sets = sets.into_values().map(set).collect();
        Arc::new(NameAnswers { service: None, epoch: Epoch(0), refused: false, sets })
    };
    let other = |apex: &str| {
        let mut other = ZoneAnswers::clone(&zone());
        other.zone.name = name(apex);
        let server = NameServer { name: name("ns1.example.test"), addresses: vec![] };
        other.zone.name_servers = vec![server];
        (name(apex), Arc::new(other))
    };
    Answers {
        index: 7,
        zones: ["example.test", "other.test", "2.0.192.in-addr.arpa"].map(other).into(),
        names: names.into_iter().map(|(owner, here)| (owner, sets(here))).collect(),
        ..Answers::default()
    }
}

/// A record as a person would note it down: owners without their zone, and data where they say something.
fn noted(record: &Record) -> String {
    let short = |name: &dyn ToString| {
        let name = name.to_string();
        match name.strip_suffix("example.test.") {
            Some("") => "@".to_owned(),
            Some(relative) => relative.trim_end_matches('.').to_owned(),
            None => name,
        }
    };
    let data = match &record.data {
        RData::A(address) => format!("={address}"),
        RData::AAAA(address) => format!("={address}"),
        RData::CNAME(target) => format!("={}", short(&target.0)),
        RData::PTR(target) => format!("={}", short(&target.0)),
        RData::NS(target) => format!("={}", short(&target.0)),
        _ => String::new(),
    };
    format!("{} {}{data}", short(&record.name), record.record_type())
}

fn told(message: &Message) -> String {
    let section = |records: &[Record]| records.iter().map(noted).collect::<Vec<_>>().join(", ");
    let flag = if message.metadata.authoritative { " aa" } else { "" };
    let sections = [&message.answers, &message.authorities, &message.additionals];
    let sections = sections.map(|records| section(records)).join(" / ");
    let sections = sections.trim_end_matches([' ', '/']);
    format!("{:?}{flag}: {sections}", message.metadata.response_code).trim_end().to_owned()
}

fn check(cases: &[(&str, u16, &str)]) {
    for (owner, kind, expected) in cases {
        let owner = match *owner {
            "@" => "example.test.".to_owned(),
            absolute if absolute.ends_with('.') => absolute.to_owned(),
            relative => format!("{relative}.example.test."),
        };
        for peer in [udp(), tcp()] {
            let made = || responder_with(holdfast_dns::Settings::default(), Some(view()));
            for mut responder in [made(), made().handler_only()] {
                let message = asked(&mut responder, &owner, *kind, peer);
                assert_eq!(told(&message), *expected, "{owner} {kind} over {:?}", peer.transport);
                assert!(!message.metadata.recursion_available && !message.metadata.authentic_data);
            }
        }
    }
}

fn asked(responder: &mut Responder, owner: &str, kind: u16, peer: Peer) -> Message {
    let wire = query(owner, RecordType::from(kind), Some(1232));
    decode(&exchange(responder, &wire, peer).expect("an answer"))
}

const A: u16 = 1;
const NS: u16 = 2;
const CNAME: u16 = 5;
const SOA: u16 = 6;
const PTR: u16 = 12;
const MX: u16 = 15;
const TXT: u16 = 16;
const AAAA: u16 = 28;
const SRV: u16 = 33;
const DNAME: u16 = 39;
const DS: u16 = 43;
const RRSIG: u16 = 46;
const TLSA: u16 = 52;
const SVCB: u16 = 64;
const HTTPS: u16 = 65;
const ANY: u16 = 255;
const CAA: u16 = 257;

#[test]
fn every_type_is_answered_with_the_addresses_of_its_targets() {
    let mail = "mail A=192.0.2.25, mail AAAA=2001:db8::25";
    check(&[
        ("@", MX, &format!("NoError aa: @ MX /  / {mail}")),
        ("_sip._tcp", SRV, &format!("NoError aa: _sip._tcp SRV /  / {mail}")),
        ("@", CAA, "NoError aa: @ CAA"),
        ("_dmarc", TXT, "NoError aa: _dmarc TXT"),
        ("_443._tcp.shop", TLSA, "NoError aa: _443._tcp.shop TLSA"),
        ("shop", HTTPS, "NoError aa: shop HTTPS /  / shop A=192.0.2.1"),
        ("svc", SVCB, "NoError aa: svc SVCB /  / shop A=192.0.2.1"),
        ("1.2.0.192.in-addr.arpa.", PTR, "NoError aa: 1.2.0.192.in-addr.arpa. PTR=shop"),
        ("@", SOA, "NoError aa: @ SOA"),
        ("@", NS, "NoError aa: @ NS=ns1 /  / ns1 A=192.0.2.53"),
        ("@", ANY, "NoError aa: @ SOA"),
        ("shop", ANY, "NoError aa: shop A=192.0.2.1"),
    ]);
}

#[test]
fn an_alias_has_the_addresses_of_its_target_and_never_none() {
    check(&[
        ("@", A, "NoError aa: @ A=192.0.2.1"),
        ("@", AAAA, "NoError aa:  / @ SOA"),
        ("to-v6", AAAA, "NoError aa: to-v6 AAAA=2001:db8::1"),
        ("to-v6", A, "NoError aa:  / @ SOA"),
        ("to-v6", ANY, "NoError aa: to-v6 AAAA=2001:db8::1"),
        ("to-www", A, "NoError aa: to-www A=192.0.2.1"),
        ("to-www", TXT, "NoError aa:  / @ SOA"),
        ("to-www", 65_401, "NoError aa:  / @ SOA"),
        ("to-nothing", A, "ServFail:"),
        ("to-itself", A, "ServFail:"),
        ("to-delegated", A, "ServFail:"),
    ]);
}

#[test]
fn a_delegation_is_a_referral_with_glue_for_everything_but_ds() {
    let referral = "sub NS=ns.sub, sub NS=ns1, sub NS=ns.elsewhere.test. / ns.sub A=192.0.2.54, ns1 A=192.0.2.53";
    let bare = format!("NoError:  / {referral}");
    check(&[
        ("sub", A, &bare),
        ("sub", NS, &bare),
        ("sub", ANY, &bare),
        ("sub", SOA, &bare),
        ("host.sub", A, &bare),
        ("ns.sub", A, &bare),
        ("a.b.c.ns.sub", TXT, &bare),
        ("host.sub", DS, &bare),
        ("sub", DS, "NoError aa: sub DS"),
        ("unsigned", DS, "NoError aa:  / @ SOA"),
        ("unsigned", A, "NoError:  / unsigned NS=ns1 / ns1 A=192.0.2.53"),
        ("@", DS, "NoError aa:  / @ SOA"),
        ("to-sub", A, &format!("NoError aa: to-sub CNAME=host.sub / {referral}")),
    ]);
}

#[test]
fn what_does_not_exist_is_told_by_the_deepest_name_that_does() {
    check(&[
        ("nothing", A, "NXDomain aa:  / @ SOA"),
        ("below.shop", A, "NXDomain aa:  / @ SOA"),
        ("shop", TXT, "NoError aa:  / @ SOA"),
        ("_tcp", SRV, "NoError aa:  / @ SOA"),
        ("shop", RRSIG, "NoError aa:  / @ SOA"),
        ("shop", 41, "NoError aa:  / @ SOA"),
        ("shop", 250, "NoError aa:  / @ SOA"),
        ("shop", 254, "NoError aa:  / @ SOA"),
        ("shop", 65_280, "NoError aa:  / @ SOA"),
        ("elsewhere.test.", A, "Refused:"),
        (".", NS, "Refused:"),
        ("192.in-addr.arpa.", PTR, "Refused:"),
        ("9.2.0.192.in-addr.arpa.", PTR, "NXDomain aa:  / 2.0.192.in-addr.arpa. SOA"),
    ]);
}

#[test]
fn a_wildcard_stands_in_for_what_nothing_else_encloses() {
    check(&[
        ("x.wild", A, "NoError aa: x.wild A=192.0.2.42"),
        ("x.y.wild", A, "NoError aa: x.y.wild A=192.0.2.42"),
        ("x.wild", TXT, "NoError aa:  / @ SOA"),
        ("*.wild", A, "NoError aa: *.wild A=192.0.2.42"),
        ("wild", A, "NoError aa:  / @ SOA"),
        ("known.wild", A, "NoError aa:  / @ SOA"),
        ("x.known.wild", A, "NXDomain aa:  / @ SOA"),
        ("b.wild", A, "NoError aa:  / @ SOA"),
        ("x.b.wild", A, "NXDomain aa:  / @ SOA"),
        ("x.*.wild", A, "NXDomain aa:  / @ SOA"),
        ("x.alias", A, "NoError aa: x.alias CNAME=shop, shop A=192.0.2.1"),
        ("x.alias", CNAME, "NoError aa: x.alias CNAME=shop"),
        ("x.alias", TXT, "NoError aa: x.alias CNAME=shop / @ SOA"),
    ]);
}

#[test]
fn chains_end_with_the_code_of_their_last_name() {
    check(&[
        ("www", A, "NoError aa: www CNAME=shop, shop A=192.0.2.1"),
        ("www", CNAME, "NoError aa: www CNAME=shop"),
        ("www", ANY, "NoError aa: www CNAME=shop"),
        ("www", TXT, "NoError aa: www CNAME=shop / @ SOA"),
        ("out", A, "NoError aa: out CNAME=elsewhere.test."),
        ("dangling", A, "NXDomain aa: dangling CNAME=nothing / @ SOA"),
        ("loop", A, "NoError aa: loop CNAME=pool, pool CNAME=loop"),
        (
            "across",
            A,
            "NoError aa: across CNAME=www.other.test., www.other.test. CNAME=shop, shop A=192.0.2.1",
        ),
    ]);
}

#[test]
fn eight_aliases_of_a_chain_are_followed_and_no_more() {
    let links = |from: usize| {
        let link = |place: usize| format!("{} CNAME={}", CHAIN[place], CHAIN[place - 1]);
        (1..=from).rev().map(link).collect::<Vec<_>>().join(", ")
    };
    check(&[
        ("c8", A, &format!("NoError aa: {}, shop A=192.0.2.1", links(8))),
        ("c8", TXT, &format!("NoError aa: {} / @ SOA", links(8))),
        ("c9", A, &format!("NoError aa: {}", links(9))),
    ]);
}

#[test]
fn a_dname_renames_what_is_below_it() {
    let long = format!("{0}.{0}.{0}.old", "x".repeat(63));
    let longer = format!("{0}.{1}.{1}.{1}.old", "y".repeat(36), "x".repeat(63));
    check(&[
        ("host.old", A, "NoError aa: old DNAME, host.old CNAME=host.new, host.new A=192.0.2.77"),
        ("host.old", CNAME, "NoError aa: old DNAME, host.old CNAME=host.new"),
        ("no.old", A, "NXDomain aa: old DNAME, no.old CNAME=no.new / @ SOA"),
        ("old", DNAME, "NoError aa: old DNAME"),
        ("old", A, "NoError aa:  / @ SOA"),
        (
            &long,
            TXT,
            &format!("NXDomain aa: old DNAME, {long} CNAME={} / @ SOA", long.replace("old", "new")),
        ),
        (
            &longer,
            TXT,
            &format!(
                "NXDomain aa: old DNAME, {longer} CNAME={} / @ SOA",
                longer.replace("old", "new")
            ),
        ),
    ]);
}

#[test]
fn a_name_that_a_dname_makes_too_long_is_said_to_be() {
    let mut view = view();
    let target = format!("{0}.{0}.example.test", "z".repeat(60));
    let set = RecordSet {
        ttl: std::time::Duration::from_secs(30),
        pick: Pick::All,
        records: vec![(RecordData::Dname(name(&target)), 1)],
    };
    let here = NameAnswers { service: None, epoch: Epoch(0), refused: false, sets: vec![set] };
    view.names.insert(name("old.example.test"), Arc::new(here));
    let mut responder = responder_with(holdfast_dns::Settings::default(), Some(view));
    let long = format!("{0}.{0}.old.example.test.", "x".repeat(63));
    let reply = asked(&mut responder, &long, A, udp());
    assert_eq!(told(&reply), "YXDomain aa: old DNAME");
}

#[test]
fn glue_that_does_not_fit_is_truncation_and_other_addresses_are_left_out() {
    let many = |owner: &str, count: u8| {
        let records = (0..count).map(|last| (crate::fixture::a(last), 1)).collect();
        let ttl = std::time::Duration::from_secs(30);
        let set = RecordSet { ttl, pick: Pick::All, records };
        let here = NameAnswers { service: None, epoch: Epoch(0), refused: false, sets: vec![set] };
        (name(owner), Arc::new(here))
    };
    let ask = |owner: &str, kind: u16, (glue, host): (&str, u8), peer: Peer| {
        let mut view = view();
        view.names.extend([many(glue, host)]);
        let mut responder = responder_with(holdfast_dns::Settings::default(), Some(view));
        asked(&mut responder, owner, kind, peer)
    };
    let referral = ask("host.sub.example.test.", A, ("ns.sub.example.test", 200), udp());
    assert!(referral.metadata.truncation && referral.authorities.is_empty());
    let whole = ask("host.sub.example.test.", A, ("ns.sub.example.test", 200), tcp());
    assert_eq!((whole.metadata.truncation, whole.additionals.len()), (false, 201));
    let mail = ask("example.test.", MX, ("mail.example.test", 200), udp());
    assert!(!mail.metadata.truncation && mail.answers.len() == 1 && mail.additionals.len() < 200);
}
