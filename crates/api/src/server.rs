//! Puts the services together and serves them on a listener until told to stop.
//!
//! Stopping: health says so, then nothing more is accepted, streams end with a status that says so, requests that are at
//! work are finished, and then it returns.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use holdfast_wire::pb;
use holdfast_wire::pb::v1::audit_service_server::AuditServiceServer;
use holdfast_wire::pb::v1::cluster_service_server::ClusterServiceServer;
use holdfast_wire::pb::v1::dns_service_server::DnsServiceServer;
use holdfast_wire::pb::v1::explain_service_server::ExplainServiceServer;
use holdfast_wire::pb::v1::override_service_server::OverrideServiceServer;
use holdfast_wire::pb::v1::registry_service_server::RegistryServiceServer;
use holdfast_wire::pb::v1::status_service_server::StatusServiceServer;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::{InterceptorLayer, Routes};
use tonic::transport::{Server, ServerTlsConfig};
use tonic_health::pb::health_server::HealthServer;

use crate::caller::Gate;
use crate::connections::{ConnectionLimits, Door, incoming};
use crate::context::{Context, Deps};
use crate::feed::Feed;
use crate::limit::{Limiter, Rate};
use crate::native::ExplainLayer;
use crate::services;

/// The largest request, in bytes.
pub const MAX_REQUEST_BYTES: usize = 1024 * 1024;
/// Requests of one connection that are worked on at once.
const MAX_CONCURRENT: u32 = 256;
/// How often an idle connection is tried, and how long it may stay silent then.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// How the API is served.
#[derive(Debug, Clone)]
pub struct ApiConfig {
    /// Our certificate and whom we trust; clear text where absent, on loopback alone.
    pub tls: Option<ServerTlsConfig>,
    /// Requests per second of one client, in the long run.
    pub requests_per_second: u32,
    /// Requests of one client at once.
    pub burst: u32,
    /// Connections at once.
    pub connections: ConnectionLimits,
}

impl Default for ApiConfig {
    fn default() -> Self {
        let connections = ConnectionLimits::default();
        Self { tls: None, requests_per_second: 5_000, burst: 10_000, connections }
    }
}

/// Why the API is not served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Clear text was asked for on an address that others can reach.
    #[error(
        "the API would be served in clear text on {0}, which is not loopback; configure tls, or listen on 127.0.0.1"
    )]
    ClearText(SocketAddr),
    /// The TLS configuration is not usable.
    #[error(
        "the API's TLS configuration is not usable: {0}; check the files with `holdfast check-config`"
    )]
    Tls(#[source] tonic::transport::Error),
    /// The descriptors for reflection are not usable.
    #[error("the API's own description cannot be read: {0}")]
    Reflection(#[source] tonic_reflection::server::Error),
    /// The listener has no address.
    #[error("the API's listener is not usable: {0}")]
    Listener(#[source] std::io::Error),
    /// The server ended by itself.
    #[error("the API's server on {address} ended: {source}")]
    Ended {
        /// Where it listened.
        address: SocketAddr,
        /// What the transport says.
        #[source]
        source: tonic::transport::Error,
    },
}

/// Serves the API on `listener` until `shutdown`. Errors: the configuration is not usable, or the transport failed.
pub async fn serve(
    listener: TcpListener,
    config: ApiConfig,
    deps: Deps,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    let address = listener.local_addr().map_err(ServeError::Listener)?;
    if config.tls.is_none() && !address.ip().is_loopback() {
        return Err(ServeError::ClearText(address));
    }
    crate::metrics::describe();
    let views = deps.agreement.view();
    let feed = Arc::new(Feed::new(Arc::clone(&views.borrow())));
    let closing = CancellationToken::new();
    let cluster = config.tls.as_ref().map(|_| deps.facts.identity().cluster);
    let context = Context::new(deps, Arc::clone(&feed), closing.clone());
    let rate = Rate { per_second: config.requests_per_second, burst: config.burst };
    let gate = Gate { cluster, limiter: Arc::new(Limiter::new(rate)) };
    let routes = routes(&context)?;

    let mut server = Server::builder()
        .http2_keepalive_interval(Some(KEEP_ALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEP_ALIVE_TIMEOUT))
        .max_concurrent_streams(MAX_CONCURRENT);
    if let Some(tls) = config.tls {
        server = server.tls_config(tls).map_err(ServeError::Tls)?;
    }
    let stop = async move {
        shutdown.await;
        closing.cancel();
    };
    let incoming = incoming(listener, Door::new(config.connections));
    let serving = server
        .layer(InterceptorLayer::new(gate))
        .layer(ExplainLayer)
        .add_routes(routes)
        .serve_with_incoming_shutdown(incoming, stop);
    let following = async {
        feed.follow(views).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        biased;
        served = serving => served.map_err(|source| ServeError::Ended { address, source }),
        () = following => Ok(()),
    }
}

fn routes(context: &Context) -> Result<Routes, ServeError> {
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(pb::DESCRIPTORS)
        .build_v1()
        .map_err(ServeError::Reflection)?;
    macro_rules! capped {
        ($server:ident, $service:expr) => {
            $server::new($service).max_decoding_message_size(MAX_REQUEST_BYTES)
        };
    }
    let services::Services { registry, overrides, explain, status, audit, cluster, dns, health } =
        services::Services::new(context);
    Ok(Routes::new(capped!(HealthServer, health))
        .add_service(reflection)
        .add_service(capped!(RegistryServiceServer, registry))
        .add_service(capped!(OverrideServiceServer, overrides))
        .add_service(capped!(ExplainServiceServer, explain))
        .add_service(capped!(StatusServiceServer, status))
        .add_service(capped!(AuditServiceServer, audit))
        .add_service(capped!(ClusterServiceServer, cluster))
        .add_service(capped!(DnsServiceServer, dns)))
}
