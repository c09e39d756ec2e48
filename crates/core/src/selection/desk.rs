//! The questions that every part of a decision asks of its inputs: who is usable, how a pool stands, where to go.
//!
//! A pool is looked at through two lenses: the observers' eyes alone, and with the orders in force laid over them.
//! Nothing is changed here.

use alloc::vec::Vec;

use super::{Admission, Automatic, Inputs};
use crate::decision::{Footing, Standing};
use crate::id::{EndpointName, OverrideId, PoolName};
use crate::quorum::Verdict;
use crate::spec::{Endpoint, Pool};

/// Through which eyes a pool is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lens {
    /// The observers' alone.
    Judged,
    /// With the orders in force.
    Ordered,
}

/// How many endpoints of a pool stand where.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Up, by fresh opinions or by order.
    pub(super) up: u16,
    /// Neither known to be up nor known to be down: not judged yet, or judged by opinions that are no longer fresh.
    pub(super) held: u16,
    /// Those of `held` that were up when last heard of.
    pub(super) last_up: u16,
    /// Down, taken out, or not admitted.
    pub(super) out: u16,
}

/// The inputs with the questions that are asked of them.
pub(super) struct Desk<'a> {
    pub(super) inputs: &'a Inputs<'a>,
    /// The pin in force, where the pool is still declared and has an endpoint.
    pub(super) pin: Option<(&'a Pool, OverrideId)>,
    /// The pools, the preferred first.
    pub(super) pools: Vec<&'a Pool>,
}

impl<'a> Desk<'a> {
    pub(super) fn new(inputs: &'a Inputs<'a>) -> Self {
        let mut pools: Vec<&Pool> = inputs.spec.pools.iter().collect();
        pools.sort_by_key(|pool| pool.priority);
        let pin = inputs.pin.and_then(|(name, order)| {
            let pool =
                pools.iter().find(|pool| pool.name == *name && !pool.endpoints.is_empty())?;
            Some((*pool, order))
        });
        Self { inputs, pin, pools }
    }

    pub(super) fn footing(&self, name: &EndpointName) -> Footing {
        self.inputs.footings.get(name).copied().unwrap_or_default()
    }

    pub(super) fn pool(&self, name: &PoolName) -> Option<&'a Pool> {
        self.pools.iter().find(|pool| pool.name == *name).copied()
    }

    /// Whether an endpoint may stand in an answer.
    pub(super) fn usable(&self, endpoint: &Endpoint, automatic: &Automatic, lens: Lens) -> bool {
        let footing = self.footing(&endpoint.name);
        let admitted = automatic.admission.get(&endpoint.name) == Some(&Admission::In);
        match (lens, footing.forced) {
            (Lens::Judged, _) => admitted,
            (Lens::Ordered, _) if footing.drained => false,
            (Lens::Ordered, Some(forced)) => forced == Verdict::Up,
            (Lens::Ordered, None) => admitted,
        }
    }

    /// How many endpoints of a pool are usable, whatever their verdicts.
    pub(super) fn usable_of(&self, pool: &Pool, automatic: &Automatic, lens: Lens) -> usize {
        pool.endpoints.iter().filter(|endpoint| self.usable(endpoint, automatic, lens)).count()
    }

    /// Whether an order takes an endpoint out.
    pub(super) fn taken_out(&self, endpoint: &Endpoint) -> bool {
        let footing = self.footing(&endpoint.name);
        footing.drained || footing.forced == Some(Verdict::Down)
    }

    pub(super) fn counts(&self, pool: &Pool, automatic: &Automatic, lens: Lens) -> Counts {
        let mut counts = Counts::default();
        for endpoint in &pool.endpoints {
            let footing = self.footing(&endpoint.name);
            let known = if lens == Lens::Judged { footing.known() } else { footing.verdict() };
            match (self.usable(endpoint, automatic, lens), known) {
                (true, Verdict::Up) => counts.up += 1,
                (true, Verdict::Unknown) => {
                    counts.held += 1;
                    counts.last_up += u16::from(footing.judged == Verdict::Up);
                }
                (true, Verdict::Down) | (false, _) => counts.out += 1,
            }
        }
        counts
    }

    pub(super) fn standing(&self, pool: &Pool, automatic: &Automatic, lens: Lens) -> Standing {
        let Counts { up, held, .. } = self.counts(pool, automatic, lens);
        if up >= pool.min_up {
            Standing::Up
        } else if up + held >= pool.min_up {
            Standing::Unsure
        } else {
            Standing::Down
        }
    }

    /// Whether a pool has too few endpoints left in the observers' eyes, and no order says otherwise.
    pub(super) fn is_dead(&self, pool: &Pool, automatic: &Automatic) -> bool {
        self.standing(pool, automatic, Lens::Judged) == Standing::Down
            && self.standing(pool, automatic, Lens::Ordered) == Standing::Down
    }

    /// The first pool, by priority, that may be moved onto.
    pub(super) fn first_up(&self, automatic: &Automatic) -> Option<&'a Pool> {
        let up = |pool: &&&Pool| self.standing(pool, automatic, Lens::Ordered) == Standing::Up;
        self.pools.iter().find(up).copied()
    }

    /// Where to go from a dead pool: the first that is up, else the first that was up when last heard of.
    pub(super) fn refuge(&self, automatic: &Automatic) -> Option<&'a Pool> {
        let last_up = || self.pools.iter().find(|pool| self.was_up(pool, automatic)).copied();
        self.first_up(automatic).or_else(last_up)
    }

    /// Whether a pool has enough that is up, or was when last heard of.
    pub(super) fn was_up(&self, pool: &Pool, automatic: &Automatic) -> bool {
        let counts = self.counts(pool, automatic, Lens::Ordered);
        counts.up + counts.last_up >= pool.min_up
    }
}
