//! Asks the cluster: one member after the other until one answers, with one request number for all of them.
//!
//! A member that cannot be reached, gives no answer in time or says that it is unavailable is passed over; any other
//! answer is final. Because every change carries its request number, asking a second member cannot do it twice.
//! When no member answered, the failure names each of them with what it said.
//!
//! What it does not do: wait and go round again. A quorum that is missing is told at once.

use std::error::Error as _;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use holdfast_core::time::millis;
use holdfast_core::{RequestId, Timestamp};
use holdfast_wire::pb::v1::audit_service_client::AuditServiceClient;
use holdfast_wire::pb::v1::cluster_service_client::ClusterServiceClient;
use holdfast_wire::pb::v1::dns_service_client::DnsServiceClient;
use holdfast_wire::pb::v1::explain_service_client::ExplainServiceClient;
use holdfast_wire::pb::v1::override_service_client::OverrideServiceClient;
use holdfast_wire::pb::v1::registry_service_client::RegistryServiceClient;
use holdfast_wire::pb::v1::status_service_client::StatusServiceClient;
use tokio::time::Instant;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};

use crate::context::{Connection, Security};
use crate::exit::Exit;
use crate::failure::{Failure, Tried, problem_of};

/// How long one member may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The least time that one member gets, however many are left.
const LEAST_ATTEMPT: Duration = Duration::from_millis(500);
/// The largest answer that is read.
const MAX_ANSWER_BYTES: usize = 64 << 20;
/// How often an idle connection is probed, so that a stream from a member that is gone without a word ends.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// How long the other side may take to answer that.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// How the problem of a member that gave no answer begins.
const SILENCE: &str = "no answer within";
/// The reason of a member that does not know whether a change was made.
const OUTCOME_UNKNOWN: &str = "OUTCOME_UNKNOWN";
/// The header that carries the number of a request that only reads.
const REQUEST_HEADER: &str = "x-request-id";
/// The header in which a client without a certificate names itself.
const ACTOR_HEADER: &str = "x-holdfast-actor";
/// The longest name in that header.
const MAX_ACTOR: usize = 64;

/// A client of the API.
#[derive(Debug)]
pub(crate) struct Client {
    connection: Connection,
    members: Vec<Member>,
    /// The member that answered last.
    preferred: AtomicUsize,
    /// How long the attempt under way may take, in milliseconds.
    attempt_ms: AtomicU64,
    request_id: RequestId,
    deadline: Instant,
    timeout: Duration,
}

#[derive(Debug)]
struct Member {
    address: String,
    channel: Channel,
}

/// An answer, and when it was given.
#[derive(Debug)]
pub(crate) struct Answer<T> {
    /// The answer.
    pub value: T,
    /// The member's wall clock when it answered, to the second, where it says.
    pub date: Option<Timestamp>,
}

macro_rules! stubs {
    ($($name:ident: $stub:ident;)+) => {
        $(
            #[doc = concat!("A `", stringify!($stub), "` over a channel.")]
            pub(crate) fn $name(channel: Channel) -> $stub<Channel> {
                $stub::new(channel).max_decoding_message_size(MAX_ANSWER_BYTES)
            }
        )+
    };
}

stubs! {
    registry: RegistryServiceClient;
    overrides: OverrideServiceClient;
    explain: ExplainServiceClient;
    status: StatusServiceClient;
    audit: AuditServiceClient;
    cluster: ClusterServiceClient;
    dns: DnsServiceClient;
}

impl Client {
    /// A client that may take `timeout` in all. Errors: an address or a certificate is not usable.
    pub(crate) fn new(
        connection: Connection,
        request_id: RequestId,
        timeout: Duration,
    ) -> Result<Self, Failure> {
        let members = connection
            .members
            .iter()
            .map(|address| {
                let channel = endpoint(address, &connection.security)?.connect_lazy();
                Ok(Member { address: address.clone(), channel })
            })
            .collect::<Result<Vec<_>, Failure>>()?;
        let deadline = Instant::now() + timeout;
        let attempt_ms = AtomicU64::new(millis(timeout));
        Ok(Self {
            connection,
            members,
            preferred: AtomicUsize::new(0),
            attempt_ms,
            request_id,
            deadline,
            timeout,
        })
    }

    /// A client of another member alone, with time of its own: at most `limit`.
    pub(crate) fn only(&self, member: &str, limit: Duration) -> Result<Self, Failure> {
        Self::new(self.connection.only(member)?, self.request_id, self.timeout.min(limit))
    }

    /// Gives every call at least this long: for what takes long by its nature.
    pub(crate) fn allow(&mut self, timeout: Duration) {
        self.timeout = self.timeout.max(timeout);
        self.renew();
    }

    /// How long a call may take.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Gives the next call the whole time again: for commands that make many.
    pub(crate) fn renew(&mut self) {
        self.deadline = Instant::now() + self.timeout;
    }

    /// The connection it uses.
    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The number of the request, as text.
    pub(crate) fn request_id(&self) -> String {
        self.request_id.to_string()
    }

    /// The number of the n-th part of a request that is made of several; part 0 has the request's own.
    pub(crate) fn request_id_of_part(&self, part: usize) -> String {
        RequestId(self.request_id.0.wrapping_add(part as u128)).to_string()
    }

