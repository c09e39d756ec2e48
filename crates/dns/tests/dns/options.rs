//! EDNS options from the query's bytes to the reply's: what is told, to whom, and what is FORMERR.

use std::sync::Arc;
use std::time::Duration;

use hickory_proto::rr::RecordType;
use holdfast_dns::{Responder, Settings, channel};

use crate::fixture::{
    decode, exchange, options_of, query, responder, responder_with, tcp, udp, view, with_options,
};

const SHOP: &str = "shop.example.test.";
const NSID: u16 = 3;
const SUBNET: u16 = 8;
const KEEPALIVE: u16 = 11;
const PADDING: u16 = 12;
const EXTENDED_ERROR: u16 = 15;

fn asked(owner: &str, options: &[(u16, &[u8])]) -> Vec<u8> {
    with_options(query(owner, RecordType::A, Some(1232)), options)
}

fn named() -> Responder {
    let settings = Settings {
        nsid: Some("ns1.paris".into()),
        idle_timeout: Duration::from_secs(15),
        ..Settings::default()
    };
    responder_with(settings, Some(view(7)))
}

fn told(responder: &mut Responder, wire: &[u8]) -> Vec<(u16, Vec<u8>)> {
    options_of(&exchange(responder, wire, udp()).expect("an answer"))
}

#[test]
fn nsid_is_told_when_asked_and_configured() {
    let name = vec![(NSID, b"ns1.paris".to_vec())];
    for owner in [SHOP, "no.example.test.", "www.example.test.", "crowd.example.test."] {
        let asking = asked(owner, &[(NSID, &[])]);
        assert_eq!(told(&mut named(), &asking), name, "{owner}");
        assert_eq!(told(&mut named(), &asked(owner, &[])), vec![], "{owner}, not asked");
        assert_eq!(told(&mut responder(), &asking), vec![], "{owner}, not configured");
    }
}

#[test]
fn the_subnet_comes_back_with_a_scope() {
    let wants: &[u8] = &[0, 1, 24, 0, 192, 0, 2];
    for owner in [SHOP, "no.example.test.", "www.example.test.", "crowd.example.test."] {
        let reply = told(&mut responder(), &asked(owner, &[(SUBNET, wants)]));
        assert_eq!(reply, vec![(SUBNET, wants.to_vec())], "{owner}: for everybody");
    }
    let unnamed = asked(SHOP, &[(SUBNET, &[0, 0, 0, 0])]);
    assert_eq!(told(&mut responder(), &unnamed), vec![], "no network, nothing to say about it");
}

#[test]
fn malformed_options_are_formerr_with_an_opt_without_options() {
    let cases: [(&str, u16, &[u8]); 4] = [
        ("a subnet with bits beyond its prefix", SUBNET, &[0, 1, 20, 0, 192, 0, 0xff]),
        ("a subnet of no family", SUBNET, &[0, 9, 0, 0]),
        ("a cookie of 7 bytes", 10, &[1; 7]),
        ("a cookie of 41 bytes", 10, &[1; 41]),
    ];
    for (what, code, data) in cases {
        let wire = asked(SHOP, &[(NSID, &[]), (code, data)]);
        let reply = exchange(&mut named(), &wire, udp()).expect("a reply");
        assert_eq!(reply[3] & 15, 1, "{what}");
        assert_eq!(options_of(&reply), vec![], "{what}");
        assert!(reply.len() <= wire.len(), "{what} is amplified");
    }
}

#[test]
fn keepalive_is_told_over_streams_alone() {
    let wire = asked(SHOP, &[(KEEPALIVE, &[])]);
    assert_eq!(told(&mut named(), &wire), vec![]);
    let reply = exchange(&mut named(), &wire, tcp()).expect("an answer");
    assert_eq!(options_of(&reply), vec![(KEEPALIVE, vec![0, 150])], "15 s in units of 100 ms");
    let bad = asked(SHOP, &[(KEEPALIVE, &[0, 1])]);
    assert_eq!(exchange(&mut named(), &bad, tcp()).expect("a reply")[3] & 15, 1, "FORMERR");
}

#[test]
fn what_is_not_encrypted_is_not_padded() {
    let wire = asked(SHOP, &[(PADDING, &[0; 20])]);
    assert_eq!(told(&mut responder(), &wire), vec![]);
    assert_eq!(options_of(&exchange(&mut responder(), &wire, tcp()).expect("an answer")), vec![]);
}

#[test]
fn reasons_are_told_to_clients_with_edns() {
    let reason = |owner: &str, kind: RecordType, view| {
        let wire = query(owner, kind, Some(1232));
        let reply = exchange(&mut responder_with(Settings::default(), view), &wire, udp());
        let reply = reply.expect("a reply");
        let reasons = options_of(&reply).into_iter().map(|(code, data)| {
            assert_eq!(code, EXTENDED_ERROR);
            u16::from_be_bytes([data[0], data[1]])
        });
        reasons.collect::<Vec<_>>()
    };
    assert_eq!(reason(SHOP, RecordType::A, None), [14], "Not Ready");
    assert_eq!(reason("elsewhere.test.", RecordType::A, Some(view(7))), [20], "Not Authoritative");
    assert_eq!(reason("example.test.", RecordType::AXFR, Some(view(7))), [18], "Prohibited");
    for owner in [SHOP, "no.example.test.", "www.example.test."] {
        assert_eq!(reason(owner, RecordType::A, Some(view(7))), [0; 0], "{owner}: no error");
    }
    let plain = query("elsewhere.test.", RecordType::A, None);
    let reply = exchange(&mut responder(), &plain, udp()).expect("a reply");
    assert_eq!((decode(&reply).edns, reply.len()), (None, plain.len()), "no EDNS, no reason");
}

#[test]
fn answers_from_disk_say_so() {
    let (publisher, source) = channel();
    source.restore(Arc::new(view(7)));
    let mut responder = Responder::new(source, Arc::default(), Arc::default());
    responder.acquire();
    for owner in [SHOP, "no.example.test.", "www.example.test."] {
        let stale = told(&mut responder, &asked(owner, &[]));
        assert_eq!(stale, vec![(EXTENDED_ERROR, vec![0, 3])], "{owner}: Stale Answer");
    }
    publisher.publish(Arc::new(view(8)));
    responder.acquire();
    assert_eq!(told(&mut responder, &asked(SHOP, &[])), vec![], "live");
}

#[test]
fn options_never_make_a_reply_longer_than_the_client_takes() {
    let subnet: &[u8] = &[0, 2, 128, 0, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    for owner in [SHOP, "large.example.test.", "crowd.example.test.", "_srv._tcp.example.test."] {
        for kind in [RecordType::A, RecordType::TXT, RecordType::SRV] {
            for payload in (512..1240u16).step_by(3) {
                let mut wire = query(owner, kind, Some(4096));
                let at = wire.len() - 8;
                wire[at..at + 2].copy_from_slice(&payload.to_be_bytes());
                let wire = with_options(wire, &[(NSID, &[]), (SUBNET, subnet)]);
                let reply = exchange(&mut named(), &wire, udp()).expect("an answer");
                assert!(reply.len() <= usize::from(payload.min(1232)), "{owner} {payload}");
                assert!(options_of(&reply).contains(&(SUBNET, subnet.to_vec())), "{owner}");
            }
        }
    }
}
