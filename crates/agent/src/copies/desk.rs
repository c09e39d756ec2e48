//! When each zone is asked for next: by its SOA's refresh and retry, and soon after a notice.
//!
//! ```text
//! due longest ─▶ under way ─┬─ up to date ─▶ due after refresh          ┐ jitter of a tenth, less, but for short ones
//!                           └─ failed ─────▶ due after retry, growing   ┘ (superseded too, and that is no failure)
//! notice ─▶ due at once, or once the attempt under way has ended; after a failure within [`FLOOR`]
//! ```
//!
//! Invariant: between the begins of two attempts for a zone [`SHORTEST`] passes, whatever anybody says, and no zone waits
//! behind one that was due after it. The first failures are tried again sooner than the SOA says: a zone that was never
//! copied has no SOA, and a primary that restarts is back in seconds.

use std::collections::BTreeMap;
use std::mem;
use std::time::Duration;

use holdfast_core::{DnsName, View};
use tokio::time::Instant;

use super::refusals::Refusals;
use super::turn::Found;

/// The shortest time between two attempts for a zone.
const SHORTEST: Duration = Duration::from_secs(1);
/// The shortest refresh, and the shortest retry once there were some failures, whatever the SOA says.
const FLOOR: Duration = Duration::from_secs(10);
/// The longest time without a look, whatever the SOA says.
const LONGEST: Duration = Duration::from_secs(86_400);
/// The longest pause after a failure where there is no SOA.
const LONGEST_RETRY: Duration = Duration::from_secs(60);
/// How long a zone that was never copied may take before that is an event.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long attempts may fail before that is an event, however long the SOA would keep the copy.
const LONGEST_FAILING: Duration = Duration::from_secs(3600);

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
    /// The pause after the next attempt that brings nothing.
    pause: Duration,
    /// When failures began, and until when a notice waits after the last; `None` after a success.
    failing: Option<(Instant, Instant)>,
    /// Up to date at that time, or not heard of before.
    since: Instant,
    expire: Duration,
    refusals: Refusals,
}

/// What begins.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Begun {
    pub(super) zone: DnsName,
    /// Whether it is an event if this attempt fails too.
    pub(super) overdue: bool,
    /// What is not to be fetched again.
    pub(super) refusals: Refusals,
}

/// How an attempt ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) zone: DnsName,
    /// `None` where it failed.
    pub(super) found: Option<Found>,
    pub(super) refusals: Refusals,
}

impl Times {
    /// Those of a zone's copy.
    pub(super) fn of(view: &View, zone: &DnsName) -> Option<Self> {
        let copied = view.copies.get(zone)?.copied.clone()?;
        let soa = &copied.zone.soa;
        Some(Self { refresh: soa.refresh, retry: soa.retry, expire: soa.expire })
    }
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
            let expire = || Times::of(view, zone).map_or(PATIENCE, |times| times.expire);
            let docket = self
                .zones
                .entry(zone.clone())
                .or_insert_with(|| Docket::new(*revision, expire(), now));
            if docket.revision != *revision {
                docket.revision = *revision;
                docket.pause = SHORTEST;
                docket.failing = None;
                docket.hint(now);
            }
        }
    }

    /// The zone that has been due longest, which is under way from now on.
    pub(super) fn begin(&mut self, now: Instant) -> Option<Begun> {
        let due =
            self.zones.iter_mut().filter(|(_, docket)| !docket.under_way && docket.due <= now);
        let (zone, docket) = due.min_by_key(|(_, docket)| docket.due)?;
        docket.under_way = true;
        docket.hinted = false;
        docket.begun = Some(now);
        let (zone, overdue) = (zone.clone(), docket.is_overdue(now));
        Some(Begun { zone, overdue, refusals: mem::take(&mut docket.refusals) })
    }

    /// The attempt for a zone has ended.
    pub(super) fn end(
        &mut self,
        Ended { zone, found, refusals }: Ended,
        (times, chance): (Option<Times>, u64),
        now: Instant,
    ) {
        let Some(docket) = self.zones.get_mut(&zone) else { return };
        docket.under_way = false;
        docket.refusals = refusals;
        docket.expire = times.map_or(PATIENCE, |times| times.expire);
        let longest = times.map_or(LONGEST_RETRY, |times| times.retry.max(FLOOR));
        let pause = match found {
            Some(Found::Newer | Found::Nothing) => {
                docket.since = now;
                docket.pause = SHORTEST;
                docket.failing = None;
                times.map_or(LONGEST_RETRY, |times| times.refresh.max(FLOOR))
            }
            Some(Found::Superseded) => docket.back_off(longest),
            None => {
                let pause = docket.back_off(longest);
                let began = docket.failing.map_or(docket.begun.unwrap_or(now), |(began, _)| began);
                docket.failing = Some((began, now + pause.min(FLOOR)));
                pause
            }
        };
        docket.due = now + jittered(pause.min(LONGEST), chance).max(pause.min(FLOOR));
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
    fn new(revision: u64, expire: Duration, now: Instant) -> Self {
        Self {
            revision,
            due: now,
            begun: None,
            under_way: false,
            hinted: false,
            pause: SHORTEST,
            failing: None,
            since: now,
            expire,
            refusals: Refusals::default(),
        }
    }

    fn is_overdue(&self, now: Instant) -> bool {
        now - self.since >= self.expire
            || self.failing.is_some_and(|(began, _)| now - began >= LONGEST_FAILING)
    }

    /// The pause before the next attempt; the one after it is longer.
    fn back_off(&mut self, longest: Duration) -> Duration {
        let pause = self.pause.min(longest);
        self.pause = (self.pause * 2).min(LONGEST);
        pause
    }

    fn hint(&mut self, now: Instant) {
        if self.under_way {
            self.hinted = true;
            return;
        }
        let earliest = match self.failing {
            Some((_, until)) => until,
            None => self.begun.map_or(now, |begun| begun + SHORTEST),
        };
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
