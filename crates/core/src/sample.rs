//! What one probe found: raw, without thresholds. The [`Sampler`](crate::sampler::Sampler) makes states of samples.

use alloc::string::String;
use core::fmt;
use core::time::Duration;

use serde::{Deserialize, Serialize};

/// The part of a probe in which it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Phase {
    /// Finding the endpoint's address.
    Resolve,
    /// Opening the connection.
    Connect,
    /// The TLS handshake and the certificate.
    Tls,
    /// Sending the request.
    Send,
    /// Waiting for the first byte of the answer.
    FirstByte,
    /// Reading the rest of the answer.
    Body,
    /// Judging the answer.
    Assert,
    /// Waiting for a report of the endpoint itself.
    Heartbeat,
}

impl Phase {
    /// The phase as evidence, metrics and the CLI print it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Send => "send",
            Self::FirstByte => "first_byte",
            Self::Body => "body",
            Self::Assert => "assert",
            Self::Heartbeat => "heartbeat",
        }
    }
}

/// What kind of failure it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum FailureKind {
    /// The connection was refused.
    Refused,
    /// The connection was reset or closed early.
    Reset,
    /// There was no answer in time.
    Timeout,
    /// There is no route, or the network said so.
    Unreachable,
    /// The name has no address.
    NoAddress,
    /// The certificate is not valid, or not for long enough.
    Certificate,
    /// The answer breaks its protocol.
    Protocol,
    /// The answer's status is not among the expected.
    Status,
    /// The answer's content is not as expected.
    Content,
    /// The answer was right but too slow.
    Slow,
    /// The endpoint did not report within its TTL.
    Silent,
}

impl FailureKind {
    /// The kind as evidence, metrics and the CLI print it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Reset => "reset",
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
            Self::NoAddress => "no_address",
            Self::Certificate => "certificate",
            Self::Protocol => "protocol",
            Self::Status => "status",
            Self::Content => "content",
            Self::Slow => "slow",
            Self::Silent => "silent",
        }
    }
}

/// Why a probe failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Where in the probe.
    pub phase: Phase,
    /// What kind.
    pub kind: FailureKind,
    /// One line for people, at most [`Failure::MAX_DETAIL`] bytes; never a secret or a whole body.
    pub detail: String,
}

impl Failure {
    /// The longest `detail`, in bytes; longer texts are cut.
    pub const MAX_DETAIL: usize = 200;

    /// A failure with its detail cut to size.
    pub fn new(phase: Phase, kind: FailureKind, detail: impl Into<String>) -> Self {
        let mut detail = detail.into();
        let cut =
            (0..=Self::MAX_DETAIL.min(detail.len())).rev().find(|&i| detail.is_char_boundary(i));
        detail.truncate(cut.unwrap_or(0));
        Self { phase, kind, detail }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.phase.label(), self.kind.label())?;
        if self.detail.is_empty() { Ok(()) } else { write!(f, ": {}", self.detail) }
    }
}

/// Why a probe has nothing to say about the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Abstention {
    /// The probe started too late: this node is overloaded.
    Late,
    /// The wall clock stepped, or the process was suspended, during the probe.
    ClockStep,
    /// The address is on a deny list.
    Denied,
    /// This node lacks a resource (descriptors, memory, a local port).
    Resources,
    /// The check cannot be carried out as it is declared (a pattern, header or certificate that does not parse).
    Invalid,
}

/// What one probe found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Finding {
    /// The endpoint answered as it should.
    Pass,
    /// It did not.
    Fail(Failure),
    /// The observer itself could not tell; says nothing about the endpoint.
    Abstain(Abstention),
}

/// What one probe found, and how long it took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// What was found.
    pub finding: Finding,
    /// From the start of the connection to the judgement.
    pub latency: Duration,
}
