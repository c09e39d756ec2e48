//! When a step in the exchange of a zone's keys is safe, and what it waits for: the arithmetic of RFC 6781, 4.1, in the
//! terms of RFC 7583.
//!
//! ```text
//! a new key may be told to the parent   created + the zone's longest TTL + Dprp       (Ipub; RFC 6781, 4.1.2 and 4.1.3)
//! a key that it does not name may leave the parent's change seen + DprpP + TTLds      (Iret)
//! ```
//!
//! Dprp and DprpP are declared ([`PropagationDelays`]) and taken from the declaration of the moment. All of them are real
//! time, and caches count it, while moments here are the group's, which may run ahead of it: [`for_certain`].
//!
//! The longest TTL is that of any record, not of DNSKEY alone: a resolver may hold data that only the old key signed
//! beside a set of keys without it, and a set of only the old key beside a DS of only the new one.
//!
//! What stood in the parent between two looks is unknown. Looks that find the same make a run, and the wait counts from
//! its first, while no gap between two of them is longer than the wait and [`LATENESS`]: that is what it takes to look,
//! to come back when the refusal says, and to be late by a weekend. After a longer gap the run begins anew. A shorter
//! bound would let nobody finish by two looks, and none is short enough to notice a DS that comes and goes between them.
//!
//! Invariant: a refusal names the moment from which the step is allowed, wherever that depends on time alone, and what to
//! do first wherever it does not. Not known
//! here: agents and servers of the parent that lag for longer than is declared, a group's time that leaps because all of it
//! was off and begins again by wrong clocks, and DS records that come and go between two looks of a run.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::ds::{self, DsFault, Fit, MAX_DIGEST, MAX_DS};
use super::obstacle::Obstacle;
use super::{Ds, ParentDs, Signing, SigningChange, ZoneKey};
use crate::name::DnsName;
use crate::spec::PropagationDelays;
use crate::time::{Timestamp, for_certain, spelled};

/// The TTL of DS records that nobody saw, or could tell.
const UNSEEN_TTL: Duration = Duration::from_secs(2 * 86_400);
/// The longest TTL of DS records that is waited for.
const LONGEST_TTL: Duration = Duration::from_secs(7 * 86_400);

/// By how much longer than the wait two looks of a run may be apart.
const LATENESS: Duration = Duration::from_secs(3 * 86_400);
/// Within which of a look a step is asked for that depends on it.
const LOOK_HOLDS: Duration = Duration::from_secs(5 * 60);

/// Until when caches may hold what a key that signs since `created` has not signed, had every server followed at once:
/// `longest_ttl` is that of the zone's records, and what was served under longer ones may be held until `former_until`.
pub(crate) fn cached_until(
    created: Timestamp,
    longest_ttl: Duration,
    former_until: Timestamp,
) -> Timestamp {
    (created + for_certain(longest_ttl)).max(former_until)
}

impl ParentDs {
    /// For how long a resolver may keep the DS records before these.
    fn wait(&self, delays: PropagationDelays) -> Duration {
        let ttl = if self.ttl.is_zero() { UNSEEN_TTL } else { self.ttl.min(LONGEST_TTL) };
        for_certain(delays.parent.saturating_add(ttl))
    }

    /// Whether a look at this time may go on with the run of the last.
    pub(super) fn counts_at(&self, delays: PropagationDelays, now: Timestamp) -> bool {
        self.seen_at.is_some_and(|seen_at| now <= seen_at + self.wait(delays) + LATENESS)
    }

    fn obstacle(&self, delays: PropagationDelays, now: Timestamp) -> Option<Obstacle> {
        let Some(seen_at) = self.seen_at else { return Some(Obstacle::unseen(LOOK_IS_PAST)) };
        let until = self.since + self.wait(delays);
        if now < until {
            let unseen = if self.ttl.is_zero() {
                " (2 days, for no server of the parent was seen to tell it)"
            } else {
                ""
            };
            return Some(Obstacle::waiting(format!(
                "until {until}, resolvers may keep the parent's former DS records: their TTL{unseen}, {} for all \
                 servers of the parent to follow, and a tenth, by which the group's time may run ahead",
                spelled(delays.parent)
            )));
        }
        (now > seen_at + LOOK_HOLDS).then(|| {
            Obstacle::unseen(format!(
                "the parent's DS records were last looked at {seen_at}, and may have changed; look again within 5 minutes \
                 before the step, as `holdfast zone dnssec` does"
            ))
        })
    }
}

impl Signing {
    /// What the next step waits for, and until when; `None` where it waits for nothing.
    pub fn awaits(
        &self,
        apex: &DnsName,
        delays: PropagationDelays,
        now: Timestamp,
    ) -> Option<String> {
        let finish = SigningChange::FinishRollover { forced: None };
        match self.keys.as_slice() {
            [] => None,
            [_] => self.unready(delays, now),
            [..] => self.obstacle(&finish, apex, delays, now).map(|obstacle| obstacle.problem),
        }
    }

