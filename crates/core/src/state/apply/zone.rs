//! `ApplyZone`: creates or replaces a zone.

use alloc::string::ToString;
use alloc::sync::Arc;

use super::check_revision;
use crate::audit::Hash;
use crate::command::{Rejection, Reply};
use crate::event::Event;
use crate::name::DnsName;
use crate::spec::Zone;
use crate::state::{State, Work, ZoneState};

/// The most zones of a group.
const MAX_ZONES: usize = 1000;

impl State {
    pub(in crate::state) fn apply_zone(
        &mut self,
        work: &mut Work<'_>,
        zone: &Zone,
        if_revision: Option<u64>,
    ) -> Result<Reply, Rejection> {
        zone.validate().map_err(Rejection::InvalidSpec)?;
        let stored = self.data.zones.get(&zone.name);
        check_revision(&zone.name, if_revision, stored.map_or(0, |state| state.revision))?;
        if let Some(stored) = stored
            && *stored.zone == *zone
        {
            return Ok(Reply::Stored { revision: stored.revision, changed: false });
        }
        if zone.dnssec.is_none() && stored.is_some_and(|stored| !stored.signing.keys.is_empty()) {
            return Err(Rejection::Signing {
                problem: alloc::format!(
                    "zone {} is signed, and this declaration does not say how",
                    zone.name
                ),
                next_step: "keep `dnssec` in it, or first `holdfast zone dnssec disable`".into(),
            });
        }
        self.check_nesting(&zone.name)?;
        self.check_zone_names(zone)?;
        if stored.is_none() && self.data.zones.len() >= MAX_ZONES {
            return Err(Rejection::LimitReached { what: "zones".into(), limit: MAX_ZONES as u64 });
        }
        if let Some(old) = stored.map(|stored| stored.zone.clone()) {
            self.disown_zone_names(&old);
        }
        self.own_zone_names(zone);
        let signing = self
            .data
            .zones
            .get(&zone.name)
            .map(|stored| stored.signing.clone())
            .unwrap_or_default();
        let state = ZoneState {
            zone: Arc::new(zone.clone()),
            revision: work.index,
            touched: work.index,
            signing,
        };
        self.data.zones.insert(zone.name.clone(), state);
        self.published.mark_zone(&zone.name);
        let digest = Hash::of_value(zone).to_string();
        work.say(None, Event::ZoneApplied { zone: zone.name.clone(), digest });
        Ok(Reply::Stored { revision: work.index, changed: true })
    }

    /// Zones do not nest: a name lies in one zone, whose owner is never in question.
    fn check_nesting(&self, apex: &DnsName) -> Result<(), Rejection> {
        let clash = self
            .data
            .zones
            .keys()
            .find(|other| *other != apex && (other.is_within(apex) || apex.is_within(other)));
        match clash {
            Some(other) => Err(Rejection::NameInUse {
                name: apex.to_string(),
                owner: alloc::format!("zone {other}, and zones do not nest"),
            }),
            None => Ok(()),
        }
    }
}
