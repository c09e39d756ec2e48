//! Zones of RegistryService.

use std::collections::BTreeSet;

use holdfast_core::spec::Zone;
use holdfast_core::state::{self, Declared};
use holdfast_core::view::CopyStatus;
use holdfast_core::{Command, DnsName, Rejection, SharedMap, View};
use holdfast_wire::Convert;
use holdfast_wire::pb::v1 as pb;
use tonic::Status;

use super::registry::{Registry, inside};
use super::zone_signing::parent_faults;
use super::{count, named};
use crate::caller::Call;
use crate::refusal::Refusal;

impl Registry {
    pub(super) async fn write_zone(
        &self,
        call: Call<pb::ApplyZoneRequest>,
    ) -> Result<pb::ApplyZoneResponse, Status> {
        let zone = declared(call.body.zone.clone());
        let if_revision = call.body.if_revision;
        let mentioned = zone.as_ref().ok().cloned();
        let (index, revision, changed) = if call.body.validate_only {
            let zone = zone?;
            let view = self.0.agreed(call.within).await?;
            let came_to = self.0.deps.agreement.check_zone(&zone, if_revision);
            let Declared { revision, changed } = came_to.map_err(Refusal::from)?;
            (view.answers.index, revision, changed)
        } else {
            let command = zone.map(|zone| Command::ApplyZone { zone, if_revision });
            let changed = self.0.change(&call, &call.body.request_id, command).await?;
            let (revision, new) = changed.stored();
            (changed.index, revision, new)
        };
        let view = self.0.latest();
        let (missing_keys, dead_aliases) = mentioned
            .map(|zone| (missing_keys(&zone, &view), dead_aliases(&zone, &view)))
            .unwrap_or_default();
        Ok(pb::ApplyZoneResponse { index, revision, changed, missing_keys, dead_aliases })
    }

    pub(super) async fn read_zone(
        &self,
        call: Call<pb::GetZoneRequest>,
    ) -> Result<pb::GetZoneResponse, Status> {
        let name = named("zone", &call.body.zone)?;
        let view = self.0.view(call.body.consistency, call.within).await?;
        let found = view.zones.get(&name);
        let (zone, revision) = found.ok_or_else(|| Refusal::not_found("zone", &call.body.zone))?;
        let index = view.answers.index;
        let served = view.answers.zones.get(&name);
        let dynamic = view.dynamic.get(&name).into_iter().flat_map(SharedMap::values).flatten();
        Ok(pb::GetZoneResponse {
            zone: Some(zone.to_proto()),
            revision: *revision,
            index,
            dynamic: dynamic.map(Convert::to_proto).collect(),
            copy: view.copies.get(&name).map(|status| copy_entry(status)),
            serial: served.map_or(0, |answers| answers.serial),
            signed: served.is_some_and(|answers| !answers.signing.keys.is_empty()),
        })
    }

    pub(super) async fn read_zones(
        &self,
        call: Call<pb::ListZonesRequest>,
    ) -> Result<pb::ListZonesResponse, Status> {
        let view = self.0.view(call.body.consistency, call.within).await?;
        let zones = view.zones.iter().map(|(name, (zone, revision))| {
            let copy = view.copies.get(name);
            let copied = copy.and_then(|status| status.copied.as_ref());
            let records = copied.map_or(&zone.records, |copied| &copied.zone.records);
            let answers = view.answers.zones.get(name);
            let signing = answers.map(|answers| &answers.signing);
            let dynamic = view.dynamic.get(name).into_iter().flat_map(SharedMap::values);
            pb::ZoneEntry {
                name: name.to_string(),
                revision: *revision,
                records: count(records.len()),
                serial: answers.map_or(0, |answers| answers.serial),
                copy: copy.map(|status| copy_entry(status)),
                parent_faults: signing.map_or_else(Vec::new, |s| parent_faults(s, name)),
                parent_unchecked: signing.map_or_else(Vec::new, |s| s.parent_unchecked(name)),
                missing_keys: missing_keys(zone, &view),
                dynamic: count(dynamic.flatten().count()),
            }
        });
        Ok(pb::ListZonesResponse { zones: zones.collect(), index: view.answers.index })
    }
}

/// The keys that a zone names and that do not exist: whoever should sign with them is refused.
fn missing_keys(zone: &Zone, view: &View) -> Vec<pb::MissingKey> {
    let known = &view.answers.tsig_keys;
    let missing: BTreeSet<_> =
        zone.key_uses().filter(|(_, key)| !known.contains_key(*key)).collect();
    let shown = |(field, key): (&str, &DnsName)| pb::MissingKey {
        field: field.to_owned(),
        key: key.to_string(),
    };
    missing.into_iter().map(shown).collect()
}

/// The ALIASes of a zone that lead to nothing, were it declared so.
fn dead_aliases(zone: &Zone, view: &View) -> Vec<pb::DeadAlias> {
    let shown = |(name, target): (&DnsName, &DnsName)| pb::DeadAlias {
        name: name.to_string(),
        target: target.to_string(),
    };
    state::dead_aliases(view, zone).into_iter().map(shown).collect()
}

fn copy_entry(status: &CopyStatus) -> pb::ZoneCopy {
    let copied = status.copied.as_ref();
    let from = copied.and_then(|copied| copied.from);
    pb::ZoneCopy {
        present: copied.is_some(),
        serial: copied.and_then(|copied| copied.serial),
        from: from.map(|from| from.to_string()).unwrap_or_default(),
        at_ms: copied.map_or(0, |copied| copied.at.0),
        stale: status.stale.clone().unwrap_or_default(),
    }
}

fn declared(proto: Option<pb::Zone>) -> Result<Zone, Refusal> {
    let proto = proto.ok_or_else(|| Refusal::field("zone", "it is missing"))?;
    let zone = Zone::from_proto(proto).map_err(inside("zone"))?;
    zone.validate().map_err(|error| Refusal::from(Rejection::InvalidSpec(error)))?;
    Ok(zone)
}
