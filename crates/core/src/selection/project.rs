//! The projection: what an automatic state serves under the orders in force.
//!
//! It looks at admissions and orders, never at verdicts, so a verdict cannot move the answer behind the gates'
//! back. It is never empty for a service that has endpoints: a drained endpoint that is up is better than a dead
//! one, and where nothing is left the all-down policy answers.

use alloc::vec::Vec;

use super::Automatic;
use super::desk::{Desk, Lens};
use crate::decision::{Basis, Selection, Served};
use crate::quorum::Verdict;
use crate::spec::{AllDown, Endpoint, Policy, Pool};

impl<'a> Desk<'a> {
    pub(super) fn project(&self, automatic: &Automatic) -> Selection {
        let serving = self.serving_pool(automatic);
        let pools: Vec<&Pool> = match serving {
            Some(pool) => [pool].into(),
            None => self.inputs.spec.pools.iter().collect(),
        };
        let failover = self.inputs.spec.policy == Policy::Failover;
        let active = serving.filter(|_| failover).map(|pool| pool.name.clone());
        for lens in [Lens::Ordered, Lens::Judged] {
            let served = self.served(&pools, automatic, lens);
            if !served.is_empty() {
                let basis = self.basis(&served, automatic, lens);
                return Selection { active, served, refused: false, basis };
            }
        }
        self.all_down(active)
    }

    /// The pool that serves alone: the pin, else the detour, else the one in charge.
    fn serving_pool(&self, automatic: &Automatic) -> Option<&'a Pool> {
        let of = |name: &Option<_>| name.as_ref().and_then(|name| self.pool(name));
        let pinned = self.pin.map(|(pool, _)| pool);
        pinned.or_else(|| of(&automatic.detour)).or_else(|| of(&automatic.active))
    }

    /// What pools serve. Through the observers' eyes only what is not forced down is left. A pinned pool serves
    /// all it has when nothing in it is usable.
    fn served(&self, pools: &[&Pool], automatic: &Automatic, lens: Lens) -> Vec<Served> {
        let pinned = self.pin.is_some() && lens == Lens::Judged;
        let allowed = |endpoint: &Endpoint| {
            let forced_down = self.footing(&endpoint.name).forced == Some(Verdict::Down);
            let usable = self.usable(endpoint, automatic, lens);
            pinned || usable && !(lens == Lens::Judged && forced_down)
        };
        pools
            .iter()
            .flat_map(|pool| pool.endpoints.iter().map(move |endpoint| (*pool, endpoint)))
            .filter(|(_, endpoint)| allowed(endpoint))
            .map(serve)
            .collect()
    }

    fn basis(&self, served: &[Served], automatic: &Automatic, lens: Lens) -> Basis {
        let forced = served.iter().any(|one| self.footing(&one.endpoint).forced.is_some());
        let led = self.pin.is_some() || automatic.detour.is_some();
        if led || forced || lens == Lens::Judged {
            Basis::Ordered
        } else if self.inputs.footings.values().all(|footing| footing.judged == Verdict::Unknown) {
            Basis::Unjudged
        } else {
            Basis::Healthy
        }
    }

    fn all_down(&self, active: Option<crate::id::PoolName>) -> Selection {
        let spec = self.inputs.spec;
        let served = match &spec.failover.all_down {
            AllDown::FailClosed => {
                let refused = spec.endpoints().next().is_some();
                return Selection { active, served: Vec::new(), refused, basis: Basis::AllDown };
            }
            AllDown::Fallback(name) => {
                let fallback = self.pool(name);
                let endpoints =
                    fallback.into_iter().flat_map(|p| p.endpoints.iter().map(move |e| (p, e)));
                self.spared(endpoints.collect())
            }
            AllDown::LastKnownGood => self.last_known_good(),
            AllDown::FailOpen => Vec::new(),
        };
        let served =
            if served.is_empty() { self.spared(spec.endpoints().collect()) } else { served };
        Selection { active, served, refused: false, basis: Basis::AllDown }
    }

    fn last_known_good(&self) -> Vec<Served> {
        let Some(good) = self.inputs.last_good else { return Vec::new() };
        let still = |one: &Served| self.inputs.spec.endpoint(&one.endpoint);
        self.spared(good.served.iter().filter_map(still).collect())
    }

    /// These endpoints, without those that an operator took out unless nothing else is left.
    fn spared(&self, endpoints: Vec<(&Pool, &Endpoint)>) -> Vec<Served> {
        let kept = endpoints.iter().filter(|(_, endpoint)| !self.taken_out(endpoint));
        let kept: Vec<Served> = kept.copied().map(serve).collect();
        if kept.is_empty() { endpoints.into_iter().map(serve).collect() } else { kept }
    }
}

/// What an endpoint is served as.
pub(crate) fn serve((pool, endpoint): (&Pool, &Endpoint)) -> Served {
    Served {
        pool: pool.name.clone(),
        endpoint: endpoint.name.clone(),
        address: endpoint.address.clone(),
        port: endpoint.port,
        weight: u32::from(pool.weight) * u32::from(endpoint.weight),
    }
}
