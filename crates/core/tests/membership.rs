//! What holds of the members whatever people ask and however far a leader gets with carrying it out.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_core::membership::{Member, Membership, MembershipChange, shared_address};
use holdfast_core::{
    Actor, ActorKind, AgentId, Command, Entry, GroupId, Outcome, Rejection, RequestId, State,
    Timestamp,
};
use proptest::collection::vec;
use proptest::prelude::*;

/// What happens next.
#[derive(Debug, Clone)]
enum Step {
    /// Somebody asks for a change, under a request of this number.
    Ask(u8, MembershipChange),
    /// The leader carries out what is requested, or the first half of it.
    CarryOut { half: bool },
    /// The state is restored from its snapshot.
    Restore,
}

fn member(name: u8, region: u8, host: u8) -> Member {
    Member {
        name: format!("a{name}"),
        region: format!("r{region}"),
        peer_address: format!("10.0.0.{host}:7443"),
        api_address: format!("10.0.0.{host}:7444"),
        directory: host.into(),
    }
}

fn change() -> impl Strategy<Value = MembershipChange> {
    let id = || (0_u64..9).prop_map(AgentId);
    prop_oneof![
        2 => (id(), 0_u8..3).prop_map(|(id, region)| {
            let own = u8::try_from(id.0).expect("small");
            MembershipChange::Add { id, member: member(own, region, own) }
        }),
        1 => (id(), 0_u8..9, 0_u8..3, 0_u8..9).prop_map(|(id, name, region, host)| {
            MembershipChange::Add { id, member: member(name, region, host) }
        }),
        3 => id().prop_map(MembershipChange::Promote),
        3 => id().prop_map(MembershipChange::Remove),
        1 => id().prop_map(MembershipChange::TransferLeadership),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (any::<u8>(), change()).prop_map(|(request, change)| Step::Ask(request, change)),
        5 => prop::bool::weighted(0.3).prop_map(|half| Step::CarryOut { half }),
        1 => Just(Step::Restore),
    ]
}

struct Run {
    state: State,
    index: u64,
    answers: BTreeMap<u8, Outcome>,
    gone: BTreeSet<AgentId>,
}

impl Run {
    /// A group of these regions' agents, one each.
    fn new(regions: &[u8]) -> Self {
        let mut state = State::new(GroupId(1));
        let numbered = (1..).zip(regions);
        let members: BTreeMap<_, _> =
            numbered.map(|(id, region)| (AgentId(id.into()), member(id, *region, id))).collect();
        let voters = members.keys().copied().collect();
        state.take_membership(0, members, voters, false);
        Self { state, index: 0, answers: BTreeMap::new(), gone: BTreeSet::new() }
    }

    fn membership(&self) -> &Membership {
        &self.state.snapshot().membership
    }

    fn take(&mut self, step: &Step) -> Result<(), TestCaseError> {
        self.index += 1;
        match step {
            Step::Ask(request, change) => self.ask(*request, change),
            Step::CarryOut { half } => {
                self.carry_out(*half);
                Ok(())
            }
            Step::Restore => {
                self.state = State::restore(self.state.snapshot().clone());
                Ok(())
            }
        }
    }

    fn ask(&mut self, request: u8, change: &MembershipChange) -> Result<(), TestCaseError> {
        let entry = Entry {
            at: Timestamp(self.index),
            request_id: Some(RequestId(request.into())),
            actor: Actor { kind: ActorKind::Person, name: "ann".into() },
            command: Command::RequestMembership(change.clone()),
        };
        let outcome = self.state.apply(self.index, &entry).outcome;
        let first = self.answers.entry(request).or_insert_with(|| outcome.clone());
        let superseded = matches!(outcome.result, Err(Rejection::Superseded(_)));
        prop_assert!(outcome == *first || (superseded && outcome.index == first.index));
        let open = self.membership().requested.as_ref().map(|requested| requested.index);
        prop_assert!(!superseded || open != Some(outcome.index), "what is void is not requested");
        Ok(())
    }

