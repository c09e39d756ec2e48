//! What is to be signed next: what the newest view changed, then everything, one piece at a time.
//!
//! ```text
//! a newer view ─▶ zones, names, services that differ ─▶ first of all, before what waits already
//! new keys, a first view, renewal, too many changes ─▶ a round: zones ▶ names ▶ services, in the order of their names
//! ```
//!
//! A round has no list: it remembers where it is, and goes on from there in whatever view is the newest. So what waits
//! is bounded by [`MOST_CHANGES`], whatever the size of a view.

use std::collections::VecDeque;
use std::ops::Bound;

use holdfast_core::view::ServiceStatus;
use holdfast_core::{DnsName, ServiceId, SharedMap};

use crate::publish::Published;

/// So many changes wait at the most; more begin a round.
const MOST_CHANGES: usize = 4096;

/// A piece of work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Job {
    /// What an apex has by being one.
    Zone(DnsName),
    /// What is at a name in the view.
    Name(DnsName),
    /// What a service may come to serve, from this prospect on.
    Service(ServiceId, usize),
}

/// Where a round is: what comes after this.
#[derive(Debug, Clone)]
enum Round {
    Zones(Option<DnsName>),
    Names(Option<DnsName>),
    Services(Option<ServiceId>),
}

/// What is to be signed next.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    changes: VecDeque<Job>,
    round: Option<Round>,
}

/// What comes of looking at the agenda.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// This is to be done.
    Job(Job),
    /// A round has come to its end.
    RoundEnds,
    /// Nothing is left.
    Nothing,
}

impl Agenda {
    /// Begins a round: everything is gone through, what waits included.
    pub(super) fn begin_round(&mut self) {
        self.changes.clear();
        self.round = Some(Round::Zones(None));
    }

    /// Takes note of what is different in a newer view. False where that is too much to be listed.
    pub(super) fn note(&mut self, before: &Published, now: &Published) -> bool {
        let (old, new) = (before.answers(), now.answers());
        let zones = old.zones.differences(&new.zones).filter(|(_, _, new)| new.is_some());
        let zones = zones.map(|(apex, ..)| Job::Zone(apex.clone()));
        let names = old.names.differences(&new.names).filter(|(_, _, new)| new.is_some());
        let names = names.map(|(name, ..)| Job::Name(name.clone()));
        let services = before.services().differences(now.services());
        let services = services.filter(|(_, old, new)| match (old, new) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(old), Some(new)) => has_other_prospects(old, new),
        });
        let services = services.map(|(id, ..)| Job::Service(id.clone(), 0));
        let room = MOST_CHANGES.saturating_sub(self.changes.len());
        let fresh: Vec<Job> = zones.chain(names).chain(services).take(room + 1).collect();
        let fits = fresh.len() <= room;
        for job in fresh.into_iter().rev().filter(|_| fits) {
            self.changes.push_front(job);
        }
        fits
    }

    /// Puts the rest of a job behind what waits.
    pub(super) fn put_back(&mut self, job: Job) {
        self.changes.push_back(job);
    }

    /// What is to be done next, in the newest view.
    pub(super) fn next(&mut self, newest: &Published) -> Next {
        if let Some(job) = self.changes.pop_front() {
            return Next::Job(job);
        }
        let Some(round) = self.round.take() else { return Next::Nothing };
        let (job, round) = round.go_on(newest);
        self.round = round;
        job.map_or(Next::RoundEnds, Next::Job)
    }
}

impl Round {
    /// The next job, and where the round is then.
    fn go_on(mut self, newest: &Published) -> (Option<Job>, Option<Self>) {
        let answers = newest.answers();
        loop {
            let (job, next) = match &self {
                Self::Zones(last) => match after(&answers.zones, last.as_ref()) {
                    Some(apex) => (Job::Zone(apex.clone()), Self::Zones(Some(apex))),
                    None => {
                        self = Self::Names(None);
                        continue;
                    }
                },
                Self::Names(last) => match after(&answers.names, last.as_ref()) {
                    Some(name) => (Job::Name(name.clone()), Self::Names(Some(name))),
                    None => {
                        self = Self::Services(None);
                        continue;
                    }
                },
                Self::Services(last) => match after(newest.services(), last.as_ref()) {
                    Some(id) => (Job::Service(id.clone(), 0), Self::Services(Some(id))),
                    None => return (None, None),
                },
            };
            return (Some(job), Some(next));
        }
    }
}

/// The key behind another one.
fn after<K: Ord + Clone, V>(map: &SharedMap<K, V>, last: Option<&K>) -> Option<K> {
    let from = last.map_or(Bound::Unbounded, Bound::Excluded);
    map.iter_from(from).next().map(|(key, _)| key.clone())
}

/// Whether something else may come to be served, or with another TTL.
fn has_other_prospects(old: &ServiceStatus, new: &ServiceStatus) -> bool {
    let same = old.spec == new.spec
        && old.selection.same_answer(&new.selection)
        && old.ttl.served == new.ttl.served;
    !same
}
