//! From verdicts to what is served: one pure function with its reasons.
//!
//! Intuition: a service carries a small *automatic state*: which endpoints are admitted, and which pool is in charge.
//! Verdicts move that state, orders are laid over it, and the answer is a projection of both. So an order takes
//! effect at once whatever the brakes say, and when it ends the computed state is there again.
//!
//! ```text
//!   declaration, orders ──▶ fit ────────────────┐
//!   verdict down ──▶ departure ──gates──▶ automatic state ──▶ project(orders) ──▶ Selection
//!   verdict up   ──▶ return    ──gates──▶───────┘
//! ```
//!
//! A departure leaves what is dead: only observe mode, a pause, the warm-up and the move budgets hold it back.
//! A return also waits for the hold-down and the cooldown, needs `failback: auto` to change pools, and must leave
//! room in the budget for the departure that may follow, so that something that flaps ends up *out*, never half in.
//! Changes that no client can see (in a pool not in charge) need no gate. When nothing is up, the first recovery is
//! a rescue and waits like a departure; when most of a pool is out, a return waits for no hold-down.
//!
//! A verdict whose opinions are no longer fresh is held: it moves nothing by itself, in neither direction. Only a
//! departure may still choose a pool that was up when last heard of, rather than treat everything as down, and takes
//! along what was down when last heard of.
//!
//! What it never does: move onto something that is not up; answer nothing for a service that has endpoints
//! (`fail_closed` refuses instead).

mod depart;
mod desk;
mod fit;
mod gates;
mod project;
mod reasons;
mod returns;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::decision::{BlockReason, Cause, Footing, Selection, Step};
use crate::id::{EndpointName, OverrideId, PoolName};
use crate::spec::Service;
use crate::time::Timestamp;
use desk::Desk;
pub(crate) use project::serve;

/// The automatic state of a service: what the decisions so far came to, orders aside.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Automatic {
    /// The pool in charge, for `failover`.
    pub active: Option<PoolName>,
    /// The pool that serves in its place while orders leave it too few endpoints.
    pub detour: Option<PoolName>,
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

/// What a decision is made from.
#[derive(Debug)]
pub struct Inputs<'a> {
    /// The declaration.
    pub spec: &'a Service,
    /// Whether the declaration has just changed.
    pub declared: bool,
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
    let desk = Desk::new(inputs);
    let automatic = desk.fitted();
    let selection = desk.project(&automatic);
    let mut course = Course { automatic, selection, by_people: false, cause: None, blocked: None };
    desk.hand_over(&mut course);
    course.by_people = !course.selection.same_answer(inputs.current);
    for _ in 0..PASSES {
        let before = course.automatic.clone();
        course.blocked = None;
        desk.leave_unseen(&mut course);
        desk.depart(&mut course);
        desk.take_back(&mut course);
        if course.automatic == before {
            break;
        }
    }
    let steps = desk.reasoning(&course);
    let Course { automatic, selection, cause, blocked, .. } = course;
    Decision { automatic, selection, cause, blocked, steps }
}

/// How often verdicts are looked at in a decision: what is taken back may be what a departure has waited for.
const PASSES: usize = 4;

/// A decision on its way.
struct Course {
    automatic: Automatic,
    selection: Selection,
    /// Whether an order or a declaration has changed the answer.
    by_people: bool,
    cause: Option<Cause>,
    blocked: Option<Blocked>,
}

/// What forbids a move, and until when where that ends by itself.
type Held = (BlockReason, Option<Timestamp>);

impl Desk<'_> {
    /// Takes `next` if clients cannot see it or nothing forbids it; notes what is forbidden otherwise. Without a
    /// cause it belongs to what people did.
    fn attempt(
        &self,
        course: &mut Course,
        next: Automatic,
        cause: impl Into<Option<Cause>>,
        gate: impl FnOnce() -> Option<Held>,
    ) {
        let Some((next, wanted)) = self.take_unseen(course, next) else { return };
        match gate() {
            Some((reason, until)) => {
                course.blocked.get_or_insert(Blocked { reason, until, wanted });
            }
            None => {
                course.automatic = next;
                course.selection = wanted;
                let known = course.cause.filter(|cause| *cause != Cause::Judged);
                course.cause = known.or(cause.into()).or(course.cause);
            }
        }
    }

    /// Takes `next` if clients cannot see it; otherwise gives it back, with what it would serve.
    fn take_unseen(
        &self,
        course: &mut Course,
        mut next: Automatic,
    ) -> Option<(Automatic, Selection)> {
        self.redirect(&mut next);
        if next == course.automatic {
            return None;
        }
        let wanted = self.project(&next);
        if !wanted.same_answer(&course.selection) {
            return Some((next, wanted));
        }
        course.automatic = next;
        course.selection = wanted;
        None
    }
}
