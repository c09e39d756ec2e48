//! When the keys of zones become known to every cache: from then on CDS and CDNSKEY tell the newest, and the zone's
//! serial grows.
//!
//! Invariant: `key_dues` holds each zone whose newest key is not known yet, once, with the moment at which it will be.
//! What TTLs have to do with it is [`crate::signing`]'s.

use alloc::collections::BTreeSet;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::time::Duration;

use super::publish::zone_of;
use super::{Snapshot, State, Work, ZoneState};
use crate::event::Event;
use crate::name::DnsName;
use crate::signing::{ZoneKey, cached_until};
use crate::time::{Timestamp, for_certain};
use crate::ttl::calm_ttl;

/// What an audit record calls it.
const READY: &str = "key ready for the parent";

/// When the newest key of each zone becomes known to every cache.
pub(super) fn key_dues(data: &Snapshot) -> BTreeSet<(Timestamp, DnsName)> {
    let due = |(apex, state): (&DnsName, &ZoneState)| Some((state.key_due()?, apex.clone()));
    data.zones.iter().filter_map(due).collect()
}

impl State {
    /// Until when caches may hold what a key that begins to sign a zone by now has not signed, apart from servers that lag.
    pub(super) fn unsigned_until(&self, apex: &DnsName) -> Timestamp {
        let services = self.data.services.values().map(|service| &service.spec.dns);
        let services = services.filter(|dns| dns.name.is_within(apex));
        let of_services = services.map(|dns| calm_ttl(dns, self.data.settings.ttl_floor)).max();
        let zone = self.data.zones.get(apex);
        let of_zone = zone.map(|state| state.longest_ttl());
        let longest = of_services.max(of_zone).unwrap_or_default();
        let former_until = zone.map_or(Timestamp(0), |state| state.former_ttls_until);
        cached_until(self.data.at, longest, former_until)
    }

    /// Remembers until when caches may hold what is about to change, in the zone of `name`.
    pub(super) fn keep_former_ttl(&mut self, name: &DnsName, ttl: Duration) {
        let until = self.data.at + for_certain(ttl);
        if let Some(apex) = zone_of(&self.data, name)
            && let Some(zone) = self.data.zones.get_mut(&apex)
        {
            zone.former_ttls_until = zone.former_ttls_until.max(until);
        }
    }

    /// Keeps `key_dues` in step with a zone whose keys or delays changed; `before` is when its newest was due.
    pub(super) fn reschedule_key(&mut self, apex: &DnsName, before: Option<Timestamp>) {
        let after = self.data.zones.get(apex).and_then(ZoneState::key_due);
        if let Some(before) = before {
            self.key_dues.remove(&(before, apex.clone()));
        }
        if let Some(after) = after {
            self.key_dues.insert((after, apex.clone()));
        }
    }

    /// Lets CDS and CDNSKEY tell the keys that every cache knows by now.
    pub(super) fn tell_ready_keys(&mut self, work: &mut Work<'_>) {
        while let Some((due, apex)) = self.key_dues.first().cloned()
            && due <= self.data.at
        {
            self.key_dues.remove(&(due, apex.clone()));
            let Some(zone) = self.data.zones.get_mut(&apex) else { continue };
            zone.signing.tell_newest();
            zone.touched = work.index;
            let tags: Vec<u16> = zone.signing.for_parent().iter().map(ZoneKey::tag).collect();
            self.published.mark_zone(&apex);
            let (change, reason) = (READY.to_string(), Default::default());
            work.say_of_itself(
                None,
                Event::ZoneSigningChanged { zone: apex, change, tags, reason },
            );
        }
    }
}
