//! The same endpoint for the same network of clients: weighted rendezvous hashing (Thaler and Ravishankar 1998; Schindelhauer
//! and Schomaker 2005).
//!
//! Every candidate draws a lot for the network, `-log(u) / weight` with `u` from a hash of both, and the smallest wins.
//! So shares follow the weights, and when a candidate leaves, only the networks that it had go elsewhere.
//!
//! Integers only, so that every agent draws the same lots. The lots of a network cost a few nanoseconds per candidate.

use alloc::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::EndpointName;
use crate::steer::Client;

/// Clients of one such network get the same: of IPv4, and of IPv6.
const NETWORK: (u8, u8) = (24, 56);

/// What may be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Candidate {
    /// From its name, so that it keeps its clients when its address changes or others come and go.
    key: u64,
    weight: u32,
}

/// Candidates for the networks of clients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ring(Arc<[Candidate]>);

impl Ring {
    /// Candidates with their weights; where all are zero, equal ones.
    pub fn new<'a>(candidates: impl Iterator<Item = (&'a EndpointName, u32)> + Clone) -> Self {
        let weightless = candidates.clone().all(|(_, weight)| weight == 0);
        let candidate = |(name, weight): (&EndpointName, u32)| Candidate {
            key: key_of(name),
            weight: if weightless { 1 } else { weight },
        };
        Self(candidates.map(candidate).collect())
    }

    /// The place of the candidate for a client among `count` of them, and for which length of prefix it is the same.
    pub fn at(&self, client: &Client, count: usize) -> (usize, u8) {
        let (network, scope) = client.network(NETWORK.0, NETWORK.1);
        // The family is part of the network: 10.0.0.0 is not a00::.
        let family = if client.address.is_ipv4() { 0x9e37_79b9_7f4a_7c15 } else { 0 };
        // Both halves of a network count, and neither leaves 64 bits.
        let folded = mix((network >> 64) as u64 ^ family) ^ mix(network as u64).rotate_left(32);
        let mut best: Option<(usize, Candidate, u64)> = None;
        let candidates = self.0.iter().take(count).enumerate();
        for (place, candidate) in candidates.filter(|(_, candidate)| candidate.weight > 0) {
            let lot = cost(mix(folded ^ candidate.key));
            // lot / weight, compared without dividing: lots are below 2^23.
            let wins = best.is_none_or(|(_, other, least)| {
                let (here, there) =
                    (lot * u64::from(other.weight), least * u64::from(candidate.weight));
                (here, candidate.key) < (there, other.key)
            });
            if wins {
                best = Some((place, *candidate, lot));
            }
        }
        (best.map_or(0, |(place, ..)| place), scope)
    }
}

/// FNV-1a, mixed.
fn key_of(name: &EndpointName) -> u64 {
    let fold = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    mix(name.as_str().as_bytes().iter().fold(0xcbf2_9ce4_8422_2325, fold))
}

/// A bijection of 64 bits that lets every bit of the input change every bit of the output (SplitMix64's).
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// `-log2(hash / 2^64)` in units of 2^-16: 0 to 64 of them.
fn cost(hash: u64) -> u64 {
    let zeros = hash.leading_zeros().min(63);
    let mantissa = (hash << zeros) | (1 << 63);
    // The eight bits behind the first, and how far to the next step, in 2^-16.
    let step = (mantissa >> 55) as usize & 0xff;
    let beyond = (mantissa >> 39) & 0xffff;
    let (low, high) = (u64::from(LOG2[step]), u64::from(LOG2[step + 1]));
    let fraction = low + (((high - low) * beyond) >> 16);
    ((u64::from(zeros) + 1) << 16) - fraction
}

/// log2(1 + i/256) in units of 2^-16.
const LOG2: [u32; 257] = {
    let mut table = [0; 257];
    let mut step = 0;
    while step < 257 {
        table[step] = log2(256 + step as u64);
        step += 1;
    }
    table
};

