//! Who may stay connected: a bounded number of places in all and per prefix, for each transport of its own.
//!
//! ```text
//! accept ─▶ admit ─┬─ a place is free ─────────────────────────▶ Place
//!                  └─ none: the longest idle leaves its own ───▶ Place
//!                     (of the same prefix, where that is full)
//! ```
//!
//! A new connection is never refused for those that are there: whoever only holds places open loses them first, and a
//! client that asks keeps its own. Idle is the time since a whole query came or a reply was taken.
//!
//! Invariant: no more places are taken than configured, and at most `max_per_prefix` of them by one prefix. Each
//! operation costs the logarithm of the places.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use metrics::{Gauge, counter, gauge};
use tokio_util::sync::CancellationToken;

use crate::config::TcpConfig;
use crate::metric;
use crate::respond::Transport;

/// The part of an address that one client or site has to itself: IPv4 /24, IPv6 /48.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Prefix([u8; 6]);

impl Prefix {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            // 0/8 cannot be the source of an IPv6 packet, so the two kinds do not meet.
            IpAddr::V4(v4) => Self([0, 0, 0, v4.octets()[0], v4.octets()[1], v4.octets()[2]]),
            IpAddr::V6(v6) => Self(*v6.octets().first_chunk().expect("16 bytes begin with 6")),
        }
    }
}

/// The places of one transport. Shared by its listeners.
#[derive(Debug)]
pub(crate) struct Admission {
    config: TcpConfig,
    transport: Transport,
    taken: Mutex<Taken>,
    open: Gauge,
}

/// The places that are taken, by the moment of their last activity.
#[derive(Debug, Default)]
struct Taken {
    /// The next moment: a number that only grows.
    next: u64,
    by_moment: BTreeMap<u64, Seat>,
    by_prefix: BTreeMap<Prefix, BTreeSet<u64>>,
}

#[derive(Debug)]
struct Seat {
    prefix: Prefix,
    leave: CancellationToken,
}

impl Taken {
    fn seat(&mut self, seat: Seat) -> u64 {
        let moment = self.next;
        self.next += 1;
        self.by_prefix.entry(seat.prefix).or_default().insert(moment);
        self.by_moment.insert(moment, seat);
        moment
    }

    fn unseat(&mut self, moment: u64) -> Option<Seat> {
        let seat = self.by_moment.remove(&moment)?;
        if let Some(here) = self.by_prefix.get_mut(&seat.prefix) {
            here.remove(&moment);
            if here.is_empty() {
                self.by_prefix.remove(&seat.prefix);
            }
        }
        Some(seat)
    }

    /// The longest idle that has to leave before one more of this prefix comes, and why.
    fn surplus(&self, prefix: Prefix, config: &TcpConfig) -> Option<(u64, &'static str)> {
        let here = self.by_prefix.get(&prefix);
        if let Some(here) = here.filter(|here| here.len() >= config.max_per_prefix) {
            return here.first().map(|moment| (*moment, "prefix"));
        }
        let full = self.by_moment.len() >= config.max_connections;
        self.by_moment.keys().next().filter(|_| full).map(|moment| (*moment, "total"))
    }
}

impl Admission {
    pub(crate) fn new(config: TcpConfig, transport: Transport) -> Arc<Self> {
        let open = gauge!(metric::CONNECTIONS, "transport" => transport.name());
        Arc::new(Self { config, transport, taken: Mutex::default(), open })
    }

    pub(crate) fn transport(&self) -> Transport {
        self.transport
    }

    /// Takes a place; if there is none, the longest idle connection loses its own.
    pub(crate) fn admit(self: &Arc<Self>, address: IpAddr) -> Place {
        let prefix = Prefix::of(address);
        let leave = CancellationToken::new();
        let mut taken = self.lock();
        if let Some((moment, why)) = taken.surplus(prefix, &self.config) {
            self.dismiss(&mut taken, moment, why);
        }
        let moment = taken.seat(Seat { prefix, leave: leave.clone() });
        self.open.set(taken.by_moment.len() as f64);
        drop(taken);
        Place { admission: Arc::clone(self), moment, leave }
    }

    /// Whether half of the places are taken, of all or of those that the prefix of this address may have.
    pub(crate) fn is_busy(&self, address: IpAddr) -> bool {
        let taken = self.lock();
        let here = taken.by_prefix.get(&Prefix::of(address)).map_or(0, BTreeSet::len);
        taken.by_moment.len() * 2 >= self.config.max_connections
            || here * 2 >= self.config.max_per_prefix
    }