    /// A request with its number, and with the time that it may take: the member then answers before that is over.
    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let number = self.request_id().parse().expect("a UUID is ASCII");
        request.metadata_mut().insert(REQUEST_HEADER, number);
        request.set_timeout(Duration::from_millis(self.attempt_ms.load(Ordering::Relaxed)));
        if let (Security::Plaintext, Some(name)) = (&self.connection.security, user()) {
            request.metadata_mut().insert(ACTOR_HEADER, name);
        }
        request
    }

    /// Asks until a member answers. `what` completes "cannot …". Errors: what the member refused, or that none answered.
    pub(crate) async fn call<T>(
        &self,
        what: impl AsRef<str>,
        attempt: impl AsyncFn(Channel) -> Result<Response<T>, Status>,
    ) -> Result<Answer<T>, Failure> {
        let what = what.as_ref();
        let mut tried = Vec::new();
        let mut telling: Option<Status> = None;
        let first = self.preferred.load(Ordering::Relaxed);
        for step in 0..self.members.len() {
            let place = (first + step) % self.members.len();
            let member = &self.members[place];
            let left = self.members.len() - step;
            let limit = self.attempt_limit(left);
            self.attempt_ms.store(millis(limit), Ordering::Relaxed);
            let Ok(result) = tokio::time::timeout(limit, attempt(member.channel.clone())).await
            else {
                tried.push(Tried { member: member.address.clone(), problem: silence(limit) });
                continue;
            };
            match result {
                Ok(response) => {
                    self.preferred.store(place, Ordering::Relaxed);
                    return Ok(Answer::of(response));
                }
                Err(status) if passes_over(&status) => {
                    // The transport keeps the same limit, and says so when it is the first to notice.
                    let expired = status.code() == Code::Cancelled;
                    let problem = if expired { silence(limit) } else { problem_of(&status) };
                    tried.push(Tried { member: member.address.clone(), problem });
                    if status.source().is_none() && status.code() == Code::Unavailable {
                        telling = Some(status);
                    }
                }
                Err(status) => {
                    let failure = Failure::refused(what, &status).request(self.request_id);
                    return Err(if tried.is_empty() { failure } else { failure.tried(tried) });
                }
            }
        }
        Err(self.unanswered(what, telling.as_ref(), tried))
    }

    /// An even share of the time that is left.
    fn attempt_limit(&self, left: usize) -> Duration {
        let remaining = self.deadline.saturating_duration_since(Instant::now());
        let share = u32::try_from(left).unwrap_or(u32::MAX).max(1);
        (remaining / share).max(LEAST_ATTEMPT)
    }

    fn unanswered(&self, what: &str, telling: Option<&Status>, tried: Vec<Tried>) -> Failure {
        let failure = match telling {
            Some(status) => {
                let failure = Failure::refused(what, status);
                if failure.reason() == Some(OUTCOME_UNKNOWN) {
                    failure.instead(self.repeat_with_number())
                } else {
                    failure
                }
            }
            None => {
                let next = self.next_when_unanswered(&tried);
                Failure::new(Exit::Unavailable, format!("cannot {what}: no member answered"))
                    .next(next)
            }
        };
        failure.request(self.request_id).tried(tried)
    }

    fn repeat_with_number(&self) -> String {
        format!("repeat the command with --request-id {}: it is then done once", self.request_id)
    }

    fn next_when_unanswered(&self, tried: &[Tried]) -> String {
        let any = |words: &[&str]| {
            tried.iter().any(|one| words.iter().any(|word| one.problem.contains(word)))
        };
        let next = match &self.connection.security {
            Security::Mutual(_) if any(&["certificate", "handshake", "Certificate"]) => {
                "check that --ca, --cert and --key are of the cluster's own authority"
            }
            Security::Plaintext if any(&["broken pipe", "http2 error", "connection reset"]) => {
                "the member may expect TLS: give --ca, --cert and --key instead of --plaintext"
            }
            _ if any(&[SILENCE]) => return self.repeat_with_number(),
            _ => "check that the agents run and listen there: systemctl status holdfast",
        };
        next.to_owned()
    }
}

impl<T> Answer<T> {
    fn of(response: Response<T>) -> Self {
        let date = response
            .metadata()
            .get("date")
            .and_then(|date| date.to_str().ok())
            .and_then(parse_date);
        Self { value: response.into_inner(), date }
    }
}

/// The name of whoever runs this, as far as the system says; only where there is no certificate that says it better.
fn user() -> Option<MetadataValue<Ascii>> {
    let name =
        std::env::var("USER").ok().filter(|name| !name.is_empty() && name.len() <= MAX_ACTOR)?;
    name.parse().ok()
}

/// The moment of an HTTP date (RFC 9110, 5.6.7).
fn parse_date(text: &str) -> Option<Timestamp> {
    let zoned = jiff::fmt::rfc2822::parse(text).ok()?;
    u64::try_from(zoned.timestamp().as_millisecond()).ok().map(Timestamp)
}

fn silence(limit: Duration) -> String {
    format!("{SILENCE} {}ms", limit.as_millis())
}

/// Whether another member may do better.
fn passes_over(status: &Status) -> bool {
    let transport =
        status.source().is_some() && matches!(status.code(), Code::Unknown | Code::Internal);
    transport
        || matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled)
}

fn endpoint(address: &str, security: &Security) -> Result<Endpoint, Failure> {
    let unusable = |error: tonic::transport::Error| {
        let cause = error.source().map_or_else(String::new, |cause| format!(": {cause}"));
        Failure::usage(format!("cannot use the endpoint {address}: {error}{cause}"))
    };
    let scheme = match security {
        Security::Mutual(_) => "https",
        Security::Plaintext => "http",
    };
    let endpoint = Endpoint::from_shared(format!("{scheme}://{address}"))
        .map_err(unusable)?
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT);
    match security {
        Security::Mutual(material) => endpoint.tls_config(material.client(None)).map_err(unusable),
        Security::Plaintext => Ok(endpoint),
    }
}

#[cfg(test)]
mod tests;
