//! Zones that somebody says have changed, on their way to whoever looks after them.
//!
//! Each zone waits once, however often it is named, and they are taken in turn: whoever forges notices for some zones
//! takes neither the room nor the turn of the others.
//!
//! A notice is a hint: one that finds no room is lost, since the zone is looked at again without it.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use holdfast_core::DnsName;
use tokio::sync::Notify;

/// The most zones that wait: as many as a group has.
const MAX_WAITING: usize = 1000;

/// Notices that wait to be taken.
#[derive(Debug, Default)]
pub struct Notices {
    waiting: Mutex<Waiting>,
    noted: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    zones: BTreeSet<DnsName>,
    /// The one that was taken last; what comes behind it is next.
    last: Option<DnsName>,
}

impl Notices {
    /// Notes that a zone may have changed; waits for nobody who waits himself.
    pub fn note(&self, zone: DnsName) {
        let mut waiting = self.lock();
        if waiting.zones.len() >= MAX_WAITING && !waiting.zones.contains(&zone) {
            tracing::debug!(%zone, "a notice is lost: too many wait");
            return;
        }
        waiting.zones.insert(zone);
        drop(waiting);
        self.noted.notify_one();
    }

    /// The next zone that may have changed; one task takes them.
    pub async fn next(&self) -> DnsName {
        loop {
            if let Some(zone) = self.lock().take() {
                return zone;
            }
            self.noted.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn take(&mut self) -> Option<DnsName> {
        let behind = match &self.last {
            Some(last) => (Bound::Excluded(last.clone()), Bound::Unbounded),
            None => (Bound::Unbounded, Bound::Unbounded),
        };
        let next = self.zones.range(behind).next().or_else(|| self.zones.first())?.clone();
        self.zones.remove(&next);
        self.last = Some(next.clone());
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn name(text: &str) -> DnsName {
        DnsName::new(text).expect("valid")
    }

    #[test]
    fn a_flood_for_some_zones_takes_no_turn_of_another() {
        let notices = Notices::default();
        let flood = || {
            for _ in 0..MAX_WAITING {
                notices.note(name("a.test"));
                notices.note(name("b.test"));
            }
        };
        flood();
        notices.note(name("real.test"));
        let mut taken = Vec::new();
        for _ in 0..3 {
            taken.extend(notices.next().now_or_never());
            flood();
        }
        assert_eq!(taken, [name("a.test"), name("b.test"), name("real.test")]);
    }

    #[tokio::test]
    async fn who_waits_is_woken_and_no_more_wait_than_there_is_room_for() {
        let notices = Notices::default();
        let (zone, ()) = tokio::join!(notices.next(), async { notices.note(name("a.test")) });
        assert_eq!(zone, name("a.test"));
        (0..=MAX_WAITING).for_each(|number| notices.note(name(&format!("z{number}.test"))));
        let taken = std::iter::from_fn(|| notices.next().now_or_never()).count();
        assert_eq!(taken, MAX_WAITING);
    }
}
