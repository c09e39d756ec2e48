//! Buckets under a paused clock.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use tokio::time::advance;

use super::*;

const RATE: u32 = 10;

fn limiter() -> Limiter {
    let config = RateLimit { per_prefix: RATE, exempt: vec!["10.0.0.0/8".parse().expect("valid")] };
    Limiter::new(&config, 1).expect("limits")
}

fn v4(octets: [u8; 4]) -> IpAddr {
    Ipv4Addr::from(octets).into()
}

fn count(mut act: impl FnMut() -> Result<(), Limited>, times: usize) -> (usize, usize, usize) {
    let mut counts = BTreeMap::new();
    for _ in 0..times {
        *counts.entry(format!("{:?}", act())).or_insert(0) += 1;
    }
    let of = |action: &str| counts.get(action).copied().unwrap_or(0);
    (of("Ok(())"), of("Err(Cut)"), of("Err(Dropped)"))
}

const SHOP: Subject = Subject::Name(0x1234_5678_9abc_def0);

#[tokio::test(start_paused = true)]
async fn a_prefix_gets_its_rate_and_every_second_reply_beyond_it_is_cut() {
    let mut limiter = limiter();
    let client = v4([192, 0, 2, 1]);
    assert_eq!(count(|| limiter.admit(client, SHOP), 110), (10, 50, 50));
    let neighbour = v4([192, 0, 2, 200]);
    assert_eq!(count(|| limiter.admit(neighbour, SHOP), 10), (0, 5, 5), "the same /24");
    assert_eq!(count(|| limiter.admit(v4([192, 0, 3, 1]), SHOP), 10), (10, 0, 0), "another /24");
    let missing = Subject::Missing(0x1234_5678_9abc_def0);
    assert_eq!(count(|| limiter.admit(client, missing), 10), (10, 0, 0), "another kind");
    advance(Duration::from_millis(500)).await;
    limiter.tick();
    assert_eq!(count(|| limiter.admit(client, SHOP), 15), (5, 5, 5), "half a second's worth");
    advance(Duration::from_secs(3600)).await;
    limiter.tick();
    assert_eq!(count(|| limiter.admit(client, SHOP), 12), (10, 1, 1), "one second's at most");
}

#[tokio::test(start_paused = true)]
async fn all_names_together_have_a_bound_and_so_have_ipv6_sites() {
    let mut limiter = limiter();
    for client in [v4([192, 0, 2, 1]), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 1, 2, 3, 4).into()] {
        let mut number = 0;
        let mut another = || {
            number += 1;
            limiter.admit(client, Subject::Name(number))
        };
        let most = (RATE * NAMES) as usize;
        assert_eq!(count(&mut another, most + 20), (most, 10, 10), "{client}");
    }
    let site = |last: u16| IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 1, last, 0, 0, 0, 1));
    assert_eq!(count(|| limiter.admit(site(0), SHOP), 10).0, 10);
    assert_eq!(count(|| limiter.admit(site(0xff), SHOP), 10).0, 0, "the same /56");
    assert_eq!(count(|| limiter.admit(site(0x100), SHOP), 10).0, 10, "another /56");
}

#[tokio::test(start_paused = true)]
async fn what_is_exempt_is_never_limited() {
    let mut limiter = limiter();
    assert_eq!(count(|| limiter.admit(v4([10, 9, 8, 7]), SHOP), 1000), (1000, 0, 0));
    assert_eq!(count(|| limiter.weigh(v4([10, 9, 8, 7]), 40, 1232), 1000), (1000, 0, 0));
    let off = RateLimit { per_prefix: 0, ..RateLimit::default() };
    assert!(Limiter::new(&off, 1).is_none());
}

#[tokio::test(start_paused = true)]
async fn the_surplus_is_bounded_and_replies_without_any_are_not() {
    let mut limiter = limiter();
    let client = v4([192, 0, 2, 1]);
    assert_eq!(count(|| limiter.weigh(client, 40, 60), 100_000), (100_000, 0, 0));
    let (answered, cut, dropped) = count(|| limiter.weigh(client, 40, 1060), 1000);
    assert_eq!((answered, cut, dropped), (32, 968, 0));
    assert_eq!(limiter.weigh(client, 40, 60), Ok(()), "small ones go on");
}

#[tokio::test(start_paused = true)]
async fn every_second_reply_beyond_the_rate_is_cut_whatever_is_refused_for_its_bytes() {
    let mut limiter = limiter();
    let client = v4([192, 0, 2, 1]);
    let mut number = 0;
    let mut another = || {
        number += 1;
        let admitted = limiter.admit(client, Subject::Name(number));
        assert_eq!(limiter.weigh(client, 40, 40_000), Err(Limited::Cut));
        admitted
    };
    let most = (RATE * NAMES) as usize;
    assert_eq!(count(&mut another, most + 20), (most, 10, 10));
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_prefixes_frees_nobody_who_goes_on_asking() {
    let mut limiter = limiter();
    let client = v4([192, 0, 2, 1]);
    count(|| limiter.admit(client, SHOP), 10);
    let mut answered = 0;
    for round in 0..20_000u32 {
        advance(Duration::from_micros(100)).await;
        limiter.tick();
        let other = limiter.admit(Ipv4Addr::from(0x0b00_0000 + round * 256).into(), SHOP);
        assert_eq!(other, Ok(()), "each prefix is new");
        answered += usize::from(limiter.admit(client, SHOP) == Ok(()));
    }
    assert!((18..=22).contains(&answered), "{answered} in two seconds at {RATE} each");
}

#[test]
fn threads_share_the_rate() {
    let config = RateLimit { per_prefix: 200, exempt: vec![] };
    let of = |threads| Limiter::new(&config, threads).expect("limits").names.rates[0];
    assert_eq!([of(0), of(1), of(3), of(64)], [200, 200, 67, 4]);
}
