//! What every service holds, and the two ways through it: a change, and a read.

use std::sync::Arc;
use std::time::Duration;

use holdfast_audit::AuditLog;
use holdfast_core::seam::Clock;
use holdfast_core::{Command, Reply, View};
use holdfast_seal::Sealer;
use holdfast_wire::command::Proposal;
use holdfast_wire::convert::request_id;
use holdfast_wire::pb::v1::Consistency;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Response, Status};

use crate::agreement::{Agreement, AgreementError};
use crate::caller::Call;
use crate::feed::Feed;
use crate::node::{HeartbeatSink, NodeFacts, Propagation};
use crate::refusal::Refusal;

/// On every answer, the log index that it includes.
pub const INDEX_METADATA: &str = "x-holdfast-index";

/// The most streams that are open at once, of all clients.
pub(crate) const MAX_STREAMS: usize = 4096;

/// What the API serves from.
#[derive(Clone)]
pub struct Deps {
    /// The group.
    pub agreement: Arc<dyn Agreement>,
    /// The node's audit log.
    pub audit: AuditLog,
    /// Facts about the node.
    pub facts: Arc<dyn NodeFacts>,
    /// Where heartbeats go.
    pub heartbeats: Arc<dyn HeartbeatSink>,
    /// What looks at the answers from outside.
    pub propagation: Arc<dyn Propagation>,
    /// Wall time, for explanations.
    pub clock: Arc<dyn Clock>,
    /// What secrets are sealed with before they are proposed.
    pub sealer: Sealer,
}

impl std::fmt::Debug for Deps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deps").field("audit", &self.audit).finish_non_exhaustive()
    }
}

/// What every service holds.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    pub(crate) deps: Deps,
    pub(crate) feed: Arc<Feed>,
    pub(crate) closing: CancellationToken,
    streams: Arc<Semaphore>,
}

/// What a change came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Changed {
    pub(crate) index: u64,
    pub(crate) reply: Reply,
}

impl Changed {
    /// The revision that is stored, and whether it is new.
    pub(crate) fn stored(&self) -> (u64, bool) {
        match self.reply {
            Reply::Stored { revision, changed } => (revision, changed),
            Reply::Done | Reply::Ordered { .. } => (self.index, true),
        }
    }
}

impl Context {
    pub(crate) fn new(deps: Deps, feed: Arc<Feed>, closing: CancellationToken) -> Self {
        Self { deps, feed, closing, streams: Arc::new(Semaphore::new(MAX_STREAMS)) }
    }

    /// Has a command agreed on. Errors: each with the request's id.
    pub(crate) async fn change<T>(
        &self,
        call: &Call<T>,
        id: &str,
        command: Result<Command, Refusal>,
    ) -> Result<Changed, Status> {
        self.try_change(call, id, command)
            .await
            .map_err(|refusal| refusal.with("request_id", id).into())
    }

    async fn try_change<T>(
        &self,
        call: &Call<T>,
        id: &str,
        command: Result<Command, Refusal>,
    ) -> Result<Changed, Refusal> {
        let proposal = Proposal {
            request_id: Some(request_id(id)?),
            actor: call.caller.actor.clone(),
            command: command?,
        };
        let outcome = self.deps.agreement.propose(proposal, call.within).await;
        let outcome = outcome.map_err(|error| self.unavailable(error))?;
        let reply = outcome.result?;
        Ok(Changed { index: outcome.index, reply })
    }

    /// A refusal that says who leads.
    pub(crate) fn unavailable(&self, error: AgreementError) -> Refusal {
        let standing = self.deps.agreement.standing();
        Refusal::from(error).with("leader", standing.leader_address().unwrap_or_default())
    }

    /// The view to answer a read from. Errors: linearizable was asked, and there is no quorum.
    pub(crate) async fn view(
        &self,
        consistency: i32,
        within: Duration,
    ) -> Result<Arc<View>, Status> {
        match Consistency::try_from(consistency) {
            Ok(Consistency::Stale) => {}
            Ok(Consistency::Linearizable | Consistency::Unspecified) => {
                let stale = "consistency STALE is answered without a quorum";
                return Ok(self.read(within).await.map_err(|it| it.with("alternative", stale))?);
            }
            Err(_) => {
                let problem = format!("there is no consistency {consistency}");
                return Err(Refusal::field("consistency", problem).into());
            }
        }
        Ok(self.latest())
    }

    /// The view that includes everything that was acknowledged before. Errors: there is no quorum.
    pub(crate) async fn agreed(&self, within: Duration) -> Result<Arc<View>, Status> {
        Ok(self.read(within).await?)
    }

    async fn read(&self, within: Duration) -> Result<Arc<View>, Refusal> {
        let read = self.deps.agreement.read_index(within).await;
        read.map_err(|error| self.unavailable(error))?;
        Ok(self.latest())
    }

    /// The view as this node knows it.
    pub(crate) fn latest(&self) -> Arc<View> {
        Arc::clone(&self.deps.agreement.view().borrow())
    }

    /// Room for a stream. Errors: too many are open.
    pub(crate) fn stream(&self) -> Result<OwnedSemaphorePermit, Status> {
        Arc::clone(&self.streams).try_acquire_owned().map_err(|_| {
            Refusal::new(
                Code::ResourceExhausted,
                "TOO_MANY_STREAMS",
                format!("{MAX_STREAMS} streams are open on this node"),
                "close streams that are not needed, or ask another node",
            )
            .after(Duration::from_secs(1))
            .into()
        })
    }
}

/// A response that says which log index it includes.
pub(crate) fn at<T>(index: u64, body: T) -> Response<T> {
    let mut response = Response::new(body);
    response.metadata_mut().insert(INDEX_METADATA, index.into());
    response
}

/// The status of a stream that ends because the node stops.
pub(crate) fn closing() -> Status {
    Refusal::new(
        Code::Unavailable,
        "SHUTTING_DOWN",
        "this node is shutting down",
        "resume on another node",
    )
    .into()
}
