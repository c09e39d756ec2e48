//! The checkers find what they are for: a true history passes, and each way of falsifying it is named as what it is.

use super::*;
use crate::command::{Actor, Command, Entry};
use crate::decision::{Basis, Cause, Selection};
use crate::event::Event;
use crate::id::{AgentName, BootId, Epoch, GroupId, RegionName, ServiceId};
use crate::observation::{Extent, Observation, ObserverState, Report, Target, fingerprint};
use crate::quorum::Verdict;
use crate::shared_map::SharedMap;
use crate::spec::tests::{service, zone};
use crate::spec::{Address, Settings};
use crate::state::State;
use crate::time::Timestamp;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

/// A group of three observers that sees one failover: its views and records, entry by entry.
fn history() -> Vec<(View, Vec<Record>, Hash)> {
    let mut state = State::new(GroupId(1));
    let mut commands = vec![Command::ApplyZone { zone: zone(), if_revision: None }];
    for id in 1..=3 {
        commands.push(Command::AdmitAgent {
            id: AgentId(id),
            name: AgentName::new(&format!("a{id}")).expect("a label"),
            region: RegionName::new("eu").expect("a label"),
            observer: true,
        });
    }
    commands.push(Command::ApplyService { service: service(), if_revision: None });
    commands.extend((1..=3).map(|agent| report(agent, 1, ObserverState::Up)));
    commands.extend((1..=2).map(|agent| report(agent, 2, ObserverState::Down)));
    let apply = |(index, command)| {
        let entry = Entry {
            at: Timestamp(1000 * index),
            request_id: None,
            actor: Actor::system(),
            command,
        };
        let records = state.apply(index, &entry).records;
        (state.view().as_ref().clone(), records, state.hash())
    };
    (1..).zip(commands).map(apply).collect()
}

/// What one observer says of the first endpoint; the second is up.
fn report(agent: u64, sequence: u64, first: ObserverState) -> Command {
    let spec = service();
    let observation =
        |(place, (_, endpoint)): (usize, (&crate::spec::Pool, &crate::spec::Endpoint))| {
            let (service, check) = (spec.id.clone(), spec.checks[0].name.clone());
            Observation {
                target: Target { service, endpoint: endpoint.name.clone(), check },
                fingerprint: fingerprint(endpoint, &spec.checks[0]),
                state: if place == 0 { first } else { ObserverState::Up },
                failure: None,
                latency: Duration::ZERO,
                since: Timestamp(sequence),
            }
        };
    let observations = spec.endpoints().enumerate().map(observation).collect();
    Command::RecordObservations(Report {
        agent: AgentId(agent),
        boot: BootId(1),
        sequence,
        extent: Extent::WHOLE,
        observations,
    })
}

fn shop() -> ServiceId {
    service().id
}

/// Shows a history to a checker, as one node.
fn show(
    checker: &mut Checker,
    node: u64,
    history: &[(View, Vec<Record>, Hash)],
) -> Result<(), Violation> {
    history.iter().try_for_each(|(view, records, hash)| {
        let node = AgentId(node);
        checker.check(&Witness { node, view, records, hash: Some(*hash) })
    })
}

/// The property that a falsified history is found to break.
fn found(falsify: impl FnOnce(&mut Vec<(View, Vec<Record>, Hash)>)) -> Option<Property> {
    let mut history = history();
    let mut checker = Checker::new();
    assert_eq!(show(&mut checker, 1, &history), Ok(()));
    falsify(&mut history);
    show(&mut checker, 2, &history).err().map(|violation| violation.property)
}

/// Changes the event of every record that is this kind, and links the chain anew from there.
fn rewrite(history: &mut [(View, Vec<Record>, Hash)], change: impl Fn(&mut Event)) {
    let mut head = Head::EMPTY;
    for (view, records, _) in history {
        for record in records.iter_mut() {
            let mut content = record.content.clone();
            change(&mut content.event);
            *record = Record::after(&head, content);
            head = record.head();
        }
        view.audit = Some(head);
    }
}

fn selection_of(view: &mut View) -> &mut Selection {
    let status = view.services.get_mut(&shop()).expect("it is declared");
    &mut Arc::make_mut(status).selection
}

