//! Who asks, and whether they may ask once more: decided before any service sees the request.
//!
//! With TLS, the actor is the client's certificate, and a certificate of another cluster's authority is refused. In
//! clear text, which is served on loopback alone, the client names itself.

use std::sync::Arc;
use std::time::Duration;

use holdfast_core::{Actor, ActorKind};
use holdfast_wire::tls::Identity;
use tokio::time::Instant;
use tonic::service::Interceptor;
use tonic::{Code, Request, Status};

use crate::limit::Limiter;
use crate::refusal::Refusal;

/// In clear text, the metadata in which a client names itself.
pub const ACTOR_METADATA: &str = "x-holdfast-actor";

/// The name of clients in clear text that give none.
const ANONYMOUS: &str = "anonymous";
/// The longest name that a client can give itself.
const MAX_ACTOR: usize = 64;
/// How long a request may take when the client does not say.
const PATIENCE: Duration = Duration::from_secs(10);
/// What is kept of the client's own limit for the way back, so that it hears why rather than nothing.
const RETURN_SHARE: u32 = 10;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) actor: Actor,
}

/// A request with who asks and how long they wait.
#[derive(Debug)]
pub(crate) struct Call<T> {
    pub(crate) caller: Caller,
    pub(crate) within: Duration,
    pub(crate) body: T,
}

impl<T> Call<T> {
    /// Takes a request apart. Errors: it did not pass the gate.
    pub(crate) fn of(request: Request<T>) -> Result<Self, Status> {
        let within = patience(&request);
        let caller = request.extensions().get::<Caller>().cloned().ok_or_else(|| {
            Refusal::new(
                Code::Internal,
                "INTERNAL",
                "the request did not pass the gate, which is a defect of this node",
                "report it with the version that `holdfast --version` prints",
            )
        })?;
        Ok(Self { caller, within, body: request.into_inner() })
    }
}

/// Identifies callers and holds them to their rate.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    /// The cluster whose certificates are taken; `None` in clear text.
    pub(crate) cluster: Option<String>,
    pub(crate) limiter: Arc<Limiter>,
}

impl Interceptor for Gate {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let caller = match &self.cluster {
            Some(cluster) => certified(&request, cluster)?,
            None => self_named(&request)?,
        };
        let key = format!("{:?}/{}", caller.actor.kind, caller.actor.name);
        self.limiter.take(&key, Instant::now()).map_err(|wait| {
            Refusal::new(
                Code::ResourceExhausted,
                "RATE_LIMITED",
                format!("{} asks more often than one client may", caller.actor.name),
                format!("ask again in {} ms", wait.as_millis().max(1)),
            )
            .after(wait)
        })?;
        request.extensions_mut().insert(caller);
        Ok(request)
    }
}

fn certified(request: &Request<()>, cluster: &str) -> Result<Caller, Refusal> {
    let unknown = |why: String| {
        Refusal::new(
            Code::Unauthenticated,
            "NO_IDENTITY",
            why,
            "use a certificate of this cluster, such as `holdfast ca issue` makes",
        )
    };
    let certificates = request.peer_certs();
    let leaf = certificates
        .as_deref()
        .and_then(|chain| chain.first())
        .ok_or_else(|| unknown("the connection shows no certificate".to_owned()))?;
    let identity = Identity::of(leaf).map_err(|e| unknown(e.to_string()))?;
    match &identity.cluster {
        Some(other) if other != cluster => Err(unknown(format!(
            "the certificate of {} is of cluster {other}, this is {cluster}",
            identity.name
        ))),
        _ => Ok(Caller { actor: identity.actor() }),
    }
}

fn self_named(request: &Request<()>) -> Result<Caller, Refusal> {
    let name = match request.metadata().get(ACTOR_METADATA) {
        None => ANONYMOUS,
        Some(value) => value
            .to_str()
            .ok()
            .filter(|name| !name.is_empty() && name.len() <= MAX_ACTOR)
            .ok_or_else(|| Refusal::field(ACTOR_METADATA, "it must be 1 to 64 ASCII characters"))?,
    };
    Ok(Caller { actor: Actor { kind: ActorKind::Person, name: name.to_owned() } })
}

/// How long the request may take: nearly as long as the client waits.
fn patience<T>(request: &Request<T>) -> Duration {
    let given = request.metadata().get("grpc-timeout").and_then(|value| value.to_str().ok());
    match given.and_then(parse_timeout) {
        Some(limit) => limit - limit / RETURN_SHARE,
        None => PATIENCE,
    }
}

/// Reads a gRPC timeout: up to eight digits and a unit.
fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(count * 3600)),
        "M" => Some(Duration::from_secs(count * 60)),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_grpc_writes_them() {
        for (text, expected) in [
            ("5S", Some(Duration::from_secs(5))),
            ("250m", Some(Duration::from_millis(250))),
            ("1H", Some(Duration::from_secs(3600))),
            ("999999999S", None),
            ("S", None),
            ("", None),
            ("5x", None),
            ("5ü", None),
        ] {
            assert_eq!(parse_timeout(text), expected, "{text:?}");
        }
    }
}
