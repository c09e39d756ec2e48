//! Copies zones from their primaries while this agent leads, and has what they give agreed on.
//!
//! ```text
//! view: zones with primaries ─▶ Desk ── due ─▶ attempt: each primary in turn ─▶ RecordZoneCopy
//!       refresh, retry (SOA) ───▶ │                       └─ none for longer than expire ─▶ RecordZoneSource
//!       NOTIFY, here or told ────▶ │
//! ```
//!
//! Only the leader asks, so nothing is fetched or proposed twice; another agent passes a primary's notice on. What a
//! leader fetched and could not propose any more is refused by its term, and the next one begins with every zone.
//! Times have up to a tenth of jitter, and one zone is asked for at most once in [`SHORTEST`].
//!
//! Nothing is decided here: whether a copy is possible and newer is `apply`'s to say. What it would refuse in any case is
//! not proposed, and what was refused is not fetched again at once.

mod desk;
mod refusals;
mod turn;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use holdfast_consensus::{Group, Role};
use holdfast_core::copied::{Copied, Fetched};
use holdfast_core::seam::Entropy;
use holdfast_core::spec::Primaries;
use holdfast_core::{Actor, AgentId, Command, DnsName, Rejection, Reply, View};
use holdfast_dns::{FetchError, Notices, Source, Transfers};
use holdfast_wire::agent::encode_zone_notice;
use holdfast_wire::peer::MessageKind;
use metrics::counter;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::peers::Peers;
use desk::{Begun, Desk, Ended, Times};
use refusals::Refusals;
use turn::{Ask, Found, in_turn};

/// Zones that are asked for at once.
const AT_ONCE: usize = 8;
/// How long the leader may take to hear of a notice.
const PASS_TIMEOUT: Duration = Duration::from_millis(500);
/// Between two notices to the leader.
const PASS_PAUSE: Duration = Duration::from_millis(50);
const FETCHES: &str = "holdfast_zone_fetches_total";

/// What the task works with.
#[derive(Clone)]
pub(crate) struct Copies {
    /// The group: its view, and where copies are proposed.
    pub(crate) group: Group,
    /// The way to the leader.
    pub(crate) peers: Peers,
    /// What asks primaries, and hears their notices.
    pub(crate) transfers: Arc<Transfers>,
    /// The addresses to ask from.
    pub(crate) from: Arc<[SocketAddr]>,
    /// Jitter.
    pub(crate) entropy: Arc<dyn Entropy>,
    /// Notices that other agents passed on.
    pub(crate) notices: Arc<Notices>,
}

/// One attempt to bring a copy up to date.
struct Attempt {
    term: u64,
    zone: DnsName,
    /// The revision of the declaration.
    declared: u64,
    primaries: Primaries,
    known: Option<Arc<Copied>>,
    /// Whether the group knows that the copy is stale.
    stale: bool,
    /// Whether it is, if this attempt fails too.
    overdue: bool,
    /// What is not to be fetched again.
    refusals: Refusals,
}

/// Asks primaries for an attempt.
struct Asker<'a> {
    copies: &'a Copies,
    attempt: &'a mut Attempt,
}

/// What is under way.
#[derive(Default)]
struct Work {
    desk: Desk,
    attempts: JoinSet<Ended>,
    /// The notice that is passed on.
    passing: JoinSet<()>,
}