    fn carry_out(&mut self, half: bool) {
        let Membership { mut members, mut voters, requested, .. } = self.membership().clone();
        let Some(requested) = requested else { return };
        match requested.change {
            MembershipChange::Add { id, member } => drop(members.insert(id, member)),
            MembershipChange::Promote(id) => drop(voters.insert(id)),
            MembershipChange::Remove(id) => {
                voters.remove(&id);
                if !half {
                    members.remove(&id);
                    self.gone.insert(id);
                }
            }
            MembershipChange::TransferLeadership(leader) => {
                let command = Command::BeginTerm { term: self.index, leader };
                let at = Timestamp(self.index);
                let entry = Entry { at, request_id: None, actor: Actor::system(), command };
                self.state.apply(self.index, &entry);
                return;
            }
        }
        self.state.take_membership(self.index, members, voters, half);
    }

    fn check(&self, before: (usize, usize), carried_out: bool) -> Result<(), TestCaseError> {
        let Membership { members, voters, requested, .. } = self.membership();
        prop_assert!(!voters.is_empty(), "somebody votes");
        prop_assert!(voters.iter().all(|id| members.contains_key(id)), "voters are members");
        prop_assert!(self.gone.iter().all(|id| !members.contains_key(id)), "nobody returns");
        for (id, one) in members {
            for (_, other) in members.range(..id) {
                prop_assert_ne!(&one.name, &other.name);
                prop_assert_eq!(shared_address([one, other]), None);
            }
        }
        let (most, all) = fullest(self.membership());
        prop_assert!(
            all == 1 || 2 * most <= all || most * before.1 <= before.0 * all,
            "{most} of {all} votes in one region, after {before:?}"
        );
        prop_assert!(!carried_out || requested.is_none(), "what is carried out is settled");
        Ok(())
    }
}

/// The votes of the region with the most of them, and all votes.
fn fullest(membership: &Membership) -> (usize, usize) {
    let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
    for id in &membership.voters {
        *votes.entry(&membership.members[id].region).or_default() += 1;
    }
    (votes.values().copied().max().unwrap_or(0), membership.voters.len())
}

proptest! {
    #[test]
    fn members_stay_distinct_spread_and_alive(
        regions in vec(0_u8..3, 1..6), steps in vec(step(), 0..60),
    ) {
        let mut run = Run::new(&regions);
        for step in &steps {
            let before = fullest(run.membership());
            run.take(step)?;
            run.check(before, matches!(step, Step::CarryOut { half: false }))?;
        }
    }
}

#[test]
fn numbers_of_former_members_are_never_free_again_however_many_there_are() {
    let mut run = Run::new(&[0]);
    let own = run.membership().members.clone();
    let voters = BTreeSet::from([AgentId(1)]);
    let most = 2 * Membership::RETIRED as u64;
    for id in 2..=most {
        let mut more = own.clone();
        more.insert(AgentId(id), member(9, 0, 9));
        run.state.take_membership(2 * id, more, voters.clone(), false);
        run.state.take_membership(2 * id + 1, own.clone(), voters.clone(), false);
    }
    assert_eq!(run.membership().retired.len(), Membership::RETIRED);
    run.index = 2 * most + 2;
    for (request, id) in [(10, 2), (11, most / 2), (12, most)] {
        run.index += 1;
        let add = MembershipChange::Add { id: AgentId(id), member: member(9, 0, 9) };
        run.ask(request, &add).expect("an answer");
        assert_eq!(run.membership().requested, None, "agent {id}");
    }
    run.index += 1;
    let add = MembershipChange::Add { id: AgentId(most + 1), member: member(9, 0, 9) };
    run.ask(1, &add).expect("an answer");
    assert!(run.membership().requested.is_some(), "one that was never used is free");
}
