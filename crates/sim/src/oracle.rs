//! Holds every node to the properties of the safety page, all the time: the shared checkers of the core, one chain
//! of records for the whole group, and evidence that the world bears out.
//!
//! The first thing that does not hold ends the run. What is shown here is what a node publishes; nothing is taken
//! from its inside.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use holdfast_core::audit::{Hash, Record};
use holdfast_core::event::Event;
use holdfast_core::invariant::{Checker, Observed, Witness};
use holdfast_core::observation::ObserverState;
use holdfast_core::quorum::{Evidence, Verdict};
use holdfast_core::spec::{Address, Service};
use holdfast_core::{AgentId, EndpointName, ServiceId, View};
use tokio::sync::watch;

use crate::trace::{Trace, note};
use crate::world::World;

/// An opinion of "down" must rest on a probe that failed at most so long ago.
const TRUTH_WINDOW: Duration = Duration::from_secs(30);

/// The oracle; clones are the same.
#[derive(Clone)]
pub(crate) struct Oracle(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    broken: watch::Sender<Option<String>>,
    trace: Trace,
    world: World,
    addresses: BTreeMap<(ServiceId, EndpointName), Address>,
}

#[derive(Default)]
struct State {
    checker: Checker,
    /// The highest index that each node has shown.
    shown: BTreeMap<AgentId, u64>,
    /// How many records each node has shown.
    lengths: BTreeMap<AgentId, u64>,
    /// The group's records, as whoever was first showed them.
    chain: Vec<Record>,
    /// Who led in each term.
    terms: BTreeMap<u64, AgentId>,
    moves: u64,
    views: u64,
    answers: u64,
}

/// What a run amounted to, as the records tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) elections: usize,
    pub(crate) failovers: u64,
    pub(crate) views: u64,
    pub(crate) answers: u64,
}

impl Oracle {
    pub(crate) fn new(trace: Trace, world: World, services: &[Service]) -> Self {
        let endpoints = services.iter().flat_map(|service| {
            let address = |endpoint: &holdfast_core::spec::Endpoint| endpoint.address.clone();
            let key = |endpoint: &holdfast_core::spec::Endpoint| {
                (service.id.clone(), endpoint.name.clone())
            };
            service.endpoints().map(move |(_, endpoint)| (key(endpoint), address(endpoint)))
        });
        Self(Arc::new(Inner {
            addresses: endpoints.collect(),
            state: Mutex::default(),
            broken: watch::Sender::new(None),
            trace,
            world,
        }))
    }

    /// Ends the run; the first reason stays.
    pub(crate) fn fail(&self, why: String) {
        self.0.broken.send_if_modified(|broken| {
            let first = broken.is_none();
            if first {
                note!(self.0.trace, "BROKEN {why}");
                *broken = Some(why);
            }
            first
        });
    }

    /// Waits for the first thing that does not hold.
    pub(crate) async fn broken(&self) -> String {
        let mut broken = self.0.broken.subscribe();
        let found = broken.wait_for(Option::is_some).await;
        found.ok().and_then(|why| why.clone()).unwrap_or_default()
    }

    /// The highest index that the node has shown, and how many records.
    pub(crate) fn progress(&self, node: AgentId) -> (u64, u64) {
        let state = self.lock();
        let of = |map: &BTreeMap<AgentId, u64>| map.get(&node).copied().unwrap_or(0);
        (of(&state.shown), of(&state.lengths))
    }

    /// The group's records so far.
    pub(crate) fn chain(&self) -> Vec<Record> {
        self.lock().chain.clone()
    }

    pub(crate) fn tally(&self) -> Tally {
        let state = self.lock();
        let (elections, failovers) = (state.terms.len(), state.moves);
        Tally { elections, failovers, views: state.views, answers: state.answers }
    }

    /// Takes note of a view with the records that lead to it.
    pub(crate) fn witness(
        &self,
        node: AgentId,
        view: &View,
        records: &[Record],
        hash: Option<Hash>,
    ) {
        let mut state = self.lock();
        let index = view.answers.index;
        state.views += 1;
        state.shown.insert(node, index);
        *state.lengths.entry(node).or_default() += records.len() as u64;
        let short = hash.map_or_else(String::new, |hash| hash.to_string()[..12].to_owned());
        note!(self.0.trace, "state {node} index {index} hash {short} records +{}", records.len());
        let checked = state.checker.check(&Witness { node, view, records, hash });
        let joined = records.iter().try_for_each(|record| self.join(&mut state, node, record));
        drop(state);
        if let Err(violation) = checked {
            self.fail(format!("agent {node} at index {index}: {violation}"));
        }
        if let Err(why) = joined {
            self.fail(why);
        }
    }

    /// Takes note of an answer that a node gave.
    pub(crate) fn answered(&self, observed: &Observed) {
        let mut state = self.lock();
        state.answers += 1;
        let checked = state.checker.check_answer(observed);
        drop(state);
        if let Err(violation) = checked {
            self.fail(violation.to_string());
        }
    }

    /// Holds a node's record against the group's.
    fn join(&self, state: &mut State, node: AgentId, record: &Record) -> Result<(), String> {
        let place = usize::try_from(record.sequence).unwrap_or(usize::MAX) - 1;
        if let Some(known) = state.chain.get(place) {
            let same = known == record;
            let differs = || format!("S14: agent {node} has another record {}", record.sequence);
            return if same { Ok(()) } else { Err(differs()) };
        }
        if place != state.chain.len() {
            return Err(format!("S14: agent {node} leaves out records before {}", record.sequence));
        }
        state.chain.push(record.clone());
        let about = record.content.service.as_ref().map_or_else(String::new, ToString::to_string);
        note!(
            self.0.trace,
            "record {} index {} {} {about}",
            record.sequence,
            record.content.index,
            record.content.event.kind()
        );
        match &record.content.event {
            Event::TermBegan { term, leader } => {
                let first = *state.terms.entry(*term).or_insert(*leader);
                return if first == *leader {
                    Ok(())
                } else {
                    Err(format!("S12: agents {first} and {leader} both began term {term}"))
                };
            }
            Event::SelectionChanged { cause, .. } if cause.is_automatic() => state.moves += 1,
            Event::VerdictChanged { endpoint, to: Verdict::Down, evidence, .. } => {
                if let Some(service) = &record.content.service {
                    self.check_truth(service, endpoint, evidence)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// L2: nobody is called down by an observer whose probes all passed.
    fn check_truth(
        &self,
        service: &ServiceId,
        endpoint: &EndpointName,
        evidence: &[Evidence],
    ) -> Result<(), String> {
        let Some(address) = self.0.addresses.get(&(service.clone(), endpoint.clone())) else {
            return Ok(());
        };
        let made_up = evidence
            .iter()
            .filter(|opinion| opinion.state == ObserverState::Down)
            .find(|opinion| !self.0.world.failed_within(opinion.agent, address, TRUTH_WINDOW));
        match made_up {
            Some(opinion) => Err(format!(
                "L2: agent {} calls {service}/{endpoint} down, and none of its probes failed",
                opinion.agent
            )),
            None => Ok(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
