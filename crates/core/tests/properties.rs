//! What holds for every log, asked of random ones: well-formed commands mixed with nonsense, clocks that jump.
//!
//! A case is a list of intents, which become entries against a first state (a report needs to know what is
//! declared). The log that comes out is then fed to other states. `PROPTEST_CASES` sets how many cases.

#[path = "properties/intent.rs"]
mod intent;
#[path = "properties/lower.rs"]
mod lower;
#[path = "properties/secondary.rs"]
mod secondary;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use holdfast_core::answer::{AnswerData, AnswerRecord, Code, Kind, answer};
use holdfast_core::audit::Record;
use holdfast_core::decision::{Basis, BlockReason, Cause};
use holdfast_core::event::Event;
use holdfast_core::invariant::{Checker, Observed, Witness};
use holdfast_core::prospects::Prospects;
use holdfast_core::quorum::Verdict;
use holdfast_core::selection::Admission;
use holdfast_core::spec::{Address, Policy, Pool, RecordData};
use holdfast_core::state::Applied;
use holdfast_core::steer::Client;
use holdfast_core::ttl::TtlCause;
use holdfast_core::view::{ServiceStatus, View};
use holdfast_core::{
    Actor, AgentId, Command, EndpointName, Entry, GroupId, ServiceId, State, Timestamp,
};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{FileFailurePersistence, TestRunner};

use intent::{Intent, intents};
use lower::lower;
use secondary::{Given, leading_away};

/// How many cases a plain run tries.
const CASES: u32 = 128;
/// How many entries a log has at the most.
const ENTRIES: usize = 70;

fn config() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok());
    ProptestConfig {
        cases: cases.unwrap_or(CASES),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(
            "tests/properties.regressions",
        ))),
        ..ProptestConfig::default()
    }
}

/// A state that is watched: every entry is checked, its view taken.
struct Watched {
    node: AgentId,
    state: State,
}

impl Watched {
    fn new(node: u64) -> Self {
        Self { node: AgentId(node), state: State::new(GroupId(1)) }
    }

    fn apply(
        &mut self,
        checker: &mut Checker,
        index: u64,
        entry: &Entry,
    ) -> Result<Applied, TestCaseError> {
        let applied = self.state.apply(index, entry);
        let view = self.state.view();
        let hash = Some(self.state.hash());
        let witness = Witness { node: self.node, view: &view, records: &applied.records, hash };
        if let Err(violation) = checker.check(&witness) {
            let label = entry.command.label();
            return Err(TestCaseError::fail(format!("entry {index} ({label}): {violation}")));
        }
        self.check_services(checker, index, &view)?;
        Ok(applied)
    }

    /// Asks for every service as a client does, and looks for what is served or left out without a reason.
    fn check_services(
        &self,
        checker: &mut Checker,
        index: u64,
        view: &View,
    ) -> Result<(), TestCaseError> {
        for (id, status) in view.services.iter() {
            let observed = ask(self.node, view, status, index);
            let answered = checker.check_answer(&observed);
            prop_assert_eq!(answered, Ok(()), "service {} at entry {}", id, index);
            let ordered = view.overrides.values().any(|order| order.service == *id);
            let hidden = self.hidden_dead(id);
            prop_assert_eq!(hidden, None, "down, not told, and let in at entry {}", index);
            if status.blocked.is_none() && !ordered {
                prop_assert!(makes_sense(status), "at entry {}: {:?}", index, status);
            }
        }
        Ok(())
    }
}

impl Watched {
    /// An endpoint that is down and not served, and that the next move to its pool would serve all the same.
    fn hidden_dead(&self, id: &ServiceId) -> Option<EndpointName> {
        let service = self.state.snapshot().services.get(id)?;
        let served = |name: &EndpointName| {
            service.selection.served.iter().any(|served| served.endpoint == *name)
        };
        let down = |name: &EndpointName| {
            service.endpoints.get(name).is_some_and(|known| known.verdict == Verdict::Down)
        };
        let admitted = service.automatic.admission.iter();
        let mut admitted = admitted.filter(|(_, admission)| **admission == Admission::In);
        admitted.find(|(name, _)| down(name) && !served(name)).map(|(name, _)| name.clone())
    }
}

