//! From a reason to a `Status`: one place that decides codes, stable reasons and next steps.
//!
//! A refusal says what, why and what next in its message, and again for programs in `google.rpc.ErrorInfo` (AIP-193):
//! `reason`, domain [`DOMAIN`], and metadata with `next_step`, `request_id` and `leader` where there are any.

use std::time::Duration;

use holdfast_core::Rejection;
use holdfast_wire::DecodeError;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::agreement::{AgreementError, AgreementErrorKind};
use crate::metrics::REFUSALS;

/// The domain of our reasons.
pub const DOMAIN: &str = "holdfast";

/// How long a client should wait while there is no leader: about one election.
const ELECTION: Duration = Duration::from_millis(500);
/// How long a client should wait while too much is asked.
const BREATH: Duration = Duration::from_millis(200);

/// Why a request is refused; small, because it travels in every result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal(Box<Parts>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Parts {
    code: Code,
    reason: &'static str,
    message: String,
    next_step: String,
    facts: Vec<(&'static str, String)>,
    field: Option<(String, String)>,
    retry_after: Option<Duration>,
}

impl Refusal {
    pub(crate) fn new(
        code: Code,
        reason: &'static str,
        message: impl Into<String>,
        next_step: impl Into<String>,
    ) -> Self {
        Self(Box::new(Parts {
            code,
            reason,
            message: message.into(),
            next_step: next_step.into(),
            facts: Vec::new(),
            field: None,
            retry_after: None,
        }))
    }

    /// A field of the request is not as it should be.
    pub(crate) fn field(field: &str, problem: impl Into<String>) -> Self {
        let problem = problem.into();
        let message = format!("{field}: {problem}");
        let mut refusal = Self::new(
            Code::InvalidArgument,
            "INVALID_ARGUMENT",
            message,
            "correct the request and send it again",
        );
        refusal.0.field = Some((field.to_owned(), problem));
        refusal
    }

    pub(crate) fn not_found(kind: &str, name: &str) -> Self {
        Rejection::NotFound { kind: kind.to_owned(), name: name.to_owned() }.into()
    }

    /// Adds a fact for programs; an empty one is left out.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        let value = value.into();
        if !value.is_empty() {
            self.0.facts.push((name, value));
        }
        self
    }

    /// What, why and what next, in one line.
    pub(crate) fn text(&self) -> String {
        format!("{}; {}", self.0.message, self.0.next_step)
    }

    pub(crate) fn after(mut self, delay: Duration) -> Self {
        self.0.retry_after = Some(delay);
        self
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let message = refusal.text();
        let refusal = *refusal.0;
        metrics::counter!(REFUSALS, "reason" => refusal.reason).increment(1);
        let mut facts: std::collections::HashMap<String, String> =
            refusal.facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        facts.insert("next_step".to_owned(), refusal.next_step.clone());
        let mut details = ErrorDetails::with_error_info(refusal.reason, DOMAIN, facts);
        if let Some((field, problem)) = refusal.field {
            details.add_bad_request_violation(field, problem);
        }
        if let Some(delay) = refusal.retry_after {
            details.set_retry_info(Some(delay));
        }
        Self::with_error_details(refusal.code, message, details)
    }
}

impl From<DecodeError> for Refusal {
    fn from(error: DecodeError) -> Self {
        match error.field() {
            Some("request_id") => Self::field(
                "request_id",
                format!(
                    "{error}; every change needs a UUID that you choose, the same one when you repeat it"
                ),
            ),
            Some(field) => {
                let text = error.to_string();
                let problem = text.strip_prefix(&format!("{field}: ")).unwrap_or(&text).to_owned();
                Self::field(field, problem)
            }
            None => Self::field("request", error.to_string()),
        }
    }
}

