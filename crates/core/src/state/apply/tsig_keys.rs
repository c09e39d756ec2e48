//! `ApplyTsigKey` and `RemoveTsigKey`: the keys of transfers and updates.

use alloc::format;
use alloc::string::ToString;
use alloc::sync::Arc;

use super::not_found;
use crate::command::{Rejection, Reply};
use crate::event::Event;
use crate::name::DnsName;
use crate::state::{State, Work};
use crate::tsig::TsigKey;

impl State {
    pub(in crate::state) fn apply_tsig_key(
        &mut self,
        work: &mut Work<'_>,
        (name, key): (&DnsName, &TsigKey),
        replace: bool,
    ) -> Result<Reply, Rejection> {
        let known = self.data.tsig_keys.contains_key(name);
        if known && !replace {
            return Err(Rejection::NameInUse {
                name: name.to_string(),
                owner: "a TSIG key".into(),
                next_step: format!(
                    "choose another name, or give the key another secret with `holdfast tsig add {name} --replace`; \
                     whoever signs with the former is refused from then on"
                ),
            });
        }
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
        let user = self.data.zones.values().find_map(|state| {
            let mut uses = state.zone.key_uses();
            uses.find(|(_, key)| *key == name).map(|(field, _)| (field, &state.zone.name))
        });
        if let Some((field, zone)) = user {
            return Err(Rejection::InUse {
                name: format!("TSIG key {name}"),
                user: format!("zone {zone}, under {field}"),
                next_step: format!("take it out of `{field}` of zone {zone}, then remove it"),
            });
        }
        Arc::make_mut(&mut self.data.tsig_keys).remove(name);
        work.say(None, Event::TsigKeyRemoved { key: name.clone() });
        Ok(Reply::Done)
    }
}
