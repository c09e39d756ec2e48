//! Heartbeats: each beat goes to the sink and is answered, in order.
//!
//! A beat that cannot be taken does not end the stream: the answer says why, and the next beat may be taken.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use holdfast_core::View;
use holdfast_core::observation::Target;
use holdfast_core::spec::CheckKind;
use holdfast_wire::pb::v1 as pb;
use tokio::sync::OwnedSemaphorePermit;
use tonic::{Status, Streaming};

use super::{named, service_id};
use crate::context::{Context, closing};
use crate::metrics::STREAMS;

/// A stream of beats at work.
struct Beats {
    context: Context,
    requests: Streaming<pb::HeartbeatRequest>,
    ended: bool,
    _room: OwnedSemaphorePermit,
    _counted: Counted,
}

/// A stream that is counted as long as it is open.
pub(super) struct Counted(&'static str);

impl Counted {
    pub(super) fn new(kind: &'static str) -> Self {
        metrics::gauge!(STREAMS, "kind" => kind).increment(1.0);
        Self(kind)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        metrics::gauge!(STREAMS, "kind" => self.0).decrement(1.0);
    }
}

/// Answers every beat of a stream.
pub(super) fn answer(
    context: &Context,
    requests: Streaming<pb::HeartbeatRequest>,
) -> Result<BoxStream<'static, Result<pb::HeartbeatResponse, Status>>, Status> {
    let beats = Beats {
        _room: context.stream()?,
        _counted: Counted::new("heartbeat"),
        context: context.clone(),
        requests,
        ended: false,
    };
    Ok(futures_util::stream::unfold(beats, next).boxed())
}

async fn next(mut beats: Beats) -> Option<(Result<pb::HeartbeatResponse, Status>, Beats)> {
    if beats.ended {
        return None;
    }
    let closed = beats.context.closing.clone();
    let request = tokio::select! {
        biased;
        () = closed.cancelled() => Err(closing()),
        request = beats.requests.message() => request,
    };
    match request {
        Ok(None) => None,
        Ok(Some(beat)) => {
            let response = take(&beats.context, beat).await;
            Some((Ok(response), beats))
        }
        Err(status) => {
            beats.ended = true;
            Some((Err(status), beats))
        }
    }
}

async fn take(context: &Context, beat: pb::HeartbeatRequest) -> pb::HeartbeatResponse {
    let view = context.latest();
    let known = target(&beat).and_then(|target| {
        let ttl = ttl_of(&view, &target)?;
        Ok((target, ttl))
    });
    let (ttl, problem) = match known {
        Err(problem) => (Duration::ZERO, Some(problem)),
        Ok((target, ttl)) => (ttl, context.deps.heartbeats.beat(vec![target]).await.err()),
    };
    pb::HeartbeatResponse {
        service: beat.service,
        endpoint: beat.endpoint,
        check: beat.check,
        accepted: problem.is_none(),
        problem: problem.unwrap_or_default(),
        ttl_ms: holdfast_core::time::millis(ttl),
    }
}

fn target(beat: &pb::HeartbeatRequest) -> Result<Target, String> {
    let parts = || {
        Ok(Target {
            service: service_id(&beat.service)?,
            endpoint: named("endpoint", &beat.endpoint)?,
            check: named("check", &beat.check)?,
        })
    };
    parts().map_err(|refusal: crate::refusal::Refusal| refusal.text())
}

/// The TTL of a heartbeat check. Errors: there is no such check of such an endpoint.
fn ttl_of(view: &View, target: &Target) -> Result<Duration, String> {
    let service = view
        .services
        .get(&target.service)
        .ok_or_else(|| format!("there is no service {}; apply it first", target.service))?;
    if service.spec.endpoint(&target.endpoint).is_none() {
        let (service, endpoint) = (&target.service, &target.endpoint);
        return Err(format!("{service} has no endpoint {endpoint}; register it first"));
    }
    let check = service.spec.checks.iter().find(|check| check.name == target.check);
    match check.map(|check| &check.kind) {
        Some(CheckKind::Heartbeat(heartbeat)) => Ok(heartbeat.ttl),
        Some(other) => Err(format!(
            "check {} of {} is of kind {}, not heartbeat; the agents probe it themselves",
            target.check,
            target.service,
            other.label()
        )),
        None => Err(format!("{} has no check {}", target.service, target.check)),
    }
}