impl From<Rejection> for Refusal {
    fn from(rejection: Rejection) -> Self {
        let (code, next_step): (_, &str) = match &rejection {
            Rejection::InvalidSpec(_) => {
                (Code::InvalidArgument, "correct the field and apply it again")
            }
            Rejection::InvalidOrder(_) => {
                (Code::InvalidArgument, "give a reason and a duration of 1s to 30d")
            }
            Rejection::NotFound { kind, .. } => (Code::NotFound, where_to_look(kind)),
            Rejection::StaleRevision { expected: 0, .. } => {
                (Code::AlreadyExists, "leave out if_revision to replace what exists")
            }
            Rejection::StaleRevision { .. } => {
                (Code::Aborted, "read it again and apply your change to the stored revision")
            }
            Rejection::NameInUse { next_step, .. } => (Code::AlreadyExists, next_step),
            Rejection::OutsideZones { .. } => (
                Code::FailedPrecondition,
                "apply a zone that holds the name first, or correct the name",
            ),
            Rejection::InUse { next_step, .. } => (Code::FailedPrecondition, next_step),
            Rejection::Superseded(_) => (Code::Aborted, "read the state again and decide anew"),
            Rejection::LimitReached { .. } => {
                (Code::ResourceExhausted, "delete what is not needed any more")
            }
            Rejection::Update(_) => {
                (Code::FailedPrecondition, "look at the rules under `updates` of the zone")
            }
            Rejection::Signing { next_step, .. } | Rejection::Membership { next_step, .. } => {
                (Code::FailedPrecondition, next_step)
            }
        };
        let mut refusal = Self::new(code, rejection.reason(), rejection.to_string(), next_step);
        match rejection {
            Rejection::InvalidSpec(error) => {
                refusal.0.field = Some((error.field, error.problem));
                refusal
            }
            Rejection::StaleRevision { stored, .. } => refusal.with("revision", stored.to_string()),
            _ => refusal,
        }
    }
}

/// The command that shows what there is of a kind.
fn where_to_look(kind: &str) -> &'static str {
    match kind {
        "zone" => "check the name with `holdfast zone list`",
        "zone of the name" => {
            "check the name: it lies in no zone of this cluster; `holdfast zone list` shows them"
        }
        "name" => "check the name with `holdfast dns dump`, which shows every name with data",
        "TSIG key" => "check the name with `holdfast tsig list`",
        "service" => "check the name with `holdfast service list`",
        "pool" | "endpoint" => {
            "check the name with `holdfast service get SERVICE`, which shows pools and endpoints"
        }
        "override" => "check the number with `holdfast override list`",
        "pause" => "nothing is to be resumed; `holdfast status` shows a pause that is in force",
        _ => "look at the members with `holdfast cluster members`",
    }
}

impl From<AgreementError> for Refusal {
    fn from(error: AgreementError) -> Self {
        let (code, reason, next_step) = match error.kind {
            AgreementErrorKind::NoLeader => {
                (Code::Unavailable, "NO_LEADER", "ask again; an election takes about half a second")
            }
            AgreementErrorKind::NoQuorum => (
                Code::Unavailable,
                "NO_QUORUM",
                "see which members are missing with `holdfast cluster status`; DNS goes on meanwhile",
            ),
            AgreementErrorKind::Overloaded => {
                (Code::ResourceExhausted, "OVERLOADED", "ask again a little later")
            }
            AgreementErrorKind::AuditUnavailable => (
                Code::Unavailable,
                "AUDIT_UNAVAILABLE",
                "changes go on once the audit store does: look at its disk, and at `holdfast cluster status`",
            ),
            AgreementErrorKind::Unknown => (
                Code::Unavailable,
                "OUTCOME_UNKNOWN",
                "ask again with the same request id: it is then done once, whatever has happened",
            ),
            AgreementErrorKind::Invalid => (
                Code::InvalidArgument,
                "CANNOT_BE_STORED",
                "make the request smaller, or correct it",
            ),
            AgreementErrorKind::Behind => {
                (Code::Unavailable, "BEHIND", "ask again, or ask the leader")
            }
            AgreementErrorKind::Stopped => (
                Code::Unavailable,
                "STOPPED",
                "ask another node; this one needs attention, see `holdfast cluster status`",
            ),
            AgreementErrorKind::Unreachable => (
                Code::FailedPrecondition,
                "UNREACHABLE",
                "start the agent with `holdfast agent`, then add it again",
            ),
        };
        let refusal = Self::new(code, reason, error.message, next_step);
        match error.kind {
            AgreementErrorKind::NoLeader | AgreementErrorKind::Unknown => refusal.after(ELECTION),
            AgreementErrorKind::Overloaded | AgreementErrorKind::Behind => refusal.after(BREATH),
            AgreementErrorKind::NoQuorum
            | AgreementErrorKind::AuditUnavailable
            | AgreementErrorKind::Invalid
            | AgreementErrorKind::Stopped
            | AgreementErrorKind::Unreachable => refusal,
        }
    }
}
