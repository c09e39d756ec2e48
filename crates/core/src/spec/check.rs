//! Checks: what is asked of every endpoint of a service, how often, and what counts as an answer.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::bounds::{self, LONGEST_TTL, within};
use super::{SpecError, spec_error};
use crate::id::CheckName;
use crate::name::DnsName;

/// A question that every observer asks of every endpoint of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Unique in its service.
    pub name: CheckName,
    /// What is asked.
    pub kind: CheckKind,
    /// Time from one probe's start to the next; at least 100 ms.
    pub interval: Duration,
    /// A probe without an answer by then has failed; at least 10 ms and less than `interval`. The upper bound of
    /// the adaptive timeout.
    pub timeout: Duration,
    /// Passes in a row before an observer calls an endpoint up; 1–100.
    pub rise: u16,
    /// Failures in a row before an observer calls an endpoint down; 1–100.
    pub fall: u16,
    /// Time between probes while an observer is making up its mind; at least 10 ms, at most `interval`.
    pub confirm: Duration,
}

impl Check {
    /// The most headers of an HTTP check.
    pub const MAX_HEADERS: usize = 32;
    /// The longest text, set of bytes or chain of certificates of a check, in bytes.
    pub const MAX_BLOB: usize = 64 * 1024;

    /// Says whether this check is possible. Errors: the first field that is not, with what would be right.
    pub(super) fn validate(&self) -> Result<(), SpecError> {
        let field = |part: &str| format!("checks[{}].{part}", self.name);
        if let CheckKind::Heartbeat(heartbeat) = &self.kind {
            return within(field("ttl"), heartbeat.ttl, (Duration::from_millis(500), LONGEST_TTL));
        }
        within(field("interval"), self.interval, (Duration::from_millis(100), LONGEST_TTL))?;
        if self.timeout < Duration::from_millis(10) || self.timeout >= self.interval {
            let problem = format!(
                "{:?} must be at least 10ms and less than the interval of {:?}",
                self.timeout, self.interval
            );
            return Err(spec_error(field("timeout"), problem));
        }
        within(field("confirm"), self.confirm, (Duration::from_millis(10), self.interval))?;
        for (part, count) in [("rise", self.rise), ("fall", self.fall)] {
            if !(1..=100).contains(&count) {
                return Err(spec_error(field(part), "must be 1 to 100"));
            }
        }
        self.kind.validate(&field)
    }
}

/// What a check asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CheckKind {
    /// A request over HTTP or HTTPS.
    Http(HttpCheck),
    /// A TCP connection, optionally with a short exchange.
    Tcp(TcpCheck),
    /// `grpc.health.v1.Health/Check`.
    Grpc(GrpcCheck),
    /// A DNS query.
    Dns(DnsCheck),
    /// A TLS handshake and the certificate it shows.
    Tls(TlsCheck),
    /// Nothing is asked: the endpoint itself reports through the API, and silence for the TTL is a failure.
    Heartbeat(HeartbeatCheck),
}

impl CheckKind {
    /// The kind's name in manifests, metrics and messages.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Http(check) if check.tls.is_some() => "https",
            Self::Http(_) => "http",
            Self::Tcp(_) => "tcp",
            Self::Grpc(_) => "grpc",
            Self::Dns(_) => "dns",
            Self::Tls(_) => "tls",
            Self::Heartbeat(_) => "heartbeat",
        }
    }
}

impl CheckKind {
    fn validate(&self, field: &dyn Fn(&str) -> String) -> Result<(), SpecError> {
        match self {
            Self::Http(http) => http.validate(field),
            Self::Tcp(tcp) => {
                bounds::port(field("port"), tcp.port)?;
                if tcp.send.len() > Check::MAX_BLOB || tcp.expect.len() > 4096 {
                    return Err(spec_error(
                        field("expect"),
                        "at most 4096 bytes; send at most 65536",
                    ));
                }
                Ok(())
            }
            Self::Grpc(grpc) => {
                bounds::port(field("port"), grpc.port)?;
                bounds::one_line(field("service"), &grpc.service)?;
                grpc.tls.iter().try_for_each(|tls| tls.validate(field))
            }
            Self::Dns(dns) => {
                bounds::port(field("port"), dns.port)?;
                bounds::token(field("record_type"), &dns.record_type)?;
                bounds::token(field("expect_rcode"), &dns.expect_rcode)?;
                dns.expect_data
                    .iter()
                    .try_for_each(|data| bounds::one_line(field("expect_data"), data))
            }
            Self::Tls(tls) => {
                bounds::port(field("port"), tls.port)?;
                tls.options.validate(field)
            }
            Self::Heartbeat(_) => Ok(()),
        }
    }
}

/// How a TLS peer is judged.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsOptions {
    /// Name for SNI and for the certificate; the endpoint's name or address where absent.
    pub server_name: Option<String>,
    /// PEM of the certificate authorities to trust; the system's where absent.
    pub ca_pem: Option<String>,
    /// Whether the chain and the name are verified. Expiry is judged either way.
    pub verify: bool,
    /// The certificate must be valid for at least this many more days.
    pub min_days_left: Option<u16>,
}