    /// What abandoning the rollover that is under way waits for, and until when; `None` where it waits for nothing, or
    /// none is under way.
    pub fn abandoning_awaits(
        &self,
        apex: &DnsName,
        delays: PropagationDelays,
        now: Timestamp,
    ) -> Option<String> {
        let [_, _, ..] = self.keys.as_slice() else { return None };
        let abandon = SigningChange::AbandonRollover { forced: None };
        self.obstacle(&abandon, apex, delays, now).map(|obstacle| obstacle.problem)
    }

    /// How the parent's DS records, when they were last looked at, fit a key of the zone with this apex.
    pub fn seen_of(&self, apex: &DnsName, key: &ZoneKey) -> Option<Fit> {
        self.parent.as_ref().map(|parent| ds::best_fit(&parent.records, apex, key))
    }

    /// What is wrong with the parent's DS records, when they were last looked at.
    pub fn parent_faults(&self, apex: &DnsName) -> Vec<DsFault> {
        let seen = self.parent.as_ref().filter(|_| !self.keys.is_empty());
        seen.map(|parent| ds::faults_of(&parent.records, apex, &self.keys)).unwrap_or_default()
    }

    /// Which of them, in words that follow "the parent", were not checked beside others that name a key.
    pub fn parent_unchecked(&self, apex: &DnsName) -> Vec<String> {
        let seen = self.parent.as_ref().filter(|_| !self.keys.is_empty());
        seen.map(|parent| ds::unchecked_of(&parent.records, apex, &self.keys)).unwrap_or_default()
    }

    /// Why a step is not safe yet, if it is not.
    pub(crate) fn obstacle(
        &self,
        change: &SigningChange,
        apex: &DnsName,
        delays: PropagationDelays,
        now: Timestamp,
    ) -> Option<Obstacle> {
        let refused = |problem: &str, next_step| Some(Obstacle::new(problem, next_step));
        match (change, self.keys.as_slice()) {
            (SigningChange::Enable(_), []) => None,
            (SigningChange::Enable(_), _) => refused(
                "the zone is signed already",
                "see its keys with `holdfast zone dnssec status`, or replace them with `holdfast zone dnssec rollover start`",
            ),
            (SigningChange::StartRollover(key), [old])
                if key.tag() == old.tag() || self.has_tag(key.tag()) =>
            {
                refused(
                    "the new key has the tag of one that is in use; make another",
                    "ask again with `holdfast zone dnssec rollover start`: each time another key is made",
                )
            }
            (SigningChange::StartRollover(_), [_]) => {
                self.unready(delays, now).map(Obstacle::waiting)
            }
            (SigningChange::StartRollover(_), [_, ..]) => refused(
                "a rollover is under way; finish or abandon it first",
                "`holdfast zone dnssec status` shows what it waits for, then `holdfast zone dnssec rollover finish`",
            ),
            (SigningChange::FinishRollover { .. }, [old, new]) => {
                self.finish_obstacle(apex, (old, new), delays, now)
            }
            (SigningChange::AbandonRollover { .. }, [old, new]) => {
                self.abandon_obstacle(apex, (old, new), delays, now)
            }
            (SigningChange::FinishRollover { .. } | SigningChange::AbandonRollover { .. }, _) => {
                refused(
                    "no rollover is under way",
                    "see the zone's keys with `holdfast zone dnssec status`; `holdfast zone dnssec rollover start` begins one",
                )
            }
            (SigningChange::Disable { .. }, [_, ..]) => self.disable_obstacle(delays, now),
            (_, []) => refused(
                "the zone is not signed; `holdfast zone dnssec enable` signs it",
                "check the name of the zone with `holdfast zone list`, or sign it first",
            ),
            (SigningChange::NoteParent { records, .. }, _) => unbounded(records)
                .map(|problem| Obstacle::new(problem, "remove them at the parent, then ask again")),
        }
    }

    fn finish_obstacle(
        &self,
        apex: &DnsName,
        (old, new): (&ZoneKey, &ZoneKey),
        delays: PropagationDelays,
        now: Timestamp,
    ) -> Option<Obstacle> {
        let fit = |key| self.seen_of(apex, key).unwrap_or(Fit::Apart);
        if let Some(unready) = self.unready(delays, now) {
            let early = fit(new) > Fit::Apart && fit(old) < Fit::Names;
            let (old, new) = (old.tag(), new.tag());
            let advice = format!("; until then put the DS of key {old} back beside that of {new}");
            return Some(Obstacle::waiting(if early { unready + &advice } else { unready }));
        }
        self.ending_obstacle(apex, (old, new), (delays, now), |seen_old, seen_new| {
            if let Some(problem) = unnamed(seen_new, "new", new) {
                return Some(Obstacle::new(problem, PUBLISH));
            }
            let problem = format!("the parent's DS records still name the old key {}", old.tag());
            let next_step = "have the parent name the new key alone, as `holdfast zone dnssec ds` prints it, then finish again";
            seen_old.may_name().then(|| Obstacle::new(problem, next_step))
        })
    }

