//! `ApplyTsigKey` and `RemoveTsigKey`: the keys of transfers and updates.

use alloc::format;
use alloc::string::ToString;
use alloc::sync::Arc;

use super::not_found;
use crate::command::{Rejection, Reply};
use crate::event::Event;
use crate::name::DnsName;
use crate::spec::Zone;
use crate::state::{State, Work};
use crate::tsig::TsigKey;

impl State {
    pub(in crate::state) fn apply_tsig_key(
        &mut self,
        work: &mut Work<'_>,
        name: &DnsName,
        key: &TsigKey,
    ) -> Result<Reply, Rejection> {
        let known = self.data.tsig_keys.contains_key(name);
        if !known && self.data.tsig_keys.len() >= TsigKey::MAX_KEYS {
            let limit = TsigKey::MAX_KEYS as u64;
            return Err(Rejection::LimitReached { what: "TSIG keys".into(), limit });
        }
        Arc::make_mut(&mut self.data.tsig_keys).insert(name.clone(), key.clone());
        let algorithm = key.algorithm.to_string();
        work.say(None, Event::TsigKeyApplied { key: name.clone(), algorithm });
        Ok(Reply::Done)
    }

    pub(in crate::state) fn remove_tsig_key(
        &mut self,
        work: &mut Work<'_>,
        name: &DnsName,
    ) -> Result<Reply, Rejection> {
        if !self.data.tsig_keys.contains_key(name) {
            return Err(not_found("TSIG key", name));
        }
        let user = self.data.zones.values().find(|state| names_key(&state.zone, name));
        if let Some(user) = user {
            return Err(Rejection::InUse {
                name: format!("TSIG key {name}"),
                user: format!("zone {}", user.zone.name),
            });
        }
        Arc::make_mut(&mut self.data.tsig_keys).remove(name);
        work.say(None, Event::TsigKeyRemoved { key: name.clone() });
        Ok(Reply::Done)
    }
}

/// Whether a zone's declaration names a key.
fn names_key(zone: &Zone, key: &DnsName) -> bool {
    let told = zone.transfer.notify.iter().filter_map(|target| target.key.as_ref());
    let asked = zone.primaries.iter().filter_map(|primaries| primaries.key.as_ref());
    let updating = zone.updates.iter().map(|rule| &rule.key);
    let named = zone.transfer.keys.iter().chain(told).chain(asked).chain(updating);
    named.into_iter().any(|named| named == key)
}
