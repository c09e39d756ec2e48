//! Signs what may be asked before it is asked: every set of a view, the proofs of its names, and what its services may
//! come to serve, so that a failover finds its signatures made.
//!
//! It asks as a client would, in the view and in views that may follow it, and completes the reply by the code that
//! completes all of them ([`Completer`]): so what it makes is what will be looked for, to the byte. The replies go to
//! nobody.
//!
//! Invariant: no thread that answers waits for it or works for it. It runs on a thread of the lowest priority, looks
//! for a newer view every [`BATCH`] jobs, and makes what the next slot needs [`LEAD`](super::maker::LEAD) before the
//! slot begins. What it cannot know (names that do not exist, under compact denial; names that a wildcard stands in
//! for; the serial of the next change) is signed when it is asked for, or right after the publication.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use holdfast_core::DnsName;
use holdfast_core::answer::{Kind, zone_of};
use holdfast_core::spec::RecordData;
use holdfast_core::steer;
use holdfast_core::view::{Answers, RecordSet, ZoneAnswers};
use tokio_util::sync::CancellationToken;

use super::agenda::{Agenda, Job, Next};
use super::asking::{Asking, NOBODYS, is_signed};
use super::complete::Completer;
use super::foresight::{chosen_from, negative_ttls, with_sets};
use crate::metric;
use crate::publish::{AnswersSource, Published};

/// Everything is gone through so often, so that what is needed in the next slot is made in time.
const ROUND_EVERY: Duration = Duration::from_secs(900);
/// So many jobs are done before others of the runtime, and a newer view, are looked at.
const BATCH: usize = 16;
/// The most names that an ALIAS is known to lead from.
const MOST_ALIASES: usize = 1 << 16;

/// Signs beforehand, for all servers of a source.
#[derive(Debug)]
pub struct Presigner {
    source: AnswersSource,
    pub(super) asking: Asking,
    pub(super) agenda: Agenda,
    seen: Option<Arc<Published>>,
    /// The TTLs that negative answers of each signed zone may have.
    negative: BTreeMap<DnsName, Vec<Duration>>,
    /// The owners of each ALIAS by its target: their addresses are the target's.
    aliases: BTreeMap<DnsName, BTreeSet<DnsName>>,
    alias_count: usize,
}

impl Presigner {
    /// One for a source whose views can be signed; `None` for one that has no keys.
    pub fn new(source: AnswersSource) -> Option<Self> {
        let (context, signatures) = source.signing()?;
        let asking = Asking::new(Completer::ahead(Arc::clone(signatures)), context.clone());
        let agenda = Agenda::default();
        Some(Self {
            asking,
            agenda,
            seen: None,
            negative: BTreeMap::new(),
            aliases: BTreeMap::new(),
            alias_count: 0,
            source,
        })
    }

