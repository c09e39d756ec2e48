//! Follows changed answers outside and has what came of them recorded: how fast name servers and resolvers told them.
//!
//! ```text
//! view ─ epoch changed ─▶ Desk ─▶ Following ─ rounds of looks ─▶ Curve ─ RecordConvergence ─▶ failover.converged
//! ```
//!
//! Only the leader does, in the background. A change is followed from the moment at which it is seen, or not at all:
//! what begins late would tell a wrong figure, so changes beyond [`AT_ONCE`] or within [`EVERY`] of the last one of
//! their service are counted in its next record. Nothing survives a change of leader: a new one begins with the answers
//! that it finds. Nothing here is waited for by what answers or decides.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use holdfast_api::node::Looked;
use holdfast_consensus::{Group, Role};
use holdfast_core::answer::zone_of;
use holdfast_core::propagation::{
    Asked, Convergence, Curve, Ending, Expected, Figures, bound_of, judge,
};
use holdfast_core::seam::Clock;
use holdfast_core::spec::Zone;
use holdfast_core::time::millis;
use holdfast_core::{Actor, Command, Epoch, ServiceId, View};
use holdfast_wire::lookup::Lookup;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::telemetry::CONVERGED;

/// Services that are followed at once; changes of others are counted.
const AT_ONCE: usize = 8;
/// A service is followed at most once in this time.
const EVERY: Duration = Duration::from_secs(60);
/// The pause between two rounds at the beginning.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause; between them it is a tenth of what has passed, so that figures are that exact.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Whoever looks at answers from outside, from every agent.
#[async_trait]
pub(crate) trait Outside: Send + Sync + 'static {
    /// What the zone's name servers and the resolvers that are configured say. The parent has no part in a failover
    /// and is left alone.
    async fn sample(&self, lookup: Lookup, zone: &Zone) -> Looked;
}

/// What the task works with.
#[derive(Clone)]
pub(crate) struct Convergences {
    /// The group: its view, and where records are proposed.
    pub(crate) group: Group,
    /// Who looks.
    pub(crate) outside: Arc<dyn Outside>,
    /// Wall time, by which changes are dated.
    pub(crate) clock: Arc<dyn Clock>,
}

impl Convergences {
    /// Follows what changes while this agent leads, until cancelled.
    pub(crate) async fn run(self, cancel: CancellationToken) {
        let (mut view, mut status) = (self.group.view(), self.group.status());
        let mut desk = Desk::default();
        let mut running = JoinSet::new();
        loop {
            let term = {
                let status = status.borrow_and_update();
                (status.role == Role::Leader).then_some(status.term)
            };
            let latest = view.borrow_and_update().clone();
            if desk.enter(term, &latest) {
                // Dropping the set ends what is followed for a term that is over.
                running = JoinSet::new();
            }
            for (service, unfollowed) in desk.notice(&latest, running.len(), Instant::now()) {
                running.spawn(self.clone().follow(
                    desk.term.unwrap_or_default(),
                    service,
                    unfollowed,
                ));
            }
            tokio::select! {
                biased;
                () = cancel.cancelled() => return,
                changed = status.changed() => if changed.is_err() { return cancel.cancelled().await },
                changed = view.changed() => if changed.is_err() { return cancel.cancelled().await },
                Some(_) = running.join_next(), if !running.is_empty() => {}
            }
        }
    }

    async fn follow(self, term: u64, service: ServiceId, unfollowed: u32) {
        let following = Following {
            view: self.group.view(),
            outside: self.outside.clone(),
            clock: self.clock.clone(),
        };
        let Some(convergence) = following.run(&service).await else { return };
        let convergence = Convergence { unfollowed, ..convergence };
        count(&convergence);
        let command = Command::RecordConvergence { term, service: service.clone(), convergence };
        match self.group.propose(None, Actor::system(), command).await.map(|done| done.result) {
            Ok(Ok(_)) => {}
            Ok(Err(rejection)) => {
                tracing::debug!(%service, %rejection, "a convergence was not recorded")
            }
            Err(error) => tracing::debug!(%service, %error, "a convergence could not be recorded"),
        }
    }
}

/// Puts the figures into metrics.
fn count(convergence: &Convergence) {
    let kinds: [(&str, &Figures); 2] =
        [("ns", &convergence.servers), ("resolver", &convergence.resolvers)];
    for (kind, figures) in kinds {
        if let Some(all) = figures.t100 {
            metrics::histogram!(CONVERGED, "kind" => kind).record(all);
        }
    }
}

/// Which changes are followed. At most one entry for each service there is.
#[derive(Debug, Default)]
struct Desk {
    /// The term in which this agent leads.
    term: Option<u64>,
    /// The view that was looked at last.
    seen: Arc<View>,
    services: BTreeMap<ServiceId, Docket>,
}

/// What is remembered of a service that was followed or could not be.
#[derive(Debug)]
struct Docket {
    /// When it may be followed again.
    again: Instant,
    /// Its changes since the one that was followed.
    unfollowed: u32,
}

impl Desk {
    /// Begins anew where the term is another one; says whether it did.
    fn enter(&mut self, term: Option<u64>, latest: &Arc<View>) -> bool {
        let other = self.term != term;
        if other {
            *self = Self { term, seen: latest.clone(), services: BTreeMap::new() };
        }
        other
    }