    fn abandon_obstacle(
        &self,
        apex: &DnsName,
        (old, new): (&ZoneKey, &ZoneKey),
        delays: PropagationDelays,
        now: Timestamp,
    ) -> Option<Obstacle> {
        self.ending_obstacle(apex, (old, new), (delays, now), |seen_old, seen_new| {
            if seen_new.may_name() {
                let (old, new) = (old.tag(), new.tag());
                return Some(Obstacle::new(
                    format!(
                        "the parent's DS records name the new key {new}; have it name key {old} alone"
                    ),
                    "change them at the parent, then abandon again; `holdfast zone dnssec ds` prints what belongs there",
                ));
            }
            unnamed(seen_old, "old", old).map(|problem| Obstacle::new(problem, PUBLISH))
        })
    }

    /// What keeps a rollover from ending: nobody has looked at the parent, what `forbids` makes of how its records fit the
    /// old key and the new one, or what resolvers may hold of its former records.
    fn ending_obstacle(
        &self,
        apex: &DnsName,
        (old, new): (&ZoneKey, &ZoneKey),
        (delays, now): (PropagationDelays, Timestamp),
        forbids: impl FnOnce(Fit, Fit) -> Option<Obstacle>,
    ) -> Option<Obstacle> {
        let Some(parent) = &self.parent else { return Some(Obstacle::unseen(NOT_LOOKED_AT)) };
        let seen = |key| ds::best_fit(&parent.records, apex, key);
        forbids(seen(old), seen(new)).or_else(|| parent.obstacle(delays, now))
    }

    fn disable_obstacle(&self, delays: PropagationDelays, now: Timestamp) -> Option<Obstacle> {
        match &self.parent {
            None => Some(Obstacle::unseen(NOT_LOOKED_AT)),
            Some(parent) if parent.records.is_empty() => parent.obstacle(delays, now),
            Some(_) => Some(Obstacle::new(
                "the parent still has DS records, and resolvers would refuse an unsigned zone",
                "remove them at the parent, then `holdfast zone dnssec disable` again: it says how long to wait",
            )),
        }
    }

    /// From when every cache knows the newest key, and holds nothing that it has not signed.
    pub(super) fn ready_at(&self, delays: PropagationDelays) -> Timestamp {
        self.cached_until + for_certain(delays.zone)
    }

    /// Why the newest key may not stand alone in the parent yet.
    fn unready(&self, delays: PropagationDelays, now: Timestamp) -> Option<String> {
        let (newest, until) = (self.keys.last()?.tag(), self.ready_at(delays));
        (!self.ready && now < until).then(|| {
            format!(
                "until {until}, caches may hold records that key {newest} has not signed: the zone's longest TTL, \
                 {} for all agents to follow, and a tenth, by which the group's time may run ahead; from then on its DS \
                 belongs into the parent",
                spelled(delays.zone)
            )
        })
    }

    fn has_tag(&self, tag: u16) -> bool {
        let records = self.parent.as_ref().map(|parent| parent.records.as_slice());
        records.unwrap_or_default().iter().any(|ds| ds.tag == tag)
    }
}

/// Why a key that stays may not be taken for trusted by the parent.
fn unnamed(fit: Fit, which: &str, key: &ZoneKey) -> Option<String> {
    let tag = key.tag();
    match fit {
        Fit::Names => None,
        Fit::Apart => Some(format!("the parent's DS records do not name the {which} key {tag}")),
        Fit::Mistaken => Some(format!(
            "the parent has a DS record with the tag of the {which} key {tag}, and with another digest or algorithm: it names \
             no key, and by it alone validating resolvers would refuse the zone; have the parent publish what `holdfast \
             zone dnssec ds` prints"
        )),
        Fit::Uncompared => Some(format!(
            "the parent's DS record of the {which} key {tag} has a digest of a type that is not compared; have it publish \
             one of type 2, as `holdfast zone dnssec ds` prints"
        )),
    }
}

/// Why this is more than is taken note of.
fn unbounded(records: &[Ds]) -> Option<String> {
    let long = records.iter().any(|ds| ds.digest.len() > MAX_DIGEST);
    (long || records.len() > MAX_DS).then(|| {
        format!(
            "at most {MAX_DS} DS records with digests of at most {MAX_DIGEST} bytes are taken note of; have the parent remove \
             those of keys that are gone"
        )
    })
}

const PUBLISH: &str =
    "put the DS record that `holdfast zone dnssec ds` prints into the parent, then ask again";
const NOT_LOOKED_AT: &str = "nobody has looked at the parent's DS records yet";
const LOOK_IS_PAST: &str = "CDS has begun to name a key since the parent's DS records were last looked at, so they may \
                            have changed; look again, as `holdfast zone dnssec` does";
