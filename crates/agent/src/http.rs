//! `/metrics`, `/healthz` and `/readyz`, for Prometheus and for whoever starts and stops the process.
//!
//! `/healthz` says that the process is alive, nothing more: an agent without quorum is alive and must not be killed
//! for it. `/readyz` says, part by part, what it can do: serving DNS and being in quorum are different answers.

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::facts::Facts;

/// Whether one part of an agent is ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Part {
    /// The part: `dns`, `signing`, `quorum`, `audit` or `tasks`.
    pub part: &'static str,
    /// Whether it is ready.
    pub ready: bool,
    /// Why not, or how it stands.
    pub detail: String,
}

#[derive(Clone)]
struct Shared {
    facts: Facts,
    metrics: Option<PrometheusHandle>,
}

/// Serves until cancelled.
pub(crate) async fn serve(
    listener: TcpListener,
    facts: Facts,
    metrics: Option<PrometheusHandle>,
    cancel: CancellationToken,
) {
    let app = Router::new()
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(expose))
        .with_state(Shared { facts, metrics });
    let served = axum::serve(listener, app).with_graceful_shutdown(cancel.cancelled_owned());
    if let Err(error) = served.await {
        tracing::error!(%error, "the HTTP listener failed");
    }
}

async fn ready(State(shared): State<Shared>) -> impl IntoResponse {
    let parts = shared.facts.readiness();
    let all = parts.iter().all(|part| part.ready);
    let code = if all { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(parts))
}

async fn expose(State(shared): State<Shared>) -> impl IntoResponse {
    match shared.metrics {
        Some(handle) => (StatusCode::OK, handle.render()),
        None => (StatusCode::NOT_FOUND, "metrics are not collected in this process\n".to_owned()),
    }
}
