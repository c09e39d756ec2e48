//! DNS cookies from the query's bytes to the reply's (RFC 7873). What they are made of is tested beside the module.

use hickory_proto::rr::RecordType;
use holdfast_dns::{Peer, RateLimit, Responder, Settings};

use crate::fixture::{
    cookies, exchange, options_of, query, responder, responder_with, tcp, udp, view, with_options,
};

const SHOP: &str = "shop.example.test.";
const COOKIE: u16 = 10;
const CLIENT: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];
const BADCOOKIE: u16 = 23;

fn baker() -> Responder {
    let settings = Settings { cookies: Some(cookies()), ..Settings::default() };
    responder_with(settings, Some(view(7)))
}

fn with_cookie(cookie: &[u8]) -> Vec<u8> {
    with_options(query(SHOP, RecordType::A, Some(1232)), &[(COOKIE, cookie)])
}

/// A header and an OPT with a cookie.
fn ping(cookie: &[u8]) -> Vec<u8> {
    let wire = with_cookie(cookie);
    let question = 12..query(SHOP, RecordType::A, None).len();
    let mut ping = wire;
    ping[5] = 0;
    ping.drain(question);
    ping
}

/// The reply's cookie.
fn cookie_of(reply: &[u8]) -> Option<Vec<u8>> {
    options_of(reply).into_iter().find(|(code, _)| *code == COOKIE).map(|(_, data)| data)
}

/// The reply's whole response code.
fn code_of(reply: &[u8]) -> u16 {
    let opt = (12..reply.len() - 10).find(|at| reply[*at..at + 3] == [0, 0, 41]).expect("an OPT");
    u16::from(reply[opt + 5]) << 4 | u16::from(reply[3] & 15)
}

fn fresh(responder: &mut Responder, peer: Peer) -> Vec<u8> {
    let reply = exchange(responder, &with_cookie(&CLIENT), peer).expect("an answer");
    let cookie = cookie_of(&reply).expect("a cookie");
    assert_eq!((&cookie[..8], cookie.len()), (&CLIENT[..], 24));
    cookie
}

#[test]
fn a_client_is_given_a_cookie_with_every_kind_of_reply() {
    let mut responder = baker();
    let cookie = fresh(&mut responder, udp());
    for owner in [SHOP, "no.example.test.", "www.example.test.", "crowd.example.test.", "x.test."] {
        for (sent, peer) in
            [(&CLIENT[..], udp()), (&cookie, udp()), (&[9; 40], udp()), (&CLIENT, tcp())]
        {
            let wire = with_options(query(owner, RecordType::A, Some(512)), &[(COOKIE, sent)]);
            let reply = exchange(&mut responder, &wire, peer).expect("an answer");
            let told = cookie_of(&reply).expect("a cookie");
            assert_eq!((&told[..8], told.len()), (&sent[..8], 24), "{owner}");
            assert!(code_of(&reply) < 16, "{owner}: what is wrong with a cookie costs nothing");
        }
    }
}

#[test]
fn cookies_that_are_not_configured_are_ignored() {
    let reply = exchange(&mut responder(), &with_cookie(&CLIENT), udp()).expect("an answer");
    assert_eq!((options_of(&reply), code_of(&reply)), (vec![], 0));
    let reply = exchange(&mut responder(), &ping(&CLIENT), udp()).expect("a reply");
    assert_eq!(code_of(&reply), 1, "a message without a question is FORMERR");
}

#[test]
fn a_cookie_alone_may_be_asked_for() {
    let mut responder = baker();
    let cookie = fresh(&mut responder, udp());
    let mut forged = cookie.clone();
    forged[20] ^= 1;
    for (what, sent, code) in [
        ("a new client", &CLIENT[..], 0),
        ("a known client", &cookie, 0),
        ("a forged cookie", &forged, BADCOOKIE),
        ("a cookie of another server", &[9; 16], BADCOOKIE),
    ] {
        let reply = exchange(&mut responder, &ping(sent), udp()).expect("a reply");
        assert_eq!(code_of(&reply), code, "{what}");
        assert_eq!(reply[4..12], [0, 0, 0, 0, 0, 0, 0, 1], "{what}: an OPT and nothing else");
        let told = cookie_of(&reply).expect("a cookie");
        assert_eq!((&told[..8], told.len()), (&sent[..8], 24), "{what}");
    }
    let mut laden = ping(&CLIENT);
    laden[7] = 1;
    laden.splice(12..12, [0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0]);
    let reply = exchange(&mut responder, &laden, udp()).expect("a reply");
    assert_eq!(code_of(&reply), 1, "with an answer it is FORMERR");
}

#[test]
fn a_flood_costs_clients_with_a_cookie_nothing_and_gives_others_one() {
    let limit = RateLimit { per_prefix: 5, exempt: vec![] };
    let mut responder = baker().limited(&limit, 1);
    let cookie = fresh(&mut responder, udp());
    for _ in 0..100 {
        let plain = query(SHOP, RecordType::A, None);
        if let Some(reply) = exchange(&mut responder, &plain, udp()) {
            assert!(reply.len() <= plain.len() + 16);
        }
        let known = exchange(&mut responder, &with_cookie(&cookie), udp()).expect("an answer");
        assert_eq!((code_of(&known), known[7]), (0, 1), "answered all the while");
    }
    let (mut told, mut dropped) = (0, 0);
    for _ in 0..20 {
        let asked = with_cookie(&CLIENT);
        match exchange(&mut responder, &asked, udp()) {
            Some(reply) => {
                assert_eq!((code_of(&reply), reply[7]), (BADCOOKIE, 0));
                assert_eq!(cookie_of(&reply).expect("a cookie"), cookie, "which is good for more");
                assert!(reply.len() * 2 <= asked.len() * 3);
                told += 1;
            }
            None => dropped += 1,
        }
    }
    assert_eq!((told, dropped), (10, 10));
    let over_tcp = exchange(&mut responder, &query(SHOP, RecordType::A, None), tcp());
    assert_eq!(over_tcp.expect("an answer")[7], 1, "streams are not limited");
}
