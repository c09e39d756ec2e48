//! When a signature begins, ends, and is made anew: slots of half the validity, shifted for each name.
//!
//! ```text
//!  begin − validity/4   begin                begin + validity/2          begin + validity
//!  inception ───────────┼── used in this slot ──┼── good, not used any more ──┼ expiration
//! ```
//!
//! So whatever is served is good for at least another half of its validity, also by an agent that was cut off just
//! before it would have been given anew; and as the shift spreads names over the slot, signing is spread too.
//! Whatever is served is good by clocks that are behind by up to a quarter of its validity: those of resolvers, and true
//! time where the agent's own clock is ahead.

use std::time::Duration;

use holdfast_core::Timestamp;

/// The times of a signature, in seconds since 1970; on the wire they are taken modulo 2^32 (RFC 4034, 3.1.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// From when it is good.
    pub inception: u32,
    /// Until when.
    pub expiration: u32,
    /// When the next one takes its place, in seconds.
    pub ends: u64,
}

/// The slot of a name at a moment. `shift` is any number that belongs to the name.
pub fn slot_at(now: Timestamp, validity: Duration, shift: u32) -> Slot {
    let length = (validity.as_secs() / 2).max(1);
    let shift = u64::from(shift) % length;
    let skew = validity.as_secs() / 4;
    let seconds = now.0 / 1000;
    // Counted from one slot before 1970, so that the shift does not go below zero.
    let number = (seconds + length - shift) / length;
    let begin = (number * length + shift).saturating_sub(length);
    let wire = |time: u64| (time & u64::from(u32::MAX)) as u32;
    Slot {
        inception: wire(begin.saturating_sub(skew)),
        expiration: wire(begin + validity.as_secs()),
        ends: begin + length,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;

    #[test]
    fn whatever_is_served_is_good_now_and_for_half_of_its_validity() {
        let validity = Duration::from_secs(14 * DAY);
        for shift in [0, 1, 77_777, u32::MAX] {
            for hour in 0..24 * 30 {
                let seconds = 1_700_000_000 + hour * 3600;
                let slot = slot_at(Timestamp(seconds * 1000), validity, shift);
                // To a clock that is behind by a quarter of the validity too.
                assert!(u64::from(slot.inception) <= seconds - 7 * DAY / 2, "{shift} {hour}");
                assert!(u64::from(slot.expiration) - seconds > 7 * DAY - 1, "{shift} {hour}");
                assert!(slot.ends > seconds && slot.ends <= seconds + 7 * DAY);
                let last = slot_at(Timestamp((slot.ends - 1) * 1000), validity, shift);
                let next = slot_at(Timestamp(slot.ends * 1000), validity, shift);
                assert_eq!(last, slot);
                assert_ne!(next, slot);
            }
        }
    }

    #[test]
    fn names_change_slots_at_moments_of_their_own() {
        let now = Timestamp(1_700_000_000_000);
        let validity = Duration::from_secs(14 * DAY);
        let ends: std::collections::BTreeSet<u64> =
            (0..1000u32).map(|name| slot_at(now, validity, name * 604).ends).collect();
        assert!(ends.len() > 990, "{}", ends.len());
        let first = ends.first().expect("some");
        let last = ends.last().expect("some");
        assert!(last - first > 6 * DAY, "spread over the slot");
    }

    #[test]
    fn the_first_moment_of_time_has_a_slot() {
        let slot = slot_at(Timestamp(0), Duration::from_secs(2 * DAY), 5);
        assert!(slot.ends > 0);
    }
}
