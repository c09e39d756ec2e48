//! One answer being made: a step for each name that the question leads to.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use super::place::{Cut, closest, cut_above, zone_of};
use super::whole::all_of;
use super::{Answer, AnswerData, AnswerRecord, Code, Kind, negative_soa, soa_record};
use crate::name::DnsName;
use crate::spec::{Binding, RecordData};
use crate::steer::{self, Client};
use crate::view::{Answers, NameAnswers, RecordSet, ZoneAnswers};

/// How many CNAMEs are followed inside our zones.
const MAX_CHAIN: usize = 8;

/// For how many targets of an answer addresses are added.
const MAX_TARGETS: usize = 32;

/// How many aliases lead from one to the next.
const MAX_ALIASES: usize = 2;

/// The longest name on the wire, in bytes (RFC 1035, 3.1).
const MAX_NAME: usize = 255;

pub(super) fn answer(view: &Answers, name: &DnsName, kind: Kind, client: &Client) -> Answer {
    Walk::over(view, kind, Asker::One(client), 0).answer(name)
}

pub(super) fn answer_to_all(view: &Answers, name: &DnsName, kind: Kind) -> Answer {
    Walk::over(view, kind, Asker::All, 0).answer(name)
}

/// For whom an answer is made.
#[derive(Clone, Copy)]
enum Asker<'a> {
    One(&'a Client),
    /// For all clients together: nothing is chosen.
    All,
}

enum Next {
    Done,
    Chase(DnsName),
}

/// One answer being made.
struct Walk<'a> {
    view: &'a Answers,
    kind: Kind,
    asker: Asker<'a>,
    /// How many aliases led here.
    aliases: usize,
    result: Answer,
}

impl<'a> Walk<'a> {
    fn over(view: &'a Answers, kind: Kind, asker: Asker<'a>, aliases: usize) -> Self {
        Self { view, kind, asker, aliases, result: Answer::bare(Code::NoError) }
    }

    fn answer(mut self, name: &DnsName) -> Answer {
        let Some(mut zone) = self.zone_of(name) else { return Answer::bare(Code::Refused) };
        let mut owner = name.clone();
        for _ in 0..=MAX_CHAIN {
            let Next::Chase(target) = self.step(zone, &owner) else { break };
            match self.zone_of(&target) {
                Some(next) if !self.result.answers.iter().any(|record| record.name == target) => {
                    owner = target;
                    zone = next;
                }
                _ => break,
            }
        }
        self.add_targets();
        self.result
    }