#[test]
fn a_true_history_passes_on_every_node() {
    let history = history();
    let moved = |r: &Record| {
        matches!(r.content.event, Event::SelectionChanged { cause: Cause::Failed, .. })
    };
    assert!(
        history.iter().flat_map(|(_, records, _)| records).any(moved),
        "it tells of a failover"
    );
    let mut checker = Checker::new();
    for node in 1..=3 {
        assert_eq!(show(&mut checker, node, &history), Ok(()));
    }
}

#[test]
fn s1_a_second_selection_under_an_epoch() {
    let property = found(|history| {
        let (view, _, _) = history.last_mut().expect("it is not empty");
        selection_of(view).served[0].port += 1;
    });
    assert_eq!(property, Some(Property::S1));
}

#[test]
fn s2_a_view_that_goes_back() {
    let mut checker = Checker::new();
    let history = history();
    assert_eq!(show(&mut checker, 1, &history), Ok(()));
    checker.restored(AgentId(1));
    let error = show(&mut checker, 1, &history[..4]).expect_err("it goes back");
    assert_eq!(error.property, Property::S2);
}

#[test]
fn s3_a_verdict_without_its_quorum() {
    let property = found(|history| {
        rewrite(history, |event| {
            if let Event::VerdictChanged { to: Verdict::Down, evidence, .. } = event {
                evidence.remove(0);
            }
        });
    });
    assert_eq!(property, Some(Property::S3));
}

#[test]
fn s3_an_opinion_counted_twice() {
    let property = found(|history| {
        rewrite(history, |event| {
            if let Event::VerdictChanged { to: Verdict::Down, evidence, .. } = event {
                evidence[2] = evidence[0].clone();
            }
        });
    });
    assert_eq!(property, Some(Property::S3));
}

#[test]
fn s3_a_verdict_against_the_veto() {
    let property = found(|history| {
        rewrite(history, |event| {
            if let Event::VerdictChanged { to: to @ Verdict::Up, .. } = event {
                *to = Verdict::Down;
            }
        });
    });
    assert_eq!(property, Some(Property::S3));
}

#[test]
fn s3_a_move_without_a_verdict() {
    let property = found(|history| {
        rewrite(history, |event| {
            if let Event::SelectionChanged { cause: cause @ Cause::Declared, .. } = event {
                *cause = Cause::Failed;
            }
        });
    });
    assert_eq!(property, Some(Property::S3));
}

#[test]
fn s3_a_move_onto_what_is_down() {
    let property = found(|history| {
        rewrite(history, |event| {
            if let Event::SelectionChanged { cause: Cause::Failed, from, to, .. } = event {
                core::mem::swap(from, to);
                from.served = to.served.clone();
                from.served[0].endpoint = service().pools[1].endpoints[0].name.clone();
                to.basis = Basis::Healthy;
            }
        });
    });
    assert_eq!(property, Some(Property::S3));
}

#[test]
fn s4_answers_are_committed_and_never_go_back() {
    let history = history();
    let mut checker = Checker::new();
    show(&mut checker, 1, &history).expect("it is true");
    let pools = service().pools;
    let answer = |server, pool: usize| Observed {
        server: AgentId(server),
        service: shop(),
        addresses: vec![pools[pool].endpoints[0].address.clone()],
        refused: false,
    };
    assert_eq!(checker.check_answer(&answer(1, 0)), Ok(()));
    assert_eq!(checker.check_answer(&answer(1, 1)), Ok(()));
    let back = checker.check_answer(&answer(1, 0)).expect_err("it goes back");
    assert_eq!(back.property, Property::S4);
    assert_eq!(checker.check_answer(&answer(2, 0)), Ok(()), "another server may be behind");
    let never = Observed {
        addresses: vec![Address::Ip("10.9.9.9".parse().expect("an address"))],
        ..answer(3, 0)
    };
    assert!(checker.check_answer(&never).is_err());
    assert!(checker.check_answer(&Observed { addresses: Vec::new(), ..answer(3, 0) }).is_err());
    assert!(checker.check_answer(&Observed { refused: true, ..answer(3, 0) }).is_err());
}

