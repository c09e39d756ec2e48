//! A flood of forged queries gains nothing here, and costs those who really ask nothing.

use std::time::Duration;

use hickory_proto::rr::RecordType;
use holdfast_dns::{Peer, RateLimit, Responder, Settings};
use tokio::time::advance;

use crate::fixture::{exchange, query, responder, responder_with, udp, view};

/// Bytes that came and bytes that went.
#[derive(Debug, Default)]
struct Traffic {
    queries: usize,
    replies: usize,
    answered: usize,
    cut: usize,
}

impl Traffic {
    fn exchange(&mut self, responder: &mut Responder, wire: &[u8], peer: Peer) {
        self.queries += wire.len();
        if let Some(reply) = exchange(responder, wire, peer) {
            self.replies += reply.len();
            self.answered += usize::from(reply[7] > 0);
            self.cut += usize::from(reply[2] & 2 != 0);
        }
    }
}

fn victim(last: u8) -> Peer {
    Peer { address: ([203, 0, 113, last], 53).into(), ..udp() }
}

fn guarded() -> Responder {
    responder().limited(&RateLimit::default(), 1)
}

/// What an attacker would ask: whatever has the longest answers, whatever does not exist, and names of a wildcard.
fn asked_by_attacker(number: usize) -> Vec<u8> {
    let (owner, kind) = match number % 5 {
        0 => ("large.example.test.".to_owned(), RecordType::TXT),
        1 => (format!("no{number}.example.test."), RecordType::AAAA),
        2 => (format!("x{number}.wild.example.test."), RecordType::A),
        3 => ("_srv._tcp.example.test.".to_owned(), RecordType::SRV),
        _ => (format!("host{}.example.test.", number % 8), RecordType::A),
    };
    query(&owner, kind, Some(4096))
}

#[tokio::test(start_paused = true)]
async fn a_flood_in_the_name_of_a_victim_is_not_amplified() {
    for per_second in [2_000, 20_000] {
        let mut responder = guarded();
        let mut traffic = Traffic::default();
        for number in 0..per_second * 5 {
            if number % (per_second / 100) == 0 {
                advance(Duration::from_millis(10)).await;
                responder.acquire();
            }
            traffic.exchange(&mut responder, &asked_by_attacker(number), victim(number as u8));
        }
        let factor = traffic.replies as f64 / traffic.queries as f64;
        assert!(factor <= 1.5, "{factor} at {per_second} queries per second: {traffic:?}");
        assert!(traffic.answered > 0 && traffic.cut > 0, "{traffic:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_limit_the_same_flood_is_amplified() {
    let mut traffic = Traffic::default();
    let mut responder = responder();
    for number in 0..2_000 {
        traffic.exchange(&mut responder, &asked_by_attacker(number), victim(number as u8));
    }
    assert!(traffic.replies > 4 * traffic.queries, "{traffic:?}");
}

#[tokio::test(start_paused = true)]
async fn a_resolver_that_asks_for_addresses_is_never_cut() {
    let mut responder = guarded();
    let mut traffic = Traffic::default();
    for number in 0..20_000 {
        // 2,000 queries per second for nine names, from one /24.
        if number % 20 == 0 {
            advance(Duration::from_millis(10)).await;
            responder.acquire();
        }
        let owner = ["shop.example.test.".to_owned(), format!("host{}.example.test.", number % 8)];
        let kind = if number % 2 == 0 { RecordType::A } else { RecordType::AAAA };
        let (place, peer) = (usize::from(number % 10 > 0), victim(number as u8));
        let wire = query(&owner[place], kind, Some(1232));
        if number % 3 > 0 {
            continue;
        }
        traffic.exchange(&mut responder, &wire, peer);
    }
    assert_eq!(traffic.cut, 0, "{traffic:?}");
}

#[tokio::test(start_paused = true)]
async fn names_under_a_wildcard_and_names_that_do_not_exist_are_one() {
    for suffix in ["wild.example.test.", "example.test.", "elsewhere.test."] {
        let mut responder = guarded();
        let replies = (0..1000).filter(|number| {
            let wire = query(&format!("n{number}.{suffix}"), RecordType::A, None);
            let reply = exchange(&mut responder, &wire, udp());
            reply.is_some_and(|reply| reply[2] & 2 == 0)
        });
        assert_eq!(replies.count(), 200, "{suffix}");
    }
    let mut responder = guarded();
    let malformed = (0..1000).filter_map(|_| {
        let mut wire = query("shop.example.test.", RecordType::A, None);
        wire[5] = 2;
        exchange(&mut responder, &wire, udp())
    });
    assert_eq!(malformed.count(), 200 + 400, "every second one beyond the rate");
}

#[tokio::test(start_paused = true)]
async fn a_name_is_one_in_any_case() {
    for owner in ["shop", "www"] {
        let mut responder = guarded();
        let spellings = [owner.to_owned(), owner.to_uppercase()];
        let replies = (0..1000).filter(|number| {
            let wire =
                query(&format!("{}.example.test.", spellings[number % 2]), RecordType::A, None);
            exchange(&mut responder, &wire, udp()).is_some_and(|reply| reply[2] & 2 == 0)
        });
        assert_eq!(replies.count(), 200, "{owner}");
    }
}

#[test]
fn long_replies_may_be_kept_for_clients_with_a_cookie() {
    let settings = Settings { max_reply_without_cookie: Some(512), ..Settings::default() };
    let mut strict = responder_with(settings, Some(view(7)));
    let large = query("large.example.test.", RecordType::TXT, Some(1232));
    assert_eq!(exchange(&mut responder(), &large, udp()).expect("an answer")[2] & 2, 0);
    assert_eq!(exchange(&mut strict, &large, udp()).expect("an answer")[2] & 2, 2, "cut");
    let shop = query("shop.example.test.", RecordType::A, Some(1232));
    assert_eq!(exchange(&mut strict, &shop, udp()).expect("an answer")[2] & 2, 0);
}