    /// The zone that answers for a name: its own, and the parent of an apex for DS (RFC 4035, 3.1.4.1).
    fn zone_of(&self, name: &DnsName) -> Option<&'a Arc<ZoneAnswers>> {
        let zone = zone_of(self.view, name)?;
        if self.kind != Kind::DS || zone.zone.name != *name {
            return Some(zone);
        }
        name.parent().and_then(|parent| zone_of(self.view, &parent)).or(Some(zone))
    }

    fn step(&mut self, zone: &ZoneAnswers, owner: &DnsName) -> Next {
        let closest = closest(self.view, zone, owner);
        if let Some((at, cut)) = cut_above(self.view, zone, (&closest, owner)) {
            match cut {
                Cut::Delegation(_) if self.kind == Kind::DS && at == *owner => {}
                Cut::Delegation(set) => return self.refer(&at, set),
                Cut::Dname(set) => return self.rename(&at, set, owner),
            }
        }
        if *owner == zone.zone.name && self.push_apex(zone) {
            return Next::Done;
        }
        let exists = closest == *owner;
        let here = match exists {
            true => self.view.names.get(owner),
            false => closest.child("*").ok().and_then(|wildcard| self.view.names.get(&wildcard)),
        };
        match here {
            Some(here) if here.refused => self.fail(),
            Some(here) => self.tell(zone, owner, here),
            None => self.tell_nothing(zone, if exists { Code::NoError } else { Code::NameError }),
        }
    }

    /// Answers with what is at a name, or at the wildcard that stands in for it.
    fn tell(&mut self, zone: &ZoneAnswers, owner: &DnsName, here: &NameAnswers) -> Next {
        if let Some(set) = set_of(here, self.kind) {
            let first = self.result.answers.len();
            self.push(owner, set);
            // Of several CNAMEs one was chosen.
            return match self.result.answers.get(first).map(|record| &record.data) {
                Some(AnswerData::Record(RecordData::Cname(target)))
                    if !matches!(self.kind, Kind::CNAME | Kind::ANY) =>
                {
                    Next::Chase(target.clone())
                }
                _ => Next::Done,
            };
        }
        match set_of_exactly(here, Kind::ALIAS) {
            Some(set) if matches!(self.kind, Kind::A | Kind::AAAA | Kind::ANY) => {
                self.flatten(zone, owner, set)
            }
            _ => self.tell_nothing(zone, Code::NoError),
        }
    }

    fn tell_nothing(&mut self, zone: &ZoneAnswers, code: Code) -> Next {
        self.result.code = code;
        self.result.authority.push(negative_soa(zone));
        Next::Done
    }

    fn fail(&mut self) -> Next {
        self.result = Answer::bare(Code::ServerFailure);
        Next::Done
    }

    /// Answers with the addresses of an alias's target as the owner's own. A target with addresses of the other
    /// family alone gives NODATA; one with none at all is a failure, never an empty answer.
    fn flatten(&mut self, zone: &ZoneAnswers, owner: &DnsName, set: &RecordSet) -> Next {
        let Some((RecordData::Alias(target), _)) = set.records.first() else { return self.fail() };
        let [v4, v6] = [Kind::A, Kind::AAAA].map(|kind| self.addresses(target, kind));
        let (wanted, other) = match self.kind {
            Kind::AAAA => (v6, v4),
            Kind::ANY if v4.as_ref().is_none_or(|found| found.answers.is_empty()) => (v6, v4),
            _ => (v4, v6),
        };
        let (Some(wanted), Some(other)) = (wanted, other) else { return self.fail() };
        // Whether there is an address of the family depends on the client too.
        for found in [&wanted, &other] {
            self.note(found.scope, found.varies);
        }
        if wanted.answers.is_empty() {
            return match other.answers.is_empty() {
                true => self.fail(),
                false => self.tell_nothing(zone, Code::NoError),
            };
        }
        let ttl = wanted.answers.iter().map(|record| record.ttl).fold(set.ttl, Duration::min);
        let own = |record: AnswerRecord| AnswerRecord { name: owner.clone(), ttl, ..record };
        let addresses = wanted.answers.into_iter().filter(|record| !is_alias(&record.data));
        self.result.answers.extend(addresses.map(own));
        Next::Done
    }

    /// What a name answers an address question with; `None` where that is no answer of ours.
    fn addresses(&self, name: &DnsName, kind: Kind) -> Option<Answer> {
        if self.aliases >= MAX_ALIASES {
            return None;
        }
        let walk = Walk::over(self.view, kind, self.asker, self.aliases + 1);
        let mut found = walk.answer(name);
        if !found.answers.iter().any(|record| !is_alias(&record.data)) {
            found.answers.clear();
        }
        Some(found).filter(|found| found.code == Code::NoError && found.authoritative)
    }

    /// A referral: the name servers of the zone that begins at the cut, with the glue that only we can give.
    fn refer(&mut self, cut: &DnsName, set: &RecordSet) -> Next {
        self.result.authoritative = !self.result.answers.is_empty();
        let mut servers = Vec::new();
        let scope = push_set(cut, set, self.asker, &mut servers);
        self.note(scope, steer::varies(set));
        let targets = || servers.iter().filter_map(target_of).take(MAX_TARGETS);
        for inside in [true, false] {
            for target in targets().filter(|target| target.is_within(cut) == inside) {
                self.push_addresses(target);
            }
            if inside {
                self.result.required = self.result.additional.len();
            }
        }
        self.result.authority.extend(servers);
        Next::Done
    }

    /// A DNAME: the record, the CNAME that follows from it, and on to the new name (RFC 6672, 3.2).
    fn rename(&mut self, cut: &DnsName, set: &RecordSet, owner: &DnsName) -> Next {
        let Some((RecordData::Dname(target), _)) = set.records.first() else { return self.fail() };
        if !self
            .result
            .answers
            .iter()
            .any(|record| record.name == *cut && record.data.kind() == Kind::DNAME)
        {
            self.push(cut, set);
        }
        // What stands before the cut ends in a dot.
        let prefix = &owner.as_str()[..owner.as_str().len() - cut.as_str().len()];
        let renamed = String::from(prefix) + target.as_str();
        let renamed = DnsName::from_query(renamed.trim_end_matches('.').into());
        if renamed.wire_len() > MAX_NAME {
            self.result.code = Code::NameTooLong;
            return Next::Done;
        }
        let data = AnswerData::Record(RecordData::Cname(renamed.clone()));
        self.result.answers.push(AnswerRecord { name: owner.clone(), ttl: set.ttl, data });
        match self.kind {
            Kind::CNAME | Kind::ANY => Next::Done,
            _ => Next::Chase(renamed),
        }
    }

    fn push_apex(&mut self, zone: &ZoneAnswers) -> bool {
        let apex = &zone.zone;
        match self.kind {
            Kind::SOA | Kind::ANY => self.result.answers.push(soa_record(zone, apex.ttl)),
            Kind::NS => {
                self.result.answers.extend(apex.name_servers.iter().map(|server| AnswerRecord {
                    name: apex.name.clone(),
                    ttl: apex.ttl,
                    data: AnswerData::Record(RecordData::Ns(server.name.clone())),
                }))
            }
            _ => return false,
        }
        true
    }

    fn push(&mut self, owner: &DnsName, set: &RecordSet) {
        let scope = push_set(owner, set, self.asker, &mut self.result.answers);
        self.note(scope, steer::varies(set));
    }

    /// Notes for whom a choice is right.
    fn note(&mut self, scope: u8, varies: bool) {
        self.result.scope = self.result.scope.max(scope);
        self.result.varies |= varies;
    }

    /// Adds the addresses of targets that are ours: one round trip saved.
    fn add_targets(&mut self) {
        let mut targets: Vec<DnsName> = Vec::new();
        for target in self.result.answers.iter().filter_map(target_of) {
            if targets.len() < MAX_TARGETS && !targets.contains(target) {
                targets.push(target.clone());
            }
        }
        targets.iter().for_each(|target| self.push_addresses(target));
    }

    fn push_addresses(&mut self, target: &DnsName) {
        let Some(here) = self.view.names.get(target).filter(|here| !here.refused) else { return };
        if self.result.additional.iter().any(|record| record.name == *target) {
            return;
        }
        for kind in [Kind::A, Kind::AAAA] {
            if let Some(set) = set_of_exactly(here, kind) {
                let scope = push_set(target, set, self.asker, &mut self.result.additional);
                self.note(scope, steer::varies(set));
            }
        }
    }
}

