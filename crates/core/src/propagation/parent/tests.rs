//! What agents were told in, what is said of it out.

use core::time::Duration;

use super::*;
use crate::spec::Soa;

fn name(text: &str) -> DnsName {
    DnsName::new(text).expect("a name")
}

fn host(label: &str) -> DnsName {
    name(&format!("{label}.example.test"))
}

fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([203, 0, 113, last], 53))
}

/// A zone with `ns1` at `.1` and `ns2` at `.2`.
fn zone() -> Zone {
    let server =
        |label, last| NameServer { name: host(label), addresses: Vec::from([address(last).ip()]) };
    let soa = Soa::new(name("hostmaster.example.test"));
    let servers = Vec::from([server("ns1", 1), server("ns2", 2)]);
    Zone::new(name("example.test"), soa, servers, Duration::from_secs(3600))
}

/// What the server at `.parent` told an agent: these name servers, with this glue.
fn told(asker: &str, parent: u8, servers: &[&str], glue: &[(&str, u8)]) -> ParentSighting {
    let glue = glue.iter().map(|(label, last)| (host(label), address(*last).ip())).collect();
    let servers = servers.iter().map(|label| host(label)).collect();
    let told = Delegation { parent: address(parent), servers, glue, ds: None };
    ParentSighting { asker: asker.into(), told: Ok(told) }
}

/// `ns1` and `ns2`, with `ns2` at this address.
fn both(asker: &str, parent: u8, second: u8) -> ParentSighting {
    told(asker, parent, &["ns1", "ns2"], &[("ns1", 1), ("ns2", second)])
}

fn unasked(asker: &str, parent: Option<u8>, why: &str) -> ParentSighting {
    let parent = parent.map(address);
    ParentSighting { asker: asker.into(), told: Err(Unasked { parent, why: why.into() }) }
}

fn judged(sightings: &[ParentSighting]) -> Vec<Finding> {
    judge_delegation(&zone(), sightings)
}

#[test]
fn the_parent_names_the_same_servers_at_the_same_addresses() {
    let of = |fault, label| Some((fault, host(label).to_string()));
    for (servers, glue, expected) in [
        (&["ns1", "ns2"][..], &[("ns1", 1), ("ns2", 2)][..], None),
        (&["ns1"], &[("ns1", 1)], of(Fault::NotAtParent, "ns2")),
        (&["ns1", "ns2"], &[("ns1", 1)], of(Fault::GlueMissing, "ns2")),
        (&["ns1", "ns2"], &[("ns1", 1), ("ns2", 7)], of(Fault::GlueMismatch, "ns2")),
        (
            &["ns1", "ns2", "ns3"],
            &[("ns1", 1), ("ns2", 2), ("ns3", 3)],
            of(Fault::NotInZone, "ns3"),
        ),
    ] {
        let found = judged(&[told("a1", 9, servers, glue)]);
        let found: Vec<_> = found.into_iter().map(|one| (one.fault, one.subject)).collect();
        assert_eq!(found, Vec::from_iter(expected), "{servers:?} {glue:?}");
    }
}

#[test]
fn what_all_agents_see_alike_at_all_servers_is_told_once() {
    let agents = ["a1", "a2", "a3"];
    let everywhere = agents.iter().flat_map(|asker| [7, 8, 9].map(|parent| both(asker, parent, 5)));
    let found = judged(&everywhere.collect::<Vec<_>>());
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(
        found[0].text,
        "the parent (203.0.113.7:53, 203.0.113.8:53, 203.0.113.9:53; seen from all 3 agents) has \
         {203.0.113.5} for ns2.example.test, the zone has {203.0.113.2}"
    );
    assert_eq!(found[0].agents, agents);
}

#[test]
fn what_only_some_agents_see_names_them_and_where() {
    let found = judged(&[
        both("a1", 8, 2),
        both("a1", 9, 2),
        both("a2", 8, 2),
        both("a2", 9, 5),
        both("a3", 8, 6),
        unasked("a3", Some(9), "no answer in time"),
    ]);
    let told: Vec<(&str, &[String])> =
        found.iter().map(|one| (one.text.as_str(), &one.agents[..])).collect();
    assert_eq!(told.len(), 2, "{found:?}");
    assert!(
        told[0]
            .0
            .starts_with("the parent (203.0.113.9:53; seen from a2 of 3 agents) has {203.0.113.5}")
    );
    assert!(
        told[1]
            .0
            .starts_with("the parent (203.0.113.8:53; seen from a3 of 3 agents) has {203.0.113.6}")
    );
    assert_eq!((told[0].1, told[1].1), (&["a2".into()][..], &["a3".into()][..]));
}

#[test]
fn the_order_in_which_agents_answer_changes_nothing() {
    let mut sightings = Vec::from([both("a1", 8, 5), both("a2", 9, 5), unasked("a3", None, "why")]);
    let before = (judged(&sightings), unasked_of(&sightings));
    assert_eq!((before.0.len(), before.1.len()), (2, 1));
    sightings.reverse();
    assert_eq!((judged(&sightings), unasked_of(&sightings)), before);
}

#[test]
fn an_agent_that_cannot_ask_is_named_and_nothing_is_wrong_by_that() {
    let silence = "no answer in time";
    let sightings = [
        both("a1", 8, 2),
        unasked("a1", Some(9), silence),
        both("a2", 8, 2),
        unasked("a2", Some(9), silence),
        unasked("a3", None, "no resolver"),
    ];
    assert_eq!(judged(&sightings), []);
    assert_eq!(
        unasked_of(&sightings),
        [
            "the parent (203.0.113.9:53) could not be asked from a1, a2 of 3 agents: no answer in time",
            "the parent could not be asked from a3 of 3 agents: no resolver",
        ]
    );
    assert_eq!(unasked_of(&[both("a1", 8, 2)]), [""; 0]);
}

#[test]
fn agents_are_named_up_to_a_bound() {
    let names: Vec<String> = (0..20).map(|number| format!("a{number:02}")).collect();
    let of = |count| names.iter().take(count).map(String::as_str).collect::<BTreeSet<&str>>();
    for (count, all, expected) in [
        (1, 1, "a00"),
        (1, 3, "a00 of 3 agents"),
        (3, 3, "all 3 agents"),
        (8, 20, "a00, a01, a02, a03, a04, a05, a06, a07 of 20 agents"),
        (10, 20, "a00, a01, a02, a03, a04, a05, a06, a07 and 2 more of 20 agents"),
        (20, 20, "all 20 agents"),
    ] {
        assert_eq!(name_agents(&of(count), all), expected);
    }
}
