//! Recorded observations in, findings out.

use super::*;

const NOW: Timestamp = Timestamp(1_000_000);

/// A failover to `.2` at 900 s, told for 30 s at the most.
fn expected() -> Expected {
    Expected {
        allowed: Vec::from(["192.0.2.2".to_string()]),
        refused: false,
        longest: Duration::from_secs(30),
        over_at: Timestamp(930_000),
    }
}

fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([203, 0, 113, last], 53))
}

fn name(text: &str) -> DnsName {
    DnsName::new(text).expect("a name")
}

fn seen(data: &str, ttl: u32) -> Seen {
    Seen {
        authoritative: true,
        data: data.split_whitespace().map(ToString::to_string).collect(),
        ttl: Some(ttl),
        ..Seen::default()
    }
}

fn sighting(server: Option<&str>, seen: Result<Seen, String>) -> Sighting {
    let target = Target { address: address(1), server: server.map(name) };
    Sighting { asker: "eu-1".into(), target, seen, round_trip: Duration::ZERO }
}

fn faults(expected: &Expected, sightings: &[Sighting], now: Timestamp) -> Vec<Fault> {
    judge(expected, sightings, now).into_iter().map(|finding| finding.fault).collect()
}

#[test]
fn name_servers_say_what_is_decided_with_authority() {
    let unauthorised = Seen { authoritative: false, ..seen("192.0.2.2", 5) };
    let refusing = Seen { code: 5, ..Seen::default() };
    for (what, told, fault) in [
        ("the decision", Ok(seen("192.0.2.2", 5)), None),
        ("the answer before", Ok(seen("192.0.2.1", 5)), Some(Fault::Stale)),
        ("nothing", Ok(seen("", 5)), Some(Fault::Stale)),
        ("without authority", Ok(unauthorised), Some(Fault::Lame)),
        ("REFUSED", Ok(refusing), Some(Fault::Lame)),
        ("no answer", Err("timed out".to_string()), Some(Fault::Silent)),
    ] {
        let found = faults(&expected(), &[sighting(Some("ns1.example.test"), told)], NOW);
        assert_eq!(found, Vec::from_iter(fault), "{what}");
    }
}

#[test]
fn resolvers_may_keep_an_answer_for_its_ttl() {
    let over = expected().over_at;
    for (what, told, now, fault) in [
        ("the decision", seen("192.0.2.2", 30), NOW, None),
        ("an old one in time", seen("192.0.2.1", 3), Timestamp(over.0 - 1), None),
        ("an old one within the slack", seen("192.0.2.1", 0), over + SLACK.div_f32(2.0), None),
        ("an old one too long", seen("192.0.2.1", 3), NOW, Some(Fault::KeptTooLong)),
        ("a TTL that was never given", seen("192.0.2.2", 31), NOW, Some(Fault::LongTtl)),
        ("a long TTL of before", seen("192.0.2.1", 90), Timestamp(over.0 - 90_000), None),
        ("a long TTL and old", seen("192.0.2.1", 3600), NOW, Some(Fault::LongTtl)),
    ] {
        let found = faults(&expected(), &[sighting(None, Ok(told))], now);
        assert_eq!(found, Vec::from_iter(fault), "{what}");
    }
}

#[test]
fn a_resolver_that_does_not_tell_an_answer_has_not_kept_an_old_one() {
    let answered = |code, extended_error| Seen { code, extended_error, ..Seen::default() };
    for (what, told, fault) in [
        ("SERVFAIL", answered(2, None), Fault::RefusedByResolver),
        ("SERVFAIL for a bogus zone", answered(2, Some(6)), Fault::RefusedByResolver),
        ("REFUSED", answered(5, None), Fault::RefusedByResolver),
        ("NXDOMAIN of before", answered(3, None), Fault::KeptTooLong),
        ("NODATA of before", answered(0, None), Fault::KeptTooLong),
    ] {
        assert_eq!(faults(&expected(), &[sighting(None, Ok(told))], NOW), [fault], "{what}");
    }
    let bogus = judge(&expected(), &[sighting(None, Ok(answered(2, Some(6))))], NOW);
    assert!(bogus[0].text.contains("SERVFAIL, extended error 6"), "{bogus:?}");
}

#[test]
fn a_closed_service_is_servfail_and_a_missing_type_is_nothing() {
    let closed = Expected { refused: true, ..expected() };
    let servfail = || Seen { code: 2, ..Seen::default() };
    assert_eq!(faults(&closed, &[sighting(Some("ns1.example.test"), Ok(servfail()))], NOW), []);
    assert_eq!(
        faults(&closed, &[sighting(None, Ok(seen("192.0.2.2", 1)))], NOW),
        [Fault::KeptTooLong]
    );
    let none = Expected { allowed: Vec::new(), ..expected() };
    assert_eq!(faults(&none, &[sighting(Some("ns1.example.test"), Ok(seen("", 60)))], NOW), []);
}

#[test]
fn serials_are_held_against_each_other() {
    let server = |last, serial| {
        let told = Seen { serial: Some(serial), ..seen("192.0.2.2", 5) };
        let mut one = sighting(Some("ns1.example.test"), Ok(told));
        one.target.address = address(last);
        one
    };
    assert_eq!(faults(&expected(), &[server(1, 7), server(2, 7)], NOW), []);
    let found = judge(&expected(), &[server(1, 7), server(2, 6)], NOW);
    assert_eq!((found.len(), found[0].fault), (1, Fault::SerialSkew));
    assert_eq!(found[0].subject, "203.0.113.2:53");
    assert_eq!(found[0].agents, ["eu-1"]);
}
