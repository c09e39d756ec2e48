//! Which rule a client falls under, in one search: networks as sorted ranges, places in the order of declaration.
//!
//! ```text
//! 10.0.0.0/8 ▶ eu, 10.1.0.0/16 ▶ us:   …│ none │ 10.0 eu │ 10.1 us │ 10.2–10.255 eu │ none │…
//! ```
//!
//! The ranges are disjoint and the longest prefix owns its own, so a client's range is its longest match. How large the
//! network is for which that is true follows from the range's ends: the largest prefix around the client that lies
//! within. A client that tells fewer bits than that is judged by the first address of its network.

use alloc::vec::Vec;
use core::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{Client, Place, earth};
use crate::spec::Match;
use crate::spec::place::{bits, mask};

/// No rule.
const NONE: u16 = u16::MAX;

/// Addresses from here to the next range's begin, and their rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Range {
    from: u128,
    rule: u16,
}

/// The rules of one stage, compiled.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Rules {
    v4: Vec<Range>,
    v6: Vec<Range>,
    places: Vec<(Match, u16)>,
    /// Where the regions of clients are.
    sites: Vec<((i16, i16), u16)>,
}

/// How a client was recognized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ground {
    /// Its address lies in a rule's network.
    Network,
    /// A rule names its place.
    Place(Match),
    /// It is closer to this than to the others.
    Closest,
    /// Nothing recognized it.
    Nothing,
}

/// Under which rule a client falls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// The number of the rule; `None` where no rule is for it.
    pub rule: Option<usize>,
    /// What it was recognized by.
    pub ground: Ground,
    /// The length of the prefix around it for which this is so.
    pub scope: u8,
}

impl Rules {
    /// Compiles rules: what each is recognized by, and where it is.
    pub(super) fn new<'a>(rules: impl Iterator<Item = (&'a [Match], Option<(i16, i16)>)>) -> Self {
        let mut compiled = Self::default();
        let mut networks = Vec::new();
        for (number, (matches, site)) in rules.take(usize::from(NONE)).enumerate() {
            // Below `NONE`.
            let number = number as u16;
            for one in matches {
                match one {
                    Match::Network(network) => networks.push((*network, number)),
                    place => compiled.places.push((*place, number)),
                }
            }
            compiled.sites.extend(site.map(|site| (site, number)));
        }
        let of = |v4: bool| {
            let family = networks.iter().filter(|(network, _)| network.address.is_ipv4() == v4);
            let prefixes = family.map(|(n, rule)| (bits(n.address), n.length, *rule));
            ranges(prefixes.collect())
        };
        (compiled.v4, compiled.v6) = (of(true), of(false));
        compiled
    }

    /// Whether they ask where a client is.
    pub(super) fn by_place(&self) -> bool {
        !self.places.is_empty() || !self.sites.is_empty()
    }

    /// The rule that a client falls under.
    pub(super) fn find(&self, client: &Client) -> Found {
        if client.length == 0 {
            return Found { rule: None, ground: Ground::Nothing, scope: 0 };
        }
        let ranges = if client.address.is_ipv4() { &self.v4 } else { &self.v6 };
        let (rule, scope) = by_network(ranges, client.address, client.length);
        let scope = scope.min(client.length);
        if rule != NONE {
            return Found { rule: Some(rule.into()), ground: Ground::Network, scope };
        }
        if !self.by_place() {
            return Found { rule: None, ground: Ground::Nothing, scope };
        }
        let place = client.place.unwrap_or_default();
        let (rule, ground) = self.at_place(&place);
        Found { rule, ground, scope: scope.max(place.length).min(client.length) }
    }

    fn at_place(&self, place: &Place) -> (Option<usize>, Ground) {
        if let Some((one, rule)) = self.places.iter().find(|(one, _)| is_at(one, place)) {
            return (Some(usize::from(*rule)), Ground::Place(*one));
        }
        let closest = place.coordinates.and_then(|here| {
            self.sites.iter().min_by_key(|(site, rule)| (earth::distance(here, *site), *rule))
        });
        match closest {
            Some((_, rule)) => (Some(usize::from(*rule)), Ground::Closest),
            None => (None, Ground::Nothing),
        }
    }
}

fn is_at(one: &Match, place: &Place) -> bool {
    match one {
        Match::Network(_) => false,
        Match::Continent(code) => place.continent == Some(*code),
        Match::Country(code) => place.country == Some(*code),
        Match::Subdivision(country, code) => {
            place.country == Some(*country) && place.subdivision == Some(*code)
        }
        Match::Asn(number) => place.asn == Some(*number),
    }
}

/// The rule of an address, and the length of the largest prefix around it within its range.
fn by_network(ranges: &[Range], address: IpAddr, length: u8) -> (u16, u8) {
    let here = mask(bits(address), length);
    let next = ranges.partition_point(|range| range.from <= here);
    let shared = |there: u128| (here ^ there).leading_zeros();
    let below = next.checked_sub(1).map(|place| ranges[place]);
    let before = below.and_then(|range| range.from.checked_sub(1)).map(shared);
    let after = ranges.get(next).map(|range| shared(range.from));
    // Two addresses that differ share at most 127 bits.
    let scope = before.into_iter().chain(after).max().map_or(0, |bits| bits as u8 + 1);
    (below.map_or(NONE, |range| range.rule), scope)
}

