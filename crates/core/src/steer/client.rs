//! Whom an answer is made for: a network, what is known of its place, and a turn where chance decides.
//!
//! It deliberately does not say where its parts come from: the network is the client's subnet that a resolver told
//! (RFC 7871) or the source of the question, the place is looked up in a database, or is not known.

use core::net::{IpAddr, Ipv4Addr};

use crate::spec::Code;
use crate::spec::place::{bits, mask};

/// Where a network is, as far as it is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Place {
    /// The continent's code, such as `EU`.
    pub continent: Option<Code>,
    /// The country's code (ISO 3166-1), such as `DE`.
    pub country: Option<Code>,
    /// The code of the largest subdivision (ISO 3166-2 without the country), such as `BE`.
    pub subdivision: Option<Code>,
    /// Latitude (north) and longitude (east) in hundredths of a degree.
    pub coordinates: Option<(i16, i16)>,
    /// The number of the autonomous system.
    pub asn: Option<u32>,
    /// Length of the prefix around the client of which all this is true.
    pub length: u8,
}

/// Whom an answer is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    /// Chooses where chance decides: equal turns give equal answers.
    pub turn: u32,
    /// The address of which `length` bits are known.
    pub address: IpAddr,
    /// How many bits of the address are known; 0 asks for an answer that is for nobody in particular.
    pub length: u8,
    /// Where it is; `None` where nothing looks it up.
    pub place: Option<Place>,
}

impl Client {
    /// Nobody in particular.
    pub const fn anybody(turn: u32) -> Self {
        Self { turn, address: IpAddr::V4(Ipv4Addr::UNSPECIFIED), length: 0, place: None }
    }

    /// Whoever has this address.
    pub const fn at(address: IpAddr, turn: u32) -> Self {
        let length = if address.is_ipv4() { 32 } else { 128 };
        Self { turn, address, length, place: None }
    }

    /// The first `most` bits of what is known of the address (`most_v4` of an IPv4 address), and how many they are.
    pub(super) fn network(&self, most_v4: u8, most: u8) -> (u128, u8) {
        let length = self.length.min(if self.address.is_ipv4() { most_v4 } else { most });
        (mask(bits(self.address), length), length)
    }
}