/// What a client sees that asks for a service's IPv4 addresses.
fn ask(server: AgentId, view: &View, status: &ServiceStatus, turn: u64) -> Observed {
    let turn = u32::try_from(turn).expect("logs are short");
    let name = &status.spec.dns.name;
    let family = status.selection.served.first().map(|one| &one.address);
    let kind = match family {
        Some(Address::Ip(IpAddr::V6(_))) => Kind::AAAA,
        _ => Kind::A,
    };
    let given = answer(&view.answers, name, kind, &Client::anybody(turn));
    let address = |record: &AnswerRecord| match &record.data {
        AnswerData::Record(RecordData::A(ip)) => Some(Address::Ip((*ip).into())),
        AnswerData::Record(RecordData::Aaaa(ip)) => Some(Address::Ip((*ip).into())),
        AnswerData::Record(RecordData::Cname(name)) => Some(Address::Name(name.clone())),
        _ => None,
    };
    let own = given.answers.iter().filter(|record| record.name == *name);
    Observed {
        server,
        service: status.spec.id.clone(),
        addresses: own.filter_map(address).collect(),
        refused: given.code == Code::ServerFailure,
    }
}

/// Whether, with no order and nothing blocked, what is down is out and what is up is in.
fn makes_sense(status: &ServiceStatus) -> bool {
    let fresh = |verdict| status.endpoints.iter().filter(move |e| e.verdict == verdict && !e.stale);
    let served = |name: &EndpointName| status.selection.served.iter().any(|s| s.endpoint == *name);
    match status.selection.basis {
        Basis::Healthy | Basis::Unjudged => !fresh(Verdict::Down).any(|e| served(&e.endpoint)),
        // Where every endpoint counts alone one that is up is enough; a pool needs as many as it says.
        Basis::AllDown if status.spec.policy != Policy::Failover => {
            fresh(Verdict::Up).next().is_none()
        }
        Basis::AllDown => {
            let up = |name: &EndpointName| fresh(Verdict::Up).any(|e| e.endpoint == *name);
            let up_in = |pool: &Pool| pool.endpoints.iter().filter(|e| up(&e.name)).count();
            !status.spec.pools.iter().any(|pool| up_in(pool) >= usize::from(pool.min_up))
        }
        Basis::Ordered => false,
    }
}

/// Whether what is served was a prospect of the service as it was, and so was its TTL where nobody ordered it.
fn foreseen(was: &ServiceStatus, now: &ServiceStatus) -> bool {
    let prospects = Prospects::of(was);
    let served: BTreeSet<&EndpointName> =
        now.selection.served.iter().map(|one| &one.endpoint).collect();
    let is_served = |place: usize| prospects.endpoints(place).collect::<BTreeSet<_>>() == served;
    let told = now.ttl.cause == TtlCause::Ordered || prospects.ttls().contains(&now.ttl.served);
    told && (served.is_empty() || (0..prospects.len()).any(is_served))
}

/// Makes a log of intents by applying them to a state that is checked at every step.
fn log_of(intents: &[Intent], checker: &mut Checker) -> Result<(Vec<Entry>, State), TestCaseError> {
    let mut first = Watched::new(1);
    let mut clock = Timestamp(1_767_225_600_000);
    let mut entries = Vec::new();
    for (index, intent) in (1..).zip(intents) {
        let entry = lower(intent, &first.state, &mut clock);
        first.apply(checker, index, &entry)?;
        entries.push(entry);
    }
    Ok((entries, first.state))
}

fn tick(at: Timestamp) -> Entry {
    Entry { at, request_id: None, actor: Actor::system(), command: Command::AdvanceTime }
}

