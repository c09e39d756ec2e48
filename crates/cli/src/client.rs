//! Asks the cluster: one member after the other until one answers, with one request number for all of them.
//!
//! A member that cannot be reached, gives no answer in time or says that it is unavailable is passed over; any other
//! answer is final. Because every change carries its request number, asking a second member cannot do it twice.
//! When no member answered, the failure names each of them with what it said.
//!
//! What it does not do: wait and go round again. A quorum that is missing is told at once.

use std::error::Error as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use holdfast_core::{RequestId, Timestamp};
use holdfast_wire::pb::v1::audit_service_client::AuditServiceClient;
use holdfast_wire::pb::v1::cluster_service_client::ClusterServiceClient;
use holdfast_wire::pb::v1::dns_service_client::DnsServiceClient;
use holdfast_wire::pb::v1::explain_service_client::ExplainServiceClient;
use holdfast_wire::pb::v1::override_service_client::OverrideServiceClient;
use holdfast_wire::pb::v1::registry_service_client::RegistryServiceClient;
use holdfast_wire::pb::v1::status_service_client::StatusServiceClient;
use tokio::time::Instant;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};

use crate::context::{Connection, Security};
use crate::exit::Exit;
use crate::failure::{Failure, Tried, causes};

/// How long one member may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The least time that one member gets, however many are left.
const LEAST_ATTEMPT: Duration = Duration::from_millis(500);
/// The largest answer that is read.
const MAX_ANSWER_BYTES: usize = 64 << 20;
/// The header that carries the number of a request that only reads.
const REQUEST_HEADER: &str = "x-request-id";

/// A client of the API.
#[derive(Debug)]
pub(crate) struct Client {
    connection: Connection,
    members: Vec<Member>,
    /// The member that answered last.
    preferred: AtomicUsize,
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
        Ok(Self {
            connection,
            members,
            preferred: AtomicUsize::new(0),
            request_id,
            deadline,
            timeout,
        })
    }

    /// A client of another member alone, with time of its own.
    pub(crate) fn only(&self, member: &str) -> Result<Self, Failure> {
        Self::new(self.connection.only(member)?, self.request_id, self.timeout)
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

    /// A request with its number in the header.
    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let number = self.request_id().parse().expect("a UUID is ASCII");
        request.metadata_mut().insert(REQUEST_HEADER, number);
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
            let Ok(result) = tokio::time::timeout(limit, attempt(member.channel.clone())).await
            else {
                let problem = format!("no answer within {}ms", limit.as_millis());
                tried.push(Tried { member: member.address.clone(), problem });
                continue;
            };
            match result {
                Ok(response) => {
                    self.preferred.store(place, Ordering::Relaxed);
                    return Ok(Answer::of(response));
                }
                Err(status) if passes_over(&status) => {
                    tried.push(Tried { member: member.address.clone(), problem: causes(&status) });
                    if status.source().is_none() {
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
            Some(status) => Failure::refused(what, status),
            None => {
                let certificate = tried.iter().any(|one| is_about_certificates(&one.problem));
                let next = if certificate {
                    "check that --ca, --cert and --key are of the cluster's own authority"
                } else {
                    "check that the agents run and listen there: systemctl status holdfast, holdfast doctor"
                };
                Failure::new(Exit::Unavailable, format!("cannot {what}: no member answered"))
                    .next(next)
            }
        };
        failure.request(self.request_id).tried(tried)
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

/// The moment of an HTTP date (RFC 9110, 5.6.7).
fn parse_date(text: &str) -> Option<Timestamp> {
    let zoned = jiff::fmt::rfc2822::parse(text).ok()?;
    u64::try_from(zoned.timestamp().as_millisecond()).ok().map(Timestamp)
}

/// Whether another member may do better.
fn passes_over(status: &Status) -> bool {
    let transport =
        status.source().is_some() && matches!(status.code(), Code::Unknown | Code::Internal);
    transport
        || matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled)
}

fn is_about_certificates(problem: &str) -> bool {
    ["certificate", "UnknownIssuer", "handshake", "BadCertificate"]
        .iter()
        .any(|word| problem.contains(word))
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
        .tcp_nodelay(true);
    match security {
        Security::Mutual(material) => endpoint.tls_config(material.client(None)).map_err(unusable),
        Security::Plaintext => Ok(endpoint),
    }
}

#[cfg(test)]
mod tests;
