//! `ChangeSigning`: the keys that sign a zone.

use alloc::string::ToString;
use alloc::vec::Vec;

use super::not_found;
use crate::command::{Rejection, Reply};
use crate::event::Event;
use crate::name::DnsName;
use crate::signing::{Signing, SigningChange, ZoneKey};
use crate::state::{State, Work, ZoneState};
use crate::time::Timestamp;

impl State {
    pub(in crate::state) fn change_signing(
        &mut self,
        work: &mut Work<'_>,
        apex: &DnsName,
        change: &SigningChange,
    ) -> Result<Reply, Rejection> {
        let now = self.data.at;
        let cached_until = self.unsigned_until(apex);
        let zone = self.data.zones.get_mut(apex).ok_or_else(|| not_found("zone", apex))?;
        check(zone, change, now)?;
        let (delays, due) = (zone.zone.propagation_delays(), zone.key_due());
        let signing = &mut zone.signing;
        let noted = matches!(change, SigningChange::NoteParent { .. });
        let before = signing.clone();
        let mut told = true;
        match change {
            SigningChange::Enable(key) | SigningChange::StartRollover(key) => {
                signing.add(ZoneKey { created: now, ..key.clone() }, cached_until);
            }
            SigningChange::NoteParent { records, ttl } => {
                told = signing.note_parent((records, *ttl), delays, now);
            }
            SigningChange::FinishRollover { .. } => signing.remove_old(),
            SigningChange::AbandonRollover { .. } => signing.remove_new(),
            SigningChange::Disable { .. } => *signing = Signing::default(),
        }
        if *signing == before {
            return Ok(Reply::Done);
        }
        if noted {
            self.published.mark_status(apex);
        } else {
            zone.touched = work.index;
            self.published.mark_zone(apex);
        }
        self.reschedule_key(apex, due);
        if told {
            work.say(None, event_of(apex, change, &before.keys));
        }
        Ok(Reply::Done)
    }
}

fn check(zone: &ZoneState, change: &SigningChange, now: Timestamp) -> Result<(), Rejection> {
    let refused = |problem: &str, next_step: &str| Rejection::Signing {
        problem: problem.to_string(),
        next_step: next_step.to_string(),
    };
    if let SigningChange::Enable(key) | SigningChange::StartRollover(key) = change {
        key.validate()
            .map_err(|problem| refused(problem, "make the key with `holdfast zone dnssec`"))?;
        if zone.zone.dnssec.is_none() {
            return Err(refused(
                "the zone's declaration does not say how it is to be signed",
                "declare `dnssec: {}` in its manifest, then ask again",
            ));
        }
    }
    let forced = match change {
        SigningChange::FinishRollover { forced }
        | SigningChange::AbandonRollover { forced }
        | SigningChange::Disable { forced } => forced.as_deref().is_some_and(|reason| {
            !reason.trim().is_empty() && reason.len() <= super::LONGEST_REASON
        }),
        _ => false,
    };
    let possible = match change {
        SigningChange::FinishRollover { .. } | SigningChange::AbandonRollover { .. } => {
            zone.signing.keys.len() > 1
        }
        SigningChange::Disable { .. } => !zone.signing.keys.is_empty(),
        _ => false,
    };
    match zone.signing.obstacle(change, &zone.zone.name, zone.zone.propagation_delays(), now) {
        Some(obstacle) if !(forced && possible) => {
            Err(refused(&obstacle.problem, obstacle.next_step))
        }
        _ => Ok(()),
    }
}

fn event_of(apex: &DnsName, change: &SigningChange, before: &[ZoneKey]) -> Event {
    let (tags, reason) = match change {
        SigningChange::Enable(key) | SigningChange::StartRollover(key) => {
            (Vec::from([key.tag()]), None)
        }
        SigningChange::NoteParent { records, .. } => {
            (records.iter().map(|ds| ds.tag).collect(), None)
        }
        SigningChange::FinishRollover { forced } => (Vec::from([before[0].tag()]), forced.clone()),
        SigningChange::AbandonRollover { forced } => {
            (before.last().map(ZoneKey::tag).into_iter().collect(), forced.clone())
        }
        SigningChange::Disable { forced } => {
            (before.iter().map(ZoneKey::tag).collect(), forced.clone())
        }
    };
    let change = change.label().to_string();
    Event::ZoneSigningChanged {
        zone: apex.clone(),
        change,
        tags,
        reason: reason.unwrap_or_default(),
    }
}