/// A sweep over prefixes that may lie in one another, from the lowest address up.
#[derive(Default)]
struct Sweep {
    ranges: Vec<Range>,
    /// The prefixes that the sweep is within, from the outermost: their last address and their rule.
    open: Vec<(u128, u16)>,
}

impl Sweep {
    fn begin(&mut self, from: u128, rule: u16) {
        match self.ranges.last_mut() {
            Some(last) if last.from == from => last.rule = rule,
            _ => self.ranges.push(Range { from, rule }),
        }
    }

    /// Leaves the prefixes that end before this address, or all.
    fn leave(&mut self, up_to: Option<u128>) {
        while let Some((last, _)) = self.open.pop_if(|(last, _)| up_to.is_none_or(|to| *last < to))
        {
            let outer = self.open.last().map_or(NONE, |(_, rule)| *rule);
            if let Some(from) = last.checked_add(1) {
                self.begin(from, outer);
            }
        }
    }
}

/// Disjoint ranges of prefixes: first address, length and rule of each.
fn ranges(mut prefixes: Vec<(u128, u8, u16)>) -> Vec<Range> {
    prefixes.sort_unstable();
    let mut sweep = Sweep::default();
    for (from, length, rule) in prefixes {
        sweep.leave(Some(from));
        sweep.begin(from, rule);
        let last = from | u128::MAX.checked_shr(length.into()).unwrap_or(0);
        sweep.open.push((last, rule));
    }
    sweep.leave(None);
    // What goes on under the same rule is one range.
    sweep.ranges.dedup_by_key(|range| range.rule);
    sweep.ranges
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;
    use crate::spec::Prefix;

    fn network(bits: u32, length: u8) -> Prefix {
        let kept = mask(u128::from(bits) << 96, length) >> 96;
        Prefix { address: Ipv4Addr::from_bits(kept as u32).into(), length }
    }

    fn rules(networks: &[Prefix]) -> Rules {
        let matches: Vec<[Match; 1]> = networks.iter().map(|n| [Match::Network(*n)]).collect();
        Rules::new(matches.iter().map(|one| (&one[..], None)))
    }

    fn at(bits: u32) -> Client {
        Client::at(Ipv4Addr::from_bits(bits).into(), 0)
    }

    fn longest(networks: &[Prefix], address: u32) -> Option<usize> {
        let holds = |n: &Prefix| mask(u128::from(address) << 96, n.length) == bits(n.address);
        let matching = networks.iter().enumerate().filter(|(_, network)| holds(network));
        matching.max_by_key(|(_, network)| network.length).map(|(place, _)| place)
    }

    /// Networks of few bits, so that they lie in one another.
    fn few() -> impl Strategy<Value = Vec<Prefix>> {
        let one = (0u32..64, 0u8..=6).prop_map(|(bits, length)| network(bits << 26, length));
        prop::collection::btree_set(one, 0..12).prop_map(|set| set.into_iter().collect())
    }

    proptest! {
        #[test]
        fn the_longest_prefix_wins_and_the_scope_is_the_largest_that_is_true(networks in few()) {
            let rules = rules(&networks);
            for here in 0u32..64 {
                let found = rules.find(&at(here << 26));
                prop_assert_eq!(found.rule, longest(&networks, here << 26));
                let within = |length: u8| {
                    (0u32..64).filter(move |there| (here ^ there) << 26 >> (32 - length.clamp(1, 32)) == 0 || length == 0)
                };
                let same = |length| within(length).all(|there| longest(&networks, there << 26) == found.rule);
                prop_assert!(same(found.scope), "{} says {}", here, found.scope);
            }
        }

        #[test]
        fn any_rules_find_something(
            networks in prop::collection::vec((any::<u32>(), 0u8..=32), 0..40),
            clients in prop::collection::vec((any::<u32>(), 0u8..=32), 1..20),
        ) {
            let networks: alloc::collections::BTreeSet<Prefix> =
                networks.into_iter().map(|(bits, length)| network(bits, length)).collect();
            let networks: Vec<Prefix> = networks.into_iter().collect();
            let rules = rules(&networks);
            for (address, length) in clients {
                let found = rules.find(&Client { length, ..at(address) });
                prop_assert!(found.scope <= length);
                let first = mask(u128::from(address) << 96, length) >> 96;
                let expected = if length == 0 { None } else { longest(&networks, first as u32) };
                prop_assert_eq!(found.rule, expected);
            }
        }
    }

    #[test]
    fn a_hole_in_a_network_makes_the_scopes_around_it_smaller() {
        let networks = [network(0x0a00_0000, 8), network(0x0a01_0000, 16)];
        let rules = rules(&networks);
        for (address, rule, scope) in [
            (0x0a01_0203, Some(1), 16),
            (0x0a00_0001, Some(0), 16),
            (0x0a02_0001, Some(0), 15),
            (0x0aff_0001, Some(0), 9),
            (0x0b00_0001, None, 8),
            (0xc000_0001, None, 1),
        ] {
            let found = rules.find(&at(address));
            assert_eq!((found.rule, found.scope), (rule, scope), "{address:x}");
        }
    }
}
