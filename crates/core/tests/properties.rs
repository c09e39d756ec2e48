//! What holds for every log, asked of random ones: well-formed commands mixed with nonsense, clocks that jump.
//!
//! A case is a list of intents, which become entries against a first state (a report needs to know what is
//! declared). The log that comes out is then fed to other states. `PROPTEST_CASES` sets how many cases.

#[path = "properties/intent.rs"]
mod intent;
#[path = "properties/lower.rs"]
mod lower;

use holdfast_core::invariant::{Checker, Witness};
use holdfast_core::state::Applied;
use holdfast_core::{Actor, AgentId, Command, Entry, GroupId, State, Timestamp};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

use intent::{Intent, intents};
use lower::lower;

/// How many cases a plain run tries.
const CASES: u32 = 64;
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
        Ok(applied)
    }
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