/// log2(x/256) in units of 2^-16 for x from 256 to 512, bit by bit: squaring doubles the logarithm.
const fn log2(x: u64) -> u32 {
    if x == 512 {
        return 1 << 16;
    }
    let mut value = (x as u128) << 55;
    let (mut result, mut bit) = (0, 16);
    while bit > 0 {
        bit -= 1;
        value = (value * value) >> 63;
        if value >> 64 != 0 {
            value >>= 1;
            result |= 1 << bit;
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::vec::Vec;
    use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use super::*;

    const CLIENTS: u32 = 100_000;

    fn names(count: usize) -> Vec<EndpointName> {
        (0..count).map(|n| EndpointName::new(&format!("e{n}")).expect("a label")).collect()
    }

    fn client(number: u32) -> Client {
        Client::at(IpAddr::V4(Ipv4Addr::from_bits(0x0100_0000 + (number << 8) + 7)), number)
    }

    fn ring(names: &[EndpointName], weights: &[u32]) -> Ring {
        Ring::new(names.iter().zip(weights.iter().copied()))
    }

    #[test]
    fn when_an_endpoint_leaves_only_its_clients_move() {
        let names = names(7);
        let weights = [1, 2, 3, 1, 5, 1, 1];
        let all = ring(&names, &weights);
        for gone in 0..7 {
            let (mut fewer, mut left) = (names.clone(), weights.to_vec());
            fewer.remove(gone);
            left.remove(gone);
            let rest = ring(&fewer, &left);
            for number in 0..CLIENTS / 10 {
                let (before, _) = all.at(&client(number), 7);
                let (after, _) = rest.at(&client(number), 6);
                assert!(before == gone || names[before] == fewer[after], "client {number} moved");
            }
        }
    }

    #[test]
    fn shares_follow_the_weights() {
        for weights in [&[1, 1, 1, 1][..], &[1, 2, 3, 4], &[0, 1, 9], &[60_000, 1, 60_000]] {
            let ring = ring(&names(weights.len()), weights);
            let mut counts = alloc::vec![0u32; weights.len()];
            (0..CLIENTS).for_each(|number| counts[ring.at(&client(number), weights.len()).0] += 1);
            let total: u32 = weights.iter().sum();
            for (count, weight) in counts.iter().zip(weights) {
                let expected = CLIENTS as f64 * f64::from(*weight) / f64::from(total);
                let off = (f64::from(*count) - expected).abs();
                assert!(off <= f64::from(CLIENTS) / 100.0, "{weights:?}: {counts:?}");
            }
        }
    }

    #[test]
    fn a_network_is_of_one_mind_and_says_how_large_it_is() {
        let ring = ring(&names(5), &[1; 5]);
        let at = |text: &str, length| {
            let address = text.parse().expect("an address");
            ring.at(&Client { length, ..Client::at(address, 0) }, 5)
        };
        assert_eq!(at("198.51.100.1", 32), at("198.51.100.250", 24));
        assert_eq!(at("198.51.100.1", 32).1, 24);
        assert_eq!(at("198.51.0.0", 16).1, 16);
        assert_eq!(at("2001:db8:0:1::1", 128), at("2001:db8:0:2::9", 64));
        assert_eq!(at("2001:db8::", 64).1, 56);
        assert_eq!(at("198.51.100.1", 0), at("203.0.113.1", 0));
        assert_eq!(at("0.0.0.0", 0).1, 0);
    }

    #[test]
    fn families_draw_lots_of_their_own() {
        let ring = ring(&names(8), &[1; 8]);
        let differ = (0..64u32).filter(|number| {
            let v4 = Ipv4Addr::from_bits(number << 8);
            let v6 = Ipv6Addr::from_bits(u128::from(v4.to_bits()) << 96);
            ring.at(&Client::at(v4.into(), 0), 8).0 != ring.at(&Client::at(v6.into(), 0), 8).0
        });
        assert!(differ.count() > 32);
    }
}
