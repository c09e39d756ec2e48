//! From verdicts to what is served: one pure function with its reasons.
//!
//! Intuition: a service carries a small *automatic state*: which endpoints are admitted, and which pool is in charge.
//! Verdicts move that state, orders are laid over it without touching it, and the answer is a projection of both.
//! So an order takes effect at once whatever the brakes say, and when it ends the computed state is there again.
//!
//! ```text
//!   verdict down ──▶ departure ──gates──▶ admitted/active change ─▶ project(orders) ─▶ Selection
//!   verdict up   ──▶ return    ──gates──▶          ″
//! ```
//!
//! A departure leaves what is dead: only observe mode, a pause, the warm-up and the move budgets hold it back.
//! A return also waits for the hold-down and the cooldown, needs `failback: auto` to change pools, and must leave
//! room in the budget for the departure that may follow, so that something that flaps ends up *out*, never half in.
//! Changes that no client can see (in a pool not in charge) need no gate. When nothing is up, the first recovery is
//! a rescue: it waits like a departure.
//!
//! What it never does: move onto something that is not up; answer nothing for a service that has endpoints
//! (`fail_closed` refuses instead).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::decision::{Basis, BlockReason, Cause, Footing, Selection, Served, Standing, Step};
use crate::id::{EndpointName, OverrideId, PoolName};
use crate::quorum::Verdict;
use crate::spec::{AllDown, Endpoint, Failback, Mode, Policy, Pool, Service};
use crate::time::Timestamp;

/// The automatic state of a service: what the decisions so far came to, orders aside.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Automatic {
    /// The pool in charge, for `failover`.
    pub active: Option<PoolName>,
    /// Where each endpoint stands.
    pub admission: BTreeMap<EndpointName, Admission>,
}

/// Where an endpoint stands with the answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Admission {
    /// Declared while others were already judged: waits for its first verdict.
    New,
    /// May be served.
    In,
    /// Was found down.
    Out,
}

/// Through which eyes a pool is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lens {
    /// The observers' alone.
    Judged,
    /// With the orders in force.
    Ordered,
}

/// What a decision is made from.
#[derive(Debug)]
pub struct Inputs<'a> {
    /// The declaration.
    pub spec: &'a Service,
    /// Where the automatic state stands.
    pub automatic: &'a Automatic,
    /// What each endpoint counts as.
    pub footings: &'a BTreeMap<EndpointName, Footing>,
    /// The pin in force.
    pub pin: Option<(&'a PoolName, OverrideId)>,
    /// What is served at present.
    pub current: &'a Selection,
    /// What was served last while something was up.
    pub last_good: Option<&'a Selection>,
    /// The brakes.
    pub brakes: Brakes<'a>,
}

/// What holds automatic moves back, at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Brakes<'a> {
    /// The group's time.
    pub at: Timestamp,
    /// When the pause ends, if there is one.
    pub paused_until: Option<Timestamp>,
    /// When the warm-up ends.
    pub warm_up_until: Timestamp,
    /// The service's automatic moves, oldest first.
    pub moves: &'a [Timestamp],
    /// When the group's budget has room again, if it has none.
    pub group_full_until: Option<Timestamp>,
}

/// A move that is asked for and forbidden.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Blocked {
    /// By what.
    pub reason: BlockReason,
    /// Until when, where it ends by itself.
    pub until: Option<Timestamp>,
    /// What would be served.
    pub wanted: Selection,
}

/// What a decision comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The automatic state after it.
    pub automatic: Automatic,
    /// What is served after it.
    pub selection: Selection,
    /// Why the automatic state changed what is served, if it did.
    pub cause: Option<Cause>,
    /// What it wanted and was not allowed.
    pub blocked: Option<Blocked>,
    /// The reasoning.
    pub steps: Vec<Step>,
}

/// Decides what is served.
pub fn decide(inputs: &Inputs<'_>) -> Decision {
    let desk = Desk { inputs };
    let base = desk.normalised();
    let ordered = desk.project(&base);
    let mut course = Course { automatic: base, selection: ordered, cause: None, blocked: None };
    desk.depart(&mut course);
    desk.take_back(&mut course);
    let steps = desk.reasoning(&course);
    let Course { automatic, selection, cause, blocked } = course;
    Decision { automatic, selection, cause, blocked, steps }
}

