//! What a primary gave that was not taken, so that it is not fetched and offered again at each attempt.
//!
//! Of each primary one serial is remembered, for [`KEPT_FOR`]: what stood in its way, such as a service, may go without a
//! word of the primary. Another declaration of the zone forgets all.
//!
//! What is deliberately not here: whether something is taken. That is the core's to say.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

/// How long a serial is not fetched again.
const KEPT_FOR: Duration = Duration::from_secs(600);

/// The serials of one zone's primaries that are not fetched again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Refusals {
    /// The revision of the declaration that names the primaries.
    declared: u64,
    servers: BTreeMap<SocketAddr, Refusal>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Refusal {
    serial: u32,
    problem: String,
    until: Instant,
}

impl Refusals {
    /// Those that count for a declaration.
    pub(super) fn of(self, declared: u64) -> Self {
        match self.declared == declared {
            true => self,
            false => Self { declared, servers: BTreeMap::new() },
        }
    }

    /// The serial that a primary is not asked for again, and why it was not taken.
    pub(super) fn at(&self, server: SocketAddr, now: Instant) -> Option<(u32, &str)> {
        let refusal = self.servers.get(&server).filter(|refusal| now < refusal.until)?;
        Some((refusal.serial, &refusal.problem))
    }

    /// Remembers why a serial was not taken.
    pub(super) fn note(&mut self, server: SocketAddr, serial: u32, problem: String, now: Instant) {
        self.servers.insert(server, Refusal { serial, problem, until: now + KEPT_FOR });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_serial_is_remembered_for_a_while_and_for_one_declaration() {
        let (now, server) = (Instant::now(), "192.0.2.1:53".parse().expect("an address"));
        let mut refusals = Refusals::default().of(5);
        refusals.note(server, 7, "no NS records".to_owned(), now);
        let told = Some((7, "no NS records"));
        assert_eq!(refusals.at(server, now + KEPT_FOR / 2), told);
        assert_eq!(refusals.at("192.0.2.2:53".parse().expect("an address"), now), None);
        assert_eq!(refusals.at(server, now + KEPT_FOR), None);
        assert_eq!(refusals.clone().of(5).at(server, now), told);
        assert_eq!(refusals.of(6).at(server, now), None);
    }
}
