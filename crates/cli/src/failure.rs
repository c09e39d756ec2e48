//! What people read when a command does not work: what, why, which rule, and the next command.
//!
//! A failure always says what was being done and why it did not work. A refusal by the cluster carries the stable
//! reason and the next step that the member gave; a cluster that cannot be reached is told member by member, never as
//! a bare "deadline exceeded".

use std::error::Error as _;
use std::fmt;

use tonic::Status;
use tonic_types::StatusExt as _;

use crate::exit::Exit;

/// Why a command did not work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure(Box<Parts>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Parts {
    exit: Exit,
    message: String,
    reason: Option<String>,
    leader: Option<String>,
    next: Option<String>,
    request_id: Option<String>,
    tried: Vec<Tried>,
    quiet: bool,
    absent: bool,
}

/// A member that was asked, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tried {
    /// Its address.
    pub member: String,
    /// Why it gave no answer.
    pub problem: String,
}

impl Failure {
    /// A failure: how the command ends, and what did not work and why.
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self(Box::new(Parts {
            exit,
            message: message.into(),
            reason: None,
            leader: None,
            next: None,
            request_id: None,
            tried: Vec::new(),
            quiet: false,
            absent: false,
        }))
    }

    /// Something on this machine did not work.
    pub(crate) fn error(message: impl Into<String>) -> Self {
        Self::new(Exit::Error, message)
    }

    /// The command line is wrong.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Nobody reads the output any more: nothing is wrong and there is nothing to say.
    pub(crate) fn closed() -> Self {
        let mut failure = Self::new(Exit::Success, "the output was closed");
        failure.0.quiet = true;
        failure
    }

    /// What a member refused, with everything that it said about it.
    pub(crate) fn refused(what: &str, status: &Status) -> Self {
        let details = status.get_error_details();
        let message = match status.message() {
            "" => status.code().description().to_owned(),
            told => told.to_owned(),
        };
        let mut failure = Self::new(Exit::of_status(status.code()), String::new());
        let parts = &mut failure.0;
        parts.absent = status.code() == tonic::Code::NotFound;
        if let Some(told) = details.error_info() {
            let said = |keys: &[&str]| keys.iter().find_map(|key| told.metadata.get(*key)).cloned();
            parts.reason = Some(told.reason.clone()).filter(|reason| !reason.is_empty());
            parts.next = said(&["next_step", "next"]);
            parts.leader = said(&["leader", "leader_hint"]).filter(|leader| !leader.is_empty());
            parts.request_id = said(&["request_id"]);
        }
        if let Some(request) = details.request_info() {
            parts.request_id = Some(request.request_id.clone());
        }
        // Members repeat the next step in their message, for clients that show nothing else.
        let repeated = parts.next.as_ref().map(|next| format!("; {next}")).unwrap_or_default();
        let why = message.strip_suffix(repeated.as_str()).unwrap_or(&message);
        parts.message = format!("cannot {what}: {why}");
        if let Some(violation) = details.bad_request().and_then(|bad| bad.field_violations.first())
            && !why.contains(&violation.field)
        {
            parts.message =
                format!("cannot {what}: {why} ({}: {})", violation.field, violation.description);
        }
        if parts.next.is_none() {
            parts.next = details
                .help()
                .and_then(|help| help.links.first())
                .map(|link| link.description.clone());
        }
        if parts.next.is_none() {
            parts.next = next_for(status.code()).map(ToOwned::to_owned);
        }
        failure
    }

    /// The next step; the first one given stays.
    pub(crate) fn next(mut self, next: impl Into<String>) -> Self {
        self.0.next.get_or_insert(next.into());
        self
    }

    /// The number of the request; the first one given stays.
    pub(crate) fn request(mut self, id: impl fmt::Display) -> Self {
        self.0.request_id.get_or_insert_with(|| id.to_string());
        self
    }

    /// The members that were asked.
    pub(crate) fn tried(mut self, tried: Vec<Tried>) -> Self {
        self.0.tried = tried;
        self
    }

    /// Another next step than the one that was given.
    pub(crate) fn instead(mut self, next: impl Into<String>) -> Self {
        self.0.next = Some(next.into());
        self
    }

    /// A next step beside the one that was given.
    pub(crate) fn also(self, next: impl fmt::Display) -> Self {
        let given = self.0.next.clone();
        self.instead(given.map_or_else(|| next.to_string(), |given| format!("{given}; {next}")))
    }

    /// The stable reason of a refusal.
    pub(crate) fn reason(&self) -> Option<&str> {
        self.0.reason.as_deref()
    }

    /// How the command ends.
    pub(crate) fn exit(&self) -> Exit {
        self.0.exit
    }

    /// What did not work and why.
    pub(crate) fn message(&self) -> &str {
        &self.0.message
    }

    /// What the first member that was asked said.
    pub(crate) fn first_problem(&self) -> Option<&str> {
        self.0.tried.first().map(|tried| tried.problem.as_str())
    }

    /// Whether what was asked for does not exist.
    pub(crate) fn is_about_absence(&self) -> bool {
        self.0.absent
    }

    /// Whether there is nothing to say.
    pub(crate) fn is_quiet(&self) -> bool {
        self.0.quiet
    }
}

