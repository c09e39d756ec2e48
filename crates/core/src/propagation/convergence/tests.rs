//! Rounds of sightings in, figures out.

use alloc::vec;

use super::*;
use crate::name::DnsName;
use crate::propagation::{Seen, Target, judge};
use crate::time::Timestamp;

const CHANGED: Timestamp = Timestamp(1_000_000);
const NEW: &str = "192.0.2.2";
const OLD: &str = "192.0.2.1";

fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

fn expected() -> Expected {
    Expected {
        allowed: Vec::from([NEW.to_string()]),
        refused: false,
        longest: seconds(30),
        over_at: CHANGED + seconds(30),
    }
}

fn sighting(number: u8, server: bool, told: &str) -> Sighting {
    let seen = Seen {
        authoritative: server,
        data: Vec::from([told.to_string()]),
        ttl: Some(5),
        ..Seen::default()
    };
    Sighting {
        asker: "eu-1".into(),
        target: Target {
            address: SocketAddr::from(([203, 0, 113, number], 53)),
            server: server.then(|| DnsName::new("ns1.example.test").expect("a name")),
        },
        seen: if told.is_empty() { Err("no answer in time".into()) } else { Ok(seen) },
        round_trip: Duration::ZERO,
    }
}

/// Feeds rounds of `(seconds after the change, sightings)`.
fn curve(rounds: &[(u64, Vec<Sighting>)]) -> Curve {
    let mut curve = Curve::default();
    for (after, sightings) in rounds {
        let findings = judge(&expected(), sightings, CHANGED + seconds(*after));
        curve.take(&expected(), (sightings, &findings, &[]), seconds(*after));
    }
    curve
}

fn end(curve: &Curve, followed: u64) -> Convergence {
    let ended = curve.end(Epoch(7), Ending::NotWithin, seconds(followed));
    assert!(ended.is_possible(), "{ended:?}");
    ended
}

/// Name servers `numbers` that tell `told`.
fn servers(numbers: core::ops::Range<u8>, told: &str) -> Vec<Sighting> {
    numbers.map(|number| sighting(number, true, told)).collect()
}

#[test]
fn figures_are_the_times_at_which_so_many_agreed_for_good() {
    let at = |number: u64| Some(seconds(number));
    for (what, changed_at, [t50, t95, t100]) in [
        ("all at once", vec![1; 20], [at(1), at(1), at(1)]),
        ("one late of twenty", [vec![1; 19], vec![9]].concat(), [at(1), at(1), at(9)]),
        ("two late of twenty", [vec![1; 18], vec![9, 9]].concat(), [at(1), at(9), at(9)]),
        ("one of two", vec![1, 9], [at(1), at(9), at(9)]),
        ("one alone", vec![4], [at(4), at(4), at(4)]),
        ("half never", vec![1, 99], [at(1), None, None]),
        ("none", vec![99], [None, None, None]),
    ] {
        let told = |after: u64, changes: u64| if after >= changes { NEW } else { OLD };
        let round = |after: u64| {
            let numbers = 0_u8..;
            let each = numbers.zip(&changed_at);
            (after, each.map(|(n, changes)| sighting(n, true, told(after, *changes))).collect())
        };
        let ended = end(&curve(&(0..12).map(round).collect::<Vec<_>>()), 12);
        let figures = &ended.servers;
        assert_eq!([figures.t50, figures.t95, figures.t100], [t50, t95, t100], "{what}");
        let agreed = changed_at.iter().filter(|at| **at < 12).count();
        assert_eq!((figures.asked as usize, figures.agreed as usize), (changed_at.len(), agreed));
    }
}

#[test]
fn who_falls_back_to_the_old_answer_agrees_only_from_its_last_change_on() {
    let rounds = [(1, servers(0..1, NEW)), (2, servers(0..1, OLD)), (3, servers(0..1, NEW))];
    let curve = curve(&rounds);
    assert!(curve.agrees());
    assert_eq!(end(&curve, 3).servers.t50, Some(seconds(3)));
}

#[test]
fn who_is_not_heard_of_any_more_does_not_agree() {
    let rounds = [(1, servers(0..2, NEW)), (2, servers(0..1, NEW))];
    let curve = curve(&rounds);
    assert!(!curve.agrees());
    assert_eq!(end(&curve, 2).stragglers, ["203.0.113.1:53"]);
}

#[test]
fn nobody_asked_is_no_agreement() {
    assert!(!Curve::default().agrees());
    assert_eq!(end(&Curve::default(), 0).servers, Figures::default());
}