/// The name whose addresses are added to an answer with this record. A service binding to the root is one to its owner.
fn target_of(record: &AnswerRecord) -> Option<&DnsName> {
    match &record.data {
        AnswerData::Record(RecordData::Svcb(binding) | RecordData::Https(binding)) => match binding
        {
            Binding { priority: 1.., target, .. } if target.is_root() => Some(&record.name),
            Binding { target, .. } => Some(target),
        },
        AnswerData::Record(data) => data.target(),
        AnswerData::Soa { .. } => None,
    }
}

/// Whether a record leads to another name, on the way to addresses.
fn is_alias(data: &AnswerData) -> bool {
    matches!(data, AnswerData::Record(RecordData::Cname(_) | RecordData::Dname(_)))
}

/// The set that answers a type: its own, or the CNAME.
fn set_of(here: &NameAnswers, kind: Kind) -> Option<&RecordSet> {
    let told =
        |set: &&RecordSet| set.records.first().is_some_and(|(data, _)| data.kind() != Kind::ALIAS);
    match kind {
        Kind::ANY => here.sets.iter().find(told),
        _ => set_of_exactly(here, kind).or_else(|| set_of_exactly(here, Kind::CNAME)).filter(told),
    }
}

pub(super) fn set_of_exactly(here: &NameAnswers, kind: Kind) -> Option<&RecordSet> {
    here.sets.iter().find(|set| set.records.first().is_some_and(|(data, _)| data.kind() == kind))
}

/// Adds what the asker gets of a set; returns the scope of that choice.
fn push_set(owner: &DnsName, set: &RecordSet, asker: Asker, out: &mut Vec<AnswerRecord>) -> u8 {
    let mut push = |data: &RecordData| {
        let data = AnswerData::Record(data.clone());
        out.push(AnswerRecord { name: owner.clone(), ttl: set.ttl, data });
    };
    match asker {
        Asker::One(client) => steer::choose(set, client, |place| push(&set.records[place].0)),
        Asker::All => {
            all_of(set).into_iter().for_each(push);
            0
        }
    }
}