impl TlsOptions {
    fn validate(&self, field: &dyn Fn(&str) -> String) -> Result<(), SpecError> {
        if let Some(name) = &self.server_name {
            bounds::one_line(field("tls.server_name"), name)?;
        }
        let pem = self.ca_pem.iter();
        pem.into_iter().try_for_each(|pem| bounds::text(field("tls.ca_pem"), pem, Check::MAX_BLOB))
    }
}

/// The HTTP version spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum HttpVersion {
    /// HTTP/1.1.
    Http11,
    /// HTTP/2, by ALPN over TLS and with prior knowledge in clear.
    Http2,
}

/// An inclusive range of status codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusRange {
    /// The lowest code that is accepted; 100–599.
    pub from: u16,
    /// The highest code that is accepted; `from`–599.
    pub to: u16,
}

/// What the body must hold, judged on its first 64 KiB.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum BodyExpectation {
    /// This text occurs.
    Contains(String),
    /// This regular expression matches.
    Matches(String),
    /// The value at this JSON pointer (RFC 6901), as text or as JSON, equals `equals`.
    Pointer {
        /// Such as `/status/ready`.
        pointer: String,
        /// Such as `true`.
        equals: String,
    },
}

/// A request over HTTP or HTTPS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpCheck {
    /// Present for https.
    pub tls: Option<TlsOptions>,
    /// The version spoken.
    pub version: HttpVersion,
    /// Such as `GET` or `HEAD`.
    pub method: String,
    /// Path and query, beginning with `/`.
    pub path: String,
    /// The Host header; the endpoint's address where absent.
    pub host: Option<String>,
    /// Further headers, sent as given.
    pub headers: Vec<(String, String)>,
    /// The port; the endpoint's where absent.
    pub port: Option<u16>,
    /// Accepted status codes; 200–299 where empty.
    pub expect_status: Vec<StatusRange>,
    /// What the body must hold.
    pub expect_body: Option<BodyExpectation>,
    /// An answer slower than this is a failure even if it is right.
    pub max_latency: Option<Duration>,
    /// How many redirects are followed; 0–10, 0 unless asked. A redirect leads to the same allow and deny lists.
    pub follow_redirects: u8,
}

impl HttpCheck {
    fn validate(&self, field: &dyn Fn(&str) -> String) -> Result<(), SpecError> {
        bounds::token(field("method"), &self.method)?;
        if !self.path.starts_with('/') {
            return Err(spec_error(field("path"), format!("{:?} must begin with '/'", self.path)));
        }
        bounds::one_line(field("path"), &self.path)?;
        bounds::port(field("port"), self.port)?;
        if self.headers.len() > Check::MAX_HEADERS {
            let problem = format!("at most {} are allowed", Check::MAX_HEADERS);
            return Err(spec_error(field("headers"), problem));
        }
        for (name, value) in &self.headers {
            bounds::token(field("headers"), name)?;
            bounds::one_line(field(&format!("headers[{name}]")), value)?;
        }
        if let Some(host) = &self.host {
            bounds::one_line(field("host"), host)?;
        }
        let impossible = |r: &StatusRange| r.from < 100 || r.to > 599 || r.from > r.to;
        if self.expect_status.iter().any(impossible) {
            let problem = "codes are 100 to 599, a range from low to high";
            return Err(spec_error(field("expect_status"), problem));
        }
        if self.follow_redirects > 10 {
            return Err(spec_error(field("follow_redirects"), "at most 10"));
        }
        self.tls.iter().try_for_each(|tls| tls.validate(field))?;
        let expected = match &self.expect_body {
            Some(BodyExpectation::Contains(text) | BodyExpectation::Matches(text)) => text,
            Some(BodyExpectation::Pointer { pointer, equals }) => {
                if !pointer.is_empty() && !pointer.starts_with('/') {
                    let problem = format!("{pointer:?} must be empty or begin with '/' (RFC 6901)");
                    return Err(spec_error(field("expect_body.pointer"), problem));
                }
                equals
            }
            None => return Ok(()),
        };
        bounds::text(field("expect_body"), expected, Check::MAX_BLOB)
    }
}

/// A TCP connection, optionally with a short exchange.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TcpCheck {
    /// The port; the endpoint's where absent.
    pub port: Option<u16>,
    /// Sent once connected.
    pub send: Vec<u8>,
    /// Must occur in the first 4 KiB received; nothing is awaited where empty.
    pub expect: Vec<u8>,
}

/// `grpc.health.v1.Health/Check`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrpcCheck {
    /// The port; the endpoint's where absent.
    pub port: Option<u16>,
    /// The service asked for; the whole server where empty.
    pub service: String,
    /// Present for gRPC over TLS.
    pub tls: Option<TlsOptions>,
}

/// A DNS query over UDP, repeated over TCP when truncated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsCheck {
    /// The port; the endpoint's where absent.
    pub port: Option<u16>,
    /// The name asked for.
    pub name: DnsName,
    /// The type asked for, such as `A`.
    pub record_type: String,
    /// The expected response code, such as `NOERROR`.
    pub expect_rcode: String,
    /// Each must be among the answers, in presentation form.
    pub expect_data: Vec<String>,
}

/// A TLS handshake and the certificate it shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsCheck {
    /// The port; the endpoint's where absent.
    pub port: Option<u16>,
    /// How the peer is judged.
    pub options: TlsOptions,
}

/// The endpoint reports through the API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeartbeatCheck {
    /// Silence for this long is a failure; at least 500 ms.
    pub ttl: Duration,
}
