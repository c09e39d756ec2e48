//! The right to say DOWN: an observer that suddenly sees most of its unrelated endpoints fail is itself the likelier
//! fault.
//!
//! When more than half of the distinct endpoints, at least [`MIN_ENDPOINTS`] of them in at least [`MIN_SERVICES`]
//! services, turn down within one window, the observer is suspect. While it then cannot reach its sentinels, the
//! downs of that window and after are shown as unknown; when it can, they stand. It stays suspect until no more than
//! half of the endpoints are down. Downs from before the window stand in any case.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use holdfast_core::ServiceId;
use holdfast_core::spec::Address;
use tokio::time::Instant;

use crate::board::SlotId;

/// Tells whether this node reaches those whose silence would mean that it is cut off: agents of other regions, or
/// local anchors.
pub trait Sentinels: Send + Sync + 'static {
    /// Whether a sentinel was reached of late. Must not block.
    fn reachable(&self) -> bool;
}

/// Without sentinels nothing is doubted.
pub(crate) struct NoSentinels;

impl Sentinels for NoSentinels {
    fn reachable(&self) -> bool {
        true
    }
}

/// Fewer distinct endpoints than this say nothing about the observer.
const MIN_ENDPOINTS: usize = 8;
/// Nor do fewer services: one release can break all endpoints of one.
const MIN_SERVICES: usize = 3;
/// The shortest window.
const MIN_WINDOW: Duration = Duration::from_secs(2);

/// A distinct endpoint, whatever services and checks it is in.
pub(crate) type Place = (Address, u16);

/// Counts what is down, and when it went.
#[derive(Debug, Default)]
pub(crate) struct SelfTest {
    known: BTreeMap<Place, usize>,
    down: BTreeMap<Place, BTreeSet<SlotId>>,
    recent: BTreeMap<(ServiceId, Place), Instant>,
    suspect_since: Option<Instant>,
}

impl SelfTest {
    pub(crate) fn add(&mut self, place: Place) {
        *self.known.entry(place).or_default() += 1;
    }

    pub(crate) fn remove(&mut self, place: &Place, slot: SlotId) {
        if let Some(count) = self.known.get_mut(place) {
            *count -= 1;
            if *count == 0 {
                self.known.remove(place);
                self.recent.retain(|(_, recent), _| recent != place);
            }
        }
        // Settled once, on the counts after the removal.
        self.went_up(place, slot);
    }

    /// Takes in that a target turned down.
    pub(crate) fn went_down(
        &mut self,
        service: &ServiceId,
        place: &Place,
        slot: SlotId,
        at: Event,
    ) {
        let window = at.longest_interval.max(MIN_WINDOW);
        self.down.entry(place.clone()).or_default().insert(slot);
        self.recent.retain(|_, when| at.now - *when <= window);
        self.recent.insert((service.clone(), place.clone()), at.now);
        let places: BTreeSet<_> = self.recent.keys().map(|(_, place)| place).collect();
        let services: BTreeSet<_> = self.recent.keys().map(|(service, _)| service).collect();
        let suspect = places.len() >= MIN_ENDPOINTS
            && services.len() >= MIN_SERVICES
            && places.len() * 2 > self.known.len();
        if suspect && self.suspect_since.is_none() {
            // All downs that count towards the suspicion are in doubt.
            let first = self.recent.values().min().copied();
            self.suspect_since = first;
        }
    }

    /// Takes in that a target is not down.
    pub(crate) fn went_up(&mut self, place: &Place, slot: SlotId) {
        if let Some(slots) = self.down.get_mut(place) {
            slots.remove(&slot);
            if slots.is_empty() {
                self.down.remove(place);
            }
        }
        self.settle();
    }

    /// Since when downs are in doubt, while the observer is suspect.
    pub(crate) fn suspect_since(&self) -> Option<Instant> {
        self.suspect_since
    }

    fn settle(&mut self) {
        if self.down.len() * 2 <= self.known.len() {
            self.suspect_since = None;
        }
    }
}

/// When something turned down, and the longest interval of any check then.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Event {
    pub(crate) now: Instant,
    pub(crate) longest_interval: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(n: u8) -> Place {
        (Address::Ip([192, 0, 2, n].into()), 80)
    }

    fn service(n: u8) -> ServiceId {
        ServiceId::new(&format!("s{n}")).expect("valid")
    }

    /// `known` endpoints in `services` services, of which `down` turn down `gap` apart.
    fn suspect(known: u8, services: u8, down: u8, gap: Duration) -> bool {
        let mut test = SelfTest::default();
        (0..known).for_each(|n| test.add(place(n)));
        let start = Instant::now();
        for n in 0..down {
            let now = start + gap * u32::from(n);
            let event = Event { now, longest_interval: Duration::from_secs(1) };
            test.went_down(&service(n % services), &place(n), SlotId(n.into()), event);
        }
        test.suspect_since().is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn doubts_itself_when_most_fails_at_once() {
        let fast = Duration::from_millis(10);
        for (known, services, down, gap, want) in [
            (10, 4, 8, fast, true),
            (10, 4, 7, fast, false),
            (16, 4, 9, fast, true),
            (16, 4, 8, fast, false),
            (10, 2, 10, fast, false),
            (7, 4, 7, fast, false),
            (10, 4, 10, Duration::from_millis(500), false),
        ] {
            assert_eq!(
                suspect(known, services, down, gap),
                want,
                "{down} of {known}, {gap:?} apart"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn trusts_itself_again_when_half_is_back() {
        let mut test = SelfTest::default();
        (0..10).for_each(|n| test.add(place(n)));
        let event = Event { now: Instant::now(), longest_interval: Duration::from_secs(1) };
        (0..10).for_each(|n| test.went_down(&service(n % 3), &place(n), SlotId(n.into()), event));
        assert_eq!(test.suspect_since(), Some(event.now));
        (0..4).for_each(|n| test.went_up(&place(n), SlotId(n.into())));
        assert!(test.suspect_since().is_some(), "6 of 10 are still down");
        test.remove(&place(5), SlotId(5));
        assert!(test.suspect_since().is_some(), "5 of 9 are still down");
        test.went_up(&place(6), SlotId(6));
        assert_eq!(test.suspect_since(), None);
    }
}
