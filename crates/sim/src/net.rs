//! The network between the agents: in memory, late, lossy, cut where a fault says so.
//!
//! ```text
//! SimWire::call ─▶ depart (delay, loss drawn) ─▶ arrive (cut? anybody there?) ─▶ PeerHandler ─▶ the way back, as lossy
//! ```
//!
//! A message that is lost or cut brings silence until the caller's timeout, as a black hole does; one to a stopped
//! machine brings a refusal. Work that has arrived is done even when nobody waits for its answer any more. A stopped
//! incarnation reaches nothing and is reached by nothing, for good.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use holdfast_agent::world::{Message, PeerAddress, PeerHandler, Sender, Wire, WireError};
use holdfast_core::AgentId;

use crate::coverage::Coverage;
use crate::dice::Dice;
use crate::machine::name_of;
use crate::plan::Plan;
use crate::trace::{Trace, note};

/// The shortest delay of a message, in microseconds.
const SOONEST_MICROS: u64 = 200;

/// The network; clones are the same.
#[derive(Clone)]
pub(crate) struct Net(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    dice: Dice,
    trace: Trace,
    coverage: Coverage,
    latest_ms: u64,
    loss_permille: u64,
}

#[derive(Default)]
struct State {
    /// The living incarnation of each agent.
    alive: BTreeMap<AgentId, u32>,
    /// What answers on it, once it has started.
    handlers: BTreeMap<AgentId, Arc<dyn PeerHandler>>,
    /// Directed pairs between which nothing passes, with the kinds of fault that cut them.
    cut: BTreeMap<(AgentId, AgentId), BTreeSet<&'static str>>,
    /// Delay and loss of a storm.
    storm: Option<(u64, u64)>,
}

/// What becomes of a message on its way.
enum Arrival {
    There(Arc<dyn PeerHandler>, u32),
    Lost,
    Nobody,
}

impl Net {
    pub(crate) fn new(plan: &Plan, trace: Trace, coverage: Coverage) -> Self {
        Self(Arc::new(Inner {
            state: Mutex::default(),
            dice: Dice::new(plan.seed, "net"),
            trace,
            coverage,
            latest_ms: plan.latest_ms,
            loss_permille: plan.loss_permille,
        }))
    }

    /// A new incarnation of an agent, which may send from now on.
    pub(crate) fn boot(&self, agent: AgentId, incarnation: u32) -> SimWire {
        self.lock().alive.insert(agent, incarnation);
        SimWire { net: self.clone(), agent, incarnation }
    }

    /// The agent answers from now on.
    pub(crate) fn attach(&self, agent: AgentId, handler: Arc<dyn PeerHandler>) {
        self.lock().handlers.insert(agent, handler);
    }

    /// The agent's machine stops.
    pub(crate) fn stop(&self, agent: AgentId) {
        let mut state = self.lock();
        state.alive.remove(&agent);
        state.handlers.remove(&agent);
    }

    /// Lets nothing pass from one agent to another.
    pub(crate) fn cut(&self, from: AgentId, to: AgentId, kind: &'static str) {
        self.lock().cut.entry((from, to)).or_default().insert(kind);
    }

    /// Everything passes again.
    pub(crate) fn mend(&self) {
        let mut state = self.lock();
        state.cut.clear();
        state.storm = None;
    }

    /// Messages are late by up to so many milliseconds, and so many in a thousand are lost.
    pub(crate) fn storm(&self, latest_ms: u64, loss_permille: u64) {
        self.lock().storm = Some((latest_ms, loss_permille));
    }

    /// The delay of a message that leaves now, and whether it is lost.
    fn depart(&self) -> (Duration, bool) {
        let inner = &*self.0;
        let storm = self.lock().storm;
        let (latest, loss) = match storm {
            Some((latest, loss)) => {
                inner.coverage.felt("storm");
                (latest, loss)
            }
            None => (inner.latest_ms, inner.loss_permille),
        };
        let delay = Duration::from_micros(inner.dice.between(SOONEST_MICROS, latest * 1000));
        (delay, inner.dice.permille(loss))
    }

    fn arrive(&self, way: &Way, lost: bool) -> Arrival {
        let state = self.lock();
        let cut = state.cut.get(&(way.from, way.to)).cloned();
        let there = state.handlers.get(&way.to).cloned().zip(state.alive.get(&way.to).copied());
        drop(state);
        let (verdict, arrival) = match (cut, there) {
            (Some(kinds), _) => {
                kinds.iter().for_each(|kind| self.0.coverage.felt(kind));
                ("cut", Arrival::Lost)
            }
            (None, _) if lost => ("lost", Arrival::Lost),
            (None, None) => ("nobody", Arrival::Nobody),
            (None, Some((handler, incarnation))) => {
                ("delivered", Arrival::There(handler, incarnation))
            }
        };
        note!(self.0.trace, "net {way} {verdict}");
        arrival
    }

