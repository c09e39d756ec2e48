//! When each zone is asked for next: by its SOA's refresh and retry, and soon after a notice.
//!
//! ```text
//! due ─▶ under way ─┬─ up to date ─▶ due after refresh          ┐ jitter of a tenth, less
//!                   └─ failed ─────▶ due after retry, growing   ┘
//! notice ─▶ due at once, or once the attempt under way has ended
//! ```
//!
//! Invariant: between the begins of two attempts for a zone [`SHORTEST`] passes, whatever anybody says. The first
//! failures are tried again sooner than the SOA says: a zone that was never copied has no SOA, and a primary that
//! restarts is back in seconds.

use std::collections::BTreeMap;
use std::time::Duration;

use holdfast_core::{DnsName, View};
use tokio::time::Instant;

/// The shortest time between two attempts for a zone.
const SHORTEST: Duration = Duration::from_secs(1);
/// The longest time without a look, whatever the SOA says.
const LONGEST: Duration = Duration::from_secs(86_400);
/// The longest pause after a failure where there is no SOA.
const LONGEST_RETRY: Duration = Duration::from_secs(60);
/// How long a zone that was never copied may take before that is an event.
const PATIENCE: Duration = Duration::from_secs(60);

/// The SOA's times.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) refresh: Duration,
    pub(super) retry: Duration,
    pub(super) expire: Duration,
}

/// When the zones are asked for; of one term.
#[derive(Debug, Default)]
pub(super) struct Desk {
    term: Option<u64>,
    zones: BTreeMap<DnsName, Docket>,
}

/// What is known of a zone.
#[derive(Debug)]
struct Docket {
    /// The declaration's revision.
    revision: u64,
    due: Instant,
    /// When the last attempt began.
    begun: Option<Instant>,
    under_way: bool,
    /// A notice came while an attempt was under way.
    hinted: bool,
    /// The pause after the next failure.
    pause: Duration,
    /// Up to date at that time, or not heard of before.
    since: Instant,
    expire: Duration,
}

impl Desk {
    /// Begins anew where the term is another one; says whether it did.
    pub(super) fn enter(&mut self, term: Option<u64>) -> bool {
        let other = self.term != term;
        if other {
            *self = Self { term, zones: BTreeMap::new() };
        }
        other
    }

    /// Takes the zones that come from primaries; those that are new or declared anew are due.
    pub(super) fn follow(&mut self, view: &View, now: Instant) {
        let secondary = |zone: &DnsName| {
            view.zones.get(zone).filter(|(declared, _)| declared.primaries.is_some())
        };
        self.zones.retain(|zone, _| secondary(zone).is_some());
        for (zone, (declared, revision)) in view.zones.iter() {
            if declared.primaries.is_none() {
                continue;
            }
            let docket = self.zones.entry(zone.clone()).or_insert_with(|| Docket::new(0, now));
            if docket.revision != *revision {
                docket.revision = *revision;
                docket.hint(now);
            }
        }
    }

    /// A zone that is due, which is under way from now on, and whether it is overdue.
    pub(super) fn begin(&mut self, now: Instant) -> Option<(DnsName, bool)> {
        let due = |docket: &Docket| !docket.under_way && docket.due <= now;
        let (zone, docket) = self.zones.iter_mut().find(|(_, docket)| due(docket))?;
        docket.under_way = true;
        docket.hinted = false;
        docket.begun = Some(now);
        Some((zone.clone(), now - docket.since >= docket.expire))
    }

    /// The attempt for a zone has ended.
    pub(super) fn end(
        &mut self,
        zone: &DnsName,
        fresh: bool,
        (times, chance): (Option<Times>, u64),
        now: Instant,
    ) {
        let Some(docket) = self.zones.get_mut(zone) else { return };
        docket.under_way = false;
        docket.expire = times.map_or(PATIENCE, |times| times.expire);
        let pause = if fresh {
            docket.since = now;
            docket.pause = SHORTEST;
            times.map_or(LONGEST_RETRY, |times| times.refresh)
        } else {
            let longest = times.map_or(LONGEST_RETRY, |times| times.retry);
            let pause = docket.pause.min(longest);
            docket.pause = (docket.pause * 2).min(LONGEST);
            pause
        };
        docket.due = now + jittered(pause.clamp(SHORTEST, LONGEST), chance);
        if docket.hinted {
            docket.hint(now);
        }
    }

    /// A primary says that the zone has changed.
    pub(super) fn hint(&mut self, zone: &DnsName, now: Instant) {
        if let Some(docket) = self.zones.get_mut(zone) {
            docket.hint(now);
        }
    }

    /// When the next zone is due.
    pub(super) fn wake(&self) -> Option<Instant> {
        let idle = self.zones.values().filter(|docket| !docket.under_way);
        idle.map(|docket| docket.due).min()
    }
}

impl Docket {
    fn new(revision: u64, now: Instant) -> Self {
        Self {
            revision,
            due: now,
            begun: None,
            under_way: false,
            hinted: false,
            pause: SHORTEST,
            since: now,
            expire: PATIENCE,
        }
    }

    fn hint(&mut self, now: Instant) {
        if self.under_way {
            self.hinted = true;
            return;
        }
        let earliest = self.begun.map_or(now, |begun| begun + SHORTEST);
        self.due = self.due.min(now.max(earliest));
    }
}

/// Up to a tenth less, so that many zones, or many secondaries, do not ask at once for ever.
fn jittered(pause: Duration, chance: u64) -> Duration {
    let tenth = pause / 10;
    let part = u32::try_from(chance % 1024).unwrap_or_default();
    pause - tenth * part / 1024
}

#[cfg(test)]
mod tests;
