//! What clients get of a set, over all ways of choosing: never nothing, the same for equals, and as widely as the scope says.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};
use core::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::decision::Served;
use crate::id::{EndpointName, PoolName, RegionName};
use crate::spec::{
    Address, ClientRegion, Code, GeoRule, Match, Pool, Prefix, RecordData, Spread, Steered,
};
use crate::view::{Pick, RecordSet};

const POOLS: [&str; 3] = ["eu", "us", "ap"];

fn pool_name(place: usize) -> PoolName {
    PoolName::new(POOLS[place % 3]).expect("a label")
}

fn pools() -> Vec<Pool> {
    let pool = |place: usize| Pool {
        name: pool_name(place),
        region: None,
        priority: place as u16,
        weight: 1,
        min_up: 1,
        endpoints: Vec::new(),
    };
    (0..3).map(pool).collect()
}

/// Endpoint `n` of pool `n % 3`, as a record 10.0.0.n.
fn served(numbers: &BTreeSet<u8>) -> Vec<Served> {
    let one = |number: &u8| Served {
        pool: pool_name(usize::from(*number)),
        endpoint: EndpointName::new(&format!("e{number}")).expect("a label"),
        address: Address::Ip(Ipv4Addr::new(10, 0, 0, *number).into()),
        port: 80,
        weight: u32::from(*number % 4),
    };
    numbers.iter().map(one).collect()
}

fn set(spec: &Steered, numbers: &BTreeSet<u8>, latencies: &Latencies) -> RecordSet {
    let served = served(numbers);
    let all: Vec<&Served> = served.iter().collect();
    let records = numbers.iter().map(|n| (RecordData::A(Ipv4Addr::new(10, 0, 0, *n)), 1)).collect();
    let pick = Pick::Steered(Arc::new(Steering::new(spec, &pools(), latencies, &all)));
    RecordSet { ttl: Duration::from_secs(30), pick, records }
}

fn chosen(set: &RecordSet, client: &Client) -> (Vec<u8>, u8) {
    let mut taken = Vec::new();
    let scope = choose(set, client, |place| match set.records[place].0 {
        RecordData::A(address) => taken.push(address.octets()[3]),
        _ => unreachable!("only addresses are made here"),
    });
    (taken, scope)
}

fn client(text: &str) -> Client {
    Client::at(text.parse().expect("an address"), 0)
}

fn network(text: &str) -> Match {
    Match::Network(text.parse().expect("a prefix"))
}

fn rule(matches: &[Match], pools: &[usize]) -> GeoRule {
    GeoRule { matches: matches.to_vec(), pools: pools.iter().map(|p| pool_name(*p)).collect() }
}

fn geo(rules: &[GeoRule]) -> Steered {
    Steered { geo: rules.to_vec(), nearest: None, then: Spread::All }
}

#[test]
fn the_rule_names_the_pool_and_what_is_down_falls_through() {
    let spec = geo(&[
        rule(&[network("192.0.2.0/24")], &[1, 2]),
        rule(&[network("192.0.2.128/25")], &[2]),
        rule(&[], &[2, 0]),
    ]);
    let at = |numbers: &[u8], text: &str| {
        let numbers = numbers.iter().copied().collect();
        chosen(&set(&spec, &numbers, &Latencies::default()), &client(text))
    };
    // Pool eu has 0 and 3, us 1 and 4, ap 2 and 5.
    let all = [0, 1, 2, 3, 4, 5];
    assert_eq!(at(&all, "192.0.2.1"), ([1, 4].into(), 25));
    assert_eq!(at(&all, "192.0.2.200"), ([2, 5].into(), 25));
    assert_eq!(at(&all, "198.51.100.1").0, [2, 5]);
    assert_eq!(at(&[0, 2, 5], "192.0.2.1").0, [2, 5], "us has nothing, ap is next");
    assert_eq!(at(&[0, 3], "192.0.2.1").0, [0, 3], "no pool of the rule has anything");
    assert_eq!(at(&[0, 1], "198.51.100.1").0, [0], "neither has ap");
}

#[test]
fn places_decide_where_no_network_does_and_in_order() {
    let code = |text| Code::new(text).expect("a code");
    let spec = geo(&[
        rule(&[Match::Subdivision(code("US"), code("CA"))], &[2]),
        rule(&[Match::Country(code("US")), Match::Asn(64_500)], &[1]),
        rule(&[Match::Continent(code("EU"))], &[0]),
        rule(&[network("192.0.2.0/24")], &[0]),
    ]);
    let set = set(&spec, &(0..3).collect(), &Latencies::default());
    assert!(asks_for_place(&set));
    let us = Place { country: Some(code("US")), length: 20, ..Place::default() };
    let california = Place { subdivision: Some(code("CA")), ..us };
    let network =
        Place { asn: Some(64_500), continent: Some(code("EU")), length: 28, ..Place::default() };
    let of = |text, place| chosen(&set, &Client { place: Some(place), ..client(text) });
    assert_eq!(of("198.51.100.1", us), ([1].into(), 20));
    assert_eq!(of("198.51.100.1", california), ([2].into(), 20));
    assert_eq!(of("198.51.100.1", network), ([1].into(), 28));
    assert_eq!(of("192.0.2.7", us), ([0].into(), 24), "a network comes before places");
    assert_eq!(of("198.51.100.1", Place::default()).0, [0], "nobody's: all pools by priority");
}