impl Copies {
    /// Copies while this agent leads, until cancelled.
    pub(crate) async fn run(self, cancel: CancellationToken) {
        metrics::describe_counter!(
            FETCHES,
            "Attempts to copy a zone from its primaries, by result"
        );
        let (mut view, mut status) = (self.group.view(), self.group.status());
        let mut work = Work::default();
        loop {
            let (term, leader) = {
                let status = status.borrow_and_update();
                ((status.role == Role::Leader).then_some(status.term), status.leader)
            };
            let latest = view.borrow_and_update().clone();
            match term {
                Some(term) => self.fetch_due(&mut work, &latest, term),
                None => work.enter(None),
            }
            let leader = leader.filter(|leader| !self.peers.is_self(*leader));
            let heard = work.passing.is_empty() && (term.is_some() || leader.is_some());
            let wake = work.desk.wake().filter(|_| work.attempts.len() < AT_ONCE);
            tokio::select! {
                biased;
                () = cancel.cancelled() => return,
                changed = status.changed() => if changed.is_err() { return cancel.cancelled().await },
                changed = view.changed() => if changed.is_err() { return cancel.cancelled().await },
                Some(done) = work.attempts.join_next(), if !work.attempts.is_empty() => {
                    // Nobody aborts an attempt of the set at hand; one that panicked takes the task along, which begins anew.
                    let ended = done.expect("an attempt ends");
                    let times = Times::of(&self.group.view().borrow(), &ended.zone);
                    work.desk.end(ended, (times, self.entropy.next_u64()), Instant::now());
                }
                Some(_) = work.passing.join_next(), if !work.passing.is_empty() => {}
                zone = self.notices.next() => work.desk.hint(&zone, Instant::now()),
                zone = self.transfers.notices().next(), if heard => match (term, leader) {
                    (None, Some(leader)) => self.pass_on(&mut work, leader, zone),
                    _ => work.desk.hint(&zone, Instant::now()),
                },
                () = sleep_until(wake) => {}
            }
        }
    }

    /// Begins with every zone that is due, as the leader of this term.
    fn fetch_due(&self, work: &mut Work, view: &View, term: u64) {
        let now = Instant::now();
        work.enter(Some(term));
        work.desk.follow(view, now);
        while work.attempts.len() < AT_ONCE
            && let Some(begun) = work.desk.begin(now)
            && let Some(attempt) = Attempt::of(view, term, begun)
        {
            work.attempts.spawn(self.clone().attempt(attempt));
        }
    }

    /// Tells the leader of a primary's notice: one at a time, so that a flood of notices stays here.
    fn pass_on(&self, work: &mut Work, leader: AgentId, zone: DnsName) {
        let (peers, body) = (self.peers.clone(), encode_zone_notice(&zone));
        work.passing.spawn(async move {
            // A hint: one that is lost costs a refresh interval at most, and primaries repeat theirs.
            let passed = peers.call(leader, MessageKind::ZoneNotice, body, PASS_TIMEOUT);
            if let Err(error) = passed.await {
                tracing::debug!(%zone, %error, "a primary's notice was not passed on");
            }
            tokio::time::sleep(PASS_PAUSE).await;
        });
    }

    async fn attempt(self, mut attempt: Attempt) -> Ended {
        let zone = attempt.zone.clone();
        let outcome = self.refresh(&mut attempt).await;
        let result = match &outcome {
            Ok(Found::Newer) => "copied",
            Ok(Found::Nothing) => "fresh",
            Ok(Found::Superseded) => "superseded",
            Err(_) => "failed",
        };
        counter!(FETCHES, "zone" => zone.to_string(), "result" => result).increment(1);
        let note = match &outcome {
            Err(problem) => {
                tracing::warn!(%zone, problem, "a zone could not be copied; what is known of it is served on");
                attempt.overdue.then(|| Some(problem.clone())).filter(|_| !attempt.stale)
            }
            Ok(Found::Nothing) => attempt.stale.then_some(None),
            Ok(Found::Newer | Found::Superseded) => None,
        };
        if let Some(problem) = note {
            let (term, zone, declared) = (attempt.term, zone.clone(), attempt.declared);
            let command = Command::RecordZoneSource { term, zone, declared, problem };
            if let Err(problem) = self.propose(command).await {
                tracing::debug!(problem, "how a zone's primaries stand was not recorded");
            }
        }
        Ended { zone, found: outcome.ok(), refusals: attempt.refusals }
    }