/// A decision on its way.
struct Course {
    automatic: Automatic,
    selection: Selection,
    cause: Option<Cause>,
    blocked: Option<Blocked>,
}

/// What forbids a move, and until when where that ends by itself.
type Held = (BlockReason, Option<Timestamp>);

/// The inputs with the questions that are asked of them.
struct Desk<'a> {
    inputs: &'a Inputs<'a>,
}

impl Desk<'_> {
    fn footing(&self, name: &EndpointName) -> Footing {
        self.inputs.footings.get(name).copied().unwrap_or_default()
    }

    /// The automatic state fitted to the declaration: endpoints that are gone are forgotten, new ones are admitted
    /// on trust only while nothing has been judged, and some pool is in charge.
    fn normalised(&self) -> Automatic {
        let spec = self.inputs.spec;
        let current = self.inputs.current;
        let trusted = current.served.is_empty() && !current.refused || current.basis == Basis::Unjudged;
        let first = if trusted { Admission::In } else { Admission::New };
        let admission = spec
            .endpoints()
            .map(|(_, endpoint)| {
                let known = self.inputs.automatic.admission.get(&endpoint.name).copied();
                (endpoint.name.clone(), known.unwrap_or(first))
            })
            .collect();
        let mut automatic = Automatic { active: None, admission };
        if spec.policy == Policy::Failover {
            automatic.active = self.pool_in_charge(&automatic);
        }
        automatic
    }

    /// The pool in charge: an operator's pin that can carry the load, else the present one, else the preferred.
    fn pool_in_charge(&self, automatic: &Automatic) -> Option<PoolName> {
        if let Some((pin, _)) = self.inputs.pin
            && let Some(pool) = self.pool(pin)
            && self.standing(pool, automatic, Lens::Ordered) == Standing::Up
        {
            return Some(pin.clone());
        }
        let present = self.inputs.automatic.active.as_ref();
        let pools = self.by_priority();
        let kept = pools.iter().find(|pool| Some(&pool.name) == present && !pool.endpoints.is_empty());
        let populated = pools.iter().find(|pool| !pool.endpoints.is_empty());
        kept.or(populated).or(pools.first()).map(|pool| pool.name.clone())
    }

    fn pool(&self, name: &PoolName) -> Option<&Pool> {
        self.inputs.spec.pools.iter().find(|pool| pool.name == *name)
    }

    fn by_priority(&self) -> Vec<&Pool> {
        let mut pools: Vec<&Pool> = self.inputs.spec.pools.iter().collect();
        pools.sort_by_key(|pool| pool.priority);
        pools
    }

    /// Whether an endpoint may stand in an answer.
    fn usable(&self, endpoint: &Endpoint, automatic: &Automatic, lens: Lens) -> bool {
        let footing = self.footing(&endpoint.name);
        let admitted = automatic.admission.get(&endpoint.name) == Some(&Admission::In);
        match (lens, footing.forced) {
            (Lens::Judged, _) => admitted,
            (Lens::Ordered, _) if footing.drained => false,
            (Lens::Ordered, Some(forced)) => forced == Verdict::Up,
            (Lens::Ordered, None) => admitted,
        }
    }

    /// How many endpoints of a pool are up, held on an older verdict or on trust, and out.
    fn counts(&self, pool: &Pool, automatic: &Automatic, lens: Lens) -> (u16, u16, u16) {
        let (mut up, mut held, mut out) = (0, 0, 0);
        for endpoint in &pool.endpoints {
            let footing = self.footing(&endpoint.name);
            let verdict = if lens == Lens::Judged { footing.judged } else { footing.verdict() };
            let place = match (self.usable(endpoint, automatic, lens), verdict) {
                (true, Verdict::Up) => &mut up,
                (true, Verdict::Unknown) => &mut held,
                _ => &mut out,
            };
            *place += 1;
        }
        (up, held, out)
    }

    fn standing(&self, pool: &Pool, automatic: &Automatic, lens: Lens) -> Standing {
        let (up, held, _) = self.counts(pool, automatic, lens);
        if up >= pool.min_up {
            Standing::Up
        } else if up + held >= pool.min_up {
            Standing::Unsure
        } else {
            Standing::Down
        }
    }

    /// Whether a pool may be moved onto: up in the observers' eyes (or by order), and not taken out by order.
    fn is_target(&self, pool: &Pool, automatic: &Automatic) -> bool {
        self.standing(pool, automatic, Lens::Ordered) == Standing::Up
    }

    /// The first pool, by priority, that may be moved onto.
    fn first_up(&self, automatic: &Automatic) -> Option<&Pool> {
        self.by_priority().into_iter().find(|pool| self.is_target(pool, automatic))
    }

    // ---- projection: what an automatic state serves under the orders in force ----

    fn project(&self, automatic: &Automatic) -> Selection {
        let spec = self.inputs.spec;
        let active = if spec.policy == Policy::Failover { self.serving_pool(automatic) } else { None };
        let pools: Vec<&Pool> = match active {
            Some(pool) => [pool].into(),
            None => spec.pools.iter().collect(),
        };
        let active = active.map(|pool| pool.name.clone());
        for lens in [Lens::Ordered, Lens::Judged] {
            let served = self.served(&pools, automatic, lens);
            if !served.is_empty() {
                let basis = self.basis(&served, lens);
                return Selection { active, served, refused: false, basis };
            }
        }
        self.all_down(active)
    }

    /// The pool that serves: the pin, else the one in charge unless orders alone have emptied it.
    fn serving_pool(&self, automatic: &Automatic) -> Option<&Pool> {
        if let Some((pin, _)) = self.inputs.pin
            && let Some(pool) = self.pool(pin)
        {
            return Some(pool);
        }
        let active = automatic.active.as_ref().and_then(|name| self.pool(name))?;
        let emptied = self.standing(active, automatic, Lens::Ordered) == Standing::Down
            && self.standing(active, automatic, Lens::Judged) != Standing::Down;
        if emptied { self.first_up(automatic).or(Some(active)) } else { Some(active) }
    }

    /// What pools serve. Through the observers' eyes only what is not forced down is left: a drained endpoint that
    /// is up is better than a dead one. A pinned pool serves all it has when nothing in it is usable.
    fn served(&self, pools: &[&Pool], automatic: &Automatic, lens: Lens) -> Vec<Served> {
        let pinned = self.inputs.pin.is_some() && lens == Lens::Judged;
        let allowed = |endpoint: &Endpoint| {
            let forced_down = self.footing(&endpoint.name).forced == Some(Verdict::Down);
            (self.usable(endpoint, automatic, lens) && !(lens == Lens::Judged && forced_down)) || pinned
        };
        pools
            .iter()
            .flat_map(|pool| pool.endpoints.iter().map(move |endpoint| (pool, endpoint)))
            .filter(|(_, endpoint)| allowed(endpoint))
            .map(|(pool, endpoint)| serve(pool, endpoint))
            .collect()
    }

    fn basis(&self, served: &[Served], lens: Lens) -> Basis {
        let forced = served.iter().any(|one| self.footing(&one.endpoint).forced.is_some());
        if self.inputs.pin.is_some() || forced || lens == Lens::Judged {
            Basis::Ordered
        } else if self.inputs.footings.values().all(|footing| footing.judged == Verdict::Unknown) {
            Basis::Unjudged
        } else {
            Basis::Healthy
        }
    }

    fn all_down(&self, active: Option<PoolName>) -> Selection {
        let spec = self.inputs.spec;
        let served = match &spec.failover.all_down {
            AllDown::FailClosed => {
                let refused = spec.endpoints().next().is_some();
                return Selection { active, served: Vec::new(), refused, basis: Basis::AllDown };
            }
            AllDown::Fallback(name) => {
                let pool = spec.pools.iter().filter(|pool| pool.name == *name);
                pool.flat_map(|pool| pool.endpoints.iter().map(|e| serve(pool, e))).collect()
            }
            AllDown::LastKnownGood => self.last_known_good(),
            AllDown::FailOpen => Vec::new(),
        };
        let served = if served.is_empty() { self.everything() } else { served };
        Selection { active, served, refused: false, basis: Basis::AllDown }
    }

    fn last_known_good(&self) -> Vec<Served> {
        let Some(good) = self.inputs.last_good else { return Vec::new() };
        let still = |one: &Served| self.inputs.spec.endpoint(&one.endpoint);
        good.served.iter().filter_map(still).map(|(pool, endpoint)| serve(pool, endpoint)).collect()
    }

    /// Every endpoint, without those that an operator took out unless nothing else is left.
    fn everything(&self) -> Vec<Served> {
        let all = || self.inputs.spec.endpoints();
        let allowed = |endpoint: &Endpoint| {
            let footing = self.footing(&endpoint.name);
            !footing.drained && footing.forced != Some(Verdict::Down)
        };
        let kept: Vec<Served> = all().filter(|(_, e)| allowed(e)).map(|(pool, e)| serve(pool, e)).collect();
        if kept.is_empty() { all().map(|(pool, e)| serve(pool, e)).collect() } else { kept }
    }

    // ---- departures ----

    /// Leaves what is down.
    fn depart(&self, course: &mut Course) {
        let mut next = course.automatic.clone();
        for (name, admission) in &mut next.admission {
            let footing = self.footing(name);
            if footing.judged == Verdict::Down && footing.forced != Some(Verdict::Up) {
                *admission = Admission::Out;
            }
        }
        self.leave_dead_pool(&mut next);
        self.attempt(course, next, Cause::Failed, || self.departure_gate(0));
    }

    /// Puts a pool that is up in charge when the present one is dead in the observers' eyes and by order.
    fn leave_dead_pool(&self, next: &mut Automatic) {
        let Some(active) = next.active.as_ref().and_then(|name| self.pool(name)) else { return };
        let dead = self.standing(active, next, Lens::Judged) == Standing::Down
            && self.standing(active, next, Lens::Ordered) == Standing::Down;
        if dead && let Some(better) = self.first_up(next) {
            next.active = Some(better.name.clone());
        }
    }

    /// Takes `next` if clients cannot see it or nothing forbids it; notes what is forbidden otherwise.
    fn attempt(
        &self,
        course: &mut Course,
        next: Automatic,
        cause: Cause,
        gate: impl FnOnce() -> Option<Held>,
    ) {
        if next == course.automatic {
            return;
        }
        let wanted = self.project(&next);
        if wanted.same_answer(&course.selection) {
            course.automatic = next;
            course.selection = wanted;
            return;
        }
        match gate() {
            Some((reason, until)) => {
                course.blocked.get_or_insert(Blocked { reason, until, wanted });
            }
            None => {
                course.automatic = next;
                course.selection = wanted;
                course.cause.get_or_insert(cause);
            }
        }
    }

    /// What holds a departure back; `reserve` further moves must fit into the budget as well.
    fn departure_gate(&self, reserve: usize) -> Option<Held> {
        let brakes = &self.inputs.brakes;
        if let Some(held) = self.people_gate() {
            return Some(held);
        }
        if brakes.at < brakes.warm_up_until {
            return Some((BlockReason::WarmUp, Some(brakes.warm_up_until)));
        }
        if let Some(until) = self.budget_full_until(reserve) {
            return Some((BlockReason::ServiceBudget, Some(until)));
        }
        brakes.group_full_until.map(|until| (BlockReason::GroupBudget, Some(until)))
    }

    /// When the service's budget has room for one move and `reserve` more, if it has none at present. A budget of
    /// one move has room for a return when its window is empty.
    fn budget_full_until(&self, reserve: usize) -> Option<Timestamp> {
        let rules = &self.inputs.spec.failover;
        let at = self.inputs.brakes.at;
        let in_window = |moved: &&Timestamp| **moved + rules.window > at;
        let recent: Vec<&Timestamp> = self.inputs.brakes.moves.iter().filter(in_window).collect();
        let over = (recent.len() + reserve).checked_sub(usize::from(rules.max_moves))?;
        let last = recent.len().checked_sub(1)?;
        Some(*recent[over.min(last)] + rules.window)
    }

    /// What people decided: observe mode and pause.
    fn people_gate(&self) -> Option<Held> {
        if self.inputs.spec.failover.mode == Mode::Observe {
            return Some((BlockReason::ObserveMode, None));
        }
        self.inputs.brakes.paused_until.map(|until| (BlockReason::Paused, Some(until)))
    }

    // ---- returns ----

    /// Takes back what is up again: endpoints, then the better pool.
    fn take_back(&self, course: &mut Course) {
        let rescue = course.selection.basis == Basis::AllDown;
        for (pool, endpoint) in self.inputs.spec.endpoints() {
            if self.footing(&endpoint.name).judged == Verdict::Up {
                self.readmit(course, pool, endpoint, rescue);
            }
        }
        self.fail_back(course, rescue);
    }

    fn readmit(&self, course: &mut Course, pool: &Pool, endpoint: &Endpoint, rescue: bool) {
        let standing = course.automatic.admission.get(&endpoint.name).copied();
        if standing == Some(Admission::In) {
            return;
        }
        let mut next = course.automatic.clone();
        next.admission.insert(endpoint.name.clone(), Admission::In);
        if rescue {
            self.leave_dead_pool(&mut next);
        }
        let (up, held, out) = self.counts(pool, &course.automatic, Lens::Judged);
        let short = (up + held) < out;
        let since = self.footing(&endpoint.name).up_since;
        if rescue || short {
            self.attempt(course, next, Cause::Recovered, || self.departure_gate(0));
        } else if standing == Some(Admission::New) {
            self.attempt(course, next, Cause::Judged, || self.people_gate());
        } else {
            self.attempt(course, next, Cause::Recovered, || self.return_gate(since));
        }
    }

    fn fail_back(&self, course: &mut Course, rescue: bool) {
        let Some(present) = course.automatic.active.as_ref().and_then(|name| self.pool(name)) else {
            return;
        };
        let better = self.first_up(&course.automatic);
        let Some(better) = better.filter(|pool| pool.priority < present.priority) else { return };
        let mut next = course.automatic.clone();
        next.active = Some(better.name.clone());
        let since = self.pool_up_since(better);
        let manual = self.inputs.spec.failover.failback == Failback::Manual;
        self.attempt(course, next, Cause::Recovered, || {
            if rescue {
                self.departure_gate(0)
            } else if manual {
                self.people_gate().or(Some((BlockReason::ManualFailback, None)))
            } else {
                self.return_gate(since)
            }
        });
    }

    /// Since when a pool has had as many endpoints up as it needs.
    fn pool_up_since(&self, pool: &Pool) -> Option<Timestamp> {
        let mut since: Vec<Timestamp> =
            pool.endpoints.iter().filter_map(|e| self.footing(&e.name).up_since).collect();
        since.sort_unstable();
        since.get(usize::from(pool.min_up).saturating_sub(1)).copied()
    }

    /// What holds a return back.
    fn return_gate(&self, up_since: Option<Timestamp>) -> Option<Held> {
        let rules = &self.inputs.spec.failover;
        let at = self.inputs.brakes.at;
        if let Some(held) = self.people_gate() {
            return Some(held);
        }
        let settled = up_since.unwrap_or(at) + rules.hold_down;
        if at < settled {
            return Some((BlockReason::HoldDown, Some(settled)));
        }
        if let Some(&last) = self.inputs.brakes.moves.last()
            && at < last + rules.cooldown
        {
            return Some((BlockReason::Cooldown, Some(last + rules.cooldown)));
        }
        self.departure_gate(1)
    }

    // ---- reasons ----

    fn reasoning(&self, course: &Course) -> Vec<Step> {
        let mut steps = Vec::new();
        if let Some((pool, order)) = self.inputs.pin {
            steps.push(Step::Pinned { pool: pool.clone(), order });
        }
        for pool in self.by_priority() {
            let (up, held, out) = self.counts(pool, &course.automatic, Lens::Ordered);
            let standing = self.standing(pool, &course.automatic, Lens::Ordered);
            let (name, priority, min_up) = (pool.name.clone(), pool.priority, pool.min_up);
            steps.push(Step::Pool { pool: name, priority, up, held, out, min_up, standing });
        }
        let wanted = course.blocked.as_ref().map_or(&course.selection, |blocked| &blocked.wanted);
        if wanted.basis == Basis::AllDown {
            steps.push(Step::AllDown { policy: self.inputs.spec.failover.all_down.clone() });
        }
        steps.push(Step::Wanted {
            active: wanted.active.clone(),
            endpoints: u16::try_from(wanted.served.len()).unwrap_or(u16::MAX),
        });
        if let Some(blocked) = &course.blocked {
            steps.push(Step::Blocked { reason: blocked.reason, until: blocked.until });
        }
        steps.push(match course.cause {
            Some(cause) => Step::Moved { cause },
            None => Step::Kept,
        });
        steps
    }
}

fn serve(pool: &Pool, endpoint: &Endpoint) -> Served {
    Served {
        pool: pool.name.clone(),
        endpoint: endpoint.name.clone(),
        address: endpoint.address.clone(),
        port: endpoint.port,
        weight: u32::from(pool.weight) * u32::from(endpoint.weight),
    }
}