#[test]
fn resolvers_are_counted_apart_and_those_that_keep_answers_are_named() {
    let round = |told| [servers(0..1, NEW), vec![sighting(9, false, told)]].concat();
    let ended = end(&curve(&[(1, round(NEW)), (31, round(OLD)), (40, round(OLD))]), 60);
    assert_eq!((ended.servers.t100, ended.resolvers.t100), (Some(seconds(1)), None));
    assert_eq!(ended.faults, [(Fault::KeptTooLong, "203.0.113.9:53".to_string())]);
    assert_eq!(ended.stragglers, ["203.0.113.9:53"]);

    let ended = end(&curve(&[(40, round(OLD)), (41, round(NEW))]), 60);
    assert_eq!(ended.faults.len(), 1, "it kept to it in the end, and is named all the same");
    assert_eq!((ended.resolvers.t100, ended.stragglers.len()), (Some(seconds(41)), 0));
}

#[test]
fn other_faults_count_where_they_are_still_there_at_the_end() {
    let well = end(&curve(&[(1, servers(0..1, "")), (2, servers(0..1, NEW))]), 2);
    assert!(well.faults.is_empty(), "{well:?}");
    let silent = end(&curve(&[(1, servers(0..1, ""))]), 2);
    assert_eq!(silent.faults, [(Fault::Silent, "203.0.113.0:53".to_string())]);
}

#[test]
fn serial_skew_is_told_with_its_last_moment() {
    let round = |serials: [u32; 2]| {
        let mut sightings = servers(0..2, NEW);
        for (sighting, serial) in sightings.iter_mut().zip(serials) {
            sighting.seen = sighting.seen.clone().map(|seen| Seen { serial: Some(serial), ..seen });
        }
        sightings
    };
    let ended = end(&curve(&[(1, round([6, 7])), (2, round([6, 7])), (3, round([7, 7]))]), 3);
    assert_eq!((ended.serial_skew, ended.faults.len()), (Some(seconds(2)), 0));
    let ended = end(&curve(&[(1, round([6, 7]))]), 3);
    assert_eq!(ended.faults, [(Fault::SerialSkew, "203.0.113.0:53".to_string())]);
}

#[test]
fn silent_agents_are_stragglers() {
    let mut curve = Curve::default();
    let sightings = servers(0..1, NEW);
    curve.take(&expected(), (&sightings, &[], &["us-1".to_string()]), seconds(1));
    assert!(!curve.agrees());
    assert_eq!(end(&curve, 1).stragglers, ["agent us-1"]);
}

#[test]
fn a_curve_lasts_twice_the_old_ttl_within_bounds() {
    for (ttl, bound) in [(0, 10), (1, 10), (30, 60), (300, 600), (86_400, 600)] {
        assert_eq!(bound_of(seconds(ttl)), seconds(bound), "{ttl} s");
    }
    assert_eq!(bound_of(Duration::MAX), LONGEST);
}

#[test]
fn what_is_fed_in_does_not_make_it_larger_than_its_bounds() {
    let long = "é".repeat(MAX_NAME);
    let many = (0..MAX_POINTS + 100).map(|number| Sighting {
        asker: format!("{number}{long}"),
        ..sighting(u8::try_from(number % 200).expect("less than 200"), number % 2 == 0, OLD)
    });
    let many: Vec<Sighting> = many.collect();
    let findings = judge(&expected(), &many, CHANGED + seconds(60));
    let silent: Vec<String> = (0..100).map(|number| format!("{number}{long}")).collect();
    let mut curve = Curve::default();
    curve.take(&expected(), (&many, &findings, &silent), seconds(60));
    let ended = end(&curve, 60);
    assert_eq!((ended.servers.asked + ended.resolvers.asked) as usize, MAX_POINTS);
    assert_eq!((ended.stragglers.len(), ended.faults.len()), (MAX_NAMED, MAX_NAMED));
}

#[test]
fn impossible_figures_are_told_from_possible_ones() {
    let good = end(&curve(&[(1, servers(0..2, NEW))]), 5);
    let with = |change: &dyn Fn(&mut Convergence)| {
        let mut changed = good.clone();
        change(&mut changed);
        changed.is_possible()
    };
    assert!(with(&|_| ()));
    assert!(!with(&|c| c.servers.agreed = 3), "more agree than were asked");
    assert!(!with(&|c| c.servers.t100 = None), "all agree at no time");
    assert!(!with(&|c| c.servers.t50 = Some(seconds(2))), "half later than all");
    assert!(!with(&|c| c.followed = Duration::ZERO), "after it was given up");
    assert!(!with(&|c| c.stragglers = vec![String::new(); MAX_NAMED + 1]));
    assert!(!with(&|c| c.stragglers = vec!["x".repeat(MAX_NAME + 1)]));
    assert!(!with(&|c| c.faults = vec![(Fault::Lame, "x".repeat(MAX_NAME + 1))]));
}
