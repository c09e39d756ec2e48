//! On which names it depends whether what an update leaves is possible: the changed ones, what is above them, the glue of
//! delegations, and what cuts (delegations, DNAMEs) hide.
//!
//! Invariant: each name below a cut is looked at once, however cuts lie within each other, and none beyond the first that
//! refuses the update anyway. So no update costs more than one walk over its zone.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::vec::Vec;

use super::{Draft, Refused, refuse};
use crate::name::DnsName;
use crate::spec::{Kind, Record, RecordData, Zone};
use crate::state::{Owner, State};
use crate::update::UpdateCode;

impl State {
    /// The names, each once. Errors: a cut would hide a service.
    pub(super) fn affected(&self, zone: &Zone, draft: &Draft) -> Refused<BTreeSet<DnsName>> {
        let mut names: BTreeSet<DnsName> = BTreeSet::new();
        for name in draft.keys() {
            let above = core::iter::successors(Some(name.clone()), DnsName::parent);
            let mut above = above.take_while(|above| above.is_within(&zone.name));
            while above.next().is_some_and(|above| names.insert(above)) {}
        }
        names.extend(self.hidden(zone, draft)?.into_iter().cloned());
        let delegations = names.iter().flat_map(|name| self.to_stand(zone, draft, name));
        let glue: Vec<DnsName> = delegations
            .filter_map(|record| match &record.data {
                RecordData::Ns(server) if server.is_within(&record.name) => Some(server.clone()),
                _ => None,
            })
            .collect();
        names.extend(glue);
        Ok(names)
    }

    /// The records that a name comes to have.
    pub(super) fn to_stand<'a>(
        &'a self,
        zone: &'a Zone,
        draft: &'a Draft,
        name: &DnsName,
    ) -> impl Iterator<Item = &'a Record> {
        let dynamic = draft.get(name).map_or_else(|| self.dynamic_at(zone, name), Vec::as_slice);
        self.records.declared(zone, name).chain(dynamic)
    }

    /// The names at and below those of an update that have a cut, up to the first with data that no cut suffers below it;
    /// those that are changed may come twice.
    fn hidden<'a>(&'a self, zone: &'a Zone, draft: &'a Draft) -> Refused<Vec<&'a DnsName>> {
        let mut hidden = Vec::new();
        let mut walked: Option<&DnsName> = None;
        for (name, records) in draft {
            let has_cut = records.iter().any(|record| is_cut(record.data.kind()));
            if !has_cut || walked.is_some_and(|cut| name.is_within(cut)) {
                continue;
            }
            walked = Some(name);
            let known = self.names.range(name..).map(|(below, owner)| (below, Some(owner)));
            let known = known.take_while(|(below, _)| below.is_within(name));
            let changed = draft.range(name..).map(|(below, _)| (below, None));
            let changed = changed.take_while(|(below, _)| below.is_within(name));
            for (below, owner) in known.chain(changed) {
                if let Some(Owner::Service(service)) = owner {
                    let problem = format!("it would hide service {service}");
                    return refuse(UpdateCode::Refused, problem);
                }
                hidden.push(below);
                let mut there = self.to_stand(zone, draft, below);
                if below != name && there.any(|record| !is_address(record.data.kind())) {
                    return Ok(hidden);
                }
            }
        }
        Ok(hidden)
    }
}

fn is_cut(kind: Kind) -> bool {
    matches!(kind, Kind::NS | Kind::DNAME)
}

fn is_address(kind: Kind) -> bool {
    matches!(kind, Kind::A | Kind::AAAA)
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;
    use crate::command::{Actor, Command, Entry};
    use crate::id::GroupId;
    use crate::spec::{NameServer, Soa, UpdateRule};
    use crate::time::Timestamp;
    use crate::update::{Action, Change, ZoneUpdate};

    fn name(text: &str) -> DnsName {
        DnsName::new(text).expect("a name")
    }

    fn record(owner: &str, data: RecordData) -> Record {
        Record { name: name(owner), ttl: Duration::from_secs(60), data }
    }

    fn address(owner: &str) -> Record {
        record(owner, RecordData::A([192, 0, 2, 1].into()))
    }

    /// A zone in which updates made 500 glue addresses below a delegation, and as many beside it.
    fn state() -> State {
        let server = NameServer { name: name("ns.elsewhere.test"), addresses: Vec::new() };
        let soa = Soa::new(name("hostmaster.z.test"));
        let mut zone = Zone::new(name("z.test"), soa, Vec::from([server]), Duration::from_secs(60));
        let types = Vec::from([Kind::NS, Kind::A]);
        zone.updates = Vec::from([UpdateRule {
            key: name("k.test"),
            names: Vec::new(),
            types,
            registers: None,
        }]);
        let mut state = State::new(GroupId(1));
        apply(&mut state, Command::ApplyZone { zone, if_revision: None });
        let cut = record("cut.z.test", RecordData::Ns(name("ns.elsewhere.test")));
        let owners = (0..500).map(|n| format!("h{n:03}.cut.z.test"));
        let beside = (0..499).map(|n| format!("h{n:03}.z.test"));
        let addresses = owners.chain(beside).map(|owner| address(&owner));
        let changes = core::iter::once(cut).chain(addresses).map(|record| Change {
            name: record.name,
            action: Action::Add { ttl: record.ttl, data: record.data },
        });
        let update = ZoneUpdate {
            zone: name("z.test"),
            key: name("k.test"),
            prerequisites: Vec::new(),
            changes: changes.collect(),
        };
        apply(&mut state, Command::UpdateZone(update));
        state
    }

    fn apply(state: &mut State, command: Command) {
        let (at, actor) = (Timestamp(1), Actor::system());
        let entry = Entry { at, request_id: None, actor, command };
        let applied = state.apply(state.index() + 1, &entry);
        assert!(applied.outcome.result.is_ok(), "{:?}", applied.outcome.result);
    }

    fn looked_at(state: &State, draft: Draft) -> usize {
        let zone = &state.data.zones[&name("z.test")].zone;
        state.hidden(zone, &draft).expect("hides no service").len()
    }

    #[test]
    fn cuts_within_each_other_are_walked_once() {
        let state = state();
        let cut = |owner: &str| {
            let data = RecordData::Ns(name("ns.elsewhere.test"));
            (name(owner), Vec::from([record(owner, data)]))
        };
        let one: Draft = [cut("cut.z.test")].into();
        assert_eq!(looked_at(&state, one.clone()), 501 + 1, "what is known, and what is changed");
        let glue = (0..500).map(|n| {
            let owner = format!("h{n:03}.cut.z.test");
            (name(&owner), Vec::from([address(&owner)]))
        });
        assert_eq!(looked_at(&state, one.clone().into_iter().chain(glue).collect()), 2 * 501);
        let inner = (0..500).map(|n| cut(&format!("h{n:03}.cut.z.test")));
        let nested = one.into_iter().chain(inner).collect();
        assert_eq!(looked_at(&state, nested), 2, "the cut, and the first within it");
    }

    #[test]
    fn nothing_is_looked_at_beyond_what_refuses_the_update() {
        let state = state();
        let owner = "z.test";
        let above = record(owner, RecordData::Dname(name("elsewhere.test")));
        let draft: Draft = [(name(owner), Vec::from([above]))].into();
        assert_eq!(looked_at(&state, draft), 1, "the delegation below it, of 1,000 names");
    }
}