    /// Signs until `shutdown`: after each publication what it changed, and everything anew in time.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut changes = self.source.changes();
        while !shutdown.is_cancelled() {
            changes.borrow_and_update();
            if self.work() {
                tokio::task::yield_now().await;
                continue;
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                // The source holds the sender, so the channel cannot close while this runs.
                _ = changes.changed() => {}
                () = tokio::time::sleep(ROUND_EVERY) => self.renew(),
            }
        }
    }

    /// Goes through everything once more: what was not needed is forgotten, and what is needed soon is made.
    pub fn renew(&mut self) {
        if let Some(seen) = self.seen.clone() {
            self.begin_round(&seen);
        }
    }

    /// Does a part of what is to be done for the newest view; false where nothing is left.
    pub fn work(&mut self) -> bool {
        let Some(newest) = self.source.current() else { return false };
        self.look_at(&newest);
        for _ in 0..BATCH {
            match self.agenda.next(&newest) {
                Next::Job(job) => self.perform(&newest, job),
                Next::RoundEnds => self.end_round(),
                Next::Nothing => {
                    self.source.note_presigned(newest.position());
                    return false;
                }
            }
        }
        true
    }

    fn look_at(&mut self, newest: &Arc<Published>) {
        let before = self.seen.replace(Arc::clone(newest));
        match before {
            Some(before) if Arc::ptr_eq(&before, newest) => {}
            Some(before) if !self.is_signed_otherwise(&before, newest) => {
                if !self.agenda.note(&before, newest) {
                    self.begin_round(newest);
                }
            }
            _ => self.begin_round(newest),
        }
    }

    /// Whether signatures of whole zones are others than those made for the view before.
    fn is_signed_otherwise(&self, before: &Published, newest: &Published) -> bool {
        let (old, new) = (&before.answers().zones, &newest.answers().zones);
        let declared = |zone: &ZoneAnswers| zone.zone.dnssec.clone().unwrap_or_default();
        old.differences(new).any(|(apex, old, new)| match (old, new) {
            (_, None) => false,
            (None, Some(new)) => !new.signing.keys.is_empty(),
            (Some(old), Some(new)) => {
                let known = self.negative.get(apex);
                let is_known = known.is_none_or(|ttls| ttls.contains(&new.negative_ttl));
                old.signing.keys != new.signing.keys
                    || !declared(old).signs_as(&declared(new))
                    || !is_known
            }
        })
    }

    fn begin_round(&mut self, newest: &Published) {
        self.negative = negative_ttls(newest);
        self.agenda.begin_round();
        self.asking.maker().begin();
    }

    fn end_round(&mut self) {
        let (kept, left_out) = self.asking.maker().end();
        // Exact up to 2^53.
        metrics::gauge!(metric::PRESIGNED).set(kept as f64);
        if left_out > 0 {
            tracing::warn!(
                kept,
                left_out,
                "more signatures may be asked for than are kept; the others are made when they are asked for"
            );
        }
    }

    /// Does a job. A panic is a bug: what the job would have signed is signed when it is asked for.
    fn perform(&mut self, newest: &Published, job: Job) {
        let done = catch_unwind(AssertUnwindSafe(|| match &job {
            Job::Zone(apex) => self.sign_zone(newest, apex),
            Job::Name(name) => self.sign_name(newest, name),
            Job::Service(id, from) => self.sign_service(newest, id, *from),
        }));
        if done.is_err() {
            metrics::counter!(metric::PANICS).increment(1);
            tracing::error!(?job, "not signed beforehand: report this with the log before it");
        }
    }

    fn sign_zone(&mut self, newest: &Published, apex: &DnsName) {
        if !is_signed(newest, apex) {
            return;
        }
        let view = (newest.signers(), &**newest.answers());
        self.asking.ask_apex(view, apex);
        self.deny(newest, (newest.answers(), apex));
    }

    fn sign_name(&mut self, newest: &Published, name: &DnsName) {
        let answers = newest.answers();
        let Some(here) = answers.names.get(name) else { return };
        if !is_signed(newest, name) {
            return;
        }
        for set in &here.sets {
            self.note_alias(name, set);
            self.sign_set(newest, name, set);
        }
        self.deny(newest, (answers, name));
        let mut above = name.parent();
        while let Some(empty) = above.filter(|above| is_signed(newest, above)) {
            if answers.names.contains_key(&empty) {
                break;
            }
            self.deny(newest, (answers, &empty));
            above = empty.parent();
        }
    }

    fn note_alias(&mut self, owner: &DnsName, set: &RecordSet) {
        let Some((RecordData::Alias(target), _)) = set.records.first() else { return };
        if self.alias_count < MOST_ALIASES {
            let owners = self.aliases.entry(target.clone()).or_default();
            self.alias_count += usize::from(owners.insert(owner.clone()));
        }
    }

    /// Signs a set of the view in each way in which some client can get it.
    fn sign_set(&mut self, newest: &Published, name: &DnsName, set: &RecordSet) {
        let choices = steer::choices(set);
        if let [_] = &choices[..] {
            self.sign_in((newest, newest.answers()), name, set);
            return;
        }
        for choice in choices {
            let chosen = chosen_from(set, &choice);
            let world = with_sets(newest.answers(), name, vec![chosen.clone()]);
            self.sign_in((newest, &world), name, &chosen);
        }
    }

    /// Signs what a set is answered with in a view, and what is answered in its stead where names lead to it.
    pub(super) fn sign_in(
        &mut self,
        (newest, world): (&Published, &Answers),
        name: &DnsName,
        set: &RecordSet,
    ) {
        let Some((data, _)) = set.records.first() else { return };
        let view = (newest.signers(), world);
        let kinds: &[Kind] = match data.kind() {
            Kind::ALIAS => &[Kind::A, Kind::AAAA],
            kind => &[kind],
        };
        kinds.iter().for_each(|kind| self.asking.ask(view, name, *kind));
        if !matches!(data.kind(), Kind::A | Kind::AAAA) {
            return;
        }
        for owner in self.aliases.get(name).into_iter().flatten() {
            self.asking.ask(view, owner, data.kind());
        }
    }

    /// Signs the proof that a name has not what it has not, with each TTL that it may have.
    pub(super) fn deny(&mut self, newest: &Published, (answers, name): (&Answers, &DnsName)) {
        let Some(zone) = zone_of(answers, name) else { return };
        let kinds = denied_kinds(answers, name);
        let mut ttls = self.negative.get(&zone.zone.name).cloned().unwrap_or_default();
        if !ttls.contains(&zone.negative_ttl) {
            ttls.push(zone.negative_ttl);
        }
        for negative_ttl in ttls {
            let zone = Arc::new(ZoneAnswers { negative_ttl, ..ZoneAnswers::clone(zone) });
            let mut world = answers.clone();
            world.zones.insert(zone.zone.name.clone(), zone);
            let view = (newest.signers(), &world);
            kinds.iter().for_each(|kind| self.asking.ask(view, name, *kind));
        }
    }
}

/// What is asked of a name to have every proof about it: an ALIAS may have no address of one family.
fn denied_kinds(answers: &Answers, name: &DnsName) -> &'static [Kind] {
    let is_alias =
        |set: &RecordSet| set.records.first().is_some_and(|(data, _)| data.kind() == Kind::ALIAS);
    match answers.names.get(name) {
        Some(here) if here.sets.iter().any(is_alias) => &[NOBODYS, Kind::A, Kind::AAAA],
        _ => &[NOBODYS],
    }
}