    /// The services to follow from now on, each with the changes before that were not.
    fn notice(
        &mut self,
        latest: &Arc<View>,
        running: usize,
        now: Instant,
    ) -> Vec<(ServiceId, u32)> {
        let seen = std::mem::replace(&mut self.seen, latest.clone());
        let mut begun = Vec::new();
        if self.term.is_none() {
            return begun;
        }
        for change in seen.services.differences(&latest.services) {
            match change {
                (id, Some(before), Some(after)) if before.epoch != after.epoch => {
                    let room = running + begun.len() < AT_ONCE;
                    begun.extend(self.admit(id, room, now));
                }
                (id, _, None) => drop(self.services.remove(id)),
                (_, _, Some(_)) => {}
            }
        }
        begun
    }

    fn admit(&mut self, id: &ServiceId, room: bool, now: Instant) -> Option<(ServiceId, u32)> {
        let docket =
            self.services.entry(id.clone()).or_insert(Docket { again: now, unfollowed: 0 });
        if !room || now < docket.again {
            docket.unfollowed = docket.unfollowed.saturating_add(1);
            return None;
        }
        docket.again = now + EVERY;
        Some((id.clone(), std::mem::take(&mut docket.unfollowed)))
    }
}

/// One changed answer that is followed.
struct Following {
    view: watch::Receiver<Arc<View>>,
    outside: Arc<dyn Outside>,
    clock: Arc<dyn Clock>,
}

/// How long ago the change was, in whole milliseconds.
#[derive(Debug, Clone, Copy)]
struct Stopwatch {
    begun: Instant,
    /// How long ago it was when it was seen, by wall time.
    already: Duration,
}

impl Stopwatch {
    fn elapsed(self) -> Duration {
        Duration::from_millis(millis(self.already + self.begun.elapsed()))
    }
}

/// What a round found.
enum Round {
    /// It goes on.
    Open,
    /// The service has no answer to follow any more.
    Gone,
    /// It is over.
    Over(Ending),
}

impl Following {
    /// Looks until all tell the present answer, until it moves again, or until the bound; `None` where there is nothing
    /// to look at.
    async fn run(mut self, service: &ServiceId) -> Option<Convergence> {
        let view = self.view.borrow_and_update().clone();
        let status = view.services.get(service)?;
        let (epoch, since) = (status.epoch, status.selected_at);
        let (_, _, expected) = question(&view, service)?;
        let bound = bound_of(expected.over_at.since(since));
        // From here on a clock that cannot be set back.
        let seen = Stopwatch { begun: Instant::now(), already: self.clock.now().since(since) };
        let mut curve = Curve::default();
        loop {
            let round = self.round((service, epoch), &mut curve, seen).await;
            let followed = seen.elapsed();
            match round {
                Round::Gone => return None,
                Round::Over(ending) => return Some(curve.end(epoch, ending, followed)),
                Round::Open if followed >= bound => {
                    return Some(curve.end(epoch, Ending::NotWithin, followed));
                }
                Round::Open => {}
            }
            let pause = (followed / 10).clamp(FIRST_PAUSE, LONGEST_PAUSE);
            self.pause(service, epoch, pause.min(bound - followed)).await;
        }
    }

    async fn round(
        &mut self,
        (service, epoch): (&ServiceId, Epoch),
        curve: &mut Curve,
        since: Stopwatch,
    ) -> Round {
        let view = self.view.borrow().clone();
        let Some((lookup, zone, _)) = question(&view, service) else { return Round::Gone };
        if !stands(&view, service, epoch) {
            return Round::Over(Ending::Superseded);
        }
        let looked = self.outside.sample(lookup, &zone).await;
        let (view, after) = (self.view.borrow().clone(), since.elapsed());
        let Some(status) = view.services.get(service) else { return Round::Gone };
        if !stands(&view, service, epoch) {
            return Round::Over(Ending::Superseded);
        }
        let Some((_, _, expected)) = question(&view, service) else { return Round::Gone };
        let findings = judge(&expected, &looked.sightings, status.selected_at + after);
        curve.take(&expected, (&looked.sightings, &findings, &looked.silent), after);
        if curve.agrees() { Round::Over(Ending::Converged) } else { Round::Open }
    }

    /// Waits, or until the answer moves.
    async fn pause(&mut self, service: &ServiceId, epoch: Epoch, pause: Duration) {
        let moves = self.view.wait_for(|view| !stands(view, service, epoch));
        let _ended = tokio::time::timeout(pause, moves).await;
    }
}

/// Whether the answer of this epoch is the present one.
fn stands(view: &View, service: &ServiceId, epoch: Epoch) -> bool {
    view.services.get(service).is_some_and(|status| status.epoch == epoch)
}

/// What is asked about a service's name, in which zone, and what has to come; `None` where it has no answer.
fn question(view: &View, service: &ServiceId) -> Option<(Lookup, Arc<Zone>, Expected)> {
    let name = &view.services.get(service)?.spec.dns.name;
    let apex = &zone_of(&view.answers, name)?.zone.name;
    let (zone, _) = view.zones.get(apex)?;
    let kinds = [Asked::A, Asked::Aaaa];
    let of = |asked| Some((asked, Expected::of(view, name, asked)?));
    let told = |(_, expected): &(Asked, Expected)| expected.refused || !expected.allowed.is_empty();
    let (asked, expected) = kinds.into_iter().filter_map(of).find(told)?;
    let (name, targets) = (name.clone(), Vec::new());
    let lookup = Lookup { name, asked, zone: zone.name.clone(), targets, parent: false };
    Some((lookup, zone.clone(), expected))
}

#[cfg(test)]
mod tests;
