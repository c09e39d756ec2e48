//! The rule as a table of moments: facts in, TTL out.

use alloc::vec::Vec;

use super::*;

const DECLARED: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_secs(5);

fn calm() -> Facts {
    Facts { declared: DECLARED, short: SHORT, ordered: None, suspicion: None, change: None }
}

fn doubted() -> Facts {
    Facts { suspicion: Some(TtlCause::Doubted), ..calm() }
}

fn at(seconds: u64) -> Timestamp {
    Timestamp((1_000_000 + seconds) * 1000)
}

/// What was served, and why, after each of these moments.
fn story(moments: &[(u64, Facts)]) -> Vec<(u64, TtlCause)> {
    let mut ttl = Ttl::declared(DECLARED);
    let mut told = Vec::new();
    for (seconds, facts) in moments {
        ttl = ttl.settled(facts, at(*seconds));
        told.push((ttl.served.as_secs(), ttl.cause));
    }
    told
}

#[test]
fn a_doubt_shrinks_it_and_calm_lets_it_grow_back() {
    use TtlCause::{Declared, Doubted, Settling};
    let told = story(&[
        (0, calm()),
        (1, doubted()),
        (2, doubted()),
        (3, calm()),
        (62, calm()),
        (63, calm()),
    ]);
    let expected =
        [(30, Declared), (5, Doubted), (5, Doubted), (5, Settling), (5, Settling), (30, Declared)];
    assert_eq!(told, expected);
}

#[test]
fn it_says_when_it_wants_to_be_looked_at() {
    let shrunk = Ttl::declared(DECLARED).settled(&doubted(), at(0));
    assert_eq!(shrunk.next, None, "a doubt ends by an entry");
    let settling = shrunk.settled(&calm(), at(10));
    assert_eq!(settling.next, Some(at(70)));
    let grown = settling.settled(&calm(), at(70));
    assert_eq!((grown.served, grown.next), (DECLARED, None));
}

#[test]
fn what_flaps_is_calm_for_ever_longer() {
    let mut ttl = Ttl::declared(DECLARED);
    let mut now = 0;
    let mut periods = Vec::new();
    for _ in 0..9 {
        ttl = ttl.settled(&doubted(), at(now));
        ttl = ttl.settled(&calm(), at(now + 1));
        let next = ttl.next.expect("it is settling");
        periods.push(next.since(at(now + 1)).as_secs());
        now = next.since(at(0)).as_secs();
        ttl = ttl.settled(&calm(), at(now));
        assert_eq!(ttl.served, DECLARED);
        now += 1;
    }
    assert_eq!(periods, [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]);
    ttl = ttl.settled(&doubted(), at(now + 3600));
    assert_eq!(ttl.relapses, 0, "after an hour of calm it starts from the beginning");
}

#[test]
fn a_change_known_beforehand_shrinks_it_one_declared_ttl_earlier() {
    let held = || Facts { change: Some((at(300), TtlCause::HoldEnds)), ..calm() };
    let early = Ttl::declared(DECLARED).settled(&held(), at(0));
    assert_eq!((early.served, early.next), (DECLARED, Some(at(270))));
    let late = early.settled(&held(), at(270));
    assert_eq!((late.served, late.cause), (SHORT, TtlCause::HoldEnds));
    assert_eq!(late.forgotten_at, at(300), "the last long answer ends with the hold");
}

#[test]
fn an_order_lowers_it_and_its_end_brings_it_back_at_once() {
    let ordered = Facts { ordered: Some(Duration::from_secs(10)), ..calm() };
    let lowered = Ttl::declared(DECLARED).settled(&ordered, at(0));
    assert_eq!((lowered.served.as_secs(), lowered.cause), (10, TtlCause::Ordered));
    assert_eq!(lowered.forgotten_at, at(30));
    assert_eq!(lowered.longest_at(at(5)).as_secs(), 25);
    assert_eq!(lowered.longest_at(at(25)).as_secs(), 10);
    let restored = lowered.settled(&calm(), at(60));
    assert_eq!((restored.served, restored.cause), (DECLARED, TtlCause::Declared));
}

#[test]
fn an_order_below_the_short_one_holds_while_it_settles() {
    let ordered = Facts { ordered: Some(Duration::from_secs(3)), ..doubted() };
    let ttl = Ttl::declared(DECLARED).settled(&ordered, at(0));
    assert_eq!(ttl.served.as_secs(), 3);
}

#[test]
fn a_declared_ttl_never_shrinks_below_itself_nor_the_groups_floor() {
    let second = Duration::from_secs(1);
    let dns = ServiceDns::new(crate::DnsName::new("shop.example.test").expect("valid"), second);
    let facts = Facts { suspicion: Some(TtlCause::Doubted), ..Facts::of(&dns, second) };
    let ttl = Ttl::declared(second).settled(&facts, at(0));
    assert_eq!((ttl.served, ttl.cause), (second, TtlCause::Declared));
    let raised = Facts { suspicion: Some(TtlCause::Doubted), ..Facts::of(&dns, FLOOR) };
    let ttl = ttl.settled(&raised, at(1));
    assert_eq!((ttl.served, ttl.cause), (FLOOR, TtlCause::Declared), "the group's floor");
}

#[test]
fn a_new_declaration_counts_at_once() {
    let longer = Facts { declared: Duration::from_secs(300), ..calm() };
    let ttl = Ttl::declared(DECLARED).settled(&longer, at(0));
    assert_eq!((ttl.served.as_secs(), ttl.forgotten_at), (300, Timestamp(0)));
    let shorter = ttl.settled(&calm(), at(10));
    assert_eq!((shorter.served, shorter.forgotten_at), (DECLARED, at(310)));
}

#[test]
fn tiers_have_their_ttls() {
    let ttls: Vec<u64> = (0..=4).filter_map(Tier::new).map(|tier| tier.ttl().as_secs()).collect();
    assert_eq!(ttls, [20, 30, 60, 300, 300]);
    assert_eq!(Tier::new(5), None);
}
