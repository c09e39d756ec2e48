//! `DeleteZone`: refused while a service answers in it, and while it has keys: they would be lost, and resolvers that
//! hold the parent's DS records would refuse whatever took its place.

use alloc::string::ToString;

use super::not_found;
use crate::command::{Rejection, Reply};
use crate::event::Event;
use crate::name::DnsName;
use crate::state::{State, Work};

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
}