/// The next step where a member gave none.
fn next_for(code: tonic::Code) -> Option<&'static str> {
    use tonic::Code;
    match code {
        Code::Unavailable | Code::DeadlineExceeded => Some("holdfast doctor"),
        Code::PermissionDenied | Code::Unauthenticated => Some(
            "use a certificate that entitles to it: holdfast ca issue --help, then --cert and --key",
        ),
        Code::Aborted => Some("read it again and repeat the change with its revision"),
        Code::ResourceExhausted => Some("wait a moment and repeat the command"),
        Code::OutOfRange => Some("make it smaller: split the document, and apply its parts"),
        Code::Unimplemented => {
            Some("compare the versions: holdfast version, holdfast cluster status")
        }
        _ => None,
    }
}

/// Why a member gave no answer: the stable reason that it told, else everything that is known.
pub(crate) fn problem_of(status: &Status) -> String {
    match status.get_details_error_info() {
        Some(told) if !told.reason.is_empty() => told.reason,
        _ => causes(status),
    }
}

/// What tonic calls every failure below it: says nothing beside its cause.
const TRANSPORT: &str = "transport error";

/// The whole chain of causes of a status, without repetitions.
pub(crate) fn causes(status: &Status) -> String {
    let mut texts: Vec<String> = Vec::new();
    if !status.message().is_empty() && status.message() != TRANSPORT {
        texts.push(status.message().to_owned());
    }
    let mut source = status.source();
    while let Some(error) = source {
        let text = error.to_string();
        if text != TRANSPORT && !texts.iter().any(|known| known.contains(&text)) {
            texts.push(text);
        }
        source = error.source();
    }
    if texts.is_empty() {
        texts.push(status.code().description().to_owned());
    }
    texts.join(": ")
}

impl fmt::Display for Failure {
    /// One line for what and why, then one line for each of what is known besides.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = &self.0;
        write!(f, "error: {}", parts.message)?;
        if let Some(reason) = &parts.reason {
            write!(f, "\n  reason:  {reason}")?;
        }
        if let Some(leader) = &parts.leader {
            write!(f, "\n  leader:  {leader}")?;
        }
        for tried in &parts.tried {
            write!(f, "\n  tried:   {} ({})", tried.member, tried.problem)?;
        }
        if let Some(next) = &parts.next {
            write!(f, "\n  next:    {next}")?;
        }
        if let Some(request) = &parts.request_id {
            write!(f, "\n  request: {request}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use tonic::Code;
    use tonic_types::ErrorDetails;

    fn refusal() -> Status {
        let metadata = HashMap::from([
            ("next_step".to_owned(), "holdfast resume".to_owned()),
            ("leader".to_owned(), "a2".to_owned()),
        ]);
        let mut details = ErrorDetails::with_error_info("PAUSED", "holdfast", metadata);
        details.set_request_info("6f0c", "");
        Status::with_error_details(
            Code::FailedPrecondition,
            "automation is paused; holdfast resume",
            details,
        )
    }

    #[test]
    fn a_refusal_is_told_with_reason_next_step_and_request() {
        let failure = Failure::refused("move shop", &refusal()).next("ignored").request("ignored");
        assert_eq!(failure.exit(), Exit::Blocked);
        let expected = "error: cannot move shop: automation is paused\n  reason:  PAUSED\n  leader:  a2\n  \
                        next:    holdfast resume\n  request: 6f0c";
        assert_eq!(failure.to_string(), expected);
    }

    #[test]
    fn a_bare_status_still_says_what_why_and_next() {
        let failure = Failure::refused("list services", &Status::new(Code::DeadlineExceeded, ""));
        let failure = failure
            .tried(vec![Tried { member: "10.0.0.1:7444".into(), problem: "refused".into() }]);
        let text = failure.to_string();
        assert!(text.starts_with("error: cannot list services: "), "{text}");
        assert!(text.contains("tried:   10.0.0.1:7444 (refused)"), "{text}");
        assert!(text.contains("next:    holdfast doctor"), "{text}");
        assert_eq!(failure.exit(), Exit::Unavailable);
    }

    #[test]
    fn the_field_at_fault_is_named_once() {
        let bad = |message: &str| {
            let details = ErrorDetails::with_bad_request_violation("dns.ttl", "too long");
            let status = Status::with_error_details(Code::InvalidArgument, message, details);
            Failure::refused("apply shop", &status).message().to_owned()
        };
        assert_eq!(bad("not possible"), "cannot apply shop: not possible (dns.ttl: too long)");
        assert_eq!(bad("dns.ttl: too long"), "cannot apply shop: dns.ttl: too long");
    }
}
