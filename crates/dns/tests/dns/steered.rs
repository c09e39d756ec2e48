//! Steered answers: what clients of which network get, with which scope, on both paths.

use std::net::IpAddr;
use std::sync::Arc;

use hickory_proto::rr::{RData, RecordType};
use holdfast_core::decision::Served;
use holdfast_core::spec::{Address, Code, GeoRule, Match, Pool, RecordData, Spread, Steered};
use holdfast_core::steer::{Latencies, Ring, Shares, Steering};
use holdfast_core::view::{Pick, ZoneAnswers};
use holdfast_core::{EndpointName, PoolName};
use holdfast_dns::{Responder, Settings};

use crate::fixture::{
    a, decode, exchange, name, options_of, query, responder_with, sets, udp, view, with_options,
    zone,
};

/// A service of as many endpoints as there are weights, in turns of two pools.
fn served(weights: &[u32]) -> Vec<Served> {
    let one = |(place, weight): (usize, &u32)| Served {
        pool: PoolName::new(["eu", "us"][place % 2]).expect("a label"),
        endpoint: EndpointName::new(&format!("e{place}")).expect("a label"),
        address: Address::Ip(IpAddr::from([192, 0, 2, 1])),
        port: 80,
        weight: *weight,
    };
    weights.iter().enumerate().map(one).collect()
}

fn pool(name: &str, priority: u16) -> Pool {
    let name = PoolName::new(name).expect("a label");
    Pool { name, region: None, priority, weight: 1, min_up: 1, endpoints: vec![] }
}

/// 192.0.2.0/25 and 2001:db8::/40 go to `us`, Germany to `us`, everybody else to `eu`.
pub(crate) fn steering(weights: &[u32], then: Spread) -> Pick {
    let us = || vec![PoolName::new("us").expect("a label")];
    let network = |text: &str| Match::Network(text.parse().expect("a prefix"));
    let country = Match::Country(Code::new("DE").expect("a code"));
    let geo = vec![
        GeoRule { matches: vec![network("192.0.2.0/25"), network("2001:db8::/40")], pools: us() },
        GeoRule { matches: vec![country], pools: us() },
    ];
    let spec = Steered { geo, nearest: None, then };
    let served = served(weights);
    let all: Vec<&Served> = served.iter().collect();
    let pools = [pool("eu", 10), pool("us", 20)];
    Pick::Steered(Arc::new(Steering::new(&spec, &pools, &Latencies::default(), &all)))
}

/// One of every way to choose, for records of these weights.
pub(crate) fn pick(way: usize, weights: &[u32]) -> Pick {
    let served = served(weights);
    match way % 9 {
        0 => Pick::All,
        way @ 1..4 => Pick::Rotate(way as u8 - 1),
        4 => Pick::Weighted(Shares::new(weights.iter().copied())),
        5 => Pick::Sticky(Ring::new(served.iter().map(|one| (&one.endpoint, one.weight)))),
        6 => steering(weights, Spread::All),
        7 => steering(weights, Spread::Weighted),
        _ => steering(weights, Spread::Sticky),
    }
}

/// The scope that a reply tells, and the last byte of its first address.
fn told(responder: &mut Responder, subnet: Option<&[u8]>) -> (Option<u8>, u8) {
    let options: Vec<(u16, &[u8])> = subnet.iter().map(|data| (8, *data)).collect();
    let asked = with_options(query("steered.example.test.", RecordType::A, Some(1232)), &options);
    let reply = exchange(responder, &asked, udp()).expect("an answer");
    let scope =
        options_of(&reply).into_iter().find(|(code, _)| *code == 8).map(|(_, data)| data[3]);
    let reply = decode(&reply);
    let RData::A(address) = &reply.answers[0].data else { panic!("{reply}") };
    (scope, address.octets()[3])
}

#[test]
fn a_zone_that_tailors_answers_tells_their_scope_and_others_take_no_notice() {
    // eu has the addresses 0 and 2, us has 1 and 3.
    let records: Vec<RecordData> = (0..4).map(a).collect();
    for tailored in [true, false] {
        let mut view = view(7);
        let mut zone = ZoneAnswers::clone(&zone());
        zone.zone.client_subnet = tailored;
        view.zones.extend([(name("example.test"), Arc::new(zone))]);
        let here = sets(steering(&[1; 4], Spread::All), std::slice::from_ref(&records));
        view.names.extend([(name("steered.example.test"), here)]);
        for compiled in [true, false] {
            let made = responder_with(Settings::default(), Some(view.clone()));
            let mut responder = if compiled { made } else { made.handler_only() };
            let mut at = |subnet: &[u8]| told(&mut responder, Some(subnet));
            // Without a network it is the source, which no rule is for.
            let expected = |scope, last| if tailored { (Some(scope), last) } else { (Some(0), 0) };
            assert_eq!(at(&[0, 1, 24, 0, 192, 0, 2]), expected(24, 1));
            assert_eq!(at(&[0, 1, 32, 0, 192, 0, 2, 200]), expected(25, 0));
            assert_eq!(at(&[0, 1, 24, 0, 10, 0, 0]), expected(1, 0));
            assert_eq!(at(&[0, 1, 0, 0]), expected(0, 0));
            assert_eq!(at(&[0, 2, 56, 0, 0x20, 1, 0xd, 0xb8, 0, 0, 0]), expected(40, 1));
            assert_eq!(told(&mut responder, None), (None, 0));
        }
    }
}