    /// Whether this incarnation still lives.
    fn lives(&self, agent: AgentId, incarnation: u32) -> bool {
        self.lock().alive.get(&agent) == Some(&incarnation)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A message on its way, for the trace.
struct Way {
    from: AgentId,
    to: AgentId,
    label: &'static str,
    answer: bool,
    length: usize,
}

impl std::fmt::Display for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let re = if self.answer { "re:" } else { "" };
        write!(f, "{}>{} {re}{} {}B", self.from, self.to, self.label, self.length)
    }
}

/// One incarnation's way to the others.
pub(crate) struct SimWire {
    net: Net,
    agent: AgentId,
    incarnation: u32,
}

impl SimWire {
    /// As if there were mutual TLS.
    fn certified(&self) -> Sender {
        Sender::Certified(name_of(self.agent))
    }

    /// Carries a message there; returns who answers it. Never returns when it is lost.
    async fn forth(&self, way: &Way) -> Result<(Arc<dyn PeerHandler>, u32), WireError> {
        if !self.net.lives(self.agent, self.incarnation) {
            return silence().await;
        }
        let (delay, lost) = self.net.depart();
        tokio::time::sleep(delay).await;
        match self.net.arrive(way, lost) {
            Arrival::There(handler, incarnation) => Ok((handler, incarnation)),
            Arrival::Lost => silence().await,
            Arrival::Nobody => Err(WireError::Unreachable("connection refused".to_owned())),
        }
    }

    /// Carries the answer back. Never returns when it is lost, or when nobody is left to take it.
    async fn back(&self, way: &Way, incarnation: u32) -> Result<(), WireError> {
        if !self.net.lives(way.from, incarnation) {
            return Err(WireError::Unreachable("connection reset".to_owned()));
        }
        let (delay, lost) = self.net.depart();
        tokio::time::sleep(delay).await;
        match self.net.arrive(way, lost) {
            Arrival::There(_, now) if now == self.incarnation => Ok(()),
            Arrival::Nobody if self.net.lives(self.agent, self.incarnation) => Ok(()),
            Arrival::There(..) | Arrival::Nobody | Arrival::Lost => silence().await,
        }
    }

    async fn exchange<F>(
        &self,
        message: &Message,
        length: usize,
        work: impl FnOnce(Arc<dyn PeerHandler>) -> F,
    ) -> Result<Bytes, WireError>
    where
        F: Future<Output = Result<Bytes, holdfast_agent::world::Refusal>> + Send + 'static,
    {
        let (from, to, label) = (message.from, message.to, message.kind.label());
        let way = Way { from, to, label, answer: false, length };
        let (handler, incarnation) = self.forth(&way).await?;
        // As a server would: the answer is worked out even when nobody waits for it.
        let work = tokio::spawn(work(handler));
        let answer = work.await.map_err(|error| WireError::Broken(error.to_string()))?;
        let length = answer.as_ref().map_or(0, Bytes::len);
        let way = Way { from: to, to: from, label, answer: true, length };
        self.back(&way, incarnation).await?;
        answer.map_err(WireError::Refused)
    }
}

#[async_trait]
impl Wire for SimWire {
    async fn call(
        &self,
        _to: &PeerAddress,
        message: Message,
        timeout: Duration,
    ) -> Result<Bytes, WireError> {
        let envelope = message.clone();
        let length = message.body.len();
        let sender = self.certified();
        let exchange = self.exchange(&envelope, length, |handler| async move {
            handler.handle(&sender, message).await
        });
        within(timeout, exchange).await
    }

    async fn snapshot(
        &self,
        _to: &PeerAddress,
        head: Message,
        chunks: BoxStream<'static, Bytes>,
        timeout: Duration,
    ) -> Result<Bytes, WireError> {
        let envelope = head.clone();
        let chunks: Vec<Bytes> = chunks.collect().await;
        let length = chunks.iter().map(Bytes::len).sum();
        let sender = self.certified();
        let exchange = self.exchange(&envelope, length, |handler| async move {
            let chunks = stream::iter(chunks).map(Ok).boxed();
            handler.handle_snapshot(&sender, head, chunks).await
        });
        let answer = within(timeout, exchange).await;
        if answer.is_ok() {
            self.net.0.coverage.felt("snapshot");
        }
        answer
    }
}

async fn within<T>(
    timeout: Duration,
    exchange: impl Future<Output = Result<T, WireError>>,
) -> Result<T, WireError> {
    tokio::time::timeout(timeout, exchange).await.unwrap_or(Err(WireError::Timeout(timeout)))
}

/// What a caller hears of a message that is lost, until its timeout.
async fn silence<T>() -> T {
    std::future::pending().await
}