proptest! {
    #![proptest_config(config())]

    /// Equal logs give equal states, whenever their views are taken, and every invariant holds after every entry.
    #[test]
    fn equal_logs_give_equal_states(intents in intents(ENTRIES), every in 1usize..20) {
        let mut checker = Checker::new();
        let (entries, mut first) = log_of(&intents, &mut checker)?;
        let mut second = Watched::new(2);
        let mut third = State::new(GroupId(1));
        for (index, entry) in (1..).zip(&entries) {
            second.apply(&mut checker, index, entry)?;
            third.apply(index, entry);
            if (index as usize).is_multiple_of(every) {
                third.view();
            }
        }
        // The same history, shown at once: what `holdfast doctor` does with the audit.
        let mut fresh = State::new(GroupId(1));
        let records: Vec<Record> =
            (1..).zip(&entries).flat_map(|(index, entry)| fresh.apply(index, entry).records).collect();
        let view = fresh.view();
        let witness = Witness { node: AgentId(9), view: &view, records: &records, hash: None };
        prop_assert_eq!(Checker::new().check(&witness), Ok(()));
        prop_assert_eq!(first.hash(), third.hash());
        prop_assert_eq!(first.view(), third.view());
        prop_assert_eq!(first.next_deadline(), third.next_deadline());
    }

    /// A snapshot at any point and the rest of the log give what the whole log gives.
    #[test]
    fn a_snapshot_and_the_tail_give_the_same(intents in intents(ENTRIES), at in 0usize..ENTRIES) {
        let mut checker = Checker::new();
        let (entries, mut whole) = log_of(&intents, &mut checker)?;
        let at = at.min(entries.len());
        let mut before = State::new(GroupId(1));
        for (index, entry) in (1..).zip(&entries[..at]) {
            before.apply(index, entry);
        }
        let text = serde_json::to_string(before.snapshot()).expect("a snapshot is plain data");
        let snapshot = serde_json::from_str(&text).expect("what was written can be read");
        prop_assert_eq!(before.snapshot(), &snapshot);
        let mut restored = Watched { node: AgentId(2), state: State::restore(snapshot) };
        prop_assert_eq!(before.view(), restored.state.view());
        prop_assert_eq!(before.next_deadline(), restored.state.next_deadline());
        checker.restored(AgentId(2));
        for (index, entry) in (at as u64 + 1..).zip(&entries[at..]) {
            restored.apply(&mut checker, index, entry)?;
        }
        prop_assert_eq!(whole.hash(), restored.state.hash());
        prop_assert_eq!(whole.view(), restored.state.view());
        prop_assert_eq!(whole.next_deadline(), restored.state.next_deadline());
    }

    /// What is due at a deadline is done once the time is there: the next deadline is later, or there is none. Else
    /// the leader's ticker would run in place.
    #[test]
    fn a_deadline_that_has_passed_is_never_named_again(intents in intents(ENTRIES)) {
        let mut state = State::new(GroupId(1));
        let mut clock = Timestamp(1_767_225_600_000);
        for (index, intent) in (1..).zip(&intents) {
            let entry = lower(intent, &state, &mut clock);
            state.apply(2 * index, &entry);
            if let Some(due) = state.next_deadline() {
                let mut ticked = state.clone();
                ticked.apply(2 * index + 1, &tick(due.at));
                let now = ticked.snapshot().at;
                let next = ticked.next_deadline();
                let later = next.as_ref().is_none_or(|next| next.at > now);
                prop_assert!(later, "{:?} after {:?} at {}", next, due, now);
            }
        }
    }

    /// Time and index never go back, whatever an entry says, and an entry that is past changes nothing.
    #[test]
    fn time_and_index_never_go_back(intents in intents(ENTRIES)) {
        let mut state = State::new(GroupId(1));
        let mut clock = Timestamp(1_767_225_600_000);
        for (index, intent) in (1..).zip(&intents) {
            let before = state.snapshot().at;
            let entry = lower(intent, &state, &mut clock);
            state.apply(index, &entry);
            prop_assert_eq!(state.index(), index);
            prop_assert_eq!(state.snapshot().at, before.max(entry.at));
            let hash = state.hash();
            let past = state.apply(index, &entry);
            prop_assert!(past.outcome.result.is_err() && past.records.is_empty());
            prop_assert_eq!(hash, state.hash());
        }
    }

    /// A replayed request is answered as before and changes nothing but the index and the time.
    #[test]
    fn a_replay_is_answered_as_before(intents in intents(ENTRIES)) {
        let mut state = State::new(GroupId(1));
        let mut clock = Timestamp(1_767_225_600_000);
        for (index, intent) in (1..).zip(&intents) {
            let entry = lower(intent, &state, &mut clock);
            let first = state.apply(2 * index, &entry);
            if entry.request_id.is_some() {
                let head = state.audit_head();
                let again = state.apply(2 * index + 1, &entry);
                prop_assert_eq!(first.outcome, again.outcome);
                prop_assert_eq!(head, state.audit_head());
            }
        }
    }

    /// Whatever a service comes to serve was among its prospects before, with the TTL it is told for, unless people
    /// changed its declaration or the floor.
    #[test]
    fn what_comes_to_be_served_was_foreseen(intents in intents(ENTRIES)) {
        let mut state = State::new(GroupId(1));
        let mut clock = Timestamp(1_767_225_600_000);
        let mut before = state.view();
        for (index, intent) in (1..).zip(&intents) {
            let entry = lower(intent, &state, &mut clock);
            state.apply(index, &entry);
            let after = state.view();
            for (id, was, now) in before.services.differences(&after.services) {
                if let (Some(was), Some(now)) = (was, now) {
                    let declared = was.spec != now.spec || was.ttl_floor != now.ttl_floor;
                    prop_assert!(declared || foreseen(was, now), "{} at {}", id, index);
                }
            }
            before = after;
        }
    }

    /// The serial of a zone grows whenever a secondary would be given anything else of it.
    #[test]
    fn a_serial_grows_with_what_a_secondary_is_given(intents in intents(ENTRIES)) {
        let mut state = State::new(GroupId(1));
        let mut clock = Timestamp(1_767_225_600_000);
        let mut before = state.view();
        for (index, intent) in (1..).zip(&leading_away(intents)) {
            let entry = lower(intent, &state, &mut clock);
            state.apply(index, &entry);
            let after = state.view();
            for (apex, _) in before.answers.zones.iter() {
                let (was, now) = (Given::of(&before.answers, apex), Given::of(&after.answers, apex));
                if let (Some((was, old)), Some((now, new))) = (was, now) && was != now {
                    prop_assert!(new > old, "{} at {}: {:?} and {:?}", apex, index, was, now);
                }
            }
            before = after;
        }
    }

    /// A rejection leaves nothing behind but itself and what had fallen due.
    #[test]
    fn a_rejection_leaves_nothing_behind(intents in intents(ENTRIES)) {
        let mut state = State::new(GroupId(1));
        let mut clock = Timestamp(1_767_225_600_000);
        for (index, intent) in (1..).zip(&intents) {
            let entry = Entry { request_id: None, ..lower(intent, &state, &mut clock) };
            let mut without = state.clone();
            let applied = state.apply(index, &entry);
            if applied.outcome.result.is_err() {
                without.apply(index, &tick(entry.at));
                let (with, without) = (state.snapshot(), without.snapshot());
                prop_assert_eq!(&with.services, &without.services);
                prop_assert_eq!(&with.agents, &without.agents);
                prop_assert_eq!(&with.zones, &without.zones);
                prop_assert_eq!(&with.overrides, &without.overrides);
                prop_assert_eq!(&with.settings, &without.settings);
            }
        }
    }
}

