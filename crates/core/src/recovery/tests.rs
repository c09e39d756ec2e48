//! The worked examples of the availability arithmetic, and where its terms come from.

use alloc::vec::Vec;

use super::*;
use crate::spec::{FailoverRules, HeartbeatCheck, Policy, Quorum, ServiceDns, TcpCheck};

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn check(name: &str, (interval, timeout): (u64, u64), fall: u16, confirm: u64) -> Check {
    Check {
        name: name.parse().expect("a label"),
        kind: CheckKind::Tcp(TcpCheck { port: None, send: Vec::new(), expect: Vec::new() }),
        interval: seconds(interval),
        timeout: seconds(timeout),
        rise: 2,
        fall,
        confirm: seconds(confirm),
    }
}

fn service(checks: Vec<Check>) -> Service {
    let name = crate::DnsName::new("shop.example.test").expect("a name");
    Service {
        id: "shop".parse().expect("an id"),
        dns: ServiceDns::new(name, seconds(30)),
        policy: Policy::Failover,
        pools: Vec::new(),
        checks,
        quorum: Quorum::default(),
        failover: FailoverRules {
            hold_down: Duration::ZERO,
            cooldown: Duration::ZERO,
            max_moves: 6,
            window: seconds(60),
            ..FailoverRules::default()
        },
    }
}

/// A commit of 2 s at the worst and a publication of 1 s, as in the examples.
const GROUP: GroupTimes = GroupTimes {
    election: Duration::from_secs(1),
    round_trip: Duration::from_millis(10),
    publish: Duration::from_secs(1),
};

#[test]
fn the_worked_examples_come_out() {
    for (what, confirm, detection, total) in
        [("without confirm", 10, 34, 67), ("with confirm", 1, 20, 53)]
    {
        let declared = service(Vec::from([check("http", (10, 4), 3, confirm)]));
        let recovery = predict(&declared, seconds(30), GROUP);
        let worst = recovery.terms.map(|term| term.worst);
        assert_eq!(worst, [seconds(detection), seconds(2), seconds(1), seconds(30)], "{what}");
        assert_eq!(recovery.total().worst, seconds(total), "{what}");
    }
}

#[test]
fn the_tiers_come_out() {
    for (interval, timeout, fall, confirm, ttl, worst) in [
        (5, 2, 3, 1, 20, 34),
        (10, 4, 3, 1, 30, 53),
        (30, 5, 3, 30, 60, 158),
        (60, 10, 3, 60, 300, 493),
    ] {
        let declared = service(Vec::from([check("up", (interval, timeout), fall, confirm)]));
        let recovery = predict(&declared, seconds(ttl), GROUP);
        assert_eq!(recovery.total().worst, seconds(worst), "ttl {ttl}");
    }
}

#[test]
fn the_median_is_half_an_interval_and_half_a_ttl_less() {
    let declared = service(Vec::from([check("http", (10, 4), 3, 10)]));
    let recovery = predict(&declared, seconds(30), GROUP);
    let median = recovery.terms.map(|term| term.median);
    assert_eq!(median, [seconds(29), Duration::from_millis(10), seconds(1), seconds(15)]);
}

#[test]
fn the_slowest_check_counts_and_the_longest_part_is_named() {
    let quick = check("quick", (1, 0), 1, 1);
    let slow = check("slow", (60, 10), 3, 60);
    let recovery = predict(&service(Vec::from([quick.clone(), slow])), seconds(30), GROUP);
    assert_eq!(recovery.check.as_ref().map(CheckName::as_str), Some("slow"));
    assert_eq!(recovery.dominant(), Part::Detection);
    let recovery = predict(&service(Vec::from([quick])), seconds(30), GROUP);
    assert_eq!(recovery.dominant(), Part::Ttl);
}

#[test]
fn a_heartbeat_is_missed_after_its_ttl() {
    let kind = CheckKind::Heartbeat(HeartbeatCheck { ttl: seconds(15) });
    let beat = Check { kind, ..check("beat", (10, 4), 3, 1) };
    let recovery = predict(&service(Vec::from([beat])), seconds(30), GROUP);
    assert_eq!(recovery.terms[0].worst, seconds(15));
}
