//! `RecordZoneCopy` and `RecordZoneSource`: zones that come from primaries, as the leader fetches them.
//!
//! A copy replaces the one before as a whole or not at all. Names of services stay theirs: what a copy has at them is
//! kept and not served, so that a slip at the primary neither moves a service nor keeps the zone from following. What
//! would hide a service (a delegation, a DNAME) is refused.

use alloc::string::ToString;
use alloc::sync::Arc;

use super::not_found;
use crate::audit::Hash;
use crate::command::{Rejection, Reply};
use crate::copied::{Copied, Fetched, LONGEST_PROBLEM, is_newer, merged};
use crate::event::Event;
use crate::name::DnsName;
use crate::spec::SpecError;
use crate::state::{Dynamic, State, Work, ZoneState};

impl State {
    pub(in crate::state) fn record_zone_copy(
        &mut self,
        work: &mut Work<'_>,
        term: u64,
        (apex, declared): (&DnsName, u64),
        fetched: &Fetched,
    ) -> Result<Reply, Rejection> {
        self.check_term(term)?;
        let state = self.secondary(apex)?;
        check_declaration(state, declared)?;
        check_difference(state.copied.as_deref(), fetched)?;
        let zone = merged(apex, state.copied.as_deref(), fetched).map_err(|error| {
            let field = alloc::format!("copy of {apex}: {}", error.field);
            Rejection::InvalidSpec(SpecError { field, ..error })
        })?;
        self.check_zone_cuts(&zone)?;
        let before = state.copied.clone();
        if let Some(before) = before.filter(|b| *b.zone == zone && b.mname == fetched.mname) {
            self.keep_copy(apex, &before, fetched);
            self.note_source(work, apex, None);
            return Ok(Reply::Stored { revision: before.index, changed: false });
        }
        let copied = Copied {
            index: work.index,
            at: self.data.at,
            serial: Some(fetched.serial),
            from: Some(fetched.from),
            mname: fetched.mname.clone(),
            zone: Arc::new(zone),
        };
        self.store_copy(apex, copied);
        let count = |records: &[_]| u32::try_from(records.len()).unwrap_or(u32::MAX);
        work.say(
            None,
            Event::ZoneCopied {
                zone: apex.clone(),
                from: fetched.from.to_string(),
                serial: fetched.serial,
                added: count(&fetched.added),
                removed: count(&fetched.removed),
                digest: Hash::of_value(fetched).to_string(),
            },
        );
        self.note_source(work, apex, None);
        Ok(Reply::Stored { revision: work.index, changed: true })
    }

    pub(in crate::state) fn record_zone_source(
        &mut self,
        work: &mut Work<'_>,
        term: u64,
        (apex, declared): (&DnsName, u64),
        problem: Option<&str>,
    ) -> Result<Reply, Rejection> {
        self.check_term(term)?;
        check_declaration(self.secondary(apex)?, declared)?;
        if problem.is_some_and(|problem| problem.len() > LONGEST_PROBLEM) {
            return Err(Rejection::Superseded("the problem is longer than 500 bytes".into()));
        }
        self.note_source(work, apex, problem);
        Ok(Reply::Done)
    }

    /// A zone that comes from primaries.
    fn secondary(&self, apex: &DnsName) -> Result<&ZoneState, Rejection> {
        let state = self.data.zones.get(apex).ok_or_else(|| not_found("zone", apex))?;
        match state.zone.primaries {
            Some(_) => Ok(state),
            None => Err(Rejection::Superseded(alloc::format!("zone {apex} has no primaries"))),
        }
    }

    fn store_copy(&mut self, apex: &DnsName, copied: Copied) {
        let at = self.data.at;
        let Some(state) = self.data.zones.get_mut(apex) else { return };
        state.former_ttls_until = state.kept_until(at);
        let zone = copied.zone.clone();
        let before = state.served().cloned();
        state.touched = copied.index;
        state.copied = Some(Arc::new(copied));
        self.led_away.declare(state);
        if let Some(before) = before {
            self.disown_zone_names(&before, &Dynamic::new());
        }
        self.own_zone_names(&zone, &Dynamic::new());
        self.published.mark_records(apex);
    }

    /// Takes the serial alone of a copy that is as the one before. Ours stays, as do those of zones whose ALIASes lead into
    /// it, or two groups that copy from each other would have each other count for ever.
    fn keep_copy(&mut self, apex: &DnsName, before: &Copied, fetched: &Fetched) {
        let (serial, from, at) = (Some(fetched.serial), Some(fetched.from), self.data.at);
        if let Some(state) = self.data.zones.get_mut(apex) {
            state.copied = Some(Arc::new(Copied { serial, from, at, ..before.clone() }));
        }
    }

    fn note_source(&mut self, work: &mut Work<'_>, apex: &DnsName, problem: Option<&str>) {
        let Some(state) = self.data.zones.get_mut(apex) else { return };
        let was = state.stale.take();
        state.stale = problem.map(ToString::to_string);
        self.published.mark_status(apex);
        match (was, problem) {
            (None, Some(problem)) => {
                let (zone, problem) = (apex.clone(), problem.to_string());
                work.say(None, Event::ZoneStale { zone, problem });
            }
            (Some(_), None) => work.say(None, Event::ZoneFresh { zone: apex.clone() }),
            (None, None) | (Some(_), Some(_)) => {}
        }
    }
}

/// Says whether a zone is still declared as it was when its primaries were asked: others may count otherwise, and a serial
/// of those before them would hold up theirs, as their failure would be put down to them.
fn check_declaration(state: &ZoneState, declared: u64) -> Result<(), Rejection> {
    match state.revision {
        revision if revision == declared => Ok(()),
        revision => Err(Rejection::Superseded(alloc::format!(
            "this was asked for the declaration of revision {declared}, and there is that of revision {revision}"
        ))),
    }
}

/// Says whether a difference is to the copy there is, and leads forward.
fn check_difference(present: Option<&Copied>, fetched: &Fetched) -> Result<(), Rejection> {
    let superseded = |why| Err(Rejection::Superseded(why));
    let index = present.map_or(0, |copied| copied.index);
    if fetched.since != 0 && fetched.since != index {
        return superseded(alloc::format!(
            "this is the difference to the copy of index {}, and there is that of index {index}",
            fetched.since
        ));
    }
    match present.and_then(|copied| copied.serial) {
        Some(serial) if !is_newer(fetched.serial, serial) => superseded(alloc::format!(
            "serial {} is not newer than serial {serial}, which is served",
            fetched.serial
        )),
        _ => Ok(()),
    }
}