/// The logs reach what the properties are about: every cause of a change and every reason against one.
#[test]
fn the_logs_reach_what_they_are_for() {
    let mut runner = TestRunner::deterministic();
    let (mut causes, mut reasons): (BTreeMap<Cause, u32>, BTreeMap<BlockReason, u32>) =
        Default::default();
    let mut refused = BTreeMap::new();
    let mut copies = BTreeSet::new();
    for _ in 0..CASES * 3 {
        let intents =
            intents(ENTRIES).new_tree(&mut runner).expect("nothing is filtered").current();
        let mut state = State::new(GroupId(1));
        let mut clock = Timestamp(1_767_225_600_000);
        for (index, intent) in (1..).zip(&intents) {
            let applied = state.apply(index, &lower(intent, &state, &mut clock));
            if let Err(rejection) = &applied.outcome.result {
                *refused.entry(rejection.reason()).or_insert(0) += 1;
            }
            for record in applied.records {
                match record.content.event {
                    Event::SelectionChanged { cause, .. } => *causes.entry(cause).or_default() += 1,
                    Event::ZoneCopied { removed, .. } => {
                        copies.insert(("copied", removed > 0));
                    }
                    Event::ZoneStale { .. } => {
                        copies.insert(("stale", false));
                    }
                    Event::ZoneFresh { .. } => {
                        copies.insert(("fresh", false));
                    }
                    Event::MoveBlocked { reason, .. } => *reasons.entry(reason).or_default() += 1,
                    Event::MoveWithheld { .. } => {
                        *reasons.entry(BlockReason::ObserveMode).or_default() += 1
                    }
                    _ => {}
                }
            }
        }
    }
    let all = [Cause::Declared, Cause::Ordered, Cause::Failed, Cause::Recovered, Cause::Judged];
    assert!(all.iter().all(|cause| causes.contains_key(cause)), "{causes:?}");
    assert!(BlockReason::ALL.iter().all(|reason| reasons.contains_key(reason)), "{reasons:?}");
    assert_eq!(copies.len(), 4, "{copies:?}");
    let wanted = [
        "INVALID_SPEC",
        "NOT_FOUND",
        "STALE_REVISION",
        "NAME_IN_USE",
        "INVALID_ORDER",
        "SUPERSEDED",
    ];
    assert!(wanted.iter().all(|reason| refused.contains_key(reason)), "{refused:?}");
}
