//! `grpc.health.v1`: whether a service can be served here, worked out at the moment of asking.
//!
//! | asked for | SERVING while |
//! |---|---|
//! | the whole (`""`), RegistryService, OverrideService, ClusterService | a leader is known and has a quorum: the part `quorum` of `/readyz`, without which changes and linearizable reads are refused |
//! | StatusService, ExplainService, AuditService, DnsService | always: with consistency STALE they answer from what this node knows |
//!
//! Nothing is SERVING once the node is told to stop, and that is said before it stops to listen. Other names are
//! unknown.

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use tokio::sync::OwnedSemaphorePermit;
use tonic::{Code, Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::Health as HealthService;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::NAMES;
use super::heartbeat::Counted;
use crate::agreement::Role;
use crate::context::{Context, closing};
use crate::refusal::Refusal;

/// Services that answer without a quorum.
const FROM_MEMORY: [&str; 4] = [
    "holdfast.v1.StatusService",
    "holdfast.v1.ExplainService",
    "holdfast.v1.AuditService",
    "holdfast.v1.DnsService",
];

/// gRPC health.
#[derive(Debug)]
pub(crate) struct Health(pub(crate) Context);

impl Health {
    fn state_of(&self, service: &str) -> ServingStatus {
        if !service.is_empty() && !NAMES.contains(&service) {
            return ServingStatus::ServiceUnknown;
        }
        let serves = !self.0.closing.is_cancelled()
            && (FROM_MEMORY.contains(&service) || self.is_in_quorum());
        if serves { ServingStatus::Serving } else { ServingStatus::NotServing }
    }

    fn is_in_quorum(&self) -> bool {
        let standing = self.0.deps.agreement.standing();
        standing.quorum && standing.leader.is_some() && standing.role != Role::Stopped
    }
}

#[tonic::async_trait]
impl HealthService for Health {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let service = request.into_inner().service;
        match self.state_of(&service) {
            ServingStatus::ServiceUnknown => Err(Refusal::new(
                Code::NotFound,
                "UNKNOWN_SERVICE",
                format!("there is no service {service:?}"),
                format!("ask for the empty name, or for one of {}", NAMES.join(", ")),
            )
            .into()),
            state => Ok(Response::new(HealthCheckResponse { status: state as i32 })),
        }
    }

    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let watcher = Watcher {
            _room: self.0.stream()?,
            _counted: Counted::new("health"),
            health: Self(self.0.clone()),
            service: request.into_inner().service,
            changes: self.0.deps.agreement.changes(),
            told: None,
            ended: false,
        };
        Ok(Response::new(futures_util::stream::unfold(watcher, next).boxed()))
    }
}

/// Somebody who wants to hear of each change.
struct Watcher {
    health: Health,
    service: String,
    changes: BoxStream<'static, ()>,
    told: Option<ServingStatus>,
    ended: bool,
    _room: OwnedSemaphorePermit,
    _counted: Counted,
}

async fn next(mut watcher: Watcher) -> Option<(Result<HealthCheckResponse, Status>, Watcher)> {
    let stop = watcher.health.0.closing.clone();
    loop {
        let state = watcher.health.state_of(&watcher.service);
        if watcher.told != Some(state) {
            watcher.told = Some(state);
            return Some((Ok(HealthCheckResponse { status: state as i32 }), watcher));
        }
        if watcher.ended {
            return None;
        }
        if stop.is_cancelled() {
            watcher.ended = true;
            return Some((Err(closing()), watcher));
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            Some(()) = watcher.changes.next() => {}
        }
    }
}