    /// What the primaries have. Errors: why none answered.
    async fn refresh(&self, attempt: &mut Attempt) -> Result<Found, String> {
        let servers = attempt.primaries.addresses.clone();
        in_turn(&servers, &mut Asker { copies: self, attempt }).await
    }

    /// What a primary has. Errors: why it gave nothing, or nothing that could be taken.
    async fn ask(&self, attempt: &mut Attempt, server: SocketAddr) -> Result<Found, String> {
        let answers = self.group.view().borrow().answers.clone();
        let refused = attempt.refusals.at(server, Instant::now());
        let source = Source {
            server,
            key: attempt.primaries.key.as_ref(),
            from: &self.from,
            refused: refused.map(|(serial, _)| serial),
        };
        let known = attempt.known.as_deref();
        let found = self.transfers.fetch(&answers, &attempt.zone, known, source).await;
        let (serial, problem) = match found {
            Ok(None) => return Ok(Found::Nothing),
            Ok(Some(fetched)) => {
                let serial = fetched.serial;
                match self.offer(attempt, fetched).await? {
                    Ok(found) => return Ok(found),
                    Err(problem) => (serial, format!("{server}: serial {serial}: {problem}")),
                }
            }
            Err(error) => match (&error, refused) {
                (FetchError::TooLarge { serial, .. }, _) => (*serial, error.to_string()),
                (FetchError::Refused(..), Some((_, why))) => return Err(why.to_owned()),
                _ => return Err(error.to_string()),
            },
        };
        attempt.refusals.note(server, serial, problem.clone(), Instant::now());
        Err(problem)
    }

    /// Has what was fetched agreed on; what became of it, or why it cannot be taken. Errors: why nobody knows.
    async fn offer(
        &self,
        attempt: &Attempt,
        fetched: Fetched,
    ) -> Result<Result<Found, String>, String> {
        if let Err(error) = fetched.check(&attempt.zone, attempt.known.as_deref()) {
            return Ok(Err(error.to_string()));
        }
        let (term, zone, declared) = (attempt.term, attempt.zone.clone(), attempt.declared);
        let copy = Command::RecordZoneCopy { term, zone, declared, fetched };
        Ok(match self.propose(copy).await? {
            Ok(_) => Ok(Found::Newer),
            Err(Rejection::Superseded(why)) => {
                tracing::debug!(zone = %attempt.zone, why, "what was fetched of a zone is superseded");
                Ok(Found::Superseded)
            }
            Err(rejection) => Err(rejection.to_string()),
        })
    }

    /// What the group makes of a command. Errors: why it was not decided.
    async fn propose(&self, command: Command) -> Result<Result<Reply, Rejection>, String> {
        let proposed = self.group.propose(None, Actor::system(), command).await;
        proposed.map(|outcome| outcome.result).map_err(|error| error.to_string())
    }
}

impl Work {
    /// Begins anew where the term is another one; what is fetched for a term that is over ends.
    fn enter(&mut self, term: Option<u64>) {
        if self.desk.enter(term) {
            self.attempts = JoinSet::new();
        }
    }
}

impl Ask for Asker<'_> {
    async fn ask(&mut self, server: SocketAddr) -> Result<Found, String> {
        self.copies.ask(self.attempt, server).await
    }
}

impl Attempt {
    fn of(view: &View, term: u64, Begun { zone, overdue, refusals }: Begun) -> Option<Self> {
        let (declaration, declared) = view.zones.get(&zone)?;
        let (primaries, declared) = (declaration.primaries.clone()?, *declared);
        let status = view.copies.get(&zone);
        let known = status.and_then(|status| status.copied.clone());
        let stale = status.is_some_and(|status| status.stale.is_some());
        let refusals = refusals.of(declared);
        Some(Self { term, zone, declared, primaries, known, stale, overdue, refusals })
    }
}

async fn sleep_until(wake: Option<Instant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(wake).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