#[test]
fn s4_an_answer_ahead_of_its_server() {
    let history = history();
    let mut checker = Checker::new();
    show(&mut checker, 1, &history).expect("it is true");
    show(&mut checker, 2, &history[..8]).expect("it is behind");
    let addresses = vec![service().pools[1].endpoints[0].address.clone()];
    let early = Observed { server: AgentId(2), service: shop(), addresses, refused: false };
    assert!(checker.check_answer(&early).is_err());
}

#[test]
fn s8_empty_names_and_wrong_refusals() {
    let last = || history().pop().expect("it is not empty").0;
    assert_eq!(check_never_empty(&last()), Ok(()));
    let falsified: [fn(&mut View); 4] = [
        |view| Arc::make_mut(&mut view.answers).names = SharedMap::new(),
        |view| Arc::make_mut(&mut view.answers).zones = SharedMap::new(),
        |view| selection_of(view).served.clear(),
        |view| selection_of(view).refused = true,
    ];
    for falsify in falsified {
        let mut view = last();
        falsify(&mut view);
        let error = check_never_empty(&view).expect_err("it is false");
        assert_eq!(error.property, Property::S8);
    }
}

#[test]
fn s9_moves_beyond_the_budget() {
    for group in [false, true] {
        let (mut view, records, _) = history().pop().expect("it is not empty");
        if group {
            view.settings = Settings { max_moves: Some(1), ..Settings::default() };
        } else {
            let status = view.services.get_mut(&shop()).expect("declared");
            let status = Arc::make_mut(status);
            let mut spec = status.spec.as_ref().clone();
            spec.failover.max_moves = 1;
            status.spec = Arc::new(spec);
        }
        let mut budget = Budget::default();
        assert_eq!(budget.check(&view, &records), Ok(()));
        let error = budget.check(&view, &records).expect_err("a second move within the window");
        assert_eq!(error.property, Property::S9);
    }
}

#[test]
fn s13_states_that_differ() {
    let property = found(|history| {
        let (_, _, hash) = history.last_mut().expect("it is not empty");
        *hash = Hash::GENESIS;
    });
    assert_eq!(property, Some(Property::S13));
}

#[test]
fn s14_every_kind_of_tampering() {
    let records: Vec<Record> = history().into_iter().flat_map(|(_, records, _)| records).collect();
    assert!(check_chain(Head::EMPTY, &records).is_ok());
    let tampered: [fn(&mut Vec<Record>); 4] = [
        |records| drop(records.remove(1)),
        |records| records.swap(1, 2),
        |records| records[1].content.at = Timestamp(7),
        |records| records[1].hash = Hash::GENESIS,
    ];
    for tamper in tampered {
        let mut records = records.clone();
        tamper(&mut records);
        let error = check_chain(Head::EMPTY, &records).expect_err("it is tampered with");
        assert_eq!(error.property, Property::S14);
    }
    let cut = found(|history| drop(history.last_mut().expect("it is not empty").1.pop()));
    assert_eq!(cut, Some(Property::S14), "a tail that was cut off");
}

#[test]
fn an_epoch_beyond_the_index_is_no_progress() {
    let property = found(|history| {
        let (view, _, _) = history.last_mut().expect("it is not empty");
        let status = view.services.get_mut(&shop()).expect("it is declared");
        Arc::make_mut(status).epoch = Epoch(99);
    });
    assert_eq!(property, Some(Property::S2));
}

#[test]
fn a_whole_history_can_be_shown_at_once() {
    let at_once = |history: Vec<(View, Vec<Record>, Hash)>| {
        let view = history.last().expect("it is not empty").0.clone();
        let records: Vec<Record> =
            history.into_iter().flat_map(|(_, records, _)| records).collect();
        let witness = Witness { node: AgentId(1), view: &view, records: &records, hash: None };
        Checker::new().check(&witness).map_err(|violation| violation.property)
    };
    assert_eq!(at_once(history()), Ok(()));
    let mut false_verdict = history();
    rewrite(&mut false_verdict, |event| {
        if let Event::VerdictChanged { to: Verdict::Down, evidence, .. } = event {
            evidence.remove(0);
        }
    });
    assert_eq!(at_once(false_verdict), Err(Property::S3));
}
