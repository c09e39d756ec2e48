//! `DeleteZone`: refused while a service answers in it, and while it has keys: they would be lost, and resolvers that
//! hold the parent's DS records would refuse whatever took its place.
//!
//! Until when caches may hold what it served is kept by its apex: a zone that takes its place, or a part of it, and is
//! signed must not be told to the parent before. At most [`MAX_DELETED`] are kept; more are not deleted until some are
//! forgotten.

use alloc::string::ToString;

use super::not_found;
use crate::command::{Rejection, Reply};
use crate::event::Event;
use crate::name::DnsName;
use crate::state::{State, Work};
use crate::time::Timestamp;

/// The most zones whose answers caches may hold though they are deleted.
const MAX_DELETED: usize = 10_000;

impl State {
    pub(in crate::state) fn delete_zone(
        &mut self,
        work: &mut Work<'_>,
        apex: &DnsName,
    ) -> Result<Reply, Rejection> {
        let Some(stored) = self.data.zones.get(apex) else { return Err(not_found("zone", apex)) };
        let (served, zone) = (stored.served().cloned(), stored.zone.clone());
        let dynamic = stored.dynamic.clone();
        if let Some(service) = self.service_in(apex) {
            return Err(Rejection::InUse {
                name: alloc::format!("zone {apex}"),
                user: alloc::format!("service {service}").to_string(),
                next_step: alloc::format!(
                    "delete what answers in it first: `holdfast service delete {service}`"
                ),
            });
        }
        if !stored.signing.keys.is_empty() {
            return Err(Rejection::Signing {
                problem: alloc::format!(
                    "zone {apex} is signed, and its keys would be lost with it"
                ),
                next_step: alloc::format!(
                    "remove the DS records from the parent, then `holdfast zone dnssec disable {apex}`"
                ),
            });
        }
        let now = self.data.at;
        let kept_until = stored.kept_until(now);
        let kept = self.data.deleted_zones.values().filter(|until| **until > now).count();
        if kept >= MAX_DELETED {
            let what = "deleted zones whose records caches may hold for up to a day".into();
            return Err(Rejection::LimitReached { what, limit: MAX_DELETED as u64 });
        }
        self.data.deleted_zones.retain(|_, until| *until > now);
        self.data.deleted_zones.insert(apex.clone(), kept_until);
        if let Some(served) = served {
            self.disown_zone_names(&served, &dynamic);
        }
        self.records.remove(&zone);
        self.led_away.remove(apex);
        self.data.zones.remove(apex);
        self.published.mark_records(apex);
        work.say(None, Event::ZoneDeleted { zone: apex.clone() });
        Ok(Reply::Done)
    }

    /// Until when caches may hold what deleted zones served at the names of one that is to come.
    pub(super) fn deleted_kept_until(&self, apex: &DnsName) -> Timestamp {
        let deleted = self.data.deleted_zones.iter();
        let same = deleted.filter(|(name, _)| name.is_within(apex) || apex.is_within(name));
        same.map(|(_, until)| *until).max().unwrap_or(Timestamp(0))
    }
}