#[test]
fn the_nearest_is_what_the_clients_region_measures() {
    let region = |text| RegionName::new(text).expect("a label");
    let (eu, us) = (region("eu-1"), region("us-1"));
    let endpoint = |number| EndpointName::new(&format!("e{number}")).expect("a label");
    let mut latencies = Latencies::default();
    latencies.record(&endpoint(0), [(&eu, 2), (&us, 15)].into());
    latencies.record(&endpoint(1), [(&eu, 15), (&us, 3)].into());
    latencies.record(&endpoint(2), [(&eu, 9), (&us, 3)].into());
    let regions = [
        ClientRegion {
            region: eu,
            matches: [network("192.0.2.0/24")].into(),
            at: Some((5000, 800)),
        },
        ClientRegion { region: us, matches: Vec::new(), at: Some((4000, -7500)) },
        ClientRegion {
            region: region("ap-1"),
            matches: [network("203.0.113.0/24")].into(),
            at: None,
        },
    ];
    let spec = Steered { geo: Vec::new(), nearest: Some(regions.into()), then: Spread::All };
    let set = set(&spec, &(0..3).collect(), &latencies);
    assert_eq!(chosen(&set, &client("192.0.2.9")), ([0].into(), 24));
    let boston = Place { coordinates: Some((4236, -7106)), length: 22, ..Place::default() };
    let at = |place| Client { place: Some(place), ..client("198.51.100.1") };
    assert_eq!(chosen(&set, &at(boston)), ([1, 2].into(), 22));
    assert_eq!(chosen(&set, &at(Place::default())).0, [0], "the least median of all regions");
    assert_eq!(chosen(&set, &client("203.0.113.1")).0, [0, 1, 2], "ap-1 has measured nothing");
}

#[test]
fn a_client_that_tells_nothing_gets_what_is_for_everybody() {
    let spec = geo(&[rule(&[network("0.0.0.0/1")], &[1])]);
    let set = set(&spec, &(0..6).collect(), &Latencies::default());
    assert_eq!(chosen(&set, &Client::anybody(3)), ([0, 3].into(), 0));
}

/// Networks of eight bits at the most, so that they meet.
fn few() -> impl Strategy<Value = Match> {
    (any::<u8>(), 0u8..=8).prop_map(|(bits, length)| {
        let kept = if length == 0 { 0 } else { bits >> (8 - length) << (8 - length) };
        Match::Network(Prefix { address: Ipv4Addr::new(kept, 0, 0, 0).into(), length })
    })
}

fn any_steered() -> impl Strategy<Value = Steered> {
    let rule = (prop::collection::vec(few(), 0..4), prop::collection::vec(0usize..3, 1..3))
        .prop_map(|(matches, pools)| rule(&matches, &pools));
    let region = (0u8..3, prop::collection::vec(few(), 0..3)).prop_map(|(number, matches)| {
        let region = RegionName::new(&format!("r{number}")).expect("a label");
        ClientRegion { region, matches, at: None }
    });
    let then = prop_oneof![
        Just(Spread::All),
        Just(Spread::Sticky),
        Just(Spread::Weighted),
        (0u8..4).prop_map(|max| Spread::Multivalue { max }),
    ];
    let nearest = prop::option::of(prop::collection::vec(region, 0..4));
    (prop::collection::vec(rule, 0..5), nearest, then).prop_map(|(geo, nearest, then)| Steered {
        geo,
        nearest,
        then,
    })
}

fn measured() -> impl Strategy<Value = Latencies> {
    prop::collection::vec((0u8..30, 0u8..3, 0u8..20), 0..40).prop_map(|bands| {
        let mut latencies = Latencies::default();
        for (number, region, band) in bands {
            let region = RegionName::new(&format!("r{region}")).expect("a label");
            let endpoint = EndpointName::new(&format!("e{number}")).expect("a label");
            latencies.record(&endpoint, [(&region, band)].into());
        }
        latencies
    })
}

fn addressed(bits: u32, length: u8, turn: u32) -> Client {
    let address = IpAddr::V4(Ipv4Addr::from_bits(bits));
    Client { turn, length, ..Client::at(address, turn) }
}

proptest! {
    #[test]
    fn nobody_gets_nothing_and_equals_get_the_same(
        spec in any_steered(), latencies in measured(),
        numbers in prop::collection::btree_set(0u8..30, 1..20),
        clients in prop::collection::vec((any::<u32>(), 0u8..=32, any::<u32>()), 1..20),
    ) {
        let set = set(&spec, &numbers, &latencies);
        for (bits, length, turn) in clients {
            let client = addressed(bits, length, turn);
            let (records, scope) = chosen(&set, &client);
            prop_assert!(!records.is_empty());
            prop_assert!(scope <= length);
            let distinct: BTreeSet<u8> = records.iter().copied().collect();
            prop_assert_eq!(distinct.len(), records.len());
            let mut places = Vec::new();
            choose(&set, &client, |place| places.push(place));
            places.sort_unstable();
            let foreseen = choices(&set).into_iter().any(|mut choice| {
                choice.sort_unstable();
                choice == places
            });
            prop_assert!(foreseen, "{:?} was not", places);
            prop_assert_eq!(chosen(&set, &client), (records, scope));
        }
    }

    #[test]
    fn whoever_is_within_the_scope_gets_the_same(
        spec in any_steered(), latencies in measured(),
        numbers in prop::collection::btree_set(0u8..30, 1..20),
        pairs in prop::collection::vec((any::<u32>(), any::<u32>(), any::<u32>()), 1..40),
    ) {
        let set = set(&spec, &numbers, &latencies);
        for (here, other, turn) in pairs {
            let given = chosen(&set, &addressed(here, 32, turn));
            let beyond = u32::MAX.checked_shr(given.1.into()).unwrap_or(0);
            let there = here & !beyond | other & beyond;
            prop_assert_eq!(chosen(&set, &addressed(there, 32, turn)), given);
        }
    }
}