    /// Makes the longest idle connection leave for want of descriptors; false if there is none.
    pub(crate) fn dismiss_idlest(&self) -> bool {
        let mut taken = self.lock();
        let idlest = taken.by_moment.keys().next().copied();
        if let Some(moment) = idlest {
            self.dismiss(&mut taken, moment, "descriptors");
        }
        idlest.is_some()
    }

    fn dismiss(&self, taken: &mut Taken, moment: u64, why: &'static str) {
        if let Some(seat) = taken.unseat(moment) {
            seat.leave.cancel();
            counter!(metric::DISMISSED, "transport" => self.transport.name(), "why" => why)
                .increment(1);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place that a connection holds until it is dropped, or until another one needs it more.
#[derive(Debug)]
pub(crate) struct Place {
    admission: Arc<Admission>,
    moment: u64,
    leave: CancellationToken,
}

impl Place {
    /// Is cancelled when the connection has to go.
    pub(crate) fn leave(&self) -> &CancellationToken {
        &self.leave
    }

    pub(crate) fn config(&self) -> &TcpConfig {
        &self.admission.config
    }

    /// Notes that the connection is in use at this moment.
    pub(crate) fn touch(&mut self) {
        let mut taken = self.admission.lock();
        if let Some(seat) = taken.unseat(self.moment) {
            self.moment = taken.seat(seat);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.admission.lock();
        taken.unseat(self.moment);
        self.admission.open.set(taken.by_moment.len() as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(max_connections: usize, max_per_prefix: usize) -> Arc<Admission> {
        let config = TcpConfig { max_connections, max_per_prefix, ..TcpConfig::default() };
        Admission::new(config, Transport::Tcp)
    }

    fn admit(admission: &Arc<Admission>, address: &str) -> Place {
        admission.admit(address.parse().expect("an address"))
    }

    fn leaving(places: &[Place]) -> Vec<usize> {
        let leaves =
            |(number, place): (usize, &Place)| place.leave.is_cancelled().then_some(number);
        places.iter().enumerate().filter_map(leaves).collect()
    }

    #[test]
    fn the_longest_idle_leaves_when_all_places_are_taken() {
        let admission = admission(3, 3);
        let mut places: Vec<Place> = ["192.0.2.1", "198.51.100.1", "203.0.113.1"]
            .iter()
            .map(|address| admit(&admission, address))
            .collect();
        places[0].touch();
        places.push(admit(&admission, "192.0.2.9"));
        assert_eq!(leaving(&places), [1], "the first has asked since");
        places.push(admit(&admission, "192.0.2.9"));
        assert_eq!(leaving(&places), [1, 2]);
        places[1].touch();
        places.push(admit(&admission, "198.51.100.7"));
        assert_eq!(leaving(&places), [0, 1, 2], "who has to leave does not come back by asking");
    }

    #[test]
    fn a_prefix_that_is_full_loses_its_own() {
        let admission = admission(10, 2);
        let places = ["203.0.113.1", "192.0.2.1", "192.0.2.2", "192.0.2.3", "::ffff:192.0.2.4"]
            .map(|address| admit(&admission, address));
        assert_eq!(leaving(&places), [1, 2], "the site 192.0.2.0/24 has two places, mapped or not");
        let places = ["2001:db8:1::1", "2001:db8:1:2::1", "2001:db8:1:3::1", "2001:db8:2::1"]
            .map(|address| admit(&admission, address));
        assert_eq!(leaving(&places), [0]);
    }

    #[test]
    fn half_of_all_or_of_ones_own_is_busy() {
        let admission = admission(6, 4);
        let busy = |address: &str| admission.is_busy(address.parse().expect("an address"));
        let first = admit(&admission, "192.0.2.1");
        assert!(!busy("192.0.2.9"));
        let second = admit(&admission, "192.0.2.2");
        assert!(busy("192.0.2.9") && !busy("198.51.100.1"), "its own are half taken");
        let third = admit(&admission, "198.51.100.1");
        assert!(busy("203.0.113.1"), "all are half taken");
        drop((first, second, third));
        assert!(!busy("192.0.2.9"));
    }

    #[test]
    fn places_come_back() {
        let admission = admission(2, 2);
        for _ in 0..5 {
            let places = ["192.0.2.1", "192.0.2.1"].map(|address| admit(&admission, address));
            assert_eq!(leaving(&places), [0; 0]);
        }
        assert!(admission.lock().by_moment.is_empty() && admission.lock().by_prefix.is_empty());
        assert!(!admission.dismiss_idlest(), "nobody is there");
        let place = admit(&admission, "192.0.2.1");
        assert!(admission.dismiss_idlest() && place.leave.is_cancelled());
    }
}
